"""What the lines of golden transcripts ask for; `transcript` says what they print."""

from collections.abc import Callable
from typing import NamedTuple

from engine.choices import (
    AcceptChoice,
    Choice,
    DiversionOutcome,
    OfferChoice,
    Option,
    OptionKind,
    RefuseChoice,
    ReportDiversionOutcome,
    ReturnContact,
)
from engine.commands import (
    AcceptOffer,
    CancelContact,
    Command,
    CompleteAssignment,
    CompleteTransfer,
    Consult,
    DeclineOffer,
    DeleteAgent,
    DeleteQueue,
    EndWrapUp,
    Expire,
    FailAttempt,
    Heartbeat,
    OfferContact,
    Recover,
    Relaxation,
    RelaxationStep,
    ReleaseAssignment,
    RequeueContact,
    Requirements,
    ResetEstimates,
    Route,
    Schedule,
    ScheduleContact,
    SetIntake,
    SetPresence,
    SkillPreference,
    SkillRequirement,
    UpdateContact,
    UpsertAgent,
    UpsertQueue,
)
from engine.definitions import (
    AgentSkill,
    ChannelCapacity,
    Hours,
    HoursException,
    OpeningPeriod,
    ScoreWeights,
)
from engine.lifecycle import (
    AgentKind,
    CancelReason,
    Channel,
    Day,
    Intake,
    Presence,
    QueueOrder,
    Strategy,
    WrapUpMode,
)
from engine.plans import DeletePlan, PlanKind, PlannedStaffing, PutPlan
from tests.engine.policy_words import POLICY_COMMANDS

Words = dict[str, str]


class Line(NamedTuple):
    """One command of a transcript: `at <ms> <verb> <subject> key=value ...`."""

    at_ms: int
    verb: str
    subject: str
    words: Words


def parse_line(text: str) -> Line:
    """Read one command."""
    at, at_ms, verb, *rest = text.split()
    assert at == "at", text
    subject = rest.pop(0) if rest and "=" not in rest[0] else ""
    return Line(int(at_ms), verb, subject, dict(word.split("=", 1) for word in rest))


def _integers(words: Words, **names: str) -> dict[str, int]:
    """Words that are integers, under the names of their fields."""
    return {field: int(words.pop(word)) for word, field in names.items() if word in words}


def _list(words: Words, word: str) -> list[str]:
    return [item for item in words.pop(word, "").split(",") if item]


_ASKED = {"skills", "prefer", "tags", "any", "none", "only", "prefer_agents"}


def _requirements(words: Words) -> Requirements:
    skills = [item.split(":") for item in _list(words, "skills")]
    preferred = [item.split(":") for item in _list(words, "prefer")]
    return Requirements(
        tuple(SkillRequirement(skill, int(level)) for skill, level in skills),
        tuple(SkillPreference(skill, float(weight)) for skill, weight in preferred),
        tuple(_list(words, "tags")),
        tuple(_list(words, "any")),
        tuple(_list(words, "none")),
        tuple(_list(words, "only")),
        tuple(_list(words, "prefer_agents")),
    )


def _relaxation(words: Words) -> Relaxation:
    """Steps `relax=<wait>;<word>=<value>;...` one after another, divided by `|`."""
    steps = []
    for text in words.pop("relax", "").split("|"):
        if text:
            after_ms, *rest = text.split(";")
            asked = dict(word.split("=", 1) for word in rest)
            priority = asked.pop("priority", None)
            rank = None if priority is None else int(priority)
            steps.append(RelaxationStep(int(after_ms), _requirements(asked), rank))
            assert not asked, text
    return tuple(steps)


def _attributes(words: Words) -> dict[str, str]:
    pairs = (item.split(":") for item in _list(words, "attributes"))
    return {key: value for key, value in pairs}  # noqa: C416 - pairs are lists


def _route(subject: str, words: Words) -> Command:
    numbers = _integers(words, priority="priority", age="routing_age_ms", max_wait="max_wait_ms")
    return Route(
        subject,
        words.pop("queue") if "continues" not in words else words.pop("queue", ""),
        Channel[words.pop("channel", "voice").upper()],
        numbers.get("priority", 0),
        _requirements(words),
        _attributes(words),
        numbers.get("routing_age_ms", 0),
        numbers.get("max_wait_ms", 0),
        _relaxation(words),
        _schedule(words) if words.keys() & _SCHEDULED else None,
        words.pop("continues", ""),
    )


_SCHEDULED = {"due", "window", "attempts", "retry"}


def _schedule(words: Words) -> Schedule:
    return Schedule(
        **_integers(
            words,
            due="due_at_ms",
            window="window_ends_at_ms",
            attempts="attempts_max",
            retry="retry_delay_ms",
        )
    )


def _schedule_contact(subject: str, words: Words) -> Command:
    channel = words.pop("channel", "")
    return ScheduleContact(
        subject,
        _schedule(words),
        Channel[channel.upper()] if channel else None,
        words.pop("queue", ""),
        _attributes(words),
        words.pop("etag", ""),
    )


def _update(subject: str, words: Words) -> Command:
    has_requirements = words.keys() & _ASKED
    return UpdateContact(
        subject,
        etag=words.pop("etag", ""),
        requirements=_requirements(words) if has_requirements else None,
        attributes=_attributes(words),
        **_integers(words, priority="priority", age="routing_age_ms"),
    )


def _requeue(subject: str, words: Words) -> Command:
    has_requirements = words.keys() & _ASKED
    return RequeueContact(
        subject,
        words.pop("queue", ""),
        etag=words.pop("etag", ""),
        requirements=_requirements(words) if has_requirements else None,
        relaxation=_relaxation(words),
        attributes=_attributes(words),
        **_integers(words, priority="priority"),
    )


def _consult(subject: str, words: Words) -> Command:
    return Consult(
        subject,
        words.pop("agent"),
        words.pop("as"),
        words.pop("queue", ""),
        requirements=_requirements(words),
        relaxation=_relaxation(words),
        attributes=_attributes(words),
        **_integers(words, priority="priority"),
    )


def _agent(subject: str, words: Words) -> Command:
    channels = (item.split(":") for item in _list(words, "channels"))
    skills = (item.split(":") for item in _list(words, "skills"))
    auto_accept = words.pop("auto_accept", "no") == "yes"
    occupancy_max = float(words.pop("occupancy_max", "0"))
    return UpsertAgent(
        subject,
        auto_accept=auto_accept,
        occupancy_max=occupancy_max,
        kind=AgentKind[words.pop("kind", "person").upper()],
        queue_ids=tuple(_list(words, "queues")),
        skills=tuple(AgentSkill(skill, int(level)) for skill, level in skills),
        tags=tuple(_list(words, "tags")),
        channels=tuple(
            ChannelCapacity(
                Channel[name.upper()],
                int(cost),
                int(contacts_max),
                tuple(Channel[other.upper()] for item in by for other in item.split("+")),
            )
            for name, cost, contacts_max, *by in channels
        ),
        etag=words.pop("etag", ""),
        **_integers(
            words, capacity="capacity", misses="missed_offers_max", lease="lease_ms", rest="rest_ms"
        ),
    )


def _hours(words: Words) -> Hours | None:
    """Hours `hours=<zone>|<days>;<opens>-<closes>|<date>;<opens>-<closes>|...`; days as 12345."""
    text = words.pop("hours", "")
    if not text:
        return None
    zone, *parts = text.split("|")
    weekly: list[OpeningPeriod] = []
    exceptions = []
    for part in parts:
        on, *times = part.split(";")
        is_date = "-" in on
        days = () if is_date else tuple(Day(int(digit)) for digit in on)
        pairs = (item.split("-") for item in times)
        periods = tuple(OpeningPeriod(opens, closes, days) for opens, closes in pairs)
        if is_date:
            exceptions.append(HoursException(on, periods=periods))
        else:
            weekly += periods
    return Hours(zone, tuple(weekly), tuple(exceptions))


def _queue(subject: str, words: Words) -> Command:
    strategy = Strategy[words.pop("strategy", "longest_idle").upper()]
    order = QueueOrder[words.pop("order", "fifo").upper()]
    wrap_up_mode = WrapUpMode[words.pop("wrap_up", "none").upper()]
    weights = (item.split(":") for item in _list(words, "weights"))
    etag = words.pop("etag", "")
    names = {field.removesuffix("_ms"): field for field in UpsertQueue._fields}
    names["wrap_up_for"] = names.pop("wrap_up")
    forecast_group = words.pop("forecast_group", "")
    return UpsertQueue(
        subject,
        strategy=strategy,
        weights=ScoreWeights(**{name: float(value) for name, value in weights}),
        order=order,
        hours=_hours(words),
        fallback_queue_id=words.pop("fallback", ""),
        wrap_up_mode=wrap_up_mode,
        forecast_group=forecast_group,
        etag=etag,
        **_integers(words, **names),
    )


def _option(text: str) -> Option:
    """An option `<kind>:<queue>:<channel>:<within>`, of which the last ones may be left out."""
    kind, queue_id, channel, within_ms, *_ = (*text.split(":"), "", "", "")
    by = Channel[channel.upper()] if channel else None
    return Option(OptionKind[kind.upper()], queue_id, by, int(within_ms or 0))


def _ask(subject: str, words: Words) -> Command:
    choice = Choice(
        words.pop("policy", "busy"),
        1,
        words.pop("activation", "a1"),
        tuple(map(_option, _list(words, "options"))),
        forced=words.pop("forced", "no") == "yes",
        **_integers(words, answer="answer_within_ms", back="return_within_ms"),
    )
    return OfferChoice(subject, choice)


def _staffing(subject: str, words: Words) -> Command:
    agents = tuple(float(count) for count in _list(words, "agents"))
    begins_ms, interval_ms = int(words.pop("begins")), int(words.pop("interval"))
    plan = PlannedStaffing(subject, words.pop("queue"), begins_ms, interval_ms, agents)
    return PutPlan(plan, words.pop("etag", ""))


def _decline(subject: str, words: Words) -> Command:
    after_ms = _integers(words, after="retry_after_ms").get("retry_after_ms", 0)
    return DeclineOffer(subject, words.pop("agent"), after_ms, words.pop("reason", ""))


def _offer(subject: str, words: Words) -> Command:
    return OfferContact(subject, words.pop("agent"), words.pop("ignore_capacity", "no") == "yes")


def _complete(subject: str, words: Words) -> Command:
    outcome = words.pop("outcome", "")
    return CompleteAssignment(subject, words.pop("agent"), float(outcome) if outcome else None)


_COMMANDS: dict[str, Callable[[str, Words], Command]] = {
    "route": _route,
    "update": _update,
    "requeue": _requeue,
    "consult": _consult,
    "transfer": lambda id_, words: CompleteTransfer(id_, words.pop("agent")),
    "schedule": _schedule_contact,
    "fail_attempt": lambda id_, words: FailAttempt(
        id_, words.pop("agent"), int(words.pop("after", "0"))
    ),
    "cancel": lambda id_, words: CancelContact(id_, CancelReason[words.pop("reason").upper()]),
    "accept": lambda id_, words: AcceptOffer(id_, words.pop("agent")),
    "decline": _decline,
    "offer": _offer,
    "complete": _complete,
    "end_wrap_up": lambda id_, words: EndWrapUp(id_, words.pop("agent")),
    "release": lambda id_, words: ReleaseAssignment(id_, words.pop("agent")),
    "agent": _agent,
    "reset_estimates": lambda id_, words: ResetEstimates(id_, words.pop("queue", "")),
    "delete_agent": lambda id_, words: DeleteAgent(id_, words.pop("etag", "")),
    "presence": lambda id_, words: SetPresence(
        id_, Presence[words.pop("to").upper()], words.pop("reason", "")
    ),
    "heartbeat": lambda id_, words: Heartbeat(id_),
    "queue": _queue,
    "delete_queue": lambda id_, words: DeleteQueue(id_, words.pop("etag", "")),
    "intake": lambda id_, words: SetIntake(id_, Intake[words.pop("to").upper()]),
    "ask": _ask,
    "take": lambda id_, words: AcceptChoice(
        id_, int(words.pop("option", "1")), words.pop("etag", "")
    ),
    "refuse": lambda id_, words: RefuseChoice(id_),
    "return": lambda id_, words: ReturnContact(id_, words.pop("queue", "")),
    "report": lambda id_, words: ReportDiversionOutcome(
        id_, DiversionOutcome[words.pop("outcome").upper()]
    ),
    "staffing": _staffing,
    "delete_staffing": lambda id_, words: DeletePlan(PlanKind.STAFFING, id_, words.pop("etag", "")),
    **POLICY_COMMANDS,
    "expire": lambda id_, words: Expire(),
    "restart": lambda id_, words: Recover(),
}


def command_of(line: Line) -> Command:
    """Command a line asks for; every word must have been used."""
    words = dict(line.words)
    command = _COMMANDS[line.verb](line.subject, words)
    assert not words, f"{line.verb} does not know {sorted(words)}"
    return command
