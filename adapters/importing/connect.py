"""
An Amazon Connect routing profile, with its queues and, where they are given, its users.

One JSON object that holds what the API gives, each answer as it is: `RoutingProfile` of
DescribeRoutingProfile, `RoutingProfileQueueConfigSummaryList` of ListRoutingProfileQueues, and
lists `Queues` of DescribeQueue's answers, `HoursOfOperations` of DescribeHoursOfOperation's and
`Users` of DescribeUser's; beside a user may stand the
`UserProficiencyList` of ListUserProficiencies. Other users than those of the profile are passed
over.
"""

import math
from collections.abc import Mapping
from typing import Final

from adapters.configuration.fields import problem
from adapters.importing.connect_hours import hours_by_id
from adapters.importing.json_file import Node, parse_json
from adapters.importing.report import Import, Kind, NotImportable
from adapters.importing.rules import (
    Rule,
    Setting,
    apply_rule,
    count,
    left_out_if_set,
    nothing,
    word,
)
from headgate.v1.agent_pb2 import Agent, AgentSkill, ChannelCapacity
from headgate.v1.contact_pb2 import Channel
from headgate.v1.queue_pb2 import Hours, Queue, Strategy, WrapUpMode

_CHANNELS: Final = {
    "VOICE": Channel.CHANNEL_VOICE,
    "CHAT": Channel.CHANNEL_CHAT,
    "EMAIL": Channel.CHANNEL_EMAIL,
}
_NO_SUCH_CHANNEL: Final = "there is no such channel: route such work as social or e-mail"

_OUTBOUND: Final = left_out_if_set("outbound calls are not routed")


def _status(setting: Setting) -> None:
    if setting.value == "DISABLED":
        why = "intake is not configuration: close the queue with PauseQueue(INTAKE_CLOSED)"
        setting.tell(Kind.LEFT_OUT, why)


# Fields of a routing profile; what it says holds for each of its queues.
PROFILE_FIELDS: Final[Mapping[str, Rule]] = {
    "AgentAvailabilityTimer": word(
        "strategy",
        {
            "time_since_last_activity": (Strategy.STRATEGY_LONGEST_IDLE, ""),
            "time_since_last_inbound": (
                Strategy.STRATEGY_LONGEST_IDLE,
                "idle since the last contact of any kind, not the last inbound one",
            ),
        },
    ),
    # What becomes of these is decided by `_channels`.
    "MediaConcurrencies": nothing,
    "Name": nothing,
    "Description": nothing,
    "DefaultOutboundQueueId": _OUTBOUND,
    "AssociatedQueueIds": nothing,
    "AssociatedManualAssignmentQueueIds": left_out_if_set("agents do not pick contacts by hand"),
    **dict.fromkeys(
        (
            "InstanceId", "RoutingProfileArn", "RoutingProfileId", "Tags", "IsDefault",
            "NumberOfAssociatedQueues", "NumberOfAssociatedManualAssignmentQueues",
            "NumberOfAssociatedUsers", "LastModifiedTime", "LastModifiedRegion",
        ),
        nothing,
    ),
}  # fmt: skip

# Fields of a queue. An equivalent gained later is one line here.
QUEUE_FIELDS: Final[Mapping[str, Rule]] = {
    "MaxContacts": count("max_length"),
    "Status": _status,
    # What becomes of these is decided by `_hours`.
    "HoursOfOperationId": nothing,
    "OutboundCallerConfig": _OUTBOUND,
    "OutboundEmailConfig": _OUTBOUND,
    **dict.fromkeys(
        (
            "Name", "Description", "QueueArn", "QueueId", "Tags", "LastModifiedTime",
            "LastModifiedRegion",
        ),
        nothing,
    ),
}  # fmt: skip

# Fields of a user.
USER_FIELDS: Final[Mapping[str, Rule]] = {
    # What becomes of these is decided by `_skills` and `_wrap_up`.
    "UserProficiencyList": nothing,
    "PhoneConfig": nothing,
    "IdentityInfo": left_out_if_set("agents have no name to show: keep it with the gateway"),
    "SecurityProfileIds": left_out_if_set("rights are not kept here"),
    "HierarchyGroupId": left_out_if_set("groups of agents are tags: add one to the agent's tags"),
    **dict.fromkeys(
        (
            "Id", "Arn", "Username", "RoutingProfileId", "DirectoryUserId", "Tags",
            "LastModifiedTime", "LastModifiedRegion",
        ),
        nothing,
    ),
}  # fmt: skip

# Fields of a user's PhoneConfig, AfterContactWorkTimeLimit aside.
PHONE_FIELDS: Final[Mapping[str, Rule]] = {
    "AfterContactWorkTimeLimit": nothing,
    "AutoAccept": left_out_if_set("the gateway accepts: it calls AcceptOffer for the agent"),
    "PhoneType": nothing,
    "DeskPhoneNumber": left_out_if_set("where an agent is reached is the gateway's"),
    "PersistentConnection": left_out_if_set("how an agent is reached is the gateway's"),
}


def import_routing_profile(text: str | bytes) -> Import:
    """
    Bring a routing profile over.

    Raises
    ------
    NotImportable
        The file is not of that form.
    """
    file = parse_json(text)
    found = Import()
    profile = file.get("RoutingProfile")
    names = _queues(file, profile, found)
    users = [_inner(item, "User") for item in file.items("Users")]
    of_profile = [user for user in users if _has_profile(user, profile)]
    if not of_profile:
        why = "no users of the profile are in the file: add them as agents"
        found.tell(Kind.LEFT_OUT, "Users", None, why)
    for user in of_profile:
        agent = found.add_agent(user.text("Username"), user.get("Username").path)
        agent.queue_ids.extend(names)
        _channels(profile, agent, found if user is of_profile[0] else Import())
        _skills(user, agent, found)
        _apply(user, USER_FIELDS, agent, found)
        if user.has("PhoneConfig"):
            _apply(user.get("PhoneConfig"), PHONE_FIELDS, agent, found)
    _wrap_up(of_profile, found)
    return found


def _inner(node: Node, name: str) -> Node:
    """A resource, whether it stands alone or inside an answer, with what stands beside it."""
    if not node.has(name):
        return node
    inner = node.get(name)
    beside = {key: value for key, value in node.fields().items() if key != name}
    return Node(inner.path, {**beside, **inner.fields()})


def _has_profile(user: Node, profile: Node) -> bool:
    return user.text("RoutingProfileId") == profile.text("RoutingProfileId")


def _apply(node: Node, table: Mapping[str, Rule], target: Agent | Queue, found: Import) -> None:
    for name, field in node.named().items():
        if field.value is not None:
            apply_rule(table, name, Setting(field.path, field.value, target, found))


def _queues(file: Node, profile: Node, found: Import) -> list[str]:
    """The queues of the profile; returns their names, each once."""
    described = {
        queue.text("QueueId"): queue
        for queue in (_inner(item, "Queue") for item in file.items("Queues"))
    }
    file.get("RoutingProfileQueueConfigSummaryList")
    entries = file.items("RoutingProfileQueueConfigSummaryList")
    if not entries:
        raise NotImportable(
            problem("RoutingProfileQueueConfigSummaryList", [], "at least one queue")
        )
    hours = hours_by_id(file)
    names: dict[str, str] = {}
    for entry in entries:
        queue_id = entry.text("QueueId")
        if queue_id not in names:
            names[queue_id] = entry.text("QueueName")
            queue = found.add_queue(names[queue_id], entry.get("QueueName").path)
            tells = found if len(names) == 1 else Import()
            _apply(profile, PROFILE_FIELDS, queue, tells)
            if queue_id in described:
                _apply(described[queue_id], QUEUE_FIELDS, queue, found)
                _hours(described[queue_id], hours, queue, found)
    _priorities(entries, found)
    for queue_id in described.keys() - names.keys():
        path, name = described[queue_id].path, described[queue_id].text("Name")
        found.tell(Kind.LEFT_OUT, path, name, "the routing profile does not have this queue")
    return list(names.values())


def _hours(described: Node, hours: Mapping[str, Hours], queue: Queue, found: Import) -> None:
    """When the queue is open, where the file says what its hours of operation are."""
    if not described.has("HoursOfOperationId"):
        return
    hours_id = described.text("HoursOfOperationId")
    if hours_id in hours:
        queue.hours.CopyFrom(hours[hours_id])
    else:
        why = "its hours are not in the file, in a list HoursOfOperations: the queue is always open"
        found.tell(Kind.LEFT_OUT, described.get("HoursOfOperationId").path, hours_id, why)


def _priorities(entries: list[Node], found: Import) -> None:
    """Priority and delay of queues, which here belong to contacts."""
    priorities = {entry.whole("Priority", 1, 99) for entry in entries}
    for entry in entries:
        name, channel = entry.text("QueueName"), entry.text("Channel")
        if channel not in _CHANNELS:
            found.tell(Kind.LEFT_OUT, entry.get("Channel").path, channel, _NO_SUCH_CHANNEL)
        priority = entry.whole("Priority", 1, 99)
        if len(priorities) > 1:
            ours = max(priorities) - priority
            why = f"give Route priority {ours} for {channel} in {name}: here higher is sooner"
            found.tell(Kind.AT_ROUTE, entry.get("Priority").path, str(priority), why)
        delay_s = entry.whole("Delay", 0, 9_999)
        if delay_s:
            why = (
                f"agents of the profile get {channel} in {name} only after {delay_s} s: give a tag "
                "to those who get them at once, ask for it, and drop it in a relaxation step after "
                f"{delay_s * 1_000} ms"
            )
            found.tell(Kind.AT_ROUTE, entry.get("Delay").path, str(delay_s), why)


def _channels(profile: Node, agent: Agent, found: Import) -> None:
    """
    How many contacts of each channel at a time.

    Where a channel keeps the others out, contacts share one capacity: it is the least common
    multiple of the concurrencies, and as many contacts as are allowed of one channel fill it.
    """
    concurrencies: dict[str, int] = {}
    is_exclusive: dict[str, bool] = {}
    for entry in profile.items("MediaConcurrencies"):
        name = entry.text("Channel")
        if name not in _CHANNELS:
            found.tell(Kind.LEFT_OUT, entry.get("Channel").path, name, _NO_SUCH_CHANNEL)
            continue
        concurrencies[name] = entry.whole("Concurrency", 0, 100)
        behavior = entry.get("CrossChannelBehavior") if entry.has("CrossChannelBehavior") else None
        kind = behavior.text("BehaviorType") if behavior else "ROUTE_CURRENT_CHANNEL_ONLY"
        is_exclusive[name] = kind != "ROUTE_ANY_CHANNEL"
    taken = {name: number for name, number in concurrencies.items() if number}
    if not taken:
        raise profile.wrong("MediaConcurrencies of at least one channel that is known here")
    shares = len(taken) > 1 and any(is_exclusive[name] for name in taken)
    agent.capacity = math.lcm(*taken.values()) if shares else sum(taken.values())
    for name, number in taken.items():
        cost = agent.capacity // number if shares else 1
        agent.channels.append(
            ChannelCapacity(channel=_CHANNELS[name], cost=cost, contacts_max=number)
        )
    if shares and (len(taken) > 2 or not all(is_exclusive[name] for name in taken)):
        why = (
            "channels share one capacity: an agent full with one gets nothing of another, an "
            "agent with room may get a mixture"
        )
        found.tell(Kind.APPROXIMATE, f"{profile.path}.MediaConcurrencies", None, why)


def _skills(user: Node, agent: Agent, found: Import) -> None:
    for entry in user.items("UserProficiencyList"):
        name = f"{entry.text('AttributeName')}:{entry.text('AttributeValue')}"
        level = entry.number("Level")
        if not (1 <= level <= 5):
            raise entry.get("Level").wrong("1.0 to 5.0")
        if level != int(level):
            why = f"levels are whole numbers: {int(level)}"
            found.tell(Kind.APPROXIMATE, f"{entry.path}.Level", f"{name} {level}", why)
        agent.skills.append(AgentSkill(skill=name, proficiency=int(level)))


def _wrap_up(users: list[Node], found: Import) -> None:
    """After-contact work, which here belongs to the queue."""
    limits = {
        user.get("PhoneConfig").whole("AfterContactWorkTimeLimit", 0, 2_000_000)
        for user in users
        if user.has("PhoneConfig") and user.get("PhoneConfig").has("AfterContactWorkTimeLimit")
    }
    if not limits:
        return
    longest = 0 if 0 in limits else max(limits)
    for queue in found.queues.values():
        if longest:
            queue.wrap_up_mode = WrapUpMode.WRAP_UP_MODE_TIMED
            queue.wrap_up_ms = longest * 1_000
        else:
            queue.wrap_up_mode = WrapUpMode.WRAP_UP_MODE_UNTIL_ENDED
    if len(limits) > 1:
        chosen = f"{longest} s" if longest else "until the agent ends it"
        why = f"wrap-up is set by queue, not by agent: the longest is taken, {chosen}"
        shown = ", ".join(map(str, sorted(limits)))
        found.tell(Kind.APPROXIMATE, "AfterContactWorkTimeLimit of the users", shown, why)
