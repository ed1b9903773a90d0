"""Commands that break a rule on their own: each rule has a row here that breaks it alone."""

import math
from typing import Any

import pytest

from engine.commands import (
    AcceptOffer,
    CancelContact,
    Command,
    CompleteAssignment,
    DeclineOffer,
    DeleteAgent,
    DeleteQueue,
    EndWrapUp,
    Heartbeat,
    ReleaseAssignment,
    RequeueContact,
    Requirements,
    Route,
    SetIntake,
    SetPresence,
    SkillPreference,
    SkillRequirement,
    UpdateContact,
    UpsertAgent,
    UpsertQueue,
)
from engine.definitions import AgentSkill, ChannelCapacity, Hours, HoursException, OpeningPeriod
from engine.engine import Engine
from engine.lifecycle import (
    AgentKind,
    CancelReason,
    Channel,
    Day,
    Intake,
    Presence,
    Strategy,
    WrapUpMode,
)
from engine.limits import DAY_MS, FORTNIGHT_MS
from engine.refusals import CommandRefused, Refusal

LONG = "x" * 129
# What protobuf gives for a field that was not set, and for a value newer than this engine.
NOT_SET: Any = 0
BEYOND: Any = 9
ROUTE = Route("c1", "q1", Channel.VOICE)
UPDATE = UpdateContact("c1")
REQUEUE = RequeueContact("c1")
AGENT = UpsertAgent("a1")
QUEUE = UpsertQueue("q1")


def _weekly(opens: str, closes: str, days: tuple[Day, ...] = (Day.MONDAY,)) -> UpsertQueue:
    return QUEUE._replace(hours=Hours("UTC", (OpeningPeriod(opens, closes, days),)))


def _except(*exceptions: HoursException) -> UpsertQueue:
    return QUEUE._replace(hours=Hours("UTC", exceptions=exceptions))


TIMED = QUEUE._replace(wrap_up_mode=WrapUpMode.TIMED, wrap_up_ms=1)


def _asking(
    *skills: SkillRequirement,
    preferred: tuple[SkillPreference, ...] = (),
    tags: tuple[str, ...] = (),
) -> Route:
    return ROUTE._replace(requirements=Requirements(skills, preferred, tags))


def _names(count: int) -> list[str]:
    return [f"n{number}" for number in range(count)]


BROKEN: list[tuple[Command, str]] = [
    (ROUTE._replace(contact_id=""), "contact_id"),  # empty
    (ROUTE._replace(contact_id=LONG), "contact_id"),  # 129 bytes
    (ROUTE._replace(contact_id="ü" * 65), "contact_id"),  # 130 bytes in 65 characters
    (ROUTE._replace(contact_id="a\nb"), "contact_id"),  # a control character
    (ROUTE._replace(contact_id="a\ud800"), "contact_id"),  # half a pair: no encoding in UTF-8
    (ROUTE._replace(queue_id=LONG), "queue_id"),  # 129 bytes
    (ROUTE._replace(channel=NOT_SET), "channel"),  # not set on the wire
    (ROUTE._replace(channel=BEYOND), "channel"),  # beyond the last
    (ROUTE._replace(priority=1_001), "priority"),  # above the maximum
    (ROUTE._replace(priority=-1_001), "priority"),  # below the minimum
    (ROUTE._replace(routing_age_ms=-1), "routing_age_ms"),  # from the future
    (ROUTE._replace(routing_age_ms=FORTNIGHT_MS + 1), "routing_age_ms"),  # older than a fortnight
    (ROUTE._replace(max_wait_ms=-2), "max_wait_ms"),  # below never
    (ROUTE._replace(max_wait_ms=FORTNIGHT_MS + 1), "max_wait_ms"),  # longer than a fortnight
    (ROUTE._replace(attributes=dict.fromkeys(_names(65), "")), "attributes"),  # 65 pairs
    (ROUTE._replace(attributes={"a": "x" * 16_384}), "attributes"),  # one byte too many
    (ROUTE._replace(attributes={"": "x"}), "attributes"),  # a key without a name
    (ROUTE._replace(attributes={"a": "\udcff"}), "attributes"),  # no encoding in UTF-8
    (_asking(SkillRequirement("")), "requirements.skills[0].skill"),  # empty
    (_asking(SkillRequirement(LONG)), "requirements.skills[0].skill"),  # 129 bytes
    (_asking(SkillRequirement("s", 0)), "requirements.skills[0].proficiency_min"),  # asks nothing
    (_asking(SkillRequirement("s", 7)), "requirements.skills[0].proficiency_min"),  # nobody has 7
    (_asking(*map(SkillRequirement, _names(9))), "requirements.skills"),  # nine of eight
    (_asking(SkillRequirement("s"), SkillRequirement("s", 2)), "requirements.skills"),  # twice
    (
        _asking(preferred=(SkillPreference("s", 0.0),)),
        "requirements.preferred_skills[0].weight",
    ),  # no weight
    (
        _asking(preferred=(SkillPreference("s", -1.0),)),
        "requirements.preferred_skills[0].weight",
    ),  # a dislike
    (
        _asking(preferred=(SkillPreference("s", 100.5),)),
        "requirements.preferred_skills[0].weight",
    ),  # above the maximum
    (
        _asking(preferred=(SkillPreference("s", math.nan),)),
        "requirements.preferred_skills[0].weight",
    ),  # not a number: compares false with everything
    (
        _asking(preferred=(SkillPreference("s", math.inf),)),
        "requirements.preferred_skills[0].weight",
    ),  # above the maximum
    (_asking(preferred=(SkillPreference(""),)), "requirements.preferred_skills[0].skill"),  # empty
    (
        _asking(preferred=tuple(map(SkillPreference, _names(9)))),
        "requirements.preferred_skills",
    ),  # nine of eight
    (
        _asking(preferred=(SkillPreference("s"), SkillPreference("s", 2.0))),
        "requirements.preferred_skills",
    ),  # twice
    (_asking(tags=("",)), "requirements.tags[0]"),  # empty
    (_asking(tags=tuple(_names(9))), "requirements.tags"),  # nine of eight
    (_asking(tags=("t", "t")), "requirements.tags"),  # twice
    (UPDATE._replace(contact_id=""), "contact_id"),  # empty
    (UPDATE._replace(priority=2_000), "priority"),  # above the maximum
    (UPDATE._replace(routing_age_ms=-5), "routing_age_ms"),  # from the future
    (
        UPDATE._replace(requirements=_asking(SkillRequirement("s", 6)).requirements),
        "requirements.skills[0].proficiency_min",
    ),  # nobody has 6
    (UPDATE._replace(attributes={"": ""}), "attributes"),  # a key without a name
    (REQUEUE._replace(contact_id=""), "contact_id"),  # empty
    (REQUEUE._replace(queue_id=LONG), "queue_id"),  # 129 bytes
    (REQUEUE._replace(priority=-2_000), "priority"),  # below the minimum
    (CancelContact("", CancelReason.ABANDONED), "contact_id"),  # empty
    (CancelContact("c1", NOT_SET), "reason"),  # not set on the wire
    (AcceptOffer("", "a1"), "offer_id"),  # empty
    (AcceptOffer("o1.0", ""), "agent_id"),  # empty
    (DeclineOffer("", "a1"), "offer_id"),  # empty
    (DeclineOffer("o1.0", LONG), "agent_id"),  # 129 bytes
    (DeclineOffer("o1.0", "a1", -1), "retry_after_ms"),  # in the past
    (DeclineOffer("o1.0", "a1", DAY_MS + 1), "retry_after_ms"),  # longer than a day
    (CompleteAssignment("", "a1"), "contact_id"),  # empty
    (CompleteAssignment("c1", ""), "agent_id"),  # empty
    (EndWrapUp("", "a1"), "contact_id"),  # empty
    (ReleaseAssignment("c1", ""), "agent_id"),  # empty
    (AGENT._replace(agent_id=""), "agent.agent_id"),  # empty
    (AGENT._replace(agent_id=LONG), "agent.agent_id"),  # 129 bytes
    (AGENT._replace(kind=BEYOND), "agent.kind"),  # neither person nor bot
    (AGENT._replace(queue_ids=("",)), "agent.queue_ids[0]"),  # empty
    (AGENT._replace(queue_ids=("q1", "q1")), "agent.queue_ids"),  # twice
    (AGENT._replace(queue_ids=tuple(_names(10_001))), "agent.queue_ids"),  # 10,001 of 10,000
    (AGENT._replace(skills=(AgentSkill("", 1),)), "agent.skills[0].skill"),  # empty
    (AGENT._replace(skills=(AgentSkill("s", 7),)), "agent.skills[0].proficiency"),  # above 5
    (AGENT._replace(skills=(AgentSkill("s", -1),)), "agent.skills[0].proficiency"),  # below 0
    (AGENT._replace(skills=(AgentSkill("s", 1), AgentSkill("s", 2))), "agent.skills"),  # twice
    (
        AGENT._replace(skills=tuple(AgentSkill(name, 1) for name in _names(257))),
        "agent.skills",
    ),  # 257 of 256
    (AGENT._replace(tags=("",)), "agent.tags[0]"),  # empty
    (AGENT._replace(tags=("t", "t")), "agent.tags"),  # twice
    (AGENT._replace(tags=tuple(_names(65))), "agent.tags"),  # 65 of 64
    (AGENT._replace(capacity=0), "agent.capacity"),  # none at all
    (AGENT._replace(capacity=-5), "agent.capacity"),  # negative
    (AGENT._replace(capacity=1_000_001), "agent.capacity"),  # above the maximum
    (
        AGENT._replace(channels=(ChannelCapacity(NOT_SET),)),
        "agent.channels[0].channel",
    ),  # not set on the wire
    (
        AGENT._replace(channels=(ChannelCapacity(Channel.CHAT, 0),)),
        "agent.channels[0].cost",
    ),  # free of cost would be without end
    (
        AGENT._replace(channels=(ChannelCapacity(Channel.CHAT, -1),)),
        "agent.channels[0].cost",
    ),  # negative
    (
        AGENT._replace(channels=(ChannelCapacity(Channel.CHAT, 1, -1),)),
        "agent.channels[0].contacts_max",
    ),  # negative
    (AGENT._replace(channels=(ChannelCapacity(Channel.CHAT),) * 2), "agent.channels"),  # twice
    (AGENT._replace(missed_offers_max=-2), "agent.missed_offers_max"),  # below never
    (AGENT._replace(missed_offers_max=1_001), "agent.missed_offers_max"),  # above the maximum
    (AGENT._replace(lease_ms=999), "agent.lease_ms"),  # shorter than a second
    (AGENT._replace(lease_ms=-1), "agent.lease_ms"),  # negative
    (AGENT._replace(lease_ms=DAY_MS + 1), "agent.lease_ms"),  # longer than a day
    (DeleteAgent(""), "agent_id"),  # empty
    (Heartbeat(LONG), "agent_id"),  # 129 bytes
    (SetPresence("", Presence.BUSY), "agent_id"),  # empty
    (SetPresence("a1", Presence.NONE), "presence"),  # marks free rows, is no presence
    (SetPresence("a1", BEYOND), "presence"),  # beyond the last
    (SetPresence("a1", Presence.BUSY, LONG), "reason"),  # 129 bytes
    (QUEUE._replace(queue_id=""), "queue.queue_id"),  # empty
    (QUEUE._replace(service_level_ratio=0.0), "queue.service_level.ratio"),  # promises nothing
    (QUEUE._replace(service_level_ratio=1.01), "queue.service_level.ratio"),  # more than all
    (QUEUE._replace(service_level_ratio=math.nan), "queue.service_level.ratio"),  # not a number
    (QUEUE._replace(service_level_within_ms=0), "queue.service_level.within_ms"),  # divides by it
    (QUEUE._replace(service_level_within_ms=DAY_MS + 1), "queue.service_level.within_ms"),  # a day
    (QUEUE._replace(strategy=NOT_SET), "queue.strategy"),  # not set on the wire
    (QUEUE._replace(offer_timeout_ms=99), "queue.offer_timeout_ms"),  # nobody answers in time
    (QUEUE._replace(offer_timeout_ms=DAY_MS + 1), "queue.offer_timeout_ms"),  # longer than a day
    (QUEUE._replace(wrap_up_mode=NOT_SET), "queue.wrap_up_mode"),  # not set
    (TIMED._replace(wrap_up_ms=0), "queue.wrap_up_ms"),  # timed without a time
    (QUEUE._replace(wrap_up_ms=1), "queue.wrap_up_ms"),  # a time that nothing reads
    (QUEUE._replace(max_wait_ms=0), "queue.max_wait_ms"),  # would expire every contact at once
    (QUEUE._replace(max_wait_ms=-2), "queue.max_wait_ms"),  # below never
    (QUEUE._replace(max_wait_ms=FORTNIGHT_MS + 1), "queue.max_wait_ms"),  # longer than a fortnight
    (QUEUE._replace(max_length=-1), "queue.max_length"),  # negative
    (QUEUE._replace(max_length=1_000_001), "queue.max_length"),  # above the maximum
    (QUEUE._replace(reoffer_delay_ms=DAY_MS + 1), "queue.reoffer_delay_ms"),  # longer than a day
    (QUEUE._replace(reoffer_delay_ms=999), "queue.reoffer_delay_only_agent_ms"),  # the other is 1 s
    (
        QUEUE._replace(reoffer_delay_only_agent_ms=-2),
        "queue.reoffer_delay_only_agent_ms",
    ),  # below at once
    (QUEUE._replace(priority_age_ms=0), "queue.priority_age_ms"),  # priority worth nothing
    (QUEUE._replace(short_abandon_ms=-1), "queue.short_abandon_ms"),  # negative
    (QUEUE._replace(matching_window_ms=-1), "queue.matching_window_ms"),  # negative
    (QUEUE._replace(matching_window_ms=1_001), "queue.matching_window_ms"),  # above a second
    (QUEUE._replace(order=NOT_SET), "queue.order"),  # not set on the wire
    (QUEUE._replace(priority=-1_001), "queue.priority"),  # below the lowest
    (QUEUE._replace(priority=1_001), "queue.priority"),  # above the highest
    (QUEUE._replace(fallback_queue_id=LONG), "queue.fallback_queue_id"),  # 129 bytes
    (QUEUE._replace(hours=Hours("Europe/Nowhere")), "queue.hours.time_zone"),  # no such zone
    (QUEUE._replace(hours=Hours("")), "queue.hours.time_zone"),  # empty
    (QUEUE._replace(hours=Hours("../etc/passwd")), "queue.hours.time_zone"),  # outside the data
    (_weekly("9:00", "17:00"), "queue.hours.weekly[0].opens"),  # four digits
    (_weekly("09:00", "24:01"), "queue.hours.weekly[0].closes"),  # beyond the day
    (_weekly("09:60", "17:00"), "queue.hours.weekly[0].opens"),  # beyond the hour
    (_weekly("09:00", "09:00"), "queue.hours.weekly[0].closes"),  # never, or always
    (_weekly("24:00", "09:00"), "queue.hours.weekly[0].opens"),  # is 00:00 of the next day
    (_weekly("09:00", "17:00", ()), "queue.hours.weekly[0].days"),  # on no day
    (_weekly("09:00", "17:00", (NOT_SET,)), "queue.hours.weekly[0].days[0]"),  # not set
    (_except(HoursException("25.12.2026")), "queue.hours.exceptions[0].date"),  # another form
    (_except(HoursException("2026-02-29")), "queue.hours.exceptions[0].date"),  # no such day
    (_except(HoursException("2026-12-25", LONG)), "queue.hours.exceptions[0].name"),  # 129 bytes
    (_except(*[HoursException("2026-12-25")] * 2), "queue.hours.exceptions"),  # twice
    (
        _except(HoursException("2026-12-25", "", (OpeningPeriod("09:00", "10:00", tuple(Day)),))),
        "queue.hours.exceptions[0].periods[0].days",
    ),  # a date has its day
    (DeleteQueue(""), "queue_id"),  # empty
    (SetIntake("", Intake.OPEN), "queue_id"),  # empty
    (SetIntake("q1", Intake.NONE), "intake"),  # marks free rows, is no intake
]  # fmt: skip


@pytest.mark.parametrize(("command", "field"), BROKEN)
def test_command_with_one_broken_rule_is_refused_naming_the_field(
    command: Command, field: str
) -> None:
    """Whoever made the mistake reads which field, what it held and what would have been taken."""
    engine = Engine()
    with pytest.raises(CommandRefused) as refused:
        engine.apply(command, 1_000)
    assert refused.value.reason is Refusal.INVALID_FIELD
    assert [violation.field for violation in refused.value.violations] == [field]
    assert engine.take_group()[:3] == ([], b"", [])
    assert engine.now_ms() == 0


def test_command_with_many_broken_rules_names_them_all() -> None:
    """A developer who corrects one field at a time makes a call for each; one call tells all."""
    command = Route("", LONG, NOT_SET, priority=9_999, routing_age_ms=-1)
    with pytest.raises(CommandRefused) as refused:
        Engine().apply(command, 1_000)
    fields = [violation.field for violation in refused.value.violations]
    assert fields == ["contact_id", "queue_id", "channel", "priority", "routing_age_ms"]
    assert "got 9999, expected -1,000 to 1,000" in str(refused.value)
    assert all(len(violation.value) <= 80 for violation in refused.value.violations)


@pytest.mark.parametrize(
    "command",
    [
        ROUTE._replace(contact_id="x" * 128, priority=-1_000, max_wait_ms=-1),  # all at a bound
        ROUTE._replace(contact_id="ü" * 64, priority=1_000),  # 128 bytes in 64 characters
        ROUTE._replace(routing_age_ms=FORTNIGHT_MS, max_wait_ms=FORTNIGHT_MS),
        ROUTE._replace(attributes={"a": "x" * 16_383}),  # the last byte that fits
        AGENT._replace(capacity=1_000_000, missed_offers_max=-1, lease_ms=1_000),  # all at a bound
        AGENT._replace(kind=AgentKind.BOT, skills=(AgentSkill("s", 0), AgentSkill("t", 5))),
        QUEUE._replace(service_level_ratio=1.0, service_level_within_ms=DAY_MS, max_wait_ms=-1),
        QUEUE._replace(reoffer_delay_ms=-1, reoffer_delay_only_agent_ms=-1),
        QUEUE._replace(strategy=Strategy.BEST_SCORE),
        TIMED._replace(wrap_up_ms=DAY_MS, offer_timeout_ms=100, priority_age_ms=1, max_wait_ms=1),
    ],
)  # fmt: skip
def test_command_at_its_bounds_is_taken(command: Command) -> None:
    """The bounds that are documented belong to what is taken."""
    engine = Engine()
    engine.apply(QUEUE, 1_000)
    engine.apply(command, 1_000)
    assert engine.take_group().effects


@pytest.mark.parametrize(
    "offer_id",
    [
        "o",  # nothing but the mark
        "o1",  # no row
        "1.0",  # no mark
        "o1.0.0",  # a part too many
        "o01.0",  # ours has no leading zeros
        "o 1.0",  # int() would take blanks
        "o1_0.0",  # int() would take underscores
        "o+1.0",  # int() would take signs
        "o-1.0",  # before the first offer
        "o1.-1",  # before the first row
        "o\u0661.0",  # a digit, but not one of ours
        "oA.0",  # ours are small letters
        "o1.ffffffff",  # beyond the last row
        f"o{1 << 80:x}.0",  # does not fit a column
        f"o1.{1 << 80:x}",  # does not fit a column
    ],
)
def test_offer_id_that_is_not_ours_is_gone(offer_id: str) -> None:
    """An offer id comes from outside: whatever it holds may reach no row but that of its offer."""
    engine = Engine()
    engine.apply(QUEUE, 1_000)
    engine.apply(AGENT._replace(queue_ids=("q1",)), 1_000)
    engine.apply(SetPresence("a1", Presence.AVAILABLE), 1_000)
    assert engine.apply(ROUTE, 1_000).offer_id == "o1.0"
    for command in (AcceptOffer(offer_id, "a1"), DeclineOffer(offer_id, "a1")):
        with pytest.raises(CommandRefused) as refused:
            engine.apply(command, 1_000)
        assert refused.value.reason is Refusal.OFFER_GONE
        assert refused.value.violations[0].value == repr(offer_id)[:77] + (
            "..." if len(repr(offer_id)) > 80 else repr(offer_id)[77:]
        )
    assert engine.apply(AcceptOffer("o1.0", "a1"), 1_000).contact_id == "c1"
