"""
`headgate forward` between a real engine and a receiver, with each of them killed at bad moments.
"""

import asyncio
import itertools
import json
import signal
from pathlib import Path

from headgate.client import Client
from tests.adapters.webhook_endpoint import Reply, StandInEndpoint, answering
from tests.end_to_end.conftest import Serve
from tests.end_to_end.floor import open_queue, route
from tests.end_to_end.forwarders import (
    WITHIN_S,
    Forward,
    Place,
    Receiver,
    all_events,
    come_and_go,
    in_thread,
)

KILLS = 6


async def more_handled(receiver: Receiver, count: int) -> None:
    """Wait until the receiver has handled so many deliveries more."""
    before = len(receiver.lines("done"))
    await in_thread(lambda: len(receiver.lines("done")) >= before + count, "more deliveries")


async def test_nothing_is_lost_or_told_twice_though_forwarders_are_killed(
    engine: tuple[str, Client], place: Place, receiver: Receiver, forward: Forward
) -> None:
    """Events arrive in the order of the log, and what comes again has the id it had."""
    address, client = engine
    enough = asyncio.Event()

    async def keep_busy() -> str:
        """A contact every few milliseconds until there were enough; the last one's id."""
        for number in itertools.count():
            await come_and_go(client, number, 1)
            if enough.is_set():
                return f"c{number}"
            await asyncio.sleep(0.005)
        raise AssertionError

    busy = asyncio.create_task(keep_busy())
    flags = ("--from-beginning", "--events-max", "3")
    for kill in range(KILLS):
        forwarder = forward(address, receiver.port, *flags)
        await more_handled(receiver, 5)
        # At a moment of its own each time.
        await asyncio.sleep(0.0013 * kill)
        forwarder.kill()
    enough.set()
    forward(address, receiver.port, *flags)
    expected = [event.cursor for event in await all_events(client, await busy)]
    await in_thread(lambda: len(receiver.cursors()) >= len(expected), "all events")
    assert receiver.cursors() == expected
    done = {line.split()[1] for line in receiver.lines("done")}
    assert {line.split()[1] for line in receiver.lines("again")} <= done


async def test_delivery_that_was_handled_while_its_sender_died_is_known_again(
    engine: tuple[str, Client], place: Place, receiver: Receiver, forward: Forward
) -> None:
    """The worst moment: the receiver has done its work, and the sender cannot know."""
    address, client = engine
    forwarder = forward(address, receiver.port, "--from-beginning")
    await in_thread(lambda: receiver.cursors(), "the first event")
    receiver.process.send_signal(signal.SIGSTOP)
    await come_and_go(client, 0, 5)
    await in_thread(lambda: place.progress()["sending"], "a delivery under way")
    await asyncio.sleep(0.3)
    forwarder.kill()
    sending = place.progress()["sending"]
    receiver.process.send_signal(signal.SIGCONT)
    await in_thread(lambda: sending in receiver.cursors(), "the delivery of the dead")
    await come_and_go(client, 5, 5)
    forward(address, receiver.port, "--events-max", "2")
    expected = [event.cursor for event in await all_events(client, "c9")]
    await in_thread(lambda: len(receiver.cursors()) >= len(expected), "all events")
    assert receiver.cursors() == expected
    (again,) = receiver.lines("again")
    assert again.split()[1].startswith(f"default-{sending.replace('.', '-')}-")


async def test_forwarder_outlives_engine_and_receiver(
    serve: Serve, tmp_path: Path, place: Place, forward: Forward
) -> None:
    """Both are killed and come back; the forwarder neither ends nor loses an event."""
    flags = ("--durability", "normal", "--data-dir", str(tmp_path / "data"))
    first = serve(*flags)
    endpoint = StandInEndpoint(Reply(503), None)
    async with answering(endpoint) as port:
        forwarder = forward(first.address, port, "--from-beginning")
        async with Client(first.address) as client:
            await open_queue(client, "q")
            await come_and_go(client, 0, 3)
        await endpoint.has_taken(3, WITHIN_S)
        first.kill()
        second = serve(*flags, "--address", first.address)
        async with Client(second.address) as client:
            await come_and_go(client, 3, 3)
            expected = [event.cursor for event in await all_events(client, "c5")]
        await in_thread(lambda: place.progress()["cursor"] == expected[-1], "all delivered")
    assert forwarder.terminate() == 0
    told: dict[str, list[str]] = {}
    for taken in endpoint.taken:
        events = [event["cursor"] for event in json.loads(taken.body)["events"]]
        assert told.setdefault(taken.headers["webhook-id"], events) == events
    assert [cursor for events in told.values() for cursor in events] == expected


async def test_only_what_was_chosen_is_forwarded(
    engine: tuple[str, Client], place: Place, forward: Forward
) -> None:
    """Receivers are spared what they do not want; from now on, unless asked otherwise."""
    address, client = engine
    await come_and_go(client, 0, 2)
    await open_queue(client, "other")
    endpoint = StandInEndpoint()
    async with answering(endpoint) as port:
        kinds = ("--kinds", "contact_abandoned,contact_received", "--queue-id", "q")
        forwarder = forward(address, port, *kinds)
        await in_thread(lambda: place.progress()["cursor"], "a beginning")
        await route(client, "other", "elsewhere")
        await come_and_go(client, 2, 2)
        await in_thread(
            lambda: endpoint.taken and b'"c3"' in endpoint.taken[-1].body, "the last contact"
        )
        assert forwarder.terminate() == 0
    events = [event for taken in endpoint.taken for event in json.loads(taken.body)["events"]]
    assert {event["contact_id"] for event in events} == {"c2", "c3"}
    kinds_told = {event["kind"].removeprefix("EVENT_KIND_") for event in events}
    assert kinds_told <= {"CONTACT_ABANDONED", "CONTACT_RECEIVED"}
