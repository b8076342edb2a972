"""Parse files with the names of a model's outputs, in the layouts that are in use.

    cat                     one name per line
    0 cat   0:cat   0,cat   preceded by the number of the output; lines in any order
    cat,0                   or followed by it
    n02121808 cat           preceded by a WordNet id
    ["cat", "dog"]          JSON, also {"0": "cat"}, {"cat": 0} and {"0": ["n02121808", "cat"]}

Code, and numbers that are not those of the outputs, are rejected: apps would show a name such as
``{0: 'cat',``, and no folder of pictures has that name.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from kit.documents import MAX_CLASSES, parse_json

_LINE_ENDS = re.compile(r"\r\n|\r|\n")
_BEFORE = re.compile(r"(?P<number>\d{1,6})(?:\s*[:,;\t]\s*|\s+)(?P<name>\S.*)")
_AFTER = re.compile(r"(?P<name>.*\S)\s*[,;\t]\s*(?P<number>\d{1,6})")
_WORDNET = re.compile(r"n\d{8}\s+(\S.*)")
_QUOTED = re.compile(r'"([^"]+)"')


def parse_names(text: str) -> tuple[str, ...]:
    """Return the names in the order of the outputs.

    Raises:
        ValueError: a line is empty, numbers are not those of the outputs, or it is code. The
            message continues a sentence that begins with the file's name.
    """
    stripped = text.strip()
    if (stripped[:1], stripped.rstrip(",;")[-1:]) in (("{", "}"), ("[", "]")):
        return _of_json(stripped)
    # Unicode's other line separators are part of a name.
    lines = [line.strip() for line in _LINE_ENDS.split(text.rstrip())]
    if "" in lines:
        raise ValueError(f"names nothing in line {lines.index('') + 1}")
    for pattern in (_BEFORE, _AFTER):
        rows = [match for line in lines if (match := pattern.fullmatch(line))]
        if len(lines) > 1 and len(rows) == len(lines):
            return _in_order([(int(row["number"]), row["name"]) for row in rows])
    for pattern in (_WORDNET, _QUOTED):
        rows = [match for line in lines if (match := pattern.fullmatch(line))]
        if len(rows) == len(lines):
            lines = [row[1].strip() for row in rows]
    return tuple(map(_flat, lines))


def _flat(name: str) -> str:
    """Return a name on one line: it is written to a file of one name per line."""
    return " ".join(name.splitlines()).strip()


def _in_order(numbered: Sequence[tuple[int, str]]) -> tuple[str, ...]:
    """Return names sorted by their numbers, which must be those of the outputs."""
    ordered = sorted(numbered)
    numbers = [number for number, _ in ordered]
    if numbers != list(range(len(numbers))):
        raise ValueError(
            f"numbers its {len(numbers)} lines from {numbers[0]} to {numbers[-1]}, and the "
            f"outputs are 0 to {len(numbers) - 1}"
        )
    return tuple(_flat(name) for _, name in ordered)


def _of_json(text: str) -> tuple[str, ...]:
    try:
        value = parse_json(text.encode(), 4 * MAX_CLASSES)
    except ValueError as exc:
        raise ValueError("looks like code or JSON, and is no JSON") from exc
    listed = _in_order(_numbered(value)) if isinstance(value, dict) else value
    if not isinstance(listed, list | tuple):
        listed = ()
    names = [name for name in listed if isinstance(name, str) and name.strip()]
    if not names or len(names) != len(listed):
        raise ValueError("is JSON, and no list of names")
    return tuple(map(_flat, names))


def _numbered(table: dict[str, object]) -> list[tuple[int, str]]:
    """Return the numbers and names of {"0": "cat"}, {"0": [ID, "cat"]} or {"cat": 0}."""
    numbered = []
    for key, value in table.items():
        last = value[-1] if isinstance(value, list) and value else value
        if isinstance(last, str) and key.isdecimal() and len(key) < 7:
            numbered.append((int(key), last))
        elif type(value) is int:
            numbered.append((value, key))
        else:
            raise ValueError("is JSON, and no list of names")
    return numbered
