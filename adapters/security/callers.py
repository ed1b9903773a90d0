"""
Callers, and the file that lists them: one JSON object a line, lines that begin with # aside.

    {"name": "voice", "tenant": "acme", "roles": ["gateway"], "cells": ["default"],
     "token": "<id>:<SHA-256>", "until": "2027-06-01T00:00:00Z"}
    {"name": "crm", "tenant": "acme", "roles": ["reader"], "cells": ["*"],
     "certificate": "URI:spiffe://acme/crm"}

(each on one line). A certificate is known by one name in it: URI:, DNS: or, for old ones, CN:.
"""

import datetime
import json
import math
import re
import reprlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from adapters.security.roles import Role
from adapters.security.tokens import TokenHash, are_same, hash_of, parse_hash
from engine.refusals import BadConfiguration

ANY_CELL: Final = "*"
_NAME_BYTES_MAX: Final = 128
_FILE_BYTES_MAX: Final = 16_777_216
_SHOWN_CHARACTERS_MAX: Final = 80
_CERTIFICATE: Final = re.compile(r"(URI|DNS|CN):\S.*")


@dataclass(frozen=True, slots=True)
class Caller:
    """
    Who calls, as a credential proves it.

    Attributes
    ----------
    name
        Of the program or person, for logs and audit records.
    tenant
        On whose behalf.
    roles
        What it may do.
    cells
        Where it may do it; `ANY_CELL` stands for all.
    until_s
        When the credential ends, seconds since the Unix epoch.
    """

    name: str
    tenant: str
    roles: frozenset[Role]
    cells: frozenset[str]
    until_s: float = math.inf

    def may_use(self, cell: str) -> bool:
        """Whether a cell is among its own."""
        return cell in self.cells or ANY_CELL in self.cells


# Who calls where nobody is asked who they are.
ANYBODY: Final = Caller("", "", frozenset(Role), frozenset({ANY_CELL}))


def is_name(value: object) -> bool:
    """Whether something may be the name of a caller or of a tenant."""
    return (
        isinstance(value, str)
        and 0 < len(value.encode(errors="replace")) <= _NAME_BYTES_MAX
        and value.isprintable()
    )


def is_cells(value: object) -> bool:
    """Whether something is a list of cells."""
    return isinstance(value, list) and len(value) > 0 and all(map(is_name, value))


def _is_roles(value: object) -> bool:
    return isinstance(value, list) and len(value) > 0 and all(map(_is_role, value))


def _is_role(value: object) -> bool:
    return isinstance(value, str) and value in set(Role)


def _is_hash(value: object) -> bool:
    return isinstance(value, str) and parse_hash(value) is not None


def _is_certificate(value: object) -> bool:
    return isinstance(value, str) and _CERTIFICATE.fullmatch(value) is not None


def _is_time(value: object) -> bool:
    try:
        return isinstance(value, str) and datetime.datetime.fromisoformat(value).tzinfo is not None
    except ValueError:
        return False


_Check = tuple[Callable[[object], bool], str]
_NAME: Final[_Check] = (is_name, f"1 to {_NAME_BYTES_MAX} bytes that can be printed")
_REQUIRED: Final[Mapping[str, _Check]] = {
    "name": _NAME,
    "tenant": _NAME,
    "roles": (_is_roles, f"a list of some of {', '.join(Role)}"),
    "cells": (is_cells, 'a list of cells, or ["*"]'),
}
_OPTIONAL: Final[Mapping[str, _Check]] = {
    "token": (_is_hash, "the hash that `headgate token new` prints"),
    "certificate": (_is_certificate, "URI:..., DNS:... or CN:..."),
    "until": (_is_time, "a time with its zone, such as 2027-06-01T00:00:00Z"),
}


class Callers:
    """
    Everybody in a callers file.

    Parameters
    ----------
    by_token
        Callers with a token, by its id.
    by_certificate
        Callers with a certificate, by the name in it.
    """

    def __init__(
        self,
        by_token: Mapping[str, tuple[TokenHash, Caller]],
        by_certificate: Mapping[str, Caller],
    ) -> None:
        self._by_token = by_token
        self._by_certificate = by_certificate

    def __len__(self) -> int:
        return len(self._by_token) + len(self._by_certificate)

    def with_token(self, token: str) -> Caller | None:
        """Whose token it is; None for nobody's."""
        shown = hash_of(token)
        kept, caller = self._by_token.get(shown.token_id if shown else "", (None, None))
        return caller if shown and kept and are_same(shown, kept) else None

    def with_certificate(self, name: str) -> Caller | None:
        """Whose certificate has such a name; None for nobody's."""
        return self._by_certificate.get(name)


NO_CALLERS: Final = Callers({}, {})


def read_callers(path: Path) -> Callers:
    """
    Read a callers file.

    Raises
    ------
    BadConfiguration
        It cannot be read, or a line of it is wrong; names file, line and field.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise BadConfiguration(f"callers_file {path}", _why(error), "a readable file") from None
    if len(text) > _FILE_BYTES_MAX:
        raise BadConfiguration(f"callers_file {path}", len(text), f"at most {_FILE_BYTES_MAX:,}")
    by_token: dict[str, tuple[TokenHash, Caller]] = {}
    by_certificate: dict[str, Caller] = {}
    for number, line in enumerate(text.splitlines(), start=1):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        place = f"callers_file {path} line {number}"
        fields = fields_of(line, place)
        caller = _caller(fields)
        token, certificate = parse_hash(str(fields.get("token"))), str(fields.get("certificate"))
        if (token is not None and token.token_id in by_token) or certificate in by_certificate:
            raise BadConfiguration(place, caller.name, "each token and each certificate once")
        if token is not None:
            by_token[token.token_id] = (token, caller)
        else:
            by_certificate[certificate] = caller
    return Callers(by_token, by_certificate)


def fields_of(line: str, place: str) -> dict[str, object]:
    """
    The fields of a line, each checked; what stands for a token is never told.

    Raises
    ------
    BadConfiguration
        One is wrong, missing or unknown; `place` says where the line stands.
    """
    try:
        fields = json.loads(line)
    except (ValueError, RecursionError):
        fields = None
    if not isinstance(fields, dict):
        raise BadConfiguration(place, "something else", "one JSON object")
    for name, value in fields.items():
        is_right, expected = {**_REQUIRED, **_OPTIONAL}.get(name, (None, ""))
        if is_right is None:
            raise BadConfiguration(
                place, _Shown(name), f"no field but {', '.join({**_REQUIRED, **_OPTIONAL})}"
            )
        if not is_right(value):
            # What somebody took for a hash may be the token itself.
            shown = "something else" if name == "token" else _Shown(value)
            raise BadConfiguration(f"{place}: {name}", shown, expected)
    for name, (_, expected) in _REQUIRED.items():
        if name not in fields:
            raise BadConfiguration(f"{place}: {name}", None, expected)
    if ("token" in fields) == ("certificate" in fields):
        raise BadConfiguration(place, fields["name"], "either a token or a certificate")
    return fields


class _Shown:
    """As much of a value as is told, whatever its length and depth."""

    def __init__(self, value: object) -> None:
        self._value = value

    def __repr__(self) -> str:
        brief = reprlib.Repr()
        brief.maxstring = _SHOWN_CHARACTERS_MAX
        return brief.repr(self._value)


def _caller(fields: Mapping[str, object]) -> Caller:
    until = fields.get("until")
    roles, cells = fields["roles"], fields["cells"]
    assert isinstance(roles, list)
    assert isinstance(cells, list)
    return Caller(
        str(fields["name"]),
        str(fields["tenant"]),
        frozenset(map(Role, roles)),
        frozenset(cells),
        datetime.datetime.fromisoformat(str(until)).timestamp() if until else math.inf,
    )


def _why(error: Exception) -> str:
    return error.strerror or "no file" if isinstance(error, OSError) else "no UTF-8 text"
