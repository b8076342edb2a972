"""Join bundles and results to rows: one per artifact, in each setting that it was timed in."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from kit.artifact_key import FLOAT_MODEL, REFERENCE, ArtifactKey
from kit.bundles.bundle import Bundle
from kit.errors import UsageError
from kit.precisions import rank
from kit.report import labels, model
from kit.report.accuracy import Accuracy
from kit.report.contexts import Setting
from kit.report.rows import Report, Row, Timing
from kit.results import store
from kit.results.context import ArtifactRef, BundleRef
from kit.results.kinds import AnyResult


@dataclass(frozen=True)
class TableRow:
    """One artifact, or the float model in eager PyTorch, in one setting.

    Attributes:
        label: unique in the table.
        artifact: None for the float model.
        delegated: share of the operators that a delegate computes; None where nothing delegates.
        timing: None if it was not measured in the table's setting.
        front: no other row of the table is at least as good in accuracy, latency and size and
            better in one of them; see `kit.table.front`.
    """

    bundle: BundleRef
    key: ArtifactKey
    quantize: str
    label: str
    artifact: ArtifactRef | None
    accuracy: Accuracy | None
    timing: Timing | None
    delegated: float | None = None
    front: bool = False

    @property
    def executed(self) -> bool:
        """Whether a runtime here runs it."""
        return self.artifact is None or self.artifact.executed

    @property
    def memory(self) -> int | None:
        """Bytes at the peak, above those of the empty runtime."""
        run = self.timing.run if self.timing else None
        if run is None or run.peak_rss is None or run.base_rss is None:
            return None
        return max(0, run.peak_rss - run.base_rss)


@dataclass(frozen=True)
class Overview:
    """All rows.

    Attributes:
        rows: every artifact, with its times in `main`.
        main: the setting of those times: this machine, or else the phone with most rows; None if
            nothing was timed.
        others: other settings, with the rows that were timed there. Those of virtual devices are
            never compared with anything.
        paths: folder of each bundle that is there, by hash.
    """

    rows: tuple[TableRow, ...]
    main: Setting | None
    others: tuple[tuple[Setting, tuple[TableRow, ...]], ...]
    paths: dict[str, Path]

    @property
    def pictures(self) -> list[Accuracy]:
        """One evaluation for each set of pictures that rows were evaluated on."""
        return list({a.picture_set: a for r in self.rows if (a := r.accuracy)}.values())


def build(bundles: Sequence[Bundle], results: Sequence[AnyResult]) -> Overview:
    """Return the rows of bundles, and of results whose bundles are not there.

    Raises:
        UsageError: there is nothing to show.
    """
    measured = [result for result in results if _holds_rows(result)]
    report = model.build(measured) if measured else None
    refs = {bundle.hash: store.describe(bundle) for bundle in bundles}
    for bundle_ref in report.bundles if report else ():
        refs.setdefault(bundle_ref.hash, bundle_ref)
    main = _choose_main(report)
    shared = _share_delegates(bundles)
    rows = _list_rows(list(refs.values()), report, main, shared)
    if not rows:
        raise UsageError("there is no artifact to show", "give bundles, or results of them")
    others = []
    for setting in report.settings if report else ():
        if main is None or setting.letter != main.letter:
            timed = _list_rows(list(refs.values()), report, setting, shared)
            others.append((setting, tuple(row for row in timed if row.timing)))
    paths = {bundle.hash: bundle.path for bundle in bundles}
    return Overview(tuple(rows), main, tuple(others), paths)


def _holds_rows(result: AnyResult) -> bool:
    return result.kind == "accuracy" or (result.kind == "latency" and bool(result.runs))


def _choose_main(report: Report | None) -> Setting | None:
    """Return the setting of the main table: of a real device, this machine before phones."""
    real = [s for s in report.settings if not s.virtual] if report else []
    return max(
        real,
        key=lambda s: (s.device.kind == "local", len({_subject(m) for m in s.members})),
        default=None,
    )


def _subject(member: tuple[AnyResult, object]) -> tuple[str, str]:
    result, run = member
    return result.bundle.hash, str(getattr(run, "name", ""))


def _share_delegates(bundles: Sequence[Bundle]) -> dict[tuple[str, ArtifactKey], float]:
    """Return the delegated share of each artifact that has delegates."""
    shares = {}
    for bundle in bundles:
        for artifact in bundle.manifest.artifacts:
            delegated = sum(artifact.delegates.values())
            total = delegated + sum(artifact.not_delegated.values())
            if delegated:
                shares[bundle.hash, artifact.key] = delegated / total
    return shares


def _list_rows(
    refs: Sequence[BundleRef],
    report: Report | None,
    setting: Setting | None,
    shares: dict[tuple[str, ArtifactKey], float],
) -> list[TableRow]:
    """Return a row of each artifact and of the float models, in the order of their keys."""
    timed: dict[tuple[str, ArtifactKey], Row] = {}
    scored: dict[tuple[str, ArtifactKey], Accuracy] = {}
    if report is not None:
        newest = report.newest_in(setting) if setting else []
        timed = {(row.bundle.hash, row.key): row for row in newest}
        scored = {(r.bundle.hash, r.key): r.accuracy for r in report.rows if r.accuracy}
    rows = []
    for ref in refs:
        keys = [(artifact.key, artifact.quantize) for artifact in ref.artifacts]
        subjects = [(FLOAT_MODEL, "none"), *keys]
        for key, quantize in subjects:
            row, accuracy = timed.get((ref.hash, key)), scored.get((ref.hash, key))
            if key == FLOAT_MODEL and row is None and accuracy is None:
                continue  # every bundle has it, and few are asked about it
            rows.append(
                TableRow(
                    bundle=ref,
                    key=key,
                    quantize=quantize,
                    label="",
                    artifact=labels.find_artifact(ref, key),
                    accuracy=accuracy,
                    timing=row.timing if row else None,
                    delegated=shares.get((ref.hash, key)),
                )
            )
    return _name(sorted(_drop_repeated_references(rows), key=_order))


def _drop_repeated_references(rows: Sequence[TableRow]) -> list[TableRow]:
    """Keep one float model of each architecture: the one that was timed, or that was evaluated."""
    best: dict[tuple[object, ...], TableRow] = {}
    for row in rows:
        if row.key == FLOAT_MODEL:
            subject = (row.bundle.model, row.bundle.size, row.bundle.width)
            kept = best.get(subject)
            if kept is None or _known(row) > _known(kept):
                best[subject] = row
    return [row for row in rows if row.key != FLOAT_MODEL or row in best.values()]


def _known(row: TableRow) -> tuple[bool, bool]:
    return row.timing is not None, row.accuracy is not None


def _order(row: TableRow) -> tuple[object, ...]:
    bundle = row.bundle
    return (
        bundle.model,
        bundle.resolution,
        bundle.input_width or 0,
        bundle.width,
        row.key.format != REFERENCE,
        row.key.format,
        row.key.backend or "",
        rank(row.key.precision),
        bundle.name,
        bundle.hash,
    )


def _name(rows: Sequence[TableRow]) -> list[TableRow]:
    """Label rows by their key, and by their bundle where several have the same."""
    names = labels.make_unique(
        [
            (
                row.key.name,
                row.bundle.name,
                labels.describe_method(row.quantize, row.bundle),
                row.bundle.hash[:8],
            )
            for row in rows
        ]
    )
    return [replace(row, label=name) for row, name in zip(rows, names, strict=True)]
