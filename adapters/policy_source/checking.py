"""
Texts of policies, checked as a whole: by themselves, beside others, and for names that are there.

Checking takes milliseconds for each expression: a server does it in a thread, beside its loop.
"""

import threading
from collections import OrderedDict
from collections.abc import Sequence
from functools import cache
from typing import TYPE_CHECKING, Final, NamedTuple

from adapters.policy_source.positions import read_documents
from adapters.policy_source.reading import FileProblem, FileRead, LocatedPolicy, read_policies
from engine.policies import PolicyKind
from engine.policy.checked import Place
from engine.policy.document import KINDS, PolicyProblem
from engine.policy.findings import Estate, Finding, Severity
from engine.policy.validation import validate
from engine.refusals import wire_name

if TYPE_CHECKING:
    from engine.policy.checked import Checker

# Texts that are remembered as they were read: those in force are read again with every check.
_TEXTS_REMEMBERED: Final = 512
_KIND_OF: Final = {
    "DiversionPolicy": PolicyKind.DIVERSION_POLICY,
    "OverflowPolicy": PolicyKind.OVERFLOW_POLICY,
    "RoutingPolicy": PolicyKind.ROUTING_POLICY,
}
assert _KIND_OF.keys() == KINDS.keys(), wire_name(PolicyKind.NONE)


class Source(NamedTuple):
    """A text, and how it is called in what is found."""

    file: str
    text: str


class Remark(NamedTuple):
    """
    Something found in a text.

    Attributes
    ----------
    policy
        Name of the policy; "" where it cannot be told.
    """

    severity: Severity
    policy: str
    problem: FileProblem

    def __str__(self) -> str:
        """`file:line:col: severity: message [rule]`, and below it the line with a caret."""
        problem = self.problem
        place = f"{problem.file}:{problem.place.line}:{problem.place.column}"
        head = f"{place}: {self.severity.value}: {problem.message} [{problem.rule}]"
        return "\n".join([head, *(f" | {line}" for line in problem.marked)])


class Checked(NamedTuple):
    """What texts hold, and what was found in them; policies with problems are left out."""

    policies: list[LocatedPolicy]
    remarks: list[Remark]

    @property
    def errors(self) -> list[Remark]:
        """Remarks that keep a text from being published."""
        return [item for item in self.remarks if item.severity is Severity.ERROR]


class TextChecks:
    """
    Checks texts; may be asked from several threads, one is served at a time.

    The checker of expressions is loaded with the first text.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._checker: Checker | None = None
        self._read: OrderedDict[Source, FileRead] = OrderedDict()

    def check(
        self, texts: Sequence[Source], others: Sequence[Source] = (), estate: Estate | None = None
    ) -> Checked:
        """
        Check texts beside others, and for names that an estate has.

        What is found of the others counts where it is not found without the texts. Of a policy that
        both have the texts' counts.
        """
        with self._lock:
            read = [self._policies_of(source) for source in texts]
            policies = [policy for item in read for policy in item.policies]
            names = {policy.name for policy in policies}
            beside = [
                policy
                for source in others
                for policy in self._policies_of(source).policies
                if policy.name not in names
            ]
        remarks = [
            Remark(Severity.ERROR, "", problem) for item in read for problem in item.problems
        ]
        where = estate or Estate()
        before = set(validate([item.compiled for item in beside], where)) if beside else set()
        found = validate([item.compiled for item in (*beside, *policies)], where)
        by_name = {policy.name: policy for policy in policies}
        for finding in found:
            if finding.policy in by_name:
                remarks.append(_located(finding, by_name[finding.policy]))
            elif finding not in before and policies:
                remarks.append(_of_another(finding, policies[0]))
        return Checked(policies, remarks)

    def read(self, source: Source) -> FileRead:
        """A text by itself, as it is read."""
        with self._lock:
            return self._policies_of(source)

    def _policies_of(self, source: Source) -> FileRead:
        """A text as it is read; called by whoever has the lock."""
        if self._checker is None:
            from adapters.policy_source.checker import CelChecker

            self._checker = CelChecker()
        if source not in self._read:
            self._read[source] = read_policies(source.file, source.text, self._checker)
            if len(self._read) > _TEXTS_REMEMBERED:
                self._read.popitem(last=False)
        self._read.move_to_end(source)
        return self._read[source]


@cache
def text_checks() -> TextChecks:
    """The checks of this process."""
    return TextChecks()


def kind_of(policy: LocatedPolicy) -> PolicyKind:
    """Kind of a policy, as the engine has it."""
    return _KIND_OF[policy.compiled.policy.kind]


def what_it_says(text: str) -> tuple[str, PolicyKind]:
    """Name and kind of the first policy of a text that may have errors, as far as it says them."""
    documents, _ = read_documents(text)
    declared = documents[0].value if documents else None
    if not isinstance(declared, dict):
        return "", PolicyKind.NONE
    metadata, kind = declared.get("metadata"), declared.get("kind")
    name = metadata.get("name") if isinstance(metadata, dict) else None
    known = _KIND_OF.get(kind, PolicyKind.NONE) if isinstance(kind, str) else PolicyKind.NONE
    return name if isinstance(name, str) else "", known


def _located(finding: Finding, policy: LocatedPolicy) -> Remark:
    problem = policy.problem(PolicyProblem(finding.path, finding.message))
    return Remark(finding.severity, finding.policy, problem._replace(rule=finding.rule))


def _of_another(finding: Finding, policy: LocatedPolicy) -> Remark:
    """A finding of a policy in force that it has because of a text."""
    place = policy.located.places.get((), Place(1, 1))
    message = f"with policy {finding.policy}: {finding.message}"
    return Remark(
        finding.severity,
        finding.policy,
        FileProblem(policy.file, place, message, "", "", finding.rule),
    )
