"""Contacts: ids, what was said about them, and views of their columns."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Final, NamedTuple

import orjson

from engine.choices import NOT_STEERED, Diversion, OpenChoice, Steered
from engine.commands import (
    Relaxation,
    RelaxationStep,
    Requirements,
    Schedule,
    SkillPreference,
    SkillRequirement,
)
from engine.encoding import kept_json
from engine.lifecycle import HAS_ENDED, Channel, ContactState, RejectionReason
from engine.limits import NEVER_MS
from engine.state import choices
from engine.state.slots import Slots
from engine.state.store import Store

_REQUIREMENTS_REMEMBERED: Final = 4_096
_PARSED_TOGETHER: Final = 1_024


@dataclass(frozen=True, slots=True)
class ContactView:
    """
    A contact as it stands.

    Fields and units are those of `Contact` on the wire, rows instead of ids where so named.
    """

    contact_id: str
    etag: str
    state: ContactState
    queue_row: int
    channel: Channel
    priority: int
    requirements: Requirements
    attributes: Mapping[str, str]
    received_at_ms: int
    routing_age_ms: int
    wait_ms: int
    agent_row: int
    offer_id: str
    offer_expires_at_ms: int
    # Outstanding offers and the rows of their agents, the leading one first.
    offers: tuple[tuple[str, int], ...]
    accepted_at_ms: int
    ended_at_ms: int
    rejection_reason: RejectionReason
    offers_failed: int
    expires_at_ms: int
    relaxation: Relaxation
    relaxation_steps_taken: int
    # Without attempts where none was ever said.
    schedule: Schedule
    attempts: int
    interrupted_ms: int
    # The consult about it, and the contact it is a consult about; "" for none.
    consult_id: str
    consults_for_id: str
    past_agent_rows: tuple[int, ...]
    # The choice it has open, and where it went on that accepted one; moves it accepted.
    choice: OpenChoice | None = None
    diversion: Diversion | None = None
    hops: int = 0
    # The diverted contact that it continues, "" for none.
    continues_contact_id: str = ""
    # The cell it came from, "" for none.
    from_cell: str = ""


class Said(NamedTuple):
    """
    What a gateway said about a contact, and what policies made of it.

    Attributes
    ----------
    requirements
        What it asks of agents.
    attributes
        Values by name.
    relaxation
        What it asks after waiting for so long.
    steered
        What policies made of it.
    own
        Of the requirements those that its gateway asked for, where a routing policy asks for
        more; None where all are the gateway's.
    """

    requirements: Requirements
    attributes: Mapping[str, str]
    relaxation: Relaxation = ()
    steered: Steered = NOT_STEERED
    own: Requirements | None = None


class ContactRows:
    """Rows of contacts by id, with their requirements and attributes."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self.slots = Slots(store, "contacts")
        # Requirements and attributes as JSON, by row.
        self.payloads: list[bytes] = []
        # Rows whose payload the open commit group must write.
        self.payload_is_new: set[int] = set()

    def write(self, row: int, said: Said) -> None:
        """Keep what was said about a contact."""
        self.keep_payload(row, _payload_of(said))
        self.payload_is_new.add(row)

    def keep_payload(self, row: int, payload: bytes) -> None:
        """Keep a payload as it was loaded."""
        if len(self.payloads) <= row:
            self.payloads.extend([b""] * (row + 1 - len(self.payloads)))
        self.payloads[row] = payload

    def keep_payloads(self, payloads: Iterable[tuple[int, bytes]]) -> None:
        """Keep those of every row, as they were loaded."""
        self.payloads = [b""] * len(self.slots.ids)
        for row, payload in payloads:
            self.payloads[row] = payload

    def said(self, row: int) -> Said:
        """What was said about a contact."""
        return said_in(self.payloads[row])

    def policies_of(self, row: int) -> tuple[str, ...]:
        """Policies that have acted on a contact; told at once of those that none has."""
        payload = self.payloads[row]
        # Attributes come last where neither relaxation nor policies are kept.
        return () if payload.endswith(b"}]") else said_in(payload).steered.policies

    def steps_to_come(self, row: int, said: Said) -> Relaxation:
        """Relaxation steps a contact has not taken."""
        return said.relaxation[int(self._store.columns.contacts.relaxed[row]) :]

    def offers(self, row: int) -> Iterator[tuple[str, int]]:
        """Outstanding offers of a contact and the rows of their agents, the leading one first."""
        columns = self._store.columns
        leading = int(columns.contacts.offer[row])
        if leading:
            yield offer_id_of(leading, row), int(columns.contacts.agent[row])
            offer = int(columns.contacts.first_offer[row])
            while offer >= 0:
                sequence = int(columns.offers.sequence[offer])
                yield offer_id_of(sequence, row), int(columns.offers.agent[offer])
                offer = int(columns.offers.contact_following[offer])

    def view(self, row: int, now_ms: int) -> ContactView:
        """The contact as it stands at `now_ms`."""
        contacts = self._store.columns.contacts
        said = self.said(row)
        taken = int(contacts.relaxed[row])
        state = ContactState(int(contacts.state[row]))
        accepted_ms = int(contacts.accepted_ms[row])
        ended_ms = int(contacts.ended_ms[row])
        is_open = not HAS_ENDED[state]
        is_scheduled = state is ContactState.SCHEDULED
        counts_to_ms = self.age_counts_to_ms(row, now_ms)
        expires_ms = int(contacts.expires_ms[row])
        is_waiting = state in (ContactState.QUEUED, ContactState.OFFERED)
        return ContactView(
            contact_id=self.slots.ids[row],
            etag=str(contacts.version[row]),
            state=state,
            queue_row=int(contacts.queue[row]),
            channel=Channel(int(contacts.channel[row])),
            priority=int(contacts.priority[row]),
            requirements=asked_after(said, taken),
            attributes=said.attributes,
            received_at_ms=int(contacts.received_ms[row]),
            routing_age_ms=counts_to_ms - int(contacts.since_ms[row]) if is_open else 0,
            wait_ms=(accepted_ms or ended_ms or counts_to_ms) - int(contacts.queued_ms[row]),
            agent_row=int(contacts.agent[row]),
            offer_id=offer_id_of(int(contacts.offer[row]), row),
            offer_expires_at_ms=int(contacts.until_ms[row]) if contacts.offer[row] else 0,
            offers=tuple(self.offers(row)),
            accepted_at_ms=accepted_ms,
            ended_at_ms=ended_ms,
            rejection_reason=RejectionReason(int(contacts.rejection[row])),
            offers_failed=int(contacts.offers_failed[row]),
            expires_at_ms=expires_ms if is_waiting and expires_ms < NEVER_MS else 0,
            relaxation=said.relaxation,
            relaxation_steps_taken=taken,
            schedule=Schedule(
                int(contacts.until_ms[row]) if is_scheduled else 0,
                int(contacts.window_ms[row]),
                int(contacts.attempts_max[row]),
                int(contacts.retry_ms[row]),
            ),
            attempts=int(contacts.attempts[row]),
            interrupted_ms=self._interrupted_ms(row, now_ms),
            consult_id=self._id_of(int(contacts.consult[row])),
            consults_for_id=self._id_of(int(contacts.consults_for[row])),
            past_agent_rows=tuple(one for one in contacts.past_agent[row].tolist() if one >= 0),
            choice=said.steered.choice,
            diversion=said.steered.diversion,
            hops=said.steered.hops,
            continues_contact_id=said.steered.continues_contact_id,
            from_cell=said.steered.from_cell,
        )

    def _id_of(self, row: int) -> str:
        """Id of a contact, "" for none."""
        return self.slots.ids[row] if row >= 0 else ""

    def _interrupted_ms(self, row: int, now_ms: int) -> int:
        """How long its handling was interrupted, up to now."""
        contacts = self._store.columns.contacts
        interrupted_ms = int(contacts.interrupted_ms[row])
        if contacts.state[row] == ContactState.INTERRUPTED:
            interrupted_ms += now_ms - int(contacts.handled_ms[row])
        return interrupted_ms

    def age_counts_to_ms(self, row: int, now_ms: int) -> int:
        """Until when a contact's wait and routing age count: now, unless it is put aside."""
        contacts = self._store.columns.contacts
        stands_still = contacts.state[row] in (ContactState.SCHEDULED, ContactState.DIVERTED)
        return int(contacts.queued_ms[row]) if stands_still else now_ms


def asked_after(said: Said, steps_taken: int) -> Requirements:
    """What a contact asks of agents after so many of its relaxation steps."""
    return said.relaxation[steps_taken - 1].requirements if steps_taken else said.requirements


# Skills, preferred skills, then lists of names.
_Asked = tuple[list[tuple[str, int]], list[tuple[str, float]], *tuple[list[str], ...]]


def _payload_of(said: Said) -> bytes:
    asked = _encoded(said.requirements)
    is_steered = said.steered is not NOT_STEERED
    if not (said.relaxation or is_steered or said.own is not None):
        return kept_json((asked, dict(said.attributes)))
    steps = [
        (step.after_ms, _encoded(step.requirements), step.priority) for step in said.relaxation
    ]
    kept = (asked, dict(said.attributes), steps)
    if not is_steered and said.own is None:
        return kept_json(kept)
    steered = choices.encoded(said.steered)
    if said.own is None:
        return kept_json((*kept, steered))
    # The release before reads what is there of it, without this part.
    return kept_json((*kept, steered, _encoded(said.own)))


@lru_cache(_REQUIREMENTS_REMEMBERED)
def _encoded(requirements: Requirements) -> orjson.Fragment | None:
    """What is asked as JSON; remembered, for contacts of one kind ask alike. None for nothing."""
    if not any(requirements):
        return None
    skills, preferred, *names = requirements
    asked = ([list(item) for item in skills], [list(item) for item in preferred], *names)
    return orjson.Fragment(kept_json(asked))


def said_in(payload: bytes) -> Said:
    """What was said, from its JSON; what older versions wrote has fewer parts."""
    asked, attributes, *more = orjson.loads(payload)
    steps = more[0] if more else ()
    return Said(
        _decoded(asked),
        attributes,
        tuple(RelaxationStep(after_ms, _decoded(item), rank) for after_ms, item, rank in steps),
        choices.decoded(more[1]) if len(more) > 1 else NOT_STEERED,
        _decoded(more[2]) if len(more) > 2 else None,
    )


def asked_alone(payloads: Sequence[bytes]) -> list[bytes | None]:
    """What contacts ask, as JSON, where nothing else is kept but attributes; None for others."""
    found: list[bytes | None] = []
    # Equal ones are one object, or each would keep the buffer it was written into.
    known: dict[bytes, bytes] = {}
    for first in range(0, len(payloads), _PARSED_TOGETHER):
        for asked in _asked_alone(payloads[first : first + _PARSED_TOGETHER]):
            found.append(None if asked is None else known.setdefault(asked, asked))
    return found


def _asked_alone(payloads: Sequence[bytes]) -> Iterator[bytes | None]:
    """The same of a few, whose JSON is read as one list, in a third of the time."""
    try:
        said = orjson.loads(b"[%b]" % b",".join(payloads))
    except ValueError:
        # One of them is damaged, and is told of when it is looked at by itself.
        said = []
    if len(said) != len(payloads):
        said = [None] * len(payloads)
    for one in said:
        is_alone = type(one) is list and len(one) == 2 and type(one[1]) is dict
        yield orjson.dumps(one[0]) if is_alone else None


def _decoded(asked: _Asked | None) -> Requirements:
    if asked is None:
        return Requirements()
    skills, preferred, *names = asked
    return Requirements(
        tuple(SkillRequirement(*item) for item in skills),
        tuple(SkillPreference(*item) for item in preferred),
        *(tuple(items) for items in names),
    )


def offer_id_of(sequence: int, row: int) -> str:
    """
    External id of an offer: its sequence number, which fences older offers, and where to find it.

    "" for none.
    """
    return f"o{sequence:x}.{row:x}" if sequence else ""


def parse_offer_id(offer_id: str) -> tuple[int, int]:
    """Sequence number and contact row of an offer id; (0, -1) for anything else."""
    if not offer_id.startswith("o"):
        return 0, -1
    sequence, _, row = offer_id[1:].partition(".")
    try:
        parsed = int(sequence, 16), int(row, 16)
    except ValueError:
        return 0, -1
    # int() also reads signs, blanks and underscores, and takes values beyond int64; only our own
    # spelling is ours.
    is_ours = parsed[0] < NEVER_MS and parsed[1] < NEVER_MS and offer_id_of(*parsed) == offer_id
    return parsed if is_ours else (0, -1)
