"""What one who waits for a cell reads of it ahead, in the model of the commit protocol."""

from collections.abc import Iterator
from typing import TypeGuard

from tests.protocol.protocol_model import (
    DEAD,
    UNREAD,
    Ahead,
    State,
    Step,
    Variant,
    head_of,
    is_serving,
    with_owner,
)


def read_ahead(state: State, number: int, variant: Variant) -> Iterator[Step]:
    """The log's end is noted, rows are read, the end is looked at again; any time in between."""
    owner = state.owners[number]
    ahead = owner.ahead
    if ahead is None:
        if not state.left.readings or owner.phase != "out":
            return
        left = state.left._replace(readings=state.left.readings - 1)
        for server in filter(lambda server: is_serving(state, server), range(len(state.logs))):
            noted = Ahead(server, head_of(state.logs[server]).token)
            begun = with_owner(state._replace(left=left), number, owner._replace(ahead=noted))
            yield "begin to read ahead", begun
        return
    # A server that has lost its role may answer all the same.
    if state.follows[ahead.server] == DEAD or ahead.is_looked_at:
        return
    head = head_of(state.logs[ahead.server])
    if ahead.contacts == UNREAD:
        read = ahead._replace(contacts=head.contacts)
        yield "read ahead", with_owner(state, number, owner._replace(ahead=read))
        return
    is_vain = (variant.looks_again and head.token != ahead.token) or (
        variant.keeps_to_one_primary and not ahead.is_primary_still
    )
    looked = None if is_vain else ahead._replace(is_looked_at=True)
    yield (
        "find it read in vain" if is_vain else "look again",
        with_owner(state, number, owner._replace(ahead=looked)),
    )


def is_of_use(ahead: Ahead | None, tail: int, variant: Variant) -> TypeGuard[Ahead]:
    """Whether what was read ahead is what a log holds that ends with a token."""
    return (
        ahead is not None
        and ahead.is_looked_at
        and (ahead.token == tail or not variant.compares_what_was_read)
    )


def no_primary_still(state: State, before: State) -> State:
    """State in which whoever reads ahead from a server that changed whom it follows may know."""
    owners = tuple(
        owner._replace(ahead=owner.ahead._replace(is_primary_still=False))
        if owner.ahead is not None
        and state.follows[owner.ahead.server] != before.follows[owner.ahead.server]
        else owner
        for owner in state.owners
    )
    return state._replace(owners=owners)
