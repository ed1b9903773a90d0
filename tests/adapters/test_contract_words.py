"""Words of the wire that are texts: the contract lists every one that this version sends."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

from adapters.event_hub import BUFFERED_EVENTS_MAX
from adapters.security.refusals import REASONS
from engine.effects import Reason
from engine.refusals import Refusal

ROOT = Path(__file__).resolve().parent.parent.parent


def listed(file: str, field: str) -> list[str]:
    """Words of the list in the comment of a field."""
    text = (ROOT / "proto" / "headgate" / "v1" / file).read_text(encoding="utf-8")
    found = re.search(rf"((?: *//.*\n)+) *string {field} =", text)
    assert found is not None
    return re.findall(r"// - (\w+)(?: \(\w+\))?:", found[1])


def made_in_adapters() -> Iterator[str]:
    """Reasons of the refusals that adapters make themselves."""
    for path in sorted((ROOT / "adapters").glob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and ast.unparse(node.func) == "CallRefused":
                reason = node.args[1]
                if isinstance(reason, ast.Constant):
                    yield str(reason.value)


def test_every_reason_of_a_refusal_is_listed() -> None:
    """Programs decide by these words: one that the contract does not name helps nobody."""
    reasons = {item.name for item in Refusal if item} | {*made_in_adapters()} | REASONS
    assert {"OVERLOADED", "UNKNOWN_CELL", "TOO_FAR_BEHIND"} < reasons
    assert sorted(listed("error.proto", "reason")) == sorted(reasons)


def test_every_reason_of_an_event_is_listed() -> None:
    """Reports group by these words."""
    words = listed("event.proto", "reason")
    assert sorted(words) == sorted(item.name.lower() for item in Reason if item)


def test_events_that_may_wait_for_a_consumer_are_as_many_as_the_contract_says() -> None:
    """Whoever writes a consumer sizes its work by this number."""
    text = (ROOT / "proto" / "headgate" / "v1" / "event_service.proto").read_text(encoding="utf-8")
    assert f"for whom more than {BUFFERED_EVENTS_MAX:,} events wait" in text
