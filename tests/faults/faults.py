"""What may go wrong in a run, drawn from its seed: each run has some kinds of fault, not all."""

from dataclasses import dataclass
from enum import StrEnum
from random import Random

from adapters.memory_log import CommitStep


class CrashPoint(StrEnum):
    """
    Where a process ends, in the order of a turn; the steps are those that
    `adapters.dispatch_loop` numbers.
    """

    BEFORE_LOOK_UP = "step 1: before a request id is looked up"
    BEFORE_RUN = "step 2: before a command runs"
    AFTER_RUN = "step 2: after a command ran"
    BEFORE_COMMIT = "step 3: sealed, nothing sent"
    AFTER_CHECK = "step 4: checked, nothing written"
    HALF_WRITTEN = "step 4: half written"
    WRITTEN = "step 4: written, not answered"
    BEFORE_ANSWER = "step 5: committed, before a caller is answered"
    AFTER_ANSWER = "step 5: after a caller is answered"
    BEFORE_PUBLISH = "step 6: answered, before events are published"
    BETWEEN_TURNS = "between turns"


# Points inside a commit, as the log names them.
CRASH_IN_COMMIT = {
    CommitStep.BEFORE_CHECK: CrashPoint.BEFORE_COMMIT,
    CommitStep.AFTER_CHECK: CrashPoint.AFTER_CHECK,
    CommitStep.HALF_WRITTEN: CrashPoint.HALF_WRITTEN,
    CommitStep.AFTER_WRITE_BEFORE_REPLY: CrashPoint.WRITTEN,
}


@dataclass(frozen=True)
class Faults:
    """
    Rates of a run; 0 for what does not happen in it.

    Attributes
    ----------
    loss, duplication, lateness
        Shares of messages that are lost, delivered twice, and delayed by up to 20 s, so that
        those sent later overtake them.
    delay_s
        Mean of the usual delay of a message, seconds.
    cuts_every_s, crashes_every_s, pauses_every_s, full_every_s, jumps_every_s
        Mean time between cuts of a stream, ends of a process, pauses, full disks, and jumps of
        the wall clock, seconds.
    takeover
        Chance that another process takes a paused one's cell.
    doubt
        Chance that a commit's request or answer is lost.
    commit_s
        Mean time a commit takes each way, seconds; 0 for a log that answers at once.
    """

    loss: float
    duplication: float
    lateness: float
    delay_s: float
    cuts_every_s: float
    crashes_every_s: float
    pauses_every_s: float
    takeover: float
    full_every_s: float
    jumps_every_s: float
    doubt: float
    commit_s: float


def draw_faults(random: Random) -> Faults:
    """Draw which faults a run has, and how often."""

    def some(low: float, high: float, chance: float = 0.5) -> float:
        value = random.uniform(low, high)
        return value if random.random() < chance else 0.0

    return Faults(
        loss=some(0.01, 0.25),
        duplication=some(0.01, 0.4),
        lateness=some(0.01, 0.2),
        delay_s=random.choice((0.0005, 0.005, 0.05)),
        cuts_every_s=some(1.0, 8.0),
        crashes_every_s=some(1.0, 8.0, 0.75),
        pauses_every_s=some(3.0, 10.0, 0.4),
        takeover=some(0.5, 0.5),
        full_every_s=some(3.0, 12.0, 0.3),
        jumps_every_s=some(2.0, 10.0),
        doubt=some(0.005, 0.1, 0.4),
        commit_s=some(0.0005, 0.02),
    )
