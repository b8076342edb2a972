"""Entries of the catalogue of notices, and how the values of several notices are merged."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Annotated, Literal

from pydantic import Field

from kit.documents import Text

_Integer = Annotated[int, Field(strict=True, ge=-(10**15), le=10**15)]
_Number = Annotated[float, Field(strict=True)]
Value = _Integer | _Number | Text | Annotated[tuple[Text, ...], Field(max_length=1000)]


@dataclass(frozen=True)
class ValueKind:
    """How a value is checked, formatted, and merged with others.

    Attributes:
        name: of the kind, for `docs/notices.md`.
        types: of the value.
        form: format string of one value.
        unit: follows the number, or the last number of a range.
        scale: factor of a float before it is formatted.
        merge: notices that differ in the value are merged to the ``range`` of all values or
            the ``max``; those that differ in an ``equal`` value are not merged.
    """

    name: str
    types: tuple[type, ...]
    form: str = "{}"
    unit: str = ""
    scale: float = 1
    merge: Literal["range", "max", "equal"] = "equal"

    def write(self, values: Sequence[Value]) -> str:
        """Return the values of merged notices as text: one value, a range or the maximum."""
        if self.types == (tuple,):
            return ", ".join(str(part) for part in _parts(values[0]))
        if self.merge == "equal":
            return self._write_one(values[0]) + self.unit
        numbers = [value for value in values if isinstance(value, int | float)]
        low, high = self._write_one(min(numbers)), self._write_one(max(numbers))
        if self.merge == "max" or low == high:
            return high + self.unit
        return f"{low} to {high}{self.unit}"

    def _write_one(self, value: Value) -> str:
        scaled = value * self.scale if self.scale != 1 and isinstance(value, float) else value
        return self.form.format(scaled)


def _parts(value: Value) -> tuple[str, ...]:
    return value if isinstance(value, tuple) else ()


COUNT = ValueKind("count", (int,))
MAX = ValueKind("count", (int,), merge="max")
COUNTS = ValueKind("count", (int,), merge="range")
CORES = ValueKind("number of cores", (int, float), "{:.1f}", merge="range")
LOAD = ValueKind("load average", (int, float), "{:.1f}", merge="range")
CELSIUS = ValueKind("temperature in °C", (int, float), "{:.1f}", " °C", merge="range")
LIMIT_CELSIUS = ValueKind("temperature in °C", (int, float), "{:g}", " °C")
SHARE = ValueKind("share", (int, float), "{:.0f}", " %", 100, "range")
FINE_SHARE = ValueKind("share", (int, float), "{:.1f}", " %", 100, "range")
TWO_DIGITS = ValueKind("share", (int, float), "{:.2g}", " %", 100)
MS = ValueKind("time in ms", (int, float), "{:.3g}", " ms", merge="range")
SECONDS = ValueKind("time in s", (int, float), "{:g}", " s")
RATIO = ValueKind("ratio", (int, float), "{:.1f}", "×")
MS_FINE = ValueKind("time in ms", (int, float), "{:.2f}")
DECIBELS = ValueKind("ratio in dB", (int, float), "{:.1f}", " dB")
WORD = ValueKind("text", (str,))
WORDS = ValueKind("list of texts", (tuple,))

Severity = Literal["note", "hint", "warning", "refusal"]
SEVERITIES: Mapping[Severity, str] = {
    "note": "how kit interpreted something; nothing is wrong",
    "hint": "what would improve a result",
    "warning": "a result is less reliable than it looks",
    "refusal": "something was not done",
}


@dataclass(frozen=True)
class CatalogueEntry:
    """Meaning of a code.

    Attributes:
        severity: see `SEVERITIES`.
        text: the fact; a template with the names of `values`.
        hint: what the user can do about it, as a template; empty if nothing.
        values: kinds by name.
        merged_text: replaces `text` for several notices, if ranges of their values would mislead.
    """

    severity: Severity
    text: str
    hint: str = ""
    values: Mapping[str, ValueKind] = field(default_factory=dict)
    merged_text: str = ""
