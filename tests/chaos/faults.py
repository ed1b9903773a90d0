"""What happens to the machines, and how it is over again."""

import time
from collections.abc import Callable
from typing import Final

from tests.chaos.engines import Engines, ServedEngine
from tests.chaos.hosts import ISLAND, MAINLAND, Host
from tests.chaos.nodes import Node, Nodes, settled

Fault = Callable[[Nodes, Engines], None]


def engine_killed(nodes: Nodes, engines: Engines) -> None:
    """kill -9 of the engine that has the cell."""
    engines.owner().kill()


def engine_paused(nodes: Nodes, engines: Engines) -> None:
    """SIGSTOP of that engine until the other one has the cell, then SIGCONT."""
    owner = engines.owner()
    _pause(owner, lambda: _await_other(engines, owner))


def primary_killed(nodes: Nodes, engines: Engines) -> None:
    """kill -9 of the primary; it is started again when another has taken its place."""
    primary = nodes.primary()
    primary.kill()
    _await_successor(nodes, primary)
    primary.start()


def primary_paused(nodes: Nodes, engines: Engines) -> None:
    """SIGSTOP of the primary until another has taken its place, then SIGCONT."""
    primary = nodes.primary()
    _pause(primary, lambda: _await_successor(nodes, primary))


def primary_restarted(nodes: Nodes, engines: Engines) -> None:
    """The primary is stopped in good order and started again at once."""
    primary = nodes.primary()
    primary.stop()
    primary.start()


def primary_cut_off(nodes: Nodes, engines: Engines) -> None:
    """The primary alone on the island, until another has taken its place."""
    _cut_off(nodes, nodes.primary(), ())


def primary_and_engine_cut_off(nodes: Nodes, engines: Engines) -> None:
    """The primary and the engine on the island, with gateways; the other engine takes over."""
    owner = engines.owner()
    _cut_off(nodes, nodes.primary(), (owner.host,), lambda: _await_other(engines, owner))


def engine_cut_off(nodes: Nodes, engines: Engines) -> None:
    """The engine alone on the island, with gateways; the other engine takes over."""
    owner = engines.owner()
    owner.host.move_to(ISLAND)
    try:
        _await_other(engines, owner)
    finally:
        owner.host.move_to(MAINLAND)


def replica_lost(nodes: Nodes, engines: Engines) -> None:
    """kill -9 of one replica; the other one is enough."""
    replica = nodes.replicas_of(nodes.primary())[0]
    replica.kill()
    time.sleep(2)
    replica.start()


def replicas_lost(nodes: Nodes, engines: Engines) -> None:
    """kill -9 of both replicas: commits wait until one is back."""
    replicas = nodes.replicas_of(nodes.primary())
    for replica in replicas:
        replica.kill()
    time.sleep(2)
    for replica in replicas:
        replica.start()


def scripts_flushed(nodes: Nodes, engines: Engines) -> None:
    """SCRIPT FLUSH on the primary, ten times while commits are under way."""
    primary = nodes.primary()
    for _ in range(10):
        primary.run("SCRIPT", "FLUSH")
        time.sleep(0.1)


def memory_full(nodes: Nodes, engines: Engines) -> None:
    """The primary has no memory left for two seconds."""
    primary = nodes.primary()
    primary.run("CONFIG", "SET", "maxmemory", 1)
    time.sleep(2)
    primary.run("CONFIG", "SET", "maxmemory", 0)


def slot_moved(nodes: Nodes, engines: Engines) -> None:
    """The cell's slot moves to another primary, key by key, and back."""
    primary = nodes.primary()
    other = nodes.all[1]
    nodes.move_slot(primary, other)
    settled(lambda: nodes.all[1].is_serving, "slot moved")
    time.sleep(2)
    nodes.move_slot(other, primary)


def _cut_off(
    nodes: Nodes, primary: Node, beside: tuple[Host, ...], then: Callable[[], None] = lambda: None
) -> None:
    hosts = (primary.host, *beside)
    for host in hosts:
        host.move_to(ISLAND)
    try:
        _await_successor(nodes, primary)
        then()
        time.sleep(1)
    finally:
        for host in hosts:
            host.move_to(MAINLAND)


def _await_successor(nodes: Nodes, old: Node) -> None:
    """Wait until another node has the slot."""
    others = [node for node in nodes.all if node is not old]
    settled(lambda: any(node.is_serving for node in others), "a successor")


def _pause(one: ServedEngine | Node, until_replaced: Callable[[], None]) -> None:
    """SIGSTOP until another has its place, and a second more."""
    one.pause()
    try:
        until_replaced()
        time.sleep(1)
    finally:
        one.resume()


def _await_other(engines: Engines, old: ServedEngine) -> None:
    """Wait until the other engine has the cell."""
    (other,) = [one for one in engines.pair if one is not old]
    settled(lambda: other.is_owner, "the other engine")


FAULTS: Final[dict[str, Fault]] = {
    "engine, kill -9": engine_killed,
    "engine, SIGSTOP and SIGCONT": engine_paused,
    "engine cut off": engine_cut_off,
    "primary, kill -9": primary_killed,
    "primary, SIGSTOP and SIGCONT": primary_paused,
    "primary restarted": primary_restarted,
    "primary cut off": primary_cut_off,
    "primary and engine cut off together": primary_and_engine_cut_off,
    "one replica, kill -9": replica_lost,
    "both replicas, kill -9": replicas_lost,
    "SCRIPT FLUSH": scripts_flushed,
    "memory full": memory_full,
    "slot moved and back": slot_moved,
}
