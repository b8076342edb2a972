"""What an app must know about a model beyond its graph, for formats whose files can hold it."""

from __future__ import annotations

from dataclasses import dataclass

from kit.manifest.preprocessing import Preprocessing
from kit.manifest.schema import Scores
from kit.signature import TensorSpec


@dataclass(frozen=True)
class ModelCard:
    """A description of a model for `kit.formats.interface.Format.annotate`.

    Attributes:
        name: of the model.
        description: a sentence about the file.
        inputs: in the order of ``forward``.
        outputs: likewise.
        preprocessing: of pictures; None if the input is no picture.
        labels: names of the classes in the order of the output; None if there are none.
        scores: what a classifier answers with; None for other models.
    """

    name: str
    description: str
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    preprocessing: Preprocessing | None = None
    labels: tuple[str, ...] | None = None
    scores: Scores | None = None
