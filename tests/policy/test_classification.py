"""Where contacts go that name no queue."""

import itertools

import pytest

from engine.policy.arms import arm_of, draw_of, is_taken
from engine.policy.classification import Classifier
from engine.policy.values import Values
from tests.policy.written import ROUTING, routing

KNOWN: Values = {
    "contact.tier": "",
    "contact.attributes": {"product": "card"},
    "contact.returns": 0,
    "time.hour": 9,
}


def test_the_first_rule_that_matches_counts() -> None:
    """In the order of the file; the default where none does."""
    classifier = Classifier(routing(ROUTING))
    found = classifier.classify("c1", {**KNOWN, "contact.tier": "vip", "contact.returns": 5})
    assert (found.rule, found.destination.queue, found.destination.priority) == ("vip", "gold", 10)
    assert found.destination.requirements is not None
    assert found.destination.requirements.skills == {"french": 3}
    found = classifier.classify("c1", {**KNOWN, "time.hour": 18, "contact.returns": 3})
    assert (found.rule, found.destination.preferred_agent_attribute) == ("returning", "last_agent")
    found = classifier.classify("c1", {**KNOWN, "time.hour": 18})
    assert (found.rule, found.destination.queue, found.untold) == ("", "general", ())


def test_precedence_goes_before_the_order_of_the_file() -> None:
    """Where the policy says so; ties are broken by that order."""
    text = ROUTING.replace("  params:", "  order: precedence\n  params:")
    text = text.replace("    - name: returning\n", "    - name: returning\n      precedence: 5\n")
    classifier = Classifier(routing(text))
    both = {**KNOWN, "contact.tier": "vip", "contact.returns": 5}
    assert classifier.classify("c1", both).rule == "returning"
    assert classifier.classify("c1", {**KNOWN, "contact.tier": "vip"}).rule == "vip"


def test_a_rule_that_cannot_be_told_does_not_match_and_is_named() -> None:
    """An attribute that is missing sends nobody astray, and the decision record can say so."""
    found = Classifier(routing(ROUTING)).classify("c1", {**KNOWN, "contact.attributes": {}})
    assert (found.rule, found.destination.queue, found.untold) == ("", "general", ("cards",))


def test_a_split_is_right_and_the_same_for_the_same_contact() -> None:
    """Retries and reclassification do not move a contact to the other arm."""
    classifier = Classifier(routing(ROUTING))
    arms = [classifier.classify(f"c{number}", KNOWN).arm for number in range(4_000)]
    assert arms == [classifier.classify(f"c{number}", KNOWN).arm for number in range(4_000)]
    # Four standard deviations of 4,000 draws at 20 %.
    assert abs(arms.count(0) - 800) < 4 * (4_000 * 0.2 * 0.8) ** 0.5
    assert classifier.classify("c1", KNOWN).destination.queue in ("cards", "cards-new")


def test_draws_are_uniform_and_independent_between_salts() -> None:
    """A contact that one policy leaves out is as likely as any other to be taken by the next."""
    drawn = {salt: [draw_of(f"c{n}", salt) for n in range(5_000)] for salt in ("a", "b")}
    for values in drawn.values():
        assert all(0.0 <= value < 1.0 for value in values)
        counts = [sum(low / 10 <= v < (low + 1) / 10 for v in values) for low in range(10)]
        # 99.99 % quantile of chi square with 9 degrees of freedom: 33.7.
        assert sum((count - 500) ** 2 / 500 for count in counts) < 33.7
    both = sum(a < 0.3 and b < 0.3 for a, b in zip(drawn["a"], drawn["b"], strict=True))
    assert abs(both - 450) < 4 * (5_000 * 0.09 * 0.91) ** 0.5


def test_a_growing_share_only_adds_contacts() -> None:
    """Nobody is offered, then not, then offered again while a share rises."""
    for low, high in itertools.pairwise((0.0, 0.1, 0.5, 0.51, 1.0)):
        for number in range(200):
            assert is_taken(f"c{number}", "p", low) <= is_taken(f"c{number}", "p", high)
    assert not any(is_taken(f"c{number}", "p", 0.0) for number in range(200))
    assert all(is_taken(f"c{number}", "p", 1.0) for number in range(200))


@pytest.mark.parametrize("percents", [(100.0,), (33.3333333, 33.3333333, 33.3333333), (1e-9, 100)])
def test_every_contact_has_an_arm(percents: tuple[float, ...]) -> None:
    """Also where percentages of fractions leave a gap at the end."""
    assert {arm_of(f"c{number}", "s", percents) for number in range(500)} <= set(
        range(len(percents))
    )
