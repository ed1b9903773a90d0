"""The exact cases' values: how each is measured on a simulated floor. Times are minutes."""

import math
import re
from collections.abc import Callable, Mapping

from engine.kernels import floor_columns as c
from engine.simulation.results import Estimate, Results, ratio
from tests.simulation.exact_floors import MINUTE_MS, minutes
from tests.simulation.exact_starts import CLOSED_MINUTES, LOOKS_PER_MINUTE, WATCHED_MINUTES


def measured(results: Results, case_id: str, name: str) -> Estimate | None:
    """What a value of the case comes to; None where the floor does not measure it."""
    if case_id[0] == "T":
        return _at_moment(results, name)
    if case_id[0] == "F" or case_id == "X01":
        found = _of_a_day(results, case_id, name)
        if found is not None:
            return found
    if case_id == "K05" and name == "lq":
        # That of one of six types, which are alike.
        return ratio(results.summed_ms(c.WAITING_AREA), len(results.streams) * results.length_ms)
    if case_id == "D05":
        live, later = [results.stream("live")], [results.stream("callback")]
        measures: Mapping[str, Callable[[], Estimate]] = {
            "p_callback": lambda: results.measure("p_divert", live),
            "wait_live": lambda: _in_minutes(results.measure("wait_all", live)),
            "p_abandon_live": lambda: results.measure("p_abandon", live),
            "callback_backlog": lambda: results.measure("lq", later),
            "callback_delay": lambda: _in_minutes(results.measure("asa", later)),
            "occ": results.occupancy,
        }
        return measures[name]()
    return _in_the_long_run(results, name)


def _in_minutes(estimate: Estimate) -> Estimate:
    return Estimate(estimate.value / MINUTE_MS, estimate.error / MINUTE_MS)


def _in_the_long_run(results: Results, name: str) -> Estimate | None:
    for pattern, measure in _PATTERNS.items():
        found = re.fullmatch(pattern, name)
        if found:
            return measure(results, *found.groups())
    return None


def _share(results: Results, stream: str, group: str) -> Estimate:
    return results.share_by(int(stream), int(group))


def _share_served(results: Results, stream: str, group: str) -> Estimate:
    row = int(stream)
    answered = results.counted(c.ANSWERED, [row])
    return ratio(results.answered_by[:, int(group), row], answered)


def _occupancy(results: Results, group: str | None = None) -> Estimate:
    return results.occupancy(None if group is None else results.groups.index(group))


def _threshold(results: Results, seconds: str) -> int:
    return results.scenario.thresholds.index(float(seconds) * 1_000)


def _level_of(results: Results, stream: str, seconds: str) -> Estimate:
    return results.served_within(_threshold(results, seconds), [int(stream)])


def _level(results: Results, seconds: str) -> Estimate:
    return results.served_within(_threshold(results, seconds))


def _level_excluding(results: Results, seconds: str) -> Estimate:
    return results.served_within_excluding(_threshold(results, seconds))


def _measure(results: Results, name: str, stream: str | None = None) -> Estimate:
    return results.measure(name, None if stream is None else [int(stream)])


def _time(results: Results, name: str, stream: str | None = None) -> Estimate:
    key = "wait_all" if name == "wait" else name
    return _in_minutes(_measure(results, key, stream))


def _probe(results: Results) -> list[int]:
    assert results.scenario.horizon.probe is not None
    return [results.stream(results.scenario.horizon.probe)]


def _offered_wait(results: Results) -> Estimate:
    return _in_minutes(results.measure("asa", _probe(results)))


def _offered_wait_beyond(results: Results, seconds: str) -> Estimate:
    within = results.counted(c.ANSWERED_WITHIN + _threshold(results, seconds), _probe(results))
    answered = results.counted(c.ANSWERED, _probe(results))
    return ratio(answered - within, answered)


def _blocked(results: Results) -> Estimate:
    blocked = results.counted(c.BLOCKED) + results.counted(c.EXPIRED)
    return ratio(blocked, results.counted(c.OFFERED))


def _found_more(results: Results) -> Estimate:
    # Arrivals that come at random see what a clock would.
    return ratio(results.counted(c.FOUND_MORE), results.counted(c.OFFERED))


def _wait_given_wait(results: Results) -> Estimate:
    waited = results.counted(c.WAITED)
    return _in_minutes(ratio(results.summed_ms(c.ANSWERED_WAIT), waited))


def _switches_per_hour(results: Results) -> Estimate:
    each_ms = results.measure("diversions_begun")
    return Estimate(each_ms.value * 3.6e6, each_ms.error * 3.6e6)


def _mean_on(results: Results) -> Estimate:
    on_ms = results.summed_ms(c.DIVERTING_AREA)
    return _in_minutes(ratio(on_ms, results.counted(c.DIVERSIONS_BEGUN)))


def _in_hand(results: Results) -> Estimate:
    return ratio(results.area_ms[:, :, c.IN_HAND_AREA].sum(axis=1), results.length_ms)


def _idle(results: Results) -> Estimate:
    busy = results.occupancy()
    return Estimate(1.0 - busy.value, busy.error)


# How a value is measured, by its name; groups of the pattern are the arguments.
_PATTERNS: Mapping[str, Callable[..., Estimate]] = {
    r"share_(\d)_by_g(\d)": _share,
    r"share_served_(\d)_by_g(\d)": _share_served,
    r"occ_([gs]\d+)": _occupancy,
    r"occ": _occupancy,
    r"sl_?(\d)_(\d+)s": _level_of,
    r"sl_(\d+)s": _level,
    r"slx_(\d+)s": _level_excluding,
    r"(p_wait|p_abandon|lq)_(\d)": _measure,
    r"(wait)_(\d)": _time,
    r"(p_wait|p_abandon|p_divert|lq)": _measure,
    r"(wait_all|asa|handle_time)": _time,
    r"offered_wait": _offered_wait,
    r"p_offered_wait_gt_(\d+)s": _offered_wait_beyond,
    r"p_block": _blocked,
    r"p_q_gt_K": _found_more,
    r"wait_p90": lambda results: _in_minutes(results.wait_quantile_ms(0.9)),
    r"wait_given_wait": _wait_given_wait,
    r"frac_on": lambda results: results.measure("diverting"),
    r"activations_per_hour": _switches_per_hour,
    r"mean_on_minutes": _mean_on,
    r"mean_chats_in_service": _in_hand,
    r"p_agent_idle": _idle,
}


def _of_a_day(results: Results, case_id: str, name: str) -> Estimate | None:
    days = results.length_ms / results.scenario.horizon.length
    within = results.counted(c.ANSWERED_WITHIN)
    answered = results.counted(c.ANSWERED)
    counts = {
        "arrivals": results.counted(c.OFFERED),
        "in_target": within,
        "abandoned": results.counted(c.ABANDONED),
        "blocked": results.counted(c.BLOCKED),
        "served": answered,
    }
    if name in counts:
        return ratio(counts[name], days)
    if name == "sl_of_served":
        return ratio(within, answered)
    if name == "sl_of_offered":
        return ratio(within, results.counted(c.OFFERED))
    if name == "sl20":
        early = results.counted(c.ABANDONED_WITHIN)
        return ratio(within, answered + results.counted(c.ABANDONED) - early)
    if name == "occ_open_hours":
        return results.occupancy()
    if name == "occ_g0":
        return _occupancy_until_empty(results, "g0")
    found = re.fullmatch(r"good_(t\dp\d)", name)
    if found:
        return ratio(results.counted(c.ANSWERED_WITHIN, [results.stream(found[1])]), days)
    return None


def _occupancy_until_empty(results: Results, group: str) -> Estimate:
    """
    Occupancy of a group from opening until the last contact has gone, the agents of the last shift
    staying that long.

    The last contact went between two looks, halfway on average. The error is that of the day as
    watched, which differs in how long nobody was there.
    """
    gone = results.seen[: results.runs, :, :2].sum(axis=2) == 0
    assert gone[:, -1].all(), "somebody was still there at the last look"
    open_minutes = CLOSED_MINUTES + (gone.argmax(axis=1) - 0.5) / LOOKS_PER_MINUTE
    staff = results.scenario.groups[group].staffing[-1].agents
    spare_ms = staff * minutes(float((WATCHED_MINUTES - open_minutes).sum()))
    place = results.groups.index(group)
    signed_in_ms = float(results.area_ms[:, place, c.SIGNED_IN_AREA].sum())
    watched = results.occupancy(place)
    longer = signed_in_ms / (signed_in_ms - spare_ms)
    return Estimate(watched.value * longer, watched.error * longer)


def _at_moment(results: Results, key: str) -> Estimate | None:
    at, name = key.split(":")
    place = list(results.scenario.horizon.moments).index(minutes(float(at[1:])))
    waiting, in_hand, signed_in, busy, wait_ms = results.seen[: results.runs, place].T.astype(float)
    present = waiting + in_hand
    if name == "sd_n":
        value = float(present.std(ddof=1))
        fourth = float(((present - present.mean()) ** 4).mean())
        error = math.sqrt(max(fourth - value**4, 0.0) / present.size) / (2.0 * value)
        return Estimate(value, error)
    found = re.fullmatch(r"p_(q|wait)_gt_(\d+)s?", name)
    if found and found[1] == "q":
        seen = waiting > float(found[2])
    elif found:
        seen = (wait_ms > float(found[2]) * 1_000) | (wait_ms < 0)
    elif name == "p_all_busy":
        seen = busy >= signed_in
    else:
        seen = {"mean_n": present, "mean_q": waiting, "mean_busy": busy}[name]
    return Estimate(float(seen.mean()), float(seen.std(ddof=1)) / math.sqrt(seen.size))
