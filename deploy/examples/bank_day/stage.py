"""What customers and agents share: the agenda, the bank's clock, and the way to the engine."""

from collections.abc import Callable
from dataclasses import dataclass

from deploy.examples.bank_day.compressed_time import Agenda, DayClock
from headgate.v1.gateway_service_pb2 import SessionCommand


@dataclass(frozen=True, slots=True)
class Stage:
    """
    Where the day is played.

    Attributes
    ----------
    agenda
        What is to happen when.
    clock
        Time of day at the bank.
    send
        Puts a command into the session's next frame.
    """

    agenda: Agenda
    clock: DayClock
    send: Callable[[SessionCommand], None]
