"""Raw frames of a stream, in both directions, on grpc.aio."""

from typing import Any

import grpc.aio


class GrpcFrames:
    """A session's stream on grpc.aio."""

    def __init__(self, context: Any) -> None:
        self._context = context

    async def read(self) -> bytes | None:
        """Next frame; None at the end."""
        frame = await self._context.read()
        return None if frame is grpc.aio.EOF else frame

    async def write(self, frame: bytes) -> None:
        """Send a frame; waits while the peer does not keep up."""
        await self._context.write(frame)
