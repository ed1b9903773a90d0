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

from engine.choices import DiversionOutcome
from engine.effects import Effect, EffectKind
from engine.engine import Engine, Outcome
from engine.lifecycle import ContactState, Intake, Presence, RejectionReason
from engine.limits import Limits
from engine.policies import PolicySwitch
from engine.refusals import CommandRefused
from engine.state.agents import QueueEstimate
from engine.state.contacts import ContactView
from engine.state.rows import RowDelta
from tests.engine.transcript_words import Line, command_of, parse_line

Words = dict[str, str]


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
                "scheduled": snapshot.scheduled,
                "interrupted": snapshot.interrupted,
                "diverted": snapshot.diverted,
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
                "rests_until": agent.rests_until_ms,
                "learned": ",".join(map(self._learned, agent.estimates)),
            }
            return f"{agent.presence.name} {subject}{_words(told)}"
        contact = read.contact(subject, line.at_ms)
        agents = self.engine.cell.agents.slots.ids
        told = {
            "etag": contact.etag,
            "queue": self.engine.cell.queues.slots.ids[contact.queue_row],
            "priority": contact.priority,
            "age": contact.routing_age_ms,
            "wait": contact.wait_ms,
            "failed": contact.offers_failed,
            "expires": contact.expires_at_ms,
            "relaxed": contact.relaxation_steps_taken,
            "due": contact.schedule.due_at_ms,
            "window": contact.schedule.window_ends_at_ms,
            "attempts": contact.attempts,
            "interrupted": contact.interrupted_ms,
            "consult": contact.consult_id,
            "consults_for": contact.consults_for_id,
            "past": ",".join(agents[row] for row in contact.past_agent_rows),
            "ended": contact.ended_at_ms,
            **_steered(contact),
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
        "choice_until": outcome.choice.until_ms if outcome.choice else 0,
    }
    return f"{state} {subject}".rstrip() + _words(told)


def _steered(contact: ContactView) -> dict[str, object]:
    """What policies made of a contact."""
    choice, diversion = contact.choice, contact.diversion
    return {
        "choice_until": choice.until_ms if choice else 0,
        "options": ",".join(item.kind.name.lower() for item in choice.choice.options)
        if choice
        else "",
        "diverted_to": f"{diversion.queue_id}:{diversion.channel.name.lower()}"
        if diversion
        else "",
        "return_until": diversion.return_until_ms if diversion else 0,
        "outcome": DiversionOutcome(diversion.outcome).name.lower()
        if diversion and diversion.outcome
        else "",
        "hops": contact.hops,
        "continues": contact.continues_contact_id,
    }


def _effect_text(effect: Effect) -> str:
    kind = EffectKind(effect.kind)
    names = (
        effect.policy, effect.contact_id, effect.queue_id, effect.agent_id, effect.offer_id
    )  # fmt: skip
    detail: object = effect.detail
    if kind is EffectKind.AGENT_PRESENCE_CHANGED:
        detail = Presence(effect.detail).name.lower()
    elif kind is EffectKind.QUEUE_INTAKE_CHANGED:
        detail = Intake(effect.detail).name.lower()
    elif kind is EffectKind.CONTACT_REJECTED:
        detail = RejectionReason(effect.detail).name.lower()
    elif kind is EffectKind.POLICY_OVERRIDDEN:
        detail = PolicySwitch(effect.detail).name.lower()
    elif kind is EffectKind.DIVERSION_ENDED:
        detail = DiversionOutcome(effect.detail).name.lower()
    elif kind is EffectKind.QUEUE_HOURS_CHANGED:
        detail = RejectionReason(effect.detail).name.lower() if detail else "open"
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
