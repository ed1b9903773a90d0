"""Breadth first through every state of the model, and the shortest way to one that is wrong."""

from collections import Counter, deque
from collections.abc import Callable
from dataclasses import dataclass, field

from adapters.collection import collection_paused
from tests.protocol.protocol_model import (
    State,
    Variant,
    beginning,
    chain_fault,
    epoch_fault,
    promise_fault,
)
from tests.protocol.protocol_steps import steps

Check = Callable[[State], str]

EVERY_CHECK: tuple[Check, ...] = (promise_fault, chain_fault, epoch_fault)


@dataclass
class Found:
    """
    What a search came across.

    Attributes
    ----------
    states
        How many there are, or were until something was wrong.
    taken
        How often each step was taken.
    fault
        What was wrong first; "" for nothing.
    way
        Steps that lead there, the shortest way.
    """

    states: int = 0
    taken: Counter[str] = field(default_factory=Counter)
    fault: str = ""
    way: tuple[str, ...] = ()

    def __str__(self) -> str:
        """One line."""
        told = f"{self.fault}: {', '.join(self.way)}" if self.fault else "nothing wrong"
        return f"{self.states:,} states, {told}"


def explored(variant: Variant, checks: tuple[Check, ...] = EVERY_CHECK) -> Found:
    """
    Search until a check finds something wrong or every state was seen.

    Parameters
    ----------
    variant
        The protocol.
    checks
        What must hold in every state: each says what does not, or "".
    """
    first = beginning(variant)
    came: dict[State, tuple[State | None, str]] = {first: (None, "")}
    ahead = deque([first])
    found = Found()
    with collection_paused():
        while ahead and not found.fault:
            state = ahead.popleft()
            for name, after in steps(state, variant):
                found.taken[name] += 1
                if after in came:
                    continue
                came[after] = (state, name)
                found.fault = next(filter(None, (check(after) for check in checks)), "")
                if found.fault:
                    found.way = _way_to(after, came)
                    break
                ahead.append(after)
    found.states = len(came)
    return found


def _way_to(state: State, came: dict[State, tuple[State | None, str]]) -> tuple[str, ...]:
    way = []
    before, name = came[state]
    while before is not None:
        way.append(name)
        before, name = came[before]
    return tuple(reversed(way))
