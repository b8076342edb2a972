"""Read the bytecode of a Lite Interpreter file, whose instructions say which overload they call.

The archive stores it as a pickle of tuples: a version, then for each function its name and its
tables. Constants are beside them as objects of torch, which are not made here: a file is never
trusted, and nothing but numbers and text is needed.

https://github.com/pytorch/pytorch/blob/main/torch/csrc/jit/serialization/export_bytecode.cpp
"""

from __future__ import annotations

import io
import pickle
import zipfile
from collections import Counter
from pathlib import Path

_CALLS = {"OP", "OPN"}  # N: of a variable number of arguments
# What an unpickler raises for bytes that are no pickle, and a reader for a pickle of other things.
MALFORMED = (
    pickle.UnpicklingError,
    AttributeError,
    EOFError,
    IndexError,
    KeyError,
    OverflowError,
    TypeError,
    ValueError,
)


class _Ignored:
    """Stands for any object of torch."""

    def __new__(cls, *_: object) -> _Ignored:
        return object.__new__(cls)

    def __setstate__(self, _: object) -> None:
        """Keep nothing."""


class _Unpickler(pickle.Unpickler):
    """Makes no object of any class that a file names."""

    def find_class(self, module_name: str, name: str, /) -> type[_Ignored]:
        return _Ignored

    def persistent_load(self, _: object) -> None:
        return None


def count_operators(path: Path) -> Counter[str]:
    """Return how many instructions call an operator, by its name with the overload.

    Raises:
        Exception: one of `MALFORMED`, or `zipfile.BadZipFile`: it is not a Lite Interpreter file.
    """
    with zipfile.ZipFile(path) as archive:
        (member,) = (name for name in archive.namelist() if name.endswith("/bytecode.pkl"))
        content = archive.read(member)
    _, *functions = _Unpickler(io.BytesIO(content)).load()
    counts: Counter[str] = Counter()
    for function in functions:
        tables = dict(function[1])
        names = [".".join(filter(None, entry[:2])) for entry in tables["operators"]]
        counts.update(names[entry[1]] for entry in tables["instructions"] if entry[0] in _CALLS)
    return counts
