"""The option that writes golden transcripts anew."""

import pytest


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add `--rewrite`; known when tests/engine or a file in it is named on the command line."""
    parser.addoption(
        "--rewrite",
        action="store_true",
        help="write the outputs of tests/scenarios anew; commit only what you understand",
    )
