"""Parse files with the names of a model's outputs, in the layouts that are in use.

    cat                     one name per line
    0 cat   0:cat   0,cat   preceded by the number of the output; lines in any order
    cat,0                   or followed by it
    n02121808 cat           preceded by a WordNet id
    ["cat", "dog"]          JSON, also {"0": "cat"}, {"cat": 0} and {"0": ["n02121808", "cat"]}
    {0: "cat", 1: "dog"}    a dict or list of Python
    names: [cat, dog]       YAML of YOLO, also a list or numbers below it; JSON with ``id2label``

A header (``index,label``) and comments (``# classes``) may stand before them. Other code, and
numbers that are not those of the outputs, are rejected: apps would show a name such as
``{0: 'cat',``, and no folder of pictures has that name.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Sequence

from kit.documents import MAX_CLASSES, parse_json

_LINE_ENDS = re.compile(r"\r\n|\r|\n")
_BEFORE = re.compile(r"(?P<number>\d{1,6})(?:\s*[:,;\t]\s*|\s+)(?P<name>\S.*)")
_AFTER = re.compile(r"(?P<name>.*\S)\s*[,;\t]\s*(?P<number>\d{1,6})")
_WORDNET = re.compile(r"n\d{8}\s+(\S.*)")
_QUOTED = re.compile(r'"([^"]+)"')
# First lines of tables that people and tools write: words for a number and for a name.
_HEADER = re.compile(
    r"(?i:(index|idx|id|class_?id|number|label|name|class|class_?name|category)"
    r"[,;\t ]+(index|idx|id|class_?id|number|label|name|class|class_?name|category))"
)
_KEYS = ("names", "labels", "classes", "id2label")  # of files that hold more than names
_YAML = re.compile(rf"^({'|'.join(_KEYS)}):", re.MULTILINE)
_LABEL_MAP = re.compile(r"item\s*\{")
_MAX_BYTES = 2**20  # of Python and YAML, whose parsers are slow


def parse_names(text: str) -> tuple[str, ...]:
    """Return the names in the order of the outputs.

    Raises:
        ValueError: a line is empty, numbers are not those of the outputs, or it is code. The
            message continues a sentence that begins with the file's name.
    """
    stripped = text.strip()
    if (stripped[:1], stripped.rstrip(",;")[-1:]) in (("{", "}"), ("[", "]")):
        return _of_value(_parse_value(stripped))
    if _LABEL_MAP.match(stripped):
        raise ValueError("is a label map of TensorFlow, whose ids are not those of the outputs")
    if _YAML.search(stripped):
        return _of_value(_parse_yaml(stripped))
    # Unicode's other line separators are part of a name.
    lines = [line.strip() for line in _LINE_ENDS.split(text.rstrip())]
    if "" in lines:
        raise ValueError(f"names nothing in line {lines.index('') + 1}")
    while len(lines) > 1 and lines[0].startswith("# "):
        del lines[0]
    if len(lines) > 2 and _HEADER.fullmatch(lines[0]):
        del lines[0]
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


def _parse_value(text: str) -> object:
    """Return the value of JSON, or of a literal of Python."""
    try:
        return parse_json(text.encode(), 4 * MAX_CLASSES)
    except ValueError as exc:
        bare = text.rstrip(",;")
        if len(bare) > _MAX_BYTES:
            raise ValueError("looks like code or JSON, and is no JSON") from exc
    try:
        value = ast.literal_eval(bare)
    except (ValueError, SyntaxError, RecursionError, MemoryError, TypeError) as exc:
        raise ValueError("looks like code or JSON, and is no JSON") from exc
    if isinstance(value, dict):
        return {str(key): one for key, one in value.items()}
    return value


def _parse_yaml(text: str) -> object:
    import yaml

    if len(text) > _MAX_BYTES:
        raise ValueError("is YAML, and larger than any list of names")
    try:
        # Makes texts of everything: a class may be called `no`. It knows no merged keys, of
        # which a few lines can hold millions.
        value = yaml.load(text, yaml.BaseLoader)  # noqa: S506
    except (yaml.YAMLError, ValueError, RecursionError) as exc:
        raise ValueError("looks like YAML, and is no YAML") from exc
    return value


def _of_value(value: object) -> tuple[str, ...]:
    if isinstance(value, dict):
        inside = (value[key] for key in _KEYS if isinstance(value.get(key), list | dict))
        value = next(inside, value)
    if isinstance(value, dict):
        value = _in_order(_numbered({str(key): name for key, name in value.items()}))
    listed = value if isinstance(value, list | tuple) else ()
    names = [name for name in listed if isinstance(name, str) and name.strip()]
    if not names or len(names) != len(listed):
        raise ValueError("holds no list of names")
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
            raise ValueError("holds no list of names")
    return numbered
