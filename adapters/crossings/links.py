"""
How other cells are asked: in this process, through the engine that has them in our fleet, or at an
address that the settings name.
"""

import asyncio
from collections.abc import Mapping
from typing import Final, TypeVar

import grpc
import grpc.aio
from google.protobuf.message import Message

from adapters.calls import Cells, ask
from adapters.crossings.service import RECALL, RECEIVE, get_target
from adapters.errors import CallRefused
from headgate.access import Access
from headgate.client import Client
from headgate.v1 import crossing_service_pb2 as pb

# How long another cell may take to answer, seconds.
_ANSWER_S: Final = 2.0
# Connections kept; of more the oldest is let go.
_CLIENTS_MAX: Final = 64

Asked = pb.ReceiveContactRequest | pb.RecallContactRequest | pb.GetTargetRequest
R = TypeVar("R", bound=Message)


class Unreachable(Exception):
    """No answer came; the message says from whom, and why as far as that is known."""


class Links:
    """
    Other cells, as one cell or several of this process ask them.

    Parameters
    ----------
    cells
        Those of this process, and who knows of the others of our fleet.
    addresses
        HOST:PORT of an engine by cell, "" for cells of this process or fleet.
    access
        Whom to trust there, and what to show.
    """

    def __init__(self, cells: Cells, addresses: Mapping[str, str], access: Access) -> None:
        self._cells = cells
        self._addresses = addresses
        self._access = access
        # By address that was asked first; it names the owner where that is another.
        self._clients: dict[str, Client] = {}

    async def receive(self, request: pb.ReceiveContactRequest) -> pb.ReceiveContactResponse:
        """Ask a cell to take a contact in; raises Unreachable."""
        return await self._ask(request, "ReceiveContact", pb.ReceiveContactResponse)

    async def recall(self, request: pb.RecallContactRequest) -> pb.RecallContactResponse:
        """Tell a cell that a crossing is not to be; raises Unreachable."""
        return await self._ask(request, "RecallContact", pb.RecallContactResponse)

    async def target(self, request: pb.GetTargetRequest) -> pb.GetTargetResponse:
        """Ask a cell how a queue stands; raises Unreachable."""
        return await self._ask(request, "GetTarget", pb.GetTargetResponse)

    def is_here(self, cell: str) -> bool:
        """Whether a cell is asked in this process."""
        return not self._addresses.get(cell, "") and cell in self._cells.loops

    async def close(self) -> None:
        """Close every connection."""
        clients, self._clients = self._clients, {}
        for client in clients.values():
            await client.close()

    async def _ask(self, request: Asked, name: str, reply: type[R]) -> R:
        try:
            # Of the whole of it: a cell here may take the call and never come to its end.
            async with asyncio.timeout(2 * _ANSWER_S):
                if self.is_here(request.cell):
                    return reply.FromString(await self._ask_here(request))
                client = self._client_of(request.cell)
                found = await client.call(getattr(client.crossings, name), request, _ANSWER_S)
        except TimeoutError:
            raise Unreachable(f"cell {request.cell!r}: no answer in time") from None
        except CallRefused as refused:
            raise Unreachable(f"cell {request.cell!r}: {refused}") from None
        except grpc.aio.AioRpcError as error:
            said = f"{error.code().name}: {error.details()}"
            raise Unreachable(f"cell {request.cell!r}: {said}") from None
        except (OSError, ValueError) as error:
            raise Unreachable(f"cell {request.cell!r}: {error}") from None
        assert isinstance(found, reply)
        return found

    async def _ask_here(self, request: Asked) -> bytes:
        if isinstance(request, pb.GetTargetRequest):
            message = await get_target(self._cells.find_sensing(request.cell), request)
            return message.SerializeToString()
        method = RECEIVE if isinstance(request, pb.ReceiveContactRequest) else RECALL
        return await ask(self._cells.loops[request.cell], method, request, _ANSWER_S)

    def _client_of(self, cell: str) -> Client:
        """The client that asks for a cell first where the cell was known to be last."""
        address = self._addresses.get(cell, "") or self._owner_of(cell)
        if not address:
            raise Unreachable(f"cell {cell!r}: nobody is known to have it")
        client = self._clients.get(address)
        if client is None:
            client = self._clients[address] = Client(address, self._access)
            if len(self._clients) > _CLIENTS_MAX:
                # Its connection closes with its last call.
                del self._clients[next(iter(self._clients))]
        return client

    def _owner_of(self, cell: str) -> str:
        """Address of the engine of our fleet that has a cell, "" for none."""
        elsewhere = self._cells.elsewhere
        refused = elsewhere.refusal(cell) if elsewhere is not None else None
        return refused.owner.address if refused is not None and refused.owner is not None else ""
