"""What a folder holds of policies: which files, what is in each, and what is wrong with them."""

import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final, NamedTuple

from adapters.policy_source.checking import Checked, Remark, Source, kind_of
from adapters.policy_source.positions import read_documents
from adapters.policy_source.reading import FileProblem, LocatedPolicy
from engine.policies import TEXT_BYTES_MAX, PolicyKind
from engine.policy.checked import Place
from engine.policy.findings import Severity

_ENDS: Final = (".yaml", ".yml")
_FILE_BYTES_MAX: Final = 1_000_000
_SEPARATOR: Final = re.compile(r"^---(?=[ \t\r\n]|\Z)", re.MULTILINE)

Look = Mapping[str, tuple[int, int, int] | None]


class PolicyText(NamedTuple):
    """A policy of a file, with the text that is published."""

    name: str
    kind: PolicyKind
    text: str
    file: str


class FolderRead(NamedTuple):
    """
    What the files of a folder hold.

    Attributes
    ----------
    policies
        Of files without errors.
    remarks
        Warnings as well.
    broken
        Files that have errors.
    """

    policies: list[PolicyText]
    remarks: list[Remark]
    broken: frozenset[str]


def look_at(folder: Path) -> Look:
    """
    Files of policies in a folder by name, and which they are; links are followed, as Kubernetes
    replaces what it mounts by them.

    Raises
    ------
    OSError
        The folder cannot be read.
    """
    names = sorted(name for name in os.listdir(folder) if name.endswith(_ENDS) and name[0] != ".")
    return {name: _seen(folder / name) for name in names}


def _seen(path: Path) -> tuple[int, int, int] | None:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_ino, found.st_mtime_ns, found.st_size


def read_sources(folder: Path, names: Sequence[str]) -> tuple[list[Source], list[Remark]]:
    """Texts of files, and what is wrong with those that have none."""
    sources, remarks = [], []
    for name in names:
        path = folder / name
        try:
            with path.open("rb") as file:
                text = file.read(_FILE_BYTES_MAX + 1).decode()
        except (OSError, UnicodeDecodeError) as error:
            why = error.strerror if isinstance(error, OSError) else "no UTF-8 text"
            remarks.append(_whole(str(path), f"cannot be read: {why}"))
            continue
        sources.append(Source(str(path), text))
    return sources, remarks


def sorted_out(checked: Checked, sources: Sequence[Source], unread: Sequence[Remark]) -> FolderRead:
    """What files hold, as they were checked."""
    remarks = [*unread, *checked.remarks]
    policies: list[PolicyText] = []
    errors = {item.problem.file for item in remarks if item.severity is Severity.ERROR}
    for source in sources:
        if source.file in errors:
            continue
        found = [policy for policy in checked.policies if policy.file == source.file]
        pieces = texts_of(source.text)
        wrong = _wrong_pieces(source.file, pieces, found)
        remarks += wrong
        if not wrong:
            policies += [
                PolicyText(policy.name, kind_of(policy), piece, source.file)
                for policy, piece in zip(found, pieces, strict=True)
            ]
    errors = {item.problem.file for item in remarks if item.severity is Severity.ERROR}
    return FolderRead(policies, remarks, frozenset(errors))


def texts_of(text: str) -> list[str]:
    """Texts of the policies of a file, which `---` separates; what holds comments only is none."""
    pieces = [piece.removeprefix("\r").removeprefix("\n") for piece in _SEPARATOR.split(text)]
    return [piece for piece in pieces if any(read_documents(piece))]


def _wrong_pieces(
    file: str, pieces: Sequence[str], policies: Sequence[LocatedPolicy]
) -> list[Remark]:
    if len(pieces) != len(policies):
        return [_whole(file, "expected policies separated by ---")]
    return [
        _whole(
            file, f"policy {policy.name}: expected at most {TEXT_BYTES_MAX:,} bytes, got {size:,}"
        )
        for piece, policy in zip(pieces, policies, strict=True)
        if (size := len(piece.encode())) > TEXT_BYTES_MAX
    ]


def _whole(file: str, message: str) -> Remark:
    return Remark(Severity.ERROR, "", FileProblem(file, Place(1, 1), message, "", rule="file"))
