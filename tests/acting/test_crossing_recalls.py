"""Contacts whose customer left, or that are called back, while they cross to another cell."""

from engine.commands import AcceptOffer, CancelContact
from engine.crossing import CrossingAnswer, RecallContact
from engine.lifecycle import CancelReason, ContactState
from tests.acting.two_cells import TO_SOUTH, TwoCells, restarted

TAKEN, REFUSED = CrossingAnswer.TAKEN, CrossingAnswer.REFUSED


def test_contact_that_was_withdrawn_is_withdrawn_there(cells: TwoCells) -> None:
    cells.route()
    cells.receive(cells.the_one)
    cells.north.do(CancelContact("c", CancelReason.WITHDRAWN))
    restarted(cells.north, TO_SOUTH)
    cells.bring_all()
    assert cells.state(cells.south) is ContactState.CANCELLED


def test_customer_who_left_on_the_way_is_never_taken(cells: TwoCells) -> None:
    cells.route()
    early = cells.the_one
    cells.north.do(CancelContact("c", CancelReason.ABANDONED))
    recall = cells.the_one
    assert isinstance(recall, RecallContact)
    assert recall.left == CancelReason.ABANDONED
    brought = cells.receive(recall)
    assert (brought.answer, cells.receive(early).answer) == (REFUSED, REFUSED)
    cells.settle(brought)
    assert cells.state(cells.north) is ContactState.ABANDONED
    assert not cells.sent()
    assert cells.state(cells.south) is None


def test_customer_who_left_is_taken_out_again(cells: TwoCells) -> None:
    cells.route()
    cells.receive(cells.the_one)
    cells.north.do(CancelContact("c", CancelReason.ABANDONED))
    cells.bring_all()
    assert cells.state(cells.south) is ContactState.ABANDONED


def test_customer_who_left_before_the_answer_came_is_taken_out(cells: TwoCells) -> None:
    """What is told of a contact that is taken is no answer to its customer having left."""
    cells.route()
    brought = cells.receive(cells.the_one)
    cells.north.do(CancelContact("c", CancelReason.ABANDONED))
    cells.settle(brought)
    assert cells.sent() == cells.sent(recalls=True)
    cells.bring_all()
    assert cells.state(cells.south) is ContactState.ABANDONED
    assert not cells.sent()


def test_what_is_recalled_in_time_is_back(cells: TwoCells) -> None:
    """South does not take contacts in now, but it answers."""
    cells.route()
    early = cells.the_one
    (recall,) = cells.sent(recalls=True)
    brought = cells.receive(recall)
    assert cells.receive(early).answer is brought.answer is REFUSED
    cells.settle(brought)
    assert (cells.is_in(cells.north), cells.is_in(cells.south)) == (True, False)


def test_what_is_recalled_too_late_stays_there(cells: TwoCells) -> None:
    cells.route()
    cells.receive(cells.the_one)
    (recall,) = cells.sent(recalls=True)
    brought = cells.receive(recall)
    assert brought.answer is TAKEN
    cells.settle(brought)
    assert (cells.is_in(cells.north), cells.is_in(cells.south)) == (False, True)


def test_agent_who_has_it_learns_of_it_from_the_line(cells: TwoCells) -> None:
    cells.south.agent("ann", "b")
    cells.route()
    cells.receive(cells.the_one)
    cells.south.do(AcceptOffer(cells.south.contact("c").offer_id, "ann"))
    cells.north.do(CancelContact("c", CancelReason.ABANDONED))
    cells.bring_all()
    assert cells.state(cells.south) is ContactState.ASSIGNED
    assert not cells.sent()
