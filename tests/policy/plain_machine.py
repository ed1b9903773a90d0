"""The trigger machine as its description reads, from the whole history of one policy and queue."""

from dataclasses import dataclass, field

from engine.kernels.policy_steps import FORCED_OFF, FORCED_ON, FREE, FROZEN, KILLED, UNSCHEDULED
from engine.policy.trigger import GAP_MS, Cause
from engine.policy.values import Truth


@dataclass
class Settings:
    """What a document says, times in milliseconds."""

    enter_for: int = 0
    exit_for: int = 0
    dwell_on: int = 0
    dwell_off: int = 0
    cool_down: int = 0
    stale: str = "hold"
    stale_after: int = 15_000
    hold_for: int = 120_000
    has_exit: bool = True


@dataclass
class PlainMachine:
    """
    One policy for one queue.

    Attributes
    ----------
    met
        Moments at which the condition that counts was met, since it last was not.
    blind
        Moments at which nothing could be told, since something last could.
    """

    settings: Settings
    is_on: bool = False
    cause: Cause = Cause.NOTHING
    switched_at: int | None = None
    left_at: int | None = None
    met: list[int] = field(default_factory=list)
    blind: list[int] = field(default_factory=list)
    last: int | None = None

    def step(
        self, truths: tuple[Truth, Truth], age_ms: int, said: int, now: int, is_opposed: bool
    ) -> None:
        """One moment."""
        if self.last is not None and now - self.last > GAP_MS:
            self.met = []
        self.last = now
        if said != FREE:
            self._obey(said, now)
            return
        counts = self._counting(*truths)
        cannot_see = counts is Truth.ERROR or age_ms > self.settings.stale_after
        if cannot_see and self.settings.stale != "ignore":
            self.met = []
            self.blind.append(now)
            is_over = now - self.blind[0] >= self.settings.hold_for
            if self.is_on and (self.settings.stale == "exit" or is_over):
                blind = self.blind
                self._switch(False, Cause.STALE, now)
                self.blind = blind
                self.left_at = now
            return
        self.blind = []
        self.met = [*self.met, now] if counts is Truth.TRUE else []
        if not self.met:
            return
        held = now - self.met[0]
        since = None if self.switched_at is None else now - self.switched_at
        if self.is_on:
            assert since is not None
            if held >= self.settings.exit_for and since >= self.settings.dwell_on:
                self._switch(False, Cause.EXIT, now)
                self.left_at = now
            return
        is_rested = since is None or since >= self.settings.dwell_off
        is_cool = self.left_at is None or now - self.left_at >= self.settings.cool_down
        if held >= self.settings.enter_for and is_rested and is_cool and not is_opposed:
            self._switch(True, Cause.ENTER, now)

    def _counting(self, enter: Truth, leave: Truth) -> Truth:
        if not self.is_on:
            return enter
        if self.settings.has_exit:
            return leave
        return {Truth.TRUE: Truth.FALSE, Truth.FALSE: Truth.TRUE}.get(enter, Truth.ERROR)

    def _obey(self, said: int, now: int) -> None:
        match said:
            case 1:
                assert said == KILLED
                self._switch(False, Cause.KILL, now)
            case 2 | 3:
                assert said in (FORCED_OFF, FORCED_ON)
                self._switch(said == FORCED_ON, Cause.OVERRIDE, now)
            case 4:
                assert said == FROZEN
                self.met, self.blind = [], []
            case _:
                assert said == UNSCHEDULED
                self._switch(False, Cause.SCHEDULE, now)

    def _switch(self, is_on: bool, cause: Cause, now: int) -> None:
        self.met, self.blind = [], []
        if self.is_on is not is_on:
            self.is_on, self.cause, self.switched_at = is_on, cause, now
