"""
Calls that are added to the day: for twenty minutes three times what came.

For every call that joined in that time two more do, each the image of one of them (its type, its
patience, its service), at a second of its own. The draws are seeded by the date and the second at
which the surge begins, so that a surge is the same in every run.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Final

import numpy as np

from deploy.examples.bank_day.bank_day import BankDay, BankDayError
from deploy.examples.bank_day.compressed_time import clock_text
from deploy.examples.bank_day.patience import PlannedContact

SURGE_S: Final = 20 * 60
# Calls that are added for each that came.
ADDED_PER_CALL: Final = 2
# Tells the surge's draws from those of patience and service.
_SURGE: Final = 3


def surge_of(
    day: BankDay, planned: Sequence[PlannedContact], from_s: int
) -> tuple[PlannedContact, ...]:
    """
    Contacts to add, by the second they join.

    Raises
    ------
    BankDayError
        No call joins in the twenty minutes from `from_s` on, so that three times it is nothing.
    """
    until_s = from_s + SURGE_S
    there = [contact for contact in planned if from_s <= contact.call.joined_s < until_s]
    if not there:
        message = (
            f"--surge {clock_text(from_s)[:5]}: expected calls that join until "
            f"{clock_text(until_s)[:5]}, to be multiplied; there are none"
        )
        raise BankDayError(message)
    generator = np.random.default_rng([day.day.toordinal(), from_s, _SURGE])
    count = ADDED_PER_CALL * len(there)
    joined_s = np.sort(generator.integers(from_s, until_s, count)).tolist()
    images = generator.integers(len(there), size=count).tolist()
    return tuple(
        _image(there[image], number, at_s)
        for number, (image, at_s) in enumerate(zip(images, joined_s, strict=True), start=1)
    )


def _image(contact: PlannedContact, number: int, joined_s: int) -> PlannedContact:
    """The same customer at another second, under a name of its own."""
    shift_s = joined_s - contact.call.joined_s
    call = replace(contact.call, joined_s=joined_s, entry_s=contact.call.entry_s + shift_s)
    return replace(contact, contact_id=f"surge-{number:04}", call=call)
