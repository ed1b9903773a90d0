"""What commands on policies must satisfy on their own."""

import re
from typing import Final

from engine.limits import NEVER_MS
from engine.policies import (
    POLICY_NAME,
    TEXT_BYTES_MAX,
    DeleteDraft,
    OverridePolicy,
    PolicyKind,
    PolicyStage,
    PolicySwitch,
    PublishPolicy,
    PutDraft,
    RetirePolicy,
    RollbackPolicy,
)
from engine.refusals import one_of
from engine.routing.checks import Checks

_NAME: Final = re.compile(POLICY_NAME)
_NAME_EXPECTED: Final = "1 to 64 of a-z, 0-9 and -, first and last no -"
_VERSION_MAX: Final = 2**31 - 1


def put_draft(checks: Checks, command: PutDraft) -> None:
    """Rules of a draft."""
    _name(checks, "name", command.name)
    checks.member("kind", command.kind, PolicyKind)
    _text(checks, command.text)
    checks.name("author", command.author, may_be_empty=True)


def delete_draft(checks: Checks, command: DeleteDraft) -> None:
    """Rules of a draft's deletion."""
    _name(checks, "name", command.name)


def publish(checks: Checks, command: PublishPolicy) -> None:
    """Rules of putting a version into force."""
    _name(checks, "name", command.name)
    checks.number("version", command.version, 0, _VERSION_MAX)
    if not isinstance(command.stage, PolicyStage) or command.stage is PolicyStage.NONE:
        checks.fail("stage", command.stage, one_of(PolicyStage))
    elif command.stage is PolicyStage.CANARY:
        if not (0 < command.share <= 1):
            checks.fail("share", command.share, "above 0 to 1")
    elif command.share != 0:
        checks.fail("share", command.share, "0 but of a canary")
    if command.text:
        _text(checks, command.text)
        if command.version:
            checks.fail("version", command.version, "0 where there is a text")
        if not isinstance(command.kind, PolicyKind) or command.kind is PolicyKind.NONE:
            checks.fail("kind", command.kind, one_of(PolicyKind))
    _who_and_why(checks, command)


def rollback(checks: Checks, command: RollbackPolicy) -> None:
    """Rules of taking a step back."""
    _name(checks, "name", command.name)
    checks.number("version", command.version, 0, _VERSION_MAX)
    _who_and_why(checks, command)


def retire(checks: Checks, command: RetirePolicy) -> None:
    """Rules of taking a policy out of force."""
    _name(checks, "name", command.name)
    _who_and_why(checks, command)


def override(checks: Checks, command: OverridePolicy) -> None:
    """Rules of what is said of policies."""
    if not isinstance(command.what, PolicySwitch) or command.what is PolicySwitch.NONE:
        checks.fail("what", command.what, one_of(PolicySwitch))
    stands = command.what in (PolicySwitch.KILL, PolicySwitch.TAKE_BACK)
    if command.policy or not stands:
        _name(checks, "policy", command.policy)
    checks.name("queue_id", command.queue_id, may_be_empty=True)
    if stands and command.until_ms:
        checks.fail("until_ms", command.until_ms, "0: it stands until it is taken back")
    checks.number("until_ms", command.until_ms, 0, NEVER_MS)
    _who_and_why(checks, command)


def _name(checks: Checks, field: str, name: str) -> None:
    if not _NAME.fullmatch(name):
        checks.fail(field, name, _NAME_EXPECTED)


def _text(checks: Checks, text: str) -> None:
    size = len(text.encode(errors="surrogatepass"))
    if not (0 < size <= TEXT_BYTES_MAX):
        checks.fail("text", f"{size:,} bytes", f"1 to {TEXT_BYTES_MAX:,} bytes")
    elif "\0" in text or any("\ud800" <= sign <= "\udfff" for sign in text):
        checks.fail("text", text, "text that has an encoding in UTF-8, without NUL")


def _who_and_why(
    checks: Checks, command: PublishPolicy | RollbackPolicy | RetirePolicy | OverridePolicy
) -> None:
    checks.name("author", command.author, may_be_empty=True)
    checks.name("reason", command.reason, may_be_empty=True)
