"""Whether calls are taken, told in four places that may never disagree."""

import asyncio
import contextlib
import sqlite3
import urllib.error
from pathlib import Path

from grpc_health.v1 import health_pb2, health_pb2_grpc
from prometheus_client.parser import text_string_to_metric_families

from headgate.client import Client
from headgate.v1.routing_service_pb2 import RouteRequest
from tests.end_to_end.conftest import Serve
from tests.end_to_end.floor import VOICE, open_queue, refused, told
from tests.end_to_end.serving import Served

SERVING = health_pb2.HealthCheckResponse.SERVING
NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING


def gauges(served: Served) -> dict[str, float]:
    """The gauges of readiness, by name and cell."""
    families = text_string_to_metric_families(served.get("/metrics")[1])
    return {
        f"{sample.name}{sample.labels.get('cell', '')}": sample.value
        for family in families
        if family.name in ("headgate_ready", "headgate_cell_ready")
        for sample in family.samples
    }


async def test_cell_that_cannot_commit_is_not_ready_wherever_one_asks(
    serve: Serve, tmp_path: Path
) -> None:
    """Traffic is sent elsewhere until the cell is open again, and the probe names the cell."""
    data = tmp_path / "data"
    served = serve("--data-dir", str(data), "--cells", "default,other")
    async with Client(served.address) as client:
        await open_queue(client, "q")
        health = health_pb2_grpc.HealthStub(client.channel)
        watch = health.Watch(health_pb2.HealthCheckRequest(service="headgate.v1.RoutingService"))
        assert (await told(watch)).status == SERVING
        with contextlib.closing(sqlite3.connect(data / "default.sqlite")) as stranger:
            stranger.execute("BEGIN IMMEDIATE")
            request = RouteRequest(request_id="r", queue_id="q", channel=VOICE)
            found = await refused(client.routing.Route(request, timeout=20))
            assert found.code == "UNAVAILABLE"
            assert (await told(watch)).status == NOT_SERVING
            check = health.Check(health_pb2.HealthCheckRequest(), timeout=20)
            assert (await check).status == NOT_SERVING
            assert await asyncio.to_thread(served.get, "/readyz") == (
                503,
                "not open: cell default\n",
            )
            assert (await asyncio.to_thread(served.get, "/healthz"))[0] == 200
            assert await asyncio.to_thread(gauges, served) == {
                "headgate_ready": 0,
                "headgate_cell_readydefault": 0,
                "headgate_cell_readyother": 1,
            }
            stranger.execute("ROLLBACK")
        assert (await told(watch)).status == SERVING
        assert await asyncio.to_thread(served.get, "/readyz") == (200, "ok\n")
        assert set((await asyncio.to_thread(gauges, served)).values()) == {1}
        watch.cancel()


def test_closing_process_is_not_ready(serve: Serve) -> None:
    """A probe in the settling time must not send traffic to a process that holds it."""
    served = serve("--durability", "memory")
    served.process.terminate()
    seen = set()
    with contextlib.suppress(urllib.error.URLError, ConnectionError):
        while "stopping" not in served.told():
            pass
        while True:
            seen.add(served.get("/readyz"))
    assert seen <= {(503, "closing\n")}
    assert served.exit_code() == 0


async def test_watcher_that_leaves_does_not_silence_the_others(serve: Serve) -> None:
    """The servicer that comes with gRPC forgets all watchers when one goes."""
    served = serve("--durability", "memory")
    async with Client(served.address) as client:
        health = health_pb2_grpc.HealthStub(client.channel)
        watches = [health.Watch(health_pb2.HealthCheckRequest()) for _ in range(2)]
        for watch in watches:
            assert (await told(watch)).status == SERVING
        watches[0].cancel()
        await asyncio.sleep(0.1)
        served.process.terminate()
        assert (await told(watches[1])).status == NOT_SERVING
