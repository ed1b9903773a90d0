"""
A small model of the commit protocol: what owners and servers hold, and what the scripts do to it.

Two owners contend for one cell that is kept on a primary and its replicas. Everything that may
happen next, to any of them, is one step (`protocol_steps`); the search takes all of them, in every
order (`protocol_search`). A variant takes one rule of the protocol away.
"""

from dataclasses import dataclass
from functools import cache
from typing import Literal, NamedTuple

OWNERS = (0, 1)
NOBODY = -1
# Where a dead server would stand in `State.follows`.
DEAD = -1
EMPTY = 0
UNREAD = -1


class Group(NamedTuple):
    """What is committed together: a link in the chain of tokens, and the contact it gives away."""

    expected: int
    token: int
    contact: int


class Entry(NamedTuple):
    """
    What a script wrote to a server: a group, or a new epoch where `group` is None.

    Attributes
    ----------
    epoch, owner
        Of whoever wrote it.
    group
        The group.
    is_whole
        Whether its rows were written as well as itself.
    """

    epoch: int
    owner: int
    group: Group | None = None
    is_whole: bool = True


Log = tuple[Entry, ...]


class Head(NamedTuple):
    """What the keys of a cell say once a log was written: epoch, owner, token, contacts in rows."""

    epoch: int
    owner: int
    token: int
    contacts: int


class Ahead(NamedTuple):
    """
    What one who waits for the cell has read of it.

    Attributes
    ----------
    server
        From which.
    token
        With which its log ended before anything was read.
    contacts
        What its rows said when they were read; UNREAD before.
    is_primary_still
        Whether the server has been primary all along.
    is_looked_at
        Whether its end was looked at again after the rows.
    """

    server: int
    token: int
    contacts: int = UNREAD
    is_primary_still: bool = True
    is_looked_at: bool = False


# out: no epoch; claiming: waits for replicas to know its epoch; holding: may commit; sending: a
# group is under way; waiting: it was applied, replicas are counted; doubt: no answer came;
# repairing: groups that the server lost are appended again.
Phase = Literal["out", "claiming", "holding", "sending", "waiting", "doubt", "repairing"]


class Owner(NamedTuple):
    """
    What one engine remembers of the cell.

    Attributes
    ----------
    phase
        What it is about.
    epoch, tail, contacts
        Of the log as it knows it.
    view
        Server its connection leads to.
    pending
        Group whose fate it does not know.
    mark
        Length of the server's log after the last write of this connection: what WAIT counts for.
    ring
        Groups it was told are committed, oldest first.
    missing
        Those that are to be appended again.
    ahead
        What it has read before the cell is its own.
    """

    phase: Phase = "out"
    epoch: int = 0
    tail: int = EMPTY
    contacts: int = 0
    view: int = 0
    pending: Group | None = None
    mark: int = 0
    ring: tuple[Group, ...] = ()
    missing: tuple[Group, ...] = ()
    ahead: Ahead | None = None


class Straggler(NamedTuple):
    """A commit that a server has received and not yet run, while its sender has given up on it."""

    server: int
    owner: int
    epoch: int
    group: Group


class Left(NamedTuple):
    """How often things may still happen; what keeps the search finite."""

    epochs: int = 3
    tokens: int = 3
    failovers: int = 2
    stragglers: int = 1
    unreadable: int = 1
    readings: int = 0


class State(NamedTuple):
    """
    Everything there is.

    Attributes
    ----------
    logs
        By server.
    follows
        By server: whose replica it is, itself where it takes itself for the primary, or DEAD.
    primary
        Server that those who ask are sent to.
    owners
        By number.
    acknowledged
        Groups whose callers were told, and by which owner.
    stragglers
        Late commits.
    left
        What may still happen.
    """

    logs: tuple[Log, ...]
    follows: tuple[int, ...]
    primary: int
    owners: tuple[Owner, ...]
    acknowledged: frozenset[tuple[Group, int]]
    stragglers: frozenset[Straggler]
    left: Left


# What happens, and what comes of it.
Step = tuple[str, State]


@dataclass(frozen=True, slots=True)
class Variant:
    """
    The protocol, or one with a rule missing.

    Attributes
    ----------
    replicas, waits_for
        How many there are, and how many must have a commit before it is acknowledged.
    promotes_best
        Whether the replica with the longest log becomes primary, or any.
    cuts_off_pairs
        Whether a replica may be cut off together with its primary.
    faults_overlap
        Whether a primary may go while another server is dead or cut off.
    checks_epoch, checks_token
        What the script COMMIT compares before it writes.
    duplicate_writes
        Whether it writes when it finds the group already there.
    decodes_first
        Whether it decodes its arguments before the first write.
    waits_where_it_wrote
        Whether WAIT goes over the connection that committed, to the same server.
    claim_waits
        Whether an owner makes sure that replicas know its epoch before it begins.
    trusts_its_clock
        An owner sends while its lease is good, by a clock that is never wrong, and the script
        compares nothing but whether the group is there already.
    compares_what_was_read, looks_again, keeps_to_one_primary
        What is read ahead is of use only if the acquired log ends with its token, if the server's
        log ended with it after the rows as well, and if the server has been primary all along.
    left
        How much may happen.
    """

    replicas: int = 1
    waits_for: int = 1
    promotes_best: bool = True
    cuts_off_pairs: bool = False
    faults_overlap: bool = False
    checks_epoch: bool = True
    checks_token: bool = True
    duplicate_writes: bool = True
    decodes_first: bool = True
    waits_where_it_wrote: bool = True
    claim_waits: bool = True
    trusts_its_clock: bool = False
    compares_what_was_read: bool = True
    looks_again: bool = True
    keeps_to_one_primary: bool = True
    left: Left = Left()  # noqa: RUF009  a tuple, and the same for all


def beginning(variant: Variant) -> State:
    """Empty servers, the first of them primary, and nobody who owns the cell."""
    servers = variant.replicas + 1
    return State(
        logs=((),) * servers,
        follows=(0,) * servers,
        primary=0,
        owners=tuple(Owner() for _ in OWNERS),
        acknowledged=frozenset(),
        stragglers=frozenset(),
        left=variant.left,
    )


@cache
def head_of(log: Log) -> Head:
    """What a log's keys say."""
    epoch, owner, token, contacts = 0, NOBODY, EMPTY, 0
    for entry in log:
        if entry.group is None:
            epoch, owner = entry.epoch, entry.owner
        else:
            token = entry.group.token
            contacts += entry.is_whole
    return Head(epoch, owner, token, contacts)


Answer = Literal["appended", "duplicate", "conflict", "fenced"]


def committed(
    log: Log, owner: int, epoch: int, group: Group, variant: Variant
) -> tuple[Answer, Log]:
    """The script COMMIT: its answer, and the log it leaves behind."""
    head = head_of(log)
    if variant.checks_epoch and head.epoch != epoch and not variant.trusts_its_clock:
        return "fenced", log
    if variant.checks_token and head.token == group.token:
        return "duplicate", log
    if variant.checks_token and head.token != group.expected and not variant.trusts_its_clock:
        return "conflict", log
    return "appended", (*log, Entry(epoch, owner, group))


def has_replicas(state: State, server: int, mark: int, variant: Variant) -> bool:
    """Whether WAIT, asked on a connection with such a mark, counts enough replicas."""
    found = sum(
        follows == server and len(state.logs[number]) >= mark
        for number, follows in enumerate(state.follows)
        if number != server
    )
    return found >= variant.waits_for


def is_serving(state: State, server: int) -> bool:
    """Whether a server answers as a primary, rightly or not."""
    return state.follows[server] == server


def with_owner(state: State, number: int, owner: Owner) -> State:
    """State in which an owner knows something else."""
    owners = (*state.owners[:number], owner, *state.owners[number + 1 :])
    return state._replace(owners=owners)


def with_log(state: State, server: int, log: Log) -> State:
    """State in which a server holds something else."""
    return state._replace(logs=(*state.logs[:server], log, *state.logs[server + 1 :]))


def chain_fault(state: State) -> str:
    """What is wrong with a server's log, whoever wrote it and whatever was promised; or ""."""
    return next(filter(None, map(_broken_chain, state.logs)), "")


def epoch_fault(state: State) -> str:
    """Where somebody wrote who was not the owner; or ""."""
    return next(filter(None, map(_strange_hand, state.logs)), "")


def promise_fault(state: State) -> str:
    """What is wrong with what callers were told; or ""."""
    there = {entry.group for entry in state.logs[state.primary]}
    told = [group for group, _ in state.acknowledged]
    if not there.issuperset(told):
        return "an acknowledged group was lost"
    if len({group.contact for group in told}) < len(told):
        return "a contact was acknowledged twice"
    return ""


@cache
def _broken_chain(log: Log) -> str:
    tail = EMPTY
    contacts: set[int] = set()
    tokens: set[int] = set()
    for entry in log:
        group = entry.group
        if group is None:
            continue
        if not entry.is_whole:
            return "half a group was written"
        if group.token in tokens:
            return "a group was applied twice"
        if group.contact in contacts:
            return "a contact was given away twice"
        if group.contact != len(contacts):
            return "a contact was forgotten"
        if group.expected != tail:
            return "a group follows one its owner did not know"
        tail = group.token
        tokens.add(group.token)
        contacts.add(group.contact)
    return ""


@cache
def _strange_hand(log: Log) -> str:
    owned = (0, NOBODY)
    for entry in log:
        if entry.group is None:
            owned = (entry.epoch, entry.owner)
        elif (entry.epoch, entry.owner) != owned:
            return "somebody wrote into another owner's epoch"
    return ""
