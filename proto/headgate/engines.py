"""
Which engine to call for which cell.

Engines that share cells answer a call for a cell of another with NOT_OWNER and that one's address.
What they say is kept per cell: the next call goes there at once. An engine that does not answer is
left for another one that is known; it may be gone, and any of them knows who has the cell.

Engines come and go, and those that are gone may be many: whenever a new one is named, connections
to engines that no cell is at are given up. Until then they stay, for while a cell is without an
engine those that are known are asked in turn.
"""

from collections.abc import Callable
from typing import Any, Final

import grpc
import grpc.aio
from grpc_status import rpc_status

from headgate.access import Access, channel_to
from headgate.room import Room
from headgate.v1 import (
    agent_service_pb2_grpc,
    choice_service_pb2_grpc,
    crossing_service_pb2_grpc,
    decision_service_pb2_grpc,
    error_pb2,
    event_service_pb2_grpc,
    gateway_service_pb2_grpc,
    offer_service_pb2_grpc,
    policy_service_pb2_grpc,
    queue_service_pb2_grpc,
    routing_service_pb2_grpc,
    telemetry_service_pb2_grpc,
)

Method = Callable[..., Any]

DEFAULT_CELL: Final = "default"
# Engines kept in mind; of more those that were told of first are forgotten.
_ENGINES_MAX: Final = 64
# Before another engine is asked, at the most: a cell has a new owner in a second or two.
_TURNING_PAUSE_S: Final = 0.25
# Largest message either way: the engine's own bound is 1 MiB in, lists and snapshots out may be
# larger. Left to themselves, channels wait one second after a refused connection, then up to two
# minutes, while an engine starts again in two seconds. The "min" is how long one attempt to connect
# may take at least: a TLS handshake over a slow line must fit in.
OPTIONS: Final = (
    ("grpc.max_receive_message_length", 64 * 1024 * 1024),
    ("grpc.keepalive_time_ms", 30_000),
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.min_reconnect_backoff_ms", 2_000),
    ("grpc.max_reconnect_backoff_ms", 2_000),
)


class Stubs:
    """The stubs of every service over one connection, and the room for its unary calls."""

    def __init__(self, channel: grpc.aio.Channel, in_flight_max: int) -> None:
        self.channel = channel
        self.room = Room(in_flight_max)
        self.routing = routing_service_pb2_grpc.RoutingServiceStub(channel)
        self.offers = offer_service_pb2_grpc.OfferServiceStub(channel)
        self.crossings = crossing_service_pb2_grpc.CrossingServiceStub(channel)
        self.choices = choice_service_pb2_grpc.ChoiceServiceStub(channel)
        self.agents = agent_service_pb2_grpc.AgentServiceStub(channel)
        self.queues = queue_service_pb2_grpc.QueueServiceStub(channel)
        self.decisions = decision_service_pb2_grpc.DecisionServiceStub(channel)
        self.events = event_service_pb2_grpc.EventServiceStub(channel)
        self.telemetry = telemetry_service_pb2_grpc.TelemetryServiceStub(channel)
        self.policies = policy_service_pb2_grpc.PolicyServiceStub(channel)
        self.gateway = gateway_service_pb2_grpc.GatewayServiceStub(channel)


class Engines:
    """
    Connections to the engines that are known, and who has which cell.

    Parameters
    ----------
    address
        HOST:PORT of the one that is asked first.
    access
        As `Client` has it, for all of them.
    in_flight_max
        As `Client` has it, for each of them.

    Attributes
    ----------
    home
        Stubs of that one.
    """

    def __init__(
        self, address: str, access: Access | grpc.ChannelCredentials | None, in_flight_max: int
    ) -> None:
        self._access = access
        self._in_flight_max = in_flight_max
        self._addresses = [address]
        self._stubs: dict[str, Stubs] = {}
        self._owners: dict[str, error_pb2.NotOwner] = {}
        self.home = self._at(address)
        # A method of the first one's stubs -> names of its stub and of itself.
        self._names = {
            method: (stub, name)
            for stub, methods in vars(self.home).items()
            if stub not in ("channel", "room")
            for name, method in vars(methods).items()
        }

    async def close(self) -> None:
        """Close every connection."""
        for stubs in self._stubs.values():
            await stubs.channel.close()

    def address_of(self, cell: str) -> str:
        """Where to call for a cell."""
        owner = self._owners.get(cell or DEFAULT_CELL)
        return self._addresses[0] if owner is None else owner.address

    def stubs_of(self, cell: str) -> Stubs:
        """Stubs of the engine to call for a cell."""
        return self._at(self.address_of(cell))

    def method_of(self, method: Method, cell: str) -> Method:
        """A method of the first engine's stubs, as the one to call for a cell has it."""
        found = self._names.get(method)
        # One that is not of our stubs is called as it is.
        if found is None:
            return method
        chosen: Method = getattr(getattr(self.stubs_of(cell), found[0]), found[1])
        return chosen

    def turn(self, error: grpc.aio.AioRpcError, address: str, cell: str) -> bool:
        """
        Settle which engine to call next for a cell, after a call or a stream to one has failed.

        Returns whether that one was named, so that there is nothing to wait for; else it is the
        same again, or a guess where this one does not answer.
        """
        if self._learn(owner_of(error)):
            return True
        if error.code() == grpc.StatusCode.UNAVAILABLE:
            self._turn_from(address, cell or DEFAULT_CELL)
        return False

    def pause_s(self, address: str, cell: str, longest_s: float) -> float:
        """How long to wait after an engine has failed, seconds: not long where another is next."""
        is_same = self.address_of(cell) == address
        return longest_s if is_same else min(longest_s, _TURNING_PAUSE_S)

    def _learn(self, owner: error_pb2.NotOwner | None) -> bool:
        """Note who has a cell; whether that is news."""
        if owner is None or owner.address == self.address_of(owner.cell):
            return False
        known = self._owners.get(owner.cell)
        # Whoever was told of a later owner is not led back by an engine that has not noticed, nor
        # in a circle by two that each name the other.
        if known is not None and known.epoch >= owner.epoch:
            return False
        self._owners[owner.cell] = owner
        if owner.address not in self._addresses:
            self._addresses.append(owner.address)
            # The first one stays: it is what the caller knows.
            del self._addresses[1:-_ENGINES_MAX]
            self._forget_left()
        return True

    def _turn_from(self, address: str, cell: str) -> None:
        """Ask another engine about a cell next."""
        if self.address_of(cell) != address:
            return
        place = self._addresses.index(address) if address in self._addresses else -1
        after = self._addresses[(place + 1) % len(self._addresses)]
        # Anybody's word counts more than a guess.
        self._owners[cell] = error_pb2.NotOwner(cell=cell, address=after)

    def _forget_left(self) -> None:
        """Forget the connections to engines that no cell is at."""
        kept = {self._addresses[0], *(item.address for item in self._owners.values())}
        # Not closed here, which would end the calls in flight and those that wait for a turn: a
        # channel that nobody holds closes by itself, and calls on it go on to their end.
        self._stubs = {name: stubs for name, stubs in self._stubs.items() if name in kept}

    def _at(self, address: str) -> Stubs:
        if address not in self._stubs:
            channel = channel_to(address, self._access, OPTIONS)
            self._stubs[address] = Stubs(channel, self._in_flight_max)
        return self._stubs[address]


def owner_of(error: grpc.aio.AioRpcError) -> error_pb2.NotOwner | None:
    """The engine that a refusal names as the owner of the cell; None where it names none."""
    status = rpc_status.from_call(error)
    for detail in status.details if status else ():
        owner = error_pb2.NotOwner()
        if detail.Unpack(owner):
            return owner
    return None
