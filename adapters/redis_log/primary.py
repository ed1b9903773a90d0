"""
Finding the server that takes a cell's writes now, and a connection to it.

No single Sentinel or node is believed. One that is cut off from the others goes on naming the old
primary, which goes on saying that it is one; one that came back without its file knows nothing.
So several are asked at the same time, and whoever names the winner of the latest election is right:
elections are counted, by the config epoch. Where nobody tells of it, most are right. Every search
begins with another one of those listed, so that what remains wrong is not met for ever.
"""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Iterable, Iterator, Sequence
from typing import Final, NamedTuple

from redis.crc import key_slot
from redis.exceptions import ResponseError

from adapters.redis_log.address import RedisAddress, Topology, shown
from adapters.redis_log.connection import (
    Answer,
    RedisConnection,
    RedisRefused,
    RedisUnreachable,
    Reply,
    without_credentials,
)

_PAUSE_S: Final = 0.05
_ASKED_AT_ONCE: Final = 3
# Of the time to answer: what the others have once one has answered.
_OTHERS_WITHIN: Final = 0.25

_Host = tuple[str, int]
_Failure = RedisUnreachable | RedisRefused


class _Word(NamedTuple):
    """Who is primary as of which election; 0 where that is not told."""

    primary: _Host
    epoch: int


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
        self._first = 0

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
            No primary was found; says what was met in the last search.
        RedisRefused
            None of the servers will talk to us.
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

    async def connect_to(self, host: _Host) -> RedisConnection:
        """Connect to a server whatever its role; raises as `connect` does."""
        return await RedisConnection.open(self._address, host, self._answer_within_s)

    async def _connect_once(self) -> RedisConnection:
        unheard: list[_Failure] = []
        refused: dict[_Host, _Failure] = {}
        for hosts in self._parts():
            named, failures = await self._named_by(hosts)
            unheard += failures
            for primary in named:
                if primary in refused:
                    continue
                try:
                    return await self._connect_primary(primary)
                except (RedisUnreachable, RedisRefused) as error:
                    refused[primary] = error
        # Who was named and is none says more than who could not be asked.
        raise _joined(list(refused.values()) or unheard)

    def _parts(self) -> Iterator[Sequence[_Host]]:
        """Hosts that are asked at the same time; the next search begins with the next host."""
        hosts = self._address.hosts[self._first :] + self._address.hosts[: self._first]
        self._first = (self._first + 1) % len(hosts)
        for start in range(0, len(hosts), _ASKED_AT_ONCE):
            yield hosts[start : start + _ASKED_AT_ONCE]

    async def _connect_primary(self, host: _Host) -> RedisConnection:
        """Connect to a server that says itself that it is primary."""
        connection = await self.connect_to(host)
        role = await connection.ask_one(b"ROLE")
        if isinstance(role, list) and role[0] == b"master":
            return connection
        await connection.close()
        raise RedisUnreachable(f"{connection.host}: {_told_role(role)}")

    async def _named_by(self, hosts: Sequence[_Host]) -> tuple[Sequence[_Host], list[_Failure]]:
        """Who is named as primary, the likeliest first, and what was met instead."""
        if self._address.topology is Topology.STANDALONE:
            return hosts, []
        asking = [asyncio.create_task(self._word_of(host)) for host in hosts]
        try:
            if await _is_one_a_word(asyncio.as_completed(asking)):
                await asyncio.wait(asking, timeout=_OTHERS_WITHIN * self._answer_within_s)
            told = [task.result() for task in asking if task.done()]
        finally:
            for task in asking:
                task.cancel()
            await asyncio.gather(*asking, return_exceptions=True)
        words = [word for word in told if isinstance(word, _Word)]
        return _ranked(words), [word for word in told if not isinstance(word, _Word)]

    async def _word_of(self, host: _Host) -> _Word | _Failure:
        """What a Sentinel or a node says, or why it does not."""
        try:
            if self._address.topology is Topology.SENTINEL:
                return await self._word_of_sentinel(host)
            return await self._word_of_node(host)
        except (RedisUnreachable, RedisRefused) as error:
            return error

    async def _word_of_sentinel(self, host: _Host) -> _Word:
        service = self._address.service
        address = without_credentials(self._address)
        sentinel = await RedisConnection.open(address, host, self._answer_within_s)
        asked = (b"GET-MASTER-ADDR-BY-NAME", b"MASTER")
        try:
            found, about = await sentinel.ask(
                [(b"SENTINEL", what, service.encode()) for what in asked]
            )
        finally:
            await sentinel.close()
        match found:
            case [bytes(name), bytes(port)]:
                return _Word((name.decode(), int(port)), _epoch_of_service(about))
            case None:
                raise RedisRefused(f"Sentinel {shown(*host)} watches no service {service!r}")
            case _:
                raise RedisUnreachable(f"Sentinel {shown(*host)}: {_said(found)}")

    async def _word_of_node(self, host: _Host) -> _Word:
        node = await self.connect_to(host)
        try:
            ranges, nodes = await node.ask(((b"CLUSTER", b"SLOTS"), (b"CLUSTER", b"NODES")))
        finally:
            await node.close()
        if not isinstance(ranges, list):
            raise RedisRefused(f"{node.host}: is not a node of a cluster: {_said(ranges)}")
        for one in ranges:
            match one:
                case [int(first), int(last), [name, int(port), *rest], *_] if (
                    first <= self._slot <= last
                ):
                    # A node that does not know its own address leaves it out.
                    known = name.decode() if isinstance(name, bytes) and name else host[0]
                    return _Word((known, port), _epoch_of_node(nodes, rest))
        raise RedisUnreachable(f"{node.host}: nobody has slot {self._slot}")


async def _is_one_a_word(answers: Iterable[Awaitable[_Word | _Failure]]) -> bool:
    """Wait for the first that is one; whether there is one at all."""
    for answer in answers:
        if isinstance(await answer, _Word):
            return True
    return False


def _ranked(words: Sequence[_Word]) -> list[_Host]:
    """Who is named, by the latest election first, by most next, and in the order asked then."""
    votes = Counter(word.primary for word in words)
    epochs = {word.primary: word.epoch for word in sorted(words, key=lambda word: word.epoch)}
    return sorted(votes, key=lambda primary: (-epochs[primary], -votes[primary]))


def _epoch_of_service(about: Answer) -> int:
    """Config epoch in what SENTINEL MASTER tells; 0 where it does not, or we may not ask."""
    fields = about if isinstance(about, list) else []
    for name, value in zip(fields[::2], fields[1::2], strict=False):
        if name == b"config-epoch" and isinstance(value, bytes):
            return int(value)
    return 0


def _epoch_of_node(nodes: Answer, identity: Sequence[Reply]) -> int:
    """Config epoch of a node in what CLUSTER NODES tells; 0 as above."""
    match identity, nodes:
        case [bytes(name), *_], bytes():
            for line in nodes.splitlines():
                fields = line.split()
                if fields[0] == name:
                    return int(fields[6])
    return 0


def _joined(failures: Sequence[_Failure]) -> _Failure:
    """All that was met; a refusal only where nothing else was."""
    kinds = set(map(type, failures))
    text = "; ".join(dict.fromkeys(map(str, failures)))
    return RedisRefused(text) if kinds == {RedisRefused} else RedisUnreachable(text)


def _said(answer: Answer) -> str:
    return str(answer) if isinstance(answer, ResponseError) else repr(answer)


def _told_role(role: Answer) -> str:
    match role:
        case [b"slave", bytes(host), int(port), *_]:
            told = f"a replica of {shown(host.decode(), port)}; name the primary, or its Sentinels"
        case [bytes(kind), *_]:
            told = f"a {kind.decode()}, expected a primary"
        case _:
            told = f"ROLE gave {_said(role)}"
    return told
