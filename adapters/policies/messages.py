"""Activations and explanations on the wire."""

from collections.abc import Sequence

from engine.deciding.explaining import ExplainedTerm, Explanation
from engine.kernels.policy_steps import NEVER
from engine.policy.values import Truth
from engine.state.activations import Activation
from engine.steering import PhaseFigures
from headgate.v1 import activation_pb2 as pb

_TRUTHS = {Truth.TRUE: pb.TERM_TRUTH_TRUE, Truth.FALSE: pb.TERM_TRUTH_FALSE}


def activation_message(activation: Activation) -> pb.Activation:
    """An activation as it stands."""
    message = pb.Activation(
        activation_id=activation.name,
        policy=activation.subject.policy,
        version=activation.subject.version,
        queue_id=activation.subject.queue_id,
        stage=int(activation.stage),  # type: ignore[arg-type]
        began_at_ms=activation.began_ms,
        ended_at_ms=activation.ended_ms,
        began_by=int(activation.began_by),  # type: ignore[arg-type]
        ended_by=int(activation.ended_by),  # type: ignore[arg-type]
        signals=_values(activation.signals),
        end_signals=_values(activation.end_signals),
        approval=int(activation.approval),  # type: ignore[arg-type]
        approved_by=activation.approved_by,
        approval_reason=activation.approval_reason,
        before=_figures(activation.before),
        during=_figures(activation.during),
        after=_figures(activation.after),
    )
    for what, contacts in sorted(activation.counts.items()):
        message.counts.add(what=int(what), contacts=contacts)
    return message


def explanation_message(explanation: Explanation) -> pb.PolicyExplanation:
    """Why a policy is on or off."""
    return pb.PolicyExplanation(
        version=explanation.subject.version,
        queue_id=explanation.subject.queue_id,
        stage=int(explanation.stage),  # type: ignore[arg-type]
        on=explanation.is_on,
        changed_at_ms=explanation.changed_ms if explanation.changed_ms != NEVER else 0,
        cause=int(explanation.cause),  # type: ignore[arg-type]
        share=explanation.share,
        enter=map(_term, explanation.enter),
        exit=map(_term, explanation.exit),
        reasons=explanation.reasons,
    )


def _term(term: ExplainedTerm) -> pb.ExplainedTerm:
    return pb.ExplainedTerm(
        text=term.text,
        truth=_TRUTHS.get(term.truth, pb.TERM_TRUTH_UNSPECIFIED),
        depth=term.depth,
        values=_values(term.values),
    )


def _values(values: Sequence[tuple[str, str]]) -> list[pb.SignalValue]:
    return [pb.SignalValue(name=name, value=value) for name, value in values]


def _figures(figures: PhaseFigures | None) -> pb.PhaseFigures | None:
    if figures is None:
        return None
    return pb.PhaseFigures(
        answered=figures.answered,
        answered_within=figures.within,
        abandoned=figures.abandoned,
        wait_ms=figures.wait_ms,
    )
