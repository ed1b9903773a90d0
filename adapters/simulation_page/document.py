"""A page in one file of HTML, without a script or a request, and what it is divided into."""

from collections.abc import Sequence
from importlib.resources import files
from typing import Final

from adapters.simulation_page.markup import Markup, element

_POLICY: Final = "default-src 'none'; style-src 'unsafe-inline'"


def document(title: str, header: Markup, sections: Sequence[Markup]) -> bytes:
    """The page, in UTF-8."""
    style = (files(__package__) / "style.css").read_text(encoding="utf-8")
    head = element(
        "head",
        element("meta", charset="utf-8"),
        element("meta", http_equiv="Content-Security-Policy", content=_POLICY),
        element("meta", name="viewport", content="width=device-width, initial-scale=1"),
        element("title", title),
        element("style", Markup(style)),
    )
    body = element("body", header, element("main", *sections))
    return f"<!DOCTYPE html>\n{element('html', head, body, lang='en')}\n".encode()


def section(heading: str, *children: Markup) -> Markup:
    """A section under its heading."""
    return element("section", element("h2", heading), *children)


def note(text: str) -> Markup:
    """A remark."""
    return element("p", text, class_="note")


def folded(summary: str, *children: Markup) -> Markup:
    """What is shown when asked for."""
    return element("details", element("summary", summary), *children)
