"""Warnings of several runs that differ in their numbers only, said once."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from typing import TypeVar

_About = TypeVar("_About")

# What differs from run to run: a share, and the count that would do for it.
_NUMBER = re.compile(r"(?<=--repeats )\d+|\d+(?:\.\d+)?(?= %)")


def said_once(warnings: Iterable[tuple[str, _About]]) -> list[tuple[str, list[_About]]]:
    """Return warnings with all that they are about, those alike as one.

    A share becomes the range of all (``55 to 74 %``), an advised ``--repeats`` the largest.

    Args:
        warnings: one of `Run.warnings`, and what it is about.

    Returns:
        Both in the order they came.
    """
    found: dict[str, list[tuple[str, _About]]] = defaultdict(list)
    for words, about in warnings:
        found[_NUMBER.sub("#", words)].append((words, about))
    return [
        (_merge([words for words, _ in group]), [about for _, about in group])
        for group in found.values()
    ]


def _merge(alike: Sequence[str]) -> str:
    first, numbers = alike[0], [_NUMBER.findall(words) for words in alike]
    columns: Iterator[list[str]] = (
        sorted(set(column), key=float) for column in zip(*numbers, strict=True)
    )

    def shown(match: re.Match[str]) -> str:
        values = next(columns)
        if first[match.end() :].startswith(" %") and len(values) > 1:
            return f"{values[0]} to {values[-1]}"
        return values[-1]

    return _NUMBER.sub(shown, first)
