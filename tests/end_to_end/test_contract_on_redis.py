"""The contract over a real channel once more, where cells are in Redis and commits take a while."""

import inspect
from collections.abc import Iterator

import pytest

from tests.end_to_end import (
    test_contract_events,
    test_contract_offers,
    test_contract_retries,
    test_contract_routing,
    test_contract_session,
    test_contract_streams,
)
from tests.end_to_end.redis_servers import replicated
from tests.end_to_end.serving import Served, start

pytestmark = pytest.mark.needs_redis


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """A server whose commits wait for a replica, in the place of the one that keeps nothing."""
    folder = tmp_path_factory.mktemp("redis")
    with replicated(folder, 1) as (primary, _):
        served = start(folder, "--log", primary.url, "--dev")
        try:
            yield served.until_ready()
        finally:
            served.kill()


# Those tests that are content with a server they share.
for _module in (
    test_contract_events,
    test_contract_offers,
    test_contract_retries,
    test_contract_routing,
    test_contract_session,
    test_contract_streams,
):
    for _name, _test in vars(_module).items():
        if _name.startswith("test_") and "client" in inspect.signature(_test).parameters:
            assert _name not in globals(), _name
            globals()[_name] = _test
