"""Numbers about two sets of logits, and whether they are near enough."""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import NDArray

from kit.manifest import Comparison

Against = Literal["quantized graph", "float reference"]
Array = NDArray[np.float32]


def sqnr_db(reference: Array, other: Array) -> float | None:
    """Return the signal to quantization noise ratio in dB; None when the two are equal.

    ``10 log10(sum(reference²) / sum((reference - other)²))`` over all logits.
    """
    signal = reference.astype(np.float64)
    noise = float(np.square(signal - other.astype(np.float64)).sum())
    if noise == 0.0:
        return None
    return float(10 * np.log10(max(float(np.square(signal).sum()), 1e-30) / noise))


def compare(
    against: Against, reference: Array, other: Array, thresholds: dict[str, float]
) -> Comparison:
    """Compare logits [N, classes].

    Args:
        against: what `reference` is.
        reference: the answers that count as right.
        other: the answers to judge.
        thresholds: ``agreement`` (least share, 0..1), ``sqnr_db`` (least, dB) and
            ``max_abs`` (most); a missing one is not asked for.
    """
    finite = bool(np.isfinite(other).all())
    ratio = sqnr_db(reference, other) if finite else -np.inf
    agreement = float(np.mean(reference.argmax(1) == other.argmax(1))) if finite else 0.0
    max_abs = float(np.abs(reference - other).max()) if finite else np.inf
    passed = (
        finite
        and agreement >= thresholds.get("agreement", 0.0)
        and (ratio is None or ratio >= thresholds.get("sqnr_db", -np.inf))
        and max_abs <= thresholds.get("max_abs", np.inf)
    )
    return Comparison(
        against=against,
        images=len(reference),
        max_abs=max_abs,
        sqnr_db=ratio,
        agreement=agreement,
        passed=passed,
        thresholds=thresholds,
    )


def describe_logits(logits: Array) -> str:
    """Return statistics of logits [N, classes] in words, for messages."""
    top = ", ".join(str(int(i)) for i in logits.argmax(1)[:8])
    return (
        f"mean {logits.mean():.3f}, std {logits.std():.3f}, min {logits.min():.3f}, "
        f"max {logits.max():.3f}, first answers {top}"
    )
