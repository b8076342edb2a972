"""SQNR, largest difference and cosine of each output against the float model's."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np

from kit.comparison import compute_cosine
from kit.results.accuracy import OutputRow
from kit.signature import Samples, Signature
from kit.tasks.evaluation import Tally

_TINY = float(np.finfo(np.float64).tiny)  # avoids log10(0) where the signal is zero


class TensorsTally(Tally):
    """Sums for each output over the samples so far."""

    def __init__(self, signature: Signature) -> None:
        count = len(signature.outputs)
        self._names = [spec.name for spec in signature.outputs]
        self._samples = 0
        self._signal, self._noise = [0.0] * count, [0.0] * count
        self._max_abs, self._cosine = [0.0] * count, [0.0] * count

    def add(self, answers: Samples, reference: Samples, targets: Sequence[None]) -> None:
        """Add answers [N, ...] per output, and the float model's answers."""
        self._samples += len(answers)
        pairs = zip(reference.arrays, answers.arrays, strict=True)
        for number, (right, answer) in enumerate(pairs):
            wide = right.astype(np.float64)
            difference = wide - answer
            self._signal[number] += float((wide**2).sum())
            self._noise[number] += float((difference**2).sum())
            largest = float(np.abs(difference).max())
            self._max_abs[number] = max(self._max_abs[number], largest)
            self._cosine[number] += compute_cosine(right, answer) * len(answers)

    def measure(self) -> Mapping[str, object]:
        """Return a row per output, and the lowest SQNR of all in dB."""
        rows = tuple(
            OutputRow(
                name=name,
                sqnr_db=self._sqnr_db(number),
                max_abs=self._max_abs[number],
                cosine=self._cosine[number] / self._samples,
            )
            for number, name in enumerate(self._names)
        )
        ratios = [row.sqnr_db for row in rows if row.sqnr_db is not None]
        return {"agreement": None, "sqnr_db": min(ratios, default=None), "outputs": rows}

    def _sqnr_db(self, number: int) -> float | None:
        if self._noise[number] == 0:
            return None
        return 10 * math.log10(max(self._signal[number], _TINY) / self._noise[number])
