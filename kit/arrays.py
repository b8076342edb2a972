"""Reading arrays of ``.npy`` files that come from outside.

The header says how many numbers follow. Here it is checked against what is wanted and against
the size of the file before anything is allocated, and nothing is ever unpickled.
https://numpy.org/doc/stable/reference/generated/numpy.lib.format.html
"""

from __future__ import annotations

import math
import os
from io import BufferedReader
from pathlib import Path
from tokenize import TokenError
from typing import Any

import numpy as np

from kit import files
from kit.signature import AnyArray, TensorSpec


def read(path: Path, spec: TensorSpec, rows: int) -> AnyArray:
    """Return the first `rows` of a tensor's values in a file, or all if there are fewer.

    Args:
        path: of the file, which holds [N, *spec.sample_shape].
        spec: of the tensor.
        rows: limit of N.

    Raises:
        OSError: the file cannot be read, or is not a regular file.
        ValueError: it holds something else. The message is one line.
    """
    with files.open_regular(path) as file:
        found, dtype = _read_header(file)
        if dtype != spec.numpy_type:
            raise ValueError(f"its numbers are {dtype}, not {spec.dtype}"[:100])
        if found[1:] != spec.sample_shape or not found:
            raise ValueError(f"its shape is {_shown(found)}")
        size = dtype.itemsize * math.prod(found)
        rest = os.fstat(file.fileno()).st_size - file.tell()
        if size != rest:
            raise ValueError(f"its shape {_shown(found)} takes {size} bytes, and {rest} follow")
        wanted = (min(rows, found[0]), *spec.sample_shape)
        content = file.read(dtype.itemsize * math.prod(wanted))
    return np.frombuffer(content, dtype).reshape(wanted).astype(spec.dtype)


def _read_header(file: BufferedReader) -> tuple[tuple[int, ...], np.dtype[Any]]:
    try:
        version = np.lib.format.read_magic(file)
        if version != (1, 0):  # later ones are for headers of more than 64 KB
            raise ValueError(f"its version of the format is {version}")
        shape, fortran, dtype = np.lib.format.read_array_header_1_0(file)
    except (SyntaxError, TypeError, RecursionError, MemoryError, TokenError) as exc:
        raise ValueError("its header is broken") from exc
    except ValueError as exc:
        raise ValueError(str(exc).splitlines()[0][:200]) from exc
    if fortran:
        raise ValueError("its order is Fortran's")
    if not all(isinstance(side, int) and side >= 0 for side in shape):
        raise ValueError(f"its shape is {_shown(shape)}")
    return tuple(shape), dtype


def _shown(shape: tuple[int, ...]) -> str:
    return str(list(shape))[:100]
