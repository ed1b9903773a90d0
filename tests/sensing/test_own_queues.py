"""The engine's own queues: differences of totals, pauses, rows given anew, sets of agents."""

import numpy as np
import pytest
from numpy.typing import NDArray

from engine.commands import (
    AcceptOffer,
    CancelContact,
    CompleteAssignment,
    DeleteQueue,
    Route,
    SetPresence,
)
from engine.kernels import sampling, windows
from engine.kernels.columns import RECEIVED, TOTALS
from engine.kernels.staff_counts import Counts, Serving, count_staff
from engine.lifecycle import CancelReason, Channel, Presence
from engine.sensing.own_queues import OwnQueues, memberships_of
from engine.sensing.sampling import Sample
from tests.sensing.played import BEGIN_S, Played


def told(rows: NDArray[np.int64], values: NDArray[np.int64]) -> dict[int, list[list[int]]]:
    """Values by row of queue, second by second."""
    return {int(row): values[:, place].tolist() for place, row in enumerate(rows)}


def sample_of(second: int, received: list[int], memberships: int = 0) -> Sample:
    """A floor without agents on which so many contacts have been taken in."""
    totals = np.zeros((len(received), TOTALS), np.int64)
    totals[:, RECEIVED] = received
    queues = np.zeros((len(received), sampling.QUEUE_SAMPLE), np.int64)
    none = np.zeros((0, sampling.AGENT_SAMPLE), np.int64)
    return Sample(second, totals, queues, none, np.zeros((0, 1), np.uint64), memberships)


def test_a_life_of_a_contact_is_told_in_the_seconds_it_happened() -> None:
    """Every column of a reading, from the engine's own transitions."""
    played = Played()
    own = OwnQueues()
    played.queues("q1", wrap_up_ms=0)
    played.agent("a1", "q1")
    own.follow(played.sample())
    played.second += 1
    played.do(Route("c1", "q1", Channel.VOICE))
    played.do(Route("c2", "q1", Channel.VOICE))
    offer_id = played.engine.read.contact("c1", 1_000 * played.second).offer_id
    played.second += 2
    played.do(AcceptOffer(offer_id, "a1"))
    ((of_q1),) = told(*own.follow(played.sample())).values()
    column = {
        windows.OFFERED: 2, windows.ANSWERED: 1, windows.ANSWERED_WITHIN: 1,
        windows.ANSWER_WAIT_MS: 2_000, windows.WAITING: 1, windows.HANDLING: 1,
        windows.OLDEST_WAIT_MS: 2_000,
    }  # fmt: skip
    expected = [column.get(place, 0) for place in range(windows.READING_COLUMNS)]
    # What came is told with the last second; how it stands, with each.
    assert of_q1[-1] == expected
    assert len(of_q1) == 3
    assert all(second[windows.OFFERED] == 0 for second in of_q1[:-1])
    assert all(second[windows.WAITING] == 1 for second in of_q1)
    played.second += 3
    played.do(CompleteAssignment("c1", "a1"))
    played.do(CancelContact("c2", CancelReason.ABANDONED))
    ((of_q1),) = told(*own.follow(played.sample())).values()
    last = of_q1[-1]
    assert (last[windows.HANDLED], last[windows.HANDLE_MS]) == (1, 3_000)
    assert (last[windows.ABANDONED], last[windows.WAITING]) == (1, 0)
    assert (last[windows.AVAILABLE], last[windows.HANDLING]) == (1, 0)


@pytest.mark.parametrize(("pause_s", "seconds"), [(1, 1), (5, 5), (6, 0), (3_600, 0), (0, 0)])
def test_after_a_pause_it_is_not_known_what_came_when(pause_s: int, seconds: int) -> None:
    """A stalled loop must not look like a surge in one second."""
    own = OwnQueues()
    own.follow(sample_of(BEGIN_S, [10]))
    rows, values = own.follow(sample_of(BEGIN_S + pause_s, [17]))
    assert values.shape == (seconds, len(rows), windows.READING_COLUMNS)
    if seconds:
        assert values[:, 0, windows.OFFERED].tolist() == [0] * (seconds - 1) + [7]
    # From then on it goes on from there, not from before.
    _, values = own.follow(sample_of(BEGIN_S + pause_s + 1, [18]))
    assert values[:, 0, windows.OFFERED].tolist() == [1]


def test_first_sample_tells_nothing() -> None:
    """What was taken in before the process started did not come in this second."""
    rows, values = OwnQueues().follow(sample_of(BEGIN_S, [1_000]))
    assert rows.tolist() == [0]
    assert len(values) == 0


def test_queue_without_contacts_and_agents_is_left_to_others() -> None:
    """Zeros of ours would be added to what a gateway tells, and be waited for."""
    played = Played()
    own = OwnQueues()
    played.queues("ours", "theirs")
    played.agent("a1", "ours")
    own.follow(played.sample())
    played.second += 1
    rows, _ = own.follow(played.sample())
    assert rows.tolist() == [played.engine.cell.queue_row("ours", "queue_id")]
    assert own.is_told.tolist() == [True, False]
    played.do(SetPresence("a1", Presence.OFFLINE))
    played.second += 1
    assert own.follow(played.sample())[0].tolist() == []


def test_row_of_a_deleted_queue_begins_anew() -> None:
    """Totals that fall are those of another queue: neither negative nor the old one's counts."""
    played = Played()
    own = OwnQueues()
    played.queues("old")
    for number in range(5):
        played.do(Route(f"c{number}", "old", Channel.VOICE))
    own.follow(played.sample())
    for number in range(5):
        played.do(CancelContact(f"c{number}", CancelReason.ABANDONED))
    played.do(DeleteQueue("old"))
    played.queues("new")
    played.second += 1
    played.do(Route("d1", "new", Channel.VOICE))
    values = own.follow(played.sample())[1]
    assert (values >= 0).all()
    assert values[-1, 0, windows.OFFERED] <= 1
    played.second += 1
    played.do(Route("d2", "new", Channel.VOICE))
    assert own.follow(played.sample())[1][-1, 0, windows.OFFERED] == 1


def test_counts_beyond_a_readings_bounds_are_cut() -> None:
    """A reading that is refused would be a gap in what the engine knows best."""
    own = OwnQueues()
    own.follow(sample_of(BEGIN_S, [0]))
    _, values = own.follow(sample_of(BEGIN_S + 1, [10 * windows.COUNT_MAX]))
    assert values[-1, 0, windows.OFFERED] == windows.COUNT_MAX


@pytest.mark.parametrize("seed", range(20))
def test_sets_of_agents_are_those_of_a_slow_twin(seed: int) -> None:
    """Agents are of one set exactly when they serve the same queues, and it names those."""
    random = np.random.default_rng(seed)
    agents, words = int(random.integers(1, 60)), int(random.integers(1, 4))
    kinds = random.integers(0, 1 << 63, (4, words), np.uint64)
    kinds &= random.integers(0, 1 << 63, (4, words), np.uint64)
    kinds[0] = 0
    serving = kinds[random.integers(0, 4, agents)]
    found = memberships_of(serving)
    by_set: dict[int, set[int]] = {number: set() for number in range(int(found.set_of.max()) + 1)}
    for number, queue in zip(found.sets.tolist(), found.queues.tolist(), strict=True):
        assert queue not in by_set[number]
        by_set[number].add(queue)
    for agent in range(agents):
        bits = {
            queue
            for queue in range(64 * words)
            if int(serving[agent, queue // 64]) >> (queue % 64) & 1
        }
        assert by_set[int(found.set_of[agent])] == bits
    assert len(by_set) == len({tuple(row) for row in serving.tolist()})


@pytest.mark.parametrize("row", [0, 1, 3])
def test_memberships_have_the_layout_that_the_kernel_is_compiled_for(row: int) -> None:
    """A single link looked like another one, and the first second with two compiled once more."""
    serving = memberships_of(np.array([[row]], np.uint64))
    assert all(array.flags.c_contiguous for array in serving)


@pytest.mark.parametrize("seed", range(20))
def test_staff_is_counted_as_a_slow_twin_counts(seed: int) -> None:
    """By set and by queue; links to queues that have no row count for nothing."""
    random = np.random.default_rng(seed)
    agents, sets, queues = (int(random.integers(1, most)) for most in (40, 6, 8))
    serves = random.random((sets, queues + 2)) < 0.5
    set_of = random.integers(0, sets, agents)
    doing = random.integers(sampling.ABSENT, sampling.AWAY + 1, agents)
    slots = random.integers(0, 5, agents)
    kinds = sampling.AWAY + 1
    counts = Counts(
        *(np.zeros(shape, np.int64) for shape in ((sets, kinds), (queues, kinds), sets))
    )
    links = map(np.ascontiguousarray, np.nonzero(serves))
    count_staff(Serving(set_of, *links), np.stack([doing, slots], axis=1), counts)
    everyone = list(zip(set_of.tolist(), doing.tolist(), slots.tolist(), strict=True))
    at_work = (sampling.AVAILABLE, sampling.HANDLING, sampling.IN_WRAP_UP)
    for number in range(sets):
        mine = [(what, room) for member, what, room in everyone if member == number]
        assert counts.by_set[number].tolist() == [
            sum(what == kind for what, _ in mine) for kind in range(kinds)
        ]
        assert counts.slots[number] == sum(room for what, room in mine if what in at_work)
    for queue in range(queues):
        assert counts.by_queue[queue].tolist() == [
            sum(bool(serves[member, queue]) and what == kind for member, what, _ in everyone)
            for kind in range(kinds)
        ]


def test_agents_count_in_every_queue_they_serve() -> None:
    """Present agents by what they do; who is away, or offline, is nowhere."""
    played = Played()
    own = OwnQueues()
    played.queues("q1", "q2")
    for name, served in (("a", ("q1",)), ("b", ("q1", "q2")), ("c", ("q2",)), ("d", ("q2",))):
        played.agent(name, *served)
    played.do(SetPresence("d", Presence.AWAY))
    own.follow(played.sample())
    played.second += 1
    found = told(*own.follow(played.sample()))
    free = {row: seconds[-1][windows.AVAILABLE] for row, seconds in found.items()}
    rows = [played.engine.cell.queue_row(name, "queue_id") for name in ("q1", "q2")]
    assert [free[row] for row in rows] == [2, 2]
    assert sorted(own.staff.present.tolist()) == [1, 1, 1]
    # An agent who serves other queues from now on is counted there.
    played.agent("a", "q2")
    played.second += 1
    found = told(*own.follow(played.sample()))
    assert [found[row][-1][windows.AVAILABLE] for row in rows] == [1, 3]


def test_what_policies_move_is_smoothed_over_a_minute() -> None:
    """It rises and fades, also where an engine that was loaded anew counts from nothing."""
    own = OwnQueues()

    def follow(second: int, **moved: int) -> float:
        sample = sample_of(BEGIN_S + second, [0])._replace(moved_to=moved)
        own.follow(sample)
        return own.moved_in_per_s.get("b", 0.0)

    # What was moved before the first sample says nothing of now.
    assert follow(0, b=500) == 0.0
    rates = [follow(second, b=500 + 2 * second) for second in range(1, 301)]
    assert rates[59] == pytest.approx(2.0 * (1.0 - np.exp(-1.0)), rel=1e-6)
    assert rates[-1] == pytest.approx(2.0, rel=0.01)
    assert follow(301, b=2) == pytest.approx(2.0, rel=0.01)
    for second in range(302, 1_200):
        follow(second, b=2)
    assert own.moved_in_per_s == {}
