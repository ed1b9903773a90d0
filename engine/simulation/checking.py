"""What a scenario must satisfy as a whole; every broken rule is told at once, by path."""

from collections.abc import Iterator, Mapping
from typing import NamedTuple

from pydantic import ValidationError

from engine.simulation.scenario import AgentGroup, Arrivals, Asked, Scenario, Stream


class Problem(NamedTuple):
    """A broken rule: where, and what was expected."""

    path: str
    expected: str

    def __str__(self) -> str:
        return f"{self.path}: expected {self.expected}"


class ScenarioRefused(ValueError):
    """
    A scenario cannot be run.

    Attributes
    ----------
    problems
        Every broken rule; at least one.
    """

    def __init__(self, problems: list[Problem]) -> None:
        super().__init__("\n".join(str(problem) for problem in problems))
        self.problems = problems


def read(declared: Mapping[str, object]) -> Scenario:
    """
    A scenario from plain values, such as those of a YAML file.

    Raises
    ------
    ScenarioRefused
        With every broken rule: first those of the form, and once it is sound those of the whole.
    """
    try:
        scenario = Scenario.model_validate(declared)
    except ValidationError as error:
        raise ScenarioRefused([_problem(item) for item in error.errors()]) from None
    check(scenario)
    return scenario


def check(scenario: Scenario) -> None:
    """
    Check what no single field can tell.

    Raises
    ------
    ScenarioRefused
        With every broken rule.
    """
    problems = [
        *_of_horizon(scenario),
        *(
            problem
            for name, group in scenario.groups.items()
            for problem in _of_group(scenario, f"groups.{name}", group)
        ),
        *(
            problem
            for name, stream in scenario.streams.items()
            for problem in _of_stream(scenario, f"streams.{name}", stream)
        ),
    ]
    if not any(group.agents_max for group in scenario.groups.values()):
        problems.append(Problem("groups", "at least one agent at some time"))
    if problems:
        raise ScenarioRefused(problems)


def _problem(item: "Mapping[str, object]") -> Problem:
    location = item["loc"]
    assert isinstance(location, tuple)
    path = ""
    for part in location:
        path += f"[{part}]" if isinstance(part, int) else f".{part}" if path else str(part)
    message = str(item["msg"]).removeprefix("Value error, ").removeprefix("Input should be ")
    if item["type"] == "extra_forbidden":
        return Problem(path, "no such key")
    if item["type"] == "missing":
        return Problem(path, "a value, got none")
    return Problem(path or "scenario", f"{message}, got {item['input']!r:.80}")


def _of_horizon(scenario: Scenario) -> Iterator[Problem]:
    horizon = scenario.horizon
    if horizon.warm_up >= horizon.length:
        yield Problem("horizon.warm_up", f"less than length, {horizon.length:g} ms")
    elif (horizon.length - horizon.warm_up) / horizon.batches < 1:
        yield Problem("horizon.batches", "batches of at least 1 ms")
    if list(scenario.thresholds) != sorted(set(scenario.thresholds)):
        yield Problem("thresholds", "ascending durations, each once")
    if list(horizon.moments) != sorted(set(horizon.moments)):
        yield Problem("horizon.moments", "ascending times, each once")
    if horizon.probe is None:
        return
    probe = scenario.streams.get(horizon.probe)
    if probe is None:
        yield Problem("horizon.probe", _one_of(scenario.streams, horizon.probe))
    elif probe.handle_time.mean_ms > 0 or probe.initial or probe.patience or probe.redial:
        expected = "a stream of no patience and a handling time of 0, whose contacts only measure"
        yield Problem("horizon.probe", expected)


def _of_group(scenario: Scenario, path: str, group: AgentGroup) -> Iterator[Problem]:
    if (group.agents is None) == (not group.staffing):
        yield Problem(path, "either agents or staffing")
    yield from _of_shifts(path, group)
    starts = [step.at for step in group.staffing]
    if starts != sorted(set(starts)):
        yield Problem(f"{path}.staffing", "steps of ascending `at`, none twice")
    yield from _of_group_queues(scenario, path, group)
    for stream in group.handle_time:
        if stream not in scenario.streams:
            yield Problem(f"{path}.handle_time.{stream}", _one_of(scenario.streams, stream))
    if len(group.speeds) > group.capacity:
        yield Problem(f"{path}.speeds", f"at most {group.capacity}, one for each contact in hand")


def _of_shifts(path: str, group: AgentGroup) -> Iterator[Problem]:
    if group.shifts and group.agents is None:
        yield Problem(f"{path}.agents", "how many are there during the shifts")
    free_from = 0.0
    for place, shift in enumerate(group.shifts):
        if shift.begins < free_from:
            expected = f"not before {free_from:g} ms, when the same agents' shift before it ends"
            yield Problem(f"{path}.shifts[{place}].begins", expected)
        if shift.ends <= shift.begins:
            yield Problem(
                f"{path}.shifts[{place}].ends", f"after {shift.begins:g} ms, its beginning"
            )
        free_from = max(free_from, shift.ends)
    if group.shift_cycle is None:
        return
    if not group.shifts:
        yield Problem(f"{path}.shift_cycle", "shifts that it repeats")
    elif group.shift_cycle < max(free_from, 60_000.0):
        expected = f"at least {free_from:g} ms, the end of the last shift, and a minute"
        yield Problem(f"{path}.shift_cycle", expected)


def _of_group_queues(scenario: Scenario, path: str, group: AgentGroup) -> Iterator[Problem]:
    for place, queue in enumerate(group.queues):
        if queue not in scenario.queues:
            yield Problem(f"{path}.queues[{place}]", _one_of(scenario.queues, queue))
    if len(set(group.queues)) < len(group.queues):
        yield Problem(f"{path}.queues", "each queue once")
    if not (group.queues or group.overflow):
        yield Problem(f"{path}.queues", "at least one queue")
    others = set(scenario.queues) - set(group.queues)
    for place, rule in enumerate(group.overflow):
        if rule.queue not in others:
            yield Problem(f"{path}.overflow[{place}].queue", _one_of(others, rule.queue))


def _of_requirements(scenario: Scenario, path: str, asked: Asked) -> Iterator[Problem]:
    skills = {skill for group in scenario.groups.values() for skill in group.skills}
    tags = {tag for group in scenario.groups.values() for tag in group.tags}
    for place, required in enumerate(asked.skills):
        if required.skill not in skills:
            yield Problem(f"{path}.skills[{place}].skill", _one_of(skills, required.skill))
    for place, tag in enumerate(asked.tags):
        if tag not in tags:
            yield Problem(f"{path}.tags[{place}]", _one_of(tags, tag))


def _of_stream(scenario: Scenario, path: str, stream: Stream) -> Iterator[Problem]:
    if stream.queue not in scenario.queues:
        yield Problem(f"{path}.queue", _one_of(scenario.queues, stream.queue))
    yield from _of_requirements(scenario, path, stream)
    for place, step in enumerate(stream.relaxation):
        yield from _of_requirements(scenario, f"{path}.relaxation[{place}]", step)
    waits = [step.after for step in stream.relaxation]
    if waits != sorted(set(waits)):
        yield Problem(f"{path}.relaxation", "steps of ascending `after`, none twice")
    yield from _of_arrivals(f"{path}.arrivals", stream.arrivals)
    is_probe = scenario.streams.get(scenario.horizon.probe or "") is stream
    if stream.handle_time.mean_ms < 1.0 and not is_probe:
        yield Problem(f"{path}.handle_time", "a mean of at least 1 ms")
    if stream.divert is not None:
        to, until = stream.divert.to, stream.divert.until_waiting
        if to is not None and to not in scenario.streams:
            yield Problem(f"{path}.divert.to", _one_of(scenario.streams, to))
        if until is not None and until >= stream.divert.from_waiting:
            expected = f"less than from_waiting, {stream.divert.from_waiting}"
            yield Problem(f"{path}.divert.until_waiting", expected)
    if stream.redial is not None and stream.redial.after.mean_ms < 1.0:
        yield Problem(f"{path}.redial.after", "a mean of at least 1 ms, or they redial for ever")


def _of_arrivals(path: str, arrivals: Arrivals) -> Iterator[Problem]:
    forms = (arrivals.per_minute, arrivals.steps, arrivals.recorded)
    if sum(form is not None for form in forms) > 1:
        yield Problem(path, "one of per_minute, steps, recorded")
    if arrivals.steps:
        ends = [step.until for step in arrivals.steps]
        if ends != sorted(set(ends)):
            yield Problem(f"{path}.steps", "steps of ascending `until`, none twice")
        elif arrivals.repeat is not None and arrivals.repeat < ends[-1]:
            yield Problem(f"{path}.repeat", f"at least the end of the last step, {ends[-1]:g} ms")
        if arrivals.repeat is not None and not any(step.per_minute for step in arrivals.steps):
            yield Problem(f"{path}.steps", "a rate above 0 in some step that repeats")
    elif arrivals.repeat is not None:
        yield Problem(f"{path}.repeat", "steps that it repeats")
    if arrivals.recorded is not None and list(arrivals.recorded) != sorted(arrivals.recorded):
        yield Problem(f"{path}.recorded", "ascending times")


def _one_of(names: "Mapping[str, object] | set[str]", got: str) -> str:
    known = ", ".join(sorted(names)[:20]) or "none is defined"
    return f"one of {known}; got {got!r}"
