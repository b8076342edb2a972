"""Which samples set the activation ranges: the user's pictures, or crops of sample photos."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from kit import encodings, files, models
from kit.documents import MAX_CLASSES, reason
from kit.errors import RecipeError, brief
from kit.manifest import Preprocessing
from kit.notices import Notice, Value, new_notice
from kit.recipe import OWN, Recipe
from kit.signature import Samples, TensorSpec

if TYPE_CHECKING:
    from kit.images.sets import PictureSet

# The photos show few of the categories, so the largest logits are never seen. Doubling the
# output's range brings MobileNetV2 from 71.6 to 80.6 % top-1 (468 pictures); with real
# pictures factors of 1 and 2 differ by noise only.
PHOTOS_MARGIN = 2.0
PICTURES_MARGIN = 1.25

# Fields of a recipe that name files, whose content is an input of a build.
BY_CONTENT = ("calibrate", "train", "weights", "labels", "encodings")
_MAX_LABELS_BYTES = 16 * 2**20


@dataclass(frozen=True)
class ModelInputs:
    """What surrounds the model of a recipe.

    Attributes:
        specs: of its inputs, in the order of ``forward``.
        classes: number of its classes; 0 where the task has none.
        preprocessing: of pictures; None where samples are no pictures.
        labels: names of the classes in output order, or None.
        outputs: their names; empty to number them.
        at_once: several inferences can be one call, whose first dimension is the batch.
    """

    specs: tuple[TensorSpec, ...]
    classes: int = 0
    preprocessing: Preprocessing | None = None
    labels: tuple[str, ...] | None = None
    outputs: tuple[str, ...] = ()
    at_once: bool = True


class CalibrationSet(Protocol):
    """Samples that set activation ranges, not yet read."""

    @property
    def source(self) -> str:
        """Return their source, for messages."""

    @property
    def digests(self) -> tuple[str, ...]:
        """Return the SHA-256 of each sample of the user's."""

    @property
    def sha256(self) -> str:
        """Return the hash of the set."""

    @property
    def count(self) -> int:
        """Return the number of samples."""

    @property
    def output_margin(self) -> float:
        """Return the factor of `kit.quantize.options.Options.output_margin`."""

    @property
    def notices(self) -> tuple[Notice, ...]:
        """Return notices about this choice."""

    def load(self, inputs: ModelInputs) -> Samples:
        """Read the samples.

        Raises:
            PictureError: one cannot be used.
        """


@dataclass(frozen=True)
class PictureCalibration:
    """The calibration set, not yet decoded.

    Attributes:
        source: for people.
        chosen: the user's pictures, or None for crops of the sample photos.
        digests: SHA-256 of each of the user's pictures.
        count: number of crops if there are no pictures.
        seed: of the crops.
        unread: see `kit.images.sets.PictureSet`.
        requested: number of pictures that was requested.
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
        """Hash of the set."""
        text = "\n".join(self.digests) or f"{self.source}:{self.count}:{self.seed}"
        return hashlib.sha256(text.encode()).hexdigest()

    @property
    def output_margin(self) -> float:
        """How far the output's range is widened; see `kit.quantize.options.Options`."""
        return PHOTOS_MARGIN if self.chosen is None else PICTURES_MARGIN

    @property
    def notices(self) -> tuple[Notice, ...]:
        """What the user should know about this choice."""
        if self.chosen is None:
            return (new_notice("calibration.photos", source=self.source),)
        values: dict[str, Value] = {"source": self.source}
        found = []
        if self.unread:
            found.append(new_notice("calibration.unread", **values, files=self.unread))
        if self.count < self.requested:
            counts: dict[str, Value] = {"count": self.count, "asked": self.requested}
            found.append(new_notice("calibration.fewer", **values, **counts))
        return tuple(found)

    def load(self, inputs: ModelInputs) -> Samples:
        """Return the pictures [N, 3, H, W]."""
        from kit.images import photos, preprocess

        assert inputs.preprocessing is not None  # of a task of pictures
        if self.chosen is None:
            batch = photos.crops(self.count, inputs.preprocessing, self.seed)
        else:
            batch = preprocess.batch(self.chosen.pictures, inputs.preprocessing)
        return Samples(inputs.specs, (batch,))


def choose(recipe: Recipe) -> PictureCalibration:
    """Return the calibration set of a recipe.

    Raises:
        PictureError: the folder or zip cannot be used.
    """
    from kit.images import photos, sets

    if recipe.calibrate is None:
        return PictureCalibration(photos.SOURCE, None, (), recipe.calibration_images, recipe.seed)
    found = sets.open_set(Path(recipe.calibrate))
    chosen = sets.sample(found, recipe.calibration_images, recipe.seed)
    digests = tuple(sets.digest(picture) for picture in chosen)
    return PictureCalibration(
        found.source,
        chosen,
        digests,
        len(chosen),
        recipe.seed,
        found.unread,
        recipe.calibration_images,
    )


def identity(recipe: Recipe, pictures: CalibrationSet) -> dict[str, object]:
    """Return all inputs of a build, by content.

    Imports no torch, except for a model of the user's own, which must be built to be known.

    Raises:
        RecipeError: the labels, the encodings or the user's model cannot be used.
        WeightsError: the weights file cannot be read.
    """
    from kit.models import weights
    from kit.models.user_model import UserModel

    member = models.get_model(recipe.model)
    fields = recipe.model_dump(mode="json", exclude=set(BY_CONTENT))
    found: dict[str, object] = {
        "recipe": fields,
        "calibration": pictures.sha256,
        "labels": labels(recipe),
    }
    if pictures.notices and pictures.digests:
        # The bundle repeats them; the name of the set does not matter.
        found["notices"] = [
            [notice.code, {k: v for k, v in notice.values.items() if k != "source"}]
            for notice in pictures.notices
        ]
    if isinstance(member, UserModel):
        found["own"] = member.fingerprint(recipe.seed)
        del fields["model"]  # where the file lies
    if recipe.encodings is not None:
        found["encodings"] = encodings.read(Path(recipe.encodings)).model_dump(mode="json")
    if recipe.weights != OWN:
        found["weights"] = weights.source_hash(recipe.weights, member.spec.weights, recipe.seed)
    return found


def check_sources(recipe: Recipe) -> None:
    """Check that the weights and the labels of a recipe exist.

    Raises:
        WeightsError: the weights file cannot be read, or the model has no published weights.
        RecipeError: the labels cannot be used.
    """
    from kit.models import weights

    labels(recipe)
    if recipe.weights != OWN:
        official = models.get_model(recipe.model).spec.weights
        weights.source_hash(recipe.weights, official, recipe.seed)


def labels(recipe: Recipe) -> tuple[str, ...] | None:
    """Return the names in the recipe's file of labels, in output order; None without one.

    Raises:
        RecipeError: the file cannot be read, or see `kit.images.label_file`; or it names one
            class, or too many.
    """
    if recipe.labels is None:
        return None
    hint = "it is a UTF-8 text with the name of one class in each line"
    try:
        text = files.read(Path(recipe.labels), _MAX_LABELS_BYTES).decode("utf-8-sig")
    except (OSError, ValueError) as exc:
        raise RecipeError(f"cannot read the labels {recipe.labels}: {reason(exc)}", hint) from exc
    from kit.images.label_file import parse_names

    try:
        names = parse_names(text)
    except ValueError as exc:
        raise RecipeError(f"{recipe.labels} {exc}", hint) from exc
    if len(names) == 1:
        raise RecipeError(
            f"{recipe.labels} names one class, {brief(names[0])}: there is nothing to tell apart",
            hint,
        )
    if len(names) > MAX_CLASSES:
        raise RecipeError(
            f"{recipe.labels} names {len(names)} classes, and a model has {MAX_CLASSES} at most",
            hint,
        )
    return names
