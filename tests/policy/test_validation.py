"""What is found in a set of policies before it runs."""

import pytest

from engine.policy.findings import Estate, Finding, Severity
from engine.policy.validation import validate
from tests.policy.written import DIVERSION, OVERFLOW, ROUTING, compiled

QUEUES = (
    "billing", "billing-chat", "cards", "cards-new", "general", "gold", "lisbon", "porto",
    "sales-north",
)  # fmt: skip
ESTATE = Estate(QUEUES, ("late",), ("north",), ("ops",), ("french",))


def found(*texts: str, estate: Estate = ESTATE) -> list[tuple[str, str]]:
    """Rule and path of every finding."""
    return [(item.rule, path_of(item)) for item in validate([compiled(t) for t in texts], estate)]


def path_of(finding: Finding) -> str:
    """A path as text."""
    return ".".join(map(str, finding.path))


def test_sound_policies_have_no_findings() -> None:
    """The examples beside which everything else here is wrong; queues that are unknown too."""
    assert found(DIVERSION, OVERFLOW, ROUTING) == []
    assert found(DIVERSION, OVERFLOW, ROUTING, estate=Estate()) == []


@pytest.mark.parametrize(
    ("text", "old", "new", "expected"),
    [
        (DIVERSION, "queue: billing-chat", "queue: biling-chat", ("unknown-queue",
         "spec.actions.0.offer_choice.options.2.other_channel.queue")),
        (DIVERSION, "[billing,", "[bling,", ("unknown-queue", "spec.match.queues.0")),
        (DIVERSION, "sales-*", "service-*", ("matches-nothing", "spec.match.queues.1")),
        (DIVERSION, "webhook: ops", "webhook: oops", ("unknown-webhook",
         "spec.actions.1.notify.webhook")),
        (DIVERSION, "max: 0.9, desc", "max: 0.4, desc", ("parameter-out-of-range",
         "spec.params.on.value")),
        (DIVERSION, "min: 0.1", "min: 0.95", ("parameter-bounds", "spec.params.on")),
        (DIVERSION, "longest: {value: 3m}", "longest: {value: 3m}\n    other: {value: 3}",
         ("unused-parameter", "spec.params.other")),
        # The exit is met from 0.25 up, the enter until 0.5: on, off, on.
        (DIVERSION, "breach_risk_5m <= params.off", "breach_risk_5m >= params.off",
         ("exit-within-enter", "spec.exit.when")),
        (DIVERSION, "breach_risk_5m <= params.off", "queue.oldest_wait < duration('0s')",
         ("never-clears", "spec.exit.when")),
        (DIVERSION, "breach_risk_5m <= params.off", "breach_risk_5m > 1.0 || queue.waiting < 0",
         ("never-clears", "spec.exit.when")),
        (DIVERSION, 'contact.tier != "vip" &&', 'contact.tier == "a" && contact.tier == "b" &&',
         ("never-eligible", "spec.eligible")),
        (OVERFLOW, "queue.waiting > 4", "queue.waiting > 4 && queue.waiting < 5",
         ("never-enters", "spec.enter.when")),
        (OVERFLOW, "queue.waiting > 4", "time.hour > 23", ("never-enters", "spec.enter.when")),
        (OVERFLOW, "queue.waiting > 4", "busyness == 'overlaoded'",
         ("never-enters", "spec.enter.when")),
        (OVERFLOW, "{queue: porto}", "{queue: lisbon}", ("circle", "spec.actions")),
        (OVERFLOW, "{queue: porto}", "{queue: porto, cell: sout}", ("unknown-cell",
         "spec.actions.0.overflow.cell")),
        (OVERFLOW, "overflow: {queue: porto}", "open_agents: {group: early}", ("unknown-group",
         "spec.actions.0.open_agents.group")),
        (OVERFLOW, "overflow: {queue: porto}", "lower_requirement: {skill: latin, "
         "proficiency_min: 1}", ("unknown-skill", "spec.actions.0.lower_requirement.skill")),
        (ROUTING, "french: 3", "latin: 3", ("unknown-skill",
         "spec.rules.0.to.requirements.skills.latin")),
        (ROUTING, "queue: cards-new", "queue: cards-old", ("unknown-queue",
         "spec.rules.1.split.0.to.queue")),
        (ROUTING, "default: {queue: general}", "default: {queue: generel}", ("unknown-queue",
         "spec.default.queue")),
        (ROUTING, "time.hour < 18", "time.hour < 18 && time.hour > 19", ("never-matches",
         "spec.rules.1.when")),
        (ROUTING, "contact.returns >= params.old", "contact.tier in ['vip'] && "
         "contact.returns >= params.old", ("unreachable-rule", "spec.rules.2.when")),
        (ROUTING, 'when: contact.tier == "vip"', "when: contact.returns >= 2",
         ("unreachable-rule", "spec.rules.2.when")),
    ],
)  # fmt: skip
def test_a_finding_and_its_path(text: str, old: str, new: str, expected: tuple[str, str]) -> None:
    """Each is told where it stands."""
    assert old in text
    assert expected in found(text.replace(old, new, 1))


def test_an_exit_that_overlaps_is_told_where() -> None:
    """An author sees values at which the policy would go on and off."""
    text = DIVERSION.replace("breach_risk_5m <= params.off", "queue.waiting < 3")
    (finding,) = [item for item in validate([compiled(text)], ESTATE) if item.severity is
                  Severity.WARNING and item.rule == "exit-within-enter"]  # fmt: skip
    assert "breach_risk_5m >= 0.5 and queue.estimated_wait <= 59999ms and " in finding.message
    assert "queue.waiting <= 2: exit" in finding.message


def test_an_exit_that_leaves_a_way_in_open_is_told() -> None:
    """It is on by the wait and off by the risk, at the same time."""
    text = DIVERSION.replace(' && queue.estimated_wait < duration("1m")', "")
    assert found(text) == [("exit-within-enter", "spec.exit.when")]


def test_a_rule_behind_one_that_may_be_an_error_is_reachable() -> None:
    """A missing attribute makes the earlier rule an error, and then it takes nobody."""
    rules = ROUTING.replace('contact.tier == "vip"', "contact.attributes.a in ['x', 'y']")
    other = rules.replace("contact.returns >= params.old", "time.hour < 9 && time.day < 32")
    either = "(contact.attributes.a == 'x' || time.hour < 3) && contact.returns >= params.old"
    same = "contact.attributes.a == 'x' && contact.returns >= params.old"
    reached = [rule for rule, _ in found(other)]
    assert "unreachable-rule" not in reached
    text = rules.replace("contact.returns >= params.old", either)
    assert "unreachable-rule" not in [rule for rule, _ in found(text)]
    text = rules.replace("contact.returns >= params.old", same)
    assert ("unreachable-rule", "spec.rules.2.when") in found(text)


def test_precedence_decides_which_rule_is_before() -> None:
    """The order that counts is that of trying, not that of the file."""
    text = ROUTING.replace("contact.returns >= params.old", "contact.returns >= params.old || true")
    first = text.replace("    - name: returning\n", "    - name: returning\n      precedence: 1\n")
    assert found(text) == []
    ordered = found(first.replace("  params:", "  order: precedence\n  params:"))
    assert {rule for rule, _ in ordered} == {"unreachable-rule"}
    assert len(ordered) == 2


def test_circles_over_several_queues_are_told_once() -> None:
    """Load that goes round helps nobody, whichever policies it goes by."""
    back = OVERFLOW.replace("lisbon-to-porto", "back").replace("[lisbon]", "[porto]")
    back = back.replace("queue: porto", "queue: gold")
    home = back.replace("name: back", "name: home").replace("[porto]", "[gold]")
    home = home.replace("queue: gold", "queue: lisbon")
    assert found(OVERFLOW, back) == []
    assert found(OVERFLOW, back, home) == [("circle", "spec.actions")]
    (finding,) = validate([compiled(text) for text in (OVERFLOW, back, home)], ESTATE)
    assert finding.message == "contacts may go round: gold to lisbon to porto to gold"
    assert finding.severity is Severity.WARNING


def test_policies_of_one_name_and_of_one_precedence() -> None:
    """Identity must be unique; who goes first should be said."""
    assert ("same-name", "metadata.name") in found(OVERFLOW, OVERFLOW)
    other = OVERFLOW.replace("lisbon-to-porto", "other").replace("[lisbon]", "['lis*']")
    assert found(OVERFLOW, other) == [("conflict", "spec.precedence")]
    assert found(OVERFLOW, other.replace("spec:", "spec:\n  precedence: 1")) == []
    apart = "  eligible: contact.channel == '{}'\n"
    assert found(OVERFLOW + apart.format("voice"), other + apart.format("chat")) == []
    assert found(OVERFLOW.replace("[lisbon]", "[gold]"), other) == []


def test_name_among_very_many_is_not_compared_with_each() -> None:
    """Five hundred slips among ten thousand queues would take a minute to guess at."""
    names = {f"billing-{number}" for number in range(2_000)}
    (finding,) = validate([compiled(OVERFLOW)], Estate(queues={"porto", *names}))
    assert finding.message == "no queue 'lisbon'"
    (finding,) = validate([compiled(OVERFLOW)], Estate(queues={"porto", "lissbon"}))
    assert finding.message == "no queue 'lisbon'; did you mean lissbon?"
