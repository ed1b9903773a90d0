"""
The history checker: what callers were told, against the log, against the state.

Nothing acknowledged is lost, nothing is done twice, capacity is never exceeded, order is kept, and
what the log tells is what the engine holds.
"""

import operator
from collections import Counter
from collections.abc import Iterator
from typing import Any, Final

from adapters.cursors import cursor_of
from adapters.messages import event_message
from engine.effects import Effect, EffectKind, decode_effects
from engine.engine import Engine
from engine.lifecycle import HAS_ENDED, ContactState
from headgate.v1 import routing_service_pb2
from headgate.v1.event_pb2 import Event
from tests.engine.comparing import every_row, lasting
from tests.engine.invariants import check
from tests.faults.floor_model import FloorModel, Impossible
from tests.faults.history import Operation, Watch
from tests.faults.process import SETTINGS
from tests.faults.world import World


class LoggedEffect:
    """One event of the log, with its cursor and the time of its commit, seconds of the run."""

    def __init__(self, effect: Effect, cursor: str, committed_s: float) -> None:
        self.effect = effect
        self.cursor = cursor
        self.committed_s = committed_s


def violations(world: World) -> Iterator[str]:
    """Everything that is wrong with a run that has come to rest."""
    yield from world.bugs
    log = list(_log(world))
    routed = _routed(world)
    model = FloorModel(world.agents, routed)
    for entry in log:
        try:
            model.take(entry.effect, entry.committed_s)
        except Impossible as impossible:
            yield f"impossible event {entry.effect}: {impossible}"
            return
    yield from _unanswered(world)
    yield from _answers(world)
    yield from _applied(world, log)
    yield from _reads(world, model)
    yield from _watches(world, log)
    yield from _state(world, model)


def _log(world: World) -> Iterator[LoggedEffect]:
    for sequence, events in world.store.tail(0, world.store.sequence):
        for place, effect in enumerate(decode_effects(events), start=1):
            yield LoggedEffect(
                effect, cursor_of(sequence, place), world.store.committed_s[sequence - 1]
            )


def _routed(world: World) -> dict[str, Any]:
    """The request behind each contact: the id it named, or the one it was told."""
    found: dict[str, Any] = {}
    for operation in world.history.operations:
        if operation.method != "Route":
            continue
        if operation.request.contact_id:
            found.setdefault(operation.request.contact_id, operation.request)
        for _, reply in operation.replies:
            told = routing_service_pb2.RouteResponse.FromString(reply).contact_id
            found.setdefault(told, operation.request)
    return found


def _unanswered(world: World) -> Iterator[str]:
    for operation in world.history.operations:
        is_beat = operation.method == "Heartbeat"
        if not (operation.is_answered or is_beat):
            yield f"never answered: {_named(operation)}"


def _answers(world: World) -> Iterator[str]:
    """One request has one reply, however often it is asked."""
    for operation in world.history.operations:
        if operation.method in ("GetContact", "Heartbeat"):
            continue
        if len({reply for _, reply in operation.replies}) > 1:
            yield f"two different replies to one request: {_named(operation)}"


def _applied(world: World, log: list[LoggedEffect]) -> Iterator[str]:
    """Each acknowledged write is in the log, once, between its request and its reply."""
    by_key: dict[tuple[object, ...], list[LoggedEffect]] = {}
    for entry in log:
        by_key.setdefault(_key(entry.effect), []).append(entry)
    wanted: Counter[tuple[object, ...]] = Counter()
    for operation in world.history.operations:
        keys = _keys_of(operation)
        if not (operation.replies and keys):
            continue
        wanted[keys[0]] += 1
        answered_s = operation.replies[0][0]
        entries = [entry for key in keys for entry in by_key.get(key, ())]
        found = [
            entry for entry in entries if operation.invoked_s <= entry.committed_s <= answered_s
        ]
        if not found:
            yield f"acknowledged at {answered_s:.3f} s, but not committed: {_named(operation)}"
            continue
        # A copy that came before it was done may have been refused, though told so later: turns
        # are answered when they are committed. Never one that came after.
        for reached_s, refusal in operation.refusals:
            if reached_s > max(entry.committed_s for entry in found):
                yield f"done, and then refused ({refusal.reason}): {_named(operation)}"
    for key, entries in by_key.items():
        if key[0] in _COUNTED and len(entries) != wanted[key]:
            yield f"done {len(entries)} times for {wanted[key]} acknowledged requests: {key}"


# Field of the request that names what it concerns, and the kinds of event one of which it leads to.
# Not for presence, which may be as asked already.
_LEADS_TO: Final[dict[str, tuple[str, tuple[object, ...]]]] = {
    "AcceptOffer": ("offer_id", (EffectKind.OFFER_ACCEPTED,)),
    "DeclineOffer": ("offer_id", (EffectKind.OFFER_DECLINED,)),
    "CompleteAssignment": (
        "contact_id",
        (EffectKind.CONTACT_WRAP_UP_STARTED, EffectKind.CONTACT_COMPLETED),
    ),
    "EndWrapUp": ("contact_id", (EffectKind.CONTACT_COMPLETED,)),
    "ReleaseAssignment": ("contact_id", ("released",)),
    "CancelContact": ("contact_id", (EffectKind.CONTACT_ABANDONED,)),
    # A contact whose wait is over by then ends.
    "RequeueContact": ("contact_id", ("moved", EffectKind.CONTACT_EXPIRED)),
    "ScheduleContact": (
        "contact_id",
        (EffectKind.CONTACT_SCHEDULED, "kept_place", EffectKind.CONTACT_EXPIRED),
    ),
    "FailAttempt": ("contact_id", (EffectKind.CONTACT_SCHEDULED, EffectKind.CONTACT_EXPIRED)),
    "UpdateContact": ("contact_id", (EffectKind.CONTACT_UPDATED,)),
    "UpsertAgent": ("agent.agent_id", (EffectKind.AGENT_UPSERTED,)),
    "UpsertQueue": ("queue.queue_id", (EffectKind.QUEUE_UPSERTED,)),
}
_TOLD_BY_REASON: Final = ("moved", "released", "kept_place")
# What only a request does, each once: everybody has an answer in the end.
_COUNTED: Final = (
    EffectKind.CONTACT_UPDATED,
    EffectKind.CONTACT_ABANDONED,
    EffectKind.OFFER_ACCEPTED,
    EffectKind.OFFER_DECLINED,
    EffectKind.AGENT_UPSERTED,
    EffectKind.QUEUE_UPSERTED,
    "moved",
    "released",
)


def _key(effect: Effect) -> tuple[object, ...]:
    """What an event has in common with the request that led to it."""
    kind = EffectKind(effect.kind)
    if kind is EffectKind.CONTACT_REQUEUED and effect.reason in _TOLD_BY_REASON:
        return effect.reason, effect.contact_id
    if effect.offer_id and kind in (EffectKind.OFFER_ACCEPTED, EffectKind.OFFER_DECLINED):
        return kind, effect.offer_id
    return kind, effect.contact_id or effect.agent_id or effect.queue_id


def _keys_of(operation: Operation) -> list[tuple[object, ...]]:
    """What the log must hold when a request was acknowledged: one of these; none for no demand."""
    request = operation.request
    if operation.method == "Route":
        reply = routing_service_pb2.RouteResponse()
        if operation.replies:
            reply.ParseFromString(operation.replies[0][1])
        if reply.already_known:
            return []
        return [(EffectKind.CONTACT_RECEIVED, reply.contact_id or request.contact_id)]
    if operation.method not in _LEADS_TO:
        return []
    field, kinds = _LEADS_TO[operation.method]
    name = operator.attrgetter(field)(request)
    return [(kind, name) for kind in kinds]


def _reads(world: World, model: FloorModel) -> Iterator[str]:
    """A contact read was in that state at some time between the request and the reply."""
    if "cell taken over" in world.around.struck:
        # A process that does not know yet that it lost the cell reads what it knew.
        return
    for operation in world.history.operations:
        if operation.method != "GetContact":
            continue
        contact = model.contacts.get(operation.request.contact_id)
        for answered_s, reply in operation.replies:
            read = routing_service_pb2.GetContactResponse.FromString(reply).contact
            told = ContactState(int(read.state))
            states = contact.states if contact else []
            before = [state for at_s, state in states if at_s <= operation.invoked_s]
            during = [state for at_s, state in states if operation.invoked_s <= at_s <= answered_s]
            if told not in (*before[-1:], *during):
                yield f"read as {told.name}, never so then: {_named(operation)}"


def _watches(world: World, log: list[LoggedEffect]) -> Iterator[str]:
    """Watchers are told what the log holds, in its order, without a gap."""
    expected = {entry.cursor: event_message(entry.effect, entry.cursor) for entry in log}
    order = {cursor: place for place, cursor in enumerate(expected)}
    for watch in world.history.watches:
        places = []
        for event in watch.events:
            if expected.get(event.cursor) != event:
                yield f"{watch.name} was told what the log does not hold: {event}"
                return
            places.append(order[event.cursor])
        if places != sorted(set(places)):
            yield f"{watch.name} was told events out of order, or twice"
        yield from _gaps(watch, list(expected.values()))


def _gaps(watch: Watch, events: list[Event]) -> Iterator[str]:
    begins = int(watch.begins_at.partition(".")[0] or 0)
    named = set(watch.contact_ids)
    due = [
        event.cursor
        for event in events
        if int(event.cursor.partition(".")[0]) > begins
        and (watch.wants_all or event.contact_id in named)
    ]
    told = [event.cursor for event in watch.events if watch.wants_all or event.contact_id in named]
    if told != due:
        missing = sorted(set(due) - set(told))[:5]
        yield f"{watch.name} was told {len(told)} of {len(due)} events, not {missing}"


def _state(world: World, model: FloorModel) -> Iterator[str]:
    """The engine that serves, one loaded from the log, and the floor of the events are one."""
    live = world.process.cell.engine
    loaded = Engine(SETTINGS.limits)
    loaded.load(world.store.loaded().rows)
    check(live)
    if lasting(every_row(live).values()) != lasting(every_row(loaded).values()):
        yield "the engine holds what the log does not, or the other way round"
    columns = live.cell.store.columns
    contact_ids = live.cell.contacts.slots.ids
    for row in live.cell.contacts.slots.rows():
        contact = model.contacts.get(contact_ids[row])
        state = ContactState(int(columns.contacts.state[row]))
        if contact is None or contact.state is not state:
            yield f"{contact_ids[row]} is {state.name}, not as the events say"
    known = {contact_ids[row] for row in live.cell.contacts.slots.rows()}
    for contact_id, contact in model.contacts.items():
        if not HAS_ENDED[contact.state] and contact_id not in known:
            yield f"{contact_id} is open by the events, and gone"
    for row in live.cell.agents.slots.rows():
        agent_id = live.cell.agents.slots.ids[row]
        if model.presence.get(agent_id) != columns.agents.presence[row]:
            yield f"{agent_id}'s presence is not as the events say"


def _named(operation: Operation) -> str:
    text = str(operation.request).replace("\n", " ").strip()
    return f"{operation.method} at {operation.invoked_s:.3f} s: {text}"
