"""Finding the server that takes a cell's writes now, and a connection to it."""

import asyncio
from typing import Final

import structlog
from redis.crc import key_slot

from adapters.redis_log.address import RedisAddress, Topology, shown
from adapters.redis_log.connection import (
    Answer,
    RedisConnection,
    RedisRefused,
    RedisUnreachable,
    without_credentials,
)

_log = structlog.get_logger(__name__)

_PAUSE_S: Final = 0.05


class RedisPrimary:
    """
    Who is primary for a cell's keys.

    Parameters
    ----------
    address
        Whom to ask.
    slot_key
        What stands in the braces of the cell's keys.
    answer_within_s
        How long one server may take to connect, and to answer, seconds.
    """

    def __init__(self, address: RedisAddress, slot_key: str, answer_within_s: float) -> None:
        self._address = address
        self._slot = key_slot(slot_key.encode())
        self._answer_within_s = answer_within_s

    def __str__(self) -> str:
        """The address without credentials."""
        return str(self._address)

    async def connect(self, within_s: float) -> RedisConnection:
        """
        Connect to the primary; tries until the time is up, once at least.

        What Sentinels and nodes say may be out of date, so that the server is asked itself.

        Raises
        ------
        RedisUnreachable
            No primary was found; says what was met last.
        RedisRefused
            The servers will not talk to us.
        """
        loop = asyncio.get_running_loop()
        give_up_at = loop.time() + within_s
        while True:
            try:
                return await self._connect_once()
            except RedisUnreachable:
                if loop.time() + _PAUSE_S > give_up_at:
                    raise
            await asyncio.sleep(_PAUSE_S)

    async def connect_to(self, host: tuple[str, int]) -> RedisConnection:
        """Connect to a server whatever its role; raises as `connect` does."""
        return await RedisConnection.open(self._address, host, self._answer_within_s)

    async def _connect_once(self) -> RedisConnection:
        last = RedisUnreachable(f"{self._address}: no server to ask")
        for host in self._address.hosts:
            try:
                primary = await self._primary_by(host)
                connection = await self.connect_to(primary)
            except RedisUnreachable as error:
                last = error
                continue
            role = await connection.ask_one(b"ROLE")
            if isinstance(role, list) and role[0] == b"master":
                return connection
            await connection.close()
            last = RedisUnreachable(f"{connection.host}: {_told_role(role)}")
        raise last

    async def _primary_by(self, host: tuple[str, int]) -> tuple[str, int]:
        """Address of the primary as one server tells it."""
        match self._address.topology:
            case Topology.STANDALONE:
                return host
            case Topology.SENTINEL:
                return await self._by_sentinel(host)
            case Topology.CLUSTER:
                return await self._by_node(host)

    async def _by_sentinel(self, host: tuple[str, int]) -> tuple[str, int]:
        service = self._address.service
        address = without_credentials(self._address)
        sentinel = await RedisConnection.open(address, host, self._answer_within_s)
        try:
            found = await sentinel.ask_one(
                b"SENTINEL", b"GET-MASTER-ADDR-BY-NAME", service.encode()
            )
        finally:
            await sentinel.close()
        match found:
            case [bytes(name), bytes(port)]:
                return name.decode(), int(port)
            case None:
                raise RedisRefused(f"Sentinel {shown(*host)} watches no service {service!r}")
            case _:
                raise RedisUnreachable(f"Sentinel {shown(*host)}: {found!r}")

    async def _by_node(self, host: tuple[str, int]) -> tuple[str, int]:
        node = await self.connect_to(host)
        try:
            ranges = await node.ask_one(b"CLUSTER", b"SLOTS")
        finally:
            await node.close()
        if not isinstance(ranges, list):
            raise RedisRefused(f"{node.host}: is not a node of a cluster: {ranges!r}")
        for one in ranges:
            match one:
                case [int(first), int(last), [name, int(port), *_], *_] if (
                    first <= self._slot <= last
                ):
                    # A node that does not know its own address leaves it out.
                    return (name.decode() if isinstance(name, bytes) and name else host[0]), port
        raise RedisUnreachable(f"{node.host}: nobody has slot {self._slot}")


def _told_role(role: Answer) -> str:
    match role:
        case [b"slave", bytes(host), int(port), *_]:
            told = f"a replica of {shown(host.decode(), port)}; name the primary, or its Sentinels"
        case [bytes(kind), *_]:
            told = f"a {kind.decode()}, expected a primary"
        case _:
            told = f"ROLE gave {role!r}"
    return told
