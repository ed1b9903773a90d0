"""Who is acted upon: the same contact is always on the same side, whoever asks and whenever."""

from collections.abc import Sequence
from functools import lru_cache
from hashlib import blake2b
from typing import Final

_BITS: Final = 53


def draw_of(contact_id: str, salt: str) -> float:
    """
    A number of [0, 1) that only the contact and the salt decide.

    Over contacts it is uniform, and independent from salt to salt: a contact that one policy leaves
    out is as likely as any other to be taken by the next. A share that grows only adds contacts.
    """
    digest = blake2b(contact_id.encode(), digest_size=8, key=_key(salt)).digest()
    return (int.from_bytes(digest, "big") >> (64 - _BITS)) / (1 << _BITS)


@lru_cache(maxsize=1_024)
def _key(salt: str) -> bytes:
    return blake2b(salt.encode(), digest_size=32).digest()


def is_taken(contact_id: str, salt: str, share_ratio: float) -> bool:
    """Whether a contact belongs to a share, 0 to 1."""
    return draw_of(contact_id, salt) < share_ratio


def arm_of(contact_id: str, salt: str, percents: Sequence[float]) -> int:
    """Arm of a split whose percentages add up to 100."""
    drawn, below = 100.0 * draw_of(contact_id, salt), 0.0
    for arm, percent in enumerate(percents):
        below += percent
        if drawn < below:
            return arm
    # Percentages of fractions add up to a little less than 100.
    return len(percents) - 1
