"""Streams and the age of connections: gateways are sent elsewhere in words, not cut off."""

import asyncio
from typing import Any

from headgate.client import Client
from headgate.v1.event_service_pb2 import SubscribeRequest
from headgate.v1.gateway_service_pb2 import ConnectRequest
from tests.end_to_end.conftest import Serve
from tests.end_to_end.floor import refused


async def test_streams_of_full_age_end_with_words_to_resume_elsewhere(serve: Serve) -> None:
    """Every gateway meets this twice an hour; a reset connection would look like a crash."""
    served = serve("--durability", "memory", "--set", "connection_age_s=1")
    async with Client(served.address) as client, asyncio.timeout(20):
        session = client.gateway.Connect()
        await session.write(ConnectRequest())
        subscription = client.events.Subscribe(SubscribeRequest())

        async def last(stream: Any) -> None:
            async for _ in stream:
                pass

        for stream in (session, subscription):
            assert (await refused(last(stream))).code == "UNAVAILABLE"
            assert "resume on another connection" in await stream.details()
    served.kill()
