"""
What callers are told when something is refused: one table from the engine's reasons to wire
statuses.
"""

from collections.abc import Sequence
from typing import Final

from google.protobuf import any_pb2, duration_pb2
from google.rpc import code_pb2, error_details_pb2, status_pb2

from engine.refusals import CommandRefused, Refusal, Violation
from headgate.v1 import error_pb2

DOMAIN: Final = "headgate"
# A status travels in trailers, which gRPC bounds at 8 KiB: a larger one reaches the caller as
# RESOURCE_EXHAUSTED, which is retried. The message goes twice, percent-encoded (up to 3 bytes for
# one) and within the status, and the status in base64.
_MESSAGE_BYTES_MAX: Final = 900
_VIOLATION_BYTES_MAX: Final = 2_000
assert (3 + 4 / 3) * _MESSAGE_BYTES_MAX + 4 / 3 * (_VIOLATION_BYTES_MAX + 512) < 8_192 - 512

# A cell that moved may be back before long, or the caller be led to another engine by chance.
_RETRY_NOT_OWNER_MS: Final = 100

# Refusal -> canonical code. A caller may retry RESOURCE_EXHAUSTED and UNAVAILABLE, after a while,
# with the same id.
CODES: Final[dict[Refusal, int]] = {
    Refusal.INVALID_FIELD: code_pb2.INVALID_ARGUMENT,
    Refusal.UNKNOWN_QUEUE: code_pb2.NOT_FOUND,
    Refusal.UNKNOWN_AGENT: code_pb2.NOT_FOUND,
    Refusal.UNKNOWN_CONTACT: code_pb2.NOT_FOUND,
    Refusal.UNKNOWN_SKILL: code_pb2.INVALID_ARGUMENT,
    Refusal.UNKNOWN_TAG: code_pb2.INVALID_ARGUMENT,
    Refusal.ILLEGAL_TRANSITION: code_pb2.FAILED_PRECONDITION,
    Refusal.OFFER_GONE: code_pb2.FAILED_PRECONDITION,
    Refusal.NOT_YOURS: code_pb2.PERMISSION_DENIED,
    Refusal.AGENT_HOLDS_CONTACTS: code_pb2.FAILED_PRECONDITION,
    Refusal.QUEUE_HOLDS_CONTACTS: code_pb2.FAILED_PRECONDITION,
    Refusal.QUEUE_HAS_AGENTS: code_pb2.FAILED_PRECONDITION,
    Refusal.ETAG_MISMATCH: code_pb2.ABORTED,
    Refusal.LIMIT_REACHED: code_pb2.RESOURCE_EXHAUSTED,
    Refusal.CLOCK_WENT_BACKWARDS: code_pb2.INTERNAL,
    Refusal.CONTACT_EXISTS: code_pb2.ALREADY_EXISTS,
    Refusal.AGENT_NOT_AVAILABLE: code_pb2.FAILED_PRECONDITION,
    Refusal.AGENT_HAS_NO_ROOM: code_pb2.FAILED_PRECONDITION,
    Refusal.QUEUE_IS_FALLBACK: code_pb2.FAILED_PRECONDITION,
    Refusal.CONSULTED_ALREADY: code_pb2.FAILED_PRECONDITION,
    Refusal.NOBODY_CONSULTED: code_pb2.FAILED_PRECONDITION,
    Refusal.UNKNOWN_PLAN: code_pb2.NOT_FOUND,
    Refusal.HISTORY_KNOWN: code_pb2.FAILED_PRECONDITION,
    Refusal.NO_OPEN_CHOICE: code_pb2.FAILED_PRECONDITION,
    Refusal.CHOICE_OPEN: code_pb2.FAILED_PRECONDITION,
    Refusal.RETURN_WINDOW_OVER: code_pb2.FAILED_PRECONDITION,
    Refusal.UNKNOWN_ACTIVATION: code_pb2.NOT_FOUND,
    Refusal.UNKNOWN_POLICY: code_pb2.NOT_FOUND,
    Refusal.UNKNOWN_VERSION: code_pb2.NOT_FOUND,
    Refusal.DRAFT_EXISTS: code_pb2.ALREADY_EXISTS,
    Refusal.VERSION_IN_FORCE: code_pb2.FAILED_PRECONDITION,
    Refusal.NOT_IN_FORCE: code_pb2.FAILED_PRECONDITION,
    Refusal.UNKNOWN_OVERRIDE: code_pb2.NOT_FOUND,
}


class CallRefused(Exception):
    """
    A call was refused before the engine, or by it, and nothing changed.

    Attributes
    ----------
    code
        Canonical gRPC status code.
    reason
        Fixed word for programs.
    violations
        Broken rules of the request.
    retry_after_ms
        When to try again, milliseconds; 0 for no hint.
    owner
        Who could do it instead; None where nobody is known.
    status
        What another engine has answered, to be passed back as it is; None where none was asked.
    """

    def __init__(
        self,
        code: int,
        reason: str,
        message: str,
        *,
        violations: Sequence[Violation] = (),
        retry_after_ms: int = 0,
    ) -> None:
        super().__init__(message)
        self.code = code
        self.reason = reason
        self.violations = violations
        self.retry_after_ms = retry_after_ms
        self.owner: error_pb2.NotOwner | None = None
        self.status: status_pb2.Status | None = None


def refused_by_engine(refused: CommandRefused) -> CallRefused:
    """The call's refusal for a command's."""
    return CallRefused(
        CODES[refused.reason], refused.reason.name, str(refused), violations=refused.violations
    )


def invalid(*violations: Violation) -> CallRefused:
    """Refusal of a request that is malformed before it is a command."""
    texts = [f"{item.field}: got {item.value}, expected {item.expected}" for item in violations]
    return CallRefused(
        code_pb2.INVALID_ARGUMENT, "INVALID_FIELD", "; ".join(texts), violations=violations
    )


def overloaded(what: str, retry_after_ms: int) -> CallRefused:
    """Refusal of work beyond what the process takes on."""
    return CallRefused(
        code_pb2.RESOURCE_EXHAUSTED, "OVERLOADED", what, retry_after_ms=retry_after_ms
    )


def unavailable(what: str, retry_after_ms: int = 1_000) -> CallRefused:
    """Refusal while the cell cannot commit."""
    return CallRefused(code_pb2.UNAVAILABLE, "UNAVAILABLE", what, retry_after_ms=retry_after_ms)


def failed(what: str) -> CallRefused:
    """Refusal of a call that met a bug of ours, and would meet it again."""
    return CallRefused(code_pb2.INTERNAL, "INTERNAL", what)


def not_owner(owner: error_pb2.NotOwner) -> CallRefused:
    """Refusal of what another engine could do; whoever cannot follow may try here again."""
    refused = CallRefused(
        code_pb2.UNAVAILABLE,
        "NOT_OWNER",
        f"engine {owner.engine!r} at {owner.address} has cell {owner.cell!r}",
        retry_after_ms=_RETRY_NOT_OWNER_MS,
    )
    refused.owner = owner
    return refused


def as_error(refused: CallRefused) -> error_pb2.Error:
    """The refusal inside a batch or a session frame."""
    return error_pb2.Error(
        code=refused.code,
        message=str(refused),
        reason=refused.reason,
        field_violations=[
            error_pb2.FieldViolation(field=item.field, description=_description(item))
            for item in refused.violations
        ],
        retry_after_ms=refused.retry_after_ms,
        not_owner=refused.owner,
    )


def as_status(refused: CallRefused) -> status_pb2.Status:
    """
    The refusal of a call, with ErrorInfo and, where they apply, BadRequest, NotOwner and RetryInfo;
    of many broken rules as many as trailers hold.
    """
    if refused.status is not None:
        return refused.status
    details = [_packed(error_details_pb2.ErrorInfo(reason=refused.reason, domain=DOMAIN))]
    if refused.violations:
        bad_request = error_details_pb2.BadRequest()
        for item in refused.violations:
            bad_request.field_violations.add(field=item.field, description=_description(item))
            if bad_request.ByteSize() > _VIOLATION_BYTES_MAX:
                del bad_request.field_violations[-1]
                break
        details.append(_packed(bad_request))
    if refused.owner is not None:
        details.append(_packed(refused.owner))
    if refused.retry_after_ms:
        delay = duration_pb2.Duration()
        delay.FromMilliseconds(refused.retry_after_ms)
        details.append(_packed(error_details_pb2.RetryInfo(retry_delay=delay)))
    message = str(refused).encode()
    if len(message) > _MESSAGE_BYTES_MAX:
        message = message[: _MESSAGE_BYTES_MAX - 3] + b"..."
    text = message.decode(errors="ignore")
    return status_pb2.Status(code=refused.code, message=text, details=details)


def _description(item: Violation) -> str:
    # What is wrong with a text is told at its place, without all of it.
    if not item.value:
        return item.expected
    return f"got {item.value}, expected {item.expected}"


def _packed(
    detail: error_details_pb2.ErrorInfo
    | error_details_pb2.BadRequest
    | error_details_pb2.RetryInfo
    | error_pb2.NotOwner,
) -> any_pb2.Any:
    packed = any_pb2.Any()
    packed.Pack(detail)
    return packed
