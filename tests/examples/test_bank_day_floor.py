"""Customers and agents of the demo: what they tell the engine, and when."""

import pytest

from deploy.examples.bank_day.bank_day import BankAgent, BankDay, Call, parse_day
from deploy.examples.bank_day.comparison import count_differences
from deploy.examples.bank_day.compressed_time import Agenda, Compression, DayClock
from deploy.examples.bank_day.floor import Floor
from deploy.examples.bank_day.stage import Stage
from deploy.examples.bank_day.tally import Window
from headgate.v1.agent_pb2 import Presence
from headgate.v1.event_pb2 import Event, EventKind
from headgate.v1.gateway_service_pb2 import SessionCommand
from headgate.v1.queue_pb2 import QueueSnapshot
from headgate.v1.routing_service_pb2 import CancelReason

FROM_S, UNTIL_S = 36_000, 37_000
ANSWERED = Call(1, 36_005, "PS", 5, 36_010, "AGENT", 20, 100, "AG01", 2)
HUNG_UP = Call(2, 36_015, "NE", 5, 36_020, "HANG", 40, None, "", 1)
EARLY = Call(3, 35_000, "PS", 5, 35_005, "AGENT", 0, 100, "AG01", 0)
FIRST, SECOND = "1999-05-10-0001", "1999-05-10-0002"


class HandClock(DayClock):
    """A clock moved by hand."""

    def __init__(self) -> None:
        super().__init__(Compression(60), FROM_S)
        self.at_s: float = FROM_S

    def now_s(self) -> float:
        """Whatever it was set to."""
        return self.at_s


class Scene:
    """A floor with everything it sent so far."""

    def __init__(
        self, *agents: BankAgent, calls: tuple[Call, ...] = (EARLY, ANSWERED, HUNG_UP)
    ) -> None:
        self.clock = HandClock()
        self.agenda = Agenda()
        self.sent: list[SessionCommand] = []
        day = BankDay(parse_day("1999-05-10"), calls, agents)
        stage = Stage(self.agenda, self.clock, self.sent.append)
        self.floor = Floor(day, Window(FROM_S, UNTIL_S), stage)

    def at(self, now_s: float) -> list[SessionCommand]:
        """Move the clock and return what was sent meanwhile."""
        del self.sent[:]
        self.clock.at_s = now_s
        self.agenda.run_due(now_s)
        return self.sent

    def tell(self, kind: EventKind.ValueType, contact_id: str = FIRST, **fields: object) -> None:
        """An event of the contact at the agent AG01."""
        event = Event(kind=kind, contact_id=contact_id, agent_id="AG01", offer_id="o1")
        for name, value in fields.items():
            setattr(event, name, value)
        self.floor.take([event])


def agent(*away: tuple[int, int], start_s: int = 35_000, end_s: int = 40_000) -> BankAgent:
    """An agent for regular banking."""
    return BankAgent("AG01", start_s, end_s, {"PS": 4}, away)


def test_customer_joins_when_the_log_says() -> None:
    """The contact carries the queue, the skill and the bank's credit for priority 2."""
    scene = Scene()
    assert scene.at(36_009) == []

    (command,) = scene.at(36_010)

    assert command.route.contact_id == FIRST
    assert command.route.queue_id == "PS"
    assert command.route.priority == 1
    assert [each.skill for each in command.route.requirements.skills] == ["PS"]
    (command,) = scene.at(36_020)
    assert (command.route.queue_id, command.route.priority) == ("NE", 0)
    assert scene.floor.figures.total.offered == 2


def test_customer_hangs_up_when_its_patience_ends() -> None:
    """As at the bank, if nobody was faster; the engine's word decides what became of it."""
    scene = Scene(calls=(EARLY, HUNG_UP))
    scene.at(36_020)
    assert scene.at(36_059) == []

    (command,) = scene.at(36_060)

    assert command.cancel_contact.contact_id == SECOND
    assert command.cancel_contact.reason == CancelReason.CANCEL_REASON_ABANDONED
    assert scene.floor.figures.total.abandoned == 0
    scene.tell(EventKind.EVENT_KIND_CONTACT_ABANDONED, SECOND)
    assert scene.floor.figures.by_type["NE"].abandoned == 1


def test_answered_customer_does_not_hang_up_and_its_wait_is_the_bank_s_time() -> None:
    """The engine reports milliseconds here; 500 of them are 30 s there."""
    scene = Scene(agent(), calls=(EARLY, HUNG_UP))
    scene.at(36_020)
    scene.tell(EventKind.EVENT_KIND_CONTACT_ASSIGNED, SECOND, wait_ms=500)

    assert all(not command.HasField("cancel_contact") for command in scene.at(36_900))
    assert scene.floor.figures.by_type["NE"].waits_s == [30]


def test_agent_picks_up_after_ringing_and_completes_after_the_service() -> None:
    """The agent's side of a contact, from offer to wrap-up."""
    scene = Scene(agent(), calls=(EARLY, ANSWERED))
    scene.at(36_010)
    scene.tell(EventKind.EVENT_KIND_OFFER_ISSUED)
    assert scene.at(36_011) == []
    (command,) = scene.at(36_012)
    assert (command.accept_offer.offer_id, command.accept_offer.agent_id) == ("o1", "AG01")

    scene.tell(EventKind.EVENT_KIND_OFFER_ACCEPTED)
    scene.tell(EventKind.EVENT_KIND_CONTACT_ASSIGNED)
    (command,) = scene.at(36_112)
    assert command.complete_assignment.contact_id == FIRST

    scene.tell(EventKind.EVENT_KIND_CONTACT_WRAP_UP_STARTED)
    scene.at(36_115)
    scene.tell(EventKind.EVENT_KIND_CONTACT_COMPLETED)
    assert scene.floor.desks.by_agent["AG01"].contact_id == ""
    assert scene.floor.figures.by_type["PS"].handling_s == 100


@pytest.mark.parametrize(
    "kind", [EventKind.EVENT_KIND_OFFER_EXPIRED, EventKind.EVENT_KIND_OFFER_RESCINDED]
)
def test_offer_that_is_over_is_not_accepted(kind: EventKind.ValueType) -> None:
    """An agent who hears no ringing picks nothing up."""
    scene = Scene(agent())
    scene.at(36_010)
    scene.tell(EventKind.EVENT_KIND_OFFER_ISSUED)
    scene.tell(kind)

    assert scene.at(36_015) == []
    assert scene.floor.desks.offers[kind] == 1


def test_agent_comes_goes_on_break_and_leaves() -> None:
    """Presence follows the shift and the breaks of the log."""
    scene = Scene(agent((36_100, 36_200), start_s=36_050, end_s=36_300), calls=(EARLY,))
    expected = (
        (36_050, Presence.PRESENCE_AVAILABLE, ""),
        (36_100, Presence.PRESENCE_AWAY, "break"),
        (36_200, Presence.PRESENCE_AVAILABLE, ""),
    )
    for at_s, presence, reason in expected:
        scene.at(at_s - 1)
        (command,) = scene.at(at_s)
        assert (command.set_presence.presence, command.set_presence.reason) == (presence, reason)

    (command,) = scene.at(36_300)
    assert command.drain_agent.agent_id == "AG01"


def test_window_that_opens_in_a_break_finds_the_agent_away() -> None:
    """Starting in mid-day must not put agents to work who were at lunch."""
    scene = Scene(agent((35_500, 36_005), (36_300, 36_400)))

    (command,) = scene.at(FROM_S)
    assert command.set_presence.presence == Presence.PRESENCE_AWAY
    (command,) = scene.at(36_005)
    assert command.set_presence.presence == Presence.PRESENCE_AVAILABLE


def test_request_ids_are_never_used_twice() -> None:
    """The engine would answer the second command with the reply to the first."""
    scene = Scene(agent((36_100, 36_200), (36_300, 36_400)))
    commands = [*scene.at(36_150), *scene.at(UNTIL_S)]

    ids = [getattr(each, each.WhichOneof("command") or "").request_id for each in commands]
    # Two customers join and hang up, one agent comes and takes two breaks.
    assert len(ids) == 2 * 2 + 5
    assert len(set(ids)) == len(ids)


def test_play_is_over_when_the_window_has_passed_and_nobody_waits() -> None:
    """Whoever joined before the end still waits to be answered or hangs up."""
    scene = Scene(agent())
    scene.at(36_030)
    scene.tell(EventKind.EVENT_KIND_CONTACT_ABANDONED, SECOND)
    scene.at(UNTIL_S)
    assert not scene.floor.is_over

    scene.tell(EventKind.EVENT_KIND_CONTACT_ASSIGNED)
    assert scene.floor.is_over
    scene.clock.at_s = 36_999
    assert not scene.floor.is_over


def test_contact_in_hand_at_the_end_counts_up_to_the_end() -> None:
    """Occupancy covers the window, whole."""
    scene = Scene(agent())
    scene.at(36_990)
    scene.tell(EventKind.EVENT_KIND_CONTACT_ASSIGNED)
    scene.at(37_050)
    scene.floor.desks.close()

    assert scene.floor.figures.total.handling_s == 10


def test_calls_of_a_surge_join_the_others() -> None:
    """They are played as any call: they join, wait and hang up."""
    stage = Stage(Agenda(), HandClock(), lambda _command: None)
    day = BankDay(parse_day("1999-05-10"), (EARLY, ANSWERED, HUNG_UP), (agent(),))
    floor = Floor(day, Window(FROM_S, FROM_S + 1_200), stage, FROM_S)

    stage.agenda.run_due(FROM_S + 1_200)

    assert len(floor.added) == 4
    assert floor.figures.total.offered == 2 + 4


def test_counts_that_differ_from_the_engine_s_own_are_named() -> None:
    """The demo checks itself: an event lost on the way would show here."""
    scene = Scene()
    scene.at(36_020)
    agreeing = QueueSnapshot(queue_id="PS", received_total=1)

    assert count_differences(scene.floor.figures, [agreeing]) == []
    assert count_differences(
        scene.floor.figures, [agreeing, QueueSnapshot(queue_id="NE", received_total=2)]
    ) == ["NE: the engine counted 2 offered, the gateway 1"]
