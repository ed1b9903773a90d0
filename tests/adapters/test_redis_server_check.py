"""What a server must say of itself for each tier; every refusal names the setting to change."""

import pytest

from adapters.redis_log.server_check import Tier, judge, parse_info

GOOD = {
    "redis_version": "7.0.15",
    "aof_enabled": "1",
    "maxmemory_policy": "noeviction",
    "slave0": "ip=10.0.0.2,port=6379,state=online,offset=1,lag=0",
    "slave1": "ip=10.0.0.3,port=6379,state=online,offset=1,lag=0",
}
SYNCING = "ip=10.0.0.3,port=6379,state=wait_bgsave,offset=0,lag=0"
WAITS_FOR: dict[Tier, int] = {"relaxed": 0, "replicated": 1, "strict": 2}


@pytest.mark.parametrize("tier", WAITS_FOR)
def test_server_that_is_set_up_well_is_taken_in_silence(tier: Tier) -> None:
    """Warnings that are always there are read by nobody."""
    found = judge(GOOD, "always", tier, WAITS_FOR[tier])
    assert found == ("redis 7.0.15", 2, (), ())


@pytest.mark.parametrize(
    ("change", "fsync", "tier", "refusal"),
    [
        ({"redis_version": "6.2.14"}, "always", "relaxed", "redis 6.2.14 is too old"),
        ({"valkey_version": "7.2.5"}, "always", "relaxed", "valkey 7.2.5 is too old"),
        ({"aof_enabled": "0"}, "always", "replicated", "set appendonly yes"),
        ({"maxmemory_policy": "volatile-ttl"}, "always", "strict", "set maxmemory-policy noevic"),
        (
            {"slave0": "", "slave1": ""},
            "no",
            "replicated",
            "has 0 replicas, replicated waits",
        ),
        ({"slave1": SYNCING}, "always", "strict", "has 1 replicas, strict waits for 2"),
        ({}, "everysec", "strict", "appendfsync is everysec; set appendfsync always"),
        ({"aof_last_write_status": "err"}, "no", "replicated", "make room on its disk"),
    ],
)
def test_server_that_cannot_keep_the_promise_is_refused(
    change: dict[str, str], fsync: str, tier: Tier, refusal: str
) -> None:
    """Better no start than an acknowledgement that means less than it says."""
    found = judge(GOOD | change, fsync, tier, WAITS_FOR[tier])
    assert len(found.refusals) == 1
    assert refusal in found.refusals[0]


def test_relaxed_is_warned_of_what_the_others_refuse() -> None:
    """A single server without a file may be what somebody wants; they are told what it is."""
    bare = {"redis_version": "7.2.0", "aof_enabled": "0", "maxmemory_policy": "allkeys-lru"}
    found = judge(bare, "everysec", "relaxed", 0)
    assert found.refusals == ()
    assert [text.split(":")[0] for text in found.warnings] == [
        "appendonly is no",
        "maxmemory-policy is allkeys-lru",
        "has no replica",
    ]


def test_what_could_not_be_checked_is_said() -> None:
    """Managed services keep their settings to themselves; that is no reason to refuse them."""
    found = judge(GOOD | {"slave1": ""}, None, "strict", 1)
    assert found.refusals == ()
    assert found.warnings[0].startswith("CONFIG is not allowed here")
    found = judge(GOOD | {"slave1": ""}, "everysec", "replicated", 1)
    assert found.warnings[0].startswith("has one replica only")


def test_info_is_read_as_servers_write_it() -> None:
    """Sections, empty lines and values with colons."""
    text = b"# Server\r\nredis_version:7.0.15\r\n\r\nexecutable:/usr/bin/x:y\r\n"
    assert parse_info(text) == {"redis_version": "7.0.15", "executable": "/usr/bin/x:y"}
