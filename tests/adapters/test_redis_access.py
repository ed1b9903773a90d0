"""How an engine may be let in: a user of its own who can do little, and TLS."""

import asyncio
import contextlib
from pathlib import Path

import pytest
import redis

from adapters import settings
from adapters.commit_log import CommitLog, CommitLogError, LeasedLog
from adapters.migration.moving import move
from adapters.migration.opening import open_source, open_target, settings_of
from adapters.placement.fleet import Heartbeat
from adapters.placement.registry_opening import registry_of
from adapters.redis_log.address import parse_redis_url
from adapters.redis_log.log import RedisLog
from adapters.redis_log.opening import address_of, open_redis_log
from adapters.redis_log.primary import RedisPrimary
from adapters.redis_log.server_check import check_server
from adapters.sqlite_log import SqliteLog
from engine.refusals import BadConfiguration
from tests.adapters.commit_log_contract import commit_all, contact, group, reply
from tests.adapters.redis_cell import Tallies
from tests.end_to_end.redis_servers import RedisServer, free_port, replicated

pytestmark = pytest.mark.needs_redis

EXAMPLE = Path(__file__).resolve().parents[2] / "deploy" / "examples" / "redis"
TLS = Path(__file__).resolve().parents[1] / "data" / "webhook_tls"
PASSWORD = "s3cret"


def user_of_the_example() -> str:
    """The engine's user, with a password."""
    lines = (EXAMPLE / "users.acl").read_text().replace("PASSWORD", PASSWORD).splitlines()
    return next(line for line in lines if line.startswith("user headgate "))


def opened(directory: Path, **flags: str) -> RedisLog:
    """Make the log of a server's settings."""
    password = directory / "password"
    password.write_text(f"{PASSWORD}\n")
    given = {"redis_password_file": str(password), "durability": "relaxed", "lease_wait_s": 0.0}
    loaded, _ = settings.load(given | flags, None, {})
    return open_redis_log(loaded, "default", Tallies())


async def works(log: CommitLog) -> None:
    """Have a log do everything it ever does."""
    owned = await log.acquire("a")
    groups = [group(b"e", [contact(n, b"r", b"p")], [reply(f"q{n}")]) for n in range(40)]
    last = await commit_all(log, owned, groups)
    if isinstance(log, LeasedLog):
        await log.renew()
    again = await log.acquire("a")
    assert (again.token, len((await log.load()).rows)) == (last, 40)
    assert len(await log.tail(0, 100)) == 40
    assert await log.oldest_sequence() == 1
    await log.release()


async def shares(directory: Path, url: str) -> None:
    """Have an engine do all it ever does to share cells."""
    given = {"redis_password_file": str(directory / "password"), "log": url}
    registry = registry_of(settings.load(given, None, {})[0])
    beat = Heartbeat("a", "a:1", "1", 1)
    assert (await registry.beat(beat, 1)).engines
    await registry.move("x", "a", 60_000)
    await registry.drain("a")
    assert await registry.undo_move("x")
    # The one before is dead by now, and is cleared away.
    await registry.beat(beat, 60_000)
    assert (await registry.look()).drained == {"a": 0}
    await registry.leave("a")
    await registry.close()


async def test_user_of_the_example_can_do_all_the_engine_does(tmp_path: Path) -> None:
    """Whoever follows the example gets an engine that runs, and a user that can do no more."""
    server = RedisServer(tmp_path / "server")
    try:
        server.run(*("ACL SETUSER " + user_of_the_example().removeprefix("user ")).split())
        log = opened(tmp_path, log=f"redis://headgate@127.0.0.1:{server.port}")
        await works(log)
        await shares(tmp_path, f"redis://headgate@127.0.0.1:{server.port}")
        elsewhere = opened(
            tmp_path, log=f"redis://headgate@127.0.0.1:{server.port}", redis_prefix="other"
        )
        with pytest.raises(CommitLogError, match="NOPERM"):
            await elsewhere.acquire("a")
        stranger = opened(tmp_path, log=f"redis://nobody@127.0.0.1:{server.port}")
        with pytest.raises(CommitLogError, match="invalid username-password pair"):
            await stranger.acquire("a")
    finally:
        server.kill()


async def test_user_of_the_example_can_have_its_cell_moved(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """There and back, with the password in its file; killed half way and begun over, too."""
    server = RedisServer(tmp_path / "server")
    monkeypatch.setattr("adapters.migration.redis_store._LEASE_MS", 1)
    password = tmp_path / "password"
    password.write_text(PASSWORD)
    given: dict[str, str | None] = {"durability": "relaxed", "redis_password_file": str(password)}
    try:
        server.run(*("ACL SETUSER " + user_of_the_example().removeprefix("user ")).split())
        in_redis = settings_of(f"redis://headgate@127.0.0.1:{server.port}", None, {}, given)
        folders = [
            settings_of(str(tmp_path / name), None, {}, {"durability": "full"})
            for name in ("data", "back")
        ]
        folders[0].data_dir.mkdir()
        await works(SqliteLog(folders[0].data_dir / "default.sqlite", "full", "default"))
        half = open_target(in_redis, "default")
        await half.begin("somewhere")
        await half.put_rows([contact(1, b"r", b"p")])
        await half.close()
        await asyncio.sleep(0.01)
        for place, target in ((folders[0], in_redis), (in_redis, folders[1])):
            async with contextlib.AsyncExitStack() as stack:
                here, there = open_source(place, "default"), open_target(target, "default")
                stack.push_async_callback(here.close)
                stack.push_async_callback(there.close)
                assert (await move(here, there))[:3] == (40, 40, 40)
    finally:
        server.kill()


async def test_engine_and_server_know_each_other_by_certificates(tmp_path: Path) -> None:
    """What goes over the wire is every contact: TLS, and on both sides where it is asked for."""
    port, certificate, key = free_port(), str(TLS / "certificate.pem"), str(TLS / "key.pem")
    server = RedisServer(
        tmp_path / "server", "--tls-port", str(port), "--requirepass", PASSWORD,
        "--tls-cert-file", certificate, "--tls-key-file", key, "--tls-ca-cert-file", certificate,
        "--bind", "127.0.0.1", "127.0.0.2",
    )  # fmt: skip
    own = {
        "redis_ca_file": certificate,
        "redis_certificate_file": certificate,
        "redis_key_file": key,
    }
    try:
        await works(opened(tmp_path, log=f"rediss://127.0.0.1:{port}", **own))
        with pytest.raises(CommitLogError, match="certificate verify failed"):
            # Its certificate is for 127.0.0.1 and localhost.
            await opened(tmp_path, log=f"rediss://127.0.0.2:{port}", **own).acquire("a")
        with pytest.raises(CommitLogError, match="check the address and the server"):
            await opened(
                tmp_path, log=f"rediss://127.0.0.1:{port}", redis_ca_file=certificate
            ).acquire("a")
    finally:
        server.kill()


async def test_servers_of_the_example_keep_the_promise_of_the_example(tmp_path: Path) -> None:
    """What we tell operators to set is taken without a warning."""
    password = tmp_path / "password"
    password.write_text(PASSWORD)
    own = {"redis_password_file": str(password)}
    loaded, _ = settings.load(own, EXAMPLE / "headgate.toml", {})
    assert loaded.promise == "replicated"
    hosts = ",".join(f"10.0.0.{number}:26379" for number in (1, 2, 3))
    assert str(address_of(loaded)) == f"redis+sentinel://{hosts}/headgate"
    with replicated(tmp_path, 2, file=EXAMPLE / "redis.conf") as servers:
        primary = RedisPrimary(parse_redis_url(servers[0].url), "default", 0.5)
        connection = await primary.connect(0.0)
        checked = await check_server(connection, "replicated", 1)
        await connection.close()
        assert checked[1:] == (2, (), ())


def has_replicas(server: RedisServer, count: int) -> bool:
    """Whether it is a primary whose writes come to so many, as whoever administers it sees."""
    with redis.Redis(port=server.port, username="admin", password=PASSWORD) as admin:
        found = admin.info("replication")
        if found["role"] != "master" or not found["min_slaves_good_slaves"]:
            return False
        admin.set("written", 1)
        replicas: int = admin.wait(count, 200)
    return replicas >= count


async def test_servers_with_the_users_of_the_example_replicate_and_fail_over(
    tmp_path: Path,
) -> None:
    """Users that keep strangers out must not keep servers and Sentinels from each other."""
    users = tmp_path / "users.acl"
    users.write_text((EXAMPLE / "users.acl").read_text().replace("PASSWORD", PASSWORD))
    example = (EXAMPLE / "redis.conf").read_text().replace("PASSWORD", PASSWORD)
    for line in ("masteruser", "masterauth"):
        example = example.replace(f"# {line} ", f"{line} ")
    example = example.replace("# aclfile /etc/redis/users.acl", f"aclfile {users}")
    told = (EXAMPLE / "sentinel.conf").read_text().replace("PASSWORD", PASSWORD).splitlines()
    auth = [line.removeprefix("# ") for line in told if "sentinel auth-" in line]
    assert len(auth) == 2
    servers: list[RedisServer] = []
    try:
        for number in range(3):
            # A file of its own for each: Sentinel has servers rewrite theirs.
            own = tmp_path / f"{number}.conf"
            own.write_text(example)
            follow = ("--replicaof", f"127.0.0.1 {servers[0].port}") if servers else ()
            servers.append(RedisServer(tmp_path / f"server-{number}", *follow, file=own))
        primary = servers[0]
        with pytest.raises(redis.AuthenticationError):
            primary.run("GET", "headgate:x")
        sentinel = RedisServer.sentinel(tmp_path / "sentinel", "headgate", primary.port, *auth)
        servers.append(sentinel)
        async with asyncio.timeout(20):
            while len(sentinel.run("SENTINEL", "REPLICAS", "headgate")) < 2:  # type: ignore[arg-type]
                await asyncio.sleep(0.05)
            # To both of them: Sentinel may have either take over.
            while not has_replicas(primary, 2):
                await asyncio.sleep(0.05)
        hosts = f"redis+sentinel://headgate@127.0.0.1:{sentinel.port}/headgate"
        log = opened(tmp_path, log=hosts, durability="replicated")
        await works(log)
        primary.kill()
        async with asyncio.timeout(30):
            while not any(has_replicas(server, 1) for server in servers[1:3]):
                await asyncio.sleep(0.05)
        again = opened(tmp_path, log=hosts, durability="replicated")
        await again.acquire("a")
        assert len((await again.load()).rows) == 40
        await again.release()
    finally:
        for server in servers:
            server.kill()


def test_files_that_cannot_be_used_are_refused_at_the_start(tmp_path: Path) -> None:
    """Told now, and not in the failover that makes the next connection."""
    bad = tmp_path / "bad.pem"
    bad.write_text("no certificate")
    with pytest.raises(BadConfiguration, match="redis_ca_file: expected usable PEM"):
        opened(tmp_path, log="rediss://h:1", redis_ca_file=str(bad))
    with pytest.raises(BadConfiguration, match="expected rediss://, where files for TLS are"):
        opened(tmp_path, log="redis://h:1", redis_ca_file=str(bad))
    empty = tmp_path / "empty"
    empty.write_text("\n")
    with pytest.raises(BadConfiguration, match="expected a password in it"):
        opened(tmp_path, log="redis://h:1", redis_password_file=str(empty))
