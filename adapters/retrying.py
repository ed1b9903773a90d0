"""When a delivery is tried again, and until when."""

import random
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """
    Bounds of what is done about an endpoint that does not answer well.

    Attributes
    ----------
    pause_first_s, pause_max_s
        Longest pause after the first attempt, doubled after each until the second is reached;
        seconds, > 0.
    retry_after_max_s
        Longest pause that an endpoint may ask for, seconds, ≥ 0.
    give_up_after_s
        Time from the first attempt after which none is begun any more, seconds, ≥ 0.
    """

    pause_first_s: float
    pause_max_s: float
    retry_after_max_s: float
    give_up_after_s: float

    def pause_s(
        self, attempts: int, retry_after_s: float, spent_s: float, chance: random.Random
    ) -> float | None:
        """
        Seconds until the next attempt; None to give up.

        The pause is drawn between 0 and its longest, so that forwarders that failed together do not
        come back together; what the endpoint asks for is added. The last attempt is made when the
        time is up.

        Parameters
        ----------
        attempts
            How many there were, one at least.
        retry_after_s
            What the last answer asked for; 0.0 for nothing.
        spent_s
            Time since the first attempt began.
        """
        left_s = self.give_up_after_s - spent_s
        if left_s <= 0:
            return None
        longest_s = min(self.pause_first_s * 2.0 ** min(attempts - 1, 64), self.pause_max_s)
        asked_s = min(retry_after_s, self.retry_after_max_s)
        return min(asked_s + chance.uniform(0.0, longest_s), left_s)
