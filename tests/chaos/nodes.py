"""A cluster of nine Redis servers on hosts of their own: three primaries, two replicas each."""

import contextlib
import signal
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Final

import redis
from redis.backoff import NoBackoff
from redis.crc import key_slot
from redis.retry import Retry

from tests.chaos.hosts import Host
from tests.end_to_end.redis_servers import move_slot

PORT: Final = 7000
SETTLED_WITHIN_S: Final = 60.0
_REPLICAS: Final = 2
SLOT: Final = key_slot(b"default")
# As in deploy/examples/redis/redis.conf, but for min-replicas: what is to be seen is WAIT.
FLAGS: Final = (
    *("--port", str(PORT), "--protected-mode", "no", "--save", "", "--appendonly", "yes"),
    *("--appendfsync", "everysec", "--maxmemory-policy", "noeviction"),
    *("--repl-backlog-size", "64mb", "--repl-diskless-sync-delay", "0"),
    *("--cluster-enabled", "yes", "--cluster-node-timeout", "1500"),
    *("--cluster-replica-validity-factor", "2", "--cluster-require-full-coverage", "no"),
    *("--cluster-allow-replica-migration", "no"),
)


class Node:
    """
    A server.

    Attributes
    ----------
    host
        Where it runs.
    """

    def __init__(self, host: Host, directory: Path) -> None:
        self.host = host
        self._directory = directory
        directory.mkdir(parents=True)
        self.start()

    def start(self) -> None:
        """Start it, again with what it had on its disk."""
        command = ("redis-server", "--dir", str(self._directory), *FLAGS)
        self._process = self.host.start(command, self._directory / "server.log")
        settled(self._answers, f"{self.host.address} answers")

    def run(self, *command: str | bytes | int) -> object:
        """Run one command, wherever the host is; returns its reply."""
        last: Exception | None = None
        for address in (self.host.address, self.host.ours):
            client = redis.Redis(
                address, PORT, protocol=2, socket_connect_timeout=1, socket_timeout=10,
                retry=Retry(NoBackoff(), 0),
            )  # fmt: skip
            client.set_response_callback("CLUSTER NODES", lambda reply, **_: reply)
            client.set_response_callback("CLUSTER INFO", lambda reply, **_: reply)
            client.set_response_callback("INFO", lambda reply, **_: reply)
            try:
                return client.execute_command(*command)
            except redis.ConnectionError as error:
                last = error
            finally:
                client.close()
        raise last or AssertionError

    @property
    def place(self) -> tuple[str, int]:
        """Where the others find it."""
        return self.host.address, PORT

    @property
    def id(self) -> bytes:
        """Its name in the cluster."""
        found = self.run("CLUSTER MYID")
        assert isinstance(found, bytes)
        return found

    @property
    def is_serving(self) -> bool:
        """Whether it takes itself for the primary that has the cell's slot."""
        try:
            known = self.run("CLUSTER NODES")
        except redis.RedisError:
            return False
        assert isinstance(known, bytes)
        (mine,) = (line.split() for line in known.splitlines() if b"myself" in line)
        return b"master" in mine[2] and any(_has_slot(part) for part in mine[8:])

    def replicas(self) -> int:
        """How many follow it and are in step."""
        try:
            info = self.run("INFO", "replication")
        except redis.RedisError:
            return 0
        assert isinstance(info, bytes)
        return sum(line.startswith(b"slave") and b"state=online" in line and b"lag=0" in line
                   for line in info.splitlines())  # fmt: skip

    def kill(self) -> None:
        """End it at once."""
        self._process.kill()
        self._process.wait(10)

    def stop(self) -> None:
        """End it in good order."""
        self._process.terminate()
        self._process.wait(20)

    def pause(self) -> None:
        """Stop it where it is."""
        self._process.send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        """Let it go on."""
        self._process.send_signal(signal.SIGCONT)

    def _answers(self) -> bool:
        assert self._process.poll() is None, (self._directory / "server.log").read_text()[-2_000:]
        try:
            return self.run("PING") is True
        except redis.RedisError:
            return False


def _has_slot(part: bytes) -> bool:
    if part.startswith(b"["):
        return False
    first, _, last = part.partition(b"-")
    return int(first) <= SLOT <= int(last or first)


def settled(is_so: Callable[[], bool], what: str) -> None:
    """Wait until something is so."""
    give_up_at = time.monotonic() + SETTLED_WITHIN_S
    while not is_so():
        if time.monotonic() > give_up_at:
            raise AssertionError(f"after {SETTLED_WITHIN_S:g} s not yet: {what}")
        time.sleep(0.05)


class Nodes:
    """
    The cluster.

    The first node has the cell's slot, which may move to the second; of the last six two follow
    each of the first three.
    """

    def __init__(self, nodes: Sequence[Node]) -> None:
        self.all = nodes

    @property
    def url(self) -> str:
        """Its address as the setting `log` has it."""
        return "redis+cluster://" + ",".join(f"{one.host.address}:{PORT}" for one in self.all)

    def join(self) -> None:
        """Make a cluster of the nodes."""
        first, second, third, *replicas = self.all
        others = [slot for slot in range(16_384) if slot != SLOT]
        first.run("CLUSTER", "ADDSLOTS", SLOT)
        second.run("CLUSTER", "ADDSLOTS", *others[:8_000])
        third.run("CLUSTER", "ADDSLOTS", *others[8_000:])
        for number, node in enumerate(self.all):
            node.run("CLUSTER", "SET-CONFIG-EPOCH", number + 1)
        for node in self.all[1:]:
            node.run("CLUSTER", "MEET", first.host.address, PORT)
        count = b"cluster_known_nodes:%d\r" % len(self.all)
        settled(lambda: all(count in _told(one.run("CLUSTER INFO")) for one in self.all), "met")
        for node, primary in zip(replicas, (first, second, third) * _REPLICAS, strict=True):
            node.run("CLUSTER", "REPLICATE", primary.id)
        self.await_whole()

    def primary(self) -> Node:
        """Who has the cell's slot, as far as those of the mainland know."""
        # Of two that take themselves for it the older is the one that was cut off.
        (found,) = [one for one in self.all if one.is_serving]
        return found

    def replicas_of(self, primary: Node) -> list[Node]:
        """Who follows a primary."""
        known = _told(primary.run("CLUSTER NODES"))
        addresses = [
            line.split()[1].partition(b":")[0].decode()
            for line in known.splitlines()
            if line.split()[3] == primary.id and b"fail" not in line.split()[2]
        ]
        return [one for one in self.all if one.host.address in addresses]

    def await_whole(self) -> None:
        """Wait until every node is up, the slot has one primary, and that has its replicas."""
        settled(lambda: sum(one.is_serving for one in self.all) == 1, "one primary")
        settled(lambda: self.primary().replicas() >= _REPLICAS, f"{_REPLICAS} replicas")
        settled(
            lambda: all(b"cluster_state:ok" in _told(one.run("CLUSTER INFO")) for one in self.all),
            "cluster_state ok",
        )

    def move_slot(self, source: Node, target: Node) -> None:
        """Move the cell's slot, keys and all."""
        move_slot(SLOT, source, target, self.all)


def _told(reply: object) -> bytes:
    assert isinstance(reply, bytes), reply
    return reply


@contextlib.contextmanager
def cluster(hosts: Sequence[Host], directory: Path) -> Iterator[Nodes]:
    """A cluster on nine hosts."""
    with contextlib.ExitStack() as stack:
        nodes = []
        for number, host in enumerate(hosts):
            nodes.append(Node(host, directory / f"node-{number}"))
            stack.callback(nodes[-1].kill)
        made = Nodes(nodes)
        made.join()
        yield made
