"""What a caller is told of a command that was applied."""

from typing import Final, NamedTuple

from engine.choices import OpenChoice
from engine.kernels.requests import (
    OUT_AGENT,
    OUT_CONTACT,
    OUT_OFFER,
    OUT_POSITION,
    OUT_REJECTION,
    OUT_STATE,
    OUT_UNTIL_MS,
)
from engine.lifecycle import ContactState
from engine.refusals import Refusal
from engine.state.cell import CellState
from engine.state.contacts import offer_id_of

# Looked up once: an enum's members are slow to reach.
_ASKED: Final = (int(ContactState.QUEUED), int(ContactState.OFFERED))
_PUT_ASIDE: Final = (int(ContactState.SCHEDULED), int(ContactState.DIVERTED))


class Outcome(NamedTuple):
    """
    Result of one command; fields that do not belong to it hold the defaults.

    Attributes
    ----------
    state
        ContactState after the command, or Presence for SetPresence.
    contact_id, queue_id, agent_id, offer_id
        Whom it concerns; empty where none.
    until_ms
        When the offer, timed wrap-up or diversion ends, or the contact is scheduled for,
        milliseconds since the Unix epoch; 0 for no end.
    position
        Place in the queue, 1 is the head; 0 when not waiting.
    rejection
        RejectionReason.
    wait_ms
        Wait of an accepted or cancelled contact; handling time after EndWrapUp.
    count
        Contacts in hand after SetPresence; 1 when Heartbeat renewed a lease.
    other_offers
        Further offers made of the contact, and their agents.
    choice
        The choice that a waiting or offered contact has open.
    decision
        Number of the latest decision about the contact; 0 where none is kept.
    already_known
        Route met a contact id that exists.
    refusal
        Why a contact that crosses was not taken in, where it was not rejected at the door.
    """

    state: int = 0
    contact_id: str = ""
    queue_id: str = ""
    agent_id: str = ""
    offer_id: str = ""
    until_ms: int = 0
    position: int = 0
    rejection: int = 0
    wait_ms: int = 0
    # Hides tuple.count, which says nothing about an outcome.
    count: int = 0  # type: ignore[assignment]
    already_known: bool = False
    decision: int = 0
    other_offers: tuple[tuple[str, str], ...] = ()
    choice: OpenChoice | None = None
    refusal: Refusal = Refusal.NONE


def where_it_stands(cell: CellState, contact_id: str) -> Outcome:
    """Outcome of a transition that ended with `report`."""
    out = cell.store.outcome
    queue = cell.store.columns.contacts.queue
    agent_row = out[OUT_AGENT]
    offer = out[OUT_OFFER]
    return Outcome(
        state=out[OUT_STATE],
        contact_id=contact_id,
        queue_id=cell.queues.slots.ids[int(queue[out[OUT_CONTACT]])],
        agent_id=cell.agents.slots.ids[agent_row] if agent_row >= 0 else "",
        offer_id=offer_id_of(offer, out[OUT_CONTACT]),
        until_ms=out[OUT_UNTIL_MS] if offer or out[OUT_STATE] in _PUT_ASIDE else 0,
        position=out[OUT_POSITION],
        rejection=out[OUT_REJECTION],
        decision=cell.decisions.latest_of(contact_id),
        other_offers=_others(cell, out[OUT_CONTACT]) if offer else (),
        choice=_choice(cell) if cell.choices else None,
    )


def _choice(cell: CellState) -> OpenChoice | None:
    """The choice that is open, but for one about to lapse with the transition."""
    row = cell.store.outcome[OUT_CONTACT]
    if cell.store.outcome[OUT_STATE] not in _ASKED or not cell.choices.is_open(row):
        return None
    return cell.contacts.said(row).steered.choice


def _others(cell: CellState, row: int) -> tuple[tuple[str, str], ...]:
    """Ids of a contact's offers beside the leading one, and of their agents."""
    if cell.store.columns.contacts.first_offer[row] < 0:
        return ()
    ids = cell.agents.slots.ids
    _, *others = ((offer_id, ids[agent_row]) for offer_id, agent_row in cell.contacts.offers(row))
    return tuple(others)
