"""What is passed on to the engine that has a cell, and what never is."""

from collections.abc import Sequence
from typing import Any

import pytest
from google.rpc import code_pb2
from prometheus_client import CollectorRegistry

from adapters.errors import CallRefused, not_owner, unavailable
from adapters.placement.metrics import PlacementMetrics
from adapters.placement.relay import Relay
from adapters.settings import load
from headgate.v1.error_pb2 import NotOwner

NOBODY = NotOwner(cell="x", engine="two", address="127.0.0.1:1", epoch=2)
ASKED = ("headgate-relay", "1")


class Came:
    """A call as it came, with its metadata."""

    def __init__(self, metadata: Sequence[tuple[str, str]]) -> None:
        self._metadata = metadata

    def invocation_metadata(self) -> Sequence[tuple[str, str]]:
        """What came with it."""
        return self._metadata

    def time_remaining(self) -> float | None:
        """As long as the test waits."""
        return 5.0


async def told(
    settings: dict[str, object], metadata: Sequence[tuple[str, str]], refused: CallRefused
) -> CallRefused:
    """What a caller is told in the end of what this engine refuses."""
    loaded, _ = load({"placement": True, "log": "redis://h"} | settings, None, {})
    relay = Relay(loaded, PlacementMetrics(CollectorRegistry()))

    async def refuse(raw: bytes, context: object, cells: object) -> bytes:
        raise refused

    cells: Any = None
    with pytest.raises(CallRefused) as caught:
        await relay.around("/headgate.v1.X/Y", refuse)(b"", Came(metadata), cells)
    await relay.close()
    return caught.value


async def test_engine_that_does_not_answer_is_named() -> None:
    """The caller may try again: the cell will have another engine before long."""
    refused = await told({}, [ASKED], not_owner(NOBODY))
    assert (refused.code, refused.reason) == (code_pb2.UNAVAILABLE, "UNAVAILABLE")
    assert str(refused).startswith("engine 'two' at 127.0.0.1:1 does not answer: ")
    assert refused.retry_after_ms > 0


@pytest.mark.parametrize(
    ("settings", "metadata"),
    [
        ({}, []),  # nobody asks
        ({"relay": "off"}, [ASKED]),
        ({"placement": False}, [ASKED]),
        ({"relay": "on"}, [("headgate-relayed", "1")]),  # it was passed on already
        ({"relay": "on", "callers_file": __file__}, []),  # who calls, only a certificate can say
    ],
)
async def test_call_that_may_not_be_passed_on_is_refused(
    settings: dict[str, object], metadata: Sequence[tuple[str, str]]
) -> None:
    """The caller learns who has the cell."""
    assert (await told(settings, metadata, not_owner(NOBODY))).reason == "NOT_OWNER"


async def test_other_refusals_are_left_alone() -> None:
    """Nobody else would do any better."""
    refused = unavailable("closing")
    assert await told({"relay": "on"}, [ASKED], refused) is refused
