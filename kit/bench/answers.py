"""A fast wrong answer is no result: the runner's answer against the golden output."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from kit import formats
from kit.bundle import REFERENCE, Bundle
from kit.errors import BundleError, RunError

Array = NDArray[np.float32]

# Float kernels of two CPUs, or for two numbers of threads, differ by rounding only.
FLOAT_SQNR_DB = 40.0


def load(bundle: Bundle, name: str) -> tuple[Array, Array]:
    """Return golden input 0 [1, 3, H, W] and the golden output [1, classes] of a format.

    Raises:
        BundleError: the bundle lacks one of them, or they are no arrays of that shape.
    """
    golden = bundle.manifest.golden
    if name not in golden.outputs:
        raise BundleError(f"{bundle.path} has no golden output of {name}", "build it again")
    manifest = bundle.manifest
    image = _first(bundle, golden.input, manifest.input.shape[1:])
    return image, _first(bundle, golden.outputs[name], (manifest.classes,))


def _first(bundle: Bundle, file: str, shape: tuple[int, ...]) -> Array:
    array = bundle.array(file, shape, 1)
    if not len(array) or not np.isfinite(array).all():
        what = "holds NaN or infinity" if len(array) else "is empty"
        raise BundleError(f"{file} in {bundle.path} {what}", "build it again")
    return array


def check(name: str, quantize: str, answer: bytes, expected: Array) -> float:
    """Return the largest difference of an answer, raw float32, from the golden output.

    Raises:
        RunError: the answer is too far off: not equal where the runtime is exact, and
            below the SQNR of the format elsewhere.
    """
    if len(answer) != 4 * expected.size:
        raise _wrong(name, f"{len(answer) / 4:g} numbers instead of {expected.size}")
    got = np.frombuffer(answer, dtype="<f4")
    wanted = expected.ravel().astype(np.float64)
    difference = got.astype(np.float64) - wanted
    if not np.isfinite(difference).all():
        raise _wrong(name, "numbers that are not finite")
    largest, floor = float(np.abs(difference).max()), _floor(name, quantize)
    if largest > 0 and floor is None:
        raise _wrong(name, f"numbers off by up to {largest:.3g}, where {name} is exact")
    ratio = _sqnr_db(wanted, difference)
    if floor is not None and ratio < floor:
        raise _wrong(name, f"an SQNR of {ratio:.1f} dB, below {floor:g} dB")
    return largest


def _floor(name: str, quantize: str) -> float | None:
    """Return the least SQNR in dB; None asks for equality."""
    if name == REFERENCE or quantize == "none":
        return FLOAT_SQNR_DB
    format_ = formats.get_format(name)
    return None if format_.exact else format_.thresholds.sqnr_db


def _sqnr_db(wanted: NDArray[np.float64], difference: NDArray[np.float64]) -> float:
    noise = float(np.square(difference).sum())
    if noise == 0.0:
        return np.inf
    return float(10 * np.log10(max(float(np.square(wanted).sum()), 1e-30) / noise))


def _wrong(name: str, what: str) -> RunError:
    return RunError(
        f"{name}: the runner's answer to golden input 0 is not the bundle's: {what}",
        "the runtime here computes something else; build the bundle again on this machine",
    )
