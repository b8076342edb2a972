"""Models of other libraries by name: ``SOURCE:NAME``, such as ``torchvision:resnet18``.

A source is a file of `kit/models/`, or an entry point of the group ``kit.model_sources``. This
module knows what a recipe needs of it; `kit.models.sourced` has what it builds.
"""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from dataclasses import dataclass
from difflib import get_close_matches
from importlib import metadata
from typing import ClassVar

from kit.errors import MissingTool, UnknownName
from kit.registry import MODEL_NAMES, SOURCE_NAMES, Registry

_REFERENCE = re.compile(r"(?P<source>[A-Za-z][\w-]+):(?P<name>.*)", re.ASCII | re.DOTALL)
_SUGGESTED = 3
OWN_HINT = "a network of your own is FILE.py:FACTORY"


@dataclass(frozen=True)
class ModelReference:
    """``SOURCE:NAME``, split; neither needs to exist."""

    source: str
    name: str


def split_reference(model: str) -> ModelReference | None:
    """Split ``SOURCE:NAME``; None for a family and for ``FILE.py:FACTORY``."""
    match = _REFERENCE.fullmatch(model)
    return ModelReference(match["source"], match["name"]) if match else None


class ModelSource(ABC):
    """What a recipe needs to know of a source.

    Attributes:
        name: of the source, before the colon.
        summary: for `kit list`.
        takes: word for what follows the colon.
        package: distribution that it needs.
        extra: extra of kit's that installs it; empty where kit itself needs it.
        weights: default of a recipe's field of that name.
    """

    name: ClassVar[str]
    summary: ClassVar[str]
    takes: ClassVar[str] = "NAME"
    package: ClassVar[str]
    extra: ClassVar[str] = ""
    weights: ClassVar[str] = "imagenet"

    @abstractmethod
    def list_names(self) -> tuple[str, ...]:
        """Return the sorted names of its models, without importing the library.

        It is empty if the library is not installed, or names are not what it takes.
        """

    @abstractmethod
    def check_name(self, name: str) -> None:
        """Raise unless there is such a model.

        Raises:
            MissingTool: the library is not installed.
            UnknownName: there is no such model.
            RecipeError: it cannot be built as a classifier.
        """

    @abstractmethod
    def find_side(self, name: str) -> int:
        """Return the side of the square input that the model was made for, in pixels.

        Raises:
            KitError: see `check_name`.
        """

    def find_task(self, name: str) -> str:
        """Return the task that a model is for, the default of a recipe's."""
        return "image-classification"

    def check_package(self) -> None:
        """Check that the library is installed, without importing it.

        Raises:
            MissingTool: it is not; the hint has the extra that installs it.
        """
        try:
            metadata.version(self.package)
        except metadata.PackageNotFoundError as exc:
            wanted = f"'mobile-deployment-kit[{self.extra}]'" if self.extra else self.package
            raise MissingTool(
                f"{self.package} is not installed, which models of {self.name}: need",
                f"pip install {wanted}",
            ) from exc


_REGISTRY = Registry(
    SOURCE_NAMES,
    ModelSource,  # type: ignore[type-abstract]  # for isinstance only
)


def find_source(name: str) -> ModelSource:
    """Return a source by its name.

    Raises:
        UnknownName: there is none; the hint names those that exist.
        PluginError: the plug-in that provides it is broken.
    """
    if name not in (names := SOURCE_NAMES.list_all()):
        near = get_close_matches(name, names, n=1, cutoff=0.5)
        hint = f"did you mean {near[0]}:…?" if near else f"known: {', '.join(names)}"
        raise UnknownName(f"there is no {SOURCE_NAMES.kind} called {name!r}", f"{hint}; {OWN_HINT}")
    return _REGISTRY.get(name)


def list_sources() -> tuple[str, ...]:
    """Return the sorted names of the sources."""
    return SOURCE_NAMES.list_all()


def find_models(word: str = "") -> dict[str, tuple[str, ...]]:
    """Return by source the models whose names contain a word, whatever its case and dashes.

    The families of kit are under ``kit``.
    """
    listed = {"kit": MODEL_NAMES.list_all()}
    for source in list_sources():
        names = find_source(source).list_names()
        listed[source] = tuple(f"{source}:{name}" for name in names)
    wanted = _plain(word)
    return {
        source: tuple(name for name in names if wanted in _plain(name))
        for source, names in listed.items()
    }


def suggest_models(name: str) -> tuple[str, ...]:
    """Return models of sources that a name without a source may mean, the likeliest first."""
    listed = {source: find_source(source).list_names() for source in list_sources()}
    # A name that two libraries have is that of the shorter list first, which is better known.
    order = sorted(listed, key=lambda source: len(listed[source]))
    wanted = _plain(name)
    same = [f"{s}:{n}" for s in order for n in listed[s] if _plain(n) == wanted]
    if same:
        return tuple(same[:_SUGGESTED])
    near = [f"{s}:{n}" for s in order for n in get_close_matches(name, listed[s], n=2, cutoff=0.7)]
    return tuple(near[:_SUGGESTED])


def format_hint(name: str) -> str | None:
    """Return a question with the models, of kit and of sources, that a wrong name may mean."""
    families = MODEL_NAMES.list_all()
    suggestions = [family for family in families if _plain(family) == _plain(name)]
    if not suggestions:
        near = get_close_matches(name, families, n=2, cutoff=0.7)
        suggestions = [*near, *suggest_models(name)][:_SUGGESTED]
    return f"did you mean {' or '.join(suggestions)}?" if suggestions else None


def _plain(name: str) -> str:
    """Return a name without what is easily mistaken: case and separators."""
    return re.sub(r"[-_ .]", "", name.lower())
