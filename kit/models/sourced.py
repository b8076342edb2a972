"""Models that other libraries build: what `kit.model_source` names, as members of `kit.models`."""

from __future__ import annotations

import hashlib
import re
from abc import abstractmethod
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from kit.error_text import describe_exception, shorten_value
from kit.errors import RecipeError, UnknownName
from kit.model_source import ModelSource
from kit.models.interface import Spec
from kit.registry import CLASSIFICATION, TASK_NAMES

if TYPE_CHECKING:
    from torch import Tensor, nn

    from kit.manifest.preprocessing import Interpolation

State = Mapping[str, "Tensor"]
_FEWEST = 2  # classes
INTERPOLATIONS: Mapping[str, Interpolation] = {
    "nearest": "nearest",
    "bilinear": "bilinear-antialias",
    "bicubic": "bicubic-antialias",
}


@dataclass(frozen=True)
class SourcedModel:
    """A classifier that a library builds.

    Attributes:
        name: ``SOURCE:NAME``.
        spec: its weights, preprocessing and labels.
        make: returns the network with random weights for a number of classes.
        side: of the input that its preprocessing is for, in pixels.
        origin: what decides about the network besides its name, for the build cache.
        find_own: returns the state dict that comes with the model; None if it has none.
        rename: returns the state dict of a file with the network's own names.
        deviations: what its own preprocessing does and kit does not; for a notice.
        task: that the network is for.
    """

    name: str
    spec: Spec
    make: Callable[[int], nn.Module]
    side: int
    origin: Mapping[str, str]
    find_own: Callable[[], State] | None = None
    rename: Callable[[State], dict[str, Tensor]] = dict
    deviations: tuple[str, ...] = field(default=())
    task: str = CLASSIFICATION

    def build(self, width: float, classes: int) -> nn.Module:
        """Return the network with random weights, on the CPU and in eval mode.

        Raises:
            RecipeError: the library cannot build it.
        """
        assert width == 1.0  # a recipe with another one is refused
        try:
            return self.make(classes).float().eval()
        except Exception as exc:  # foreign code may raise any type
            raise RecipeError(
                f"{self.name} with {classes} classes cannot be built: {describe_exception(exc)}",
                "KIT_DEBUG=1 shows the traceback",
            ) from exc

    def load_own(self, model: nn.Module) -> None:
        """Load the weights that come with the model into what `build` returned."""
        assert self.find_own is not None  # a recipe that asks others for theirs is refused
        model.load_state_dict(dict(self.find_own()))

    def check_input(self, sides: tuple[int, int], classes: int) -> None:
        """Check that the network gives logits for pictures of this size.

        Args:
            sides: height and width, in pixels.
            classes: number of outputs.

        Raises:
            RecipeError: it fails, or gives something else.
        """
        import torch

        model = self.build(1.0, classes)
        try:
            with torch.no_grad():
                output = model(torch.zeros(1, 3, *sides))
        except Exception as exc:  # foreign code may raise any type
            raise RecipeError(
                f"{self.name} fails on an input of {[1, 3, *sides]}: {describe_exception(exc)}",
                f"it was made for --input {self.side}",
            ) from exc
        if not isinstance(output, torch.Tensor) or tuple(output.shape) != (1, classes):
            given = list(output.shape) if isinstance(output, torch.Tensor) else type(output)
            raise RecipeError(
                f"{self.name} gives {given} for a picture, and a classifier [1, {classes}]",
                suggest_task("embedding"),
            )


class LibrarySource(ModelSource):
    """A source whose models can be loaded."""

    @abstractmethod
    def load(self, name: str) -> SourcedModel:
        """Return a model.

        Raises:
            KitError: see `ModelSource.check_name`.
        """


def suggest_task(task: str) -> str:
    """Return what to do with a network that is no classifier.

    Args:
        task: that it is for; `tensors`, which takes any network, stands in for one that kit lacks.
    """
    chosen = task if task in TASK_NAMES.list_all() else "tensors"
    return f"return it from a function of yours: kit build FILE.py:FACTORY --task {chosen}"


def check_classes(name: str, classes: int) -> None:
    """Raise RecipeError if a network has no classifier.

    Args:
        name: of the model.
        classes: number of outputs; 0 for features.
    """
    if classes < _FEWEST:
        raise RecipeError(
            f"{name} gives features and has no classifier"
            if classes == 0
            else f"{name} has one output, and there is nothing to tell apart",
            suggest_task("embedding" if classes == 0 else "tensors"),
        )


def check_colors(name: str, mean: Iterable[float], std: Iterable[float]) -> None:
    """Raise RecipeError if kit's preprocessing cannot have a mean or standard deviation."""
    means, deviations = tuple(mean), tuple(std)
    within = all(0 <= m <= 1 for m in means) and all(1e-4 <= s <= 1e3 for s in deviations)
    if not within or len(means) != 3 or len(deviations) != 3:
        raise RecipeError(
            f"{name} is made for pictures with the mean {means} and the deviation {deviations}, "
            "and kit's are RGB of 0 to 1",
            "put the conversion into a network of your own: FILE.py:FACTORY",
        )


def find_interpolation(name: str) -> tuple[Interpolation, tuple[str, ...]]:
    """Return kit's interpolation for Pillow's name of one, and how it deviates from it."""
    if name in INTERPOLATIONS:
        return INTERPOLATIONS[name], ()
    return "bilinear-antialias", (f"{name} interpolation",)


def check_listed(source: ModelSource, name: str, known: Iterable[str]) -> None:
    """Raise UnknownName unless a source has a model of this name."""
    names = tuple(known)
    if name not in names:
        near = get_close_matches(name, names, n=3, cutoff=0.5)
        meant = " or ".join(f"{source.name}:{match}" for match in near)
        hint = f"did you mean {meant}?" if near else "`kit list --models WORD` finds one"
        raise UnknownName(f"{source.name} has no classifier called {shorten_value(name)}", hint)


@cache
def scan_registered(package: str, folder: str, decorator: str) -> tuple[str, ...]:
    """Return the names of the functions that a decorator registers, without importing them.

    Args:
        package: that is installed, or not: then there are none.
        folder: inside the package.
        decorator: such as ``@register_model()``.
    """
    pattern = re.compile(rf"^{re.escape(decorator)}\n(?:[@ )].*\n)*def (\w+)\(", re.MULTILINE)
    spec = find_spec(package)
    roots = (spec.submodule_search_locations if spec else None) or ()
    files = [file for root in roots for file in Path(root, folder).glob("*.py")]
    return tuple(sorted({n for file in files for n in pattern.findall(file.read_text("utf-8"))}))


def hash_files(files: Iterable[Path]) -> str:
    """Return the SHA-256 of names and contents of files, in hex."""
    digest = hashlib.sha256()
    for file in files:
        with file.open("rb") as stream:
            content = hashlib.file_digest(stream, "sha256").hexdigest()
        digest.update(f"{file.name} {content}\n".encode())
    return digest.hexdigest()
