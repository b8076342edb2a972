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

import numpy as np
from numpy.typing import NDArray

from kit import files


def read(path: Path, shape: tuple[int, ...], rows: int) -> NDArray[np.float32]:
    """Return the first `rows` of the array [N, *shape] in a file, or all if there are fewer.

    Raises:
        OSError: the file cannot be read, or is not a regular file.
        ValueError: it holds something else. The message is one line.
    """
    with files.open_regular(path) as file:
        found = _read_header(file)
        if found[1:] != shape:
            raise ValueError(f"its shape is {_shown(found)}")
        size = 4 * math.prod(found)
        rest = os.fstat(file.fileno()).st_size - file.tell()
        if size != rest:
            raise ValueError(f"its shape {_shown(found)} takes {size} bytes, and {rest} follow")
        wanted = (min(rows, found[0]), *shape)
        content = file.read(4 * math.prod(wanted))
    return np.frombuffer(content, "<f4").reshape(wanted).astype(np.float32)


def _read_header(file: BufferedReader) -> tuple[int, ...]:
    try:
        version = np.lib.format.read_magic(file)
        if version != (1, 0):  # later ones are for headers of more than 64 KB
            raise ValueError(f"its version of the format is {version}")
        shape, fortran, dtype = np.lib.format.read_array_header_1_0(file)
    except (SyntaxError, TypeError, RecursionError, MemoryError, TokenError) as exc:
        raise ValueError("its header is broken") from exc
    except ValueError as exc:
        raise ValueError(str(exc).splitlines()[0][:200]) from exc
    if dtype != np.dtype("<f4"):
        raise ValueError(f"its numbers are {dtype}"[:100])
    if fortran:
        raise ValueError("its order is Fortran's")
    if not all(isinstance(side, int) and side >= 0 for side in shape):
        raise ValueError(f"its shape is {_shown(shape)}")
    return tuple(shape)


def _shown(shape: tuple[int, ...]) -> str:
    return str(list(shape))[:100]
