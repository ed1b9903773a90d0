"""
The window played twice, without a policy and with one, in the bank's own time.

At 60× the engine's clock runs through a second while the bank's runs through a minute: it cannot
sense the bank's day, and a policy of it cannot either. So here nothing waits for a clock. An engine
within this process is told the time; every command, every deadline and every second of the bank's
day happens in order; what is sensed and decided is what the engine senses and decides. Two plays of
the same window are the same but for the policy, to the last draw.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from google.protobuf.message import Message

from adapters.calls import METHODS
from adapters.errors import CallRefused
from adapters.messages import event_message
from adapters.policy_source.checker import CelChecker
from adapters.policy_source.reading import read_policies
from deploy.examples.bank_day.bank_day import TYPES, BankDay, BankDayError
from deploy.examples.bank_day.callers import Callers
from deploy.examples.bank_day.compressed_time import Agenda, Compression, DayClock
from deploy.examples.bank_day.floor import Floor
from deploy.examples.bank_day.past import Weeks
from deploy.examples.bank_day.queues import agent_request, queue_requests
from deploy.examples.bank_day.seconds import midnight_s
from deploy.examples.bank_day.sensed_day import ADVANCE_S, SensedDay
from deploy.examples.bank_day.session import MAY_CROSS
from deploy.examples.bank_day.stage import Stage
from deploy.examples.bank_day.tally import Window
from engine.acting.rulebook import Rulebook
from engine.commands import Command, Expire
from engine.deciding.deciding import Deciding
from engine.effects import Effect
from engine.engine import Engine
from engine.policies import PolicyStage
from engine.policy.compiled import CompiledRelief
from engine.policy.in_force import InForce
from engine.refusals import CommandRefused
from engine.sensing.sampling import take_sample
from headgate.v1.agent_pb2 import ChannelCapacity
from headgate.v1.contact_pb2 import Channel
from headgate.v1.event_pb2 import Event
from headgate.v1.gateway_service_pb2 import SessionCommand

# Where callbacks wait; behind everybody who is on the line.
LATER: Final = "later"
_LATER_PRIORITY: Final = -1
_METHODS: Final = {method.session_field: method for method in METHODS if method.session_field}
# Time in which the callbacks of a play are made, after its window.
_OVERTIME_S: Final = 3 * 3_600
_MINUTE_S: Final = 60
_EVERY_S: Final = 5 * _MINUTE_S


class ToldClock(DayClock):
    """
    The time of day at the bank, as it is told.

    Attributes
    ----------
    at_s
        Seconds since midnight.
    """

    def __init__(self, start_s: float) -> None:
        super().__init__(Compression(1.0), start_s)
        self.at_s = start_s

    def now_s(self) -> float:
        """Seconds since midnight at the bank."""
        return self.at_s


@dataclass(frozen=True, slots=True)
class Moment:
    """How many wait at a time of day, and how long the first of them has, seconds."""

    at_s: int
    waiting: int
    oldest_s: int


class Playing:
    """
    One play.

    Parameters
    ----------
    policies
        In force from the beginning on.

    Attributes
    ----------
    engine, floor, callers
        What played.
    moments
        The floor every five minutes.
    """

    def __init__(
        self,
        day: BankDay,
        weeks: Weeks | None,
        window: Window,
        surge_s: int | None,
        policies: Sequence[InForce] = (),
    ) -> None:
        self.engine = Engine()
        self.moments: list[Moment] = []
        self._window = window
        self._midnight_s = midnight_s(day.day)
        self._clock = ToldClock(window.from_s)
        self._agenda = Agenda()
        self._define(day)
        rows = self.engine.cell.queues
        definitions = {rows.slots.row_of(LATER): rows.payloads[rows.slots.row_of(LATER)]}
        self._sensed = SensedDay(day, weeks, window, definitions)
        self._deciding = Deciding()
        self._deciding.use(policies)
        self.engine.desk.use(Rulebook(policies))
        self.floor = Floor(
            day, window, Stage(self._agenda, self._clock, self._send), surge_s, Callers
        )
        callers = self.floor.customers
        assert isinstance(callers, Callers)
        self.callers = callers

    @property
    def began_with(self) -> str:
        """What the forecast knew before, in words."""
        return self._sensed.record.began_with

    def run(self) -> None:
        """Play to the end, callbacks included."""
        until_s = self._window.until_s + _OVERTIME_S
        second = int(self._window.from_s)
        while not self.floor.is_over and second < until_s:
            second += 1
            self._pass_until(second)
            self._end_second(second)
        self.floor.desks.close()

    def _pass_until(self, second: int) -> None:
        """What is due before a second begins, in order."""
        while (due_s := min(self._agenda.next_s(), self._deadline_s())) < second:
            self._clock.at_s = max(due_s, self._clock.at_s)
            if self._deadline_s() <= self._clock.at_s:
                self._apply(Expire())
            self._agenda.run_due(self._clock.at_s)
        self._clock.at_s = float(second)

    def _end_second(self, second: int) -> None:
        sample = take_sample(self.engine.cell, self._midnight_s + second - 1)
        self._sensed.take([sample])
        if second % ADVANCE_S == 0:
            self._apply(self._deciding.step(self._sensed.sensing, self._now_ms()))
        if second % _EVERY_S == 0:
            lines = [self.engine.read.snapshot(name, self._now_ms()) for name in TYPES]
            oldest_ms = max(item.oldest_wait_ms for item in lines)
            count = sum(item.waiting + item.offered for item in lines)
            self.moments.append(Moment(second, count, oldest_ms // 1_000))

    def _define(self, day: BankDay) -> None:
        requests: list[tuple[str, Message]] = []
        for queue in queue_requests(self._clock.compression):
            requests.append(("UpsertQueue", queue))
        later = queue_requests(self._clock.compression)[0]
        later.request_id, later.queue.queue_id = f"{LATER}:define", LATER
        later.queue.priority = _LATER_PRIORITY
        later.queue.max_wait_ms = 0
        requests.append(("UpsertQueue", later))
        for agent in day.agents:
            request = agent_request(agent)
            request.agent.queue_ids.append(LATER)
            request.agent.channels.append(ChannelCapacity(channel=Channel.CHANNEL_CALLBACK, cost=1))
            requests.append(("UpsertAgent", request))
        by_name = {method.name: method for method in METHODS}
        for name, message in requests:
            by_name[name].run(self.engine, message, self._now_ms())
        self.engine.take_group()

    def _send(self, command: SessionCommand) -> None:
        """Do what a session would carry."""
        name = command.WhichOneof("command")
        assert name is not None
        try:
            _METHODS[name].run(self.engine, getattr(command, name), self._now_ms())
        except (CommandRefused, CallRefused):
            if name not in MAY_CROSS | {"accept_choice", "refuse_choice"}:
                raise
        self._tell()

    def _apply(self, command: Command) -> None:
        self.engine.apply(command, self._now_ms())
        self._tell()

    def _tell(self) -> None:
        """Tell the floor what happened; the floor answers in its own time."""
        events: list[Event] = []
        for item in self.engine.take_group().effects:
            events.append(event_message(Effect(*item), ""))  # type: ignore[arg-type]
        self.floor.take(events)

    def _deadline_s(self) -> float:
        return self.engine.next_deadline_ms() / 1_000 - self._midnight_s

    def _now_ms(self) -> int:
        return round(1_000 * (self._midnight_s + self._clock.at_s))


def policies_of(path: Path) -> list[InForce]:
    """
    The diversion and overflow policies of a file, in force.

    Raises
    ------
    BankDayError
        It cannot be read, or has errors.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        message = f"--policy {path}: {error}"
        raise BankDayError(message) from None
    found = read_policies(str(path), text, CelChecker())
    if found.problems:
        raise BankDayError("\n".join(["--policy:", *map(str, found.problems)]))
    policies = [item.compiled for item in found.policies]
    return [
        InForce(item, 1, PolicyStage.ACTIVE)
        for item in policies
        if isinstance(item, CompiledRelief)
    ]
