"""One delivery to its end: made, refused, given up, or left because the process is to stop."""

import asyncio
import contextlib
import enum
import random
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

import structlog

from adapters.dead_letters import DeadLetters
from adapters.endpoint import Answer, Endpoint, Verdict
from adapters.forward_metrics import ForwardMetrics
from adapters.retrying import RetryPolicy
from adapters.webhook import Delivery

_log = structlog.get_logger(__name__)


class OnFailure(enum.Enum):
    """What to do about a delivery that cannot be made."""

    # Leave, with the delivery still to be made.
    STOP = "stop"
    # Keep it in a file, and go on with the next.
    DEAD_LETTER = "dead-letter"


@dataclass(frozen=True, slots=True)
class FailurePolicy:
    """
    What to do about deliveries that cannot be made.

    Attributes
    ----------
    on_refusal
        When the endpoint refuses, so that another attempt would be of no use.
    on_give_up
        When the endpoint did not take the delivery in time.
    dead_letters
        The file, where either asks for one.
    """

    on_refusal: OnFailure = OnFailure.STOP
    on_give_up: OnFailure = OnFailure.STOP
    dead_letters: DeadLetters | None = None


class EndpointFailed(Exception):
    """The endpoint does not take a delivery, which is still to be made."""


class Courier:
    """
    Brings deliveries to an endpoint, one at a time.

    Parameters
    ----------
    endpoint
        Where they go.
    retries
        When they are tried again.
    failures
        What becomes of those that cannot be made.
    metrics
        Told of every attempt and every end.

    Attributes
    ----------
    trouble
        Why the last attempt failed, while there is to be another; "" otherwise.
    """

    def __init__(
        self,
        endpoint: Endpoint,
        retries: RetryPolicy,
        failures: FailurePolicy,
        metrics: ForwardMetrics,
    ) -> None:
        self._endpoint = endpoint
        self._retries = retries
        self._failures = failures
        self._metrics = metrics
        self._chance = random.Random()
        self._stopping = asyncio.Event()
        self.trouble = ""

    def stop(self) -> None:
        """Begin no other attempt."""
        self._stopping.set()

    async def deliver(self, delivery: Delivery, on_trouble: Callable[[], Awaitable[None]]) -> bool:
        """
        Try a delivery until it is made or given up; False when stopped before that.

        Parameters
        ----------
        on_trouble
            Called before each pause.

        Raises
        ------
        EndpointFailed
            It cannot be made, and the process is not to go on without it.
        DeadLettersRefused
            It cannot be made, nor kept.
        """
        self._metrics.waiting_since_s = delivery.first_at_ms / 1_000
        answer = await self._settled(delivery, on_trouble)
        if answer is None:
            return False
        if answer.verdict is Verdict.DELIVERED:
            self._count(delivery)
        else:
            self._give_up(delivery, answer)
        self._metrics.waiting_since_s = 0.0
        return True

    async def _settled(
        self, delivery: Delivery, on_trouble: Callable[[], Awaitable[None]]
    ) -> Answer | None:
        """The last answer to a delivery; None when stopped before."""
        begun_s = time.monotonic()
        attempts = 0
        while True:
            attempts += 1
            with self._metrics.attempt_seconds.time():
                answer = await self._endpoint.post(delivery)
            self.trouble = ""
            if answer.verdict is not Verdict.TRY_AGAIN:
                return answer
            spent_s = time.monotonic() - begun_s
            pause_s = self._retries.pause_s(attempts, answer.retry_after_s, spent_s, self._chance)
            if pause_s is None:
                return answer
            self._tell_failure(delivery, answer, attempts, pause_s)
            await on_trouble()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._stopping.wait(), pause_s)
                return None

    def _tell_failure(
        self, delivery: Delivery, answer: Answer, attempts: int, pause_s: float
    ) -> None:
        self.trouble = answer.detail or answer.why
        self._metrics.retries.labels(answer.why).inc()
        _log.warning(
            "attempt_failed",
            webhook_id=delivery.webhook_id,
            attempts=attempts,
            why=answer.why,
            detail=answer.detail,
            again_in_s=round(pause_s, 3),
        )

    def _count(self, delivery: Delivery) -> None:
        now_s = time.time()
        self._metrics.deliveries.labels("delivered").inc()
        self._metrics.events.inc(delivery.event_count)
        self._metrics.lag_seconds.set(max(now_s - delivery.last_at_ms / 1_000, 0.0))
        self._metrics.last_success_seconds.set(now_s)
        _log.debug("delivered", webhook_id=delivery.webhook_id, events=delivery.event_count)

    def _give_up(self, delivery: Delivery, answer: Answer) -> None:
        """Keep a delivery for a person to look at, or leave it to be made by the next process."""
        is_late = answer.verdict is Verdict.TRY_AGAIN
        self._metrics.deliveries.labels("gave_up" if is_late else "refused").inc()
        what = f"delivery {delivery.webhook_id}, {answer.why} {answer.detail}".rstrip()
        if answer.verdict is Verdict.GONE:
            raise EndpointFailed(f"the endpoint says it is gone for good: {what}")
        asked = self._failures.on_give_up if is_late else self._failures.on_refusal
        if asked is OnFailure.STOP or self._failures.dead_letters is None:
            how = "did not take a delivery in time" if is_late else "refuses a delivery"
            raise EndpointFailed(f"the endpoint {how}: {what}")
        self._failures.dead_letters.append(delivery, answer.why)
        self._metrics.dead_letters.inc(delivery.event_count)
        _log.error(
            "dead_lettered",
            webhook_id=delivery.webhook_id,
            events=delivery.event_count,
            why=answer.why,
        )
