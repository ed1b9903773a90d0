"""
Asterisk's queues.conf: queues with their members.

A member is an agent whose id is its interface, because that is what a gateway rings. Penalties
become levels of a skill named after the queue: the lowest penalty is level 5.
"""

from collections.abc import Mapping
from typing import Final, NamedTuple

from adapters.configuration.fields import meant, problem
from adapters.importing.asterisk_conf import Option, Section, parse
from adapters.importing.report import Import, Kind, NotImportable
from adapters.importing.rules import (
    Rule,
    Setting,
    apply_rule,
    count,
    left_out_if_not,
    left_out_if_set,
    nothing,
    seconds,
    set_field,
    word,
)
from engine.limits import BROADCAST_MAX, PRIORITY_MAX
from headgate.v1.agent_pb2 import Agent, AgentSkill, ChannelCapacity
from headgate.v1.contact_pb2 import Channel
from headgate.v1.queue_pb2 import Queue, Strategy, WrapUpMode

_ONE_BY_ONE: Final = "one agent is offered the contact at a time, the longest idle first"
_STRATEGIES: Final[Mapping[str, tuple[int, str]]] = {
    "ringall": (Strategy.STRATEGY_LONGEST_IDLE, ""),
    "leastrecent": (
        Strategy.STRATEGY_LONGEST_IDLE,
        "idle since the last contact of any queue, not of this one",
    ),
    "fewestcalls": (Strategy.STRATEGY_LONGEST_IDLE, f"contacts are not counted: {_ONE_BY_ONE}"),
    "random": (Strategy.STRATEGY_LONGEST_IDLE, f"nothing is left to chance: {_ONE_BY_ONE}"),
    "rrmemory": (Strategy.STRATEGY_ROUND_ROBIN, ""),
    "rrordered": (
        Strategy.STRATEGY_ROUND_ROBIN,
        "agents take turns, beginning with whoever waits longest, not in the order of the file",
    ),
    "linear": (
        Strategy.STRATEGY_LONGEST_IDLE,
        "agents have no order: give them levels of a skill, and let contacts prefer it",
    ),
    "wrandom": (Strategy.STRATEGY_LONGEST_IDLE, f"nothing is left to chance: {_ONE_BY_ONE}"),
}


def _strategy(setting: Setting) -> None:
    """Who rings; all of them, or one by one."""
    word("strategy", _STRATEGIES)(setting)
    if str(setting.value).lower() == "ringall":
        set_field(setting.target, "broadcast_max", BROADCAST_MAX)
        setting.tell(
            Kind.APPROXIMATE,
            f"the {BROADCAST_MAX} who are free the longest ring, of more",
        )


_PLAYED: Final = left_out_if_set(
    "what callers hear is the gateway's; Route and GetSnapshot tell it position and waiting"
)
_OF_THE_DIALPLAN: Final = left_out_if_set(
    "what happens around a call is the gateway's; events of the session carry what it needs"
)
_RECORDED: Final = left_out_if_set("recording is the gateway's, from OFFER_ACCEPTED on")
_RELAXED: Final = (
    "give Route requirements and relaxation steps: a level asked first, a lower one after a time"
)


def _retry(setting: Setting) -> None:
    """Seconds before the same member rings again, if no other can."""
    wait_ms = setting.whole() * 1_000
    set_field(setting.target, "reoffer_delay_only_agent_ms", wait_ms or -1)
    if wait_ms > 30_000:
        # It may not be longer than the delay where there are other agents.
        set_field(setting.target, "reoffer_delay_ms", wait_ms)


def _ring_time(setting: Setting) -> None:
    if setting.whole() == 0:
        setting.tell(Kind.APPROXIMATE, "an offer always ends: after 20 seconds, our default")
    seconds("offer_timeout_ms")(setting)


def _wrap_up(setting: Setting) -> None:
    wrap_up_ms = setting.whole() * 1_000
    if wrap_up_ms:
        set_field(setting.target, "wrap_up_mode", WrapUpMode.WRAP_UP_MODE_TIMED)
        set_field(setting.target, "wrap_up_ms", wrap_up_ms)


def _weight(setting: Setting) -> None:
    """Queues of a higher weight go first."""
    priority = setting.whole()
    set_field(setting.target, "priority", min(priority, PRIORITY_MAX))
    if priority > PRIORITY_MAX:
        setting.tell(Kind.APPROXIMATE, f"the highest priority of a queue is {PRIORITY_MAX}")


# Options of a queue; every name with hyphens. An equivalent gained later is one line here.
QUEUE_OPTIONS: Final[Mapping[str, Rule]] = {
    "strategy": _strategy,
    "timeout": _ring_time,
    "retry": _retry,
    "wrapuptime": _wrap_up,
    "maxlen": count("max_length"),
    "servicelevel": seconds("service_level.within_ms"),
    "weight": _weight,
    "autofill": left_out_if_not(
        ("yes", "true", "y", "t", "1", "on"), "every free agent gets a contact at once, always"
    ),
    # What becomes of the agents is decided by `_missed_offers_max`.
    "autopause": nothing,
    "autopausedelay": left_out_if_set("missed offers are counted, whenever they were"),
    "autopausebusy": left_out_if_set("a busy device: the gateway sets presence BUSY or declines"),
    "autopauseunavail": left_out_if_set("a lost device: the gateway sets presence AWAY"),
    "ringinuse": left_out_if_set(
        "an agent has one contact at a time; for more, give agents a larger capacity"
    ),
    "joinempty": left_out_if_not(
        ("yes", ""),
        "contacts wait also where nobody is signed in: see agents_signed_in of GetSnapshot before "
        "Route, or close the queue with PauseQueue",
    ),
    "leavewhenempty": left_out_if_not(
        ("no", ""), "contacts wait on where nobody is left: set max_wait_ms, or CancelContact"
    ),
    "penaltymemberslimit": left_out_if_set(_RELAXED),
    "defaultrule": left_out_if_set(_RELAXED),
    "timeoutpriority": left_out_if_set(
        "an offer has a time of its own, offer_timeout_ms, and waiting another, max_wait_ms"
    ),
    "timeoutrestart": left_out_if_set("a declined offer ends at once, and another one is made"),
    "memberdelay": _OF_THE_DIALPLAN,
    "reportholdtime": _PLAYED,
    "context": left_out_if_set("leaving by a key is the gateway's: it calls CancelContact"),
    **dict.fromkeys(
        (
            "musicclass", "music", "announce", "announce-frequency", "announce-holdtime",
            "announce-position", "announce-position-limit", "announce-position-only-up",
            "announce-round-seconds", "announce-to-first-user", "min-announce-frequency",
            "periodic-announce", "periodic-announce-frequency", "periodic-announce-startdelay",
            "random-periodic-announce", "relative-periodic-announce", "queue-callerannounce",
            "queue-youarenext", "queue-thereare", "queue-callswaiting", "queue-quantity1",
            "queue-quantity2", "queue-holdtime", "queue-minute", "queue-minutes", "queue-seconds",
            "queue-thankyou", "queue-reporthold",
        ),
        _PLAYED,
    ),
    **dict.fromkeys(("monitor-format", "monitor-type", "monitor-join"), _RECORDED),
    **dict.fromkeys(
        (
            "setinterfacevar", "setqueueentryvar", "setqueuevar", "membergosub", "membermacro",
            "eventwhencalled", "eventmemberstatus",
        ),
        _OF_THE_DIALPLAN,
    ),
}  # fmt: skip

# What Asterisk takes where an option is not there, and we do not.
_QUEUE_DEFAULTS: Final = {"strategy": "ringall", "timeout": "15", "retry": "5"}

# Options of [general].
GENERAL_OPTIONS: Final[Mapping[str, Rule]] = {
    # Agents, and where they are signed in, are kept over a restart.
    "persistentmembers": nothing,
    "autofill": QUEUE_OPTIONS["autofill"],
    "monitor-type": _RECORDED,
    "shared-lastcall": left_out_if_not(
        ("yes", "true", "y", "t", "1", "on"), "wrap-up always keeps an agent from every queue"
    ),
    "force-longest-waiting-caller": left_out_if_set(
        "a freed agent gets the most urgent contact of all its queues: age by service level time"
    ),
    "negative-penalty-invalid": left_out_if_set("leave such members out"),
    "enable-cidname-logging": nothing,
    "log-membername-as-agent": nothing,
    "log-restricted-caller-id": nothing,
}

# Fields of a member behind interface and penalty, and what becomes of them.
MEMBER_FIELDS: Final[tuple[tuple[str, Rule], ...]] = (
    ("name", left_out_if_set("agents have no name to show: keep it with the gateway")),
    ("state interface", left_out_if_set("the gateway watches devices and calls SetPresence")),
    ("ringinuse", QUEUE_OPTIONS["ringinuse"]),
    ("wrapuptime", left_out_if_set("wrap-up is set by queue, not by agent")),
    ("paused", left_out_if_set("agents begin OFFLINE, and are AVAILABLE once SetPresence says so")),
)


class _Member(NamedTuple):
    option: Option
    agent: Agent
    penalty: int


def import_queues_conf(text: str) -> Import:
    """
    Bring a queues.conf over.

    Raises
    ------
    NotImportable
        It is none, or an option has a value that Asterisk would not take.
    """
    sections, directives = parse(text)
    found = Import()
    for directive in directives:
        why = "other files are not read: put what is in them here"
        found.tell(Kind.LEFT_OUT, f"line {directive.line}", directive.text, why)
    for section in sections:
        if section.name == "general":
            _general(section, found)
        elif not section.is_template:
            _queue(section, found)
    if not found.queues:
        raise NotImportable(problem("the file", "none", "at least one queue"))
    return found


def _general(section: Section, found: Import) -> None:
    for option in section.options:
        name = _with_hyphens(option.name)
        path = f"line {option.line}, [general] {option.name}"
        apply_rule(GENERAL_OPTIONS, name, Setting(path, option.value, Queue(), found))


def _queue(section: Section, found: Import) -> None:
    queue = found.add_queue(section.name, f"line {section.line}")
    # A later option replaces an earlier one, above all one of a template.
    options = {_with_hyphens(item.name): item for item in section.options if item.name != "member"}
    for name, value in _QUEUE_DEFAULTS.items():
        if name not in options:
            path = f"[{section.name}] {name}, which is not set"
            apply_rule(QUEUE_OPTIONS, name, Setting(path, value, queue, found))
    for name, option in options.items():
        path = f"line {option.line}, [{section.name}] {option.name}"
        apply_rule(QUEUE_OPTIONS, name, Setting(path, option.value, queue, found))
    autopause = options.get("autopause")
    limit = _missed_offers_max(autopause, section.name, found)
    members = [
        _member(option, queue, limit, found)
        for option in section.options
        if option.name == "member"
    ]
    _rank(section.name, [item for item in members if item is not None], found)


def _missed_offers_max(option: Option | None, queue_id: str, found: Import) -> int:
    """After how many missed offers an agent goes away; -1 for never."""
    value = option.value.lower() if option else "no"
    if value in ("no", "0", "false", "n", "f", "off"):
        return -1
    path = f"line {option.line}, [{queue_id}] autopause" if option else ""
    if value not in ("all", "yes", "true", "y", "t", "1", "on"):
        expected = f"one of yes, no, all{meant(value, ('yes', 'no', 'all'))}"
        raise NotImportable(problem(path, value, expected))
    if value != "all":
        why = "the agent goes away from all its queues, not from this one alone"
        found.tell(Kind.APPROXIMATE, path, value, why)
    return 1


def _member(option: Option, queue: Queue, limit: int, found: Import) -> _Member | None:
    path = f"line {option.line}, [{queue.queue_id}] member"
    interface, *fields = [part.strip().strip('"') for part in option.value.split(",")]
    if not interface:
        raise NotImportable(problem(path, option.value, "INTERFACE[,PENALTY[,NAME...]]"))
    agent = found.agents.get(interface)
    if agent is None:
        agent = found.add_agent(interface, path)
        agent.missed_offers_max = limit
        agent.channels.append(ChannelCapacity(channel=Channel.CHANNEL_VOICE))
    elif agent.missed_offers_max == -1:
        agent.missed_offers_max = limit
    if queue.queue_id in agent.queue_ids:
        found.tell(Kind.LEFT_OUT, path, option.value, "it is a member of this queue already")
        return None
    agent.queue_ids.append(queue.queue_id)
    penalty = Setting(f"{path} {interface}, penalty", fields[0] if fields else "", agent, found)
    for (name, rule), value in zip(MEMBER_FIELDS, fields[1:], strict=False):
        rule(Setting(f"{path} {interface}, {name}", value, agent, found))
    return _Member(option, agent, penalty.whole() if penalty.value else 0)


def _rank(queue_id: str, members: list[_Member], found: Import) -> None:
    """Penalties as levels of a skill, where there are any."""
    penalties = sorted({member.penalty for member in members})
    if penalties in ([], [0]):
        return
    for member in members:
        level = max(5 - penalties.index(member.penalty), 1)
        member.agent.skills.append(AgentSkill(skill=queue_id, proficiency=level))
    shown = ", ".join(f"{item} is {max(5 - rank, 1)}" for rank, item in enumerate(penalties))
    found.tell(
        Kind.AT_ROUTE,
        f"[{queue_id}] penalties",
        shown,
        f"they are levels of the skill {queue_id} now; so that higher levels go first, ask for it "
        "in requirements.skills, and for less in relaxation steps; or only prefer "
        "it, in requirements.preferred_skills with weight 100",
    )


def _with_hyphens(name: str) -> str:
    """Asterisk takes some names either way."""
    return name.replace("_", "-")
