"""
Take the deliveries of `headgate forward`: verify each, handle it once, answer.

    python webhook_receiver.py SECRET_FILE [PORT]

Nothing but Python is needed. The libraries of Standard Webhooks verify the same deliveries.
"""

import base64
import hmac
import json
import sys
import threading
import time
from collections import OrderedDict
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Final

BODY_BYTES_MAX: Final = 2 * 1024 * 1024
# How far the sender's clock may be off, so that a delivery seen on the wire is soon worth nothing.
TOLERANCE_S: Final = 300
IDS_KEPT: Final = 10_000


def read_secrets(path: str) -> list[bytes]:
    """Secrets of a file, one a line; two while one takes over from the other."""
    lines = [line.strip() for line in Path(path).read_text(encoding="utf-8").splitlines()]
    kept = [line for line in lines if line and not line.startswith("#")]
    return [base64.b64decode(line.removeprefix("whsec_")) for line in kept]


def is_genuine(secrets: list[bytes], headers: dict[str, str], body: bytes) -> bool:
    """Whether one of the signatures was made, not long ago, with one of the secrets."""
    try:
        age_s = time.time() - int(headers["webhook-timestamp"])
        signed = f"{headers['webhook-id']}.{headers['webhook-timestamp']}.".encode() + body
        given = headers["webhook-signature"].encode().split()
    except (KeyError, ValueError):
        return False
    made = [b"v1," + base64.b64encode(hmac.digest(secret, signed, "sha256")) for secret in secrets]
    is_known = any(hmac.compare_digest(one, other) for one in given for other in made)
    return is_known and abs(age_s) <= TOLERANCE_S


class Receiver(BaseHTTPRequestHandler):
    """Answers deliveries; `server` knows the secrets and what was handled."""

    protocol_version = "HTTP/1.1"
    server: "ReceivingServer"

    def do_POST(self) -> None:
        """Take a delivery. What fails before the answer comes again, with the same id."""
        length = self.headers.get("content-length", "")
        if not (length.isdecimal() and int(length) <= BODY_BYTES_MAX):
            # What follows is not read, so the connection cannot go on.
            self.close_connection = True
            return self._answer(413)
        body = self.rfile.read(int(length))
        headers = {name.lower(): value for name, value in self.headers.items()}
        if not is_genuine(self.server.secrets, headers, body):
            return self._answer(401)
        self.server.handle_once(headers["webhook-id"], body)
        return self._answer(204)

    def _answer(self, status: int) -> None:
        self.send_response(status)
        self.send_header("content-length", "0")
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class's name
        """Say nothing of requests."""


class ReceivingServer(ThreadingHTTPServer):
    """Listens, and knows what was handled."""

    def __init__(self, port: int, secrets: list[bytes]) -> None:
        super().__init__(("127.0.0.1", port), Receiver)
        self.secrets = secrets
        # In memory for the example. Kept beside what you do with the events, in one transaction,
        # it makes of "at least once" a "once".
        self.handled: OrderedDict[str, None] = OrderedDict()
        # One that is sent again may come while the connection it came on before still counts.
        self._one_at_a_time = threading.Lock()

    def handle_once(self, webhook_id: str, body: bytes) -> None:
        """Handle a delivery that was not handled before."""
        with self._one_at_a_time:
            if webhook_id in self.handled:
                print(f"again {webhook_id}", flush=True)
                return
            for event in json.loads(body)["events"]:
                concerned = event.get("contact_id", "")
                print(f"event {event['cursor']} {event['kind']} {concerned}".rstrip())
            self.handled[webhook_id] = None
            if len(self.handled) > IDS_KEPT:
                self.handled.popitem(last=False)
            print(f"done {webhook_id}", flush=True)


def main() -> None:
    """Run the example."""
    port = int(sys.argv[2]) if len(sys.argv) > 2 else 8080
    server = ReceivingServer(port, read_secrets(sys.argv[1]))
    print(f"listening on {server.server_port}", flush=True)
    server.serve_forever()


if __name__ == "__main__":
    main()
