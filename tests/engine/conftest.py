"""The option that writes golden transcripts anew."""

from collections.abc import Iterator
from contextlib import nullcontext

import pytest

from engine.kernels.boundary import COMPILED
from tests.engine.checked_columns import checked_columns


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add `--rewrite`; known when tests/engine or a file in it is named on the command line."""
    parser.addoption(
        "--rewrite",
        action="store_true",
        help="write the outputs of tests/scenarios anew; commit only what you understand",
    )


@pytest.fixture(autouse=True, scope="session")
def _checked_where_plain() -> Iterator[None]:
    """Where kernels are plain Python, hold them to the rule that compiled ones rely on."""
    with nullcontext() if COMPILED else checked_columns():
        yield
