"""An Amazon Connect routing profile: what comes over, and what is told."""

import json
from typing import Any

import pytest

from adapters.importing.connect import import_routing_profile
from adapters.importing.report import Import, Kind, NotImportable
from headgate.v1.contact_pb2 import Channel
from headgate.v1.queue_pb2 import Strategy, WrapUpMode

Values = dict[str, Any]


def entry(queue: str = "q1", **values: object) -> Values:
    """A queue of the profile."""
    name = queue.replace("q", "Queue ")
    return {
        "QueueId": queue,
        "QueueName": name,
        "Priority": 1,
        "Delay": 0,
        "Channel": "VOICE",
    } | values


def concurrency(channel: str, number: int, behavior: str = "") -> Values:
    """How many contacts of a channel at a time, and whether others may come besides."""
    cross = {"CrossChannelBehavior": {"BehaviorType": behavior}} if behavior else {}
    return {"Channel": channel, "Concurrency": number, **cross}


def user(name: str, **values: object) -> Values:
    """A user of the profile."""
    return {"Username": name, "RoutingProfileId": "p1"} | values


def document(**values: object) -> Values:
    """A profile for voice with one queue and one user."""
    profile = {
        "RoutingProfileId": "p1",
        "Name": "P",
        "MediaConcurrencies": [concurrency("VOICE", 1)],
    }
    return {
        "RoutingProfile": profile,
        "RoutingProfileQueueConfigSummaryList": [entry()],
        "Users": [user("ada")],
    } | values


def bring(**values: object) -> Import:
    """What comes of such a document."""
    return import_routing_profile(json.dumps(document(**values)))


def profile(*concurrencies: Values, **values: object) -> Values:
    """A profile of these channels."""
    return {"RoutingProfileId": "p1", "MediaConcurrencies": list(concurrencies), **values}


def told(found: Import, kind: Kind) -> dict[str, str]:
    """Why, by item."""
    return {item.item: item.why for item in found.findings if item.kind is kind}


def test_smallest_profile_comes_over_without_a_word() -> None:
    """A queue, an agent who serves it, one call at a time."""
    found = bring()
    assert list(found.queues) == ["Queue 1"]
    agent = found.agents["ada"]
    assert list(agent.queue_ids) == ["Queue 1"]
    assert [(item.channel, item.contacts_max) for item in agent.channels] == [
        (Channel.CHANNEL_VOICE, 1)
    ]
    assert agent.capacity == 1
    assert found.findings == []


@pytest.mark.parametrize(
    ("concurrencies", "capacity", "costs"),
    [
        # A call fills what three chats fill, and keeps them out.
        ([concurrency("VOICE", 1), concurrency("CHAT", 3)], 3, [3, 1]),
        ([concurrency("CHAT", 2), concurrency("EMAIL", 5)], 10, [5, 2]),
        # Each beside the other.
        (
            [
                concurrency("VOICE", 1, "ROUTE_ANY_CHANNEL"),
                concurrency("CHAT", 3, "ROUTE_ANY_CHANNEL"),
            ],
            4,
            [1, 1],
        ),
        ([concurrency("CHAT", 4), concurrency("VOICE", 0)], 4, [1]),
    ],
)
def test_concurrency_becomes_capacity(
    concurrencies: list[Values], capacity: int, costs: list[int]
) -> None:
    """As many contacts of each channel as there, and together only where that was allowed."""
    agent = bring(RoutingProfile=profile(*concurrencies)).agents["ada"]
    assert agent.capacity == capacity
    assert [item.cost for item in agent.channels] == costs


def test_channels_that_mix_are_told() -> None:
    """One capacity cannot keep every channel to itself and mix others."""
    found = bring(
        RoutingProfile=profile(
            concurrency("VOICE", 1),
            concurrency("CHAT", 2, "ROUTE_ANY_CHANNEL"),
            concurrency("TASK", 5),
        )
    )
    assert "RoutingProfile.MediaConcurrencies" in told(found, Kind.APPROXIMATE)
    assert "RoutingProfile.MediaConcurrencies[2].Channel = TASK" in told(found, Kind.LEFT_OUT)


def test_queue_of_several_channels_is_one_queue() -> None:
    """The API lists it once for each channel."""
    entries = [entry(), entry(Channel="CHAT", Priority=3), entry("q2", Delay=30)]
    found = bring(RoutingProfileQueueConfigSummaryList=entries)
    assert list(found.queues) == ["Queue 1", "Queue 2"]
    assert list(found.agents["ada"].queue_ids) == ["Queue 1", "Queue 2"]
    said = told(found, Kind.AT_ROUTE)
    assert (
        "priority 0 for CHAT in Queue 1"
        in said["RoutingProfileQueueConfigSummaryList[1].Priority = 3"]
    )
    assert "after 30000 ms" in said["RoutingProfileQueueConfigSummaryList[2].Delay = 30"]


def test_described_queues_bring_their_limits() -> None:
    """And what they have besides is told, queue by queue."""
    described = {"QueueId": "q1", "Name": "Queue 1", "MaxContacts": 7, "Status": "DISABLED"}
    other = {"QueueId": "q9", "Name": "Other", "HoursOfOperationId": "h"}
    found = bring(Queues=[{"Queue": described}, other], Users=[])
    assert found.queues["Queue 1"].max_length == 7
    left = told(found, Kind.LEFT_OUT)
    assert "PauseQueue(INTAKE_CLOSED)" in left["Queues[0].Queue.Status = DISABLED"]
    assert left["Queues[1] = Other"] == "the routing profile does not have this queue"
    assert "add them as agents" in left["Users"]


def test_hours_of_operation_come_over_with_the_queues_that_share_them() -> None:
    """Midnight is the end of a day; hours that are not in the file are told."""

    def period(day: str, *times: int) -> Values:
        names = ("Hours", "Minutes")
        begin = dict(zip(names, times[:2], strict=True))
        end = dict(zip(names, times[2:], strict=True))
        return {"Day": day, "StartTime": begin, "EndTime": end}

    periods = [period("MONDAY", 9, 0, 17, 30), period("SATURDAY", 22, 0, 0, 0)]
    office = {"HoursOfOperationId": "h", "TimeZone": "Europe/Berlin", "Config": periods}
    found = bring(
        Queues=[
            {"Queue": {"QueueId": "q1", "Name": "Queue 1", "HoursOfOperationId": "h"}},
            {"Queue": {"QueueId": "q2", "Name": "Queue 2", "HoursOfOperationId": "other"}},
        ],
        RoutingProfileQueueConfigSummaryList=[entry("q1"), entry("q2")],
        HoursOfOperations=[{"HoursOfOperation": office}],
    )
    hours = found.queues["Queue 1"].hours
    assert hours.time_zone == "Europe/Berlin"
    assert [(list(item.days), item.opens, item.closes) for item in hours.weekly] == [
        ([1], "09:00", "17:30"), ([6], "22:00", "24:00"),
    ]  # fmt: skip
    assert not found.queues["Queue 2"].HasField("hours")
    assert list(told(found, Kind.LEFT_OUT)) == ["Queues[1].Queue.HoursOfOperationId = other"]
    with pytest.raises(NotImportable, match=r"HoursOfOperations\[0\].Config\[0\].Day: expected"):
        bring(HoursOfOperations=[office | {"Config": [period("MON", 9, 0, 17, 0)]}])


def test_proficiencies_become_skills() -> None:
    """Levels of 1 to 5 both here and there."""
    levels = [("Lang", "fr", 4.0), ("Lang", "de", 2.9)]
    listed = [{"AttributeName": a, "AttributeValue": v, "Level": n} for a, v, n in levels]
    found = bring(Users=[{"User": user("ada"), "UserProficiencyList": listed}])
    skills = found.agents["ada"].skills
    assert [(item.skill, item.proficiency) for item in skills] == [("Lang:fr", 4), ("Lang:de", 2)]
    assert len(told(found, Kind.APPROXIMATE)) == 1


@pytest.mark.parametrize(
    ("limits", "mode", "wrap_up_ms", "is_told"),
    [
        ([30, 30], WrapUpMode.WRAP_UP_MODE_TIMED, 30_000, False),
        ([30, 90], WrapUpMode.WRAP_UP_MODE_TIMED, 90_000, True),
        ([30, 0], WrapUpMode.WRAP_UP_MODE_UNTIL_ENDED, 0, True),  # 0 has no end there
    ],
)
def test_after_contact_work_becomes_wrap_up(
    limits: list[int], mode: WrapUpMode.ValueType, wrap_up_ms: int, is_told: bool
) -> None:
    """Of the queue, here: nobody gets less of it than before."""
    users = [
        user(f"u{place}", PhoneConfig={"AfterContactWorkTimeLimit": limit})
        for place, limit in enumerate(limits)
    ]
    found = bring(Users=users)
    queue = found.queues["Queue 1"]
    assert (queue.wrap_up_mode, queue.wrap_up_ms) == (mode, wrap_up_ms)
    assert bool(told(found, Kind.APPROXIMATE)) is is_told


def test_users_of_other_profiles_stay_behind() -> None:
    """An export of all users may be given."""
    found = bring(Users=[user("ada"), user("bob", RoutingProfileId="p2")])
    assert list(found.agents) == ["ada"]


def test_order_of_agents_is_longest_idle() -> None:
    """The timer has two readings, and we have one of them."""
    for timer, is_told in (("TIME_SINCE_LAST_ACTIVITY", 0), ("TIME_SINCE_LAST_INBOUND", 1)):
        found = bring(RoutingProfile=profile(concurrency("VOICE", 1), AgentAvailabilityTimer=timer))
        assert found.queues["Queue 1"].strategy == Strategy.STRATEGY_LONGEST_IDLE
        assert len(told(found, Kind.APPROXIMATE)) == is_told


def test_field_that_is_not_known_is_told() -> None:
    """The API grows; what this version does not know must not vanish."""
    found = bring(Users=[user("ada", AgentPersistence="x")])
    assert "Users[0].AgentPersistence = x" in told(found, Kind.LEFT_OUT)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "line 1, column 1: expected JSON, got"),
        ("{", "line 1, column 2: expected JSON, got"),
        ("[]", "the file: expected an object, got []"),
        ("null", "the file: expected an object, got None"),
        ("{}", "the file: expected a field RoutingProfile, got []"),
        ('{"RoutingProfiles": {}}', "the file: expected a field RoutingProfile (did you mean Rout"),
        (
            '{"RoutingProfile": 5}',
            "the file: expected a field RoutingProfileQueueConfigSummaryList",
        ),
        ("[" * 5_000 + "]" * 5_000, "line 1, column"),
    ],
)
def test_text_that_is_no_profile_is_refused(text: str, why: str) -> None:
    """With the place, as far as there is one."""
    with pytest.raises(NotImportable) as refused:
        import_routing_profile(text)
    assert str(refused.value).startswith(why)


@pytest.mark.parametrize(
    ("values", "why"),
    [
        ({"RoutingProfile": 5}, "RoutingProfile: expected an object, got 5"),
        ({"RoutingProfile": {}}, "RoutingProfile: expected a field RoutingProfileId, got []"),
        (
            {"RoutingProfile": profile()},
            "RoutingProfile: expected MediaConcurrencies of at least one channel",
        ),
        (
            {"RoutingProfile": profile(concurrency("VOICE", -1))},
            "RoutingProfile.MediaConcurrencies[0].Concurrency: expected a whole number of 0 to 100",
        ),
        (
            {"RoutingProfile": profile(concurrency("VOICE", 1), AgentAvailabilityTimer="X")},
            "RoutingProfile.AgentAvailabilityTimer: expected one of time_since_last_activity",
        ),
        (
            {"RoutingProfileQueueConfigSummaryList": []},
            "RoutingProfileQueueConfigSummaryList: expected at least one queue, got []",
        ),
        (
            {"RoutingProfileQueueConfigSummaryList": {}},
            "RoutingProfileQueueConfigSummaryList: expected a list, got {}",
        ),
        (
            {"RoutingProfileQueueConfigSummaryList": [entry(Priority=0)]},
            "RoutingProfileQueueConfigSummaryList[0].Priority: expected a whole number of 1 to 99",
        ),
        (
            {"RoutingProfileQueueConfigSummaryList": [entry(Delay=True)]},
            "RoutingProfileQueueConfigSummaryList[0].Delay: expected a whole number of 0 to 9999",
        ),
        (
            {"RoutingProfileQueueConfigSummaryList": [entry(QueueName="")]},
            "RoutingProfileQueueConfigSummaryList[0].QueueName: expected text, got ''",
        ),
        (
            {"RoutingProfileQueueConfigSummaryList": [entry(), entry("q2", QueueName="Queue 1")]},
            "RoutingProfileQueueConfigSummaryList[1].QueueName: expected another name",
        ),
        ({"Queues": [{"QueueId": "q1", "MaxContacts": "many"}]}, "Queues[0].MaxContacts: expected"),
        ({"Users": [{}]}, "Users[0]: expected a field RoutingProfileId, got []"),
        ({"Users": [user("ada"), user("ada")]}, "Users[1].Username: expected another name"),
        (
            {
                "Users": [
                    user(
                        "a",
                        UserProficiencyList=[
                            {"AttributeName": "a", "AttributeValue": "b", "Level": 6}
                        ],
                    )
                ]
            },
            "Users[0].UserProficiencyList[0].Level: expected 1.0 to 5.0, got 6",
        ),
        (
            {"Users": [user("a", PhoneConfig={"AfterContactWorkTimeLimit": "x"})]},
            "Users[0].PhoneConfig.AfterContactWorkTimeLimit: expected a whole number of 0",
        ),
    ],
)
def test_value_that_the_api_never_gives_is_refused(values: Values, why: str) -> None:
    """By path: the file was edited, or put together wrongly."""
    with pytest.raises(NotImportable) as refused:
        bring(**values)
    assert str(refused.value).startswith(why)
