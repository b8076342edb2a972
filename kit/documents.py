"""Read untrusted JSON and TOML: limits of size and depth, and types of bounded fields.

Manifests, results and recipes are copied between machines, so they may hold anything. Duplicate
names in an object, hundreds of nested lists and numbers of thousands of digits are rejected
before a schema is applied; `Record` and the types below reject values that a field cannot have.
"""

from __future__ import annotations

import json
import os
import re
import tomllib
from collections import Counter
from typing import TYPE_CHECKING, Annotated

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    ValidationError,
)

if TYPE_CHECKING:
    from pydantic_core import ErrorDetails

MAX_JSON_BYTES = 256 * 2**20
MAX_JSON_VALUES = 20_000_000  # a result may hold the samples of hours
MAX_TOML_BYTES = 64 * 2**10
MAX_DEPTH = 32  # kit's own documents have up to eight levels
MAX_CLASSES = 100_000  # outputs of a model
MAX_SIDE = 4096  # of a picture that a model takes, in pixels

# Pydantic's messages begin with this: "Input should be a valid string", "List should have …".
_SHOULD = re.compile("^[A-Z][a-z]+ should ")
_SURROGATE = re.compile(rb"\\u[dD][89a-fA-F]")
# A dotted name of more than MAX_DEPTH parts, for which tomllib takes quadratic time.
_PART = r"""(?:[\w-]++|"[^"\n]*+"|'[^'\n]*+')"""
_DOTTED = re.compile(rf"(?<![\w-]){_PART}(?:[ \t]*+\.[ \t]*+{_PART}){{{MAX_DEPTH}}}")


def _without_zero(text: str) -> str:
    if "\0" in text:
        raise ValueError("it holds a zero byte")
    return text


class Record(BaseModel):
    """A part of a document: unknown fields and numbers that are not finite are rejected."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


SchemaVersion = Annotated[int, Field(strict=True, ge=1)]
Count = Annotated[int, Field(strict=True, ge=0, le=10**9)]
Positive = Annotated[int, Field(strict=True, ge=1, le=10**9)]
Size = Annotated[int, Field(strict=True, ge=0, le=2**50)]  # bytes, or parameters
Share = Annotated[float, Field(ge=0, le=1)]
Percent = Annotated[float, Field(ge=0, le=100)]
NonNegative = Annotated[float, Field(ge=0)]
Side = Annotated[int, Field(strict=True, ge=1, le=MAX_SIDE)]
Level = Annotated[float, Field(ge=0, le=255)]  # of a pixel
Deviation = Annotated[float, Field(ge=1e-4, le=1e3)]  # of values in 0..1; 0 would divide by zero
Digest = Annotated[str, Field(pattern="^[0-9a-f]{64}$")]  # SHA-256
Text = Annotated[str, Field(max_length=10_000), AfterValidator(_without_zero)]


def parse_json(content: bytes, max_values: int = MAX_JSON_VALUES) -> object:
    """Parse JSON.

    Args:
        content: UTF-8.
        max_values: limit of the number of values, each of which takes 8 to 64 bytes of memory.

    Raises:
        ValueError: it is not JSON in UTF-8, or has duplicate names in an object, NaN or infinity,
            text that is not Unicode, deep nesting, or too many values. The message is one line.
    """
    if sum(map(content.count, (b",", b"[", b"{"))) > max_values:
        raise ValueError(f"it has more than {max_values} values")
    try:
        value = json.loads(content.decode(), object_pairs_hook=_object, parse_constant=_constant)
    except RecursionError as exc:
        raise _too_deep() from exc
    except ValueError as exc:
        raise ValueError(_reason(exc)) from exc
    _check_depth(value)
    if _SURROGATE.search(content):
        _check_text(value)
    return value


def parse_toml(content: bytes) -> dict[str, object]:
    """Parse TOML.

    Args:
        content: UTF-8.

    Raises:
        ValueError: it is not TOML in UTF-8, or is nested too deeply. The message is one line.
    """
    try:
        text = content.decode()
        if _DOTTED.search(text):
            raise _too_deep()
        table = tomllib.loads(text)
    except RecursionError as exc:
        raise _too_deep() from exc
    except ValueError as exc:
        raise ValueError(_reason(exc)) from exc
    _check_depth(table)
    return table


def describe_read_failure(exc: OSError | ValueError) -> str:
    """Return the reason why a file cannot be read; names with a zero byte raise ValueError."""
    return (exc.strerror if isinstance(exc, OSError) else None) or str(exc)


def name_fault(error: ErrorDetails) -> str:
    """Return what is wrong with a value, which is "it" here; pydantic calls each value an input."""
    limits = {
        name: f"{value:g}" if isinstance(value, float) else str(value)
        for name, value in error.get("ctx", {}).items()
    }
    match error["type"]:
        case "string_unicode":
            return "it is not UTF-8"
        case "missing":
            return "it is missing"
        case "extra_forbidden":
            return "there is no such field"
        case "greater_than_equal":
            return f"it must be {limits['ge']} or more"
        case "greater_than":
            return f"it must be more than {limits['gt']}"
        case "less_than_equal":
            return f"it must be {limits['le']} or less"
        case "less_than":
            return f"it must be less than {limits['lt']}"
    text = _SHOULD.sub("it must ", error["msg"].removeprefix("Value error, "))
    return text[:1].lower() + text[1:] if error["type"] != "value_error" else text


def describe_fault(exc: ValidationError) -> str:
    """Return the first error of a schema on one line, as ``preprocessing.crop: …``."""
    first = exc.errors()[0]
    where = ".".join(str(part) for part in first["loc"])[:100]
    what = name_fault(first)
    shown = "".join(c if c.isprintable() else "\ufffd" for c in where)
    return f"{shown}: {what}" if where else what


def decode_name(name: str | os.PathLike[str]) -> str:
    r"""Return a file's name as valid Unicode text.

    On Linux a name is bytes. Bytes that are not UTF-8 become escapes such as ``\xff``.
    """
    return os.fsencode(name).decode(errors="backslashreplace")


def _object(pairs: list[tuple[str, object]]) -> dict[str, object]:
    fields = dict(pairs)
    if len(fields) < len(pairs):
        (twice, _), *_ = Counter(name for name, _ in pairs).most_common(1)
        raise ValueError(f"the name {twice[:80]!r} occurs twice in one object")
    return fields


def _constant(name: str) -> object:
    raise ValueError(f"it holds {name}, which JSON does not have")


def _reason(exc: ValueError) -> str:
    if isinstance(exc, UnicodeDecodeError):
        return f"it is not UTF-8: byte {exc.start} is 0x{exc.object[exc.start]:02x}"
    if "int_max_str_digits" in str(exc):
        return "it holds a number of thousands of digits"
    return str(exc).splitlines()[0][:200]


def _too_deep() -> ValueError:
    return ValueError(f"it is nested more than {MAX_DEPTH} deep")


def _check_depth(value: object) -> None:
    level, depth = [value], 0
    while level:
        depth += 1
        if depth > MAX_DEPTH:
            raise _too_deep()
        level = [child for item in level for child in _children(item)]


def _children(value: object) -> list[object]:
    """Return the containers in a container."""
    if isinstance(value, dict):
        value = list(value.values())
    return [v for v in value if isinstance(v, dict | list)] if isinstance(value, list) else []


def _check_text(value: object) -> None:
    try:
        json.dumps(value, ensure_ascii=False).encode()
    except UnicodeEncodeError as exc:
        raise ValueError("it holds text that is not Unicode") from exc
