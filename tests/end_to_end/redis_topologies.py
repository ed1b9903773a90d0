"""Sentinels and clusters of Redis servers, as tests start them on this machine."""

import contextlib
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from redis.crc import key_slot

from tests.end_to_end.redis_servers import RedisServer, free_port

SETTLED_WITHIN_S = 20.0


def settled(is_so: Callable[[], bool], what: str) -> None:
    """Wait until servers have found each other."""
    give_up_at = time.monotonic() + SETTLED_WITHIN_S
    while not is_so():
        assert time.monotonic() < give_up_at, what
        time.sleep(0.05)


@contextlib.contextmanager
def watched(directory: Path, monitored_port: int, replicas: int) -> Iterator[RedisServer]:
    """A Sentinel that knows the primary and its replicas."""
    sentinel = RedisServer.sentinel(directory, "main", monitored_port)
    try:
        settled(
            lambda: len(sentinel.run("SENTINEL", "REPLICAS", "main")) == replicas,  # type: ignore[arg-type]
            "replicas of the Sentinel",
        )
        yield sentinel
    finally:
        sentinel.kill()


@contextlib.contextmanager
def cluster(directory: Path, tag: str) -> Iterator[list[RedisServer]]:
    """Three primaries; the first has the slot of a hash tag and two replicas, which come last."""
    slot = key_slot(tag.encode())
    flags = ("--cluster-enabled", "yes", "--cluster-node-timeout", "1000",
             "--cluster-replica-validity-factor", "0",
             # Or a primary that has given its last slot away would become a replica.
             "--cluster-allow-replica-migration", "no")  # fmt: skip
    with contextlib.ExitStack() as stack:
        nodes = []
        # Not the usual port plus 10,000: there may be no such port.
        ports = [free_port() for _ in range(5)]
        for number, port in enumerate(ports):
            place = directory / f"node-{number}"
            nodes.append(RedisServer(place, *flags, "--cluster-port", str(port)))
            stack.callback(nodes[-1].kill)
        others = [one for one in range(16_384) if one != slot]
        nodes[0].run("CLUSTER", "ADDSLOTS", slot)
        nodes[1].run("CLUSTER", "ADDSLOTS", *others[:8_000])
        nodes[2].run("CLUSTER", "ADDSLOTS", *others[8_000:])
        for number, node in enumerate(nodes):
            node.run("CLUSTER", "SET-CONFIG-EPOCH", number + 1)
        for node in nodes[1:]:
            node.run("CLUSTER", "MEET", "127.0.0.1", nodes[0].port, ports[0])
        known = lambda: all(b"cluster_known_nodes:5" in cluster_info(node) for node in nodes)  # noqa: E731
        settled(known, "nodes of the cluster")
        first = nodes[0].run("CLUSTER", "MYID")
        for node in nodes[3:]:
            node.run("CLUSTER", "REPLICATE", first)  # type: ignore[arg-type]
        nodes[0].await_replicas(2)
        settled(lambda: all(b"cluster_state:ok" in cluster_info(node) for node in nodes), "ok")
        nodes[0].await_acknowledgement(2, tag)
        yield nodes


def cluster_info(node: RedisServer) -> bytes:
    """What a node knows of its cluster."""
    with node.client() as client:
        client.set_response_callback("CLUSTER INFO", lambda reply, **_: reply)
        found: bytes = client.execute_command("CLUSTER INFO")
        return found
