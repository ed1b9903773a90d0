"""What the desk keeps of policies and contacts: for how long, and across what is published."""

import pytest

from engine.acting.rulebook import Rulebook
from engine.choices import RefuseChoice
from engine.commands import CancelContact, Requirements, UpdateContact, UpsertAgent
from engine.encoding import kept_json
from engine.engine import Engine
from engine.lifecycle import CancelReason
from engine.policies import PolicyStage
from engine.policy.in_force import InForce
from engine.state.contacts import said_in
from engine.steering import ActivationCause, Counted, Order, Shift, Steer, Subject
from tests.acting.desk_played import DeskPlayed
from tests.deciding.deciding_played import a_policy
from tests.policy.written import relief

A = Subject("surge", 1, "a")
OFF = Shift(A, PolicyStage.ACTIVE, is_on=False, cause=ActivationCause.EXIT)


def test_publishing_something_else_does_not_refill_a_minute_budget(played: DeskPlayed) -> None:
    """A budget is of the minute: a new version, of this policy or any, has what is left of it."""
    text = a_policy(more="guards: {contacts_per_minute: 3}")
    played.use(text)
    played.on(A)
    assert [played.route(f"c{number}").queue_id for number in range(4)] == ["b", "b", "b", "a"]
    played.use(text, a_policy(name="other"))
    played.do(Steer((), (Order(A, 1.0),)))
    assert played.route("late").queue_id == "a"
    played.rule([InForce(relief(text), 2, PolicyStage.ACTIVE)])
    played.on(Subject("surge", 2, "a"))
    assert played.route("later").queue_id == "a"
    played.now_ms += 61_000
    assert played.route("next").queue_id == "b"


def test_what_is_in_force_still_acts_while_something_else_is_published(played: DeskPlayed) -> None:
    """Not only from the next second on."""
    played.on(A)
    played.use(a_policy(), a_policy(name="other"))
    assert played.route("meanwhile").queue_id == "b"
    played.rule([InForce(relief(a_policy()), 2, PolicyStage.ACTIVE)])
    assert played.route("withdrawn").queue_id == "a"


def test_contacts_that_nobody_acted_on_are_forgotten(played: DeskPlayed) -> None:
    """Where a policy is on for days and few are eligible, what is kept of the others is bounded."""
    played.use(a_policy(more='eligible: contact.tier == "gold"'))
    played.on(A)
    for number in range(5_000):
        played.route(f"c{number}")
        played.do(CancelContact(f"c{number}", CancelReason.ABANDONED))
    played.now_ms += 1_000
    played.do(Steer((), (Order(A, 1.0),)))
    assert played.engine.desk.notes < 1_000


def test_a_policy_reads_what_the_one_before_it_changed(played: DeskPlayed) -> None:
    """What is looked up of a contact is looked up once, but not across a change."""
    low = "eligible: contact.priority < 9"
    raises = a_policy(name="raises", actions="[{change_priority: {to: 9}}]", more=low)
    played.use(raises, a_policy(more="eligible: contact.priority == 9"))
    both = Subject("raises", 1, "a"), A
    shifts = (
        Shift(subject, PolicyStage.ACTIVE, is_on=True, cause=ActivationCause.ENTER)
        for subject in both
    )
    played.do(Steer(tuple(shifts), tuple(Order(subject, 1.0) for subject in both)))
    assert played.route("contact", priority=1).queue_id == "b"


def test_what_is_learned_of_a_contact_while_it_waits_counts(played: DeskPlayed) -> None:
    """Attributes come late where a gateway looks the customer up after it has routed them."""
    played.use(a_policy(more='eligible: contact.tier == "gold" && !("vip" in contact.tags)'))
    played.do(UpsertAgent("nobody", queue_ids=("a",), tags=("vip",)))
    played.on(A)
    played.route("contact")
    played.route("vip", attributes={"tier": "gold"}, requirements=Requirements(tags=("vip",)))
    played.next_second(Order(A, 1.0))
    assert [played.queue_of(name) for name in ("contact", "vip")] == ["a", "a"]
    played.do(UpdateContact("contact", attributes={"tier": "gold"}))
    played.do(UpdateContact("vip", requirements=Requirements()))
    played.next_second(Order(A, 1.0))
    assert [played.queue_of(name) for name in ("contact", "vip")] == ["b", "b"]


def test_a_contact_that_is_no_longer_eligible_is_let_be(played: DeskPlayed) -> None:
    """The share grows to it only once its customer was found to be one to spare."""
    played.use(a_policy(more='eligible: contact.tier != "gold"'))
    played.on(A, 0.0001)
    played.route("contact")
    played.do(UpdateContact("contact", attributes={"tier": "gold"}))
    played.next_second(Order(A, 1.0))
    assert played.queue_of("contact") == "a"


def test_conditions_on_the_time_of_day_are_looked_at_again(played: DeskPlayed) -> None:
    minute = (played.now_ms // 60_000) % 60
    played.use(a_policy(more=f"eligible: time.minute != {minute}"))
    played.on(A)
    played.route("contact")
    assert played.queue_of("contact") == "a"
    played.now_ms += 60_000
    played.next_second(Order(A, 1.0))
    assert played.queue_of("contact") == "b"


def test_who_refused_is_not_asked_again_after_a_restart(played: DeskPlayed) -> None:
    """What a policy has done to a contact is kept with the contact."""
    ask = "[{offer_choice: {options: [{wait: {}}, {callback: {}}]}}]"
    text = a_policy(actions=ask).replace("OverflowPolicy", "DiversionPolicy")
    played.use(text)
    played.on(A)
    played.route("contact")
    played.do(RefuseChoice("contact"))
    policy = relief(text)
    for _ in range(2):
        again = Engine()
        again.load(list(played.rows.values()))
        again.desk.use(Rulebook([InForce(policy, 1, PolicyStage.ACTIVE)]))
        played.engine = again
        played.next_second(Order(A, 1.0))
        assert played.contact("contact").choice is None
    assert played.counts()[Counted.OFFERED] == 1


def test_answers_that_are_kept_are_bounded(
    played: DeskPlayed, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A condition on what every customer has another value of costs time, not memory."""
    monkeypatch.setattr("engine.acting.eligibility._ANSWERS_MAX", 8)
    played.use(a_policy(more='eligible: contact.attributes.customer in ["7", "19"]'))
    played.on(A)
    moved = [
        number
        for number in range(30)
        if played.route(f"c{number}", attributes={"customer": str(number)}).queue_id == "b"
    ]
    assert moved == [7, 19]
    (acting,) = played.engine.desk.rulebook.acting.values()
    assert len(acting.group._answers) <= 8


def test_a_contact_that_an_older_version_wrote_is_read() -> None:
    """It did not keep which policies had acted on it."""
    older = kept_json([None, {"tier": "gold"}, [], [None, None, 1, "before", 2]])
    steered = said_in(older).steered
    assert (steered.hops, steered.continues_contact_id, steered.returns) == (1, "before", 2)
    assert steered.policies == ()
