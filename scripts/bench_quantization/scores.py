"""Numbers about a set of answers, and rows of the table: pure."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float32]

HEADS = (
    "int8 model by",
    "run by",
    "top-1 %",
    "drop",
    "agree %",
    "SQNR dB",
    "MB",
    "s",
)


@dataclass(frozen=True)
class Score:
    """Answers against labels and against the float model's; shares are between 0 and 1.

    Attributes:
        top1: share of pictures whose label is the first answer; None without labels.
        agreement: share of pictures with the float model's first answer.
        sqnr_db: of the logits against the float model's; None when they are equal.
    """

    images: int
    top1: float | None
    agreement: float
    sqnr_db: float | None


@dataclass(frozen=True)
class Row:
    """One line of the table.

    Attributes:
        name: for programs.
        title: for people.
        runs_on: the runtime and its version.
        score: None if there is none; `failed` holds the reason.
        bytes: of the model file or files.
        seconds: by step, from the float model to the int8 file.
        details: method, versions.
    """

    name: str
    title: str
    runs_on: str = "-"
    score: Score | None = None
    bytes: int | None = None
    seconds: dict[str, float] = field(default_factory=dict)
    details: dict[str, Any] = field(default_factory=dict)
    failed: str | None = None


def score(logits: Array, reference: Array, labels: NDArray[np.int64] | None) -> Score:
    """Judge logits [N, classes] as `kit eval` does: of equal logits the lowest index is first.

    Raises:
        ValueError: the shapes differ, or an answer is NaN or infinite.
    """
    from kit.comparison import compute_sqnr_db

    if logits.shape != reference.shape:
        raise ValueError(f"the answers have shape {logits.shape}, not {reference.shape}")
    if not np.isfinite(logits).all():
        raise ValueError("an answer is NaN or infinite")
    first = logits.argmax(1)
    return Score(
        images=len(logits),
        top1=None if labels is None else float(np.mean(first == labels)),
        agreement=float(np.mean(first == reference.argmax(1))),
        sqnr_db=compute_sqnr_db(reference, logits),
    )


def standard_error(share: float, images: int) -> float:
    """Return the binomial standard error, 0..1, of a share that was counted on pictures."""
    return math.sqrt(share * (1 - share) / images)


def cells(row: Row, whole: Score) -> list[str]:
    """Return the table's cells of a row; `whole` is the float model's score."""
    from kit.results.statistics import compute_top1_margin95

    result = row.score
    if result is None:
        return [row.title, row.runs_on, *["-"] * (len(HEADS) - 2)]
    drop = "-"
    if result.top1 is not None and whole.top1 is not None:
        margin = compute_top1_margin95(result.agreement, result.images)
        drop = f"{100 * (whole.top1 - result.top1):+.2f} ± {100 * margin:.1f}"
    return [
        row.title,
        row.runs_on,
        "-" if result.top1 is None else f"{100 * result.top1:.2f}",
        "-" if result is whole else drop,
        f"{100 * result.agreement:.1f}",
        "equal" if result.sqnr_db is None else f"{result.sqnr_db:.1f}",
        "-" if row.bytes is None else f"{row.bytes / 1e6:.2f}",
        f"{sum(row.seconds.values()):.0f}" if row.seconds else "-",
    ]


def noise(whole: Score) -> str:
    """Return a sentence on how much of a difference is chance."""
    if whole.top1 is None:
        return "the pictures have no labels: only agreement and SQNR are compared"
    error = 100 * standard_error(whole.top1, whole.images)
    return (
        f"n = {whole.images}: standard error of top-1 {error:.1f} points; "
        "after ± half the 95 % interval of the drop, both on the same pictures; "
        "agreement and SQNR, against the float model, rank better than top-1"
    )


def record(rows: Sequence[Row], whole: Score) -> list[dict[str, Any]]:
    """Return the rows for JSON, each with its drop and the margin of it in points."""
    from kit.results.statistics import compute_top1_margin95

    result = []
    for row in rows:
        fields = asdict(row)
        if row.score is not None and row.score.top1 is not None and whole.top1 is not None:
            margin = compute_top1_margin95(row.score.agreement, row.score.images)
            fields["drop_points"] = 100 * (whole.top1 - row.score.top1)
            fields["drop_margin95_points"] = 100 * margin
        result.append(fields)
    return result
