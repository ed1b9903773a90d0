"""From a text that is published to a contact that is moved, in one process."""

import asyncio
from collections.abc import AsyncIterator, Callable

import pytest
from google.protobuf.empty_pb2 import Empty
from google.protobuf.message import Message
from prometheus_client import CollectorRegistry

from adapters.dispatch_loop import DispatchLoop
from adapters.errors import CallRefused, unavailable
from adapters.memory_log import MemoryLog, MemoryStore
from adapters.methods import Method
from adapters.policies.following import PolicyFollower
from adapters.policies.metrics import PolicyFamilies
from adapters.sensing.metrics import SensingFamilies
from adapters.sensing.thread import SensingThread
from adapters.turn import Call
from engine.commands import Command, UpsertQueue
from engine.engine import Engine
from engine.policies import OverridePolicy, PolicyKind, PolicyStage, PolicySwitch, PublishPolicy
from engine.sensing.sensing import SensingSettings
from engine.steering import ActivationCause, Shift, Steer, Subject
from headgate.v1.queue_pb2 import Queue
from headgate.v1.queue_service_pb2 import UpsertQueueRequest
from tests.adapters.started_cell import contact_in, routing, send, started
from tests.deciding.deciding_played import a_policy
from tests.policy.written import ROUTING

SUBJECTS = tuple(Subject(name, 1, "q") for name in "abd")
NO_DWELL = "guards: {dwell_on: 0s, dwell_off: 0s, share_max: 1.0, target: null}"
TEXT = a_policy("queue.waiting >= 1", more=NO_DWELL).replace("[a]}", "[q]}", 1)


class Followed:
    """A cell, what senses it, and what follows its policies."""

    def __init__(self, cell: DispatchLoop) -> None:
        self.cell = cell
        self.registry = CollectorRegistry()
        settings = SensingSettings(lateness_s=0)
        metrics = SensingFamilies(self.registry).of("default")
        self.thread = SensingThread(cell, settings, metrics)
        policies = PolicyFamilies(self.registry).of("default")
        self.follower = PolicyFollower(cell, policies, self.thread.hand)
        self.thread.policies = self.follower

    async def start(self) -> None:
        """Begin."""
        await self.follower.follow()
        self._task = asyncio.create_task(self.follower.run())
        await self.thread.start()

    async def stop(self) -> None:
        """End."""
        self._task.cancel()
        await self.thread.stop()

    async def do(self, command: Command) -> None:
        """Run a command of the engine."""
        future: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()

        def answer(reply: bytes | CallRefused) -> None:
            if isinstance(reply, CallRefused):
                future.set_exception(reply)
            else:
                future.set_result(reply)

        def run(engine: Engine, request: Message, now_ms: int) -> Message:
            engine.apply(command, now_ms)
            return request

        self.cell.submit(Call(Method("", "", Empty, run), Empty(), answer, lambda: True))
        await asyncio.wait_for(future, 10)

    async def publish(self, text: str, name: str = "surge") -> None:
        """Put a text into force."""
        kind = PolicyKind.ROUTING_POLICY if "Routing" in text else PolicyKind.OVERFLOW_POLICY
        await self.do(PublishPolicy(name, kind=kind, text=text))

    def metric(self, name: str, **labels: str) -> float | None:
        """Value of a metric."""
        return self.registry.get_sample_value(name, {"cell": "default", **labels})


async def until(is_so: Callable[[], bool]) -> None:
    """Wait until something is so."""
    async with asyncio.timeout(20):
        while not is_so():
            await asyncio.sleep(0.02)


async def made(store: MemoryStore | None = None) -> Followed:
    """Queues q and b, with whatever follows."""
    cell = await started(MemoryLog(store or MemoryStore()))
    for name in ("q", "b"):
        await send(cell, UpsertQueueRequest(queue=Queue(queue_id=name)))
    found = Followed(cell)
    await found.start()
    return found


@pytest.fixture
async def followed() -> AsyncIterator[Followed]:
    found = await made()
    yield found
    await found.stop()
    await found.cell.stop()


async def test_published_policy_moves_contacts_that_wait(followed: Followed) -> None:
    await send(followed.cell, routing("c1"))
    await followed.publish(TEXT)
    activations = followed.cell.engine.cell.activations
    await until(lambda: bool(activations.all()) and bool(activations.all()[0].counts))
    assert (await contact_in(followed.cell, "c1")).queue_id == "b"
    (activation,) = activations.all()
    assert activation.signals == (("queue.waiting", "1"),)
    labels = {"policy": "surge", "stage": "active", "cause": "enter"}
    assert followed.metric("headgate_activations_total", **labels) == 1
    assert followed.metric("headgate_policies_in_force", stage="active") == 1
    assert followed.metric("headgate_policy_failures_total") == 0


async def test_kill_switch_ends_it_and_holds(followed: Followed) -> None:
    await followed.publish(TEXT)
    await send(followed.cell, routing("c1"))
    activations = followed.cell.engine.cell.activations
    await until(lambda: bool(list(activations.open())))
    await followed.do(OverridePolicy(PolicySwitch.KILL))
    await send(followed.cell, routing("c2"))
    assert (await contact_in(followed.cell, "c2")).queue_id == "q", "at once, not with the second"
    await until(lambda: not list(activations.open()))
    await send(followed.cell, routing("c3"))
    assert (await contact_in(followed.cell, "c3")).queue_id == "q"


async def test_a_restart_goes_on_where_it_was() -> None:
    """The activation lasts, and is not begun twice."""
    store = MemoryStore()
    first = await made(store)
    await first.publish(TEXT)
    await send(first.cell, routing("c1"))
    await until(lambda: bool(list(first.cell.engine.cell.activations.open())))
    await first.stop()
    await first.cell.stop()
    again = await made(store)
    try:
        await send(again.cell, routing("c2"))
        activations = again.cell.engine.cell.activations
        await until(lambda: sum(activations.all()[0].counts.values()) >= 4)
        assert len(activations.all()) == 1
        assert (await contact_in(again.cell, "c2")).queue_id == "b"
    finally:
        await again.stop()
        await again.cell.stop()


async def test_contacts_are_classified_as_soon_as_a_policy_is_followed(followed: Followed) -> None:
    unnamed = routing("c1")
    unnamed.queue_id = ""
    with pytest.raises(CallRefused) as refused:
        await send(followed.cell, unnamed, "before")
    assert "RoutingPolicy" in str(refused.value)
    text = ROUTING.replace("general", "q").replace("spec:", "spec:\n  mode: auto")
    await followed.publish(text, "entry")
    await followed.follower.follow()
    await send(followed.cell, unnamed, "after")
    assert (await contact_in(followed.cell, "c1")).queue_id == "q"


async def test_a_text_that_cannot_be_read_does_nothing_and_is_told(followed: Followed) -> None:
    """As one of a later release might be, after a downgrade."""
    await followed.publish(TEXT.replace("queue.waiting", "queue.telepathy"))
    await followed.follower.follow()
    assert followed.metric("headgate_policies_unusable") == 1
    await send(followed.cell, routing("c1"))
    assert (await contact_in(followed.cell, "c1")).queue_id == "q"


def test_decisions_wait_until_those_of_the_second_before_have_been_brought() -> None:
    """However long that takes, and whether it is refused: each is brought once, in order."""
    cell = SlowCell()
    follower = PolicyFollower(cell, PolicyFamilies(CollectorRegistry()).of("default"))  # type: ignore[arg-type]
    for subject in SUBJECTS:
        shift = Shift(subject, PolicyStage.ACTIVE, is_on=True, cause=ActivationCause.ENTER)
        follower.steer(Steer((shift,), ()))
    assert len(cell.calls) == 1
    cell.calls.pop().answer(unavailable("the inbox was full"))
    follower.steer(Steer((), ()))
    assert cell.brought() == list(SUBJECTS)
    follower.steer(Steer((), ()))
    assert not cell.calls


class SlowCell:
    """A cell that has not run what it took."""

    def __init__(self) -> None:
        self.cell = "default"
        self.calls: list[Call] = []
        self.engine = Engine()

    def submit(self, call: Call) -> None:
        """Take a call."""
        self.calls.append(call)

    def brought(self) -> list[Subject]:
        """Run the one call that waits; returns whose activations it began."""
        engine = Engine()
        engine.apply(UpsertQueue("q"), 1)
        (call,) = self.calls
        call.method.run(engine, Empty(), 2)
        self.calls.clear()
        call.answer(b"")
        return [item.subject for item in engine.cell.activations.open()]
