"""What transitions leave behind: effect records, and the rows the open commit group must write."""

from engine.effects import EFFECT_WIDTH, EffectColumn
from engine.kernels.boundary import (
    Table,
    open_agents,
    open_cell,
    open_contacts,
    open_offers,
    open_queues,
)
from engine.kernels.columns import (
    AGENT_DIRTY_COUNT,
    CONTACT_DIRTY_COUNT,
    EFFECT_COUNT,
    EFFECT_COUNT_MAX,
    NOW_MS,
    QUEUE_DIRTY_COUNT,
)
from engine.kernels.compilation import kernel
from engine.kernels.shapes import I8, Row
from engine.limits import EFFECT_ROOM_MIN, EFFECTS_PER_CALL

_KIND = int(EffectColumn.KIND)
_AT = int(EffectColumn.AT_MS)
_CONTACT = int(EffectColumn.CONTACT)
_QUEUE = int(EffectColumn.QUEUE)
_AGENT = int(EffectColumn.AGENT)
_OFFER = int(EffectColumn.OFFER)
_OFFER_EXPIRES = int(EffectColumn.OFFER_EXPIRES_MS)
_WAIT = int(EffectColumn.WAIT_MS)
_DETAIL = int(EffectColumn.DETAIL)
_REASON = int(EffectColumn.REASON)


@kernel
def begin_call(table: Table) -> None:
    """
    Give the running call its share of effects, for which the caller has made room. O(1).

    The share does not depend on what the buffer holds or could hold, so that the same commands give
    the same effects however they are grouped into commits.
    """
    scalar = open_cell(table).scalar
    scalar[EFFECT_COUNT_MAX] = scalar[EFFECT_COUNT] + EFFECTS_PER_CALL


@kernel
def has_effect_room(table: Table) -> bool:
    """Whether one more step of any transition fits into the running call's share. O(1)."""
    scalar = open_cell(table).scalar
    return scalar[EFFECT_COUNT] + EFFECT_ROOM_MIN <= scalar[EFFECT_COUNT_MAX]


@kernel
def record_contact(table: Table, kind: int, contact: int, detail: int, reason: int) -> None:
    """Append an effect about a contact as it now stands, and mark its row to be written. O(1)."""
    contacts = open_contacts(table)
    place = _append_contact(table, kind, contact, contacts.agent[contact], contacts.offer[contact])
    record = open_cell(table).effects[place]
    record[_DETAIL] = detail
    record[_REASON] = reason


@kernel
def record_offer(table: Table, kind: int, offer: int, reason: int) -> None:
    """Append an effect about an offer beside its contact's leading one. O(1)."""
    offers = open_offers(table)
    contact, agent = offers.contact[offer], offers.agent[offer]
    place = _append_contact(table, kind, contact, agent, offers.sequence[offer])
    record = open_cell(table).effects[place]
    record[_DETAIL] = 0
    record[_REASON] = reason


@kernel
def _append_contact(table: Table, kind: int, contact: int, agent: int, offer: int) -> int:
    """Append an effect about a contact but for detail and reason; returns its place. O(1)."""
    cell = open_cell(table)
    contacts = open_contacts(table)
    place = cell.scalar[EFFECT_COUNT]
    cell.scalar[EFFECT_COUNT] = place + 1
    now_ms = cell.scalar[NOW_MS]
    record = cell.effects[place]
    record[_KIND] = kind
    record[_AT] = now_ms
    record[_CONTACT] = contact
    record[_QUEUE] = contacts.queue[contact]
    record[_AGENT] = agent
    record[_OFFER] = offer
    record[_OFFER_EXPIRES] = contacts.until_ms[contact] if offer else 0
    accepted_ms = contacts.accepted_ms[contact]
    record[_WAIT] = (accepted_ms if accepted_ms > 0 else now_ms) - contacts.queued_ms[contact]
    contacts.version[contact] += 1
    mark_contact(table, contact)
    return place


@kernel
def _append(table: Table, kind: int, queue: int, agent: int) -> int:
    """Append an effect about no contact, with nothing in its other columns; its place. O(1)."""
    cell = open_cell(table)
    place = cell.scalar[EFFECT_COUNT]
    cell.scalar[EFFECT_COUNT] = place + 1
    record = cell.effects[place]
    for column in range(EFFECT_WIDTH):
        record[column] = 0
    record[_KIND] = kind
    record[_AT] = cell.scalar[NOW_MS]
    record[_CONTACT] = -1
    record[_QUEUE] = queue
    record[_AGENT] = agent
    return place


@kernel
def record_agent(table: Table, kind: int, agent: int, detail: int, reason: int) -> None:
    """Append an effect about an agent, and mark its row to be written. O(1)."""
    record = open_cell(table).effects[_append(table, kind, -1, agent)]
    record[_DETAIL] = detail
    record[_REASON] = reason
    mark_agent(table, agent)


@kernel
def record_queue(table: Table, kind: int, queue: int, detail: int) -> None:
    """Append an effect about a queue, and mark its row to be written. O(1)."""
    open_cell(table).effects[_append(table, kind, queue, -1)][_DETAIL] = detail
    mark_queue(table, queue)


@kernel
def mark(table: Table, count: int, is_dirty: I8, dirty: Row, row: int) -> None:
    """Put a row into one of the lists of rows to be written, whose length is `count`. O(1)."""
    if is_dirty[row] == 0:
        scalar = open_cell(table).scalar
        is_dirty[row] = 1
        dirty[scalar[count]] = row
        scalar[count] += 1


@kernel
def mark_contact(table: Table, contact: int) -> None:
    """Put a contact into the list of rows to be written, once. O(1)."""
    contacts = open_contacts(table)
    mark(table, CONTACT_DIRTY_COUNT, contacts.is_dirty, contacts.dirty, contact)


@kernel
def mark_agent(table: Table, agent: int) -> None:
    """Put an agent into the list of rows to be written, once. O(1)."""
    agents = open_agents(table)
    mark(table, AGENT_DIRTY_COUNT, agents.is_dirty, agents.dirty, agent)


@kernel
def mark_queue(table: Table, queue: int) -> None:
    """Put a queue into the list of rows to be written, once. O(1)."""
    queues = open_queues(table)
    mark(table, QUEUE_DIRTY_COUNT, queues.is_dirty, queues.dirty, queue)
