"""Base class of the tasks whose samples are texts."""

from __future__ import annotations

import hashlib
from abc import abstractmethod
from collections.abc import Sequence
from pathlib import Path
from textwrap import shorten
from typing import TYPE_CHECKING, ClassVar

from kit.calibration import CalibrationSet, ModelInputs
from kit.documents import decode_name
from kit.errors import RecipeError, SampleError, UsageError
from kit.network import take_output
from kit.tasks._text.texts import LabelledText, TextSet, open_calibration, read_texts
from kit.tasks.answers import SampleList
from kit.tasks.evaluation import EvaluationContext, EvaluationSet, GroundTruth
from kit.tasks.interface import Task

if TYPE_CHECKING:
    from torch import nn

    from kit.recipe import Recipe

_NAME_LENGTH = 100  # characters of a text that name it
_FILE = "a .txt with one text in each line, or a .csv of text,label"


class TextTask(Task):
    """One text in, one row of numbers out.

    Attributes:
        keys: of the answer, where the network returns a dict.
        unused: fields of a recipe that do nothing.
    """

    sample = "text"
    options = frozenset({"tokenizer", "tokens"})
    varies = frozenset({"tokens"})
    keys: ClassVar[tuple[str, ...]]
    unused: ClassVar[tuple[str, ...]] = ("mean", "std", "train")

    def check_recipe(self, recipe: Recipe) -> None:
        """Require a tokenizer and texts, and refuse training and options for pictures."""
        if recipe.tokenizer is None:
            raise RecipeError(
                f"the task {self.name} needs a tokenizer, which turns texts into inputs",
                "give --tokenizer the tokenizer.json beside the model's weights",
            )
        if recipe.calibrate is None:
            raise RecipeError(
                f"the task {self.name} needs texts, to compare the formats on",
                f"give --calibrate {_FILE}",
            )
        for name in self.unused:
            if getattr(recipe, name) is not None:
                raise RecipeError(
                    f"{name} = {getattr(recipe, name)!r} does nothing with the task {self.name}",
                    "leave it out",
                )
        if recipe.quantize == "qat":
            raise RecipeError(
                f"quantize = 'qat' trains with pictures, and the task {self.name} has none",
                "use --quantize dynamic or static",
            )

    def open_calibration(self, recipe: Recipe) -> CalibrationSet:
        """Return texts of the recipe's file, drawn at random."""
        self.check_recipe(recipe)
        assert recipe.calibrate is not None  # just checked
        return open_calibration(Path(recipe.calibrate), recipe.calibration_images, recipe.seed)

    def adapt_network(self, model: nn.Module) -> nn.Module:
        """Let the network return the answer alone where it returns a dict."""
        return take_output(model, self.keys)

    @abstractmethod
    def find_targets(
        self, texts: Sequence[LabelledText], context: EvaluationContext, source: Path
    ) -> tuple[GroundTruth, ...]:
        """Return what the task's tally takes for the labels of texts, which all have one.

        Raises:
            SampleError: a label is none of the model's.
        """

    def open_evaluation(
        self, context: EvaluationContext, source: Path, labels: Path | None, limit: int | None
    ) -> EvaluationSet:
        """Open a file of texts; see `kit.tasks._text.texts`."""
        if labels is not None:
            raise UsageError(
                f"the task {self.name} takes no file of labels: they are a column of the texts'",
                f"give --samples {_FILE}",
            )
        if limit is not None and limit < 1:
            raise UsageError(f"the limit {limit} leaves no text", "use 1 or more")
        listed = read_texts(source)
        unseen = [one for one in listed if one.digest() not in context.seen]
        if not unseen:
            raise SampleError(
                f"every text of {source} calibrated this bundle",
                "evaluate on other texts, or build with fewer --calibration-images",
            )
        total = len(unseen)
        if limit is not None and limit < total:
            unseen = [unseen[i * total // limit] for i in range(limit)]
        targets = None
        if context.labelled and unseen[0].label is not None:
            targets = self.find_targets(unseen, context, source)
        lines = "".join(f"{one.digest()} {one.label if targets else None}\n" for one in unseen)
        return TextSet(
            decode_name(source.resolve().name),
            hashlib.sha256(lines.encode()).hexdigest(),
            len(listed) - total,
            (),
            tuple(unseen),
            targets,
            context.inputs,
        )

    def open_samples(self, inputs: ModelInputs, source: Path) -> SampleList:
        """List the texts of a file, whose labels are not used; each is named by itself."""
        from kit.tasks._text.tokenizing import TextEncoder

        assert inputs.text is not None  # tasks of text have it
        texts = read_texts(source)
        encoder = TextEncoder(inputs.text, inputs.specs, "the tokenizer of the bundle")
        names = [shorten(one.text, _NAME_LENGTH, placeholder=" …") for one in texts]
        return SampleList(names, lambda index: encoder.encode([texts[index].text]))
