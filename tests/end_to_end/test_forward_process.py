"""`headgate forward` as a process: probes, metrics, logs, signals, and why it leaves."""

import asyncio
import json
import re
import signal
import time
from typing import NamedTuple

import pytest
from prometheus_client.parser import text_string_to_metric_families

from headgate.client import Client
from tests.adapters.webhook_endpoint import (
    CERTIFICATE,
    Reply,
    StandInEndpoint,
    answering,
    own_tls,
)
from tests.end_to_end.floor import route
from tests.end_to_end.forwarders import SECRET, WITHIN_S, Forward, Place, in_thread


async def test_metrics_and_probes_tell_how_it_goes(
    engine: tuple[str, Client], forward: Forward
) -> None:
    """Dashboards and orchestrators ask the forwarder itself."""
    address, _ = engine
    endpoint = StandInEndpoint(*[Reply(503, {"retry-after": "2"})] * 2)
    async with answering(endpoint) as port:
        forwarder = await asyncio.to_thread(forward(address, port, "--from-beginning").until_ready)
        trouble = (503, "the endpoint does not take deliveries: 503\n")
        await in_thread(lambda: forwarder.get("/readyz") == trouble, "trouble")
        assert await asyncio.to_thread(forwarder.get, "/healthz") == (200, "ok\n")
        await in_thread(lambda: forwarder.get("/readyz")[0] == 200, "readiness")
        _, page = await asyncio.to_thread(forwarder.get, "/metrics")
    values = {
        (sample.name, *sample.labels.values()): sample.value
        for family in text_string_to_metric_families(page)
        for sample in family.samples
    }
    assert values["headgate_forward_events_total",] == 1
    assert values["headgate_forward_deliveries_total", "delivered"] == 1
    assert values["headgate_forward_retries_total", "503"] == 2
    assert values["headgate_forward_last_success_timestamp_seconds",] > time.time() - 60
    assert ("headgate_log_lines_dropped_total",) in values
    assert any(name == "headgate_build_info" for name, *_ in values)


async def test_logs_tell_nothing_private(
    engine: tuple[str, Client], place: Place, forward: Forward
) -> None:
    """Neither secrets, nor events, nor the path of the URL; but that all may read the secret."""
    address, client = engine
    place.secret_file.chmod(0o644)
    endpoint = StandInEndpoint(Reply(500), Reply(404))
    async with answering(endpoint) as port:
        forwarder = forward(address, port, "--from-beginning", "--log-level", "debug")
        await route(client, "q", "somebody-by-name")
        assert await asyncio.to_thread(forwarder.exit_code) == 8
    told = forwarder.told()
    for private in (SECRET, "somebody-by-name", "/hook", "v1,"):
        assert private not in told
    events = {str(line["event"]): line for line in forwarder.log()}
    assert events["secret_file_is_public"]["path"] == str(place.secret_file)
    assert "refuses a delivery" in str(events["leaving"]["error"])
    assert events["forwarding"]["to"] == f"http://127.0.0.1:{port}"


async def test_cursor_that_the_log_does_not_reach_is_a_choice(
    engine: tuple[str, Client], place: Place, forward: Forward
) -> None:
    """Nobody learns of a gap by chance: the process ends, or was told to go on and says so."""
    address, _ = engine
    lost = {"version": 1, "cell": "default", "cursor": "999.1", "sending": ""}
    lost["filter"] = "e3b0c44298fc1c14"
    place.cursor_file.write_text(json.dumps(lost))
    endpoint = StandInEndpoint()
    async with answering(endpoint) as port:
        forwarder = forward(address, port)
        assert await asyncio.to_thread(forwarder.exit_code) == 7
        assert "lies beyond" in str(forwarder.log()[-1]["error"])
        assert place.progress()["cursor"] == "999.1"
        forwarder = forward(address, port, "--skip-lost")
        await endpoint.has_taken(1, WITHIN_S)
        await in_thread(lambda: place.progress()["cursor"] == "1.1", "the oldest event")
        assert await asyncio.to_thread(forwarder.terminate) == 0
    (line,) = [line for line in forwarder.log() if line["event"] == "events_lost"]
    assert (line["after"], line["before"]) == ("999.1", "1.1")


async def test_what_keeps_a_forwarder_from_its_work_is_told_with_its_exit_code(
    engine: tuple[str, Client], place: Place, forward: Forward
) -> None:
    """Orchestrators decide by the code whether to start it again, people by the words."""
    address, _ = engine
    endpoint = StandInEndpoint(Reply(410))
    async with answering(endpoint) as port:
        other = ("--cursor-file", str(place.folder / "other"))
        unknown_cell = forward(address, port, "--cell", "nowhere", *other)
        assert await asyncio.to_thread(unknown_cell.exit_code) == 3
        assert "NOT_FOUND" in unknown_cell.told()
        gone = forward(address, port, "--from-beginning")
        await in_thread(lambda: place.progress()["cursor"], "a beginning")
        assert await asyncio.to_thread(gone.exit_code) == 8
        holder = forward(address, port)
        await asyncio.to_thread(holder.until_ready)
        held = forward(address, port)
        assert await asyncio.to_thread(held.exit_code) == 3
        assert "is held by another process" in held.told()
        taken = f"127.0.0.1:{holder.metrics_port}"
        blocked = forward(address, port, "--metrics-address", taken, *other)
        assert await asyncio.to_thread(blocked.exit_code) == 3
        assert f"cannot listen on {taken}" in blocked.told()
        assert await asyncio.to_thread(holder.terminate) == 0
        place.cursor_file.write_text("{")
        damaged = forward(address, port)
        assert await asyncio.to_thread(damaged.exit_code) == 3
        assert "is damaged. Put a copy in its place" in damaged.told()
    for served in (unknown_cell, gone, held, blocked, damaged):
        assert "Traceback" not in served.told()


async def test_dead_letter_that_cannot_be_kept_ends_the_forwarder(
    engine: tuple[str, Client], place: Place, forward: Forward
) -> None:
    """A full disk must not make of "kept for later" a "lost"."""
    address, _ = engine
    endpoint = StandInEndpoint(Reply(422))
    async with answering(endpoint) as port:
        keeping = ("--on-refusal", "dead-letter", "--dead-letter-file", "/dev/full")
        forwarder = forward(address, port, "--from-beginning", *keeping)
        assert await asyncio.to_thread(forwarder.exit_code) == 3
    assert "dead-letter file /dev/full cannot be written: No space left" in forwarder.told()
    assert place.progress()["cursor"] == "0"


async def test_events_leave_encrypted_to_an_authority_that_was_named(
    engine: tuple[str, Client], place: Place, forward: Forward
) -> None:
    """Within a company certificates come from its own authority."""
    address, _ = engine
    endpoint = StandInEndpoint()
    async with answering(endpoint, own_tls()) as port:
        url = f"https://127.0.0.1:{port}/"
        forwarder = forward(address, port, "--from-beginning", "--to", url)
        await in_thread(lambda: '"why":"tls"' in forwarder.told(), "a refusal to send")
        assert await asyncio.to_thread(forwarder.terminate) == 0
        assert endpoint.taken == []
        forward(address, port, "--to", url, "--ca-file", str(CERTIFICATE))
        await endpoint.has_taken(1, WITHIN_S)


class Stop(NamedTuple):
    """How a forwarder is stopped whose delivery is under way, and what comes of it."""

    grace_s: str
    is_answered: bool
    signals: int
    code: int
    cursor: str


@pytest.mark.parametrize(
    "stop",
    [
        Stop("60", True, 1, 0, "1.1"),  # the answer comes within the grace
        Stop("0.2", False, 1, 0, "0"),  # it does not
        Stop("60", False, 2, 143, "0"),  # and somebody does not want to wait
    ],
)
async def test_stop_lets_the_attempt_under_way_end_within_the_grace(
    engine: tuple[str, Client], place: Place, forward: Forward, stop: Stop
) -> None:
    """Neither cut off too soon nor waited for too long; a second signal ends it at once."""
    address, _ = engine
    release = asyncio.Event()
    endpoint = StandInEndpoint(Reply(before=release.wait))  # type: ignore[arg-type]
    async with answering(endpoint) as port:
        forwarder = forward(address, port, "--from-beginning", "--grace-s", stop.grace_s)
        await endpoint.has_taken(1, WITHIN_S)
        for _ in range(stop.signals):
            forwarder.process.send_signal(signal.SIGTERM)
            await in_thread(lambda: "stopping" in forwarder.told(), "stopping")
        if stop.is_answered:
            release.set()
        assert await asyncio.to_thread(forwarder.exit_code) == stop.code
        release.set()
    assert place.progress()["cursor"] == stop.cursor


def test_help_names_every_exit_code() -> None:
    """Whoever writes the unit file reads --help."""
    from adapters.exit_code import ExitCode
    from adapters.forward_command import forward as command

    told = re.sub(r"\s+", " ", command.help or "")
    codes = {
        int(code) for code in re.findall(r"(?<!\+ )\b(\d) [a-z]", told.partition("Exit codes:")[2])
    }
    assert codes == {code.value for code in ExitCode} - {4, 5, 6, 9}
