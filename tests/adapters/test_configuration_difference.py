"""What a file would change in a cell, as people read it."""

from adapters.configuration.difference import Kind, compare, still_named
from adapters.configuration.document import Configuration, checked

Entries = list[dict[str, object]]


def cell(queues: Entries, agents: Entries | None = None) -> Configuration:
    """A cell that holds this, each entry at version 7."""
    held = checked({"queues": queues, "agents": agents or []}).configuration
    for entries in held.values():
        for message in entries.values():
            message.etag = "7"  # type: ignore[attr-defined]
    return held


def wanted(**sections: Entries) -> Configuration:
    """What a file asks for."""
    return checked(sections).configuration


def lines(want: Configuration, present: Configuration, *, is_pruned: bool = False) -> list[str]:
    """The difference, line by line."""
    return list(compare(want, present, is_pruned=is_pruned).lines())


def test_default_left_out_is_no_difference() -> None:
    """The cell spells every default; a file that relies on them says the same."""
    told = lines(
        wanted(queues=[{"queue_id": "q", "offer_timeout_ms": 0}]), cell([{"queue_id": "q"}])
    )
    assert told == ["0 created, 0 changed, 0 deleted, 1 unchanged"]


def test_each_changed_field_is_a_line() -> None:
    """Old and new, by path; of lists what comes and goes."""
    present = cell(
        [{"queue_id": "q", "service_level": {"ratio": 0.9}, "strategy": "STRATEGY_ROUND_ROBIN"}],
        [{"agent_id": "a", "queue_ids": ["q"], "skills": [{"skill": "es", "proficiency": 3}]}],
    )
    want = wanted(
        queues=[{"queue_id": "q"}],
        agents=[
            {"agent_id": "a", "skills": [{"skill": "es", "proficiency": 4}], "tags": ["x", "y"]}
        ],
    )
    assert lines(want, present) == [
        "queue q: changed",
        "  service_level.ratio: 0.9 -> 0.8",
        "  strategy: STRATEGY_ROUND_ROBIN -> STRATEGY_LONGEST_IDLE",
        "agent a: changed",
        "  queue_ids: - q",
        "  skills: - {skill: es, proficiency: 3}, + {skill: es, proficiency: 4}",
        "  tags: + x, + y",
        "0 created, 2 changed, 0 deleted, 0 unchanged",
    ]
    changes = compare(want, present, is_pruned=False).changes
    assert [change.etag for change in changes] == ["7", "7"]


def test_created_entry_shows_what_is_not_default() -> None:
    """The rest would be noise."""
    want = wanted(queues=[{"queue_id": "q", "max_length": 5}])
    assert lines(want, cell([])) == [
        "queue q: created",
        "  max_length: 5 (default 0)",
        "1 created, 0 changed, 0 deleted, 0 unchanged",
    ]
    (change,) = compare(want, cell([]), is_pruned=False).changes
    assert change.etag == "0"


def test_order_of_a_list_is_a_difference_that_is_told_as_such() -> None:
    """The cell keeps the order, so a file in another one would not come back as it is."""
    present = cell([], [{"agent_id": "a", "tags": ["x", "y"]}])
    told = lines(wanted(agents=[{"agent_id": "a", "tags": ["y", "x"]}]), present)
    assert told[1] == "  tags: in another order"


def test_long_list_is_cut() -> None:
    """An agent may serve ten thousand queues."""
    tags = [f"t{number:02}" for number in range(30)]
    told = lines(wanted(agents=[{"agent_id": "a", "tags": tags}]), cell([]))
    assert told[1].endswith("+ t19 and 10 more")


def test_only_prune_deletes_and_only_in_sections_that_are_there() -> None:
    """A file of queues alone must never delete the agents."""
    present = cell([{"queue_id": "p"}, {"queue_id": "q"}], [{"agent_id": "a"}])
    want = wanted(queues=[{"queue_id": "q"}])
    assert lines(want, present) == [
        "0 created, 0 changed, 0 deleted, 1 unchanged; "
        "2 only in the cell: left alone, --prune deletes them"
    ]
    assert lines(want, present, is_pruned=True)[0] == "queue p: deleted"
    (change,) = compare(want, present, is_pruned=True).changes
    assert (change.kind, change.etag) == (Kind.DELETED, "7")


def test_queue_cannot_go_while_agents_that_stay_name_it() -> None:
    """The engine would refuse; it is better known before anything is written."""
    present = cell([{"queue_id": "q"}], [{"agent_id": "a", "queue_ids": ["q"]}])
    want = wanted(queues=[])
    (problem,) = still_named(want, present, compare(want, present, is_pruned=True))
    assert str(problem) == (
        "queues: expected queue q, which agents name, or agents that do not, got agents a"
    )
    both = wanted(queues=[], agents=[])
    assert list(still_named(both, present, compare(both, present, is_pruned=True))) == []
