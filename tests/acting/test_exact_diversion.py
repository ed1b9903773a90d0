"""
Policies at work against the exact theory of queues.

Five cases of which the exact figures are known are played with the code that decides and acts in
earnest; each figure must be within four standard errors of batch means, and the errors must be
small enough to mean something. `pytest -rP` shows them.
"""

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final, NamedTuple

import numpy as np
import pytest

from tests.acting.diversion_floor import LATER, DiversionFloor, Rates, Tally, policy_text

pytestmark = pytest.mark.compiled_only

CASES: Final = {
    case["id"]: case
    for case in json.loads((Path(__file__).parent.parent / "data/exact_queue.json").read_text())[
        "cases"
    ]
}
CHAT: Final = f"options: [{{other_channel: {{channel: chat, queue: {LATER}}}}}]"
CALLBACK: Final = f"options: [{{callback: {{queue: {LATER}}}}}]"
FORCED: Final = ", forced: true"
BATCHES: Final = 24

# Of queues at 92 % load hours are needed before anything can be said.
WARM_UP_MINUTES: Final = 60.0
BATCH_MINUTES: Final = 100.0
# Long queues without a band come and go slowly; callbacks pile up and are worked off over hours.
BATCH_MINUTES_OF: Final = {"D04": 200.0, "D05": 300.0}

_Of = Callable[[Tally], float]


def _accepted(tally: Tally) -> float:
    return tally.arrivals - tally.diverted


# Each figure as a ratio of two sums over time or contacts.
FIGURES: Final[dict[str, tuple[_Of, _Of]]] = {
    "p_divert": (lambda t: t.diverted, lambda t: t.arrivals),
    "p_wait": (lambda t: t.queued - t.diverted, _accepted),
    "frac_on": (lambda t: t.on, lambda t: t.minutes),
    "activations_per_hour": (lambda t: 60.0 * t.begun, lambda t: t.minutes),
    "mean_on_minutes": (lambda t: t.on, lambda t: t.begun),
    "lq": (lambda t: t.waiting, lambda t: t.minutes),
    "wait_all": (lambda t: t.waits, _accepted),
    "p_abandon": (lambda t: t.abandoned, _accepted),
    "occ": (lambda t: t.busy, lambda t: t.minutes),
    "p_callback": (lambda t: t.diverted, lambda t: t.arrivals),
    "wait_live": (lambda t: t.waits, _accepted),
    "p_abandon_live": (lambda t: t.abandoned, _accepted),
    "callback_backlog": (lambda t: t.later, lambda t: t.minutes),
    "callback_delay": (lambda t: t.later, lambda t: t.diverted),
}
# Greatest standard error, relative to the exact figure, with which a comparison says something.
ERROR_MAX: Final = 0.1
# What few long spells decide takes longer.
ERROR_MAX_OF: Final = {"frac_on": 0.12, "callback_backlog": 0.2, "callback_delay": 0.15}


class Figure(NamedTuple):
    """A figure with its standard error."""

    value: float
    error: float


def figure(name: str, batches: Sequence[Tally], agents: int) -> Figure:
    """A ratio of sums over batches; of `occ` per agent."""
    over, under = FIGURES[name]
    above, below = (np.array([of(item) for item in batches], float) for of in (over, under))
    if name == "occ":
        below *= agents
    value = above.sum() / below.sum()
    spread = float(np.std(above - value * below, ddof=1))
    return Figure(float(value), spread / float(below.mean()) / len(batches) ** 0.5)


def played(case_id: str, floor: DiversionFloor) -> list[Tally]:
    """Batches of a floor; each figure of the case is asserted of them."""
    case = CASES[case_id]
    minutes = BATCH_MINUTES_OF.get(case_id, BATCH_MINUTES)
    floor.run(WARM_UP_MINUTES)
    batches = [floor.run(minutes) for _ in range(BATCHES)]
    missed = []
    for name in sorted(FIGURES.keys() & case["values"].keys()):
        exact = case["values"][name]
        found = figure(name, batches, case["params"]["c"])
        off = (found.value - exact) / found.error
        print(f"{case_id} {name:21} {exact:9.5f} {found.value:9.5f} ± {found.error:.5f} {off:+.1f}")
        if abs(off) > 4.0 or found.error > ERROR_MAX_OF.get(name, ERROR_MAX) * exact:
            missed.append((name, exact, found))
    assert not missed
    return batches


def floor_of(case_id: str, share: float, offer: str, **more: float) -> DiversionFloor:
    """A floor with the policy of a case; one that is on acts on so great a share."""
    params = CASES[case_id]["params"]
    begins = params.get("Kon", params.get("K"))
    leave = f"queue.waiting <= {params['Koff']}" if "Koff" in params else ""
    text = policy_text(f"queue.waiting >= {begins}", leave, share, offer)
    rates = Rates(params["lam"], params["mu"], params["th"])
    return DiversionFloor(params["c"], rates, text, **more)  # type: ignore[arg-type]


def test_all_who_find_a_long_queue_are_diverted_as_theory_says() -> None:
    """D01: nobody is asked, and nobody more than those who come is moved."""
    played("D01", floor_of("D01", 1.0, CHAT + FORCED))


@pytest.mark.parametrize(
    ("share", "offer", "accepts"),
    [
        (0.37, CHAT + FORCED, 0.0),  # So great a share goes without being asked.
        (1.0, CHAT, 0.37),  # All are asked, and so many accept.
    ],
)
def test_a_share_does_what_acceptance_does(share: float, offer: str, accepts: float) -> None:
    """D02: which contacts belong to a share is chance to the queue."""
    played("D02", floor_of("D02", share, offer, accepts=accepts))


def test_a_band_between_enter_and_exit_ends_chattering_as_theory_says() -> None:
    """D03 and D04: on from six who wait, off at one, or at five; 5.3 against 19.5 an hour."""
    wide = played("D03", floor_of("D03", 1.0, CHAT, accepts=0.37))
    none = played("D04", floor_of("D04", 0.37, CHAT + FORCED))
    agents = CASES["D03"]["params"]["c"]
    per_hour = [figure("activations_per_hour", item, agents).value for item in (wide, none)]
    assert per_hour[1] > 3.0 * per_hour[0]


def test_callbacks_wait_until_agents_are_free_as_theory_says() -> None:
    """
    D05: callbacks are called when nobody waits and more than one agent is free.

    The engine keeps no agents free for those who may come: the queue of callbacks has no agents of
    its own, and the gateway dials by OfferContact when the rule says so.
    """
    kept_free = CASES["D05"]["params"]["r"]
    played("D05", floor_of("D05", 1.0, CALLBACK, accepts=0.37, kept_free=kept_free))
