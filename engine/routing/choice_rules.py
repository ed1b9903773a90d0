"""What choices and their answers must satisfy on their own."""

from engine.choices import (
    ANSWER_MS_MAX,
    OPTIONS_MAX,
    REPORTABLE,
    RETURN_MS_MAX,
    AcceptChoice,
    Choice,
    OfferChoice,
    Option,
    OptionKind,
    RefuseChoice,
    ReportDiversionOutcome,
    ReturnContact,
)
from engine.lifecycle import Channel
from engine.limits import FORTNIGHT_MS, NEVER_MS
from engine.refusals import wire_name
from engine.routing.checks import Checks

# Options that lead to a queue, which they name; and those that may.
_NEEDS_QUEUE = (OptionKind.OTHER_CHANNEL, OptionKind.SELF_SERVICE, OptionKind.OTHER_QUEUE)


def offer_choice(checks: Checks, command: OfferChoice) -> None:
    """Rules of an offered choice."""
    checks.name("contact_id", command.contact_id)
    choice = command.choice
    checks.name("choice.policy", choice.policy)
    checks.number("choice.version", choice.version, 1, NEVER_MS)
    checks.name("choice.activation", choice.activation)
    checks.number("choice.answer_within_ms", choice.answer_within_ms, 1, ANSWER_MS_MAX)
    checks.number("choice.return_within_ms", choice.return_within_ms, 0, RETURN_MS_MAX)
    _options(checks, choice)


def _options(checks: Checks, choice: Choice) -> None:
    most = 1 if choice.forced else OPTIONS_MAX
    if not (1 <= len(choice.options) <= most):
        expected = "one option where it is forced" if choice.forced else f"1 to {most} options"
        checks.fail("choice.options", len(choice.options), expected)
    for place, option in enumerate(choice.options):
        _option(checks, option, f"choice.options[{place}]")
    checks.unique("choice.options", choice.options)


def _option(checks: Checks, option: Option, path: str) -> None:
    checks.member(f"{path}.kind", option.kind, OptionKind)
    if option.kind is OptionKind.OTHER_CELL:
        checks.fail(f"{path}.kind", option.kind, "what a customer can choose")
    checks.name(f"{path}.queue_id", option.queue_id, may_be_empty=option.kind not in _NEEDS_QUEUE)
    if option.kind is OptionKind.WAIT and option.queue_id:
        checks.fail(f"{path}.queue_id", option.queue_id, "none for an option to wait")
    if option.channel is not None:
        checks.member(f"{path}.channel", option.channel, Channel)
    if option.kind is OptionKind.OTHER_CHANNEL:
        if option.channel is None:
            checks.fail(f"{path}.channel", option.channel, "the channel it goes on by")
    elif option.channel is not None:
        expected = "none for an option but another channel"
        checks.fail(f"{path}.channel", option.channel, expected)
    within_max_ms = FORTNIGHT_MS if option.kind is OptionKind.CALLBACK else 0
    checks.number(f"{path}.within_ms", option.within_ms, 0, within_max_ms)
    checks.number(f"{path}.estimated_wait_ms", option.estimated_wait_ms, -1, NEVER_MS)


def accept_choice(checks: Checks, command: AcceptChoice) -> None:
    """Rules of an answer; how many options there are is known when it meets the cell."""
    checks.name("contact_id", command.contact_id)
    checks.number("option", command.option, 1, OPTIONS_MAX)


def refuse_choice(checks: Checks, command: RefuseChoice) -> None:
    """Rules of a refusal."""
    checks.name("contact_id", command.contact_id)


def return_contact(checks: Checks, command: ReturnContact) -> None:
    """Rules of a return."""
    checks.name("contact_id", command.contact_id)
    checks.name("queue_id", command.queue_id, may_be_empty=True)


def report_outcome(checks: Checks, command: ReportDiversionOutcome) -> None:
    """Rules of a report."""
    checks.name("contact_id", command.contact_id)
    if command.outcome not in REPORTABLE:
        expected = "one of " + ", ".join(map(wire_name, REPORTABLE))
        checks.fail("outcome", command.outcome, expected)
