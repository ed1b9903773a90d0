"""
Agents who will be there: presence now, going over into what is planned.

A row is a queue or a group of agents; present are those available, handling or in wrap-up. Of the
agents planned only a share comes, which is learned per row from agent-seconds, T seconds of them
remembered:

    ratio = (k + T * present / planned) / (k + T)          within `ratio_min` to `ratio_max`

t seconds from now, with P(t) planned, and the share that is there now beside what should be,

    expected(t) = P(t) * (ratio + (present / P(now) - ratio) * 0.5^(t / half_life))

so that who is missing now is still missing in some minutes, and a shift that ends does end. Nobody
comes on the second: as P(now) counts whichever number planned within five minutes of now is
nearest to what present agents suggest. Those present while nobody is planned are added, and fade
likewise. Where nothing is planned presence goes on as it is, unless `unplanned_half_life_s` says
how it fades.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from engine.forecasting.columns import Array, allocate, clear_row, exported, imported
from engine.kernels.sensing_columns import BUCKET_S, ROWS, Absent, Extent, Real
from engine.refusals import BadConfiguration

# Agents planned for one interval; buckets a row's plan may reach over: 62 days; seconds ahead that
# agents are told for.
AGENTS_MAX: Final = 1_000_000
PLAN_BUCKETS_MAX: Final = 62 * 288
AHEAD_S_MAX: Final = 86_400
_INTERVAL_S_MAX: Final = 86_400
_SECOND_MAX: Final = 1 << 40
# Buckets of plans that are laid out side by side, and those before now among them.
_LAID_OUT: Final = 432
_BEFORE: Final = 1
# Longest that one reading of presence stands for.
_STANDS_S: Final = 60


@dataclass(frozen=True, slots=True)
class StaffingSettings:
    """
    How presence and plan are blended; see the module's docstring.

    Attributes
    ----------
    half_life_s
        In which a departure from the plan halves, 1 to 86,400 s.
    unplanned_half_life_s
        In which presence halves where nothing is planned, 0 to 604,800 s; 0 = it stays.
    ratio_min, ratio_max
        Bounds of the learned ratio, 0 to 1 and 1 to 10.
    memory_s
        In which what the ratio rests on halves, 3,600 to 31,536,000 s with agents planned.
    prior_s
        k, seconds with agents planned that a ratio of 1 is worth, 1 to 2,592,000.
    stale_s
        Age beyond which presence says nothing of who is missing, 1 to 86,400 s.
    """

    half_life_s: float = 1_800.0
    unplanned_half_life_s: float = 0.0
    ratio_min: float = 0.5
    ratio_max: float = 1.2
    memory_s: float = 5 * 36_000.0
    prior_s: float = 14_400.0
    stale_s: float = 120.0

    def __post_init__(self) -> None:
        bounds = {
            "half_life_s": (1.0, 86_400.0),
            "unplanned_half_life_s": (0.0, 604_800.0),
            "ratio_min": (0.0, 1.0),
            "ratio_max": (1.0, 10.0),
            "memory_s": (3_600.0, 31_536_000.0),
            "prior_s": (1.0, 2_592_000.0),
            "stale_s": (1.0, 86_400.0),
        }
        for name, (low, high) in bounds.items():
            value = getattr(self, name)
            if not (low <= value <= high):
                raise BadConfiguration(f"staffing.{name}", value, f"{low:g} to {high:g}")


class StaffingColumns(NamedTuple):
    """
    What is kept of each row.

    Attributes
    ----------
    present, seen_s
        (n,) agents last seen, NaN for never; the second they were.
    planned_sum, present_sum, staffed_s
        (n,) decayed agent-seconds planned, those present then, and seconds with agents planned.
    """

    present: Annotated[NDArray[np.float64], Extent(np.float64, np.nan, (ROWS,))]
    seen_s: Absent
    planned_sum: Real
    present_sum: Real
    staffed_s: Real


class _Plan(NamedTuple):
    """Agents planned per bucket from `first` on, NaN where nothing is."""

    first: int
    agents: NDArray[np.float32]


class Staffing:
    """
    Plans and presence of every row.

    Attributes
    ----------
    columns
        The arrays; replaced as they grow.
    """

    def __init__(self, rows: int, settings: StaffingSettings | None = None) -> None:
        self._settings = settings or StaffingSettings()
        self.columns = allocate(StaffingColumns, rows)
        self._plans: dict[int, _Plan] = {}
        self._second = -1
        # Plans side by side, (n, _LAID_OUT) from bucket `_first` on.
        self._first = -1
        self._laid_out = np.full((rows, _LAID_OUT), np.nan, np.float32)

    def require(self, rows: int) -> None:
        """Make room for rows."""
        if rows > len(self.columns.present):
            self.columns = allocate(StaffingColumns, rows, self.columns)
            self._laid_out = np.full((rows, _LAID_OUT), np.nan, np.float32)
            self._first = -1

    def clear(self, row: int) -> None:
        """Forget a row and its plan."""
        clear_row(self.columns, row)
        self.remove_plan(row)

    def put_plan(
        self, row: int, begins_s: int, agents: NDArray[np.float64], interval_s: int = BUCKET_S
    ) -> None:
        """
        Plan agents of a row, interval by interval; what was planned for the same time is replaced.

        Parameters
        ----------
        begins_s
            Seconds since the Unix epoch at which the first interval begins, on a whole bucket.
        agents
            (intervals,) agents on duty, real numbers, 0 to a million.
        interval_s
            Whole buckets, up to a day.

        Raises
        ------
        BadConfiguration
            A field is out of range; nothing changes.
        """
        self._check_plan(row, begins_s, agents, interval_s)
        per_bucket = np.repeat(agents.astype(np.float32), interval_s // BUCKET_S)
        first = begins_s // BUCKET_S
        last = first + len(per_bucket)
        before = self._plans.get(row, _Plan(first, per_bucket))
        # What is over need not be kept.
        kept = max(before.first, self._second // BUCKET_S - _LAID_OUT)
        begin = min(first, kept) if kept < before.first + len(before.agents) else first
        end = max(last, before.first + len(before.agents))
        if end - begin > PLAN_BUCKETS_MAX:
            days = PLAN_BUCKETS_MAX // 288
            raise BadConfiguration("staffing.begins_s", begins_s, f"a plan of {days} days at most")
        whole = np.full(end - begin, np.nan, np.float32)
        skipped = max(begin - before.first, 0)
        place = before.first + skipped - begin
        whole[place : place + len(before.agents) - skipped] = before.agents[skipped:]
        whole[first - begin : last - begin] = per_bucket
        self._plans[row] = _Plan(begin, whole)
        self._lay_out_row(row)

    def remove_plan(self, row: int) -> bool:
        """Forget the plan of a row; False where there was none."""
        self._laid_out[row] = np.nan
        return self._plans.pop(row, None) is not None

    def observe(self, second: int, present: NDArray[np.float64]) -> None:
        """
        Take in who is present: (n,) agents, NaN where nobody can tell; the ratios follow.

        Raises
        ------
        ValueError
            The second is before the last one, or a number cannot be; nothing changes.
        """
        columns, settings = self.columns, self._settings
        self._check_second(second)
        if present.shape != columns.present.shape or present.dtype != np.float64:
            raise ValueError(f"present: expected float64 of shape {columns.present.shape}")
        is_told = ~np.isnan(present)
        if not ((present[is_told] >= 0.0) & (present[is_told] <= AGENTS_MAX)).all():
            raise ValueError(f"present: expected 0 to {AGENTS_MAX}, or NaN")
        planned = self._planned_at(second)
        passed_s = np.clip(second - columns.seen_s, 0, _STANDS_S) * (columns.seen_s >= 0)
        counts = is_told & (planned > 0.0)
        passed_s = np.where(counts, passed_s, 0)
        kept = 0.5 ** (passed_s / settings.memory_s)
        for array, rate in ((columns.planned_sum, planned), (columns.present_sum, present),
                            (columns.staffed_s, np.ones_like(present))):  # fmt: skip
            array *= kept
            array += np.where(counts, rate, 0.0) * passed_s
        columns.present[is_told] = present[is_told]
        columns.seen_s[is_told] = second
        self._second = second

    def ratio(self) -> NDArray[np.float64]:
        """(n,) share of the agents planned who come."""
        columns, settings = self.columns, self._settings
        share = np.ones_like(columns.present)
        np.divide(columns.present_sum, columns.planned_sum, out=share,
                  where=columns.planned_sum > 0.0)  # fmt: skip
        mixed = settings.prior_s + columns.staffed_s * share
        mixed /= settings.prior_s + columns.staffed_s
        return np.clip(mixed, settings.ratio_min, settings.ratio_max)

    def age_s(self, now_s: int) -> NDArray[np.int64]:
        """(n,) seconds since presence was last told, -1 for never."""
        seen_s = self.columns.seen_s
        return np.where(seen_s >= 0, np.maximum(now_s - seen_s, 0), -1)

    def expected(self, now_s: int, segments: int, segment_s: int) -> NDArray[np.float64]:
        """
        Agents who will be there, (n, segments), means over segments from now on.

        NaN where nothing is planned and nobody has ever been seen.

        Raises
        ------
        ValueError
            It is before what was last observed, or asks for more than a day ahead.
        """
        self._check_second(now_s)
        if not (segments > 0 and segment_s > 0 and segments * segment_s <= AHEAD_S_MAX):
            raise ValueError(f"segments: expected up to {AHEAD_S_MAX} s ahead")
        columns, settings = self.columns, self._settings
        planned, share = self._planned_over(now_s, segments, segment_s)
        seen_ago_s = np.maximum(now_s - columns.seen_s, 0)[:, None]
        after_s = (np.arange(segments) + 0.5) * segment_s + seen_ago_s
        fading = 0.5 ** (after_s / settings.half_life_s)
        is_fresh = (columns.seen_s >= 0) & (seen_ago_s[:, 0] <= settings.stale_s)
        present = np.where(is_fresh, columns.present, 0.0)
        ratio, near = self.ratio(), self._planned_near(now_s)
        departure = np.zeros_like(present)
        np.divide(present, near, out=departure, where=near > 0.0)
        departure = np.where(is_fresh & (near > 0.0), departure - ratio, 0.0)
        by_plan = planned * (ratio[:, None] + np.minimum(departure, 2.0)[:, None] * fading)
        by_plan += np.where(near == 0.0, present, 0.0)[:, None] * fading
        lasting = np.ones_like(after_s)
        if settings.unplanned_half_life_s > 0.0:
            lasting = 0.5 ** (after_s / settings.unplanned_half_life_s)
        # The product with a share of 0 would still be NaN where nobody has been seen.
        unplanned = np.where(share < 1.0, (1.0 - share) * columns.present[:, None] * lasting, 0.0)
        whole: NDArray[np.float64] = share * by_plan + unplanned
        return whole

    def export(self) -> dict[str, Array]:
        """Everything as arrays, for `load`."""
        rows = sorted(self._plans)
        plans = [self._plans[row] for row in rows]
        return exported(self.columns) | {
            "second": np.array(self._second),
            "plan_row": np.array(rows, np.int64),
            "plan_first": np.array([plan.first for plan in plans], np.int64),
            "plan_buckets": np.array([len(plan.agents) for plan in plans], np.int64),
            "plan_agents": np.concatenate([np.zeros(0, np.float32), *(p.agents for p in plans)]),
        }

    def load(self, arrays: Mapping[str, Array]) -> None:
        """
        Take what `export` gave, of as many rows.

        Raises
        ------
        BadConfiguration
            The arrays are of another version; nothing changes.
        """
        rows = len(self.columns.present)
        columns = imported(StaffingColumns, arrays, rows)
        for name in ("second", "plan_row", "plan_first", "plan_buckets", "plan_agents"):
            if name not in arrays:
                raise BadConfiguration(f"staffing.{name}", None, "an array")
        ends = np.cumsum(arrays["plan_buckets"])
        agents = np.asarray(arrays["plan_agents"], np.float32)
        planned = np.asarray(arrays["plan_row"], np.int64)
        is_whole = len(planned) == len(ends) and len(agents) == (ends[-1] if len(ends) else 0)
        if not (is_whole and ((planned >= 0) & (planned < rows)).all()):
            raise BadConfiguration("staffing.plan_row", planned, f"rows of {rows} and their plans")
        pieces = np.split(agents, ends[:-1]) if len(ends) else []
        self.columns = columns
        self._second = int(np.int64(arrays["second"]))
        self._plans = {
            int(row): _Plan(int(first), piece.copy())
            for row, first, piece in zip(planned, arrays["plan_first"], pieces, strict=True)
        }
        self._first = -1

    def _check_second(self, second: int) -> None:
        if not (max(self._second, 0) <= second < _SECOND_MAX):
            raise ValueError(f"second: expected {max(self._second, 0)} to 2^40, got {second}")

    def _check_plan(
        self, row: int, begins_s: int, agents: NDArray[np.float64], interval_s: int
    ) -> None:
        rows = len(self.columns.present)
        if not (0 <= row < rows):
            raise BadConfiguration("staffing.row", row, f"0 to {rows - 1}")
        if not (0 <= begins_s < _SECOND_MAX and begins_s % BUCKET_S == 0):
            raise BadConfiguration("staffing.begins_s", begins_s, f"whole buckets of {BUCKET_S} s")
        if not (BUCKET_S <= interval_s <= _INTERVAL_S_MAX and interval_s % BUCKET_S == 0):
            expected = f"whole buckets of {BUCKET_S} s, up to {_INTERVAL_S_MAX} s"
            raise BadConfiguration("staffing.interval_s", interval_s, expected)
        buckets = agents.size * (interval_s // BUCKET_S)
        if agents.ndim != 1 or not (1 <= buckets <= PLAN_BUCKETS_MAX):
            raise BadConfiguration("staffing.agents", agents.shape, "a row of up to 62 days")
        wrong = np.flatnonzero(~((agents >= 0.0) & (agents <= AGENTS_MAX)))
        if len(wrong):
            place = int(wrong[0])
            raise BadConfiguration(
                f"staffing.agents[{place}]", float(agents[place]), f"0 to {AGENTS_MAX}"
            )

    def _lay_out_row(self, row: int) -> None:
        """Copy a row's plan to where all lie side by side."""
        if self._first < 0:
            return
        plan, room = self._plans[row], self._laid_out[row]
        room[:] = np.nan
        first, end = self._first, self._first + _LAID_OUT
        low, high = max(plan.first, first), min(plan.first + len(plan.agents), end)
        if low < high:
            room[low - first : high - first] = plan.agents[low - plan.first : high - plan.first]

    def _window(self, bucket: int, buckets: int) -> NDArray[np.float32]:
        """(n, buckets) planned from a bucket on, NaN where nothing is; laid out anew at times."""
        if not (self._first <= bucket and bucket + buckets <= self._first + _LAID_OUT) or (
            self._first < 0
        ):
            self._first = bucket
            self._laid_out[:] = np.nan
            for row in self._plans:
                self._lay_out_row(row)
        return self._laid_out[:, bucket - self._first : bucket - self._first + buckets]

    def _planned_at(self, second: int) -> NDArray[np.float64]:
        bucket = max(second // BUCKET_S - _BEFORE, 0)
        return self._window(bucket, 2)[:, second // BUCKET_S - bucket].astype(np.float64)

    def _planned_near(self, now_s: int) -> NDArray[np.float64]:
        """(n,) planned within a bucket of now, nearest to what is present; NaN where nothing is."""
        window = self._window(max(now_s // BUCKET_S - _BEFORE, 0), 3).astype(np.float64)
        suggested = self.columns.present / self.ratio()
        low = np.where(np.isnan(window), np.inf, window).min(axis=1)
        high = np.where(np.isnan(window), -np.inf, window).max(axis=1)
        near: NDArray[np.float64] = np.where(low <= high, np.clip(suggested, low, high), np.nan)
        return near

    def _planned_over(
        self, now_s: int, segments: int, segment_s: int
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """(n, segments) mean of what is planned, and share of each segment in which it is."""
        bucket = max(now_s // BUCKET_S - _BEFORE, 0)
        buckets = (now_s + segments * segment_s - 1) // BUCKET_S - bucket + 1
        window = self._window(bucket, buckets)
        begins_s = (bucket + np.arange(buckets)) * BUCKET_S - now_s
        edges_s = np.arange(segments) * segment_s
        overlap_s = np.clip(
            np.minimum(begins_s[:, None] + BUCKET_S, edges_s + segment_s)
            - np.maximum(begins_s[:, None], edges_s), 0, None
        ).astype(np.float32)  # fmt: skip
        is_planned = ~np.isnan(window)
        known_s = is_planned.astype(np.float32) @ overlap_s
        total = np.where(is_planned, window, np.float32(0.0)) @ overlap_s
        mean = np.divide(total, known_s, out=np.zeros_like(total), where=known_s > 0.0)
        return mean.astype(np.float64), known_s.astype(np.float64) / segment_s
