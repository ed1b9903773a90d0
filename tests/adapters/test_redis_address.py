"""URLs of the setting `log`, and what is shown of them."""

import pytest

from adapters.redis_log.address import (
    RedisAddress,
    TlsFiles,
    Topology,
    parse_redis_url,
    redacted,
)

PLAIN, SENTINEL, CLUSTER = Topology.STANDALONE, Topology.SENTINEL, Topology.CLUSTER


@pytest.mark.parametrize(
    ("url", "address"),
    [
        ("redis://h", RedisAddress(PLAIN, (("h", 6379),))),
        ("redis://h:1/3", RedisAddress(PLAIN, (("h", 1),), database=3)),
        ("redis://[::1]:7", RedisAddress(PLAIN, (("::1", 7),))),
        ("redis://u:p%40%2F@h:1", RedisAddress(PLAIN, (("h", 1),), username="u", password="p@/")),
        ("redis://:p@h:1", RedisAddress(PLAIN, (("h", 1),), password="p")),
        ("rediss://h:1", RedisAddress(PLAIN, (("h", 1),), tls=TlsFiles())),
        (
            "redis+sentinel://a,b:2/main/4",
            RedisAddress(SENTINEL, (("a", 26379), ("b", 2)), service="main", database=4),
        ),
        ("redis+cluster://a:1,b", RedisAddress(CLUSTER, (("a", 1), ("b", 6379)))),
    ],
)
def test_url_is_taken_apart(url: str, address: RedisAddress) -> None:
    """Three ways to say who is primary; ports, users and databases where they are usual."""
    assert parse_redis_url(url) == address


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("http://h", "redis://HOST:PORT"),  # another protocol
        ("redis:h", "redis://HOST:PORT"),  # no authority
        ("redis://h:0", "HOST:PORT, got 'h:0'"),  # no such port
        ("redis://h:65536", "HOST:PORT"),  # nor this
        ("redis://h:1,h:2", "one host"),  # which of them?
        ("redis://h/x", "a database number"),  # a name
        ("redis://h/1/2", "a database number"),  # two of them
        ("redis+sentinel://h:1", "the service the Sentinels watch"),
        ("redis+cluster://h:1/1", "database 0, a cluster has no other, got 1"),
    ],
)
def test_bad_url_is_refused_in_words(url: str, expected: str) -> None:
    """Whoever wrote it is told what would have been right."""
    with pytest.raises(ValueError, match="expected") as caught:
        parse_redis_url(url)
    assert expected in str(caught.value)


def test_password_is_in_nothing_that_is_shown() -> None:
    """Addresses stand in errors and in logs."""
    for url in ("redis://u:s3cret@h:1/2", "rediss+sentinel://u:s3cret@a:1,b:2/main/2"):
        address = parse_redis_url(url)
        assert address.password == "s3cret"
        assert "s3cret" not in f"{address} {address!r} {redacted(url)}"
        assert str(address) == url.replace("u:s3cret@", "")
        assert redacted(url) == url.replace("u:s3cret", "***")
