"""Deliveries: their ids, their JSON, and signatures that others can verify."""

import base64
import hashlib
import hmac
import json
from pathlib import Path
from typing import Any

import pytest
from google.protobuf.json_format import ParseDict
from hypothesis import given
from hypothesis import strategies as st

from adapters.webhook import (
    Delivery,
    delivery_of,
    is_read_by_all,
    read_secrets,
    render,
    signed_headers,
)
from engine.refusals import BadConfiguration
from headgate.v1.event_pb2 import Event, EventKind

OLD, NEW = b"o" * 24, b"n" * 32
ISSUED = EventKind.EVENT_KIND_OFFER_ISSUED


def issued(cursor: str = "12.3", at_ms: int = 1_700_000_000_123, **fields: Any) -> Event:
    """An offer that was made."""
    return Event(cursor=cursor, kind=ISSUED, at_ms=at_ms, contact_id="c1", **fields)


def delivery(*events: Event, cell: str = "default") -> Delivery:
    """Delivery of some events."""
    return delivery_of(cell, [render(event) for event in events])


def as_text(secret: bytes) -> str:
    """A secret as it stands in a file."""
    return f"whsec_{base64.b64encode(secret).decode()}"


def is_genuine(headers: dict[str, str], body: bytes, secret: bytes) -> bool:
    """Verify as the specification words it, with nothing of the code under test."""
    signed = b".".join(
        (headers["webhook-id"].encode(), headers["webhook-timestamp"].encode(), body)
    )
    made = base64.b64encode(hmac.new(secret, signed, hashlib.sha256).digest()).decode()
    versions = [item.split(",", 1) for item in headers["webhook-signature"].split(" ")]
    return any(version == "v1" and hmac.compare_digest(made, given) for version, given in versions)


def test_signature_is_that_of_the_specification() -> None:
    """Receivers verify with libraries of their own; a byte off and every delivery is refused."""
    sent = delivery(issued())
    headers = signed_headers(sent, [NEW], 1_700_000_001)
    assert headers["webhook-timestamp"] == "1700000001"
    assert is_genuine(headers, sent.body, NEW)
    assert not is_genuine(headers, sent.body, OLD)
    assert not is_genuine(headers, sent.body + b" ", NEW)
    for name in ("webhook-id", "webhook-timestamp"):
        assert not is_genuine({**headers, name: headers[name] + "0"}, sent.body, NEW)


def test_deliveries_are_genuine_to_both_sides_while_secrets_change() -> None:
    """A receiver takes the new secret before, at or after the sender does, and misses nothing."""
    sent = delivery(issued())
    headers = signed_headers(sent, [NEW, OLD], 1_700_000_001)
    assert is_genuine(headers, sent.body, OLD)
    assert is_genuine(headers, sent.body, NEW)
    assert not is_genuine(headers, sent.body, b"x" * 24)


def test_body_holds_the_events_as_the_contract_names_them() -> None:
    """Receivers read the .proto files; what they parse must be what the engine told."""
    events = [
        issued(queue_id="q", agent_id="a", offer_id="o", reason='said "ü"\n'),
        Event(cursor="13.1", kind=EventKind.EVENT_KIND_CONTACT_QUEUED, at_ms=5, position=2),
    ]
    sent = delivery(*events)
    body = json.loads(sent.body)
    assert list(body) == ["type", "cell", "cursor", "events"]
    assert (body["type"], body["cell"], body["cursor"]) == ("headgate.events", "default", "13.1")
    assert [ParseDict(fields, Event()) for fields in body["events"]] == events
    assert body["events"][1] == {
        "cursor": "13.1",
        "kind": "EVENT_KIND_CONTACT_QUEUED",
        "at_ms": "5",
        "position": 2,
    }
    assert (sent.cursor, sent.event_count) == ("13.1", 2)
    assert (sent.first_at_ms, sent.last_at_ms) == (1_700_000_000_123, 5)


def test_kind_of_a_newer_engine_goes_as_its_number() -> None:
    """An engine may be newer than the forwarder, which has no reason to stop for that."""
    newer = Event(cursor="1.1", kind=4711)  # type: ignore[arg-type]
    assert json.loads(delivery(newer).body)["events"][0]["kind"] == 4711


def test_id_is_the_same_for_the_same_events_only() -> None:
    """Receivers drop what has an id they know: too often the same, and events are lost."""
    first = delivery(issued("12.3"), issued("12.4"))
    assert first.webhook_id.startswith("default-12-4-")
    assert delivery(issued("12.3"), issued("12.4")) == first
    others = [
        delivery(issued("12.4")),  # without the first
        delivery(issued("12.2"), issued("12.4")),  # another first
        delivery(issued("12.3"), issued("12.4"), issued("12.5")),  # one more
        delivery(issued("12.3"), issued("12.4"), cell="other"),
        delivery(issued("12.3"), issued("12.4", at_ms=7)),  # another log, as after a restore
    ]
    assert len({first.webhook_id, *(other.webhook_id for other in others)}) == 1 + len(others)


def test_id_outlives_a_change_of_the_json() -> None:
    """A newer engine that tells more of an event does not make it another event."""
    assert delivery(issued()).webhook_id == delivery(issued(reason="declined")).webhook_id


@given(st.text(), st.text(min_size=1))
def test_id_goes_into_a_header_whatever_it_is_made_of(cell: str, cursor: str) -> None:
    """A full stop would blur where the id ends in what is signed, a line's end the header."""
    made = delivery(issued(cursor), cell=cell).webhook_id
    assert made.isascii()
    assert made.replace("-", "").replace("_", "").isalnum()


def test_secrets_are_read_one_a_line(tmp_path: Path) -> None:
    """A file that was edited by hand has comments, empty lines, and two secrets for a while."""
    path = tmp_path / "secrets"
    path.write_text(f"# new\n{as_text(NEW)}\r\n\n  # until May\n  {as_text(OLD)}  ")
    assert read_secrets(path) == (NEW, OLD)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "expected 1 to 8 secrets, got '0 secrets'"),
        ("# nothing else\n", "got '0 secrets'"),
        ((as_text(NEW) + "\n") * 9, "got '9 secrets'"),
        ("\n" + as_text(b"x" * 23), "line 2: expected whsec_ and base64 of 24 to 64"),  # short
        (as_text(b"x" * 65), "line 1: .* got '65 bytes'"),  # long
        ("whsec_c2VjcmV0*", "got 'no base64'"),
        ("sk_hunter2", "got 'another beginning'"),
        ("whpk_" + as_text(NEW)[6:], "got 'another beginning'"),  # a key of another scheme
        ("x" * 9_000, "expected at most 8,192 bytes"),
    ],
)
def test_file_without_usable_secrets_is_refused(tmp_path: Path, text: str, told: str) -> None:
    """The message says what to put there, and nothing of what stands there."""
    path = tmp_path / "secrets"
    path.write_text(text)
    with pytest.raises(BadConfiguration, match=told) as caught:
        read_secrets(path)
    assert str(path) in str(caught.value)
    assert "hunter2" not in str(caught.value)


def test_file_of_secrets_that_is_not_there_is_refused(tmp_path: Path) -> None:
    """A slip in a path reads as such."""
    with pytest.raises(BadConfiguration, match="No such file"):
        read_secrets(tmp_path / "nowhere")


@pytest.mark.parametrize(("mode", "is_public"), [(0o600, False), (0o640, False), (0o644, True)])
def test_file_of_secrets_for_all_to_read_is_noticed(
    tmp_path: Path, mode: int, *, is_public: bool
) -> None:
    """A secret that everybody reads signs nothing."""
    path = tmp_path / "secrets"
    path.touch(mode)
    path.chmod(mode)
    assert is_read_by_all(path) == is_public
    assert not is_read_by_all(tmp_path / "nowhere")
