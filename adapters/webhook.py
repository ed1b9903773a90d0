"""
Deliveries to a webhook: their JSON, their ids and their signatures.

Signatures follow the Standard Webhooks specification 1.0.0: HMAC-SHA256 over `id.timestamp.body`,
once per secret, so that a receiver may go over to another secret whenever it likes.
"""

import base64
import binascii
import hashlib
import hmac
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, NamedTuple

import orjson
from google.protobuf.json_format import MessageToDict

from engine.refusals import BadConfiguration
from headgate.v1 import event_pb2

CONTENT_TYPE: Final = "application/json"
_TYPE: Final = "headgate.events"
_SECRET_PREFIX: Final = "whsec_"
_SECRET_BYTES_MIN: Final = 24
_SECRET_BYTES_MAX: Final = 64
# A signature takes 48 bytes of a header that servers bound at 4 to 8 KiB.
_SECRETS_MAX: Final = 8
_SECRET_FILE_BYTES_MAX: Final = 8_192
_DIGEST_DIGITS: Final = 16
# A full stop would let parts of what is signed move from the id to the timestamp.
_NOT_IN_IDS: Final = re.compile(r"[^0-9A-Za-z_-]")


class RenderedEvent(NamedTuple):
    """
    An event as it goes into a body.

    Attributes
    ----------
    cursor
        Its place in the cell's log.
    at_ms
        When it happened, milliseconds since the Unix epoch.
    identity
        What tells it from an event that has its cursor in another log, as after a restore.
    json
        The event, by proto3's JSON mapping.
    """

    cursor: str
    at_ms: int
    identity: str
    json: bytes


@dataclass(frozen=True, slots=True)
class Delivery:
    """
    What is sent with one request, however often it is tried.

    Attributes
    ----------
    webhook_id
        The same for the same events of the same cell, in whichever process and at whatever time.
    body
        JSON.
    cursor
        Place of the last event.
    event_count
        Events in the body, one at least.
    first_at_ms, last_at_ms
        When its first and its last event happened, milliseconds since the Unix epoch.
    """

    webhook_id: str
    body: bytes
    cursor: str
    event_count: int
    first_at_ms: int
    last_at_ms: int


def render(event: event_pb2.Event) -> RenderedEvent:
    """An event ready for a body: fields by their names in the contract, empty ones left out."""
    fields = MessageToDict(event, preserving_proto_field_name=True)
    identity = f"{event.cursor} {event.kind} {event.at_ms}"
    return RenderedEvent(event.cursor, event.at_ms, identity, orjson.dumps(fields))


def delivery_of(cell: str, events: Sequence[RenderedEvent]) -> Delivery:
    """The delivery of some events in their order, one at least."""
    last = events[-1]
    digest = hashlib.sha256("\n".join((cell, *(event.identity for event in events))).encode())
    place = f"{cell}-{last.cursor}-{digest.hexdigest()[:_DIGEST_DIGITS]}"
    head = {"type": _TYPE, "cell": cell, "cursor": last.cursor}
    body = b'%s,"events":[%s]}' % (
        orjson.dumps(head)[:-1],
        b",".join(event.json for event in events),
    )
    return Delivery(
        webhook_id=_NOT_IN_IDS.sub("-", place),
        body=body,
        cursor=last.cursor,
        event_count=len(events),
        first_at_ms=events[0].at_ms,
        last_at_ms=last.at_ms,
    )


def signed_headers(delivery: Delivery, secrets: Sequence[bytes], at_s: int) -> dict[str, str]:
    """Headers of one attempt, made at a second since the Unix epoch: one signature per secret."""
    signed = b"%s.%d.%s" % (delivery.webhook_id.encode(), at_s, delivery.body)
    signatures = (hmac.digest(secret, signed, "sha256") for secret in secrets)
    return {
        "webhook-id": delivery.webhook_id,
        "webhook-timestamp": str(at_s),
        "webhook-signature": " ".join(
            f"v1,{base64.b64encode(signature).decode()}" for signature in signatures
        ),
    }


def read_secrets(path: Path) -> tuple[bytes, ...]:
    """
    Secrets of a file, one a line; lines that are empty or begin with # are left out.

    Raises
    ------
    BadConfiguration
        The file cannot be read, holds none or too many, or a line is no secret; the secret itself
        is not told.
    """
    where = f"--secret-file {path}"
    try:
        with path.open("rb") as file:
            text = file.read(_SECRET_FILE_BYTES_MAX + 1)
    except OSError as error:
        raise BadConfiguration(where, error.strerror, "a readable file") from None
    if len(text) > _SECRET_FILE_BYTES_MAX:
        expected = f"at most {_SECRET_FILE_BYTES_MAX:,} bytes"
        raise BadConfiguration(where, "more", expected)
    secrets = []
    for number, line in enumerate(text.splitlines(), start=1):
        stripped = line.strip()
        if stripped and not stripped.startswith(b"#"):
            secrets.append(_secret(f"{where}: line {number}", stripped))
    if not (1 <= len(secrets) <= _SECRETS_MAX):
        raise BadConfiguration(where, f"{len(secrets)} secrets", f"1 to {_SECRETS_MAX} secrets")
    return tuple(secrets)


def is_read_by_all(path: Path) -> bool:
    """Whether every user of the machine may read a file."""
    try:
        return bool(path.stat().st_mode & 0o004)
    except OSError:
        return False


def _secret(where: str, text: bytes) -> bytes:
    expected = (
        f"{_SECRET_PREFIX} and base64 of {_SECRET_BYTES_MIN} to {_SECRET_BYTES_MAX} random bytes"
    )
    prefix = _SECRET_PREFIX.encode()
    if not text.startswith(prefix):
        raise BadConfiguration(where, "another beginning", expected)
    try:
        secret = base64.b64decode(text.removeprefix(prefix), validate=True)
    except binascii.Error:
        raise BadConfiguration(where, "no base64", expected) from None
    if not (_SECRET_BYTES_MIN <= len(secret) <= _SECRET_BYTES_MAX):
        raise BadConfiguration(where, f"{len(secret)} bytes", expected)
    return secret
