"""The floor on the day: its customers and its agents, told by the engine what happens to them."""

from collections.abc import Iterable

from deploy.examples.bank_day.bank_day import BankDay
from deploy.examples.bank_day.customers import Customers
from deploy.examples.bank_day.desks import Desks
from deploy.examples.bank_day.patience import plan
from deploy.examples.bank_day.stage import Stage
from deploy.examples.bank_day.surge import surge_of
from deploy.examples.bank_day.tally import DayFigures, Window, empty_figures
from headgate.v1.event_pb2 import Event


class Floor:
    """
    Everybody who takes part in the window of the day.

    Attributes
    ----------
    figures
        The engine's day so far.
    added
        Contacts of the surge.
    customers, desks
        The two sides.
    """

    def __init__(
        self,
        day: BankDay,
        window: Window,
        stage: Stage,
        surge_s: int | None = None,
        customers: type[Customers] = Customers,
    ) -> None:
        self.figures: DayFigures = empty_figures(day.agents, window)
        planned = plan(day)
        self.added = () if surge_s is None else surge_of(day, planned, surge_s)
        contacts = tuple(contact for contact in planned if window.holds(contact.call)) + self.added
        self.customers = customers(contacts, stage, self.figures)
        self.desks = Desks(day.agents, stage, self.figures, window, self.customers.contact)
        self._stage = stage
        self._window = window

    @property
    def is_over(self) -> bool:
        """Whether the window has passed and nobody who joined within it waits any longer."""
        return self._stage.clock.now_s() >= self._window.until_s and self.customers.is_served

    def take(self, events: Iterable[Event]) -> None:
        """Tell both sides what happened, in order."""
        for event in events:
            self.customers.take(event)
            self.desks.take(event)
