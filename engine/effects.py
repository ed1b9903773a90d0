"""
What happened, as the engine records it.

On the hot path an effect is one row of int64 in a buffer (`EffectColumn` names its columns).
`Effect` is the same with external ids, made when a commit group is sealed: it is what the log keeps
and watchers read.
"""

from collections.abc import Sequence
from enum import IntEnum
from typing import Final, NamedTuple

import orjson

from engine.encoding import kept_json

ENCODING_VERSION: Final = 1


class EffectKind(IntEnum):
    """Kinds of effect; values are those of `EventKind` on the wire."""

    CONTACT_RECEIVED = 1
    CONTACT_QUEUED = 2
    CONTACT_REJECTED = 3
    CONTACT_UPDATED = 4
    CONTACT_REQUEUED = 5
    CONTACT_ASSIGNED = 6
    CONTACT_WRAP_UP_STARTED = 7
    CONTACT_COMPLETED = 8
    CONTACT_ABANDONED = 9
    CONTACT_EXPIRED = 10
    CONTACT_CANCELLED = 11
    CONTACT_RELAXED = 12
    CONTACT_SCHEDULED = 13
    CONTACT_INTERRUPTED = 14
    CONTACT_RESUMED = 15
    CONTACT_CONSULTED = 16
    CONTACT_TRANSFERRED = 17
    CONTACT_DIVERTED = 18
    CONTACT_RETURNED = 19
    OFFER_ISSUED = 20
    OFFER_ACCEPTED = 21
    OFFER_DECLINED = 22
    OFFER_EXPIRED = 23
    OFFER_RESCINDED = 24
    AGENT_UPSERTED = 30
    AGENT_DELETED = 31
    AGENT_PRESENCE_CHANGED = 32
    AGENT_LEASE_LOST = 33
    AGENT_ESTIMATES_RESET = 34
    QUEUE_UPSERTED = 40
    QUEUE_DELETED = 41
    QUEUE_INTAKE_CHANGED = 42
    QUEUE_HOURS_CHANGED = 43
    CHOICE_OFFERED = 50
    CHOICE_ACCEPTED = 51
    CHOICE_REFUSED = 52
    CHOICE_UNANSWERED = 53
    CHOICE_LAPSED = 54
    DIVERSION_ENDED = 55
    POLICY_DRAFTED = 60
    POLICY_PUBLISHED = 61
    POLICY_ROLLED_BACK = 62
    POLICY_RETIRED = 63
    POLICY_OVERRIDDEN = 64
    ACTIVATION_BEGAN = 65
    ACTIVATION_ENDED = 66
    ACTIVATION_APPROVED = 67
    POLICY_NOTIFIED = 68


class Reason(IntEnum):
    """Fixed words for why something happened; texts of clients stand above FIRST_TEXT_REASON."""

    NONE = 0
    DECLINED = 1
    OFFER_EXPIRED = 2
    PRESENCE_CHANGED = 3
    LEASE_LOST = 4
    MISSED_OFFERS = 5
    DRAINED = 6
    RELEASED = 7
    MOVED = 8
    MAX_WAIT = 9
    CANCELLED = 10
    RESTARTED = 11
    SHORT_ABANDON = 12
    ANSWERED = 13
    PICKED = 14
    QUEUE_FULL = 15
    QUEUE_CLOSED = 16
    OUTSIDE_HOURS = 17
    HOLIDAY = 18
    SCHEDULED = 19
    DUE = 20
    KEPT_PLACE = 21
    ATTEMPT_FAILED = 22
    ATTEMPTS_EXHAUSTED = 23
    TRANSFERRED = 24
    CONSULT_OVER = 25
    DIVERTED = 26
    RETURNED = 27


FIRST_TEXT_REASON: Final = 1_000


class EffectColumn(IntEnum):
    """Columns of one effect record."""

    KIND = 0
    AT_MS = 1
    CONTACT = 2
    QUEUE = 3
    AGENT = 4
    OFFER = 5
    OFFER_EXPIRES_MS = 6
    WAIT_MS = 7
    DETAIL = 8
    REASON = 9


EFFECT_WIDTH: Final = len(EffectColumn)


class Effect(NamedTuple):
    """
    One thing that happened, with external ids.

    Attributes
    ----------
    kind
        What.
    at_ms
        When, engine time, milliseconds since the Unix epoch.
    contact_id, queue_id, agent_id
        Whom it concerns; empty where none.
    offer_id
        Offer concerned; empty where none.
    offer_expires_ms
        When the offer expires, milliseconds since the Unix epoch; 0 where none.
    wait_ms
        Wait in the present queue, milliseconds; 0 for agent and queue effects.
    detail
        Place in the queue, presence, intake, rejection reason, also of a queue that its hours have
        closed, relaxation step, the time a contact is scheduled for, version of a policy, what is
        said of policies, options offered, place of the option accepted, 1 for the first, or how a
        diversion ended, by kind; 0 otherwise.
    reason
        Fixed word or the client's text; empty where the kind says it all. Of choices and diversions
        `policy/version/activation`.
    policy
        Policy concerned; empty where none, and for every policy.
    """

    kind: int
    at_ms: int
    contact_id: str
    queue_id: str
    agent_id: str
    offer_id: str
    offer_expires_ms: int
    wait_ms: int
    detail: int
    reason: str
    policy: str = ""


def encode_effects(effects: Sequence[tuple[int | str, ...]]) -> bytes:
    """
    Effects of one commit group as JSON, b"" for none.

    A version, then one array per effect with the fields of `Effect`.
    """
    return kept_json((ENCODING_VERSION, effects)) if effects else b""


def decode_effects(encoded: bytes) -> list[Effect]:
    """
    Effects of one commit group.

    Raises
    ------
    ValueError
        When a newer version wrote them.
    """
    if not encoded:
        return []
    version, records = orjson.loads(encoded)
    if version != ENCODING_VERSION:
        message = f"effects are encoded in version {version}, this engine reads {ENCODING_VERSION}"
        raise ValueError(message)
    return [Effect(*record) for record in records]
