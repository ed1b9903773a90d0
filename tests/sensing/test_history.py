"""Histories into what is sensed: taken over whole, or refused with nothing changed."""

from collections.abc import Callable

import numpy as np
import pytest

from engine.commands import UpsertQueue
from engine.definitions import Hours, OpeningPeriod
from engine.encoding import kept_json
from engine.forecasting.history import Past
from engine.kernels.sensing_columns import BUCKET_S, SLOTS
from engine.lifecycle import Day
from engine.refusals import CommandRefused, Refusal
from engine.sensing.history import (
    CONTACTS_MAX,
    DAYS_MAX,
    PART_STEPS_MAX,
    HistoryDraft,
    adopt_history,
    begin_history,
)
from engine.sensing.sampling import Changes
from engine.sensing.sensing import Sensing
from engine.state.hours import encoded

NOW_S = 20_000 * 86_400 + 12 * 3_600 + 100
RUNNING_S = NOW_S // BUCKET_S * BUCKET_S
DAYS = 5


def payload(queue_id: str, group: str = "", hours: Hours | None = None) -> bytes:
    """A definition as the engine keeps it."""
    definition = UpsertQueue(queue_id, forecast_group=group)
    weights = tuple(definition.weights)
    return kept_json({**definition._asdict(), "weights": weights, "hours": encoded(hours)})


def sensed(*definitions: bytes) -> Sensing:
    """What has sensed some queues for a second."""
    sensing = Sensing()
    sensing.define(Changes(dict(enumerate(definitions)), None))
    sensing.advance(NOW_S * 1_000)
    return sensing


def counts(days: int = DAYS, base: float = 20.0, seed: int = 1) -> np.ndarray:
    """Counts of whole days."""
    wave = 1.0 + 0.5 * np.sin(2.0 * np.pi * np.arange(days * SLOTS) / SLOTS)
    drawn: np.ndarray = np.random.default_rng(seed).poisson(base * wave).astype(np.int64)
    return drawn


def told(draft: HistoryDraft, contacts: np.ndarray) -> None:
    """Add counts that end as the running bucket begins, part by part."""
    begins_s = RUNNING_S - len(contacts) * BUCKET_S
    for first in range(0, len(contacts), PART_STEPS_MAX):
        part = contacts[first : first + PART_STEPS_MAX]
        draft.add(begins_s + first * BUCKET_S, part)


def learned(draft: HistoryDraft) -> Past:
    """What is learned of a draft."""
    past = draft.past()
    while past.advance(draft.running, SLOTS):
        pass
    return past


def taught(sensing: Sensing, queue_id: str, contacts: np.ndarray, *, replaces: bool = False) -> int:
    """Teach a history from its beginning to its end."""
    draft = begin_history(sensing, queue_id, NOW_S * 1_000, replaces=replaces)
    told(draft, contacts)
    return adopt_history(sensing, draft, learned(draft))


def exported(sensing: Sensing) -> dict[str, np.ndarray]:
    """All that is learned."""
    return {name: np.asarray(array) for name, array in sensing.export().items()}


def assert_same(before: dict[str, np.ndarray], sensing: Sensing) -> None:
    """Nothing has changed."""
    after = exported(sensing)
    assert before.keys() == after.keys()
    for name, array in before.items():
        is_float = array.dtype.kind == "f"
        assert np.array_equal(array, after[name], equal_nan=is_float), name


def test_history_makes_the_queue_forecast_as_if_it_had_been_watched() -> None:
    """The first forecasts after an import are the ones an analyst looks at."""
    sensing = sensed(payload("q"), payload("other"))
    assert taught(sensing, "q", counts()) == DAYS
    row = sensing.directory.rows.queue_row("q")
    other = sensing.directory.rows.queue_row("other")
    model = sensing.parts.model
    mean = model.forecast(np.array([row, other]), 36).mean.sum(axis=1)
    assert mean[0] == pytest.approx(20.0 * 36, rel=0.6)
    assert mean[1] == 0.0
    assert model.columns.profiles.days[[row, other]].tolist() == [DAYS, 0]
    # And it goes on: the next buckets close as ever.
    sensing.advance((NOW_S + 2 * BUCKET_S) * 1_000)
    assert model.columns.profiles.days[row] == DAYS


def test_history_is_seen_as_what_came_lately() -> None:
    """A plot of the next hours begins with those before."""
    sensing = sensed(payload("q"))
    contacts = counts()
    taught(sensing, "q", contacts)
    row, running = sensing.directory.rows.queue_row("q"), sensing.parts.model.bucket
    steps = sensing.parts.recent.steps(row, running, 12)
    assert [step.contacts for step in steps] == contacts[-12:].tolist()
    assert [step.bucket for step in steps] == list(range(running - 12, running))


def test_seconds_are_compared_with_what_was_learned() -> None:
    """What was forecast before would tell of a surge for the first quarter of an hour."""
    sensing = sensed(payload("q"))
    taught(sensing, "q", counts())
    row = sensing.directory.rows.queue_row("q")
    sensing.advance((NOW_S + 2 * BUCKET_S) * 1_000)
    steps = sensing.parts.recent.steps(row, sensing.parts.model.bucket, 2)
    assert all(step.forecast > 10.0 for step in steps), "what each bucket was held against"


def test_group_forecasts_the_sum_once_all_its_queues_have_learned() -> None:
    """Anomalies of a group are looked for in what comes for all of it."""
    sensing = sensed(payload("a", "desk"), payload("b", "desk"))
    ((group, _),) = sensing.directory.groups()
    days = sensing.parts.model.columns.profiles.days
    taught(sensing, "a", counts(seed=1))
    assert days[group] == 0
    taught(sensing, "b", counts(seed=2))
    assert days[group] == DAYS
    rows = np.array([sensing.directory.rows.queue_row(name) for name in "ab"] + [group])
    mean = sensing.parts.model.forecast(rows, 24).mean.sum(axis=1)
    assert mean[2] == pytest.approx(mean[0] + mean[1], rel=0.03)


def test_history_outside_hours_counts_for_nothing() -> None:
    """A queue is learned by its own days, in its own time zone."""
    weekly = (OpeningPeriod("09:00", "17:00", tuple(Day)),)
    sensing = sensed(payload("q", hours=Hours("Europe/Berlin", weekly)))
    taught(sensing, "q", counts())
    row = sensing.directory.rows.queue_row("q")
    pooled = sensing.parts.model.columns.profiles.pooled[row]
    assert int((pooled >= 0.0).sum()) == 8 * 12


BAD_PARTS: dict[str, tuple[Callable[[], tuple[int, list[int]]], str]] = {
    "not on a bucket": (lambda: (RUNNING_S - 301, [1]), "begins_at_s.*multiple of 300"),
    "too old": (lambda: (RUNNING_S - (DAYS_MAX * 86_400 + 300), [1]), "begins_at_s.*1,100 days"),
    "in the future": (lambda: (RUNNING_S + 3_000, [1]), "begins_at_s"),
    "not over yet": (lambda: (RUNNING_S - 300, [1, 1]), "contacts.*none that ends after"),
    "negative": (lambda: (RUNNING_S - 3_000, [1, -2]), r"contacts\[1\]: got -2"),
    "absurd": (lambda: (RUNNING_S - 3_000, [CONTACTS_MAX + 1]), r"contacts\[0\].*1,000,000"),
    "too long": (
        lambda: (RUNNING_S - 90 * 86_400, [1] * (PART_STEPS_MAX + 1)),
        "contacts.*at most 2,016",
    ),
}


@pytest.mark.parametrize("name", BAD_PARTS)
def test_part_that_cannot_be_is_refused_and_not_added(name: str) -> None:
    """Each names the field, what it held and what was expected; the draft is as it was."""
    make, message = BAD_PARTS[name]
    draft = begin_history(sensed(payload("q")), "q", NOW_S * 1_000, replaces=False)
    begins_s, contacts = make()
    with pytest.raises(CommandRefused, match=message) as refused:
        draft.add(begins_s, np.array(contacts, np.int64))
    assert refused.value.reason is Refusal.INVALID_FIELD
    assert draft.steps == 0


def test_parts_that_overlap_or_go_back_are_refused() -> None:
    """Which of two counts of a step is the right one, nobody can know."""
    draft = begin_history(sensed(payload("q")), "q", NOW_S * 1_000, replaces=False)
    draft.add(RUNNING_S - 6_000, np.array([1, 2], np.int64))
    for begins_s in (RUNNING_S - 5_700, RUNNING_S - 9_000):
        with pytest.raises(CommandRefused, match="where the part before ends"):
            draft.add(begins_s, np.array([3], np.int64))
    draft.add(RUNNING_S - 4_800, np.array([3], np.int64))
    assert draft.counts().contacts.tolist() == [1, 2, -1, -1, 3]


@pytest.mark.parametrize("contacts", [[], [-1, -1], [0, 0, 0]])
def test_history_without_a_contact_is_refused(contacts: list[int]) -> None:
    """There is nothing to learn from."""
    draft = begin_history(sensed(payload("q")), "q", NOW_S * 1_000, replaces=False)
    draft.add(RUNNING_S - 6_000, np.array(contacts, np.int64))
    with pytest.raises(CommandRefused, match="some to learn from"):
        draft.past()


def test_history_without_a_day_is_refused_and_changes_nothing() -> None:
    """An hour of counts would take the place of a mean that is as good."""
    sensing = sensed(payload("q"))
    before = exported(sensing)
    with pytest.raises(CommandRefused, match="a day with contacts"):
        taught(sensing, "q", np.full(12, 30, np.int64))
    assert_same(before, sensing)


def test_unknown_queue_is_refused() -> None:
    """Groups are not queues."""
    sensing = sensed(payload("q", "desk"))
    for name in ("nobody", "desk", ""):
        with pytest.raises(CommandRefused) as refused:
            begin_history(sensing, name, NOW_S * 1_000, replaces=False)
        assert refused.value.reason is Refusal.UNKNOWN_QUEUE


def test_queue_that_has_learned_is_refused_unless_that_is_replaced() -> None:
    """What it has seen itself is worth more than a file, until somebody says otherwise."""
    sensing = sensed(payload("q"))
    taught(sensing, "q", counts(seed=1))
    before = exported(sensing)
    with pytest.raises(CommandRefused, match="learned from 5 days") as refused:
        begin_history(sensing, "q", NOW_S * 1_000, replaces=False)
    assert refused.value.reason is Refusal.HISTORY_KNOWN
    assert_same(before, sensing)
    assert taught(sensing, "q", counts(3, base=60.0), replaces=True) == 3
    row = sensing.directory.rows.queue_row("q")
    mean = sensing.parts.model.forecast(np.array([row]), 36).mean.mean()
    assert mean > 30.0, "nothing of the other past is left"


def test_second_of_two_at_a_time_is_refused() -> None:
    """Both began when nothing was known; only the first may be taken over."""
    sensing = sensed(payload("q"))
    drafts = [begin_history(sensing, "q", NOW_S * 1_000, replaces=False) for _ in range(2)]
    for draft in drafts:
        told(draft, counts())
    pasts = [learned(draft) for draft in drafts]
    adopt_history(sensing, drafts[0], pasts[0])
    before = exported(sensing)
    with pytest.raises(CommandRefused, match="learned from"):
        adopt_history(sensing, drafts[1], pasts[1])
    assert_same(before, sensing)


def test_queue_whose_hours_changed_meanwhile_is_refused() -> None:
    """Its days are others than those that were learned."""
    sensing = sensed(payload("q"))
    draft = begin_history(sensing, "q", NOW_S * 1_000, replaces=False)
    told(draft, counts())
    past = learned(draft)
    weekly = (OpeningPeriod("09:00", "17:00", tuple(Day)),)
    sensing.define(Changes({0: payload("q", hours=Hours("UTC", weekly))}, None))
    before = exported(sensing)
    with pytest.raises(CommandRefused, match="the hours it had") as refused:
        adopt_history(sensing, draft, past)
    assert refused.value.reason is Refusal.ETAG_MISMATCH
    sensing.define(Changes({0: b""}, None))
    with pytest.raises(CommandRefused, match="exists"):
        adopt_history(sensing, draft, past)
    assert before.keys() == exported(sensing).keys()


def test_time_that_passes_meanwhile_is_a_gap() -> None:
    """Learning takes some seconds, in which a bucket may end."""
    sensing = sensed(payload("q"))
    draft = begin_history(sensing, "q", NOW_S * 1_000, replaces=False)
    told(draft, counts())
    past = learned(draft)
    sensing.advance((NOW_S + 3 * BUCKET_S) * 1_000)
    assert adopt_history(sensing, draft, past) == DAYS
    assert past.model.bucket == sensing.parts.model.bucket


def test_history_may_come_before_the_first_second() -> None:
    """A script that starts an engine and imports at once must not meet one that is not awake."""
    sensing = Sensing()
    sensing.define(Changes({0: payload("q")}, None))
    assert taught(sensing, "q", counts()) == DAYS
