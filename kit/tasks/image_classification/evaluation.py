"""Pictures to evaluate on, and their labels."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath

from kit.error_text import shorten_value
from kit.errors import PictureError, UsageError
from kit.images import Picture, PictureSet, hash_picture, hash_pictures, make_batch, open_set
from kit.images.missing import make_missing_error
from kit.manifest.preprocessing import Preprocessing
from kit.notices import Notice, make_notice
from kit.signature import Samples, TensorSpec
from kit.tasks.evaluation import EvaluationContext, EvaluationSet

NO_LABELS = "none"


@dataclass(frozen=True)
class Pictures(EvaluationSet):
    """Pictures, all with labels or all without.

    Attributes:
        pictures: not yet decoded.
        preprocessing: of the model.
        specs: of its input.
    """

    source: str
    sha256: str
    left_out: int
    notices: tuple[Notice, ...]
    pictures: list[Picture]
    preprocessing: Preprocessing
    specs: tuple[TensorSpec, ...]

    def __len__(self) -> int:
        return len(self.pictures)

    @property
    def labelled(self) -> bool:
        """Return whether the pictures have labels."""
        return self.pictures[0].label is not None

    def load(self, start: int, stop: int) -> tuple[Samples, list[int | None]]:
        """Return pictures [N, 3, H, W] and their classes."""
        part = self.pictures[start:stop]
        inputs = make_batch(part, self.preprocessing)
        return Samples(self.specs, (inputs,)), [picture.label for picture in part]


def open_pictures(
    context: EvaluationContext,
    source: Path,
    labels: Path | None,
    limit: int | None,
    label_suffixes: Collection[str] = (),
) -> Pictures:
    """Open the set without calibration and training pictures, reduced to the limit.

    Args:
        context: of the evaluation.
        source: folder or zip of pictures.
        labels: see `kit.images.sets.open_set`, as for `label_suffixes`.
        limit: number of pictures; None for all.
        label_suffixes: of files that are labels.

    Raises:
        UsageError: the limit leaves no picture.
        PictureError: the set or a label cannot be used, or no picture is left.
    """
    if limit is not None and limit < 1:
        raise UsageError(f"the limit {limit} leaves no picture", "use 1 or more")
    categories = _find_categories(context)
    listed = open_set(source, labels, categories, label_suffixes)
    pictures = list(listed)
    notices: tuple[Notice, ...] = ()
    if not context.labelled:
        pictures = [replace(picture, label=None) for picture in pictures]
    else:
        _check_folders(listed, categories)
        _check_labels(pictures, context.inputs.classes)
        notices = tuple(_examine_labels(listed, categories))
    if listed.unread:
        notices += (make_notice("pictures.unread", files=listed.unread),)
    if context.seen:
        pictures = [p for p in pictures if hash_picture(p) not in context.seen]
    if not pictures:
        raise PictureError(
            f"every picture of {listed.source} calibrated or trained this bundle",
            "evaluate on other pictures, or build with fewer --calibration-images",
        )
    left_out = len(listed) - len(pictures)
    pictures = sample_evenly(pictures, limit)
    pre = context.inputs.preprocessing
    assert pre is not None  # the manifest requires it of this task
    return Pictures(
        listed.source,
        hash_pictures(pictures),
        left_out,
        notices,
        pictures,
        pre,
        context.inputs.specs,
    )


def _find_categories(context: EvaluationContext) -> Sequence[str] | None:
    """Return the names of the classes: None for ImageNet's, empty if there are none."""
    inputs = context.inputs
    if inputs.labels is None and inputs.classes == 1000:
        return None
    return inputs.labels or ()


def _check_folders(listed: PictureSet, categories: Sequence[str] | None) -> None:
    """Raise if pictures are in class-like folders, but no folder is a class of the model."""
    folders = {PurePosixPath(picture.name).parent.name for picture in listed}
    if listed.labels_from or "" in folders or len(folders) < 2:
        return
    shown = ", ".join(shorten_value(name) for name in sorted(folders)[:3])
    named = "" if categories != () else ", and the bundle has no names of classes"
    hint = "name folders by index, WordNet id or category name; `kit eval --labels` takes a table, "
    if categories == ():
        hint = f"build it with --labels NAMES.txt, the names in the order of its outputs; or {hint}"
    raise PictureError(
        f"none of the {len(folders)} folders of {listed.source} is a class of the model{named}: "
        f"{shown}" + (" …" if len(folders) > 3 else ""),
        f"{hint}or {NO_LABELS}",
    )


def _examine_labels(listed: PictureSet, categories: Sequence[str] | None) -> Iterator[Notice]:
    """Yield notices about the source and the order of the labels."""
    if not listed.labels_from:
        return
    yield make_notice("labels.source", source=listed.labels_from)
    if listed.labels_from == "folder names as class indices" and not categories:
        folders = sorted({PurePosixPath(picture.name).parent.name for picture in listed})
        moved = [(name, i) for i, name in enumerate(folders) if int(name) != i]
        if moved and sorted(map(int, folders)) == list(range(len(folders))):
            name, place = moved[0]
            yield make_notice("labels.order", folder=name, place=place)


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
        raise make_missing_error(
            without,
            len(pictures),
            "no label",
            "a folder is named like one class (index, WordNet id, name); or give --labels",
        )


def sample_evenly(pictures: list[Picture], limit: int | None) -> list[Picture]:
    """Return up to `limit` pictures, evenly spread over a set; all if it is None."""
    if limit is None or limit >= len(pictures):
        return pictures
    return [pictures[i * len(pictures) // limit] for i in range(limit)]
