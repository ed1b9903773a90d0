"""Commands on policies as people write them in transcripts."""

from collections.abc import Callable

from engine.policies import (
    DeleteDraft,
    OverridePolicy,
    PolicyCommand,
    PolicyKind,
    PolicyStage,
    PolicySwitch,
    PublishPolicy,
    PutDraft,
    RetirePolicy,
    RollbackPolicy,
)

Words = dict[str, str]


def _draft(name: str, words: Words) -> PolicyCommand:
    return PutDraft(
        name,
        PolicyKind.OVERFLOW_POLICY,
        words.pop("text"),
        words.pop("author", ""),
        words.pop("new", "yes") == "yes",
        words.pop("etag", ""),
    )


def _publish(name: str, words: Words) -> PolicyCommand:
    text = words.pop("text", "")
    return PublishPolicy(
        name,
        int(words.pop("version", "0")),
        PolicyStage[words.pop("stage", "active").upper()],
        float(words.pop("share", "0")),
        reason=words.pop("reason", ""),
        etag=words.pop("etag", ""),
        kind=PolicyKind.OVERFLOW_POLICY if text else PolicyKind.NONE,
        text=text,
    )


def _rollback(name: str, words: Words) -> PolicyCommand:
    version = int(words.pop("version", "0"))
    return RollbackPolicy(name, version, reason=words.pop("reason", ""))


def _override(name: str, words: Words) -> PolicyCommand:
    return OverridePolicy(
        PolicySwitch[words.pop("to").upper()],
        "" if name == "all" else name,
        words.pop("queue", ""),
        int(words.pop("until", "0")),
        reason=words.pop("reason", ""),
    )


POLICY_COMMANDS: dict[str, Callable[[str, Words], PolicyCommand]] = {
    "draft": _draft,
    "delete_draft": lambda name, words: DeleteDraft(name, words.pop("etag", "")),
    "publish": _publish,
    "rollback": _rollback,
    "retire": lambda name, words: RetirePolicy(name, reason=words.pop("reason", "")),
    "override": _override,
}
