"""What gateways were told, held against what the engine knows and what its log says happened."""

from collections import Counter
from dataclasses import dataclass
from typing import Final

from headgate.v1.contact_pb2 import Channel, Contact, ContactState
from headgate.v1.event_pb2 import Event, EventKind
from headgate.v1.event_service_pb2 import SubscribeRequest
from headgate.v1.routing_service_pb2 import GetContactRequest, RouteRequest
from tests.chaos.clients import QUEUE, Gateway, History, Told

# Each at most once in the life of these contacts: nobody here gives one back.
_ONCE: Final = (
    EventKind.EVENT_KIND_CONTACT_RECEIVED,
    EventKind.EVENT_KIND_CONTACT_ASSIGNED,
    EventKind.EVENT_KIND_CONTACT_COMPLETED,
)
_RETRIED: Final = 10


@dataclass
class Verdict:
    """
    What was wrong.

    Attributes
    ----------
    lost
        Acknowledged steps that are not there.
    doubled
        Steps that are there more than once, and retries that got another reply.
    cursor
        Where the events end.
    """

    lost: int = 0
    doubled: int = 0
    cursor: str = ""


async def judged(history: History, gateway: Gateway, cursor: str, marker: str) -> Verdict:
    """
    Check a round, when everybody is done.

    Parameters
    ----------
    gateway
        By whom the engine is asked.
    cursor
        Where the events ended before the round.
    marker
        Id of a contact that comes after all others, to find where they end.
    """
    verdict = Verdict()
    counts: Counter[tuple[str, int]] = Counter()
    for event in await _events(gateway, cursor, marker):
        counts[event.contact_id, event.kind] += 1
        verdict.cursor = event.cursor
    verdict.doubled += sum(
        count - 1 for (_, kind), count in counts.items() if kind in _ONCE and count > 1
    )
    for number, (name, told) in enumerate(history.told.items()):
        if not told.reply:
            continue
        found = await gateway.ask(
            lambda client: client.routing.GetContact,
            GetContactRequest(contact_id=name),
        )
        verdict.lost += _lost(told, found.contact if found is not None else None)
        verdict.lost += sum(not counts[name, kind] for kind in _acknowledged(told))
        if number % _RETRIED == 0:
            again = await gateway.ask(lambda client: client.routing.Route, told.route)
            is_same = again is not None and again.SerializeToString(deterministic=True)
            verdict.doubled += is_same != told.reply
    return verdict


def _lost(told: Told, contact: Contact | None) -> int:
    """How many of the steps that were acknowledged a contact does not show."""
    if contact is None:
        return 1 + bool(told.accepted_by) + told.is_completed
    is_completed = contact.state == ContactState.CONTACT_STATE_COMPLETED
    is_assigned = is_completed or contact.state in (
        ContactState.CONTACT_STATE_ASSIGNED,
        ContactState.CONTACT_STATE_WRAP_UP,
    )
    lost = told.is_completed and not is_completed
    return lost + (bool(told.accepted_by) and not is_assigned)


def _acknowledged(told: Told) -> list[int]:
    """Kinds of events that must be in the log."""
    steps = (bool(told.reply), bool(told.accepted_by), told.is_completed)
    return [kind for kind, is_there in zip(_ONCE, steps, strict=True) if is_there]


async def _events(gateway: Gateway, cursor: str, marker: str) -> list[Event]:
    """Events after a cursor, up to the marker's."""
    request = RouteRequest(
        request_id=marker, contact_id=marker, queue_id=QUEUE, channel=Channel.CHANNEL_CHAT
    )
    await gateway.ask(lambda client: client.routing.Route, request)
    found: list[Event] = []
    async for event in gateway.client().subscribe(SubscribeRequest(cursor=cursor)):
        found.append(event)
        if event.contact_id == marker:
            return found
    raise AssertionError("the stream ended")
