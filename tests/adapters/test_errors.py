"""What callers are told of a refusal, in all its forms on the wire."""

import grpc
import pytest
from google.rpc import code_pb2, error_details_pb2, status_pb2

from adapters.errors import (
    CODES,
    DOMAIN,
    CallRefused,
    as_error,
    as_status,
    invalid,
    not_owner,
    overloaded,
    refused_by_engine,
    unavailable,
)
from engine.refusals import CommandRefused, Refusal, violation
from headgate.v1.error_pb2 import NotOwner

REFUSED = [reason for reason in Refusal if reason is not Refusal.NONE]
# Codes after which the same request may succeed without anyone's doing.
RETRYABLE = {code_pb2.RESOURCE_EXHAUSTED, code_pb2.UNAVAILABLE}


def details(status: status_pb2.Status) -> dict[str, object]:
    """Details of a status by name; each may stand there once."""
    kinds = (
        error_details_pb2.ErrorInfo,
        error_details_pb2.BadRequest,
        error_details_pb2.RetryInfo,
        NotOwner,
    )
    found: dict[str, object] = {}
    for packed in status.details:
        (kind,) = [kind for kind in kinds if packed.Is(kind.DESCRIPTOR)]
        assert kind.DESCRIPTOR.name not in found
        message = kind()
        packed.Unpack(message)
        found[kind.DESCRIPTOR.name] = message
    return found


@pytest.mark.parametrize("reason", REFUSED)
def test_refusal_of_the_engine_has_a_code_and_says_all_it_knows(reason: Refusal) -> None:
    """A reason without a code would end a turn of the whole cell with a KeyError."""
    broken = (violation("queue_id", "q", "a known one"), violation("priority", 2_000, "less"))
    refused = refused_by_engine(CommandRefused(reason, *broken))
    assert (refused.code, refused.reason) == (CODES[reason], reason.name)
    assert refused.violations == broken
    assert str(refused) == (
        "queue_id: got 'q', expected a known one; priority: got 2000, expected less"
    )
    assert refused.retry_after_ms == 0


def test_table_holds_each_refusal_once_and_real_codes_only() -> None:
    """OK and UNKNOWN would tell a caller nothing."""
    assert list(CODES) == REFUSED
    real = {code.value[0] for code in grpc.StatusCode} - {code_pb2.OK, code_pb2.UNKNOWN}
    assert set(CODES.values()) <= real


def test_only_a_reached_limit_is_retried_among_the_engine_s_refusals() -> None:
    """Clients retry by code alone: what cannot succeed by waiting must not carry one of those."""
    assert [reason for reason in REFUSED if CODES[reason] in RETRYABLE] == [Refusal.LIMIT_REACHED]


def test_value_is_shown_shortened() -> None:
    """A message of a megabyte in one field must not come back in the refusal."""
    refused = invalid(violation("contact_id", "x" * 1_000_000, "at most 128 bytes"))
    assert len(str(refused)) < 200
    assert "xxx..." in str(refused)
    exactly = violation("f", "x" * 78, "less")
    assert exactly.value == repr("x" * 78)
    assert len(violation("f", "x" * 79, "less").value) == 80


def test_refusal_before_the_engine_names_code_and_reason() -> None:
    """Overload and closing are retried after the delay, a malformed request is not."""
    broken = violation("page_size", -1, "1 to 1,000")
    assert (invalid(broken).code, invalid(broken).reason) == (
        code_pb2.INVALID_ARGUMENT,
        "INVALID_FIELD",
    )
    full = overloaded("the inbox is full", 50)
    assert (full.code, full.reason, full.retry_after_ms) == (
        code_pb2.RESOURCE_EXHAUSTED,
        "OVERLOADED",
        50,
    )
    closing = unavailable("closing")
    assert (closing.code, closing.reason) == (code_pb2.UNAVAILABLE, "UNAVAILABLE")
    assert closing.retry_after_ms > 0


REFUSALS = [
    invalid(violation("a", 1, "two"), violation("b.c[0]", "x", "y")),
    overloaded("full", 1_500),
    unavailable("closing"),
    CallRefused(code_pb2.NOT_FOUND, "UNKNOWN_CELL", "no cell 'ü' here"),
    CallRefused(
        code_pb2.RESOURCE_EXHAUSTED, "R", "both", violations=(violation("f", 0, "1"),),
        retry_after_ms=1,
    ),
]  # fmt: skip


@pytest.mark.parametrize("refused", REFUSALS, ids=lambda refused: refused.reason)
def test_status_and_error_say_the_same(refused: CallRefused) -> None:
    """A command is refused alike alone, in a batch and in a session."""
    status, error = as_status(refused), as_error(refused)
    assert (status.code, status.message) == (error.code, error.message)
    assert (status.code, status.message) == (refused.code, str(refused))
    found = details(status)
    assert found["ErrorInfo"] == error_details_pb2.ErrorInfo(reason=error.reason, domain=DOMAIN)
    bad_request = found.get("BadRequest", error_details_pb2.BadRequest())
    assert isinstance(bad_request, error_details_pb2.BadRequest)
    told = [(item.field, item.description) for item in bad_request.field_violations]
    assert told == [(item.field, item.description) for item in error.field_violations]
    assert told == [
        (item.field, f"got {item.value}, expected {item.expected}") for item in refused.violations
    ]
    retry = found.get("RetryInfo", error_details_pb2.RetryInfo())
    assert isinstance(retry, error_details_pb2.RetryInfo)
    assert retry.retry_delay.ToMilliseconds() == error.retry_after_ms == refused.retry_after_ms


def test_status_holds_only_the_details_that_apply() -> None:
    """An empty BadRequest or a delay of 0 would be read as "nothing broken" and "retry now"."""
    plain = CallRefused(code_pb2.NOT_FOUND, "R", "nothing")
    assert details(as_status(plain)).keys() == {"ErrorInfo"}
    assert details(as_status(overloaded("full", 1))).keys() == {"ErrorInfo", "RetryInfo"}
    broken = invalid(violation("f", 0, "1"))
    assert details(as_status(broken)).keys() == {"ErrorInfo", "BadRequest"}


def test_owner_of_a_cell_is_named_in_every_form() -> None:
    """A client that follows reads the address, one that cannot the delay, a developer the text."""
    owner = NotOwner(cell="north", engine="pod-1", address="10.0.0.1:7443", epoch=7)
    refused = not_owner(owner)
    found = details(as_status(refused))
    assert found["NotOwner"] == owner
    assert found["ErrorInfo"].reason == "NOT_OWNER"  # type: ignore[attr-defined]
    assert found["RetryInfo"].retry_delay.ToMilliseconds() > 0  # type: ignore[attr-defined]
    error = as_error(refused)
    assert (error.code, error.reason) == (code_pb2.UNAVAILABLE, "NOT_OWNER")
    assert error.not_owner == owner
    assert error.message == "engine 'pod-1' at 10.0.0.1:7443 has cell 'north'"
    assert not as_error(unavailable("closing")).HasField("not_owner")
