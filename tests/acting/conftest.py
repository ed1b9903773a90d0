"""What tests of acting share: a floor played, and words that wrap around."""

from collections.abc import Iterator

import numpy as np
import pytest

from tests.acting.desk_played import DeskPlayed
from tests.acting.two_cells import TwoCells
from tests.deciding.deciding_played import a_policy


@pytest.fixture(autouse=True)
def _wrapping_words() -> Iterator[None]:
    """Let words wrap around, as compiled code does."""
    with np.errstate(over="ignore"):
        yield


@pytest.fixture
def played() -> DeskPlayed:
    """Queues a and b, nobody there; what is on in a moves its contacts to b."""
    found = DeskPlayed()
    found.use(a_policy())
    return found


@pytest.fixture
def cells() -> TwoCells:
    """North, whose policy sends from its queue a to queue b of south, and south."""
    return TwoCells()
