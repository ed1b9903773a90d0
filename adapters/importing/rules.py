"""
What becomes of one setting of another system; tables of these are the mappings.

An equivalent that Headgate gains later is one line in such a table.
"""

from collections.abc import Callable, Iterable, Mapping
from typing import Final, NamedTuple

from google.protobuf.message import Message

from adapters.configuration.fields import meant, problem
from adapters.importing.report import Import, Kind, NotImportable
from engine.limits import BROADCAST_MAX

_WHOLE_MAX: Final = 2**31 - 1


class Setting(NamedTuple):
    """
    One setting of the other system.

    Attributes
    ----------
    path, value
        Where it stands and what stands there.
    target
        The queue or agent that it is about.
    found
        What has been brought over so far.
    """

    path: str
    value: object
    target: Message
    found: Import

    def tell(self, kind: Kind, why: str) -> None:
        """Note that it is not as it was."""
        self.found.tell(kind, self.path, self.value, why)

    def whole(self) -> int:
        """
        A whole number that is not negative.

        Raises
        ------
        NotImportable
            It is none, or larger than anything is counted here.
        """
        value = self.value
        if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) < 19:
            value = int(value)
        if isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= _WHOLE_MAX:
            return value
        expected = f"a whole number of 0 to {_WHOLE_MAX}"
        raise NotImportable(problem(self.path, self.value, expected))


Rule = Callable[[Setting], None]
_WORDS_FOR_NO: Final = ("", "0", "no", "false", "n", "f", "off", "none")


def set_field(target: Message, field: str, value: object) -> None:
    """Set a field by its path, such as `service_level.within_ms`."""
    *parents, name = field.split(".")
    for parent in parents:
        target = getattr(target, parent)
    setattr(target, name, value)


def nothing(setting: Setting) -> None:
    """It is the same here, or only of use in the other system."""


def left_out_if_set(why: str) -> Rule:
    """It has no equivalent, and is missed only where it is not off, empty or 0."""

    def rule(setting: Setting) -> None:
        if setting.value and str(setting.value).lower() not in _WORDS_FOR_NO:
            setting.tell(Kind.LEFT_OUT, why)

    return rule


def left_out_if_not(harmless: Iterable[str], why: str) -> Rule:
    """It has no equivalent, and is missed unless it is one of some values, in lower case."""
    values = frozenset(harmless)

    def rule(setting: Setting) -> None:
        if str(setting.value).lower() not in values:
            setting.tell(Kind.LEFT_OUT, why)

    return rule


def seconds(field: str) -> Rule:
    """A time in seconds; 0 means our default."""
    return lambda setting: set_field(setting.target, field, setting.whole() * 1_000)


def count(field: str) -> Rule:
    """A number that means the same here."""
    return lambda setting: set_field(setting.target, field, setting.whole())


def asked_together(setting: Setting) -> None:
    """So many agents are offered a contact at a time; the first to accept has it."""
    agents = setting.whole()
    set_field(setting.target, "broadcast_max", min(agents, BROADCAST_MAX))
    if agents > BROADCAST_MAX:
        setting.tell(Kind.APPROXIMATE, f"at most {BROADCAST_MAX} agents are asked at a time")


def word(field: str, words: Mapping[str, tuple[int, str]]) -> Rule:
    """
    One of some words.

    Parameters
    ----------
    words
        Number of our enum, and what is not the same, "" for nothing; by word in lower case.
    """

    def rule(setting: Setting) -> None:
        name = str(setting.value).lower()
        if name not in words:
            expected = f"one of {', '.join(words)}{meant(name, words)}"
            raise NotImportable(problem(setting.path, setting.value, expected))
        number, difference = words[name]
        set_field(setting.target, field, number)
        if difference:
            setting.tell(Kind.APPROXIMATE, difference)

    return rule


def apply_rule(table: Mapping[str, Rule], name: str, setting: Setting) -> None:
    """Do what a table says of a setting; one that it does not know is told."""
    rule = table.get(name)
    if rule is None:
        setting.tell(Kind.LEFT_OUT, f"no setting that is known here{meant(name, table)}")
    else:
        rule(setting)
