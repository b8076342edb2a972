"""The flatbuffer of TFLite Metadata: pack and unpack it as nested dictionaries.

Only the tables that kit writes are listed, each with all of its fields in the schema's order, which
is that of their slots. https://ai.google.dev/edge/litert/models/metadata describes them.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from flatbuffers import Builder
    from flatbuffers.table import Table

IDENTIFIER = b"M001"
ROOT = "ModelMetadata"
UNKNOWN, RGB, GRAYSCALE = 0, 1, 2  # ColorSpaceType
AXIS_LABELS = 2  # AssociatedFileType: names of the places on an axis of the tensor
FEATURE, IMAGE = 1, 2  # of the union of a content's properties
NORMALIZATION = 1  # of the union of a process unit's options
_MAX_TABLES = 10_000  # of a file; a damaged one could name its tables again and again

Value = Any  # of a table: text, numbers, tables and lists of these
Fields = dict[str, Value]

_SCHEMA: Mapping[str, Mapping[str, str]] = {
    "ModelMetadata": {
        "name": "string",
        "description": "string",
        "version": "string",
        "subgraph_metadata": "[SubGraphMetadata]",
        "author": "string",
        "license": "string",
        "associated_files": "[AssociatedFile]",
        "min_parser_version": "string",
    },
    "SubGraphMetadata": {
        "name": "string",
        "description": "string",
        "input_tensor_metadata": "[TensorMetadata]",
        "output_tensor_metadata": "[TensorMetadata]",
        "associated_files": "[AssociatedFile]",
        "input_process_units": "[ProcessUnit]",
        "output_process_units": "[ProcessUnit]",
    },
    "TensorMetadata": {
        "name": "string",
        "description": "string",
        "dimension_names": "[string]",
        "content": "Content",
        "process_units": "[ProcessUnit]",
        "stats": "Stats",
        "associated_files": "[AssociatedFile]",
    },
    "Content": {"content_properties_type": "ubyte", "content_properties": "union"},
    "FeatureProperties": {},
    "ImageProperties": {"color_space": "byte", "default_size": "ImageSize"},
    "ImageSize": {"width": "uint", "height": "uint"},
    "ProcessUnit": {"options_type": "ubyte", "options": "union"},
    "NormalizationOptions": {"mean": "[float]", "std": "[float]"},
    "Stats": {"max": "[float]", "min": "[float]"},
    "AssociatedFile": {
        "name": "string",
        "description": "string",
        "type": "byte",
        "locale": "string",
        "version": "string",
    },
}
_UNIONS = {
    "content_properties": {FEATURE: "FeatureProperties", IMAGE: "ImageProperties"},
    "options": {NORMALIZATION: "NormalizationOptions"},
}


def pack(fields: Fields) -> bytes:
    """Return the flatbuffer of a `ModelMetadata`."""
    import flatbuffers

    builder = flatbuffers.Builder(1024)
    builder.Finish(_write(builder, ROOT, fields), file_identifier=IDENTIFIER)
    return bytes(builder.Output())


def _write(builder: Builder, name: str, fields: Fields) -> int:
    schema = _SCHEMA[name]
    kinds = {field: _find_kind(schema, field, fields) for field in fields}
    written = {
        field: _write_part(builder, kind, fields[field])
        for field, kind in kinds.items()
        if kind not in _NUMBERS
    }
    builder.StartObject(len(schema))
    for slot, field in enumerate(schema):
        if field in written:
            builder.PrependUOffsetTRelativeSlot(slot, written[field], 0)
        elif field in fields:
            getattr(builder, f"Prepend{_NUMBERS[kinds[field]]}Slot")(slot, fields[field], 0)
    return int(builder.EndObject())


_NUMBERS = {"byte": "Int8", "ubyte": "Uint8", "uint": "Uint32"}  # names of them in flatbuffers


def _find_kind(schema: Mapping[str, str], field: str, fields: Fields) -> str:
    """Return the type of a field: for a union, the table that its other field names."""
    kind = schema[field]
    return _UNIONS[field].get(fields[f"{field}_type"], "") if kind == "union" else kind


def _write_part(builder: Builder, kind: str, value: Value) -> int:
    """Write what a table refers to, and return its offset."""
    if kind == "string":
        return int(builder.CreateString(value))
    if kind == "[float]":
        return int(builder.CreateNumpyVector(np.asarray(value, np.float32)))
    if not kind.startswith("["):
        return _write(builder, kind, value)
    offsets = [_write_part(builder, kind[1:-1], one) for one in value]
    builder.StartVector(4, len(offsets), 4)
    for offset in reversed(offsets):
        builder.PrependUOffsetTRelative(offset)
    return int(builder.EndVector())


def unpack(content: bytes) -> Fields:
    """Return the fields of a `ModelMetadata`, without those that kit does not write.

    Raises:
        ValueError: the content is something else; damaged ones raise other errors too.
    """
    import flatbuffers
    from flatbuffers.table import Table

    if content[4:8] != IDENTIFIER:
        raise ValueError(f"its metadata has the identifier {content[4:8]!r}, not {IDENTIFIER!r}")
    start = flatbuffers.encode.Get(flatbuffers.packer.uoffset, content, 0)
    return _Reader().read(Table(content, start), ROOT)


class _Reader:
    """Reads the tables of one file."""

    def __init__(self) -> None:
        self._tables = 0

    def read(self, table: Table, name: str) -> Fields:
        self._tables += 1
        if self._tables > _MAX_TABLES:
            raise ValueError(f"its metadata has more than {_MAX_TABLES} tables")
        schema, fields = _SCHEMA[name], Fields()
        for slot, field in enumerate(schema):
            place = table.Offset(4 + 2 * slot)
            if place and (kind := _find_kind(schema, field, {f"{field}_type": 0, **fields})):
                fields[field] = self._read_part(table, table.Pos + place, kind)
        return fields

    def _read_part(self, table: Table, place: int, kind: str) -> Value:
        from flatbuffers import number_types
        from flatbuffers.table import Table

        if kind in _NUMBERS:
            return table.Get(getattr(number_types, f"{_NUMBERS[kind]}Flags"), place)
        if kind == "string":
            return table.String(place).decode("utf-8", "replace")
        if not kind.startswith("["):
            return self.read(Table(table.Bytes, table.Indirect(place)), kind)
        start = place + table.Get(number_types.UOffsetTFlags, place)
        count = table.Get(number_types.UOffsetTFlags, start)
        if count > _MAX_TABLES:
            raise ValueError(f"its metadata has a list of {count} values")
        places = [start + 4 + 4 * number for number in range(count)]
        if kind == "[float]":
            return [table.Get(number_types.Float32Flags, one) for one in places]
        return [self._read_part(table, one, kind[1:-1]) for one in places]
