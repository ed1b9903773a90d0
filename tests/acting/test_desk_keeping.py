"""What the desk keeps of policies and contacts: for how long, and across what is published."""

import pytest

from engine.commands import CancelContact
from engine.lifecycle import CancelReason
from engine.policies import PolicyStage
from engine.policy.in_force import InForce
from engine.steering import ActivationCause, Order, Shift, Steer, Subject
from tests.acting.desk_played import DeskPlayed
from tests.deciding.deciding_played import a_policy
from tests.policy.written import relief

A = Subject("surge", 1, "a")
OFF = Shift(A, PolicyStage.ACTIVE, is_on=False, cause=ActivationCause.EXIT)


@pytest.fixture
def played() -> DeskPlayed:
    """Queues a and b, nobody there; what is on in a moves its contacts to b."""
    found = DeskPlayed()
    found.use(a_policy())
    return found


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


def test_sets_of_what_is_settled_are_bounded(played: DeskPlayed) -> None:
    """A contact that waits for days while a policy goes on and off keeps what counts now."""
    played.use(a_policy(more='eligible: contact.tier == "gold"'))
    played.route("waits")
    for _ in range(20):
        played.on(A)
        played.do(Steer((OFF,)))
    played.on(A)
    assert played.engine.desk._settled == {"waits": frozenset({21})}
