"""Calibration sets, and the inputs of the model that they are for."""

from __future__ import annotations

import hashlib
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from kit.detection import Detection
from kit.manifest.preprocessing import Preprocessing, Tokenization
from kit.notice_values import Value
from kit.notices import Notice, make_notice
from kit.recipe import Recipe
from kit.signature import Feedback, FloatArray, Samples, TensorSpec

if TYPE_CHECKING:
    from kit.images.sets import PictureSet

# The photos show few of the categories, so the largest logits do not occur. Doubling the output's
# range raises MobileNetV2 from 71.6 to 80.6 % top-1 (468 pictures); with real pictures, factors
# of 1 and 2 differ by noise only.
PHOTOS_MARGIN = 2.0
PICTURES_MARGIN = 1.25


@dataclass(frozen=True)
class TextInputs:
    """How texts become inputs of a model.

    Attributes:
        tokenization: as the manifest describes it.
        tokenizer: content of the tokenizer's file.
    """

    tokenization: Tokenization
    tokenizer: bytes


@dataclass(frozen=True)
class DetectorOutputs:
    """How outputs of a model become boxes.

    Attributes:
        record: as the manifest describes it.
        anchors: corners [N, 4] in pixels of the input; None if boxes need none.
    """

    record: Detection
    anchors: FloatArray | None = None


@dataclass(frozen=True)
class ModelInputs:
    """Inputs, preprocessing and names of outputs of a recipe's model.

    Attributes:
        specs: of its inputs, in the order of ``forward``.
        classes: number of its classes; 0 if the task has none.
        preprocessing: of pictures; None if samples are not pictures.
        labels: names of the classes in output order, or None.
        outputs: names of the outputs; empty to number them.
        text: of a model that takes texts, else None.
        detection: of a model that finds boxes, else None.
        feedback: which inputs are states, see `kit.signature.Sequences`.
        at_once: the model takes batches: the first dimension of every input is the batch.
    """

    specs: tuple[TensorSpec, ...]
    classes: int = 0
    preprocessing: Preprocessing | None = None
    labels: tuple[str, ...] | None = None
    outputs: tuple[str, ...] = ()
    text: TextInputs | None = None
    detection: DetectorOutputs | None = None
    feedback: Feedback = ()
    at_once: bool = True


class CalibrationSet(Protocol):
    """Samples that set activation ranges, not yet read."""

    @property
    def source(self) -> str:
        """Return their source, for messages."""

    @property
    def digests(self) -> tuple[str, ...]:
        """Return the SHA-256 of each of the user's samples; empty if there are none."""

    @property
    def sha256(self) -> str:
        """Return the SHA-256 of the set, in hex."""

    @property
    def count(self) -> int:
        """Return the number of samples."""

    @property
    def output_margin(self) -> float:
        """Return the factor of `kit.quantize.options.Options.output_margin`."""

    @property
    def notices(self) -> tuple[Notice, ...]:
        """Return notices about the set."""

    def load(self, inputs: ModelInputs) -> Samples:
        """Read the samples.

        Raises:
            SampleError: one cannot be used.
        """


@dataclass(frozen=True)
class PictureCalibration:
    """A calibration set of pictures, not yet decoded.

    Attributes:
        source: for messages.
        chosen: the user's pictures, or None for crops of the sample photos.
        digests: SHA-256 of each of the user's pictures.
        count: number of pictures or crops.
        seed: of the crops.
        unread: see `kit.images.sets.PictureSet`.
        requested: number of pictures that the recipe asks for.
    """

    source: str
    chosen: PictureSet | None
    digests: tuple[str, ...]
    count: int
    seed: int
    unread: str = ""
    requested: int = 0

    @property
    def sha256(self) -> str:
        """The SHA-256 of the set, in hex."""
        text = "\n".join(self.digests) or f"{self.source}:{self.count}:{self.seed}"
        return hashlib.sha256(text.encode()).hexdigest()

    @property
    def output_margin(self) -> float:
        """The factor of the output's range; see `kit.quantize.options.Options`."""
        return PHOTOS_MARGIN if self.chosen is None else PICTURES_MARGIN

    @property
    def notices(self) -> tuple[Notice, ...]:
        """Notices about the set."""
        if self.chosen is None:
            return (make_notice("calibration.photos", source=self.source),)
        values: dict[str, Value] = {"source": self.source}
        notices = []
        if self.unread:
            notices.append(make_notice("calibration.unread", **values, files=self.unread))
        if self.count < self.requested:
            counts: dict[str, Value] = {"count": self.count, "asked": self.requested}
            notices.append(make_notice("calibration.fewer", **values, **counts))
        return tuple(notices)

    def load(self, inputs: ModelInputs) -> Samples:
        """Return the pictures [N, 3, H, W]."""
        from kit.images import photos, preprocess

        assert inputs.preprocessing is not None  # tasks of pictures have it
        if self.chosen is None:
            batch = photos.make_crops(self.count, inputs.preprocessing, self.seed)
        else:
            batch = preprocess.make_batch(self.chosen.pictures, inputs.preprocessing)
        return Samples(inputs.specs, (batch,))


def choose(recipe: Recipe, label_suffixes: Collection[str] = ()) -> PictureCalibration:
    """Return the calibration set of a recipe.

    Args:
        recipe: of the build.
        label_suffixes: see `kit.images.sets.open_set`.

    Raises:
        PictureError: the folder or zip cannot be used.
    """
    from kit.images import photos, sets

    if recipe.calibrate is None:
        return PictureCalibration(photos.SOURCE, None, (), recipe.calibration_images, recipe.seed)
    pictures = sets.open_set(Path(recipe.calibrate), label_suffixes=label_suffixes)
    chosen = sets.sample_pictures(pictures, recipe.calibration_images, recipe.seed)
    digests = tuple(sets.hash_picture(picture) for picture in chosen)
    return PictureCalibration(
        pictures.source,
        chosen,
        digests,
        len(chosen),
        recipe.seed,
        pictures.unread,
        recipe.calibration_images,
    )
