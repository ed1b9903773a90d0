"""
What goes wrong elsewhere, by public bug trackers, and must not here.

Each test is named after what users complained of; its docstring says where.
"""

import pytest

from engine.commands import (
    AcceptOffer,
    CancelContact,
    CompleteAssignment,
    CompleteTransfer,
    Consult,
    DeclineOffer,
    Expire,
    RequeueContact,
    Route,
    Schedule,
    ScheduleContact,
    SetPresence,
    UpdateContact,
    UpsertAgent,
    UpsertQueue,
)
from engine.engine import Engine
from engine.lifecycle import (
    CancelReason,
    Channel,
    ContactState,
    Presence,
    Strategy,
    WrapUpMode,
)
from engine.refusals import CommandRefused, Refusal
from engine.state.contacts import ContactView

VOICE = Channel.VOICE


class Floor:
    """A floor that is easily talked to; time is milliseconds, and stands unless it is moved."""

    def __init__(self, *agents: str, capacity: int = 1, **queue: object) -> None:
        self.engine = Engine()
        self.now_ms = 1_000
        self.define("q", **queue)
        for agent_id in agents:
            self.sign_in(agent_id, capacity=capacity)

    def define(self, queue_id: str, **fields: object) -> None:
        """A queue."""
        self.engine.apply(UpsertQueue(queue_id, **fields), self.now_ms)  # type: ignore[arg-type]

    def sign_in(self, agent_id: str, *queue_ids: str, capacity: int = 1) -> None:
        """An agent, available."""
        served = queue_ids or ("q",)
        agent = UpsertAgent(agent_id, queue_ids=served, capacity=capacity, missed_offers_max=-1)
        self.engine.apply(agent, self.now_ms)
        self.present(agent_id, Presence.AVAILABLE)

    def present(self, agent_id: str, presence: Presence) -> None:
        """Set a presence."""
        self.engine.apply(SetPresence(agent_id, presence), self.now_ms)

    def pass_time(self, duration_ms: int) -> None:
        """Let time pass, and whatever comes due."""
        self.now_ms += duration_ms
        self.engine.apply(Expire(), self.now_ms)

    def route(self, contact_id: str, queue_id: str = "q", **fields: object) -> str:
        """Route a contact; returns the agent it is offered to."""
        command = Route(contact_id, queue_id, VOICE, **fields)  # type: ignore[arg-type]
        return self.engine.apply(command, self.now_ms).agent_id

    def view(self, contact_id: str) -> ContactView:
        """A contact as it stands."""
        return self.engine.read.contact(contact_id, self.now_ms)

    def holder(self, contact_id: str) -> str:
        """The agent a contact is offered to or assigned to."""
        row = self.view(contact_id).agent_row
        return self.engine.cell.agents.slots.ids[row] if row >= 0 else ""

    def accept(self, contact_id: str) -> None:
        """Have the contact accepted by whom it is offered to."""
        offer_id = self.view(contact_id).offer_id
        self.engine.apply(AcceptOffer(offer_id, self.holder(contact_id)), self.now_ms)

    def decline(self, contact_id: str) -> None:
        """Have the contact declined by whom it is offered to."""
        offer_id = self.view(contact_id).offer_id
        self.engine.apply(DeclineOffer(offer_id, self.holder(contact_id)), self.now_ms)

    def complete(self, contact_id: str) -> None:
        """End handling."""
        command = CompleteAssignment(contact_id, self.holder(contact_id))
        self.engine.apply(command, self.now_ms)


def test_age_lost_on_requeue() -> None:
    """Twilio plugin-queued-callbacks#9, amazon-connect-streams#323: its clock started anew."""
    floor = Floor("a")
    floor.define("other")
    floor.route("c", routing_age_ms=7_000)
    floor.accept("c")
    floor.pass_time(20_000)
    floor.engine.apply(RequeueContact("c", "other"), floor.now_ms)
    assert (floor.view("c").routing_age_ms, floor.view("c").wait_ms) == (27_000, 0)
    floor.route("younger", "other")
    floor.sign_in("b", "other")
    assert floor.holder("c") == "b"


def test_rejected_call_rings_the_only_agent_without_pause() -> None:
    """amazon-connect-streams#292."""
    floor = Floor("only", reoffer_delay_only_agent_ms=1_000)
    floor.route("c")
    floor.decline("c")
    assert floor.view("c").state is ContactState.QUEUED
    floor.pass_time(999)
    assert floor.view("c").state is ContactState.QUEUED


def test_declined_contact_never_offered_to_the_only_agent_again() -> None:
    """Salesforce help 000382420."""
    floor = Floor("only", reoffer_delay_only_agent_ms=1_000)
    floor.route("c")
    floor.decline("c")
    floor.pass_time(1_000)
    assert floor.holder("c") == "only"


def test_backlog_not_looked_at_when_an_agent_frees_up_or_comes_online() -> None:
    """chatwoot#10583, #10376, #10685; Rocket.Chat#18041: queued while all were offline."""
    floor = Floor("a")
    floor.present("a", Presence.OFFLINE)
    for number in range(3):
        floor.route(f"c{number}")
    floor.present("a", Presence.AVAILABLE)
    assert floor.holder("c0") == "a"
    floor.accept("c0")
    floor.complete("c0")
    assert floor.holder("c1") == "a"


def test_old_backlog_floods_an_agent() -> None:
    """chatwoot#14766, #14998; Rocket.Chat#18217: more chats than the limit."""
    floor = Floor()
    for number in range(50):
        floor.route(f"c{number}")
    floor.sign_in("a", capacity=4)
    agent = floor.engine.read.agent("a")
    assert (len(agent.contact_rows), agent.capacity_used) == (4, 4)
    assert [floor.holder(f"c{number}") for number in range(5)] == ["a"] * 4 + [""]


def test_two_agents_answer_one_call() -> None:
    """asterisk#176, Rocket.Chat#22206."""
    floor = Floor("a", "b", broadcast_max=2)
    floor.route("c")
    first, second = floor.view("c").offers
    ids = floor.engine.cell.agents.slots.ids
    floor.engine.apply(AcceptOffer(second[0], ids[second[1]]), floor.now_ms)
    with pytest.raises(CommandRefused) as caught:
        floor.engine.apply(AcceptOffer(first[0], ids[first[1]]), floor.now_ms)
    assert caught.value.reason is Refusal.OFFER_GONE
    assert floor.holder("c") == ids[second[1]]


def test_one_who_declines_takes_the_call_from_all_who_ring() -> None:
    """asterisk#1557, opensips#2886: a reject dropped the others, or the caller."""
    floor = Floor("a", "b", "c", broadcast_max=3)
    floor.route("c1")
    floor.decline("c1")
    assert floor.view("c1").state is ContactState.OFFERED
    assert len(floor.view("c1").offers) == 2


def test_agent_stuck_as_reserved() -> None:
    """freeswitch#2540, opensips#2530: an offer nobody answered kept the agent for ever."""
    floor = Floor("a", offer_timeout_ms=5_000)
    floor.route("c")
    floor.pass_time(5_000)
    floor.engine.apply(CancelContact("c", CancelReason.ABANDONED), floor.now_ms)
    assert floor.route("next") == "a"


def test_agent_who_does_not_answer_is_rung_before_all_others() -> None:
    """Rocket.Chat#12579."""
    floor = Floor("a", offer_timeout_ms=5_000)
    floor.route("c")
    floor.now_ms += 1_000
    floor.sign_in("b")
    floor.pass_time(4_000)
    assert floor.holder("c") == "b"


def test_least_occupied_counts_what_was_handled_long_ago() -> None:
    """Rocket.Chat#13134: lifetime chats instead of open ones."""
    floor = Floor("veteran", "new", capacity=3, strategy=Strategy.LEAST_OCCUPIED)
    floor.present("new", Presence.AWAY)
    for number in range(5):
        floor.route(f"old{number}")
        floor.accept(f"old{number}")
        floor.complete(f"old{number}")
    floor.present("new", Presence.AVAILABLE)
    first, second = floor.route("c1"), floor.route("c2")
    assert {first, second} == {"veteran", "new"}


def test_wrap_up_of_one_queue_is_no_wrap_up_for_another() -> None:
    """asterisk#1006: it ended early for members of several queues."""
    floor = Floor(wrap_up_mode=WrapUpMode.TIMED, wrap_up_ms=30_000)
    floor.define("other")
    floor.sign_in("a", "q", "other")
    floor.route("c")
    floor.accept("c")
    floor.complete("c")
    assert floor.route("d", "other") == ""
    floor.pass_time(29_999)
    assert floor.holder("d") == ""
    floor.pass_time(1)
    assert floor.holder("d") == "a"


def test_changed_priority_counts_only_for_those_who_come_later() -> None:
    """asterisk#202."""
    floor = Floor()
    floor.route("c1")
    floor.pass_time(1_000)
    floor.route("c2")
    floor.engine.apply(UpdateContact("c2", priority=5), floor.now_ms)
    floor.sign_in("a")
    assert floor.holder("c2") == "a"


def test_cancel_refused_because_the_contact_was_just_offered() -> None:
    """Twilio plugin-queued-callbacks#35."""
    floor = Floor("a")
    floor.route("c")
    floor.engine.apply(CancelContact("c", CancelReason.ABANDONED), floor.now_ms)
    assert floor.view("c").state is ContactState.ABANDONED
    assert floor.route("next") == "a"


def test_agent_who_turns_busy_keeps_what_was_offered() -> None:
    """Salesforce help 004576806, freeswitch PR #800."""
    floor = Floor("a")
    floor.route("c")
    floor.present("a", Presence.BUSY)
    assert floor.view("c").state is ContactState.QUEUED
    floor.sign_in("b")
    assert floor.holder("c") == "b"


def test_always_the_first_agent() -> None:
    """opensips#2974."""
    floor = Floor("a", "b", "c", strategy=Strategy.ROUND_ROBIN)
    found = []
    for number in range(6):
        found.append(floor.route(f"c{number}"))
        floor.accept(f"c{number}")
        floor.complete(f"c{number}")
    assert found[:3] == found[3:]
    assert sorted(found[:3]) == ["a", "b", "c"]


def test_caller_of_a_busy_queue_passes_one_who_waited_longer_elsewhere() -> None:
    """asterisk#108: order across queues."""
    floor = Floor()
    floor.define("other")
    floor.route("old", "other")
    floor.pass_time(1_000)
    for number in range(5):
        floor.route(f"young{number}")
    floor.sign_in("a", "q", "other")
    assert floor.holder("old") == "a"


def test_callback_jumps_the_line_or_loses_its_place() -> None:
    """Twilio's callback plugin: callbacks went before waiting callers, or began at age 0."""
    floor = Floor("ann")
    floor.present("ann", Presence.AWAY)
    floor.route("first")
    floor.pass_time(10_000)
    floor.route("second")
    keep = ScheduleContact("first", Schedule(), Channel.CALLBACK)
    floor.engine.apply(keep, floor.now_ms)
    later = Schedule(floor.now_ms + 60_000)
    floor.engine.apply(Route("appointment", "q", Channel.CALLBACK, schedule=later), floor.now_ms)
    floor.pass_time(120_000)
    floor.present("ann", Presence.AVAILABLE)
    order = []
    for contact_id in ("first", "second", "appointment"):
        assert floor.holder(contact_id) == "ann"
        order.append(contact_id)
        cancel = CancelContact(contact_id, CancelReason.WITHDRAWN)
        floor.engine.apply(cancel, floor.now_ms)
    assert order == ["first", "second", "appointment"]


def test_transferred_call_forgets_what_was_said() -> None:
    """Several boards: the next agent asks all over again, and the caller queues as if new."""
    floor = Floor("ann", "bob")
    floor.route("call", attributes={"name": "Ada"}, routing_age_ms=30_000)
    floor.engine.apply(AcceptOffer(floor.view("call").offer_id, "ann"), floor.now_ms)
    ask = Consult("call", "ann", "question", attributes={"note": "card blocked"})
    floor.engine.apply(ask, floor.now_ms)
    floor.engine.apply(AcceptOffer(floor.view("question").offer_id, "bob"), floor.now_ms)
    floor.engine.apply(CompleteTransfer("call", "ann"), floor.now_ms)
    call = floor.view("call")
    assert floor.holder("call") == "bob"
    assert (call.attributes, call.routing_age_ms) == (
        {"name": "Ada", "note": "card blocked"},
        30_000,
    )
