"""
What the reference router leaves behind.

Compare `engine.kernels.recording`.
"""

from engine.effects import EffectKind
from engine.limits import EFFECT_ROOM_MIN
from tests.engine.reference_floor import Floor
from tests.engine.reference_subjects import RefAgent, RefContact, RefOffer


def has_effect_room(floor: Floor) -> bool:
    return len(floor.effects) + EFFECT_ROOM_MIN <= floor.effects_max


def record_contact(
    floor: Floor, kind: EffectKind, contact: RefContact, detail: int = 0, reason: str = ""
) -> None:
    wait_ms = (contact.accepted_ms or floor.now_ms) - contact.queued_ms
    expires_ms = contact.until_ms if contact.offer else 0
    floor.effects.append((
        int(kind), floor.now_ms, contact.contact_id, contact.queue_id, contact.agent_id,
        contact.offer_id, expires_ms, wait_ms, detail, reason,
    ))  # fmt: skip
    contact.version += 1


def record_other(floor: Floor, kind: EffectKind, offer: RefOffer, reason: str = "") -> None:
    contact = offer.contact
    wait_ms = (contact.accepted_ms or floor.now_ms) - contact.queued_ms
    floor.effects.append((
        int(kind), floor.now_ms, contact.contact_id, contact.queue_id, offer.agent_id,
        f"o{offer.sequence:x}.{contact.row:x}", contact.until_ms, wait_ms, 0, reason,
    ))  # fmt: skip
    contact.version += 1


def record_agent(
    floor: Floor, kind: EffectKind, agent: RefAgent, detail: int = 0, reason: str = ""
) -> None:
    floor.effects.append(
        (int(kind), floor.now_ms, "", "", agent.agent_id, "", 0, 0, detail, reason)
    )


def record_queue(floor: Floor, kind: EffectKind, queue_id: str, detail: int) -> None:
    floor.effects.append((int(kind), floor.now_ms, "", queue_id, "", "", 0, 0, detail, ""))
