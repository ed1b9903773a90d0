"""What a session that lives long leaves in the hub while it lives."""

import asyncio

from adapters.calls import Cells
from adapters.session import Session
from headgate.v1.gateway_service_pb2 import ConnectRequest, SessionCommand
from headgate.v1.routing_service_pb2 import CancelContactRequest, CancelReason
from tests.adapters.started_cell import floor, routing, send, started
from tests.adapters.test_session import Peer, settled

WITHDRAWN = CancelReason.CANCEL_REASON_WITHDRAWN


async def test_command_for_a_contact_that_has_ended_leaves_no_watch_behind() -> None:
    """Hang-ups cross with ends all day; nothing more can happen to such a contact."""
    cell = await started()
    await floor(cell)
    cancels = [
        CancelContactRequest(request_id=f"x{n}", contact_id=f"c{n}", reason=WITHDRAWN)
        for n in range(100)
    ]
    for n, cancel in enumerate(cancels):
        await send(cell, routing(f"c{n}"))
        if n < 50:
            await send(cell, cancel)
    # The first half are retries of what is done, and a refusal each for contacts nobody knows.
    again = [SessionCommand(cancel_contact=cancel) for cancel in cancels]
    unknown = CancelContactRequest(request_id="u", contact_id="nobody", reason=WITHDRAWN)
    peer = Peer(ConnectRequest(commands=[*again, SessionCommand(cancel_contact=unknown)]))
    session = asyncio.ensure_future(Session(Cells({"default": cell}), peer).run())
    await settled(lambda: len(peer.replies()) == 101)
    assert not cell.hub._of_contact
    peer.sent.put_nowait(None)
    await session
    await cell.stop()
