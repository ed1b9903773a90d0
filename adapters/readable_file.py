"""Settings that name a file to be read."""

import os
from typing import Final

PEM_FILE: Final = "the path of a readable PEM file, or nothing"
READABLE_FILE: Final = "the path of a readable file, or nothing"


def readable(path: str) -> str:
    """
    A path as it is, for validators of settings.

    Raises
    ------
    ValueError
        It names something, and nothing that can be read.
    """
    if path and not os.access(path, os.R_OK):
        raise ValueError
    return path
