"""Every step that may happen next in the model of the commit protocol, with what comes of it."""

from collections.abc import Iterator

from tests.protocol.protocol_model import (
    DEAD,
    NOBODY,
    OWNERS,
    Entry,
    Group,
    Log,
    Owner,
    State,
    Step,
    Straggler,
    Variant,
    committed,
    has_replicas,
    head_of,
    is_serving,
    with_log,
    with_owner,
)
from tests.protocol.protocol_reading import is_of_use, no_primary_still, read_ahead

# What an owner waits for on its connection.
_UNDER_WAY = ("sending", "waiting", "repairing")


def steps(state: State, variant: Variant) -> Iterator[Step]:
    """All of them, by name."""
    yield from _replicated(state)
    if state.left.failovers:
        yield from _failed_over(state, variant)
    yield from _healed(state)
    yield from _straggled(state, variant)
    for number in OWNERS:
        yield from _of_owner(state, number, variant)


def _replicated(state: State) -> Iterator[Step]:
    """A replica takes the next entry of whom it follows."""
    for server, leader in enumerate(state.follows):
        if leader in (DEAD, server):
            continue
        log, ahead = state.logs[server], state.logs[leader]
        if len(log) < len(ahead):
            yield "replicate", with_log(state, server, ahead[: len(log) + 1])


def _failed_over(state: State, variant: Variant) -> Iterator[Step]:
    """The primary dies, or is cut off and goes on serving, and a replica takes its place."""
    old = state.primary
    is_whole = all(leader == old for leader in state.follows)
    if not (is_whole or variant.faults_overlap):
        return
    replicas = [n for n, leader in enumerate(state.follows) if leader == old and n != old]
    cut_off: list[tuple[int, ...]] = [()]
    if variant.cuts_off_pairs:
        cut_off += [(replica,) for replica in replicas]
    for beside in cut_off:
        reachable = [replica for replica in replicas if replica not in beside]
        longest = max((len(state.logs[replica]) for replica in reachable), default=0)
        for new in reachable:
            if variant.promotes_best and len(state.logs[new]) < longest:
                continue
            yield "cut off", _promoted(state, new, old, beside)
            if not beside:
                dead = _promoted(state, new, DEAD, beside)
                yield "kill the primary", _disconnected(dead, old)


def _promoted(state: State, new: int, old_follows: int, beside: tuple[int, ...]) -> State:
    """State with another primary; those cut off beside the old one stay with it."""
    logs, follows = list(state.logs), list(state.follows)
    old = state.primary
    follows[old] = old_follows
    follows[new] = new
    for server, leader in enumerate(state.follows):
        if leader == old and server not in (old, new, *beside):
            follows[server] = new
            logs[server] = _resynced(logs[server], logs[new])
    left = state.left._replace(failovers=state.left.failovers - 1)
    promoted = state._replace(logs=tuple(logs), follows=tuple(follows), primary=new, left=left)
    return no_primary_still(promoted, state)


def _resynced(log: Log, leader: Log) -> Log:
    """What a replica has once it follows another: it goes on where it can, or starts afresh."""
    return log if leader[: len(log)] == log else leader


def _healed(state: State) -> Iterator[Step]:
    """A server that was dead or cut off comes back as a replica, and so do those beside it."""
    for server, leader in enumerate(state.follows):
        if server == state.primary or leader not in (DEAD, server):
            continue
        back = [n for n, found in enumerate(state.follows) if n == server or found == server]
        logs, follows = list(state.logs), list(state.follows)
        for number in back:
            follows[number] = state.primary
            logs[number] = state.logs[state.primary]
        healed = state._replace(logs=tuple(logs), follows=tuple(follows))
        healed = no_primary_still(healed, state)
        yield "heal", _disconnected(healed, server)


def _disconnected(state: State, server: int) -> State:
    """State in which every connection to a server is broken, and what it had not run is gone."""
    owners = tuple(_doubting(owner) if owner.view == server else owner for owner in state.owners)
    stragglers = frozenset(one for one in state.stragglers if one.server != server)
    return state._replace(owners=owners, stragglers=stragglers)


def _doubting(owner: Owner) -> Owner:
    """What an owner knows once its connection broke."""
    if owner.phase in _UNDER_WAY:
        return owner._replace(phase="doubt", mark=0, missing=())
    if owner.phase == "claiming":
        return Owner(ring=owner.ring)
    return owner._replace(mark=0)


def _straggled(state: State, variant: Variant) -> Iterator[Step]:
    """A server gets round to a commit whose sender no longer listens."""
    for late in state.stragglers:
        rest = state._replace(stragglers=state.stragglers - {late})
        yield "lose a late commit", rest
        if is_serving(state, late.server):
            log = state.logs[late.server]
            _, log = committed(log, late.owner, late.epoch, late.group, variant)
            yield "run a late commit", with_log(rest, late.server, log)


def _of_owner(state: State, number: int, variant: Variant) -> Iterator[Step]:
    owner = state.owners[number]
    if owner != Owner():
        yield "crash", with_owner(state, number, Owner())
    match owner.phase:
        case "out":
            yield from _acquired(state, number, variant)
            yield from read_ahead(state, number, variant)
        case "claiming":
            yield from _claimed(state, number, variant)
            yield from read_ahead(state, number, variant)
        case "holding":
            yield from _begun(state, number, variant)
        case "sending":
            yield from _delivered(state, number, variant)
        case "waiting":
            yield from _waited(state, number, variant)
        case "doubt":
            yield from _resent(state, number, variant)
        case "repairing":
            yield from _repaired(state, number, variant)


def _acquired(state: State, number: int, variant: Variant) -> Iterator[Step]:
    """The script ACQUIRE, on any server that answers: leases may lapse at any time."""
    epochs = state.left.epochs
    # Owners differ by their number alone, so that the first to acquire may be the first of them.
    if not epochs or (number and epochs == variant.left.epochs):
        return
    for server in range(len(state.logs)):
        if not is_serving(state, server):
            continue
        head = head_of(state.logs[server])
        log = (*state.logs[server], Entry(head.epoch + 1, number))
        left = state.left._replace(epochs=epochs - 1)
        owner = Owner(
            phase="claiming",
            epoch=head.epoch + 1,
            tail=head.token,
            view=server,
            mark=len(log),
            ring=state.owners[number].ring,
            ahead=state.owners[number].ahead,
        )
        claiming = with_log(state, server, log)._replace(left=left)
        yield "acquire", with_owner(claiming, number, owner)


def _claimed(state: State, number: int, variant: Variant) -> Iterator[Step]:
    """Enough replicas know the epoch, and the rows are read; or they do not, and it begins anew."""
    owner = state.owners[number]
    yield "claim without replicas", with_owner(state, number, Owner(ring=owner.ring))
    if not is_serving(state, owner.view):
        return
    if variant.claim_waits and not has_replicas(state, owner.view, owner.mark, variant):
        return
    head = head_of(state.logs[owner.view])
    if (head.epoch, head.token) != (owner.epoch, owner.tail):
        yield "find the cell taken", with_owner(state, number, Owner())
        return
    missing = _after(owner.ring, owner.tail)
    if missing:
        repairing = owner._replace(phase="repairing", missing=missing)
        yield "acquire what lost groups", with_owner(state, number, repairing)
        return
    is_same = bool(owner.ring) and owner.ring[-1].token == owner.tail
    ring = owner.ring if is_same else ()
    holding = owner._replace(phase="holding", contacts=head.contacts, ring=ring, ahead=None)
    yield "load", with_owner(state, number, holding)
    if is_of_use(owner.ahead, owner.tail, variant):
        foreseen = holding._replace(contacts=owner.ahead.contacts)
        yield "load what was read ahead", with_owner(state, number, foreseen)


def _begun(state: State, number: int, variant: Variant) -> Iterator[Step]:
    """A group is sealed and sent, or the cell given up."""
    owner = state.owners[number]
    if state.left.tokens:
        token = variant.left.tokens - state.left.tokens + 1
        left = state.left._replace(tokens=state.left.tokens - 1)
        group = Group(owner.tail, token, owner.contacts)
        sending = owner._replace(phase="sending", pending=group)
        yield "send", _sent(state._replace(left=left), number, sending, variant)
    if state.left.epochs and is_serving(state, owner.view):
        log = state.logs[owner.view]
        if head_of(log).epoch == owner.epoch:
            log = (*log, Entry(owner.epoch + 1, NOBODY))
        left = state.left._replace(epochs=state.left.epochs - 1)
        released = with_log(state, owner.view, log)._replace(left=left)
        yield "release", with_owner(released, number, Owner())


def _sent(state: State, number: int, sending: Owner, variant: Variant) -> State:
    """State in which an owner's group is under way, unless its clock forbids."""
    head = head_of(state.logs[state.primary])
    if variant.trusts_its_clock and (head.epoch, head.owner) != (sending.epoch, number):
        return with_owner(state, number, Owner())
    return with_owner(state, number, sending)


def _delivered(state: State, number: int, variant: Variant) -> Iterator[Step]:
    """The script COMMIT runs, or nobody knows whether it did."""
    owner = state.owners[number]
    group = _pending(owner)
    yield "lose a commit", with_owner(state, number, _doubting(owner))
    if not is_serving(state, owner.view):
        return
    if state.left.stragglers:
        late = Straggler(owner.view, number, owner.epoch, group)
        left = state.left._replace(stragglers=state.left.stragglers - 1)
        delayed = state._replace(stragglers=state.stragglers | {late}, left=left)
        yield "delay a commit", with_owner(delayed, number, _doubting(owner))
    log = state.logs[owner.view]
    if state.left.unreadable:
        yield "fail to decode", _undecoded(state, number, variant)
    answer, log = committed(log, number, owner.epoch, group, variant)
    state = with_log(state, owner.view, log)
    match answer:
        case "appended":
            waiting = owner._replace(phase="waiting", mark=len(log))
            yield "append", with_owner(state, number, waiting)
        case "duplicate":
            mark = len(log) if variant.duplicate_writes else owner.mark
            waiting = owner._replace(phase="waiting", mark=mark)
            yield "find it appended", with_owner(state, number, waiting)
        case "conflict":
            yield _conflicting(state, number, log)
        case "fenced":
            yield "be fenced", with_owner(state, number, Owner())


def _undecoded(state: State, number: int, variant: Variant) -> State:
    """A script that fails writes nothing, if it decodes first; its owner loads again."""
    owner = state.owners[number]
    left = state.left._replace(unreadable=state.left.unreadable - 1)
    failed = with_owner(state._replace(left=left), number, Owner(ring=owner.ring))
    log = state.logs[owner.view]
    answer, after = committed(log, number, owner.epoch, _pending(owner), variant)
    if variant.decodes_first or answer != "appended":
        return failed
    return with_log(failed, owner.view, (*log, after[-1]._replace(is_whole=False)))


def _conflicting(state: State, number: int, log: Log) -> Step:
    """The server was rolled back: to where the owner remembers, or not."""
    owner = state.owners[number]
    missing = _after(owner.ring, head_of(log).token)
    if missing and owner.ring[-1].token == _pending(owner).expected:
        repairing = owner._replace(phase="repairing", missing=missing)
        return "find groups lost", with_owner(state, number, repairing)
    return "find the chain broken", with_owner(state, number, Owner(ring=owner.ring))


def _waited(state: State, number: int, variant: Variant) -> Iterator[Step]:
    """Enough replicas have it and its callers are told, or the answer does not come."""
    owner = state.owners[number]
    yield "lose a reply", with_owner(state, number, _doubting(owner))
    mark = owner.mark if variant.waits_where_it_wrote else 0
    if is_serving(state, owner.view) and has_replicas(state, owner.view, mark, variant):
        group = _pending(owner)
        holding = owner._replace(
            phase="holding",
            tail=group.token,
            contacts=owner.contacts + 1,
            pending=None,
            ring=(*owner.ring, group),
        )
        told = state._replace(acknowledged=state.acknowledged | {(group, number)})
        yield "acknowledge", with_owner(told, number, holding)


def _resent(state: State, number: int, variant: Variant) -> Iterator[Step]:
    """The same token again, to the server there was or to the primary; or it gives up."""
    owner = state.owners[number]
    yield "give up", with_owner(state, number, Owner(ring=owner.ring))
    if owner.pending is None:
        return
    for server in {owner.view, state.primary}:
        if is_serving(state, server):
            sending = owner._replace(phase="sending", view=server)
            yield "send again", _sent(state, number, sending, variant)


def _repaired(state: State, number: int, variant: Variant) -> Iterator[Step]:
    """A lost group is appended again; after the last of them replicas are counted."""
    owner = state.owners[number]
    yield "lose a repair", with_owner(state, number, _doubting(owner))
    if not is_serving(state, owner.view):
        return
    if owner.missing:
        log = state.logs[owner.view]
        answer, log = committed(log, number, owner.epoch, owner.missing[0], variant)
        if answer in ("appended", "duplicate"):
            rest = owner._replace(missing=owner.missing[1:], mark=len(log))
            yield "append again", with_owner(with_log(state, owner.view, log), number, rest)
        elif answer == "fenced":
            yield "be fenced in a repair", with_owner(state, number, Owner())
    elif has_replicas(state, owner.view, owner.mark, variant):
        if owner.pending is not None:
            yield "go on", _sent(state, number, owner._replace(phase="sending"), variant)
        else:
            head = head_of(state.logs[owner.view])
            whole = owner._replace(
                phase="holding", tail=head.token, contacts=head.contacts, ahead=None
            )
            yield "load what was repaired", with_owner(state, number, whole)
            if is_of_use(owner.ahead, head.token, variant):
                foreseen = whole._replace(contacts=owner.ahead.contacts)
                yield "load what was read ahead", with_owner(state, number, foreseen)


def _after(ring: tuple[Group, ...], token: int) -> tuple[Group, ...]:
    """Groups that came after the one with a token."""
    for index, group in enumerate(ring):
        if group.expected == token:
            return ring[index:]
    return ()


def _pending(owner: Owner) -> Group:
    assert owner.pending is not None, owner
    return owner.pending
