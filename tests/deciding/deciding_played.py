"""A cell, what senses it, and the policies that decide for it, played second by second."""

from engine.deciding.deciding import Deciding
from engine.policies import PolicyStage
from engine.policy.compiled import CompiledRelief
from engine.policy.in_force import InForce
from engine.sensing.sensing import SensingSettings
from engine.steering import Steer
from tests.policy.written import relief
from tests.sensing.played import AT_ONCE, BEGIN_S, Played


class DecidingPlayed(Played):
    """
    An engine, what senses it, what decides, and the time.

    Attributes
    ----------
    deciding
        The policies at work.
    """

    def __init__(self, settings: SensingSettings = AT_ONCE, second: int = BEGIN_S) -> None:
        super().__init__(settings, second)
        self.deciding = Deciding()

    def use(self, *texts: str, stage: PolicyStage = PolicyStage.ACTIVE) -> None:
        """Have policies of these texts in force, version 1 of each."""
        self.deciding.use([in_force(relief(text), stage) for text in texts])

    def decide(self) -> Steer:
        """End the running second, and decide."""
        self.end_second()
        return self.deciding.step(self.sensing, 1_000 * self.second + 20)

    def decide_for(self, seconds: int) -> list[Steer]:
        """The same, second by second."""
        return [self.decide() for _ in range(seconds)]


def in_force(
    compiled: CompiledRelief, stage: PolicyStage = PolicyStage.ACTIVE, version: int = 1
) -> InForce:
    """A version that is in force."""
    return InForce(compiled, version, stage)


def a_policy(
    enter: str = "queue.waiting >= 2",
    *,
    name: str = "surge",
    more: str = "",
    actions: str = "[{overflow: {queue: b}}]",
    kind: str = "OverflowPolicy",
) -> str:
    """Text of a policy on queue `a`."""
    lines = [
        "apiVersion: headgate/v1",
        f"kind: {kind}",
        f"metadata: {{name: {name}}}",
        "spec:",
        "  mode: auto",
        "  match: {queues: [a]}",
        f"  enter: {{when: '{enter}'}}",
        f"  actions: {actions}",
        *(f"  {line}" for line in more.splitlines()),
    ]
    return "\n".join(lines) + "\n"
