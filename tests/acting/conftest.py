"""Whole numbers at the edge of their types are part of the arithmetic of bits."""

from collections.abc import Iterator

import numpy as np
import pytest


@pytest.fixture(autouse=True)
def _wrapping_words() -> Iterator[None]:
    """Let words wrap around, as compiled code does."""
    with np.errstate(over="ignore"):
        yield
