"""
A Twilio TaskRouter workspace: task queues and workers.

One JSON object that holds the lists of the REST API, each as the API gives it: `task_queues`,
`workers`, `workflows`, and where they are there `task_channels` and `activities`. A worker may hold
`channels`, its list of worker channels.

Which workers serve a queue is an expression there and a list here: it is evaluated for the workers
of the file. Attributes that an expression looks at become skills and tags.
"""

from collections.abc import Iterable, Mapping
from typing import Final

from adapters.configuration.fields import meant
from adapters.importing.json_file import Node, parse_json
from adapters.importing.report import Import, Kind
from adapters.importing.rules import (
    Rule,
    Setting,
    apply_rule,
    asked_together,
    left_out_if_set,
    nothing,
    word,
)
from adapters.importing.taskrouter_expression import (
    Expression,
    Key,
    NotAnExpression,
    is_true,
    keys_of,
    parse_expression,
)
from adapters.importing.taskrouter_requirements import add_attributes
from adapters.importing.taskrouter_workflow import Workspace, import_workflow
from headgate.v1.agent_pb2 import Agent, ChannelCapacity
from headgate.v1.contact_pb2 import Channel
from headgate.v1.queue_pb2 import QueueOrder

# Task channels by unique name, in lower case.
_CHANNELS: Final = {
    "voice": Channel.CHANNEL_VOICE,
    "chat": Channel.CHANNEL_CHAT,
    "email": Channel.CHANNEL_EMAIL,
    "sms": Channel.CHANNEL_SMS,
    "video": Channel.CHANNEL_VIDEO,
    "whatsapp": Channel.CHANNEL_SOCIAL,
    "facebook": Channel.CHANNEL_SOCIAL,
    "messenger": Channel.CHANNEL_SOCIAL,
    "callback": Channel.CHANNEL_CALLBACK,
}
_SKILL_LISTS: Final = (Key(("skills",)), Key(("routing", "skills")))
# What every resource of the API has besides.
_BOOKKEEPING: Final[Mapping[str, Rule]] = dict.fromkeys(
    (
        "sid", "account_sid", "workspace_sid", "friendly_name", "date_created", "date_updated",
        "date_status_changed", "url", "links", "version", "operating_unit_sid",
    ),
    nothing,
)  # fmt: skip

_NO_ACTIVITY: Final = (
    "presence is the gateway's: the engine counts offers and contacts, SetPresence says the rest"
)

# Fields of a task queue. An equivalent gained later is one line here.
QUEUE_FIELDS: Final[Mapping[str, Rule]] = {
    **_BOOKKEEPING,
    # What becomes of this is decided by `_serve`.
    "target_workers": nothing,
    "max_reserved_workers": asked_together,
    "task_order": word(
        "order",
        {
            "fifo": (QueueOrder.QUEUE_ORDER_FIFO, ""),
            "lifo": (QueueOrder.QUEUE_ORDER_LIFO, ""),
        },
    ),
    "reservation_activity_sid": left_out_if_set(_NO_ACTIVITY),
    "reservation_activity_name": nothing,
    "assignment_activity_sid": left_out_if_set(_NO_ACTIVITY),
    "assignment_activity_name": nothing,
}

# Fields of a worker.
WORKER_FIELDS: Final[Mapping[str, Rule]] = {
    **_BOOKKEEPING,
    # What becomes of these is decided by `add_attributes` and `_channels`.
    "attributes": nothing,
    "channels": nothing,
    # Agents begin offline, and say themselves that they are there.
    "activity_name": nothing,
    "activity_sid": nothing,
    "available": nothing,
}

# Lists of the file besides queues, workers and workflows, and what becomes of them.
OTHER_LISTS: Final[Mapping[str, Rule]] = {
    "activities": lambda setting: setting.found.tell(
        Kind.APPROXIMATE,
        setting.path,
        None,
        "activities are presences with a reason: SetPresence AVAILABLE, BUSY or AWAY, and its name",
    ),
    "task_channels": nothing,
    "workspace": nothing,
    "meta": nothing,
    "task_queues": nothing,
    "workers": nothing,
    "workflows": nothing,
}


def import_workspace(text: str | bytes) -> Import:
    """
    Bring a workspace over.

    Raises
    ------
    NotImportable
        The file is not of that form.
    """
    file = parse_json(text)
    found = Import()
    for name, node in file.named().items():
        apply_rule(OTHER_LISTS, name, Setting(node.path, None, Agent(), found))
    file.get("task_queues")
    queues = file.items("task_queues")
    targets = {queue.path: _target(queue, found) for queue in queues}
    workspace = Workspace(
        queues={node.text("sid"): node.text("friendly_name") for node in queues},
        workers={node.text("sid"): node.text("friendly_name") for node in file.items("workers")},
    )
    for queue in queues:
        ours = found.add_queue(queue.text("friendly_name"), queue.get("friendly_name").path)
        _apply(queue, QUEUE_FIELDS, Setting(queue.path, None, ours, found))
    keys = {key for target in targets.values() if target for key in keys_of(target)}
    for workflow in file.items("workflows"):
        keys |= import_workflow(workflow, workspace, found)
    attributes = _workers(file.items("workers"), keys, found)
    for queue in queues:
        _serve(queue, targets[queue.path], attributes, found)
    return found


def _apply(node: Node, table: Mapping[str, Rule], setting: Setting) -> None:
    for name, field in node.named().items():
        if field.value is not None:
            apply_rule(table, name, setting._replace(path=field.path, value=field.value))


def _target(queue: Node, found: Import) -> Expression | None:
    """The expression of who serves a queue; None where there is none that can be read."""
    text = queue.text("target_workers", "1==1")
    try:
        return parse_expression(text)
    except NotAnExpression as error:
        path = queue.get("target_workers").path
        found.tell(Kind.LEFT_OUT, path, text, f"{error}; nobody serves the queue yet")
        return None


def _workers(
    workers: list[Node], keys: Iterable[Key], found: Import
) -> dict[str, Mapping[str, object]]:
    """Agents with their skills, tags and channels; returns the attributes of each by its id."""
    looked_at = {*keys, *_SKILL_LISTS}
    all_attributes: dict[str, Mapping[str, object]] = {}
    unused: dict[str, None] = {}
    has_channels = False
    for worker in workers:
        agent = found.add_agent(worker.text("friendly_name"), worker.get("friendly_name").path)
        _apply(worker, WORKER_FIELDS, Setting(worker.path, None, agent, found))
        attributes = _attributes(worker)
        all_attributes[agent.agent_id] = attributes
        for kind, name, value, why in add_attributes(agent, attributes, looked_at):
            found.tell(kind, f"{worker.path}.attributes.{name}", value, why)
        unused |= dict.fromkeys(attributes.keys() - {key.parts[0] for key in looked_at})
        has_channels = _channels(worker, agent, found) or has_channels
    for name in sorted(unused):
        why = "no expression looks at it: keep it with the gateway"
        found.tell(Kind.LEFT_OUT, f"workers[].attributes.{name}", None, why)
    if workers and not has_channels:
        why = (
            "the workers' channels are not in the file: each agent takes one contact at a time, of "
            "any channel; set capacity and channels"
        )
        found.tell(Kind.APPROXIMATE, "workers[].channels", None, why)
    return all_attributes


def _attributes(worker: Node) -> Mapping[str, object]:
    """A worker's attributes, which the API gives as a text of JSON."""
    if not worker.has("attributes"):
        return {}
    field = worker.get("attributes")
    node = parse_json(field.value, field.path) if isinstance(field.value, str) else field
    return node.fields()


def _channels(worker: Node, agent: Agent, found: Import) -> bool:
    """Give an agent its channels, each with room of its own; whether the file has any."""
    for node in worker.items("channels"):
        name = node.text("task_channel_unique_name")
        capacity = node.whole("configured_capacity", 0, 1_000)
        if not capacity or node.fields().get("available") is False:
            continue
        channel = _CHANNELS.get(name.lower())
        if channel is None:
            why = f"there is no such channel{meant(name.lower(), _CHANNELS)}: route it as another"
            found.tell(Kind.LEFT_OUT, node.path, name, why)
        elif channel not in [item.channel for item in agent.channels]:
            agent.channels.append(ChannelCapacity(channel=channel, contacts_max=capacity))
            agent.capacity += capacity
    return worker.has("channels")


def _serve(
    queue: Node,
    target: Expression | None,
    attributes: Mapping[str, Mapping[str, object]],
    found: Import,
) -> None:
    """Name a queue in the agents whose attributes its expression asks for."""
    if target is None:
        return
    name = queue.text("friendly_name")
    serving = [agent_id for agent_id, item in attributes.items() if is_true(target, item)]
    for agent_id in serving:
        found.agents[agent_id].queue_ids.append(name)
    if keys_of(target):
        why = (
            f"agents name their queues: {len(serving)} of {len(attributes)} serve {name} now; add "
            "it to the queue_ids of whoever is to serve it later"
        )
        path = queue.get("target_workers").path
        found.tell(Kind.APPROXIMATE, path, queue.text("target_workers"), why)
