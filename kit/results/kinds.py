"""The kinds of results."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from kit.results.accuracy import AccuracyResult
from kit.results.latency import LatencyResult
from kit.results.processors import ProcessorsResult

AnyResult = LatencyResult | AccuracyResult | ProcessorsResult
Result = Annotated[AnyResult, Field(discriminator="kind")]
KINDS = ("latency", "accuracy", "processors")
