"""Nothing that looks like a credential leaves in a log line, wherever it came from."""

import re
from collections.abc import MutableMapping
from typing import Final

# Our tokens but for their ids, JSON Web Tokens, bearer headers, private keys.
_SECRET: Final = re.compile(
    r"(hgt_[0-9a-f]{12})_[A-Za-z0-9_-]+"
    r"|eyJ[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]*"
    r"|(?i:(bearer)\s+[A-Za-z0-9._~+/-]{8,}=*)"
    r"|-----BEGIN [A-Z ]*PRIVATE KEY-----.*?(?:-----END [A-Z ]*PRIVATE KEY-----|\Z)",
    re.DOTALL,
)


def without_secrets(text: str) -> str:
    """A text as it may be shown."""
    return _SECRET.sub(lambda match: f"{match[1] or match[2] or ''}***", text)


def redact(
    _logger: object, _method: str, event: MutableMapping[str, object]
) -> MutableMapping[str, object]:
    """Take secrets out of the texts of a log line; a processor of structlog."""
    for name, value in event.items():
        if isinstance(value, str):
            event[name] = without_secrets(value)
    return event
