"""A TaskRouter workspace: queues, workers, and workflows as what to say with each Route."""

import json
from typing import Any

import pytest

from adapters.importing.report import Import, Kind, NotImportable
from adapters.importing.taskrouter import import_workspace
from headgate.v1.contact_pb2 import Channel
from headgate.v1.queue_pb2 import QueueOrder

Values = dict[str, Any]


def queue(name: str, target: str | None = "1==1", **values: object) -> Values:
    """A task queue."""
    return {"sid": f"WQ-{name}", "friendly_name": name, "target_workers": target} | values


def worker(name: str, attributes: object = None, **values: object) -> Values:
    """A worker; attributes are JSON inside JSON."""
    text = json.dumps(attributes or {})
    return {"sid": f"WK-{name}", "friendly_name": name, "attributes": text} | values


def workflow(*filters: Values, **values: object) -> Values:
    """A workflow of these filters."""
    routing = {"filters": list(filters)} | {
        name: values.pop(name) for name in ("default_filter",) if name in values
    }
    configuration = json.dumps({"task_routing": routing})
    return {"sid": "WW1", "friendly_name": "W", "configuration": configuration} | values


def bring(**values: object) -> Import:
    """What comes of a workspace."""
    return import_workspace(json.dumps({"task_queues": [queue("Q")]} | values))


def told(found: Import, kind: Kind) -> dict[str, str]:
    """Why, by item."""
    return {item.item: item.why for item in found.findings if item.kind is kind}


def route_of(*targets: Values, workers: list[Values] | None = None) -> Values:
    """What is to be said with Route for a filter of these targets."""
    found = bring(workers=workers or [], workflows=[workflow({"targets": list(targets)})])
    (text,) = told(found, Kind.AT_ROUTE).values()
    return dict(json.loads(text.removeprefix("Route ")))


def test_expression_of_a_queue_decides_who_serves_it() -> None:
    """It is evaluated for the workers that are there; later ones are told of."""
    found = bring(
        task_queues=[
            queue("All"),
            queue("Also all", None),
            queue("Spanish", 'skills HAS "spanish" AND level >= 3'),
        ],
        workers=[
            worker("ada", {"skills": ["spanish"], "level": 4}),
            worker("bob", {"skills": ["spanish"], "level": 2}),
        ],
    )
    assert list(found.agents["ada"].queue_ids) == ["All", "Also all", "Spanish"]
    assert list(found.agents["bob"].queue_ids) == ["All", "Also all"]
    why = told(found, Kind.APPROXIMATE)
    text = 'task_queues[2].target_workers = skills HAS "spanish" AND level >= 3'
    assert why[text].startswith("agents name their queues: 1 of 2 serve Spanish now")


def test_attributes_that_are_looked_at_become_skills_and_tags() -> None:
    """Lists, texts and truths are tags; `skills` and small numbers are skills."""
    target = "a HAS 'x' AND b == 'x' AND c AND d > 1 AND e > 1 AND f AND routing.skills HAS 'x'"
    attributes = {
        "a": ["x", "y", 5], "b": "z", "c": True, "d": 3, "e": 70, "f": False, "g": "unseen",
        "skills": ["fr"], "routing": {"skills": ["es", "de", "it"], "levels": {"es": 4, "de": 80}},
    }  # fmt: skip
    found = bring(task_queues=[queue("Q", target)], workers=[worker("w", attributes)])
    agent = found.agents["w"]
    assert list(agent.tags) == ["a:x", "a:y", "b:z", "c"]
    skills = [(item.skill, item.proficiency) for item in agent.skills]
    assert skills == [("d", 3), ("de", 5), ("es", 4), ("fr", 1), ("it", 1)]
    assert "workers[0].attributes.e = 70" in told(found, Kind.LEFT_OUT)
    assert "workers[].attributes.g" in told(found, Kind.LEFT_OUT)
    assert "workers[0].attributes.routing.levels.de = 80" in told(found, Kind.APPROXIMATE)


def test_channels_of_a_worker_have_room_each() -> None:
    """Channels do not keep each other out there: capacity is their sum."""
    listed = [
        {"task_channel_unique_name": name, "configured_capacity": number, "available": is_there}
        for name, number, is_there in [
            ("voice", 1, True), ("chat", 3, True), ("email", 9, False), ("fax", 1, True),
            ("sms", 0, True), ("WhatsApp", 2, True),
        ]
    ]  # fmt: skip
    found = bring(workers=[worker("w", channels=listed)])
    agent = found.agents["w"]
    assert agent.capacity == 6
    assert [(item.channel, item.contacts_max) for item in agent.channels] == [
        (Channel.CHANNEL_VOICE, 1), (Channel.CHANNEL_CHAT, 3), (Channel.CHANNEL_SOCIAL, 2),
    ]  # fmt: skip
    assert "workers[0].channels[3] = fax" in told(found, Kind.LEFT_OUT)


def test_workers_without_channels_are_told_once() -> None:
    """The list of workers does not hold them, so most files will not either."""
    found = bring(workers=[worker("a"), worker("b")])
    assert "workers[].channels" in told(found, Kind.APPROXIMATE)


def test_targets_become_requirements_and_relaxation_steps() -> None:
    """Time-outs add up; a target without a queue stays in that of the one before."""
    route = route_of(
        {"queue": "WQ-Q", "expression": "worker.skills HAS 'es'", "priority": 5, "timeout": 20},
        {"expression": "worker.level >= 2", "timeout": "40"},
        {"queue": "WQ-Q", "priority": 9},
    )
    assert route == {
        "queue_id": "Q",
        "priority": 5,
        "requirements": {"skills": [{"skill": "es", "proficiency_min": 1}]},
        "relaxation": [
            {
                "after_ms": 20_000,
                "requirements": {"skills": [{"skill": "level", "proficiency_min": 2}]},
            },
            {"after_ms": 60_000, "requirements": {}, "priority": 9},
        ],
    }


@pytest.mark.parametrize(
    ("expression", "asked"),
    [
        ("1==1", {}),
        ("worker.skills HAS 'es'", {"skills": [{"skill": "es", "proficiency_min": 1}]}),
        ("'es' IN worker.routing.skills", {"skills": [{"skill": "es", "proficiency_min": 1}]}),
        (
            "worker.skills HAS task.skill",
            {"skills": [{"skill": "{task.skill}", "proficiency_min": 1}]},
        ),
        ("worker.routing.levels.es > 2", {"skills": [{"skill": "es", "proficiency_min": 3}]}),
        ("worker.level >= 2.5", {"skills": [{"skill": "level", "proficiency_min": 3}]}),
        ("3 <= worker.level", {"skills": [{"skill": "level", "proficiency_min": 3}]}),
        ("worker.team == 'gold'", {"tags": ["team:gold"]}),
        ("'gold' == worker.team", {"tags": ["team:gold"]}),
        ("worker.team == task.team", {"tags": ["team:{task.team}"]}),
        ("worker.vip", {"tags": ["vip"]}),
        ("worker.vip == false", {"tags_none": ["vip"]}),
        ("worker.team != 'gold'", {"tags_none": ["team:gold"]}),
        ("NOT worker.team != 'gold'", {"tags": ["team:gold"]}),
        ("NOT worker.sites HAS 'n'", {"tags_none": ["sites:n"]}),
        ("worker.team NOT IN ['a', 'b']", {"tags_none": ["team:a", "team:b"]}),
        ("worker.team IN ['a', 'b']", {"tags_any": ["team:a", "team:b"]}),
        ("worker.team IN ['a']", {"tags": ["team:a"]}),
        ("worker.team == 'a' OR worker.vip", {"tags_any": ["team:a", "vip"]}),
        ("NOT (worker.vip OR worker.team == 'a')", {"tags_none": ["vip", "team:a"]}),
        ("NOT NOT worker.vip", {"tags": ["vip"]}),
        ("(worker.vip AND worker.x) AND worker.y", {"tags": ["vip", "x", "y"]}),
        ("worker.sid == 'WK-ada'", {"agent_ids": ["ada"]}),
        ("worker.sid IN task.preferred", {"agent_ids": ["{task.preferred}"]}),
    ],
)
def test_expression_of_a_target_becomes_requirements(expression: str, asked: Values) -> None:
    """What a contact can ask for, it asks for."""
    target = {"queue": "WQ-Q", "expression": expression}
    route = route_of(target, workers=[worker("ada")])
    assert route.get("requirements", {}) == asked


@pytest.mark.parametrize(
    ("expression", "why"),
    [
        ("worker.level < 3", "< on level is no requirement"),
        ("worker.level == 3", "== on level is no requirement"),
        ("worker.level == 1", "== on level is no requirement"),  # 1 is not true
        ("worker.level >= 9", ">= 9 on level: levels are 1 to 5"),
        ("worker.level >= task.level", ">= on level: a level is a number that is known ahead"),
        ("NOT worker.skills HAS 'es'", "skills: only tags can be ruled out"),
        ("worker.skills HAS 'a' OR worker.skills HAS 'b'", "alternatives can be tags only"),
        ("worker.skills IN ['a', 'b']", "IN on skills is no requirement"),
        ("(worker.vip OR worker.x) AND (worker.y OR worker.z)", "a contact asks for one group"),
        ("NOT (worker.vip AND worker.x)", "NOT of conditions joined by AND is no requirement"),
        ("1 == 2", "a condition that no worker satisfies"),
        ("task.a == 'b'", "== on something else than a worker is no requirement"),
        ("worker.sid == 5", "== on sid is no requirement"),
        ("worker.vip AND", "column 15: expected a value, got the end"),
        (" AND ".join(f"worker.t{n}" for n in range(9)), "Route would refuse it"),
    ],
)
def test_expression_that_is_no_requirement_is_told(expression: str, why: str) -> None:
    """With the reason; the rest of the target comes over all the same."""
    found = bring(workflows=[workflow({"targets": [{"queue": "WQ-Q", "expression": expression}]})])
    left = told(found, Kind.LEFT_OUT)
    assert any(reason.startswith(why) for reason in left.values()), left
    assert told(found, Kind.AT_ROUTE)


def test_rest_of_a_target_is_said_or_told() -> None:
    """Known workers and an order can be said; skipping and ignoring capacity cannot."""
    target = {
        "queue": "WQ-Q", "known_worker_sid": "WK-ada", "skip_if": "workers.available == 0",
        "ignore_capacity": True, "order_by": "worker.level DESC, worker.routing.levels.es DESC",
        "priority": 5_000, "surprise": 1,
    }  # fmt: skip
    found = bring(workers=[worker("ada")], workflows=[workflow({"targets": [target]})])
    (text,) = told(found, Kind.AT_ROUTE).values()
    route = json.loads(text.removeprefix("Route "))
    assert route["priority"] == 1_000
    assert route["requirements"] == {
        "preferred_skills": [{"skill": "level", "weight": 100}, {"skill": "es", "weight": 10}],
        "agent_ids": ["ada"],
    }
    names = [item.split("targets[0].")[1].split(" ")[0] for item in told(found, Kind.LEFT_OUT)]
    assert names == ["skip_if", "ignore_capacity", "surprise"]
    found = bring(
        workflows=[workflow({"targets": [{"queue": "WQ-Q", "order_by": "worker.x ASC"}]})]
    )
    assert "higher first" in next(iter(told(found, Kind.LEFT_OUT).values()))


def test_steps_into_another_queue_are_told() -> None:
    """Relaxation does not move a contact; the gateway does."""
    targets = [{"queue": "WQ-Q", "timeout": 9}, {"queue": "WQ-R", "timeout": 1}, {"queue": "WQ-Q"}]
    found = bring(task_queues=[queue("Q"), queue("R")], workflows=[workflow({"targets": targets})])
    assert list(told(found, Kind.LEFT_OUT).values()) == [
        "relaxation stays in a queue: RequeueContact to R after 9000 ms",
        "relaxation stays in a queue: RequeueContact to Q after 10000 ms",
    ]


def test_target_that_never_came_is_told() -> None:
    """Without a time-out before it nothing leads there."""
    targets = [{"queue": "WQ-Q"}, {"queue": "WQ-Q", "priority": 5}]
    found = bring(workflows=[workflow({"targets": targets})])
    assert "this one never came" in next(iter(told(found, Kind.LEFT_OUT).values()))


def test_queue_that_is_not_in_the_file_is_told() -> None:
    """Another workspace's, or a deleted one."""
    found = bring(
        workflows=[workflow({"targets": [{"queue": "WQ-P"}]}, default_filter={"queue": "WQ-Q"})]
    )
    (why,) = told(found, Kind.LEFT_OUT).values()
    assert why == "no task queue of the file has this sid (did you mean WQ-Q?)"
    assert list(told(found, Kind.AT_ROUTE).values()) == ['Route {"queue_id":"Q"}']


def test_reservation_timeout_becomes_that_of_offers() -> None:
    """Two minutes where none is said, as there; the longest of several workflows."""
    target = {"targets": [{"queue": "WQ-Q"}]}
    assert bring(workflows=[workflow(target)]).queues["Q"].offer_timeout_ms == 120_000
    both = [workflow(target, task_reservation_timeout=n) for n in (30, 15)]
    found = bring(workflows=both)
    assert found.queues["Q"].offer_timeout_ms == 30_000
    assert any("several workflows" in why for why in told(found, Kind.APPROXIMATE).values())


def test_queue_settings_without_equivalent_are_told() -> None:
    """Each by its path; what is as here is not."""
    found = bring(
        task_queues=[
            queue("Q", max_reserved_workers=1, task_order="FIFO", reservation_activity_sid=None),
            queue("R", max_reserved_workers=33, task_order="LIFO", assignment_activity_sid="WA1"),
        ]
    )
    assert [item.split(" ")[0] for item in told(found, Kind.LEFT_OUT)] == [
        "task_queues[1].assignment_activity_sid",
    ]
    assert [found.queues[name].broadcast_max for name in "QR"] == [1, 32]
    orders = [QueueOrder.Name(found.queues[name].order) for name in "QR"]
    assert orders == ["QUEUE_ORDER_FIFO", "QUEUE_ORDER_LIFO"]
    (item,) = told(found, Kind.APPROXIMATE)
    assert item.startswith("task_queues[1].max_reserved_workers")


def test_target_workers_that_cannot_be_read_are_told() -> None:
    """The queue comes over; nobody serves it, and that is said."""
    found = bring(task_queues=[queue("Q", "skills HAS")], workers=[worker("a")])
    (why,) = told(found, Kind.LEFT_OUT).values()
    assert why == "column 11: expected a value, got the end; nobody serves the queue yet"
    assert list(found.agents["a"].queue_ids) == []


@pytest.mark.parametrize(
    ("values", "why"),
    [
        ({"task_queues": None}, "the file: expected a field task_queues"),
        ({"task_queues": {}}, "task_queues: expected a list, got {}"),
        ({"task_queues": [5]}, "task_queues[0]: expected an object, got 5"),
        ({"task_queues": [{}]}, "task_queues[0]: expected a field sid, got []"),
        ({"task_queues": [queue("")]}, "task_queues[0].friendly_name: expected text, got ''"),
        ({"task_queues": [queue("Q", "")]}, "task_queues[0].target_workers: expected text, got ''"),
        (
            {"task_queues": [queue("Q"), queue("Q")]},
            "task_queues[1].friendly_name: expected another",
        ),
        (
            {"workers": [worker("a"), worker("a")]},
            "workers[1].friendly_name: expected another name",
        ),
        (
            {"workers": [worker("a") | {"attributes": "{"}]},
            "workers[0].attributes, line 1, column 2: exp",
        ),
        (
            {"workers": [worker("a") | {"attributes": "[]"}]},
            "workers[0].attributes: expected an object",
        ),
        (
            {"workers": [worker("a", channels=[{"task_channel_unique_name": "voice"}])]},
            "workers[0].channels[0]: expected a field configured_capacity",
        ),
        ({"workflows": [{"sid": "WW1"}]}, "workflows[0]: expected a field configuration"),
        (
            {"workflows": [{"configuration": "nonsense"}]},
            "workflows[0].configuration, line 1, column 1: expected JSON",
        ),
        (
            {"workflows": [{"configuration": {}}]},
            "workflows[0].configuration: expected a field task_routing, got []",
        ),
        (
            {"workflows": [workflow({"targets": [{"queue": 5}]})]},
            "workflows[0].configuration.task_routing.filters[0].targets[0].queue: expected text",
        ),
        (
            {"workflows": [workflow({"targets": [{"queue": "WQ-Q", "timeout": "soon"}]})]},
            "workflows[0].configuration.task_routing.filters[0].targets[0].timeout: expected a",
        ),
        (
            {"workflows": [workflow(task_reservation_timeout=0)]},
            "workflows[0].task_reservation_timeout: expected a whole number of 1 to 86400, got 0",
        ),
    ],
)
def test_value_that_the_api_never_gives_is_refused(values: Values, why: str) -> None:
    """By path, through the JSON inside the JSON."""
    with pytest.raises(NotImportable) as refused:
        bring(**values)
    assert str(refused.value).startswith(why)
