"""Check a runner's answer against the golden output, so that no wrong answer is timed."""

from __future__ import annotations

import numpy as np

from kit import formats
from kit.artifact_key import FLOAT_MODEL, REFERENCE, ArtifactKey
from kit.bundles.bundle import Bundle
from kit.comparison import compute_sqnr_db
from kit.errors import BundleError, RunError
from kit.signature import Samples, unpack

# Float kernels of different CPUs or numbers of threads differ by rounding only.
FLOAT_SQNR_DB = 40.0


def load(bundle: Bundle, name: str, rows: int = 1) -> tuple[Samples, Samples]:
    """Return the first golden inputs and a file's golden answers to them.

    Raises:
        BundleError: one is missing, or is no array of the expected shape.
    """
    golden = bundle.manifest.golden
    name = name if name == REFERENCE else bundle.manifest.artifact(name).name
    if name not in golden.outputs:
        raise BundleError(f"{bundle.path} has no golden output of {name}", "build it again")
    return bundle.read_inputs(rows), bundle.read_answers(golden.outputs[name], rows)


def check(key: ArtifactKey, quantize: str, answer: bytes, expected: Samples) -> float:
    """Return the largest difference of an answer from the golden output.

    Args:
        key: of the file.
        quantize: its method.
        answer: what a runner wrote for one inference.
        expected: the golden answer to the same input.

    Raises:
        RunError: the answer is wrong: not equal if the runtime is exact, and below the
            format's SQNR threshold otherwise.
    """
    name, largest, threshold = key.name, 0.0, _sqnr_threshold(key, quantize)
    size = sum(spec.size for spec in expected.specs)
    if len(answer) != size:
        raise _wrong(name, f"{len(answer)} bytes instead of {size}")
    outputs = zip(expected.arrays, unpack(expected.specs, answer).arrays, strict=True)
    for golden, actual in outputs:
        differs = actual != golden  # equal infinities, of a masked score for example, do not
        difference = np.abs(actual[differs].astype(np.float64) - golden[differs])
        if not np.isfinite(difference).all():
            raise _wrong(name, "numbers that are not finite")
        off = float(difference.max(initial=0.0))
        if off > 0 and threshold is None:
            raise _wrong(name, f"numbers off by up to {off:.3g}, where {name} is exact")
        finite = np.isfinite(golden)
        ratio = compute_sqnr_db(golden[finite], actual[finite])
        if threshold is not None and ratio is not None and ratio < threshold:
            raise _wrong(name, f"an SQNR of {ratio:.1f} dB, below {threshold:g} dB")
        largest = max(largest, off)
    return largest


def _sqnr_threshold(key: ArtifactKey, quantize: str) -> float | None:
    """Return the minimum SQNR in dB; None requires equality."""
    if key == FLOAT_MODEL or quantize == "none":
        return FLOAT_SQNR_DB
    thresholds = formats.get_format(key.format).find_thresholds(key.backend)
    return None if thresholds is None else thresholds.sqnr_db


def _wrong(name: str, reason: str) -> RunError:
    return RunError(
        f"{name}: the runner's answer to golden input 0 is not the bundle's: {reason}",
        "the runtime here computes something else; build the bundle again on this machine",
    )
