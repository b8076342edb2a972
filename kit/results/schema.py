"""Results of measurements: every raw sample and the context it was taken in.

Statistics are computed when a result is read (`kit.results.statistics`), so that a better
statistic never needs a new measurement. Schema history:

    1  first version
    2  devices over adb: `Condition`, `Operator`; fields of `Plan` and `Run` about cores, the
       wait for a cool device, and the precision of the median (`Plan.most_repeats`,
       `Plan.precision`, `Run.resolved`); `LatencyResult.recommended`
    3  `Run.resolved` is over processes, before it pooled all samples; `Plan.memory`, which
       was false for plans called ``quick`` only; numbers are finite
    4  `Plan.most_pairs`: processes are added until bundles are compared to the precision
    5  `ProcessorsResult`; `BundleRef.failed`
    6  `Identity`: id of the measurement, fingerprint of the device, host, source revision;
       each row has the digest of its file (`artifact_sha256`) and its runtime;
       `AccuracyResult.threads`; `Run.notices` instead of `Run.warnings`, which were sentences;
       `AccuracyResult.notices`; `Recommendation` instead of options of the command line
    7  `OutputRow`; `AccuracyResult.task`; `AccuracyRow.agreement` and `ParityRef.agreement` are
       None where a task has no classes; `ParityRef.output` and `ParityRef.cosine`
    8  runs, rows and artifacts have the backend and the precision of their file;
       `BundleRef.failed` and `LatencyResult.recommended` are keyed by its name;
       `Plan.max_repeats` and `Plan.max_pairs` instead of `most_repeats` and `most_pairs`
    9  `AccuracyRow.metrics`; `ArtifactRef.executed`
    10  `BundleRef.input_width`; `AccuracyResult.batch`; more precisions

Results of all older schemas stay readable: fields they do not have are None or empty, and
renamed or changed fields are translated (`kit.results.store`).
"""

from __future__ import annotations

from typing import Annotated, TypeVar

from pydantic import FailFast, Field

SCHEMA_VERSION = 10
# Larger numbers are refused. Each fits into 64 bits, also when many are added up.
MAX_NS = 10**15  # 11 days
MAX_BYTES = 2**50
MAX_COUNT = 10**9
MAX_SECONDS = 10.0**9
T = TypeVar("T")
# Only the first wrong item of a list is reported: a million errors would take gigabytes.
Many = Annotated[tuple[T, ...], FailFast()]
Nanoseconds = Annotated[int, Field(ge=0, le=MAX_NS)]
Sample = Annotated[int, Field(gt=0, le=MAX_NS)]
Bytes = Annotated[int, Field(ge=0, le=MAX_BYTES)]
BoundedCount = Annotated[int, Field(ge=0, le=MAX_COUNT)]
Seconds = Annotated[float, Field(ge=0, le=MAX_SECONDS)]
Cosine = Annotated[float, Field(ge=-1.001, le=1.001)]
Fraction = Annotated[float, Field(ge=0, le=1)]
