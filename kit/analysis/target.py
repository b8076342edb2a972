"""The target of a repair: ``22dB``, ``97%`` or ``1.0``."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

from kit.analysis.score import Score
from kit.errors import UsageError

_TARGET = re.compile(r"(?P<number>\d+(\.\d+)?) ?(?P<unit>db|%|)", re.IGNORECASE)


@dataclass(frozen=True)
class RepairTarget:
    """A limit on one number.

    Attributes:
        measure: SQNR in dB, agreement in percent, or points of top-1 lost.
        limit: minimum SQNR or agreement, maximum drop.
    """

    measure: Literal["sqnr", "agreement", "drop"]
    limit: float

    def value(self, score: Score) -> float:
        """Return a score's value in this measure; higher is better."""
        if self.measure == "sqnr":
            return float("inf") if score.sqnr_db is None else score.sqnr_db
        if self.measure == "agreement":
            return 100 * score.agreement
        assert score.drop is not None
        return -score.drop

    def met(self, score: Score) -> bool:
        """Whether a score reaches the target."""
        threshold = -self.limit if self.measure == "drop" else self.limit
        return self.value(score) >= threshold - 1e-9  # 3 of 4 pictures lost are 75.0 points

    def __str__(self) -> str:
        return {
            "sqnr": f"an SQNR of {self.limit:g} dB",
            "agreement": f"an agreement of {self.limit:g} %",
            "drop": f"a drop of at most {self.limit:g} points of top-1",
        }[self.measure]


def parse(text: str) -> RepairTarget:
    """Parse a target.

    Raises:
        UsageError: the text is no target.
    """
    hint = "for example 22dB (SQNR), 97% (agreement), or 1.0 (points of top-1 that may be lost)"
    match = _TARGET.fullmatch(text.strip())
    if match is None:
        raise UsageError(f"the target {text!r} is not understood", hint)
    number, unit = float(match["number"]), match["unit"].lower()
    if unit != "db" and number > 100:
        raise UsageError(f"the target {text!r} is more than 100 percent", hint)
    if unit == "db":
        return RepairTarget("sqnr", number)
    return RepairTarget("agreement" if unit == "%" else "drop", number)
