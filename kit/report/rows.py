"""The records of a report."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from functools import cached_property

from kit.artifact_key import FLOAT_MODEL, ArtifactKey
from kit.comparison import find_worst
from kit.report import labels
from kit.report.accuracy import Accuracy
from kit.report.contexts import Setting, name_measurement
from kit.results.context import ArtifactRef, BundleRef, ParityRef
from kit.results.kinds import AnyResult
from kit.results.latency import Run
from kit.results.processors import ProcessorsResult
from kit.results.statistics import Estimate, Speedup

GRAPH = "quantized graph"  # `Comparison.against`; of a float file, its float graph


@dataclass(frozen=True)
class Timing:
    """One run and its statistics, in milliseconds.

    Attributes:
        identity: id of the measurement; None in results before schema 6.
        artifact: identifies the file that ran: its SHA-256 or, if that is not
            known, its place in the bundle.
        median: of the samples of all processes; its interval is over processes.
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
        """The key of file and setting; several measurements may share it."""
        return self.setting.letter, self.artifact, self.run.via

    @property
    def measurement(self) -> str:
        """The key of a measurement, whose processes were interleaved.

        It is the id or, before schema 6, the time at which its results were written.
        """
        return self.identity or self.created.isoformat()

    @property
    def moment(self) -> str:
        """Date of the measurement, and the start of its id."""
        return name_measurement(self.created, self.identity)

    @cached_property
    def samples_ns(self) -> tuple[int, ...]:
        """All samples of all processes, in chronological order."""
        return tuple(s for process in self.run.processes for s in process.samples_ns)


@dataclass(frozen=True)
class Row:
    """One file of one bundle, measured once in one setting, or only evaluated.

    Attributes:
        label: its name, unique within its setting.
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
        return labels.find_artifact(self.bundle, self.key)

    @property
    def name(self) -> str:
        """Precision and format, ``int8 .pte``; may be the same for several rows."""
        return labels.name_artifact(self.key)

    @property
    def quantized(self) -> bool:
        """Whether integers are stored or computed with."""
        return self.key.quantized

    @property
    def reference(self) -> bool:
        """Whether it is the float model run by eager PyTorch."""
        return self.key == FLOAT_MODEL

    @property
    def parity(self) -> ParityRef | None:
        """The comparison with the lowered graph, or else with the float model."""
        parity = self.artifact.parity if self.artifact else ()
        return find_worst(parity, GRAPH) or next(iter(parity), None)

    @property
    def virtual(self) -> bool:
        """Whether it was timed on an emulator or a virtual device."""
        return self.timing is not None and self.timing.setting.virtual


def _age(row: Row) -> tuple[datetime, str, str, str]:
    assert row.timing is not None
    return row.timing.created, row.timing.measurement, row.bundle.name, row.bundle.hash


@dataclass(frozen=True)
class Report:
    """The content of a report; rows are in display order.

    Attributes:
        created: times at which results were written, oldest first.
        results: all, without duplicates.
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
        """Return the rows of a setting; of several measurements of a file only the newest.

        Selections of one row, like a headline's, must use these: the fastest of
        several measurements of one file is the luckiest one.
        """
        newest = {r.timing.subject: r for r in sorted(self.rows_in(setting), key=_age) if r.timing}
        return [row for row in self.rows_in(setting) if row in newest.values()]

    @property
    def bundles(self) -> list[BundleRef]:
        """All bundles with measurements, without duplicates."""
        by_hash: dict[str, BundleRef] = {}
        for bundle in (*(r.bundle for r in self.rows), *(p.bundle for p in self.processors)):
            # A session's results name the same files otherwise.
            keys = {artifact.key for artifact in bundle.artifacts}
            known = by_hash.get(bundle.hash, bundle)
            more = tuple(one for one in known.artifacts if one.key not in keys)
            files = (*bundle.artifacts, *more)
            by_hash[bundle.hash] = bundle.model_copy(update={"artifacts": files})
        return sorted(by_hash.values(), key=lambda b: (b.name, b.hash))

    def rows_in(self, setting: Setting) -> list[Row]:
        """Return the rows that were timed in a setting."""
        return [r for r in self.rows if r.timing and r.timing.setting.letter == setting.letter]

    @property
    def untimed(self) -> list[Row]:
        """The rows with an accuracy but no latency."""
        return [r for r in self.rows if r.timing is None]
