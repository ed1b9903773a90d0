"""
Workflows of TaskRouter: what they do to queues, and what is to be said with each Route instead.

A filter becomes a Route: its first target is what a contact asks at first, each further target of
the same queue a relaxation step after the time-outs before it.
"""

from collections.abc import Mapping
from typing import Final, NamedTuple

import orjson

from adapters.configuration.fields import meant, plain
from adapters.importing.json_file import Node, parse_json
from adapters.importing.report import Import, Kind
from adapters.importing.rules import Rule, Setting, apply_rule, left_out_if_set, nothing
from adapters.importing.taskrouter_expression import (
    Key,
    NotAnExpression,
    keys_of,
    parse_expression,
)
from adapters.importing.taskrouter_requirements import add_order, add_requirements
from adapters.translation import route_command
from engine.refusals import CommandRefused
from engine.routing.validation import validate
from headgate.v1.contact_pb2 import Channel, RelaxationStep, Requirements
from headgate.v1.queue_pb2 import Queue
from headgate.v1.routing_service_pb2 import RouteRequest

_PRIORITY_MAX: Final = 1_000
# What TaskRouter takes where a workflow does not say.
_RESERVATION_TIMEOUT_S: Final = 120
_CALLED_BACK: Final = (
    "nothing is called back: offers come on a session stream (GatewayService.Connect)"
)


class Workspace(NamedTuple):
    """Names of queues and workers by their sid."""

    queues: Mapping[str, str]
    workers: Mapping[str, str]


class _Step(NamedTuple):
    """A target of a filter: when it is reached, and its queue."""

    after_ms: int
    queue: str
    target: Node


# Fields of a workflow.
WORKFLOW_FIELDS: Final[Mapping[str, Rule]] = {
    # What becomes of these is decided below.
    "configuration": nothing,
    "task_reservation_timeout": nothing,
    "assignment_callback_url": left_out_if_set(_CALLED_BACK),
    "fallback_assignment_callback_url": left_out_if_set(_CALLED_BACK),
    **dict.fromkeys(
        (
            "sid", "account_sid", "workspace_sid", "friendly_name", "date_created", "date_updated",
            "url", "links", "document_content_type",
        ),
        nothing,
    ),
}  # fmt: skip

# Fields of a target besides those that become a Route.
TARGET_FIELDS: Final[Mapping[str, Rule]] = {
    **dict.fromkeys(
        (
            "queue", "timeout", "priority", "expression", "order_by", "known_worker_sid",
            "known_worker_friendly_name",
        ),
        nothing,
    ),
    "skip_if": left_out_if_set(
        "steps come by time alone: look at agents_free of GetSnapshot before Route, and leave the "
        "step out"
    ),
    "ignore_capacity": left_out_if_set("no agent is given more than its capacity"),
}  # fmt: skip


def import_workflow(workflow: Node, workspace: Workspace, found: Import) -> set[Key]:
    """
    Bring a workflow over; returns the attributes of workers that its expressions look at.

    Raises
    ------
    NotImportable
        It is not of the form that the API gives.
    """
    for name, node in workflow.named().items():
        if node.value is not None:
            apply_rule(WORKFLOW_FIELDS, name, Setting(node.path, node.value, Queue(), found))
    field = workflow.get("configuration")
    root = parse_json(field.value, field.path) if isinstance(field.value, str) else field
    routing = root.get("task_routing")
    routes = _Routes(workflow, workspace, found)
    for node in routing.items("filters"):
        routes.add_filter(node)
    if routing.has("default_filter"):
        routes.add_default(routing.get("default_filter"))
    routes.set_offer_timeouts()
    return routes.keys


class _Routes:
    """Goes through the filters of one workflow."""

    def __init__(self, workflow: Node, workspace: Workspace, found: Import) -> None:
        self._workflow = workflow
        self._workspace = workspace
        self._found = found
        self._queues: dict[str, None] = {}
        self.keys: set[Key] = set()

    def add_filter(self, node: Node) -> None:
        """Say what to Route for the tasks that a filter takes."""
        steps = self._steps(node)
        if not steps:
            return
        first, *others = steps
        route = RouteRequest(queue_id=first.queue, priority=self._priority(first.target))
        if (asked := self._asked(first.target)) != Requirements():
            route.requirements.CopyFrom(asked)
        has_moved = False
        for step in others:
            asked = self._asked(step.target)
            has_moved = has_moved or step.queue != route.queue_id
            if has_moved:
                self._tell_move(step)
            else:
                self._add_step(route, step, asked)
        name = node.text("filter_friendly_name", node.text("friendly_name", ""))
        condition = node.text("expression", "1==1")
        self._tell_route(f"{node.path} {name}".rstrip(), f"if {condition}", route)

    def _steps(self, node: Node) -> list[_Step]:
        """Targets with their queue, that of the one before where they name none, and their time."""
        steps: list[_Step] = []
        queue: str | None = None
        after_ms = 0
        for target in node.items("targets"):
            queue = self._queue(target) if target.has("queue") else queue
            if queue:
                steps.append(_Step(after_ms, queue, target))
            if target.has("timeout"):
                after_ms += target.whole("timeout", 0, 1_209_600) * 1_000
        return steps

    def add_default(self, node: Node) -> None:
        """Say what to Route for the tasks that no filter takes."""
        queue = self._queue(node)
        if queue:
            self._tell_route(node.path, "otherwise", RouteRequest(queue_id=queue))

    def set_offer_timeouts(self) -> None:
        """A reservation's time-out belongs to the workflow there, and to the queue here."""
        workflow = self._workflow
        timeout_s = _RESERVATION_TIMEOUT_S
        if workflow.has("task_reservation_timeout"):
            timeout_s = workflow.whole("task_reservation_timeout", 1, 86_400)
        for name in self._queues:
            queue = self._found.queues[name]
            before_ms = queue.offer_timeout_ms
            queue.offer_timeout_ms = max(before_ms, timeout_s * 1_000)
            if before_ms not in (0, timeout_s * 1_000):
                path = f"{workflow.path}.task_reservation_timeout"
                why = f"queue {name} is in several workflows: the longest time is taken"
                self._found.tell(Kind.APPROXIMATE, path, str(timeout_s), why)

    def _queue(self, node: Node) -> str | None:
        sid = node.text("queue")
        name = self._workspace.queues.get(sid)
        if name is None:
            hint = meant(sid, self._workspace.queues)
            why = f"no task queue of the file has this sid{hint}"
            self._found.tell(Kind.LEFT_OUT, node.get("queue").path, sid, why)
            return None
        self._queues[name] = None
        return name

    def _priority(self, target: Node) -> int:
        if not target.has("priority"):
            return 0
        priority = target.whole("priority", 0, 2**31 - 1)
        if priority > _PRIORITY_MAX:
            why = f"priorities end at {_PRIORITY_MAX:,}: spread them anew"
            self._found.tell(Kind.APPROXIMATE, target.get("priority").path, str(priority), why)
        return min(priority, _PRIORITY_MAX)

    def _asked(self, target: Node) -> Requirements:
        """What a target asks of workers; tells what cannot be asked here."""
        for name, node in target.named().items():
            if node.value is not None:
                apply_rule(
                    TARGET_FIELDS, name, Setting(node.path, node.value, Queue(), self._found)
                )
        asked = Requirements()
        if target.has("expression"):
            self._add_expression(asked, target.get("expression"))
        for name in ("known_worker_sid", "known_worker_friendly_name"):
            if target.has(name):
                worker = target.text(name)
                known = self._workspace.workers.get(worker, worker)
                asked.agent_ids.append(f"{{{known}}}" if known.startswith("task.") else known)
        if target.has("order_by"):
            self._add_order(asked, target.get("order_by"))
        return asked

    def _add_order(self, asked: Requirements, node: Node) -> None:
        if not add_order(asked, str(node.value)):
            why = "agents can be preferred by the level of a skill only, higher first"
            self._found.tell(Kind.LEFT_OUT, node.path, node.value, why)

    def _add_expression(self, asked: Requirements, node: Node) -> None:
        text = str(node.value)
        try:
            expression = parse_expression(text)
        except NotAnExpression as error:
            self._found.tell(Kind.LEFT_OUT, node.path, text, str(error))
            return
        self.keys |= {
            Key(key.parts[1:])
            for key in keys_of(expression)
            if key.parts[0] == "worker" and len(key.parts) > 1
        }
        for why in add_requirements(asked, expression, self._workspace.workers):
            self._found.tell(Kind.LEFT_OUT, node.path, text, why)

    def _tell_move(self, step: _Step) -> None:
        why = (
            f"relaxation stays in a queue: RequeueContact to {step.queue} after {step.after_ms} ms"
        )
        self._found.tell(Kind.LEFT_OUT, step.target.path, None, why)

    def _add_step(self, route: RouteRequest, step: _Step, asked: Requirements) -> None:
        before_ms = route.relaxation[-1].after_ms if route.relaxation else 0
        if step.after_ms <= before_ms:
            why = "the target before it has no time-out, so that this one never came"
            self._found.tell(Kind.LEFT_OUT, step.target.path, None, why)
            return
        relaxation = RelaxationStep(after_ms=step.after_ms, requirements=asked)
        if step.target.has("priority"):
            relaxation.priority = self._priority(step.target)
        route.relaxation.append(relaxation)

    def _tell_route(self, path: str, condition: str, route: RouteRequest) -> None:
        text = orjson.dumps(plain(route, is_full=False)).decode()
        self._found.tell(Kind.AT_ROUTE, path, condition, f"Route {text}")
        # Of any channel: the file does not say which.
        probe = RouteRequest(channel=Channel.CHANNEL_VOICE)
        probe.MergeFrom(route)
        try:
            validate(route_command(probe))
        except CommandRefused as refused:
            self._found.tell(Kind.LEFT_OUT, path, None, f"Route would refuse it: {refused}")
