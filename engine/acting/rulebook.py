"""Versions of policies ready to act: conditions on contacts as functions, budgets, destinations."""

from collections.abc import Sequence
from typing import Final

import numpy as np

from engine.acting.deeds import deeds_of
from engine.acting.eligibility import ContactCondition, Group, grouped
from engine.policies import PolicyStage
from engine.policy.arms import is_taken
from engine.policy.classification import Classifier
from engine.policy.document import Relief
from engine.policy.guards import MinuteBudgets
from engine.policy.in_force import InForce, RoutingInForce

_CANARY_SALT: Final = "/canary"


class Acting:
    """
    One version of a diversion or overflow policy.

    Attributes
    ----------
    deeds
        What it does to contacts.
    moves
        Whether any of that takes contacts elsewhere.
    groups
        Tags of the agents that it opens to the queue.
    condition
        Which contacts it acts on.
    group
        Where that is looked up.
    is_split
        Whether contacts are shared out between this version and another, by `Rulebook.is_of`.
    """

    group: Group
    is_split = False

    def __init__(self, of: InForce) -> None:
        self.name, self.version, self.stage = of.name, of.version, of.stage
        self.policy: Relief = of.compiled.policy
        self.deeds = deeds_of(self.policy.spec.actions)
        self.moves = any(deed.is_move for deed in self.deeds)
        opened = (action.open_agents for action in self.policy.spec.actions)
        self.groups = tuple(item.group for item in opened if item is not None)
        self.condition = ContactCondition(of.compiled)
        most = self.policy.spec.guards.contacts_per_minute or 0
        self._budget = MinuteBudgets(np.array([most], np.int64))

    def takes(self, contact_id: str, share: float) -> bool:
        """Whether a contact belongs to a share; the same for every version of the policy."""
        return is_taken(contact_id, self.name, share)

    def has_budget(self, now_ms: int) -> bool:
        """Whether one more contact may be moved this minute; if so it is counted."""
        return self._budget.take(0, now_ms)

    def take_over(self, before: "Acting") -> None:
        """Count what the same version, or another of the policy, has moved this minute."""
        self._budget.take_over(before._budget)


class Rulebook:
    """
    Everything in force.

    Attributes
    ----------
    acting
        Diversion and overflow policies by name and version.
    """

    def __init__(
        self, policies: Sequence[InForce] = (), routing: Sequence[RoutingInForce] = ()
    ) -> None:
        self.acting = {(item.name, item.version): Acting(item) for item in policies}
        self._canaries = {item.name: item.canary_share for item in policies if _is_canary(item)}
        group_of = grouped(acting.condition for acting in self.acting.values())
        for acting in self.acting.values():
            acting.is_split = acting.name in self._canaries
            acting.group = group_of[acting.condition]
        # The one that goes first; a canary before the version it is to replace.
        order = sorted(
            (item for item in routing if item.stage is not PolicyStage.SHADOW),
            key=lambda item: (-item.compiled.policy.spec.precedence, item.name, item.stage),
        )
        self._routing = [(item, Classifier(item.compiled)) for item in order]

    def take_over(self, before: "Rulebook") -> None:
        """Have minutes that run counted on, of each version, or of another of its policy."""
        by_name = {acting.name: acting for acting in before.acting.values()}
        for key, acting in self.acting.items():
            known = before.acting.get(key, by_name.get(acting.name))
            if known is not None:
                acting.take_over(known)

    def is_of(self, acting: Acting, contact_id: str) -> bool:
        """Whether a contact is for this version, where another one is tried on a share."""
        share = self._canaries.get(acting.name)
        if share is None or acting.stage is PolicyStage.SHADOW:
            return True
        return is_taken(contact_id, acting.name + _CANARY_SALT, share) == (
            acting.stage is PolicyStage.CANARY
        )

    def routing_of(self, contact_id: str) -> tuple[RoutingInForce, Classifier] | None:
        """The routing policy that classifies a contact; None where there is none."""
        for item, classifier in self._routing:
            share = item.canary_share
            if not _is_canary(item) or is_taken(contact_id, item.name + _CANARY_SALT, share):
                return item, classifier
        return None


def _is_canary(item: InForce | RoutingInForce) -> bool:
    return item.stage is PolicyStage.CANARY
