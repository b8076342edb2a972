"""Accuracy of a bundle: every format's own runtime, and the float model, on real pictures."""

from __future__ import annotations

import math
import os
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path, PurePosixPath

import numpy as np
from numpy.typing import NDArray

from kit import __version__, formats
from kit import bundle as bundles
from kit.bundle import REFERENCE, Bundle
from kit.errors import PictureError, RunError, UnknownName, UsageError, brief
from kit.formats.interface import Array, Session
from kit.images import Picture, PictureSet, Progress, batch, digest, open_set, set_digest
from kit.results.schema import AccuracyResult, AccuracyRow
from kit.results.store import describe

CHUNK = 16  # pictures in memory at a time, and the batch of the float model
_TOP = 5
NO_LABELS = "none"

# Takes inputs [N, 3, H, W]; gives logits [N, classes] and the nanoseconds of inference.
Predict = Callable[[Array], tuple[Array, int]]


def evaluate(
    bundle: Bundle | str | Path,
    images: str | Path,
    labels: str | Path | None = None,
    formats: Sequence[str] | None = None,
    limit: int | None = None,
    progress: Progress | None = None,
    note: Callable[[str], None] = lambda text: None,
) -> AccuracyResult:
    """Compare every format of a bundle with labels and with the float model.

    Pictures that calibrated or trained the bundle are recognized by their contents and left
    out.
    Each picture is prepared once; formats run one picture at a time, as on a phone, the
    float model in batches of 16.

    Args:
        bundle: a bundle or its folder.
        images: folder or zip; see `kit.images.sets`.
        labels: CSV of `path,label`; ``none`` measures without labels; None reads them off the
            names of folders or files.
        formats: which of the bundle's; None takes all.
        limit: evaluate so many pictures, evenly spread over the set.
        progress: is called with the number of pictures done and in all.
        note: is called with where the labels come from, and what is doubtful about them.

    Raises:
        BundleError: the bundle is broken.
        UnknownName: the bundle has no such format.
        PictureError: the set, a picture or a label cannot be used.
        RunError: a runtime answered with NaN.
    """
    bundle = bundle if isinstance(bundle, Bundle) else bundles.load(bundle)
    names = _names(bundle, formats)
    audience, path = _audience(bundle), None if labels is None else Path(labels)
    if str(path) == NO_LABELS:
        audience, path = replace(audience, classes=None), None
    chosen = choose(Path(images), path, audience, limit)
    for text in chosen.notes:
        note(text)
    return measure(bundle, names, chosen, progress)


def measure(
    bundle: Bundle, names: Sequence[str], chosen: Chosen, progress: Progress | None = None
) -> AccuracyResult:
    """Compare formats of a bundle with the float model, on pictures that were chosen.

    Args:
        bundle: what is measured.
        names: of its formats.
        chosen: see `choose`.
        progress: is called with the number of pictures done and in all.

    Raises:
        PictureError: a picture cannot be used.
        RunError: a runtime answered with NaN.
    """
    tallies = _run(bundle, names, chosen.pictures, progress)
    return AccuracyResult(
        kit_version=__version__,
        created=datetime.now(UTC),
        bundle=describe(bundle),
        pictures=chosen.source,
        pictures_sha256=chosen.sha256,
        left_out=chosen.left_out,
        rows=tuple(tally.row(name, _method(bundle, name)) for name, tally in tallies.items()),
    )


def _names(bundle: Bundle, wanted: Sequence[str] | None) -> list[str]:
    """Return the formats to run beside the reference, in the bundle's order."""
    known = [a.format for a in bundle.manifest.artifacts]
    for name in wanted or ():
        if name not in (*known, REFERENCE):
            raise UnknownName.among("format in this bundle", name, (*known, REFERENCE))
    return known if wanted is None else [name for name in known if name in wanted]


def _method(bundle: Bundle, name: str) -> str:
    return "none" if name == REFERENCE else bundle.manifest.artifact(name).quantize


@dataclass(frozen=True)
class Chosen:
    """Pictures to measure on.

    Attributes:
        source: name of their folder or zip.
        pictures: with labels, or all without.
        sha256: of their contents and labels.
        left_out: how many of the set calibrated or trained the model.
        notes: where the labels come from, and what is doubtful about them.
    """

    source: str
    pictures: list[Picture]
    sha256: str
    left_out: int
    notes: tuple[str, ...] = ()

    @property
    def labelled(self) -> bool:
        """Whether the classes are known."""
        return self.pictures[0].label is not None


@dataclass(frozen=True)
class Audience:
    """For which model pictures are chosen.

    Attributes:
        classes: number of its outputs; None where labels are not asked for.
        categories: their names; None for ImageNet's, empty where there are none.
        seen: SHA-256 of each picture that calibrated or trained it.
    """

    classes: int | None
    categories: Sequence[str] | None
    seen: frozenset[str]


def _audience(bundle: Bundle) -> Audience:
    classes = bundle.manifest.classes
    names = bundle.labels()
    made_with = (bundle.manifest.calibration, bundle.manifest.training)
    seen = frozenset(d for record in made_with if record for d in record.pictures)
    return Audience(classes, None if names is None and classes == 1000 else names or (), seen)


def choose(images: Path, labels: Path | None, audience: Audience, limit: int | None) -> Chosen:
    """Open the set, leave out what calibrated or trained the model, and thin out to the limit.

    Raises:
        UsageError: the limit leaves no picture.
        PictureError: the set or a label cannot be used, or no picture is left.
    """
    if limit is not None and limit < 1:
        raise UsageError(f"the limit {limit} leaves no picture", "use 1 or more")
    found = open_set(images, labels, audience.categories)
    pictures = list(found)
    notes: tuple[str, ...] = ()
    if audience.classes is None:
        pictures = [replace(picture, label=None) for picture in pictures]
    else:
        _check_folders(found, audience)
        _check_labels(pictures, audience.classes)
        notes = _notes(found, audience)
    if audience.seen:
        pictures = [p for p in pictures if digest(p) not in audience.seen]
    if not pictures:
        raise PictureError(
            f"every picture of {found.source} calibrated or trained this bundle",
            "evaluate on other pictures, or build with fewer --calibration-images",
        )
    left_out = len(found) - len(pictures)
    pictures = _spread(pictures, limit)
    return Chosen(found.source, pictures, set_digest(pictures), left_out, notes)


def _check_folders(found: PictureSet, audience: Audience) -> None:
    """Raise if pictures lie in folders as classes do, and no folder is a class of the model."""
    folders = {PurePosixPath(picture.name).parent.name for picture in found}
    if found.labels_from or "" in folders or len(folders) < 2:
        return
    shown = ", ".join(brief(name) for name in sorted(folders)[:3])
    named = "" if audience.categories != () else ", and the bundle has no names of classes"
    raise PictureError(
        f"none of the {len(folders)} folders of {found.source} is a class of the model{named}: "
        f"{shown}" + (" …" if len(folders) > 3 else ""),
        "name folders by index, WordNet id or category name; `kit eval --labels` takes a table, "
        f"or {NO_LABELS}",
    )


def _notes(found: PictureSet, audience: Audience) -> tuple[str, ...]:
    if not found.labels_from:
        return ()
    notes = [f"labels: {found.labels_from}"]
    if found.labels_from == "folder names as class indices" and not audience.categories:
        folders = sorted({PurePosixPath(picture.name).parent.name for picture in found})
        moved = [(name, i) for i, name in enumerate(folders) if int(name) != i]
        if moved and sorted(map(int, folders)) == list(range(len(folders))):
            name, place = moved[0]
            notes.append(
                f"warning: folder {name} is class {name} here; a network that was trained with "
                f"torchvision's ImageFolder has it as class {place}, because that sorts names as "
                "text: then build with --labels, or name the folders by category"
            )
    return tuple(notes)


def _check_labels(pictures: list[Picture], classes: int) -> None:
    for picture in pictures:
        if picture.label is not None and picture.label >= classes:
            raise PictureError(
                f"{picture.name} has the label {picture.label}, "
                f"but the model has the classes 0 to {classes - 1}",
                "check the labels, or whether the bundle is of another data set",
            )
    without = [p.name for p in pictures if p.label is None]
    if 0 < len(without) < len(pictures):
        raise PictureError(
            f"{without[0]} has no label, as {len(without)} of {len(pictures)} pictures",
            "a folder is named like one class (index, WordNet id, name); or give --labels",
        )


def _spread(pictures: list[Picture], limit: int | None) -> list[Picture]:
    if limit is None or limit >= len(pictures):
        return pictures
    return [pictures[i * len(pictures) // limit] for i in range(limit)]


def _run(
    bundle: Bundle, names: Sequence[str], pictures: list[Picture], progress: Progress | None
) -> dict[str, _Tally]:
    threads = _cores()
    models = {REFERENCE: _reference(bundle, threads)}
    models |= {name: _format(bundle, name, threads) for name in names}
    tallies = {name: _Tally() for name in models}
    for start in range(0, len(pictures), CHUNK):
        chunk = pictures[start : start + CHUNK]
        inputs = batch(chunk, bundle.manifest.preprocessing)
        reference = np.empty(0, np.float32)
        for name, predict in models.items():
            if start == 0:
                predict(inputs[:1])  # warm-up: the first inference packs weights
            logits, ns = predict(inputs)
            if not np.isfinite(logits).all():
                raise RunError(f"{name} answered with NaN or infinity", "build the bundle again")
            if name == REFERENCE:
                reference = logits
            tallies[name].add(logits, reference, [p.label for p in chunk], ns)
        if progress:
            progress(start + len(chunk), len(pictures))
    return tallies


def _cores() -> int:
    """Return how many cores this process may use, which a container can restrict."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _reference(bundle: Bundle, threads: int) -> Predict:
    import torch

    torch.set_num_threads(threads)
    module = formats.get_reference().read_model(bundle.file(REFERENCE))

    def predict(inputs: Array) -> tuple[Array, int]:
        with torch.inference_mode():
            tensor = torch.from_numpy(inputs)
            start = time.perf_counter_ns()
            logits = module(tensor)
            return logits.numpy(), time.perf_counter_ns() - start

    return predict


def _format(bundle: Bundle, name: str, threads: int) -> Predict:
    session: Session = formats.get_format(name).load(bundle.file(name), threads)

    def predict(inputs: Array) -> tuple[Array, int]:
        rows, ns = [], 0
        for i in range(len(inputs)):
            call = session.bind(inputs[i : i + 1])
            start = time.perf_counter_ns()
            output = call()
            ns += time.perf_counter_ns() - start
            rows.append(session.numpy(output))
        return np.concatenate(rows), ns

    return predict


class _Tally:
    """Sums over the pictures seen so far, so that no logits are kept."""

    def __init__(self) -> None:
        self.images = self.top1 = self.top5 = self.agree = self.ns = 0
        self.signal = self.noise = 0.0
        self.labelled = False

    def add(self, logits: Array, reference: Array, labels: list[int | None], ns: int) -> None:
        """Add a chunk of answers [N, classes] and what the reference answered."""
        ranks = _ranks(logits)
        self.images += len(logits)
        self.ns += ns
        self.agree += int((ranks[:, 0] == _ranks(reference)[:, 0]).sum())
        wide = reference.astype(np.float64)
        self.signal += float((wide**2).sum())
        self.noise += float(((wide - logits) ** 2).sum())
        for rank, label in zip(ranks, labels, strict=True):
            if label is not None:
                self.labelled = True
                self.top1 += int(rank[0] == label)
                self.top5 += int(label in rank)

    def row(self, name: str, quantize: str) -> AccuracyRow:
        """Return the shares."""
        return AccuracyRow(
            format=name,
            quantize=quantize,
            images=self.images,
            top1=self.top1 / self.images if self.labelled else None,
            top5=self.top5 / self.images if self.labelled else None,
            agreement=self.agree / self.images,
            sqnr_db=self._sqnr_db(),
            images_per_second=self.images * 1e9 / self.ns,
        )

    def _sqnr_db(self) -> float | None:
        if self.noise == 0:
            return None
        tiny = float(np.finfo(np.float64).tiny)  # a reference that is zero has no logarithm
        return 10 * math.log10(max(self.signal, tiny) / self.noise)


def _ranks(logits: Array) -> NDArray[np.intp]:
    """Return the first five classes [N, 5]; of equal logits, which int8 has, the lower index."""
    return np.argsort(-logits, axis=1, kind="stable")[:, :_TOP]
