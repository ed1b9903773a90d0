"""
Transcripts: commands as people write them, and what the engine answered, as text.

A scenario is prose, then a block of commands, a line `----`, and what they printed, until the next
empty line:

    A contact that finds an agent free is offered at once.

    at 1000 route c1 queue=billing channel=voice
    ----
    OFFERED c1 queue=billing agent=ann offer=o1.0 until=21000
      contact_received c1 billing
      offer_issued c1 billing ann o1.0 until=21000

Only what differs from its default is printed. `restart` starts a fresh engine from the rows of the
one before; `show` prints a view.
"""

from collections.abc import Callable
from typing import NamedTuple

from engine.commands import (
    AcceptOffer,
    AgentSkill,
    CancelContact,
    ChannelCapacity,
    Command,
    CompleteAssignment,
    DeclineOffer,
    DeleteAgent,
    DeleteQueue,
    EndWrapUp,
    Expire,
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
    ScoreWeights,
    SetIntake,
    SetPresence,
    SkillPreference,
    SkillRequirement,
    UpdateContact,
    UpsertAgent,
    UpsertQueue,
)
from engine.effects import Effect, EffectKind
from engine.engine import Engine, Outcome
from engine.lifecycle import (
    AgentKind,
    CancelReason,
    Channel,
    ContactState,
    Intake,
    Presence,
    RejectionReason,
    Strategy,
    WrapUpMode,
)
from engine.limits import Limits
from engine.refusals import CommandRefused
from engine.state.agents import QueueEstimate
from engine.state.rows import RowDelta

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
        words.pop("queue"),
        Channel[words.pop("channel", "voice").upper()],
        numbers.get("priority", 0),
        _requirements(words),
        _attributes(words),
        numbers.get("routing_age_ms", 0),
        numbers.get("max_wait_ms", 0),
        _relaxation(words),
    )


def _update(subject: str, words: Words) -> Command:
    asked = {"skills", "prefer", "tags", "any", "none", "only", "prefer_agents"}
    has_requirements = words.keys() & asked
    return UpdateContact(
        subject,
        etag=words.pop("etag", ""),
        requirements=_requirements(words) if has_requirements else None,
        attributes=_attributes(words),
        **_integers(words, priority="priority", age="routing_age_ms"),
    )


def _requeue(subject: str, words: Words) -> Command:
    return RequeueContact(
        subject,
        words.pop("queue", ""),
        etag=words.pop("etag", ""),
        **_integers(words, priority="priority"),
    )


def _agent(subject: str, words: Words) -> Command:
    channels = (item.split(":") for item in _list(words, "channels"))
    skills = (item.split(":") for item in _list(words, "skills"))
    auto_accept = words.pop("auto_accept", "no") == "yes"
    return UpsertAgent(
        subject,
        auto_accept=auto_accept,
        kind=AgentKind[words.pop("kind", "person").upper()],
        queue_ids=tuple(_list(words, "queues")),
        skills=tuple(AgentSkill(skill, int(level)) for skill, level in skills),
        tags=tuple(_list(words, "tags")),
        channels=tuple(
            ChannelCapacity(Channel[name.upper()], int(cost), int(contacts_max))
            for name, cost, contacts_max in channels
        ),
        etag=words.pop("etag", ""),
        **_integers(words, capacity="capacity", misses="missed_offers_max", lease="lease_ms"),
    )


def _queue(subject: str, words: Words) -> Command:
    strategy = Strategy[words.pop("strategy", "longest_idle").upper()]
    wrap_up_mode = WrapUpMode[words.pop("wrap_up", "none").upper()]
    weights = (item.split(":") for item in _list(words, "weights"))
    etag = words.pop("etag", "")
    names = {field.removesuffix("_ms"): field for field in UpsertQueue._fields}
    names["wrap_up_for"] = names.pop("wrap_up")
    return UpsertQueue(
        subject,
        strategy=strategy,
        weights=ScoreWeights(**{name: float(value) for name, value in weights}),
        wrap_up_mode=wrap_up_mode,
        etag=etag,
        **_integers(words, **names),
    )


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
    "expire": lambda id_, words: Expire(),
    "restart": lambda id_, words: Recover(),
}


def command_of(line: Line) -> Command:
    """Command a line asks for; every word must have been used."""
    words = dict(line.words)
    command = _COMMANDS[line.verb](line.subject, words)
    assert not words, f"{line.verb} does not know {sorted(words)}"
    return command


class Stage:
    """An engine that plays a scenario."""

    def __init__(self, limits: Limits | None = None) -> None:
        self.limits = limits
        self.engine = Engine(limits)
        self.refusals: set[str] = set()
        self.effects: list[tuple[int | str, ...]] = []

    def play(self, text: str) -> list[str]:
        """Play one command; what it printed."""
        line = parse_line(text)
        if line.verb == "show":
            return [self._show(line)]
        if line.verb == "restart":
            self._reload()
        try:
            outcome = self.engine.apply(command_of(line), line.at_ms)
            printed = [_outcome_text(line.verb, outcome)]
        except CommandRefused as refused:
            self.refusals.add(refused.reason.name)
            printed = [f"{refused.reason.name} {refused}"]
        effects = self.engine.take_group().effects
        self.effects += effects
        return printed + [f"  {_effect_text(Effect(*effect))}" for effect in effects]  # type: ignore[arg-type]

    def _reload(self) -> None:
        self.engine.cell.mark_all()
        rows: list[RowDelta] = self.engine.take_group().row_deltas
        self.engine = Engine(self.limits)
        self.engine.load(rows)

    def _learned(self, estimate: QueueEstimate) -> str:
        queue_id = self.engine.cell.queues.slots.ids[estimate.queue_row]
        outcome = f"{estimate.outcome:.3f}" if estimate.rated else "unknown"
        handled = f"{estimate.handled}x{estimate.handle_time_ms}"
        return f"{queue_id}:{handled}:{estimate.rated}x{outcome}"

    def _show(self, line: Line) -> str:
        read, subject = self.engine.read, line.subject
        if subject in read.queue_ids():
            snapshot = read.snapshot(subject, line.at_ms)
            counts = {
                "waiting": snapshot.waiting,
                "offered": snapshot.offered,
                "assigned": snapshot.assigned,
                "wrap_up": snapshot.wrapping_up,
                "oldest_wait": snapshot.oldest_wait_ms,
                "free": snapshot.agents_free,
                "signed_in": snapshot.agents_signed_in,
            }
            totals = ",".join(str(total) for total in snapshot.totals.tolist())
            return f"{snapshot.intake.name} {subject}{_words(counts)} totals={totals}"
        if subject in read.agent_ids("", ()):
            agent = read.agent(subject)
            ids = self.engine.cell.contacts.slots.ids
            told = {
                "etag": agent.definition.etag,
                "reason": agent.presence_reason,
                "since": agent.presence_since_ms,
                "idle_since": agent.idle_since_ms,
                "used": agent.capacity_used,
                "missed": agent.missed_offers,
                "lease_until": agent.lease_until_ms,
                "contacts": ",".join(ids[row] for row in agent.contact_rows),
                "learned": ",".join(map(self._learned, agent.estimates)),
            }
            return f"{agent.presence.name} {subject}{_words(told)}"
        contact = read.contact(subject, line.at_ms)
        told = {
            "etag": contact.etag,
            "queue": self.engine.cell.queues.slots.ids[contact.queue_row],
            "priority": contact.priority,
            "age": contact.routing_age_ms,
            "wait": contact.wait_ms,
            "failed": contact.offers_failed,
            "expires": contact.expires_at_ms,
            "relaxed": contact.relaxation_steps_taken,
            "ended": contact.ended_at_ms,
            "attributes": ",".join(f"{key}:{value}" for key, value in contact.attributes.items()),
        }
        return f"{contact.state.name} {subject}{_words(told)}"


def _words(values: dict[str, object] | dict[str, int]) -> str:
    return "".join(f" {name}={value}" for name, value in values.items() if value)


def _outcome_text(verb: str, outcome: Outcome) -> str:
    state_kind = Presence if verb == "presence" else ContactState
    state = state_kind(outcome.state).name if outcome.state else "DONE"
    subject = outcome.contact_id or (outcome.agent_id or outcome.queue_id)
    told = {
        "queue": outcome.queue_id if outcome.contact_id else "",
        "agent": outcome.agent_id if outcome.contact_id else "",
        "offer": outcome.offer_id,
        "until": outcome.until_ms,
        "position": outcome.position,
        "rejection": RejectionReason(outcome.rejection).name.lower() if outcome.rejection else "",
        "wait": outcome.wait_ms,
        "count": outcome.count,
        "already_known": outcome.already_known,
    }
    return f"{state} {subject}".rstrip() + _words(told)


def _effect_text(effect: Effect) -> str:
    kind = EffectKind(effect.kind)
    names = (effect.contact_id, effect.queue_id, effect.agent_id, effect.offer_id)
    detail: object = effect.detail
    if kind is EffectKind.AGENT_PRESENCE_CHANGED:
        detail = Presence(effect.detail).name.lower()
    elif kind is EffectKind.QUEUE_INTAKE_CHANGED:
        detail = Intake(effect.detail).name.lower()
    elif kind is EffectKind.CONTACT_REJECTED:
        detail = RejectionReason(effect.detail).name.lower()
    told = {
        "until": effect.offer_expires_ms,
        "wait": effect.wait_ms,
        "detail": detail,
        "reason": effect.reason,
    }
    return " ".join([kind.name.lower(), *(name for name in names if name)]) + _words(told)


def play(text: str, stage: Stage) -> str:
    """A scenario with everything printed anew."""
    played: list[str] = []
    is_old_output = False
    commands: list[str] = []
    for line in text.splitlines():
        if line.startswith("at "):
            commands.append(line)
        if line == "----":
            is_old_output = True
            played.append(line)
            for command in commands:
                played += stage.play(command)
            commands = []
            continue
        if not line:
            is_old_output = False
        if not is_old_output:
            played.append(line)
    assert not commands, f"no ---- after {commands}"
    return "\n".join(played) + "\n"
