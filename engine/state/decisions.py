"""Decision records with the names of whom they concern, as long as the ring holds them."""

from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from engine.commands import Requirements
from engine.kernels.columns import DECISION_COUNT, FIRST_DECISION
from engine.kernels.side_columns import (
    D_AGENT,
    D_AT_MS,
    D_CONTACT,
    D_ELIGIBLE,
    D_KIND,
    D_NUMBER,
    D_OFFER,
    D_PRIORITY,
    D_QUEUE,
    D_QUEUED_MS,
    D_REFUSED,
    D_RELAXED,
    D_REQUIREMENT,
    D_RUNNER_UP,
    D_SINCE_MS,
    D_STARVES,
    D_WAITING,
    SCORE_TERMS,
)
from engine.lifecycle import DecisionKind, RefusalReason
from engine.state.contacts import ContactRows, offer_id_of
from engine.state.slots import Slots
from engine.state.store import Store


class Terms(NamedTuple):
    """Terms of a score with their weights and signs; their sum is the score."""

    preferred_skills: float
    skill: float
    preferred_agent: float
    handle_time: float
    outcome: float
    idle: float
    load: float
    turn: float
    versatility: float
    occupancy: float


assert len(Terms._fields) == SCORE_TERMS


@dataclass(frozen=True, slots=True)
class DecisionView:
    """
    One choice, and what it was made of.

    Attributes
    ----------
    number
        Its number in the cell, from 1, in the order of decisions.
    agent_id, offer_id
        Who was chosen, and the offer made; empty where nobody was.
    runner_up_id
        Who came second; empty where nobody, or where an agent was to be filled.
    terms, runner_up_terms
        Of the scores of both; None where there is none.
    policies
        Those that had acted on the contact by then.
    claim
        Of the contact on the agent, dimensionless.
    waiting
        Contacts waiting in the queue, this one included.
    starves
        Whether the contact was past the queue's starvation bound.
    eligible, refused
        How many agents of the queue could be offered it, None where an agent was to be filled; and
        how many not, by the first reason, where nobody was found.
    """

    number: int
    at_ms: int
    kind: DecisionKind
    contact_id: str
    queue_id: str
    agent_id: str
    offer_id: str
    runner_up_id: str
    requirements: Requirements
    policies: tuple[str, ...]
    relaxed: int
    priority: int
    routing_age_ms: int
    wait_ms: int
    waiting: int
    starves: bool
    claim: float
    terms: Terms | None
    runner_up_terms: Terms | None
    eligible: int | None
    refused: Mapping[RefusalReason, int]


class _Names(NamedTuple):
    contact_id: str
    queue_id: str
    agent_id: str
    runner_up_id: str
    requirements: Requirements
    policies: tuple[str, ...]


class Owners(NamedTuple):
    """Where the names of rows are."""

    contacts: ContactRows
    queues: Slots
    agents: Slots
    requirements_at: Callable[[int], Requirements]


class DecisionRows:
    """
    The ring of records, with names.

    Attributes
    ----------
    named
        Records whose names are kept, since the start.
    """

    def __init__(self, store: Store, owners: Owners) -> None:
        self._store = store
        self._owners = owners
        self._names: list[_Names] = []
        # Numbers of a contact's records, ascending.
        self._of_contact: dict[str, deque[int]] = {}
        self.named = 0

    def name_new(self) -> None:
        """Keep the names of the latest call's records, before their rows can mean others."""
        count = self._store.scalar[DECISION_COUNT]
        decisions_max = self._store.limits.decisions_max
        fact = self._store.columns.decisions.fact
        contacts, queues, agents, requirements_at = self._owners
        for number in range(max(self.named, count - decisions_max), count):
            place = number % decisions_max
            record = fact[place].tolist()
            agent, runner_up = record[D_AGENT], record[D_RUNNER_UP]
            names = _Names(
                contacts.slots.ids[record[D_CONTACT]],
                queues.ids[record[D_QUEUE]],
                agents.ids[agent] if agent >= 0 else "",
                agents.ids[runner_up] if runner_up >= 0 else "",
                requirements_at(record[D_REQUIREMENT]),
                contacts.policies_of(record[D_CONTACT]),
            )
            if place == len(self._names):
                self._names.append(names)
            else:
                self._forget(self._names[place].contact_id)
                self._names[place] = names
            self._of_contact.setdefault(names.contact_id, deque()).append(record[D_NUMBER])
        self.named = count

    def _forget(self, contact_id: str) -> None:
        """Take a contact's oldest record off its list."""
        numbers = self._of_contact[contact_id]
        numbers.popleft()
        if not numbers:
            del self._of_contact[contact_id]

    def numbers(self) -> range:
        """Numbers of the records still held, ascending."""
        first, count = self._store.scalar[FIRST_DECISION], self._store.scalar[DECISION_COUNT]
        return range(first + max(0, count - self._store.limits.decisions_max), first + count)

    def latest_of(self, contact_id: str) -> int:
        """Number of a contact's latest record, 0 for none."""
        numbers = self._of_contact.get(contact_id)
        return numbers[-1] if numbers else 0

    def matching(self, contact_id: str, queue_id: str, agent_id: str) -> list[int]:
        """Numbers of the records of a contact, a queue and an agent, "" for any; latest first."""
        if contact_id:
            numbers = list(self._of_contact.get(contact_id, ()))
        else:
            numbers = self._held(queue_id, agent_id)
        return [
            number
            for number in reversed(numbers)
            if queue_id in ("", self._names_of(number).queue_id)
            and agent_id in ("", self._names_of(number).agent_id)
        ]

    def _held(self, queue_id: str, agent_id: str) -> list[int]:
        """Numbers held, ascending, of rows that a queue and an agent have now, if any."""
        held = self.numbers()
        fact = self._store.columns.decisions.fact[: len(held)]
        is_meant = np.ones(len(held), np.bool_)
        for name, slots, place in (
            (queue_id, self._owners.queues, D_QUEUE),
            (agent_id, self._owners.agents, D_AGENT),
        ):
            if name:
                is_meant &= fact[:, place] == slots.row_of(name)
        return sorted(fact[is_meant, D_NUMBER].tolist())

    def _names_of(self, number: int) -> _Names:
        return self._names[self._place(number)]

    def _place(self, number: int) -> int:
        first = self._store.scalar[FIRST_DECISION]
        return (number - first) % self._store.limits.decisions_max

    def view(self, number: int) -> DecisionView:
        """A record that is still held."""
        place = self._place(number)
        decisions = self._store.columns.decisions
        fact, term = decisions.fact[place].tolist(), decisions.term[place].tolist()
        assert fact[D_NUMBER] == number
        names = self._names[place]
        kind = DecisionKind(fact[D_KIND])
        is_counted = kind in (DecisionKind.ROUTED, DecisionKind.UPDATED, DecisionKind.WINDOW)
        return DecisionView(
            number=number,
            at_ms=fact[D_AT_MS],
            kind=kind,
            contact_id=names.contact_id,
            queue_id=names.queue_id,
            agent_id=names.agent_id,
            offer_id=offer_id_of(fact[D_OFFER], fact[D_CONTACT]),
            runner_up_id=names.runner_up_id,
            requirements=names.requirements,
            policies=names.policies,
            relaxed=fact[D_RELAXED],
            priority=fact[D_PRIORITY],
            routing_age_ms=fact[D_AT_MS] - fact[D_SINCE_MS],
            wait_ms=fact[D_AT_MS] - fact[D_QUEUED_MS],
            waiting=fact[D_WAITING],
            starves=bool(fact[D_STARVES]),
            claim=term[2 * SCORE_TERMS],
            terms=Terms(*term[:SCORE_TERMS]) if names.agent_id else None,
            runner_up_terms=(
                Terms(*term[SCORE_TERMS : 2 * SCORE_TERMS]) if names.runner_up_id else None
            ),
            eligible=fact[D_ELIGIBLE] if is_counted else None,
            refused={
                reason: fact[D_REFUSED + reason]
                for reason in RefusalReason
                if fact[D_REFUSED + reason]
            },
        )


def decision_id_of(number: int) -> str:
    """External id of a decision, "" for 0."""
    return f"d{number:x}" if number else ""


def decision_number(decision_id: str) -> int:
    """Number of a decision, -1 for anything but our own spelling of one."""
    try:
        number = int(decision_id[1:], 16)
    except ValueError:
        return -1
    return number if decision_id_of(number) == decision_id else -1
