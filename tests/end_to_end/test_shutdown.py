"""The end of a process, and what makes it come: signals under load, lost files, lost logs."""

import asyncio
import json
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import grpc.aio
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc

from headgate.client import Client
from headgate.v1.routing_service_pb2 import RouteRequest
from tests.end_to_end.conftest import Serve
from tests.end_to_end.floor import VOICE, open_queue, refused, told
from tests.end_to_end.serving import PLAIN, ROOT, Served, headgate, start

SERVING = health_pb2.HealthCheckResponse.SERVING
NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING

EXIT_CELL_GONE = 9


@pytest.fixture
def source() -> Path:
    """Started as anybody starts them, for that is tested here."""
    return ROOT


async def test_sigterm_under_load_cancels_no_call(serve: Serve) -> None:
    """A caller retries UNAVAILABLE and gives up on CANCELLED: restarts must cost nobody."""
    served = serve("--durability", "memory", "--grace-s", "5")
    codes: Counter[str] = Counter()
    async with Client(served.address) as client:
        await open_queue(client, "q")

        async def call_on(caller: int) -> None:
            for number in range(1_000_000):
                request = RouteRequest(request_id=f"{caller}-{number}", queue_id="q", channel=VOICE)
                try:
                    await client.routing.Route(request, timeout=10)
                    codes["OK"] += 1
                except grpc.aio.AioRpcError as error:
                    codes[error.code().name] += 1
                    if served.process.poll() is not None:
                        return
                    await asyncio.sleep(0.001)

        callers = [asyncio.create_task(call_on(caller)) for caller in range(16)]
        await asyncio.sleep(0.5)
        served.process.send_signal(signal.SIGTERM)
        await asyncio.wait_for(asyncio.gather(*callers), 15)
    assert codes.keys() == {"OK", "UNAVAILABLE"}
    assert served.exit_code() == 0


async def test_open_health_and_reflection_streams_do_not_use_up_the_grace(serve: Serve) -> None:
    """A load balancer watches health for as long as it may; that is no call in flight."""
    served = serve("--durability", "memory", "--grace-s", "14", "--dev")
    async with Client(served.address) as client:
        health = health_pb2_grpc.HealthStub(client.channel)
        gone = health.Watch(health_pb2.HealthCheckRequest())
        assert (await told(gone)).status == SERVING
        gone.cancel()
        watch = health.Watch(health_pb2.HealthCheckRequest())
        assert (await told(watch)).status == SERVING
        stub = reflection_pb2_grpc.ServerReflectionStub(client.channel)
        stream = stub.ServerReflectionInfo()
        await stream.write(reflection_pb2.ServerReflectionRequest(list_services=""))
        assert (await told(stream)).list_services_response.service
        begun_s = time.monotonic()
        served.process.send_signal(signal.SIGTERM)
        assert (await told(watch)).status == NOT_SERVING
        assert (await refused(told(watch))).code == "UNAVAILABLE"
        assert (await refused(told(stream))).code == "UNAVAILABLE"
        assert await asyncio.to_thread(served.exit_code) == 0
    assert time.monotonic() - begun_s < 5


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_second_signal_ends_the_process_at_once(serve: Serve, number: signal.Signals) -> None:
    """Whoever asks twice does not want to wait for the grace."""
    served = serve("--durability", "memory")
    served.process.send_signal(number)
    while "stopping" not in served.told():
        time.sleep(0.005)
    served.process.send_signal(number)
    assert served.exit_code() == 128 + number
    assert served.log()[-1]["event"] == "forced"


async def test_data_folder_that_is_removed_ends_the_process(serve: Serve, tmp_path: Path) -> None:
    """Commits to a file without a name vanish with the process: nobody may believe in them."""
    data = tmp_path / "data"
    served = serve("--data-dir", str(data))
    async with Client(served.address) as client:
        await open_queue(client, "q")
    shutil.rmtree(data)
    assert await asyncio.to_thread(served.exit_code) == EXIT_CELL_GONE
    (leaving,) = [line for line in served.log() if line["event"] == "leaving"]
    assert leaving["level"] == "error"
    assert leaving["path"] == str(data / "default.sqlite")


async def test_data_file_that_is_replaced_ends_the_process(serve: Serve, tmp_path: Path) -> None:
    """A copy that is put in its place, a restored one say, is not what the process writes to."""
    data = tmp_path / "data"
    served = serve("--data-dir", str(data))
    copy = data / "copy"
    shutil.copy(data / "default.sqlite", copy)
    copy.rename(data / "default.sqlite")
    assert await asyncio.to_thread(served.exit_code) == EXIT_CELL_GONE


async def test_log_that_nobody_reads_any_more_costs_no_call() -> None:
    """A log shipper that crashes must not take the engine with it, at its end neither."""
    command = (sys.executable, "-m", "adapters.cli", "serve", *PLAIN, "--durability", "memory")
    process = subprocess.Popen(command, cwd=ROOT, stderr=subprocess.PIPE, text=True)
    assert process.stderr is not None
    try:
        ready = next(line for line in map(json.loads, process.stderr) if line["event"] == "ready")
        process.stderr.close()
        async with Client(ready["address"]) as client:
            await open_queue(client, "q")
        process.send_signal(signal.SIGTERM)
        assert await asyncio.to_thread(process.wait, 15) == 0
    finally:
        process.kill()
        process.wait()


def _last(served: Served, event: str) -> dict[str, object]:
    return [line for line in served.log() if line["event"] == event][-1]


def test_failed_start_says_why_and_with_which_exit_code(server: Served, tmp_path: Path) -> None:
    """Whoever reads only the log finds the reason there, and never a clean end that was none."""
    served = start(tmp_path, "--durability", "memory", "--address", server.address, name="second")
    assert served.exit_code() == 3
    failed = _last(served, "start_failed")
    assert failed["level"] == "error"
    assert failed["error"] == f"cannot listen on {server.address}: Address already in use"
    assert failed["exit_code"] == _last(served, "stopped")["exit_code"] == 3
    assert served.told().splitlines()[-1] == f"headgate: {failed['error']}"
    others = [line for line in served.told().splitlines() if not line.startswith("{")]
    assert len(others) == 1, "gRPC's own lines say less and look like a crash"


async def test_limit_below_the_data_is_a_setting_that_is_wrong(
    serve: Serve, tmp_path: Path
) -> None:
    """A lowered limit is told with its name, not as a traceback."""
    data = tmp_path / "data"
    served = serve("--data-dir", str(data))
    async with Client(served.address) as client:
        for name in "abc":
            await open_queue(client, name)
    assert served.terminate() == 0
    done = headgate("serve", "--data-dir", str(data), "--set", "queues_max=2")
    assert done.returncode == 2
    assert "limits.queues_max: expected at least 3" in done.stderr.splitlines()[-1]
    assert "Traceback" not in done.stderr


async def test_start_says_what_the_cells_hold(serve: Serve, tmp_path: Path) -> None:
    """The wrong folder shows in the first lines of the log, and so does data that is not used."""
    data = tmp_path / "data"
    first = serve("--data-dir", str(data))
    async with Client(first.address) as client:
        await open_queue(client, "q")
        request = RouteRequest(request_id="r", queue_id="q", channel=VOICE)
        await client.route(request)
    assert first.terminate() == 0
    second = serve("--data-dir", str(data))
    found = _last(second, "cell_loaded")
    assert (found["cell"], found["path"]) == ("default", str(data / "default.sqlite"))
    assert (found["queues"], found["agents"], found["sequence"]) == (1, 0, 2)
    assert found["contacts"]["queued"] == 1  # type: ignore[index]
    page = second.get("/metrics")[1]
    sizes = dict(line.split() for line in page.splitlines() if "_bytes{" in line)
    assert float(sizes['headgate_database_bytes{cell="default"}']) > 4_096
    assert float(sizes['headgate_wal_bytes{cell="default"}']) > 0
    assert second.terminate() == 0
    third = serve("--data-dir", str(data), "--durability", "memory")
    assert _last(third, "data_ignored")["path"] == str(data / "default.sqlite")
