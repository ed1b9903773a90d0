"""Real `headgate forward` processes, the example receiver, and traffic to forward."""

import asyncio
import base64
import itertools
import json
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from headgate.client import Client
from headgate.v1.event_pb2 import Event, EventKind
from headgate.v1.event_service_pb2 import SubscribeRequest
from headgate.v1.routing_service_pb2 import CancelContactRequest, CancelReason
from tests.end_to_end.floor import route
from tests.end_to_end.serving import ROOT, Served, start_forwarder

RECEIVER = ROOT / "deploy" / "examples" / "python" / "webhook_receiver.py"
SECRET = base64.b64encode(b"never told" * 4).decode()
WITHIN_S = 30.0

Forward = Callable[..., Served]


class Place:
    """A folder for a forwarder's files."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.cursor_file = folder / "cursor"
        self.secret_file = folder / "secret"
        self.secret_file.write_text(f"whsec_{SECRET}\n")
        self.secret_file.chmod(0o600)
        self._numbers = itertools.count(1)

    def progress(self) -> dict[str, str]:
        """What the cursor file says; nothing where it is not there yet."""
        try:
            return json.loads(self.cursor_file.read_text())
        except FileNotFoundError:
            return {"cursor": "", "sending": ""}

    def start(self, engine: str, port: int, *flags: str) -> Served:
        """Start a forwarder from an engine to a port of this machine."""
        return start_forwarder(
            self.folder,
            *("--to", f"http://127.0.0.1:{port}/hook", "--address", engine),
            *("--secret-file", str(self.secret_file), "--cursor-file", str(self.cursor_file)),
            *("--metrics-address", "127.0.0.1:0", "--pause-first-s", "0.1", *flags),
            name=f"forwarder-{next(self._numbers)}",
        )


class Receiver:
    """The example receiver as a process."""

    def __init__(self, place: Place) -> None:
        self._output = place.folder / "received"
        command = (sys.executable, "-W", "error", str(RECEIVER), str(place.secret_file), "0")
        with self._output.open("wb") as output:
            self.process = subprocess.Popen(command, stdout=output, stderr=subprocess.DEVNULL)
        first = wait_until(lambda: self.lines("listening"), "the receiver listens")[0]
        self.port = int(first.split()[-1])

    def lines(self, word: str) -> list[str]:
        """Lines that begin with a word."""
        return [line for line in self._output.read_text().splitlines() if line.startswith(word)]

    def cursors(self) -> list[str]:
        """Places of the events it handled, in order."""
        return [line.split()[1] for line in self.lines("event ")]

    def kill(self) -> None:
        """End it."""
        self.process.kill()
        self.process.wait(10)


def wait_until(look: Callable[[], object], what: str) -> list[str]:
    """Look again and again until there is something."""
    give_up_at = time.monotonic() + WITHIN_S
    while not (found := look()):
        assert time.monotonic() < give_up_at, f"not within {WITHIN_S} s: {what}"
        time.sleep(0.02)
    return found  # type: ignore[return-value]


async def come_and_go(client: Client, first: int, count: int) -> None:
    """Contacts that wait a moment and leave."""
    for number in range(first, first + count):
        await route(client, "q", f"c{number}")
        reason = CancelReason.CANCEL_REASON_ABANDONED
        request = CancelContactRequest(contact_id=f"c{number}", reason=reason)
        await client.call(client.routing.CancelContact, request)


async def all_events(client: Client, last_contact: str) -> list[Event]:
    """Every event of the cell up to the end of a contact."""
    events: list[Event] = []
    async with asyncio.timeout(WITHIN_S):
        async for event in client.subscribe(SubscribeRequest(cursor="0")):
            events.append(event)
            is_end = event.kind == EventKind.EVENT_KIND_CONTACT_ABANDONED
            if is_end and event.contact_id == last_contact:
                return events
    return events


async def in_thread(look: Callable[[], object], what: str) -> list[str]:
    """Wait for something while the event loop goes on."""
    return await asyncio.to_thread(wait_until, look, what)
