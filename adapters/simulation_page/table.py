"""Tables of a page, in a general form."""

from collections.abc import Sequence
from typing import NamedTuple

from adapters.simulation_page.markup import Markup, element, joined


class Table(NamedTuple):
    """
    A table.

    Attributes
    ----------
    caption, corner
        What it shows, and the heading of its first column.
    headings
        Of the other columns.
    rows
        What each row is of, and its cells.
    """

    caption: str
    corner: str
    headings: Sequence[str]
    rows: Sequence[tuple[str, Sequence[Markup]]]


def table_of(table: Table) -> Markup:
    """A table as markup, in a box that scrolls where it is too wide."""
    head = element(
        "tr", *(element("th", text, scope="col") for text in (table.corner, *table.headings))
    )
    body = [
        element("tr", element("th", subject, scope="row"), *cells) for subject, cells in table.rows
    ]
    drawn = element(
        "table",
        element("caption", table.caption),
        element("thead", head),
        element("tbody", *body),
    )
    return element(
        "div", drawn, class_="wide", tabindex="0", role="region", aria_label=table.caption
    )


def fact_table(caption: str, facts: Sequence[tuple[str, str]]) -> Markup:
    """Names and values, one below the other."""
    rows = [
        element("tr", element("th", name, scope="row"), element("td", value, class_="text"))
        for name, value in facts
    ]
    drawn = element("table", element("caption", caption), element("tbody", *rows), class_="facts")
    return element("div", drawn, class_="wide", tabindex="0", role="region", aria_label=caption)


def definitions(items: Sequence[tuple[str, str]]) -> Markup:
    """Words and what they mean."""
    pairs = [joined(element("dt", word), element("dd", meaning)) for word, meaning in items]
    return element("dl", *pairs)
