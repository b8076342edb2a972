"""Limits of the accuracy gate, which include their own value."""

from __future__ import annotations

import pytest

from kit.manifest.build_records import GateRow
from kit.pipeline import Gate

COUNTS = (50, 100, 200, 436, 512)


def measured(drop: float = 0.0, agreement: float = 100.0) -> GateRow:
    return GateRow(format="onnx", precision="int8", drop=drop, agreement=agreement, sqnr_db=None)


@pytest.mark.parametrize("count", COUNTS)
def test_a_file_at_the_limit_passes(count):
    """Percentages of counts are rounded: 100 * (7 / 100) - 100 * (6 / 100) exceeds 1."""
    for right in range(1, count):
        row = measured(100 * (right / count) - 100 * ((right - 1) / count))
        assert Gate(max_drop=100 / count).explain_failure(row) == []
        row = measured(agreement=100 * (right / count))
        assert Gate(min_agreement=100 * right / count).explain_failure(row) == []


def test_one_answer_beyond_the_limit_fails():
    drop = measured(100 * (8 / 100) - 100 * (6 / 100))
    assert Gate(max_drop=1.0).explain_failure(drop) == [
        "onnx-int8 loses 2.00 points, the limit is 1"
    ]
    (sentence,) = Gate(min_agreement=29).explain_failure(measured(agreement=100 * (28 / 100)))
    assert sentence == "onnx-int8 agrees on 28.0 %, the limit is 29 %"
