"""Every method of the contract, found in the .proto files themselves."""

import importlib
import re
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass

PROTO = Path(__file__).resolve().parent.parent.parent / "proto" / "headgate" / "v1"


class Rpc(NamedTuple):
    """
    One method.

    Attributes
    ----------
    service, name
        Without the package.
    request
        Type of its request.
    has_request_stream, has_reply_stream
        Which of the two are streams.
    """

    service: str
    name: str
    request: type[Message]
    has_request_stream: bool
    has_reply_stream: bool

    @property
    def full_name(self) -> str:
        """Service/Method."""
        return f"{self.service}/{self.name}"

    @property
    def path(self) -> str:
        """On the wire."""
        return f"/headgate.v1.{self.full_name}"

    def in_cell(self, cell: str) -> bytes:
        """An otherwise empty request to a cell."""
        request: Any = self.request()
        if "cell" in request.DESCRIPTOR.fields_by_name:
            request.cell = cell
        if "request_id" in request.DESCRIPTOR.fields_by_name:
            request.request_id = f"{self.full_name} in {cell}"
        raw: bytes = request.SerializeToString()
        return raw


@cache
def rpcs() -> tuple[Rpc, ...]:
    """Every method of every service."""
    found = []
    for file in sorted(PROTO.glob("*.proto")):
        module = importlib.import_module(f"headgate.v1.{file.stem}_pb2")
        for service in module.DESCRIPTOR.services_by_name.values():
            found += [
                Rpc(
                    service.name,
                    method.name,
                    GetMessageClass(method.input_type),
                    method.client_streaming,
                    method.server_streaming,
                )
                for method in service.methods
            ]
    return tuple(found)


def rpcs_in_text() -> list[str]:
    """Service/Method of every line that says rpc, read as text."""
    found = []
    for file in sorted(PROTO.glob("*.proto")):
        service = ""
        for line in file.read_text(encoding="utf-8").splitlines():
            if match := re.match(r"\s*(service|rpc) (\w+)", line):
                service = match[2] if match[1] == "service" else service
                found += [f"{service}/{match[2]}"] if match[1] == "rpc" else []
    return found
