"""Choices and diversions as messages of the contract."""

from engine.choices import CHANNEL_OF, Diversion, OpenChoice, Option
from headgate.v1 import contact_pb2


def choice_message(opened: OpenChoice) -> contact_pb2.Choice:
    """A choice that is open."""
    choice = opened.choice
    return contact_pb2.Choice(
        options=map(_option, choice.options),
        until_ms=opened.until_ms,
        return_within_ms=choice.return_within_ms,
        policy=choice.policy,
        version=choice.version,
        activation=choice.activation,
    )


def _option(option: Option) -> contact_pb2.ChoiceOption:
    message = contact_pb2.ChoiceOption(
        kind=option.kind.value,  # type: ignore[arg-type]
        queue_id=option.queue_id,
        within_ms=option.within_ms,
        announces_wait=option.announces_wait,
    )
    channel = option.channel or CHANNEL_OF.get(option.kind)
    if channel is not None:
        message.channel = channel.value  # type: ignore[assignment]
    if option.estimated_wait_ms >= 0:
        message.estimated_wait_ms = option.estimated_wait_ms
    return message


def diversion_message(diversion: Diversion) -> contact_pb2.Diversion:
    """Where a contact went on."""
    return contact_pb2.Diversion(
        kind=diversion.kind.value,  # type: ignore[arg-type]
        option=diversion.option,
        queue_id=diversion.queue_id,
        channel=diversion.channel.value,  # type: ignore[arg-type]
        since_ms=diversion.since_ms,
        until_ms=diversion.return_until_ms,
        policy=diversion.policy,
        version=diversion.version,
        activation=diversion.activation,
        outcome=diversion.outcome,  # type: ignore[arg-type]
        cell=diversion.cell,
    )
