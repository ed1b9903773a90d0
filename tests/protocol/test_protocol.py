"""
The commit protocol in every order: a small model of it, searched to its end.

Owners acquire, commit, lose replies, send the same token again, stop for as long as they like,
crash, release and load again; servers replicate late, die, are cut off, are succeeded by a replica
and come back. Each is one step, and every interleaving of them within the bounds is looked at. What
is searched is the protocol of `adapters/redis_log`: that its scripts answer as the model does,
`test_redis_log_model` says, and that each of their lines is needed, `test_redis_log_mutations`.

What the model leaves out, and why that may be:

- Time. Leases may lapse at any moment and a step may come at any time, so that whatever clocks do
  is among what is looked at; that a cell is served again soon is not.
- Rows. A group gives one contact away, and is there whole or, where decoding fails late, is not.
  Rows are read in one step: between ACQUIRE and the first commit no other epoch can write them,
  and whoever reads them before sees by the log's end on both sides whether anybody did.
- Disks. A dead server that comes back copies the present primary; one without an append-only file
  that comes back first, empty, is refused when a cell starts (`server_check`).
- Sizes. Two owners, one or two replicas, two or three groups. Bounds on how often things happen
  keep the search finite; the faults it is to find need fewer, as the mutations show.
- Slots that move, and failovers by hand: to an owner, both are a server that stops being primary.
- Stored replies: that a caller's retry is answered once is the reply's place in the same group.
"""

from collections import Counter
from dataclasses import replace

import pytest

from tests.protocol.protocol_model import Left, Variant, chain_fault, promise_fault
from tests.protocol.protocol_search import EVERY_CHECK, Check, explored

SHORT = Left(epochs=2, tokens=2, failovers=2, stragglers=0, unreadable=0)
PAIRS = Variant(
    replicas=2, promotes_best=False, cuts_off_pairs=True, faults_overlap=True, left=SHORT
)
READ_AHEAD = SHORT._replace(readings=1)

# Each complete: whatever may happen within the bounds, nothing is wrong.
PROMISED: dict[str, tuple[Variant, tuple[Check, ...]]] = {
    "one replica, three epochs": (
        Variant(left=Left(epochs=3, tokens=2, failovers=2, stragglers=0, unreadable=1)),
        EVERY_CHECK,
    ),
    "one replica, late commits": (
        Variant(left=Left(epochs=2, tokens=3, failovers=2, stragglers=1, unreadable=0)),
        EVERY_CHECK,
    ),
    "replicated: one of two, one copy gone at a time": (
        Variant(replicas=2, left=SHORT),
        EVERY_CHECK,
    ),
    "strict: both of two, whatever is cut off and promoted": (
        replace(PAIRS, waits_for=2),
        EVERY_CHECK,
    ),
    # Nothing is promised of what was acknowledged, and without WAIT two owners may get the same
    # epoch from two servers: the token keeps the log one chain all the same.
    "one replica, a cell read ahead": (Variant(left=READ_AHEAD), EVERY_CHECK),
    "relaxed: the log is in order": (
        Variant(waits_for=0, left=SHORT._replace(tokens=3)),
        (chain_fault,),
    ),
}

# What each rule keeps from happening: the rule, and what is found without it.
MUTATIONS: dict[str, tuple[Variant, str]] = {
    "no token check": (
        Variant(checks_token=False),
        "a group was applied twice",
    ),
    "no epoch check": (
        Variant(checks_epoch=False),
        "somebody wrote into another owner's epoch",
    ),
    "a repeated token writes nothing": (
        Variant(duplicate_writes=False),
        "an acknowledged group was lost",
    ),
    "no WAIT": (
        Variant(waits_for=0, claim_waits=False),
        "an acknowledged group was lost",
    ),
    "WAIT over another connection": (
        Variant(waits_where_it_wrote=False),
        "an acknowledged group was lost",
    ),
    "decoded after the first write": (
        Variant(decodes_first=False),
        "half a group was written",
    ),
    "fenced by a clock": (
        Variant(trusts_its_clock=True),
        "somebody wrote into another owner's epoch",
    ),
    "acquired without WAIT": (
        Variant(claim_waits=False),
        "somebody wrote into another owner's epoch",
    ),
    "what was read ahead is of use whatever the log's end": (
        Variant(compares_what_was_read=False, left=READ_AHEAD),
        "a contact was forgotten",
    ),
    "read ahead, and no second look": (
        Variant(looks_again=False, left=READ_AHEAD),
        "a contact was forgotten",
    ),
    "read ahead from whoever was primary once": (
        Variant(keeps_to_one_primary=False, left=READ_AHEAD),
        "a contact was forgotten",
    ),
}

# Where a tier's promise ends, as the README says: it is lost there and must be seen to be.
BEYOND: dict[str, Variant] = {
    "primary and a replica cut off together": replace(
        PAIRS, promotes_best=True, faults_overlap=False
    ),
    "any replica promoted": replace(PAIRS, cuts_off_pairs=False, faults_overlap=False),
}


def test_nothing_is_lost_or_doubled_in_any_order() -> None:
    """Every state of every promise is seen, and every step of the model is among what was done."""
    taken: Counter[str] = Counter()
    for name, (variant, checks) in PROMISED.items():
        found = explored(variant, checks)
        print(f"{name}: {found}")
        assert not found.fault, f"{name}: {found}"
        taken += found.taken
    assert set(taken) == {
        "acknowledge", "acquire", "acquire what lost groups", "append", "append again",
        "be fenced", "be fenced in a repair", "begin to read ahead", "claim without replicas",
        "crash", "cut off", "delay a commit", "fail to decode", "find groups lost",
        "find it appended", "find it read in vain", "find the cell taken",
        "find the chain broken", "give up", "go on", "heal", "kill the primary", "load",
        "load what was read ahead", "load what was repaired", "look again", "lose a commit",
        "lose a late commit", "lose a repair", "lose a reply", "read ahead", "release",
        "replicate", "run a late commit", "send", "send again",
    }  # fmt: skip


@pytest.mark.parametrize("name", MUTATIONS)
def test_each_rule_is_missed_where_it_is_gone(name: str) -> None:
    """A search that finds nothing must be one that could have: without a rule, its fault is met."""
    variant, expected = MUTATIONS[name]
    found = explored(variant)
    print(f"{name}: {found}")
    assert found.fault == expected
    assert found.way


def test_a_lock_with_a_perfect_clock_gives_contacts_away_twice() -> None:
    """Not only in whose name: a pause between look and write is enough, whatever the clock."""
    found = explored(Variant(trusts_its_clock=True), (promise_fault,))
    print(found)
    assert found.fault == "a contact was acknowledged twice"


def test_epochs_alone_do_not_see_a_repeated_group() -> None:
    """One owner, nobody else: what is sent again after a lost reply is applied again."""
    alone = Variant(checks_token=False, left=Left(epochs=1, tokens=1, failovers=0, unreadable=0))
    assert explored(alone).fault == "a group was applied twice"
    assert not explored(replace(alone, checks_token=True)).fault


@pytest.mark.parametrize("name", BEYOND)
def test_where_the_promise_of_one_replica_ends(name: str) -> None:
    """Waiting for one of two is a promise about one copy; the tier strict is for more."""
    found = explored(BEYOND[name], (promise_fault,))
    print(f"{name}: {found}")
    assert found.fault == "an acknowledged group was lost"
    assert not explored(replace(BEYOND[name], waits_for=2), (promise_fault,)).fault
