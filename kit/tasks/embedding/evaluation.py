"""Pictures to embed; those in one folder are of one class."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath

from kit.errors import UsageError
from kit.notices import Notice
from kit.signature import Samples
from kit.tasks.evaluation import EvaluationContext, EvaluationSet
from kit.tasks.image_classification.evaluation import Pictures
from kit.tasks.image_classification.evaluation import open_pictures as open_unlabelled


@dataclass(frozen=True)
class GroupedPictures(EvaluationSet):
    """Pictures with the names of their classes, or all without.

    Attributes:
        pictures: not yet decoded.
        groups: the class of each; None if there is nothing to find.
    """

    source: str
    sha256: str
    left_out: int
    notices: tuple[Notice, ...]
    pictures: Pictures
    groups: tuple[str, ...] | None

    def __len__(self) -> int:
        return len(self.pictures)

    @property
    def labelled(self) -> bool:
        """Return whether the pictures have classes."""
        return self.groups is not None

    def load(self, start: int, stop: int) -> tuple[Samples, Sequence[str | None]]:
        """Return pictures [N, 3, H, W] and the names of their classes."""
        samples, _ = self.pictures.load(start, stop)
        groups: Sequence[str | None] = [None] * len(samples)
        return samples, groups if self.groups is None else self.groups[start:stop]


def open_pictures(
    context: EvaluationContext, source: Path, labels: Path | None, limit: int | None
) -> GroupedPictures:
    """Open the set without calibration pictures, reduced to the limit.

    Args:
        context: of the evaluation.
        source: folder or zip; its innermost folders are classes if there are two or more, one of
            which has two pictures or more.
        labels: must be None.
        limit: number of pictures; None for all.

    Raises:
        UsageError: there are labels, or the limit leaves no picture.
        PictureError: the set cannot be used, or no picture is left.
    """
    if labels is not None:
        raise UsageError(
            "the task embedding takes no labels: pictures in one folder are of one class",
            "leave out --labels, or sort the pictures into folders",
        )
    opened = open_unlabelled(replace(context, labelled=False), source, None, limit)
    groups = None
    digest = opened.sha256
    if context.labelled:
        groups = _group([picture.name for picture in opened.pictures])
    if groups is not None:
        digest = hashlib.sha256("\n".join((digest, *groups)).encode()).hexdigest()
    return GroupedPictures(opened.source, digest, opened.left_out, opened.notices, opened, groups)


def _group(names: Sequence[str]) -> tuple[str, ...] | None:
    folders = tuple(str(PurePosixPath(name).parent) for name in names)
    counts = Counter(folders)
    return folders if len(counts) > 1 and max(counts.values()) > 1 else None
