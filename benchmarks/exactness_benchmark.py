"""
The simulator against exact queueing theory: every value of every case, until its error is small.

A case runs until the standard error of each value is a small share of the exact value, or until a
cap of contacts. The verdict is strict whatever the errors: each value within `z_max` standard
errors, which one in 37,000 misses by chance, and no more than `beyond_share` of all beyond 1.96.
"""

import math
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from benchmarks.exactness_runs import contacts_of, in_steps
from benchmarks.settings import Settings
from benchmarks.tables import Table
from benchmarks.timing import pin
from engine.simulation.simulator import compile_simulation
from tests.simulation.exact_agreement import HALF_WIDTH, Agreement, agreements
from tests.simulation.exact_cases import CASES

_PAGE: Final = "exactness.md"
_EXCLUDED: Final = (
    "T04 t10:p_wait_gt_20s is left out: who comes just before agents leave waits for those who"
    " stay, of which the exact value of that moment knows nothing. Values that the source has by"
    " simulation (X01 to X03) have an error of their own, which z counts in."
)


@dataclass(frozen=True, slots=True)
class Compared:
    """
    One case, as far as it was simulated.

    Attributes
    ----------
    contacts
        Contacts simulated.
    taken_s
        Seconds it took.
    """

    case_id: str
    values: Sequence[Agreement]
    contacts: float
    taken_s: float


def run(settings: Settings) -> list[Table]:
    """Compare every case; the tables, unless a value disagrees."""
    pin(0)
    compile_simulation()
    found = []
    for case_id in CASES:
        compared = _compare(case_id, settings)
        found.append(compared)
        print(" ".join(_case_row(compared, settings.goals["error_share"])), flush=True)
    tables = [_summary(found, settings), _by_case(found, settings), _short_of(found, settings)]
    tables.append(_all_values(found))
    _refuse(found, settings, tables)
    return tables


def _compare(case_id: str, settings: Settings) -> Compared:
    begun_s = time.perf_counter()
    contacts_max = settings.value("contacts_max_of").get(case_id, settings.value("contacts_max"))
    for results in in_steps(case_id, settings.value("step_contacts")):
        values = agreements(results, case_id)
        is_sharp = all(value.error_share <= settings.goals["error_share"] for value in values)
        if is_sharp or contacts_of(results) >= contacts_max:
            break
    return Compared(case_id, values, contacts_of(results), time.perf_counter() - begun_s)


def _refuse(found: Sequence[Compared], settings: Settings, tables: Sequence[Table]) -> None:
    """Fail where values disagree, with the tables, which nobody would see otherwise."""
    values = _values(found)
    far = [value for value in values if not abs(value.z) <= settings.value("z_max")]
    if far or _share_beyond(values) > settings.value("beyond_share"):
        print("\n\n".join(table.markdown() for table in tables), flush=True)
        raise AssertionError(
            f"{_share_beyond(values):.1%} of the values are beyond {HALF_WIDTH} standard errors;"
            f" too far: {far}"
        )


def _values(found: Sequence[Compared]) -> list[Agreement]:
    return [value for compared in found for value in compared.values]


def _share_beyond(values: Sequence[Agreement]) -> float:
    return sum(abs(value.z) > HALF_WIDTH for value in values) / len(values)


def _summary(found: Sequence[Compared], settings: Settings) -> Table:
    values = _values(found)
    sharp = sum(value.error_share <= settings.goals["error_share"] for value in values)
    farthest = max(values, key=lambda value: abs(value.z))
    contacts, taken_s = sum(item.contacts for item in found), sum(item.taken_s for item in found)
    rows = [
        ["values compared, of cases", f"{len(values)} of {len(found)}"],
        [
            f"farthest from exact, in standard errors, at most {settings.value('z_max')}",
            f"{farthest.z:+.2f}, {farthest.case_id} {farthest.measure}",
        ],
        [
            f"beyond {HALF_WIDTH}, at most {settings.value('beyond_share'):.0%}",
            f"{_share_beyond(values):.1%}",
        ],
        [
            f"standard error within {settings.goals['error_share']:.1%} of the value",
            f"{sharp} of {len(values)}",
        ],
        ["contacts simulated", f"{contacts / 1e6:,.0f} million in {taken_s:,.0f} s on one core"],
    ]
    return Table("All values", ("what", "found"), rows, _EXCLUDED)


def _by_case(found: Sequence[Compared], settings: Settings) -> Table:
    columns = ("case", "values", "sharp", "SE %", "beyond 1.96", "z", "contacts", "took")
    rows = [_case_row(compared, settings.goals["error_share"]) for compared in found]
    note = (
        f"Sharp: values with a standard error within {settings.goals['error_share']:.1%} of them."
        " SE %: the largest standard error of the case. z: standard errors of the value farthest"
        f" from the exact one. Every value, and those that are not sharp: [{_PAGE}]({_PAGE})."
    )
    return Table("By case", columns, rows, note)


def _case_row(compared: Compared, error_share: float) -> list[str]:
    values = compared.values
    return [
        compared.case_id,
        str(len(values)),
        str(sum(value.error_share <= error_share for value in values)),
        _percent(max(value.error_share for value in values)),
        str(sum(abs(value.z) > HALF_WIDTH for value in values)),
        f"{max((value.z for value in values), key=abs):+.2f}",
        f"{compared.contacts / 1e6:.1f} M",
        f"{compared.taken_s:.0f} s",
    ]


def _short_of(found: Sequence[Compared], settings: Settings) -> Table:
    short = [v for v in _values(found) if v.error_share > settings.goals["error_share"]]
    rows = [_value_row(value) for value in sorted(short, key=lambda value: -value.error_share)]
    note = "Their caps came first: rare things, queues near full load, short runs from a start."
    return Table("Values whose error stayed larger", _VALUE_COLUMNS, rows, note, page=_PAGE)


def _all_values(found: Sequence[Compared]) -> Table:
    rows = [_value_row(value) for value in _values(found)]
    return Table("Every value", _VALUE_COLUMNS, rows, _EXCLUDED, page=_PAGE)


_VALUE_COLUMNS: Final = ("case", "measure", "exact", "simulated", "SE", "SE %", "z")


def _value_row(value: Agreement) -> list[str]:
    return [
        value.case_id, value.measure, f"{value.exact:.6g}", f"{value.simulated:.6g}",
        f"{value.error:.2g}", _percent(value.error_share), f"{value.z:+.2f}",
    ]  # fmt: skip


def _percent(share: float) -> str:
    """A share in per cent, in three digits."""
    return f"{share * 100:.3g}" if math.isfinite(share) else "–"
