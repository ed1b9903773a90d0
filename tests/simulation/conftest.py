"""Random numbers are hashes: words of 64 bits wrap around, of which NumPy warns in plain Python."""

from collections.abc import Iterator

import numpy as np
import pytest


@pytest.fixture(autouse=True)
def _wrapping_words() -> Iterator[None]:
    """Let words wrap around, as compiled code does."""
    with np.errstate(over="ignore"):
        yield
