"""
Deciding for one cell: the policies in force are looked at once a second, after sensing.

What comes out is one `Steer`: it goes to the engine as a command, which begins and ends activations
and acts on contacts. Nothing here touches a contact.
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from engine.deciding.book import Book
from engine.deciding.elsewhere import NO_READINGS, Readings
from engine.deciding.moment import Moment, queues_of
from engine.policies import PolicyStage
from engine.policy.guards import Switches
from engine.policy.in_force import InForce
from engine.sensing.sensing import Sensing
from engine.steering import ActivationCause, Order, Shift, Steer, Subject


class _Books(NamedTuple):
    """Versions that are active, and those on trial."""

    active: Book
    trial: Book


class Deciding:
    """
    Policies of one cell at work. Not for two threads at a time.

    Attributes
    ----------
    switches
        What people have said of policies; to be set.
    readings
        What other cells have told of their queues; to be set.
    """

    def __init__(self) -> None:
        self.switches = Switches()
        self.readings: Readings = NO_READINGS
        self._policies: tuple[InForce, ...] = ()
        self._books: _Books | None = None
        self._made_of: tuple[object, ...] = ()
        # What was on when the process before this one ended, and when it began.
        self._resumed: dict[Subject, int] = {}

    def use(self, policies: Sequence[InForce]) -> None:
        """Have these versions in force, from the next step on."""
        self._policies = tuple(policies)

    def resume(self, begun: Mapping[Subject, int]) -> None:
        """Tell what was on when the process before this one ended, and when each began, ms."""
        self._resumed = dict(begun)

    def step(self, sensing: Sensing, now_ms: int) -> Steer:
        """Decide for a second; `now_ms` must be after that of the last step."""
        ended = self._follow(sensing)
        if self._books is None:
            return Steer(ended)
        moment = Moment(sensing, self._books.active.queues, now_ms, self.readings)
        shifts: list[Shift] = list(ended)
        orders: list[Order] = []
        for book in self._books:
            if book.policies:
                steer = book.step(moment, self.switches)
                shifts += steer.shifts
                orders += steer.orders
        return Steer(tuple(shifts), tuple(orders))

    def books(self) -> tuple[Book, ...]:
        """The books, the one that acts first; none before the first step with a policy."""
        return () if self._books is None else tuple(self._books)

    def _follow(self, sensing: Sensing) -> tuple[Shift, ...]:
        """Make books anew where policies or queues have changed; returns what ends with that."""
        made_of = self._policies, sensing.directory.rows.changes, id(sensing.directory)
        if made_of == self._made_of or not (self._policies or self._books or self._resumed):
            return ()
        self._made_of = made_of
        queues = queues_of(sensing)
        books = _Books(
            Book([item for item in self._policies if item.stage is PolicyStage.ACTIVE], queues),
            Book([item for item in self._policies if item.stage is not PolicyStage.ACTIVE], queues),
        )
        shifts: list[Shift] = []
        if self._books is None:
            for book in books:
                book.resume(self._resumed)
            shifts += _orphans(self._resumed, books)
            self._resumed = {}
        else:
            for book, before in zip(books, self._books, strict=True):
                shifts += book.take_over(before)
        self._books = books if self._policies else None
        return tuple(shifts)


def _orphans(begun: Mapping[Subject, int], books: Sequence[Book]) -> list[Shift]:
    """The end of activations whose version is no longer in force."""
    resumed = {subject for book in books for subject in book.subjects_on()}
    return [_withdrawn(subject) for subject in begun if subject not in resumed]


def _withdrawn(subject: Subject) -> Shift:
    return Shift(subject, PolicyStage.ACTIVE, is_on=False, cause=ActivationCause.WITHDRAWN)
