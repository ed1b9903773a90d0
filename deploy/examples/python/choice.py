"""
Two callers are asked what they would rather do than wait. One goes on in the chat, where what was
known of the call is known; the other tries the chat in vain, and comes back to the phone.
"""

import asyncio
import os
from typing import Final
from uuid import uuid4

from headgate.client import Client
from headgate.v1.choice_service_pb2 import AcceptChoiceRequest, ReturnContactRequest
from headgate.v1.contact_pb2 import Channel, Choice, ContactState, OptionKind
from headgate.v1.event_pb2 import EventKind
from headgate.v1.policy_pb2 import PolicyStage
from headgate.v1.policy_service_pb2 import PublishPolicyRequest, RetirePolicyRequest
from headgate.v1.queue_pb2 import Queue
from headgate.v1.queue_service_pb2 import UpsertQueueRequest
from headgate.v1.routing_service_pb2 import (
    CancelContactRequest,
    CancelReason,
    GetContactRequest,
    RouteRequest,
    WatchContactRequest,
)

ADDRESS: Final = os.environ.get("HEADGATE_ADDRESS", "127.0.0.1:7443")
# Nobody works here: whoever waits is asked.
POLICY: Final = """\
apiVersion: headgate/v1
kind: DiversionPolicy
metadata: {name: rather-chat}
spec:
  mode: auto
  match: {queues: [advice]}
  enter: {when: queue.waiting >= 1, for: 1s}
  actions:
    - offer_choice:
        options: [wait: {}, other_channel: {channel: chat, queue: advice-chat}]
        answer_within: 1m
        return_within: 30m
  guards: {dwell_on: 0s, dwell_off: 0s, share_max: 1.0, target: null}
"""


async def main() -> None:
    """Run the example."""
    async with Client(ADDRESS) as client:
        for queue_id in ("advice", "advice-chat"):
            queue = UpsertQueueRequest(queue=Queue(queue_id=queue_id))
            await client.call(client.queues.UpsertQueue, queue)
        publish = PublishPolicyRequest(text=POLICY, stage=PolicyStage.POLICY_STAGE_ACTIVE)
        await client.call(client.policies.PublishPolicy, publish)
        ada, ben = await call(client, "Ada"), await call(client, "Ben")
        await accept(client, ada, await asked(client, ada))
        await accept(client, ben, await asked(client, ben))

        chat = await client.route(
            RouteRequest(
                contact_id=uuid4().hex, channel=Channel.CHANNEL_CHAT, continues_contact_id=ada
            )
        )
        known = (
            await client.call(
                client.routing.GetContact, GetContactRequest(contact_id=chat.contact_id)
            )
        ).contact
        print(f"{known.attributes['name']} is in {known.queue_id}, after {known.hops} hop")

        back = await client.call(client.choices.ReturnContact, ReturnContactRequest(contact_id=ben))
        print(f"Ben is back: {ContactState.Name(back.route.state)} in {back.route.queue_id}")

        await client.call(client.policies.RetirePolicy, RetirePolicyRequest(name="rather-chat"))
        for contact_id in (chat.contact_id, ben):
            await hang_up(client, contact_id)


async def call(client: Client, name: str) -> str:
    """Somebody calls; returns the contact."""
    routed = await client.route(
        RouteRequest(
            contact_id=uuid4().hex,
            queue_id="advice",
            channel=Channel.CHANNEL_VOICE,
            attributes={"name": name},
        )
    )
    return routed.contact_id


async def asked(client: Client, contact_id: str) -> Choice:
    """The choice of a contact, once it is offered; it may have been before anybody watched."""
    async for told in client.routing.WatchContact(WatchContactRequest(contact_id=contact_id)):
        kinds = [event.kind for event in told.events]
        if told.contact.HasField("choice") or EventKind.EVENT_KIND_CHOICE_OFFERED in kinds:
            break
    read = GetContactRequest(contact_id=contact_id)
    return (await client.call(client.routing.GetContact, read)).contact.choice


async def accept(client: Client, contact_id: str, choice: Choice) -> None:
    """Read the options to the customer, who chooses the last."""
    for place, option in enumerate(choice.options, start=1):
        print(f"{place}: {OptionKind.Name(option.kind)} {option.queue_id}".rstrip())
    request = AcceptChoiceRequest(contact_id=contact_id, option=len(choice.options))
    accepted = await client.call(client.choices.AcceptChoice, request)
    print(ContactState.Name(accepted.route.state))


async def hang_up(client: Client, contact_id: str) -> None:
    """The customer leaves."""
    reason = CancelReason.CANCEL_REASON_ABANDONED
    request = CancelContactRequest(contact_id=contact_id, reason=reason)
    await client.call(client.routing.CancelContact, request)


asyncio.run(main())
