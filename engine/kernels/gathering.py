"""
The contacts of a batch: of a queue's waiting contacts those that go first, of those that somebody
with room may take.

Past the starvation bound the oldest go first; then, in a LIFO queue, those of the highest priority
and the newest; else those with the greatest claim, fit aside.
"""

import numpy as np

from engine.kernels.bits import bit_count, lowest_bit
from engine.kernels.boundary import (
    Table,
    open_batch,
    open_bitsets,
    open_cell,
    open_classes,
    open_contacts,
    open_queues,
)
from engine.kernels.columns import NOW_MS
from engine.kernels.compilation import kernel
from engine.kernels.eligibility import exclusion_ends, is_excluded, skilled_word
from engine.kernels.scoring import claim_of, is_starving
from engine.kernels.waiting import is_before
from engine.lifecycle import QueueOrder
from engine.limits import BATCH_CONTACTS_MAX, NEVER_MS

_LIFO = int(QueueOrder.LIFO)


@kernel
def _goes_before(table: Table, left: int, right: int) -> bool:
    """Whether contact `left` of a queue goes before contact `right` of it. O(1)."""
    contacts = open_contacts(table)
    starves = is_starving(table, left)
    if starves != is_starving(table, right):
        return starves
    if not starves and open_queues(table).order[contacts.queue[left]] == _LIFO:
        if contacts.priority[left] != contacts.priority[right]:
            return contacts.priority[left] > contacts.priority[right]
        return is_before(table, right, left)
    claim, other_claim = claim_of(table, left, 0.0), claim_of(table, right, 0.0)
    if claim != other_claim:
        return claim > other_claim
    return is_before(table, left, right)


@kernel
def _insert_contact(table: Table, contact: int, count: int) -> int:
    """
    Put a contact into its place among the `count` of a batch; returns how many there are then, the
    last one left out where there are too many, -1 where it is left out itself. O(count).
    """
    batch = open_batch(table)
    place = count
    while place > 0 and _goes_before(table, contact, batch.contact[place - 1]):
        place -= 1
    if place == BATCH_CONTACTS_MAX:
        return -1
    last = min(count, BATCH_CONTACTS_MAX - 1)
    for item in range(last, place, -1):
        batch.contact[item] = batch.contact[item - 1]
    batch.contact[place] = contact
    return last + 1


@kernel
def _eligible(table: Table, class_row: int, contact: int) -> int:
    """
    Agents with room who may take contacts of a class, and did not recently fail with `contact`, -1
    for any. O(agents / 64 x items of the requirement, and eligible).
    """
    bitsets = open_bitsets(table)
    now_ms = open_cell(table).scalar[NOW_MS]
    free = bitsets.free_agents[open_classes(table).channel[class_row]]
    count = 0
    for word in range(free.shape[0]):
        if free[word] == np.uint64(0):
            continue
        candidates = skilled_word(table, class_row, word, free[word])
        if contact < 0:
            count += bit_count(candidates)
            continue
        while candidates != np.uint64(0):
            agent = (word << 6) + lowest_bit(candidates)
            candidates &= candidates - np.uint64(1)
            count += not is_excluded(table, contact, agent, now_ms)
    return count


@kernel
def _may_be_taken(table: Table, contact: int) -> bool:
    """
    Whether somebody with room may take a contact of whose class that is so. O(1), or `_eligible`
    where it recently failed with somebody.
    """
    now_ms = open_cell(table).scalar[NOW_MS]
    if exclusion_ends(table, contact, now_ms, NEVER_MS) == NEVER_MS:
        return True
    return _eligible(table, open_contacts(table).class_row[contact], contact) > 0


@kernel
def _gather_class(table: Table, class_row: int, most: int, count: int) -> int:
    """
    Add the first contacts of a class, at most `most`, to the `count` of a batch; returns how many
    there are then. O(contacts looked at x contacts of the batch).
    """
    contacts = open_contacts(table)
    classes = open_classes(table)
    is_lifo = open_queues(table).order[classes.queue[class_row]] == _LIFO
    # Of a LIFO queue those that starve, from its head; then the others, from its tail.
    from_tail = False
    taken = 0
    contact = classes.head[class_row]
    while taken < most:
        if is_lifo and not from_tail and (contact < 0 or not is_starving(table, contact)):
            from_tail = True
            contact = classes.tail[class_row]
        if contact < 0 or (from_tail and is_starving(table, contact)):
            return count
        if _may_be_taken(table, contact):
            more = _insert_contact(table, contact, count)
            if more < 0:
                return count
            count = more
            taken += 1
        contact = contacts.preceding[contact] if from_tail else contacts.following[contact]
    return count


@kernel
def gather(table: Table, queue: int) -> int:
    """
    Make a batch of a queue's contacts that somebody with room may take; returns how many.

    A class brings no more contacts than there are agents for them: those behind would only keep
    others out. O(classes with waiting contacts x agents / 64), and `_gather_class`.
    """
    classes = open_classes(table)
    count = 0
    class_row = open_queues(table).first_class[queue]
    while class_row >= 0:
        most = min(_eligible(table, class_row, -1), BATCH_CONTACTS_MAX)
        count = _gather_class(table, class_row, most, count)
        class_row = classes.following[class_row]
    return count
