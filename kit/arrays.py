"""Read untrusted ``.npy`` files and ``.npz`` archives.

The header gives the number of values that follow. It is checked against the expected shape and
the size of the file before memory is allocated, and nothing is ever unpickled.
https://numpy.org/doc/stable/reference/generated/numpy.lib.format.html
"""

from __future__ import annotations

import io
import math
import os
import struct
import zipfile
import zlib
from pathlib import Path
from tokenize import TokenError
from typing import IO

import numpy as np

from kit.files import untrusted
from kit.signature import MAX_TENSORS, AnyArray, TensorSpec

MAX_BYTES = 2**30  # of one array in an archive
_METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)


def read(path: Path, spec: TensorSpec, rows: int) -> AnyArray:
    """Return the first `rows` samples of a tensor in a file, or all if there are fewer.

    Args:
        path: of the file, which holds [N, *spec.sample_shape].
        spec: of the tensor.
        rows: limit of N.

    Raises:
        OSError: the file cannot be read, or is not a regular file.
        ValueError: it does not hold such an array. The message is one line.
    """
    with untrusted.open_regular(path) as file:
        shape, dtype = _read_header(file)
        if dtype != spec.numpy_type:
            raise ValueError(f"its numbers are {dtype}, not {spec.dtype}"[:100])
        if shape[1:] != spec.sample_shape or not shape:
            raise ValueError(f"its shape is {_shown(shape)}")
        _check_size(shape, dtype, os.fstat(file.fileno()).st_size - file.tell())
        read_shape = (min(rows, shape[0]), *spec.sample_shape)
        content = file.read(dtype.itemsize * math.prod(read_shape))
    return np.frombuffer(content, dtype).reshape(read_shape).astype(spec.dtype)


def read_archive(content: bytes) -> dict[str, AnyArray]:
    """Return the arrays of an ``.npz`` file by name.

    Args:
        content: of the file.

    Raises:
        ValueError: it is not an ``.npz`` file, or is unsafe to read. The message is one line.
    """
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            infos = archive.infolist()
            if not 1 <= len(infos) <= MAX_TENSORS:
                raise ValueError(f"it holds {len(infos)} arrays, not 1 to {MAX_TENSORS}")
            return {info.filename.removesuffix(".npy"): _member(archive, info) for info in infos}
    except (zipfile.BadZipFile, zlib.error, EOFError, OSError, RuntimeError, struct.error) as exc:
        raise ValueError(f"it is not an .npz file: {str(exc).splitlines()[0][:200]}") from exc


def _member(archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> AnyArray:
    name = info.filename[:80]
    if info.flag_bits & 0x1 or info.compress_type not in _METHODS:
        raise ValueError(f"{name} is encrypted or compressed in another way than numpy does")
    if info.file_size > MAX_BYTES:
        raise ValueError(f"{name} is larger than {MAX_BYTES >> 20} MB")
    with archive.open(info) as member:
        content = member.read(MAX_BYTES + 1)
    try:
        return _parse(content)
    except ValueError as exc:
        raise ValueError(f"{name}: {exc}") from exc


def _parse(content: bytes) -> AnyArray:
    file = io.BytesIO(content)
    shape, dtype = _read_header(file)
    _check_size(shape, dtype, len(content) - file.tell())
    if dtype.hasobject or dtype.kind not in "biuf":
        raise ValueError(f"its values are {dtype}, not numbers"[:100])
    return np.frombuffer(file.read(), dtype).reshape(shape)


def _check_size(shape: tuple[int, ...], dtype: np.dtype[np.generic], rest: int) -> None:
    size = dtype.itemsize * math.prod(shape)
    if size != rest:
        raise ValueError(f"its shape {_shown(shape)} takes {size} bytes, and {rest} follow")


def _read_header(file: IO[bytes]) -> tuple[tuple[int, ...], np.dtype[np.generic]]:
    try:
        version = np.lib.format.read_magic(file)
        if version != (1, 0):  # later ones: headers above 64 KB, or names in UTF-8
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
