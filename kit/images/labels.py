"""Find the class that a text names: by index, WordNet id or category name.

ImageNet's two lists, in the order of the outputs, are read from files of installed packages:
category names from torchvision, WordNet ids (synsets) from timm. Neither package is imported,
because that would take seconds.
"""

from __future__ import annotations

import importlib.util
import re
import unicodedata
from collections.abc import Iterable, Sequence
from functools import cache
from pathlib import Path
from typing import NamedTuple

from kit.errors import MissingTool

_INDEX = re.compile(r"[0-9]{1,6}")
_WORDNET_ID = re.compile(r"n[0-9]{8}")
# 0000_n01440764_tench.jpg; up to six digits, because phones name pictures 20260131_….jpg
_PREFIX = re.compile(r"([0-9]{1,6}|n[0-9]{8})_")


def _installed(package: str, inside: str) -> Path:
    spec = importlib.util.find_spec(package)
    for root in (spec and spec.submodule_search_locations) or ():
        if (Path(root) / inside).is_file():
            return Path(root) / inside
    raise MissingTool(
        f"the installed {package} has no {inside}, which lists the classes of ImageNet",
        f"install the version of {package} that kit requires",
    )


@cache
def list_imagenet_categories() -> tuple[str, ...]:
    """Return torchvision's 1000 category names in output order."""
    file = _installed("torchvision", "models/_meta.py")
    spec = importlib.util.spec_from_file_location("_torchvision_meta", file)
    assert spec is not None
    assert spec.loader is not None
    meta = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(meta)  # literal lists, no imports
    return tuple(meta._IMAGENET_CATEGORIES)


@cache
def list_imagenet_synsets() -> tuple[str, ...]:
    """Return the 1000 WordNet ids of ImageNet in output order."""
    file = _installed("timm", "data/_info/imagenet_synsets.txt")
    return tuple(file.read_text(encoding="ascii").split())


class Named(NamedTuple):
    """A class that a text names.

    Attributes:
        number: of the class.
        kind: of the text: ``class indices``, ``WordNet ids`` or ``category names``.
    """

    number: int
    kind: str


class Classes:
    """Finds the class that a text means.

    Args:
        categories: names in output order; None stands for ImageNet's. WordNet ids are
            recognized only if the categories are ImageNet's.
    """

    def __init__(self, categories: Sequence[str] | None = None) -> None:
        given = list_imagenet_categories() if categories is None else tuple(categories)
        names = tuple(map(compose, given))
        self._exact = _unique((name, i) for i, name in enumerate(names))
        self._plain = _unique((_plain(name), i) for i, name in enumerate(names))
        self._first = _unique((_plain(_first(name)), i) for i, name in enumerate(names))
        is_imagenet = names == list_imagenet_categories()
        self._synsets = {s: i for i, s in enumerate(list_imagenet_synsets())} if is_imagenet else {}

    def find(self, text: str) -> int | None:
        """Return the class index, or None if the text names no class or more than one."""
        named = self.look_up(text)
        return None if named is None else named.number

    def look_up(self, text: str) -> Named | None:
        """Return the class, or None if the text names no class or more than one."""
        text = compose(text.strip())
        if text in self._exact:
            return Named(self._exact[text], "category names")
        if _INDEX.fullmatch(text):
            return Named(int(text), "class indices")
        if _WORDNET_ID.fullmatch(text):
            index, kind = self._synsets.get(text), "WordNet ids"
        else:
            index, kind = self._plain.get(_plain(text)), "category names"
            index = self._first.get(_plain(_first(text))) if index is None else index
        return None if index is None else Named(index, kind)

    def prefix(self, file_name: str) -> Named | None:
        """Return the class that a file name begins with, as in ``0000_tench.jpg``."""
        match = _PREFIX.match(file_name)
        return self.look_up(match[1]) if match else None


def compose(text: str) -> str:
    """Return a text with composed characters: macOS writes ``é`` in file names as two."""
    return unicodedata.normalize("NFC", text)


def _unique(pairs: Iterable[tuple[str, int]]) -> dict[str, int]:
    """Drop ambiguous names: in ImageNet, "crane" is a bird and a machine."""
    indices_of: dict[str, set[int]] = {}
    for name, index in pairs:
        indices_of.setdefault(name, set()).add(index)
    return {name: indices.pop() for name, indices in indices_of.items() if len(indices) == 1}


def _first(name: str) -> str:
    """Return the first of the synonyms in ``tench, Tinca tinca``."""
    return name.split(",", 1)[0]


def _plain(name: str) -> str:
    """Return a name in lower case, without punctuation, its words separated by spaces."""
    words = re.sub(r"['’.()]", "", name.casefold())
    return " ".join(re.split(r"[\s_,\-]+", words)).strip()
