"""What a contact's attributes come to when some are added."""

from collections.abc import Mapping

from engine.routing.validation import check_attributes


def merged(old: Mapping[str, str], new: Mapping[str, str]) -> dict[str, str]:
    """
    Attributes with some set, and those with an empty value removed.

    Raises
    ------
    CommandRefused
        INVALID_FIELD where they break a rule together.
    """
    kept = {key: value for key, value in {**old, **new}.items() if value}
    check_attributes(kept)
    return kept
