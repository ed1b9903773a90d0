"""The metrics page as Prometheus reads it, over engines in which things have happened."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import Metric
from prometheus_client.parser import text_string_to_metric_families

from adapters.metrics import Metrics
from engine.commands import (
    AcceptOffer,
    CancelContact,
    CompleteAssignment,
    DeleteQueue,
    EndWrapUp,
    Expire,
    Route,
    SetPresence,
    UpsertAgent,
    UpsertQueue,
)
from engine.effects import EffectKind
from engine.engine import Engine
from engine.lifecycle import CancelReason, Channel, Presence, WrapUpMode
from engine.limits import Limits
from engine.refusals import Refusal

LIMITS = Limits(contacts_max=1_000, agents_max=1_000, queues_max=1_000, ended_max=100)
NOW_MS = 1_700_000_000_000

Labels = dict[str, str]


def parsed(metrics: Metrics, *cells: tuple[str, Engine]) -> dict[str, Metric]:
    """Families of the page; each name stands there once."""
    page = b"".join(metrics.render(cells)).decode()
    assert page.endswith("\n")
    families = list(text_string_to_metric_families(page))
    found = {family.name: family for family in families}
    assert len(found) == len(families)
    assert all(family.documentation and family.type != "unknown" for family in families)
    return found


def value(families: dict[str, Metric], name: str, labels: Labels) -> float:
    """The one sample with a name and labels."""
    family = families[name] if name in families else families[name.removesuffix("_total")]
    (found,) = [
        sample.value for sample in family.samples if sample.name == name and sample.labels == labels
    ]
    return found


def engine_of(*queue_ids: str) -> Engine:
    """An engine with some queues."""
    engine = Engine(LIMITS)
    for queue_id in queue_ids:
        engine.apply(UpsertQueue(queue_id), NOW_MS)
    return engine


def busy_engine() -> Engine:
    """Queue `q` with a contact in every place and of every end that a queue counts."""
    engine = engine_of("other")
    mode = WrapUpMode.UNTIL_ENDED
    queue = UpsertQueue("q", wrap_up_mode=mode, short_abandon_ms=1_000, max_length=2)
    engine.apply(queue._replace(offer_timeout_ms=100_000), NOW_MS)
    for number in range(4):
        engine.apply(UpsertAgent(f"a{number}", queue_ids=("q",)), NOW_MS)
        engine.apply(SetPresence(f"a{number}", Presence.AVAILABLE), NOW_MS)
    # In hand: one completed, one in wrap-up, one assigned too late for the target, one offered.
    offers = [engine.apply(Route(f"c{n}", "q", Channel.VOICE), NOW_MS).offer_id for n in range(4)]
    for number in range(3):
        engine.apply(AcceptOffer(offers[number], f"a{number}"), NOW_MS + number * 15_000)
    for number in range(2):
        engine.apply(CompleteAssignment(f"c{number}", f"a{number}"), NOW_MS + 30_000)
    engine.apply(EndWrapUp("c0", "a0"), NOW_MS + 30_000)
    engine.apply(SetPresence("a0", Presence.AWAY), NOW_MS + 30_000)
    # Nobody is free: one expires, two are abandoned, and of four that would wait two are rejected.
    engine.apply(Route("late", "q", Channel.VOICE, max_wait_ms=500), NOW_MS + 30_000)
    engine.apply(Expire(), NOW_MS + 30_500)
    for contact_id, waits_ms in (("short", 999), ("long", 1_000)):
        at_ms = engine.now_ms()
        engine.apply(Route(contact_id, "q", Channel.VOICE), at_ms)
        engine.apply(CancelContact(contact_id, CancelReason.ABANDONED), at_ms + waits_ms)
    for number in range(4):
        engine.apply(Route(f"w{number}", "q", Channel.VOICE), NOW_MS + 40_000)
    return engine


def test_windows_are_told_of_queues_that_have_them() -> None:
    """Batches and what was in them; queues without say nothing, for there may be ten thousand."""
    engine = engine_of("plain", "desk")
    engine.apply(UpsertQueue("desk", matching_window_ms=500), NOW_MS)
    for number in range(2):
        engine.apply(UpsertAgent(f"a{number}", queue_ids=("desk", "plain")), NOW_MS)
        engine.apply(SetPresence(f"a{number}", Presence.AVAILABLE), NOW_MS)
    for number in range(3):
        engine.apply(Route(f"c{number}", "desk", Channel.VOICE), NOW_MS)
    engine.apply(Expire(), NOW_MS + 500)
    families = parsed(Metrics(), ("blue", engine))
    for name, expected in (("batches", 1), ("contacts", 2), ("agents", 2), ("matched", 2)):
        family = families[f"headgate_queue_window_{name}"]
        assert [sample.labels["queue"] for sample in family.samples] == ["desk"], name
        assert family.samples[0].value == expected, name


def test_page_without_cells_parses() -> None:
    """A scrape may come before any cell is there."""
    families = parsed(Metrics())
    assert value(families, "headgate_ready", {}) == 0
    assert not families["headgate_queue_waiting"].samples


def test_queue_s_metrics_are_what_happened_in_it() -> None:
    """Dashboards add these up: every contact is in exactly one place."""
    families = parsed(Metrics(), ("blue", busy_engine()))
    expected = {
        "waiting": 2,
        "offered": 1,
        "assigned": 1,
        "wrap_up": 1,
        "received_total": 11,
        "answered_total": 3,
        "answered_within_total": 2,
        "abandoned_total": 2,
        "short_abandoned_total": 1,
        "expired_total": 1,
        "rejected_total": 2,
        "completed_total": 1,
    }
    of_queue = {"cell": "blue", "queue": "q"}
    found = {name: value(families, f"headgate_queue_{name}", of_queue) for name in expected}
    assert found == expected
    of_other = {"cell": "blue", "queue": "other"}
    assert not any(value(families, f"headgate_queue_{name}", of_other) for name in expected)
    assert value(families, "headgate_open_contacts", {"cell": "blue"}) == 5


def test_agents_are_counted_by_presence() -> None:
    """Each presence is there though nobody has it, so that a graph has no holes."""
    families = parsed(Metrics(), ("blue", busy_engine()))
    found = {
        sample.labels["presence"]: sample.value for sample in families["headgate_agents"].samples
    }
    assert found == {"available": 3, "busy": 0, "away": 1, "draining": 0, "offline": 0}


def test_cells_stand_side_by_side() -> None:
    """Two cells may have a queue of the same name; their samples differ by the label alone."""
    families = parsed(Metrics(), ("blue", busy_engine()), ("green", engine_of("q")))
    waiting = {
        (sample.labels["cell"], sample.labels["queue"]): sample.value
        for sample in families["headgate_queue_waiting"].samples
    }
    assert waiting == {("blue", "other"): 0, ("blue", "q"): 2, ("green", "q"): 0}
    assert {sample.labels["cell"] for sample in families["headgate_agents"].samples} == {
        "blue",
        "green",
    }


def test_deleted_queue_is_gone_from_the_page() -> None:
    """Its row stays for the next queue, but a series without a queue would never end."""
    engine = engine_of("first", "second")
    engine.apply(DeleteQueue("first"), NOW_MS)
    engine.take_group()
    samples = parsed(Metrics(), ("x", engine))["headgate_queue_waiting"].samples
    assert [sample.labels["queue"] for sample in samples] == ["second"]


def is_name(text: str) -> bool:
    """Whether the engine takes a text as an id."""
    return text.isprintable() and 0 < len(text.encode(errors="replace")) <= 128


@given(st.sets(st.text('ab"\\{}=,# né\u2028', min_size=1, max_size=8).filter(is_name), max_size=5))
def test_label_reads_back_as_the_queue_s_name(names: set[str]) -> None:
    """One name that breaks the page would blind the whole dashboard."""
    families = parsed(Metrics(), ("x", engine_of(*sorted(names))))
    for metric in ("headgate_queue_waiting", "headgate_queue_received"):
        assert {sample.labels["queue"] for sample in families[metric].samples} == names


@pytest.mark.parametrize("count", [1, 2, 3, 50])
def test_effects_are_counted_by_kind(count: int) -> None:
    """Few effects and many go different ways to the same counters."""
    metrics = Metrics()
    cell = metrics.cell("x")
    kinds = [[*EffectKind][number % 3] for number in range(count)]
    cell.count_effects([(kind.value, NOW_MS, "c") for kind in kinds])
    families = parsed(metrics)
    for kind in EffectKind:
        labels = {"cell": "x", "kind": kind.name.lower()}
        assert value(families, "headgate_events_total", labels) == kinds.count(kind)


def test_refusals_are_counted_by_reason() -> None:
    """An alert on one reason must not fire for another."""
    metrics = Metrics()
    cell = metrics.cell("x")
    for reason in (Refusal.LIMIT_REACHED, Refusal.OFFER_GONE, Refusal.LIMIT_REACHED):
        cell.refused(reason)
    families = parsed(metrics)
    counted = {
        sample.labels["reason"]: sample.value
        for sample in families["headgate_refusals"].samples
        if sample.name == "headgate_refusals_total"
    }
    assert counted == {"limit_reached": 2, "offer_gone": 1}


def test_cell_s_metrics_are_made_once() -> None:
    """A cell that is loaded again goes on counting where it was."""
    metrics = Metrics()
    assert metrics.cell("x") is metrics.cell("x")
    metrics.cell("x").shed.inc()
    metrics.cell("y").shed.inc(2)
    families = parsed(metrics)
    assert value(families, "headgate_shed_calls_total", {"cell": "x"}) == 1
    assert value(families, "headgate_shed_calls_total", {"cell": "y"}) == 2
