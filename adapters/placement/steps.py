"""What an engine does next about a cell, given what it knows: decided here, done elsewhere."""

from enum import Enum, auto
from typing import NamedTuple

from adapters.placement.fleet import Fleet
from adapters.placement.ranking import ranked


class Doing(Enum):
    """What an engine does about a cell now."""

    NOTHING = auto()  # leaves it alone
    WAITING = auto()  # tries to acquire it, again and again
    HOLDING = auto()  # has it open
    CLOSING = auto()  # gives it up


class Step(Enum):
    """What it does next."""

    STAY = auto()  # go on as it is
    OPEN = auto()  # try to acquire the cell until that works
    GIVE_WAY = auto()  # try no more: it is another's
    HAND_OVER = auto()  # finish what is under way and give the cell up; its next owner waits for it


class Outlook(NamedTuple):
    """
    What an engine knows of the others at one moment.

    Attributes
    ----------
    fleet
        Those that live.
    late
        Names of those that did not tell so in time, and may be dead.
    """

    fleet: Fleet
    late: frozenset[str] = frozenset()


def next_step(cell: str, engine: str, outlook: Outlook, doing: Doing, ownerless_turns: int) -> Step:
    """
    The next step of an engine about a cell.

    Whoever comes next after an owner that is late stands by: it waits for the cell, and so may read
    it ahead, before anybody knows that the owner is dead. An owner that lives after all keeps it.

    Parameters
    ----------
    ownerless_turns
        For how many turns, of those in which whoever comes first takes a cell, nobody has had it.
        The second in the ranking waits one turn longer than the first, the third two, and so on:
        whoever comes before may be unable to.
    """
    fleet, late = outlook
    ranking = ranked(cell, fleet)
    holder = fleet.holder(cell)
    is_held_elsewhere = holder is not None and holder.engine != engine
    in_time = [name for name in ranking if name not in late]
    stands_by = holder is not None and holder.engine in late and in_time[:1] == [engine]
    match doing:
        case Doing.CLOSING:
            return Step.STAY
        case Doing.HOLDING:
            # Not before the other is ready to take it: until then it is in better hands here.
            is_awaited = bool(ranking) and cell in fleet.engines[ranking[0]].waits
            return Step.HAND_OVER if is_awaited and ranking[0] != engine else Step.STAY
        case Doing.WAITING:
            is_mine = bool(ranking) and ranking[0] == engine
            may_wait = is_mine or stands_by or (engine in ranking and not is_held_elsewhere)
            return Step.STAY if may_wait else Step.GIVE_WAY
        case Doing.NOTHING:
            if engine not in ranking:
                return Step.STAY
            place = ranking.index(engine)
            is_due = place == 0 or (not is_held_elsewhere and ownerless_turns >= place)
            return Step.OPEN if is_due or stands_by else Step.STAY
