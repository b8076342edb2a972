"""The records of a report."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from functools import cached_property

from kit.artifact_key import FLOAT_MODEL, ArtifactKey
from kit.report import labels
from kit.report.accuracy import Accuracy
from kit.report.contexts import Setting, name_measurement
from kit.results.schema import AnyResult, ArtifactRef, BundleRef, ParityRef, ProcessorsResult, Run
from kit.results.statistics import Estimate, Speedup
from kit.verify import find_worst

GRAPH = "quantized graph"  # `Comparison.against` of `kit.bundle`; of a float file, its float graph


@dataclass(frozen=True)
class Timing:
    """One run and its statistics, in milliseconds.

    Attributes:
        identity: id of the measurement; None in results before schema 6.
        artifact: what tells the file that ran from others: its SHA-256, or, where that is not
            known, its place in the bundle.
        median: of the samples of all processes; its interval counts processes.
        processes: median of each fresh process, in the order they ran.
        load: median over the processes; `first` likewise.
        vs_eager: against eager PyTorch fp32 in the same setting, None if not measured.
        vs_fp32: against the fp32 file of the same format in the same setting.
    """

    setting: Setting
    bundle: BundleRef
    run: Run
    created: datetime
    identity: str | None
    artifact: str
    median: Estimate
    p90: float
    p99: float
    processes: tuple[float, ...]
    load: float
    first: float
    vs_eager: Speedup | None = None
    vs_fp32: Speedup | None = None

    @property
    def subject(self) -> tuple[str, str, str]:
        """What was measured and where; several timings with one are of several measurements."""
        return self.setting.letter, self.artifact, self.run.via

    @property
    def measurement(self) -> str:
        """What timings of one measurement share, whose processes were interleaved.

        Its id, or, before schema 6, the moment at which its results were written.
        """
        return self.identity or self.created.isoformat()

    @property
    def moment(self) -> str:
        """When it was measured, and the start of the measurement's id."""
        return name_measurement(self.created, self.identity)

    @cached_property
    def samples_ns(self) -> tuple[int, ...]:
        """Every sample of every process, in the order they were taken."""
        return tuple(s for process in self.run.processes for s in process.samples_ns)


@dataclass(frozen=True)
class Row:
    """One file of one bundle, measured once in one setting, or only evaluated.

    Attributes:
        label: its name, unlike that of any other row of the same setting.
    """

    bundle: BundleRef
    key: ArtifactKey
    quantize: str
    label: str = ""
    timing: Timing | None = None
    accuracy: Accuracy | None = None

    @property
    def artifact(self) -> ArtifactRef | None:
        """The file as the bundle describes it; None for the eager reference."""
        return labels.artifact(self.bundle, self.key)

    @property
    def name(self) -> str:
        """Precision and format, ``int8 .pte``; may be the same for several rows."""
        return labels.name(self.key)

    @property
    def quantized(self) -> bool:
        """Whether it computes in int8."""
        return self.key.precision == "int8"

    @property
    def reference(self) -> bool:
        """Whether it is the float model run by eager PyTorch."""
        return self.key == FLOAT_MODEL

    @property
    def parity(self) -> ParityRef | None:
        """How near the runtime came to the graph that was lowered, else to the float model."""
        parity = self.artifact.parity if self.artifact else ()
        return find_worst(parity, GRAPH) or next(iter(parity), None)

    @property
    def virtual(self) -> bool:
        """Whether it was timed on something that is no real device."""
        return self.timing is not None and self.timing.setting.virtual


def _age(row: Row) -> tuple[datetime, str, str, str]:
    assert row.timing is not None
    return row.timing.created, row.timing.measurement, row.bundle.name, row.bundle.hash


@dataclass(frozen=True)
class Report:
    """Everything a page shows; rows are in the order to be shown.

    Attributes:
        created: the moments at which results were written, oldest first.
        results: all of them, each once.
        processors: answers on other processors, oldest first.
    """

    settings: tuple[Setting, ...]
    rows: tuple[Row, ...]
    accuracy: tuple[Accuracy, ...]
    created: tuple[datetime, ...]
    processors: tuple[ProcessorsResult, ...] = ()
    results: tuple[AnyResult, ...] = ()

    def repeats(self, timing: Timing) -> list[Row]:
        """Return the rows of the same file, setting and runner as a timing, oldest first."""
        same = [r for r in self.rows if r.timing and r.timing.subject == timing.subject]
        return sorted(same, key=_age)

    def newest_in(self, setting: Setting) -> list[Row]:
        """Return the rows of a setting, of a file that was measured again the newest one only.

        What picks one row of many, as a headline does, picks among these: the fastest of
        several measurements of one file is the luckiest.
        """
        newest = {r.timing.subject: r for r in sorted(self.rows_in(setting), key=_age) if r.timing}
        return [row for row in self.rows_in(setting) if row in newest.values()]

    @property
    def bundles(self) -> list[BundleRef]:
        """Every bundle that something was measured of, each once."""
        named = (*(r.bundle for r in self.rows), *(p.bundle for p in self.processors))
        found = {bundle.hash: bundle for bundle in named}
        return sorted(found.values(), key=lambda b: (b.name, b.hash))

    def rows_in(self, setting: Setting) -> list[Row]:
        """Return the rows that were timed in a setting."""
        return [r for r in self.rows if r.timing and r.timing.setting.letter == setting.letter]

    @property
    def untimed(self) -> list[Row]:
        """The rows that have an accuracy and no latency."""
        return [r for r in self.rows if r.timing is None]
