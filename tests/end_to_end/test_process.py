"""The server as a process: probes, metrics, signals, and what keeps it from starting."""

import asyncio
import contextlib
import signal
import socket
import sqlite3
import time
from pathlib import Path
from typing import Any

import grpc
import grpc.aio
import pytest
from grpc_channelz.v1 import channelz_pb2, channelz_pb2_grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc
from prometheus_client.parser import text_string_to_metric_families

from headgate.client import Client
from headgate.v1.gateway_service_pb2 import ConnectRequest
from headgate.v1.routing_service_pb2 import RouteRequest
from tests.end_to_end.conftest import Serve
from tests.end_to_end.floor import VOICE, all_of, open_queue, refused, route, sign_in, told
from tests.end_to_end.serving import PLAIN, ROOT, Served, headgate

SERVING = health_pb2.HealthCheckResponse.SERVING
NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING
SERVICES = ("Agent", "Event", "Gateway", "Offer", "Queue", "Routing")
METRICS = {
    "grpc_server_started", "grpc_server_handled", "grpc_server_handling_seconds",
    "headgate_sessions", "headgate_loop_lag_seconds", "headgate_ready",
    "headgate_warm_up_seconds", "headgate_decision_seconds", "headgate_commit_seconds",
    "headgate_commit_group_calls", "headgate_events", "headgate_refusals",
    "headgate_repeated_requests", "headgate_shed_calls", "headgate_expired_calls",
    "headgate_commit_failures", "headgate_cell_reloads", "headgate_queue_waiting",
    "headgate_queue_offered", "headgate_queue_assigned", "headgate_queue_wrap_up",
    "headgate_queue_received", "headgate_queue_answered", "headgate_queue_answered_within",
    "headgate_queue_abandoned", "headgate_queue_short_abandoned", "headgate_queue_expired",
    "headgate_queue_rejected", "headgate_queue_completed", "headgate_agents",
    "headgate_open_contacts", "headgate_build_info", "headgate_cell_ready",
    "headgate_clock_ahead_seconds", "headgate_subscribers", "headgate_calls_in_flight",
    "headgate_streams", "headgate_refused_over_limit", "headgate_log_lines_dropped",
    "process_cpu_seconds", "process_open_fds", "process_resident_memory_bytes",
}  # fmt: skip


@pytest.fixture
def source() -> Path:
    """Started as anybody starts them, for that is tested here."""
    return ROOT


async def test_health_says_serving_for_every_service(client: Client) -> None:
    """Load balancers ask for one service or for the whole process."""
    stub = health_pb2_grpc.HealthStub(client.channel)
    for service in ("", *(f"headgate.v1.{name}Service" for name in SERVICES)):
        answer = await stub.Check(health_pb2.HealthCheckRequest(service=service), timeout=10)
        assert answer.status == SERVING
    call = stub.Check(health_pb2.HealthCheckRequest(service="headgate.v1.Nothing"), timeout=10)
    assert (await refused(call)).code == "NOT_FOUND"


async def last_word(watch: Any) -> str:
    """What a watcher of health hears next: a status, or the code that its stream ends with."""
    try:
        return str(health_pb2.HealthCheckResponse.ServingStatus.Name((await told(watch)).status))
    except grpc.aio.AioRpcError as error:
        return error.code().name


async def test_health_says_not_serving_once_the_process_closes(serve: Serve) -> None:
    """Whoever watches health turns away before calls begin to fail."""
    served = serve("--durability", "memory", "--grace-s", "1")
    async with Client(served.address) as client:
        stub = health_pb2_grpc.HealthStub(client.channel)
        watch = stub.Watch(health_pb2.HealthCheckRequest(), timeout=30)
        assert (await told(watch)).status == SERVING
        served.process.send_signal(signal.SIGTERM)
        # A client that gets no time reads the last message and the end together, and tells the end.
        assert await last_word(watch) in {"NOT_SERVING", "UNAVAILABLE"}
        watch.cancel()
    assert served.exit_code() == 0


async def reflected(address: str) -> set[str]:
    """Services that reflection names."""
    async with grpc.aio.insecure_channel(address) as channel:
        stub = reflection_pb2_grpc.ServerReflectionStub(channel)
        stream: Any = stub.ServerReflectionInfo(timeout=10)
        await stream.write(reflection_pb2.ServerReflectionRequest(list_services=""))
        response = await told(stream)
        stream.cancel()
        return {service.name for service in response.list_services_response.service}


async def test_reflection_and_channelz_are_off_unless_asked_for(
    server: Served, serve: Serve
) -> None:
    """A production port tells nothing about itself."""
    # The shared server runs with --dev, and without --channelz.
    assert {f"headgate.v1.{name}Service" for name in SERVICES} <= await reflected(server.address)
    plain = serve("--durability", "memory", "--channelz")
    # A stream that ends while its first message is on its way may also be reset, which is INTERNAL.
    assert (await refused(reflected(plain.address))).code in {"UNIMPLEMENTED", "INTERNAL"}
    for address, is_on in ((server.address, False), (plain.address, True)):
        async with grpc.aio.insecure_channel(address) as channel:
            stub = channelz_pb2_grpc.ChannelzStub(channel)
            call = stub.GetServers(channelz_pb2.GetServersRequest(), timeout=10)
            if is_on:
                assert len((await call).server) == 1
            else:
                assert (await refused(call)).code == "UNIMPLEMENTED"


async def test_metrics_page_holds_the_documented_metrics(
    server: Served, client: Client, name: str
) -> None:
    """Dashboards and alerts are written against these names, and the page parses."""
    await open_queue(client, name)
    await sign_in(client, f"{name}-a", name)
    await route(client, name)
    await route(client, name)
    await refused(route(client, f"{name}-none"))
    status, page = await asyncio.to_thread(server.get, "/metrics")
    assert status == 200
    families = {family.name: family for family in text_string_to_metric_families(page)}
    assert sorted(METRICS - families.keys()) == []
    assert all(families[metric].documentation for metric in METRICS)
    assert not any(name.endswith("_created") for name in families)
    of_queue = {
        metric: sample.value
        for metric, family in families.items()
        for sample in family.samples
        if sample.labels == {"cell": "default", "queue": name}
    }
    assert of_queue["headgate_queue_waiting"] == of_queue["headgate_queue_offered"] == 1
    assert of_queue["headgate_queue_received"] == 2
    handled = {
        (sample.labels["grpc_method"], sample.labels["grpc_code"]): sample.value
        for sample in families["grpc_server_handled"].samples
        if sample.name.endswith("_total")
    }
    assert handled["Route", "OK"] >= 2
    assert handled["Route", "NOT_FOUND"] >= 1


async def test_what_a_limit_refuses_is_counted(serve: Serve) -> None:
    """An alert on shedding must see every door that is shut, not the inbox alone."""
    limits = ("--set", "calls_in_flight_max=1", "--set", "streams_max=1")
    served = serve("--durability", "memory", *limits)
    async with Client(served.address) as client:
        await open_queue(client, "q")
        requests = [
            RouteRequest(request_id=f"r{number}", queue_id="q", channel=VOICE)
            for number in range(50)
        ]
        calls = [client.routing.Route(request, timeout=20) for request in requests]
        answers = await asyncio.gather(*calls, return_exceptions=True)
        refused_calls = sum(isinstance(answer, grpc.aio.AioRpcError) for answer in answers)
        stream = client.gateway.Connect(timeout=30)
        await stream.write(ConnectRequest())
        await asyncio.sleep(0.1)
        other = client.gateway.Connect(timeout=30)
        assert (await refused(told(other))).code == "RESOURCE_EXHAUSTED"
        page = (await asyncio.to_thread(served.get, "/metrics"))[1]
        stream.cancel()
    assert (
        f'headgate_refused_over_limit_total{{limit="calls_in_flight_max"}} {refused_calls}.0'
        in page
    )
    assert 'headgate_refused_over_limit_total{limit="streams_max"} 1.0' in page
    assert "headgate_streams 1.0" in page
    assert "headgate_calls_in_flight 0.0" in page


def test_probes_answer_while_the_process_serves(server: Served) -> None:
    """Alive and ready are two questions; any other page is not found."""
    assert server.get("/healthz") == (200, "ok\n")
    assert server.get("/readyz") == (200, "ok\n")
    assert server.get("/")[0] == 404


def test_probes_answer_while_another_client_dawdles(server: Served) -> None:
    """One stuck scraper must not make the orchestrator kill a healthy server."""
    with contextlib.closing(socket.create_connection(("127.0.0.1", server.metrics_port))):
        begun_s = time.monotonic()
        assert server.get("/healthz")[0] == 200
        assert time.monotonic() - begun_s < 2


async def test_sigterm_answers_calls_in_flight_and_exits_with_0(serve: Serve) -> None:
    """A rolling restart costs no caller its answer, and streams are told to go elsewhere."""
    served = serve("--durability", "memory", "--grace-s", "5")
    async with Client(served.address) as client:
        await open_queue(client, "q")
        stream = client.gateway.Connect(timeout=30)
        await stream.write(ConnectRequest())
        # Stopped while the calls are on their way: it finds them and the signal together.
        served.process.send_signal(signal.SIGSTOP)
        calls = [
            asyncio.ensure_future(
                client.routing.Route(
                    RouteRequest(request_id=f"r{number}", queue_id="q", channel=VOICE), timeout=20
                )
            )
            for number in range(50)
        ]
        await asyncio.sleep(0.3)
        served.process.send_signal(signal.SIGCONT)
        served.process.send_signal(signal.SIGTERM)
        begun_s = time.monotonic()
        answers = await asyncio.gather(*calls, return_exceptions=True)
        codes = {
            answer.code().name if isinstance(answer, grpc.aio.AioRpcError) else "OK"
            for answer in answers
        }
        # Those that came after the end of admission are told to try elsewhere; none is left alone.
        assert codes <= {"OK", "UNAVAILABLE"}
        assert (await refused(all_of(stream))).code == "UNAVAILABLE"
        assert await asyncio.to_thread(served.exit_code) == 0
        assert time.monotonic() - begun_s < 5
    events = [line["event"] for line in served.log()]
    assert events[-2:] == ["stopping", "stopped"]


async def test_sigterm_during_a_slow_call_waits_for_its_answer(
    serve: Serve, tmp_path: Path
) -> None:
    """A call that was taken in is answered though the process is already closing."""
    data = tmp_path / "data"
    served = serve("--durability", "full", "--data-dir", str(data), "--grace-s", "10")
    async with Client(served.address) as client:
        await open_queue(client, "q")
        # A stranger's transaction holds the commit up for as long as one may be held up.
        with contextlib.closing(sqlite3.connect(data / "default.sqlite")) as stranger:
            stranger.execute("BEGIN IMMEDIATE")
            request = RouteRequest(request_id="r", queue_id="q", channel=VOICE)
            call = asyncio.ensure_future(client.routing.Route(request, timeout=20))
            await asyncio.sleep(0.1)
            served.process.send_signal(signal.SIGTERM)
            await asyncio.sleep(0.05)
            stranger.execute("ROLLBACK")
        assert (await call).position == 1
    assert await asyncio.to_thread(served.exit_code) == 0


async def test_memory_of_a_lost_cell_is_not_served_on(serve: Serve, tmp_path: Path) -> None:
    """A process that another one has deposed leaves with a code of its own."""
    data = tmp_path / "data"
    flags = ("--durability", "normal", "--data-dir", str(data))
    first = serve(*flags)
    async with Client(first.address) as client:
        await open_queue(client, "q")
        # What an operator does who believes the first process dead.
        (data / "default.sqlite.lock").unlink()
        second = serve(*flags)
        found = await refused(
            client.routing.Route(
                RouteRequest(request_id="r", queue_id="q", channel=VOICE), timeout=10
            )
        )
        assert found.code == "UNAVAILABLE"
    assert await asyncio.to_thread(first.exit_code) == 4
    async with Client(second.address) as client:
        request = RouteRequest(request_id="r", queue_id="q", channel=VOICE)
        assert (await client.route(request)).position == 1


def test_port_in_use_is_told_and_exits_with_3(server: Served, tmp_path: Path) -> None:
    """The message names the address; whichever of the two ports it is."""
    taken = f"127.0.0.1:{server.metrics_port}"
    for flag, address in (("--address", server.address), ("--metrics-address", taken)):
        done = headgate("serve", *PLAIN, "--durability", "memory", flag, address)
        assert done.returncode == 3
        told = f"headgate: cannot listen on {address}: Address already in use"
        assert done.stderr.splitlines()[-1] == told


def test_data_folder_of_another_server_is_told_and_exits_with_3(
    serve: Serve, tmp_path: Path
) -> None:
    """Two servers over one folder would overwrite each other; the message says who holds it."""
    served = serve("--durability", "normal", "--data-dir", str(tmp_path / "data"))
    done = headgate("serve", *PLAIN, "--data-dir", str(tmp_path / "data"))
    assert done.returncode == 3
    last = done.stderr.splitlines()[-1]
    assert "default.sqlite: held by" in last
    assert str(served.process.pid) in last


def test_data_of_a_newer_version_is_told_and_exits_with_3(serve: Serve, tmp_path: Path) -> None:
    """A downgrade must not misread what a newer version wrote."""
    data = tmp_path / "data"
    serve("--durability", "normal", "--data-dir", str(data)).terminate()
    with contextlib.closing(sqlite3.connect(data / "default.sqlite")) as connection:
        connection.execute("UPDATE meta SET schema_version = 9999")
        connection.commit()
    done = headgate("serve", *PLAIN, "--data-dir", str(data))
    assert done.returncode == 3
    assert "9999" in done.stderr.splitlines()[-1]
    assert "later" in done.stderr.splitlines()[-1]


def test_data_folder_that_cannot_be_made_is_told_and_exits_with_3(tmp_path: Path) -> None:
    """A path through a file is the operator's mistake, not a traceback."""
    (tmp_path / "file").write_text("")
    done = headgate("serve", *PLAIN, "--data-dir", str(tmp_path / "file" / "data"))
    assert done.returncode == 3
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("arguments", "told_"),
    [
        (("--set", "inbox_max=0"), "flag --set inbox_max: inbox_max"),
        (("--set", "inbox_max=many"), "flag --set inbox_max: inbox_max"),
        (("--set", "inbox_max"), "flag --set: expected NAME=VALUE"),
        (("--set", "in_box=1"), "flag --set in_box: in_box"),
        (("--data-dir", ""), "flag --data-dir: data_dir"),
        (("--durability", "some"), "flag --durability: durability"),
        (("--grace-s", "-1"), "flag --grace-s: grace_s"),
        (("--address", "localhost"), "flag --address: address"),
        (("--address", ""), "flag --address: address"),
        (("--address", "127.0.0.1:70000"), "flag --address: address"),
        (("--cells", "a,a"), "flag --cells: cells"),
        (("--cells", "../a"), "flag --cells: cells"),
        (("--cells", ""), "flag --cells: cells"),
        (("--config", "/nowhere/headgate.toml"), "file /nowhere/headgate.toml"),
    ],
)
def test_setting_that_cannot_be_is_told_and_exits_with_2(
    arguments: tuple[str, ...], told_: str
) -> None:
    """The message names where the value came from and what was expected."""
    done = headgate("serve", *PLAIN, *arguments, "--print-config")
    assert done.returncode == 2
    assert told_ in done.stderr
    assert "expected" in done.stderr
    assert "Traceback" not in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_print_config_tells_each_setting_with_its_origin(tmp_path: Path) -> None:
    """Flag before environment before file before default, and the page says which it was."""
    file = tmp_path / "headgate.toml"
    file.write_text('inbox_max = 1\nstreams_max = 1\ngrace_s = 1.0\ncells = ["a", "b"]\n')
    environment = {"HEADGATE_INBOX_MAX": "2", "HEADGATE_STREAMS_MAX": "2"}
    done = headgate(
        "serve", "--config", str(file), "--set", "inbox_max=3", "--print-config", env=environment
    )
    assert done.returncode == 0
    lines = done.stdout.splitlines()
    assert "inbox_max = 3  (flag --set inbox_max)" in lines
    assert "streams_max = 2  (environment HEADGATE_STREAMS_MAX)" in lines
    assert f"grace_s = 1.0  (file {file})" in lines
    assert f"cells = a,b  (file {file})" in lines
    assert "durability = auto  (default)" in lines
