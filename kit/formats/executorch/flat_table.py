"""Read tables of a flatbuffer from its bytes, in pure Python (https://flatbuffers.dev/internals/).

A damaged file raises an error and cannot crash the interpreter.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator

U8, U16, I16, I32, U32, U64, F32 = (struct.Struct(f"<{c}") for c in "BHhiIQf")


class FlatTable:
    """One table of a flatbuffer; fields are given by their number in the schema.

    https://flatbuffers.dev/internals/ - a table begins with the distance back to its
    vtable, which holds its own size, the table's, and per field the offset in the table.
    """

    __slots__ = ("_data", "_position", "_vtable", "_vtable_size")

    def __init__(self, data: bytes, position: int) -> None:
        self._data = data
        self._position = position
        self._vtable = position - I32.unpack_from(data, position)[0]
        self._vtable_size = U16.unpack_from(data, self._vtable)[0]
        if self._vtable_size < 4:
            raise ValueError(f"there is no table at {position}")

    @classmethod
    def root(cls, data: bytes) -> FlatTable:
        """Return the root of a flatbuffer."""
        return cls(data, U32.unpack_from(data)[0])

    def _at(self, field: int) -> int | None:
        slot = 4 + 2 * field
        if slot >= self._vtable_size:
            return None
        offset = U16.unpack_from(self._data, self._vtable + slot)[0]
        return self._position + offset if offset else None

    def _target(self, at: int) -> int:
        target: int = at + U32.unpack_from(self._data, at)[0]
        return target

    def number(self, field: int, form: struct.Struct) -> int:
        """Return an unsigned integer, 0 if it is absent."""
        at = self._at(field)
        return 0 if at is None else int(form.unpack_from(self._data, at)[0])

    def octets(self, field: int) -> bytes:
        """Return a string or a vector of bytes, empty if it is absent."""
        at = self._at(field)
        if at is None:
            return b""
        start = self._target(at)
        length = U32.unpack_from(self._data, start)[0]
        return self._data[start + 4 : start + 4 + length]

    def text(self, field: int) -> str:
        """Return a string, empty if it is absent."""
        return self.octets(field).decode()

    def table(self, field: int) -> FlatTable:
        """Return a table."""
        at = self._at(field)
        if at is None:
            raise ValueError(f"field {field} is absent")
        return FlatTable(self._data, self._target(at))

    def numbers(self, field: int, form: struct.Struct) -> list[float]:
        """Return a vector of numbers, empty if it is absent."""
        at = self._at(field)
        if at is None:
            return []
        start = self._target(at)
        count = U32.unpack_from(self._data, start)[0]
        if count * form.size > len(self._data):
            raise ValueError(f"a vector has {count} items")
        return [
            form.unpack_from(self._data, start + 4 + form.size * index)[0] for index in range(count)
        ]

    def has(self, field: int) -> bool:
        """Return whether a field is not absent."""
        return self._at(field) is not None

    def decimal(self, field: int) -> float:
        """Return a float32, 0 if it is absent."""
        at = self._at(field)
        return 0.0 if at is None else float(F32.unpack_from(self._data, at)[0])

    def tables(self, field: int) -> Iterator[FlatTable]:
        """Yield the tables of a vector."""
        at = self._at(field)
        if at is None:
            return
        start = self._target(at)
        for index in range(U32.unpack_from(self._data, start)[0]):
            yield FlatTable(self._data, self._target(start + 4 + 4 * index))
