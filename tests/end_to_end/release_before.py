"""The release before this one, from the history of the checkout: the start of an upgrade."""

import subprocess
import sys
from pathlib import Path
from typing import Final

from tests.end_to_end.serving import ROOT

# The last commit whose rows have schema 7.
COMMIT: Final = "f02e65a"


def checked_out(folder: Path) -> Path | None:
    """Its source in a folder; None where the history does not reach so far."""
    place = folder / "before"
    known = subprocess.run(
        ("git", "cat-file", "-e", f"{COMMIT}^{{commit}}"),
        cwd=ROOT, check=False, capture_output=True,
    )  # fmt: skip
    if known.returncode:
        return None
    place.mkdir()
    archive = subprocess.run(("git", "archive", COMMIT), cwd=ROOT, check=True, capture_output=True)
    subprocess.run(("tar", "-x"), cwd=place, check=True, input=archive.stdout)
    # Stubs of its own contract.
    subprocess.run(
        (sys.executable, "proto/generate_stubs.py"), cwd=place, check=True, capture_output=True
    )
    return place
