"""Real Redis and Valkey servers for tests: on free ports of the loopback, stopped by pid."""

import contextlib
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Protocol

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

STARTED_WITHIN_S = 10.0
# The programs there are; Debian has Valkey from its backports on.
PROGRAMS = tuple(kind for kind in ("redis", "valkey") if shutil.which(f"{kind}-server"))
# On this machine only, and in no hurry to wait.
LOCAL = ("--bind", "127.0.0.1", "--protected-mode", "no", "--repl-diskless-sync-delay", "0")
# What a server of a cell is set to.
PLAIN = (
    *LOCAL,
    *("--save", "", "--appendonly", "yes", "--appendfsync", "everysec"),
    *("--maxmemory-policy", "noeviction"),
)


class RedisServer:
    """
    A server process.

    Attributes
    ----------
    port
        Where it listens; the same after a restart.
    process
        The process.
    """

    def __init__(
        self, directory: Path, *flags: str, kind: str = "redis", file: Path | None = None
    ) -> None:
        self.directory = directory
        self.port = free_port()
        self._kind = kind
        self._file = file
        self._arguments = ("--dir", str(directory), *(LOCAL if file else PLAIN), *flags)
        directory.mkdir(parents=True, exist_ok=True)
        self.start()

    @classmethod
    def sentinel(
        cls, directory: Path, service: str, primary_port: int, *lines: str
    ) -> "RedisServer":
        """Start a Sentinel that decides alone, and half a second after the primary fell silent."""
        made = cls.__new__(cls)
        made.directory, made.port, made._kind = directory, free_port(), "redis"
        directory.mkdir(parents=True)
        made._file = directory / "sentinel.conf"
        made._file.write_text(
            f"dir {directory}\nbind 127.0.0.1\nprotected-mode no\n"
            f"sentinel monitor {service} 127.0.0.1 {primary_port} 1\n"
            f"sentinel down-after-milliseconds {service} 500\n"
            f"sentinel failover-timeout {service} 3000\n" + "".join(f"{line}\n" for line in lines)
        )
        made._arguments = ("--sentinel",)
        made.start()
        return made

    @property
    def place(self) -> tuple[str, int]:
        """Where it is found."""
        return "127.0.0.1", self.port

    @property
    def url(self) -> str:
        """Its address as the setting `log` has it."""
        return f"redis://127.0.0.1:{self.port}"

    def start(self) -> None:
        """Start it, again with what it had on its disk, and wait until it answers."""
        file = [str(self._file)] if self._file else []
        command = [f"{self._kind}-server", *file, "--port", str(self.port), *self._arguments]
        with (self.directory / "server.log").open("ab") as log:
            self.process = subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT)
        give_up_at = time.monotonic() + STARTED_WITHIN_S
        while not self._answers():
            if self.process.poll() is not None or time.monotonic() > give_up_at:
                self.kill()
                raise AssertionError((self.directory / "server.log").read_text())
            time.sleep(0.01)

    @contextlib.contextmanager
    def client(self) -> Iterator["redis.Redis"]:
        """Open a client for looking and tampering; not for commits."""
        once = Retry(NoBackoff(), 0)
        made = redis.Redis(port=self.port, protocol=2, socket_timeout=15, retry=once)
        try:
            yield made
        finally:
            made.close()

    def run(self, *command: str | bytes | int) -> object:
        """Run one command; returns its reply."""
        with self.client() as client:
            return client.execute_command(*command)

    def info(self, field: str) -> object:
        """One field of INFO."""
        with self.client() as client:
            found: object = client.info()[field]
        return found

    def await_replicas(self, count: int) -> None:
        """Wait until so many replicas follow and have what there is."""
        give_up_at = time.monotonic() + STARTED_WITHIN_S
        while True:
            with self.client() as client:
                found = client.info("replication")
                online = [
                    key
                    for key, item in found.items()
                    if key.startswith("slave") and isinstance(item, dict)
                    and item.get("state") == "online"
                ]  # fmt: skip
            if len(online) >= count:
                return
            assert time.monotonic() < give_up_at, f"{len(online)} of {count} replicas"
            time.sleep(0.02)

    def await_acknowledgement(self, count: int, tag: str = "cell") -> None:
        """
        Wait until so many replicas answer for a write: one that has just come may take long.

        It is of a key with a hash tag whose slot the server has.
        """
        # On one connection, so that it is this write they answer for.
        with self.client() as client:
            client.set(f"{{{tag}}} is replicated", 1)
            assert client.wait(count, 10_000) >= count

    def pause(self) -> None:
        """Stop it where it is, as a stalled machine does."""
        self.process.send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        """Let it go on."""
        self.process.send_signal(signal.SIGCONT)

    def kill(self) -> None:
        """End it at once."""
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait(10)

    def _answers(self) -> bool:
        try:
            return self.run("PING") is True
        except redis.AuthenticationError:
            return True
        except redis.ConnectionError:
            return False


@contextlib.contextmanager
def replicated(
    directory: Path, replicas: int, *flags: str, kind: str = "redis", file: Path | None = None
) -> Iterator[list[RedisServer]]:
    """A primary, first, and replicas that follow it."""
    servers: list[RedisServer] = []
    try:
        servers.append(RedisServer(directory / "primary", *flags, kind=kind, file=file))
        follow = ("--replicaof", f"127.0.0.1 {servers[0].port}")
        for number in range(replicas):
            place = directory / f"replica-{number}"
            servers.append(RedisServer(place, *flags, *follow, kind=kind, file=file))
        servers[0].await_replicas(replicas)
        servers[0].await_acknowledgement(replicas)
        yield servers
    finally:
        for server in servers:
            server.kill()


class ClusterNode(Protocol):
    """A server of a cluster."""

    @property
    def place(self) -> tuple[str, int]:
        """Where the others find it."""
        ...

    def run(self, *command: str | bytes | int) -> object:
        """Run one command; returns its reply."""
        ...


def move_slot(
    slot: int, source: ClusterNode, target: ClusterNode, nodes: Sequence[ClusterNode]
) -> None:
    """Move a slot from one primary of a cluster to another, key by key, as redis-cli does."""
    names = [node.run("CLUSTER", "MYID") for node in (source, target)]
    target.run("CLUSTER", "SETSLOT", slot, "IMPORTING", names[0])  # type: ignore[arg-type]
    source.run("CLUSTER", "SETSLOT", slot, "MIGRATING", names[1])  # type: ignore[arg-type]
    while keys := source.run("CLUSTER", "GETKEYSINSLOT", slot, 1):
        source.run("MIGRATE", *target.place, "", 0, 5_000, "KEYS", *keys)  # type: ignore[misc]
        time.sleep(0.02)
    # The target first: were it the other way and it died, nobody would have the slot.
    for node in (target, source, *nodes):
        with contextlib.suppress(redis.ResponseError):  # replicas are told by their primaries
            node.run("CLUSTER", "SETSLOT", slot, "NODE", names[1])  # type: ignore[arg-type]


def free_port() -> int:
    """A port nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
