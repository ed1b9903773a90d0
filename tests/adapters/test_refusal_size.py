"""Refusals with many broken rules: a status travels in trailers, which gRPC bounds at 8 KiB."""

import pytest
from google.rpc import code_pb2, error_details_pb2, status_pb2

from adapters.errors import as_status, invalid
from engine.refusals import Violation, violation

# What gRPC lets through for sure, less what other headers take.
TRAILER_BYTES_MAX = 8_192 - 512


def trailer_bytes(status: status_pb2.Status) -> int:
    """Size on the wire: the message percent-encoded, then the whole status in base64."""
    message = sum(1 if 0x20 <= byte < 0x7F else 3 for byte in status.message.encode())
    return message + -(-status.ByteSize() * 4 // 3)


@pytest.mark.parametrize(
    "broken",
    [
        [violation(f"agent.skills[{n}].proficiency", 9, "0 to 5") for n in range(256)],
        [violation(f"agent.queue_ids[{n}]", "q" * 129, "at most 128 bytes") for n in range(10_000)],
        [violation(f"requirements.tags[{n}]", "語" * 50, "at most 128 bytes") for n in range(8)],
    ],
    ids=["many", "as many as one request can break", "few, in another script"],
)
def test_status_of_many_broken_rules_fits_into_trailers(broken: list[Violation]) -> None:
    """One that does not is replaced by RESOURCE_EXHAUSTED, which clients retry."""
    status = as_status(invalid(*broken))
    assert trailer_bytes(status) <= TRAILER_BYTES_MAX
    assert status.code == code_pb2.INVALID_ARGUMENT
    named = error_details_pb2.BadRequest()
    assert status.details[1].Unpack(named)
    assert named.field_violations[0].field == broken[0].field
