"""Markup that is escaped by construction: text given to `element` can never become markup."""

from html import escape
from typing import Final

_VOID: Final = {"meta"}


class Markup(str):
    """Text that is markup already; any other text is escaped where it is put into markup."""

    __slots__ = ()


def element(tag: str, *children: str, **attributes: str | float) -> Markup:
    """
    An element of HTML or SVG.

    Parameters
    ----------
    children
        Markup, or text to be escaped.
    attributes
        `class_` stands for class, `stroke_width` for stroke-width; numbers are rounded to 0.01.
    """
    written = "".join(f' {_name(name)}="{_value(value)}"' for name, value in attributes.items())
    if tag in _VOID:
        return Markup(f"<{tag}{written}>")
    return Markup(f"<{tag}{written}>{joined(*children)}</{tag}>")


def joined(*children: str) -> Markup:
    """Markup and escaped text, one after the other."""
    return Markup("".join(_escaped(child) for child in children))


def unbroken(text: str) -> str:
    """Text that stays on one line."""
    return text.replace(" ", "\N{NO-BREAK SPACE}")


def _escaped(child: str) -> str:
    return child if isinstance(child, Markup) else escape(child)


def _name(name: str) -> str:
    return name.rstrip("_").replace("_", "-")


def _value(value: str | float) -> str:
    if isinstance(value, str):
        return escape(value)
    return f"{round(value, 2):g}" if abs(value) < 1e5 else f"{value:.0f}"
