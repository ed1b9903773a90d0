"""Conditions taken apart at `&&`, and what each part reads."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Final

from engine.policy.expression import Constant, Expression, Name, Operation, Operator, Term, walk

_ATTRIBUTES: Final = "contact.attributes"


def conjuncts(expression: Expression) -> list[Expression]:
    """
    Conditions that are all true where, and only where, `expression` is.

    An error of one is not the truth, and neither is the whole then, whatever the others say.
    """
    return [
        replace(expression, root=root, names=tuple(sorted(_names(root))))
        for root in _roots(expression.root)
    ]


def attribute_keys(expression: Expression) -> set[str] | None:
    """Keys of a contact's attributes that a condition reads; None where it reads any of them."""
    keys: set[str] = set()
    maps = read = 0

    def visit(term: Term) -> None:
        nonlocal maps, read
        if isinstance(term, Name):
            maps += term.name == _ATTRIBUTES
        elif isinstance(term, Operation) and term.operator in (Operator.ATTRIBUTE, Operator.HAS):
            key = term.arguments[term.operator is Operator.ATTRIBUTE]
            if isinstance(key, Constant):
                keys.add(str(key.value))
                read += 1

    walk(expression.root, visit)
    return keys if maps == read else None


def _roots(term: Term) -> Iterator[Term]:
    if isinstance(term, Operation) and term.operator is Operator.AND:
        for argument in term.arguments:
            yield from _roots(argument)
    else:
        yield term


def _names(term: Term) -> set[str]:
    names: set[str] = set()

    def visit(part: Term) -> None:
        if isinstance(part, Name):
            names.add(part.name)

    walk(term, visit)
    return names
