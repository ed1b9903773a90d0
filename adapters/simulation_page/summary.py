"""What a simulation found, in plain words and a few large figures."""

import math
from collections.abc import Iterator

from adapters import simulation_figures as figures
from adapters.simulation_figures import Unit, duration_text, half_width, written, written_in_line
from adapters.simulation_page.markup import Markup, element, unbroken
from adapters.simulation_page.plots import are_batches, followed_measure, followed_parts
from engine.simulation.results import Estimate, Results

# Occupancy from which on it is worth a word.
_OCCUPANCY_HIGH = 0.85
# Batches below which halves of them say nothing.
_BATCHES_MIN = 6


def tiles(results: Results) -> Markup:
    """The figures of all streams together, large."""
    found = figures.estimates(results)
    offered = sum(figures.counts(results, row)["offered"] for row in results.real_streams())
    drawn = [_tile("contacts offered, in all", f"{offered:,}", "")]
    for within_ms, level in zip(
        results.scenario.thresholds, figures.service_levels(results), strict=True
    ):
        text = f"answered within {unbroken(duration_text(within_ms))}"
        drawn.append(_estimate_tile(results, text, level, "share"))
    drawn.append(_estimate_tile(results, "mean wait of those answered", found["asa"], "time"))
    drawn.append(_estimate_tile(results, "abandoned", found["p_abandon"], "share"))
    return element("dl", *drawn, class_="tiles")


def _estimate_tile(results: Results, text: str, estimate: Estimate, unit: Unit) -> Markup:
    value, width, sign = written(estimate.value, half_width(results, estimate), unit)
    return _tile(text, f"{value} {sign}".rstrip(), f"± {width}" if width else "")


def _tile(text: str, value: str, below: str) -> Markup:
    shown = [value, element("small", below)] if below else [value]
    return element("div", element("dt", text), element("dd", *shown))


def summary(results: Results) -> Markup:
    """What was simulated and what stands out, in sentences."""
    items = [element("li", text) for text in _findings(results)]
    return element("div", element("p", _what_ran(results)), element("ul", *items))


def _what_ran(results: Results) -> str:
    horizon = results.scenario.horizon
    length = duration_text(horizon.length)
    warm_up = f", the first {duration_text(horizon.warm_up)} unmeasured" if horizon.warm_up else ""
    until_empty = ", and on until everybody was served" if horizon.until_empty else ""
    runs = (
        f"One run of {length}" if results.runs == 1 else f"{results.runs:,} runs of {length} each"
    )
    text = f"{runs}{warm_up}{until_empty}." if results.runs else "No run ended."
    if results.runs < horizon.replications:
        text += f" Stopped early: {horizon.replications:,} were asked for."
    return text


def _findings(results: Results) -> Iterator[str]:
    if results.runs == 0:
        return
    streams = results.real_streams()
    if results.scenario.thresholds:
        within = duration_text(results.scenario.thresholds[0])
        levels = {row: figures.service_levels(results, [row])[0] for row in streams}
        yield from _of_extremes(results, f"Answered within {within}", levels)
    found = {row: figures.estimates(results, [row])["p_abandon"] for row in streams}
    if any(estimate.value > 0 for estimate in found.values()):
        yield from _of_extremes(results, "Abandoned", found)
    yield from _of_groups(results)
    yield from _of_certainty(results)


def _of_extremes(results: Results, what: str, found: dict[int, Estimate]) -> Iterator[str]:
    """The streams of the least and the largest share."""
    known = {row: estimate for row, estimate in found.items() if not math.isnan(estimate.value)}
    if not known:
        return
    least, most = (pick(known, key=lambda row: known[row].value) for pick in (min, max))
    text = _quoted(results, results.streams[least], known[least])
    if known[least].value < known[most].value:
        most_text = _quoted(results, results.streams[most], known[most])
        text = f"least often {text}, most often {most_text}"
    yield f"{what}: {text}."


def _of_groups(results: Results) -> Iterator[str]:
    found = {row: results.occupancy(row) for row in range(len(results.groups))}
    found = {row: estimate for row, estimate in found.items() if not math.isnan(estimate.value)}
    if not found:
        return
    busiest = max(found, key=lambda row: found[row].value)
    text = f"Busiest group: {_quoted(results, results.groups[busiest], found[busiest])} occupied"
    if found[busiest].value >= _OCCUPANCY_HIGH:
        text += f"; above {_OCCUPANCY_HIGH * 100:.0f} % for long wears people out"
    yield f"{text}."


def _quoted(results: Results, name: str, share: Estimate) -> str:
    return f"“{name}”, {written_in_line(share.value, half_width(results, share), 'share')}"


def _of_certainty(results: Results) -> Iterator[str]:
    if results.parts < 2:
        yield (
            "How sure these figures are cannot be told from one run in one piece: ask for "
            "replications or batches."
        )
        return
    if results.parts < 10:
        yield "Few runs or batches: the intervals themselves are rough."
    if are_batches(results):
        yield from _of_drift(results)


def _of_drift(results: Results) -> Iterator[str]:
    drifting = []
    for stream in results.real_streams():
        drift, error = drift_of(results, stream)
        if abs(drift) > 3.0 * error:
            drifting.append(f"“{results.streams[stream]}” ({drift * 100:+.1f} points)")
    if drifting:
        yield (
            f"From the first half of the batches to the second, “{followed_measure(results)}” "
            f"moves for {', '.join(drifting)}: where rates and staffing do not change, a longer "
            "warm-up is called for."
        )
    elif results.scenario.horizon.batches >= _BATCHES_MIN:
        yield "No drift is to be seen from the first half of the batches to the second."


def drift_of(results: Results, stream: int) -> Estimate:
    """The followed measure in the second half of the batches less that in the first; or nan."""
    values = followed_parts(results, stream).values
    half = values.size // 2
    if values.size < _BATCHES_MIN:
        return Estimate(math.nan, math.nan)
    first, second = values[:half], values[-half:]
    variance = float(first.var(ddof=1) + second.var(ddof=1)) / half
    return Estimate(float(second.mean() - first.mean()), math.sqrt(variance))
