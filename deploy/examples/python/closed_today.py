"""
A shop with hours, which is closed today: a caller is rejected with the reason, until the shop names
another queue that takes its callers meanwhile.
"""

import asyncio
import os
from datetime import datetime
from typing import Final
from zoneinfo import ZoneInfo

from headgate.client import Client
from headgate.v1.contact_pb2 import Channel, ContactState, RejectionReason
from headgate.v1.queue_pb2 import Day, Hours, HoursException, OpeningPeriod, Queue
from headgate.v1.queue_service_pb2 import UpsertQueueRequest
from headgate.v1.routing_service_pb2 import (
    CancelContactRequest,
    CancelReason,
    RouteRequest,
    RouteResponse,
)

ADDRESS: Final = os.environ.get("HEADGATE_ADDRESS", "127.0.0.1:7443")
ZONE: Final = "Europe/Berlin"
WEEKDAYS: Final = [
    Day.DAY_MONDAY,
    Day.DAY_TUESDAY,
    Day.DAY_WEDNESDAY,
    Day.DAY_THURSDAY,
    Day.DAY_FRIDAY,
]


async def main() -> None:
    """Run the example."""
    today = datetime.now(ZoneInfo(ZONE)).date()
    hours = Hours(
        time_zone=ZONE,
        weekly=[OpeningPeriod(days=WEEKDAYS, opens="08:00", closes="18:30")],
        exceptions=[HoursException(date=today.isoformat(), name="Stocktaking")],
    )
    async with Client(ADDRESS) as client:
        await define(client, Queue(queue_id="answering_service"))
        shop = await define(client, Queue(queue_id="shop", hours=hours))
        print("open" if shop.is_open else "closed")
        print(RejectionReason.Name((await call(client)).rejection_reason))
        shop.fallback_queue_id = "answering_service"
        await define(client, shop)
        routed = await call(client)
        print(ContactState.Name(routed.state), "in", routed.queue_id)
        cancel = CancelContactRequest(
            contact_id=routed.contact_id, reason=CancelReason.CANCEL_REASON_ABANDONED
        )
        await client.call(client.routing.CancelContact, cancel)


async def define(client: Client, queue: Queue) -> Queue:
    """Create a queue, or replace its definition."""
    response = await client.call(client.queues.UpsertQueue, UpsertQueueRequest(queue=queue))
    return response.queue


async def call(client: Client) -> RouteResponse:
    """Somebody calls the shop."""
    return await client.route(RouteRequest(queue_id="shop", channel=Channel.CHANNEL_VOICE))


if __name__ == "__main__":
    asyncio.run(main())
