"""Compare two sets of answers: agreement, SQNR, cosine, largest difference, and thresholds."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Literal, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from kit.manifest.artifacts import Comparison
from kit.signature import AnyArray

Against = Literal["quantized graph", "float reference"]
_TINY = 1e-30  # avoids log10(0) and division by zero


def compute_sqnr_db(reference: AnyArray, other: AnyArray) -> float | None:
    """Return the signal to quantization noise ratio in dB; None when the two are equal.

    ``10 log10(sum(reference²) / sum((reference - other)²))`` over all values.
    """
    signal = reference.astype(np.float64)
    noise = float(np.square(signal - other.astype(np.float64)).sum())
    if noise == 0.0:
        return None
    return float(10 * np.log10(max(float(np.square(signal).sum()), _TINY) / noise))


class SqnrSum:
    """The SQNR over answers that come in parts."""

    def __init__(self) -> None:
        self._signal = self._noise = 0.0

    def add(self, reference: AnyArray, other: AnyArray) -> None:
        """Add answers of equal shapes."""
        wide = reference.astype(np.float64)
        self._signal += float(np.square(wide).sum())
        self._noise += float(np.square(wide - other).sum())

    @property
    def sqnr_db(self) -> float | None:
        """Return the ratio in dB; None when all answers are equal."""
        if self._noise == 0.0:
            return None
        return float(10 * np.log10(max(self._signal, _TINY) / self._noise))


def compute_cosine(reference: AnyArray, other: AnyArray) -> float:
    """Return the mean cosine of the angle between answers [N, …]; equal answers have 1."""
    left, right = (a.reshape(len(a), -1).astype(np.float64) for a in (reference, other))
    lengths = np.linalg.norm(left, axis=1) * np.linalg.norm(right, axis=1)
    equal = (left == right).all(axis=1)
    cosines = (left * right).sum(axis=1) / np.maximum(lengths, _TINY)
    return float(np.where(equal, 1.0, cosines).clip(-1.0, 1.0).mean())


class Compared(Protocol):
    """A comparison of a manifest or a result."""

    @property
    def against(self) -> str:
        """Return the reference of a comparison."""

    @property
    def sqnr_db(self) -> float | None:
        """Return the SQNR in dB; None if they are equal."""


_C = TypeVar("_C", bound=Compared)


def find_worst(comparisons: Iterable[_C], against: str) -> _C | None:
    """Return the comparison with the lowest SQNR of all outputs, of those against one side."""
    candidates = [one for one in comparisons if one.against == against]
    return min(
        candidates, key=lambda one: np.inf if one.sqnr_db is None else one.sqnr_db, default=None
    )


def compare_logits(
    against: Against, reference: AnyArray, other: AnyArray, thresholds: Mapping[str, float]
) -> Comparison:
    """Compare logits [N, classes].

    Args:
        against: the kind of `reference`.
        reference: the reference answers.
        other: the answers to compare with them.
        thresholds: ``agreement`` (minimum share, 0..1), ``sqnr_db`` (minimum, dB) and
            ``max_abs`` (maximum); a missing one is not checked.
    """
    finite = bool(np.isfinite(other).all())
    agreement = float(np.mean(reference.argmax(1) == other.argmax(1))) if finite else 0.0
    return _judge(against, reference, other, thresholds, {"agreement": agreement})


def compare_tensors(
    against: Against,
    reference: AnyArray,
    other: AnyArray,
    thresholds: Mapping[str, float],
    output: str = "",
) -> Comparison:
    """Compare answers [N, …] of any meaning.

    Args:
        against: the kind of `reference`.
        reference: the reference answers.
        other: the answers to compare with them.
        thresholds: ``cosine`` (minimum), ``sqnr_db`` (minimum, dB) and ``max_abs`` (maximum);
            a missing one is not checked.
        output: name of the tensor, if a model has several.
    """
    finite = bool(np.isfinite(other).all())
    similarity = {"cosine": compute_cosine(reference, other) if finite else 0.0}
    comparison = _judge(against, reference, other, thresholds, similarity)
    return comparison.model_copy(update={"output": output})


def _judge(
    against: Against,
    reference: AnyArray,
    other: AnyArray,
    thresholds: Mapping[str, float],
    similarity: Mapping[str, float],
) -> Comparison:
    finite = bool(np.isfinite(other).all())
    ratio = compute_sqnr_db(reference, other) if finite else -np.inf
    difference: NDArray[np.float64] = reference.astype(np.float64) - other
    max_abs = float(np.abs(difference).max()) if finite else np.inf
    passed = (
        finite
        and all(value >= thresholds.get(name, -np.inf) for name, value in similarity.items())
        and (ratio is None or ratio >= thresholds.get("sqnr_db", -np.inf))
        and max_abs <= thresholds.get("max_abs", np.inf)
    )
    return Comparison(
        against=against,
        images=len(reference),
        max_abs=max_abs,
        sqnr_db=ratio,
        passed=passed,
        thresholds=dict(thresholds),
        **similarity,
    )


def describe_logits(logits: AnyArray) -> str:
    """Return statistics of logits [N, classes] in words, for messages."""
    top = ", ".join(str(int(i)) for i in logits.argmax(1)[:8])
    return f"{describe_values(logits)}, first answers {top}"


def describe_values(values: AnyArray) -> str:
    """Return statistics of an array in words, for messages."""
    wide = values.astype(np.float64)
    return (
        f"mean {wide.mean():.3f}, std {wide.std():.3f}, min {wide.min():.3f}, max {wide.max():.3f}"
    )
