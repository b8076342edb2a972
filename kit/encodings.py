"""Encodings: scale and offset of every quantized tensor, and the file format for them.

They are computed once, for the folded float model's graph, and named after its nodes; every
format places the same ones. `encodings.json` has AIMET's file format: version 1.0.0 is written,
1.0.0 and 0.6.1 are read. Source of the fields:
https://quic.github.io/aimet-pages/releases/latest/techniques/encoding_spec.html

The value of a stored level q, 0 to 255, is (q + offset) * scale, with offset = -zero point of
unsigned levels. Symmetric weights have offset -128: their zero is the middle level.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from kit.documents import Record, Text, describe_fault, describe_read_failure, parse_json
from kit.error_text import shorten_value
from kit.errors import RecipeError
from kit.files import untrusted

VERSION = "1.0.0"
BITS = 8
LEVELS = 255  # the maximum stored level
MIDDLE = -128  # offset of a symmetric encoding

_MAX_BYTES = 64 * 2**20
_MAX_VALUES = 4_000_000  # models have tens of thousands of channels
_HINT = "`kit build` writes such a file into every bundle; docs/encodings.md describes it"

Scale = Annotated[float, Field(gt=0)]
Offset = Annotated[int, Field(ge=-LEVELS, le=0)]


class Encoding(Record):
    """Scale and offset of one tensor.

    Attributes:
        name: of the tensor: the module or node that outputs it, or ``LAYER.weight``.
        scales: one, or one per output channel.
        offsets: one per scale.
        symmetric: zero is the middle level.
    """

    name: Text
    scales: Annotated[tuple[Scale, ...], Field(min_length=1)]
    offsets: tuple[Offset, ...]
    symmetric: bool = False

    @property
    def ends(self) -> tuple[float, float]:
        """Return the minimum and the maximum value of a tensor with one scale."""
        scale, offset = self.scales[0], self.offsets[0]
        return offset * scale, (offset + LEVELS) * scale


class Encodings(Record):
    """All encodings of a model.

    Attributes:
        activations: in the order of the graph.
        weights: of convolutions and linear layers, named ``LAYER.weight``.
    """

    activations: tuple[Encoding, ...]
    weights: tuple[Encoding, ...] = ()

    def list_ends(self) -> dict[str, tuple[float, float]]:
        """Return the minimum and the maximum value of each activation, by its name."""
        return {one.name: one.ends for one in self.activations}


def format_file(encodings: Encodings, producer: str) -> str:
    """Return the text of `encodings.json`.

    Args:
        encodings: to write.
        producer: version of kit.
    """
    content = {
        "version": VERSION,
        "producer": {"name": "kit", "version": producer},
        "activation_encodings": [_entry(one) for one in encodings.activations],
        "param_encodings": [_entry(one) for one in encodings.weights],
    }
    return json.dumps(content, indent=1, ensure_ascii=False) + "\n"


def _entry(encoding: Encoding) -> dict[str, object]:
    return {
        "name": encoding.name,
        "dtype": "INT",
        "enc_type": "PER_TENSOR" if len(encoding.scales) == 1 else "PER_CHANNEL",
        "bw": BITS,
        "is_sym": encoding.symmetric,
        "scale": list(encoding.scales),
        "offset": list(encoding.offsets),
    }


def read(path: Path) -> Encodings:
    """Return the encodings of a file.

    Raises:
        RecipeError: it cannot be read, is not such a file, or has types that kit does not support.
    """
    try:
        return parse(untrusted.read_file(path, _MAX_BYTES))
    except (OSError, ValueError) as exc:
        raise RecipeError(
            f"cannot use the encodings {path}: {describe_read_failure(exc)}", _HINT
        ) from exc


def parse(content: bytes) -> Encodings:
    """Return the encodings in a file's content.

    Raises:
        ValueError: it is not an encoding file, or has encodings that kit's formats do not support.
            The message is one line and names the tensor.
    """
    raw = parse_json(content, _MAX_VALUES)
    try:
        parsed = _File.model_validate(raw)
    except ValidationError as exc:
        raise ValueError(describe_fault(exc)) from exc
    if parsed.version.partition(".")[0] not in ("0", "1"):
        raise ValueError(
            f"its version is {shorten_value(parsed.version)}; 0.6.1 and 1.0.0 are known"
        )
    return Encodings(
        activations=_unique(map(_activation, parsed.activation_encodings)),
        weights=_unique(map(_weight, parsed.param_encodings)),
    )


def _unique(encodings: Iterable[Encoding]) -> tuple[Encoding, ...]:
    by_name: dict[str, Encoding] = {}
    for one in encodings:
        if one.name in by_name:
            raise ValueError(f"it has two encodings of {one.name}")
        by_name[one.name] = one
    return tuple(by_name.values())


def _numbers(value: object) -> object:
    """Return a list in which whole numbers are int: AIMET also writes them as floats."""
    values = value if isinstance(value, list) else [value]
    return [int(v) if isinstance(v, float) and v.is_integer() else v for v in values]


def _flag(value: object) -> object:
    return {"true": True, "false": False}.get(str(value).lower(), value)


class _Part(BaseModel):
    """A part of a file; unknown fields are ignored."""

    model_config = ConfigDict(extra="ignore", allow_inf_nan=False)


class _Entry(_Part):
    """One tensor in version 1.0.0.

    Attributes:
        low: minimum values, in files that have ranges instead of scales.
        high: maximum values.
    """

    name: Text
    dtype: Text = "INT"
    bits: Annotated[int, Field(alias="bw")]
    symmetric: Annotated[bool, BeforeValidator(_flag), Field(alias="is_sym")] = False
    scales: Annotated[list[Scale], BeforeValidator(_numbers), Field(alias="scale")] = []
    offsets: Annotated[list[Offset], BeforeValidator(_numbers), Field(alias="offset")] = []
    low: Annotated[list[float], Field(alias="min")] = []
    high: Annotated[list[float], Field(alias="max")] = []


def _entries(value: object) -> object:
    """Return version 0.6.1's ``{name: [encoding of a channel, …]}`` as 1.0.0's list."""
    return [_gathered(*one) for one in value.items()] if isinstance(value, dict) else value


def _gathered(name: str, channels: object) -> dict[str, object]:
    listed = channels if isinstance(channels, list) else [channels]
    parts = [part for part in listed if isinstance(part, dict)]
    if not parts or len(parts) < len(listed):
        raise ValueError(f"{shorten_value(name)} has no list of encodings")
    fields: dict[str, object] = {"name": name}
    for field, old in (("dtype", "dtype"), ("bw", "bitwidth"), ("is_sym", "is_symmetric")):
        values = [part[old] for part in parts if old in part]
        if any(value != values[0] for value in values):
            raise ValueError(f"{shorten_value(name)} has channels of different {old}")
        fields |= {field: values[0]} if values else {}
    for field in ("scale", "offset", "min", "max"):
        fields[field] = [part[field] for part in parts if field in part]
    return fields


_Entries = Annotated[list[_Entry], BeforeValidator(_entries)]


class _File(_Part):
    version: Text
    activation_encodings: _Entries
    param_encodings: _Entries = []


def _checked(entry: _Entry) -> Encoding:
    if entry.dtype.upper() != "INT" or entry.bits != BITS:
        raise ValueError(
            f"{entry.name} is {entry.dtype} of {entry.bits} bits, and kit's formats have INT of "
            f"{BITS} bits"
        )
    scales, offsets = entry.scales, entry.offsets
    if not scales and len(entry.low) == len(entry.high):
        pairs = list(zip(entry.low, entry.high, strict=True))
        if any(not low <= 0 <= high or low == high for low, high in pairs):
            raise ValueError(f"the range of {entry.name} does not hold zero, or nothing else")
        scales = [(high - low) / LEVELS for low, high in pairs]
        offsets = [round(low / scale) for (low, _), scale in zip(pairs, scales, strict=True)]
    if not scales or len(scales) != len(offsets):
        raise ValueError(f"{entry.name} has {len(scales)} scales and {len(offsets)} offsets")
    return Encoding(
        name=entry.name,
        scales=tuple(scales),
        offsets=tuple(offsets),
        symmetric=entry.symmetric,
    )


def _activation(entry: _Entry) -> Encoding:
    encoding = _checked(entry)
    if len(encoding.scales) != 1:
        raise ValueError(
            f"{encoding.name} has {len(encoding.scales)} scales; an activation has one"
        )
    return encoding


def _weight(entry: _Entry) -> Encoding:
    encoding = _checked(entry)
    if any(offset != MIDDLE for offset in encoding.offsets):
        raise ValueError(f"{encoding.name} is not symmetric: weights have offset {MIDDLE}")
    return encoding
