"""Registries of formats, tasks, models, methods, precisions, corrections: kit's own and plug-ins.

kit's own members are modules or sub-packages of one package; those of other distributions are
entry points of a group (https://packaging.python.org/en/latest/specifications/entry-points/).
Names are listed without importing anything, and `Registry.get` imports one member only.
"""

from __future__ import annotations

import functools
import importlib
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from typing import Generic, Protocol, TypeVar, cast, runtime_checkable

from kit.errors import PluginError, UnknownName

T = TypeVar("T")


@runtime_checkable
class Aliased(Protocol):
    """A member that is also known by other names, which messages suggest it for."""

    def list_aliases(self) -> dict[str, str]:
        """Return other names, in lower case, and what to suggest for each."""


@dataclass(frozen=True)
class Names:
    """Names of the members of one kind.

    Attributes:
        kind: word for a member in messages, such as ``format``.
        package: below `kit`, with kit's own members.
        attribute: of a module, which holds the member; modules that assign it are members.
        dashed: names have dashes where modules have underscores.
        entries: group of the entry points of plug-ins; empty for that of the package.
    """

    kind: str
    package: str
    attribute: str
    dashed: bool = False
    entries: str = ""

    @property
    def group(self) -> str:
        """Return the group of entry points that plug-ins use, such as ``kit.formats``."""
        return self.entries or f"kit.{self.package}"

    def list_own(self) -> tuple[str, ...]:
        """Return the sorted names of kit's own members."""
        return _list_members(self.package, self.attribute, self.dashed)

    def list_all(self) -> tuple[str, ...]:
        """Return the sorted names of all members.

        Raises:
            PluginError: a plug-in uses a name that is taken.
        """
        return tuple(sorted({*self.list_own(), *self.find_plugins()}))

    def check(self, name: str) -> None:
        """Raise unless there is a member of this name.

        Raises:
            UnknownName: there is none; the hint has near matches.
            PluginError: a plug-in uses a name that is taken.
        """
        if name not in self.list_own() and name not in self.list_all():
            raise self.unknown(name)

    def unknown(self, name: str, choices: Iterable[str] | None = None) -> UnknownName:
        """Return the error for a name that no member has.

        Its hint has what other tools' words stand for, which only members know: they are imported.

        Args:
            name: that was given.
            choices: names to suggest; None for those of the members.
        """
        names = self.list_all() if choices is None else choices
        return UnknownName.among(self.kind, name, names, self.find_aliases())

    def find_aliases(self) -> dict[str, str]:
        """Return the other words for all members, in lower case, and what each stands for."""
        aliases: dict[str, str] = {}
        for own in self.list_own():
            member = self.import_own(own)
            aliases |= member.list_aliases() if isinstance(member, Aliased) else {}
        for point in self.find_plugins().values():
            try:
                member = point.load()
            except Exception:  # noqa: BLE001, S112 - a broken plug-in is not what was asked for
                continue
            aliases |= member.list_aliases() if isinstance(member, Aliased) else {}
        return aliases

    def import_own(self, name: str) -> object:
        """Return one of kit's own members."""
        stem = name.replace("-", "_") if self.dashed else name
        return getattr(importlib.import_module(f"kit.{self.package}.{stem}"), self.attribute)

    def find_plugins(self) -> dict[str, EntryPoint]:
        """Return the entry points of other distributions by name.

        Raises:
            PluginError: one uses a name that is taken.
        """
        points: dict[str, EntryPoint] = {}
        for point in _read_entry_points(tuple(sys.path), self.group):
            if point.name in points or point.name in self.list_own():
                origin = _name_origin(point)
                raise PluginError(
                    f"{origin} provides a {self.kind} called {point.name!r}, a name that is taken",
                    f"uninstall {origin}, or ask its author to rename it",
                )
            points[point.name] = point
        return points


@dataclass(frozen=True)
class Registry(Generic[T]):
    """Members of one kind.

    Attributes:
        names: of the members.
        type: of the members, with an attribute ``name``.
    """

    names: Names
    type: type[T]

    def get(self, name: str) -> T:
        """Return a member.

        Raises:
            UnknownName: there is none of this name; the hint has near matches.
            PluginError: a plug-in cannot be imported, or is not of the registry's type.
        """
        names = self.names
        if name in names.list_own():
            return cast(T, names.import_own(name))
        plugins = names.find_plugins()
        if name not in plugins:
            raise names.unknown(name)
        return self._load(plugins[name])

    def find_distribution(self, name: str) -> str | None:
        """Return the distribution that provides a member; None for kit's own."""
        names = self.names
        point = None if name in names.list_own() else names.find_plugins().get(name)
        return None if point is None or point.dist is None else point.dist.name

    def _load(self, point: EntryPoint) -> T:
        origin = _name_origin(point)
        try:
            member = point.load()
        except Exception as exc:  # foreign code may raise any type
            raise PluginError(
                f"the {self.names.kind} {point.name!r} of {origin} cannot be imported: "
                f"{type(exc).__name__}: {exc}",
                f"update or uninstall {origin}",
            ) from exc
        if not isinstance(member, self.type) or getattr(member, "name", None) != point.name:
            raise PluginError(
                f"the {self.names.kind} {point.name!r} of {origin} is {member!r}, not an instance "
                f"of kit's {self.type.__name__} with that name",
                f"update or uninstall {origin}",
            )
        return member


FORMAT_NAMES = Names("format", "formats", "FORMAT")
CLASSIFICATION = "image-classification"  # the default, and the only task before manifest schema 3
DETECTION = "object-detection"
TASK_NAMES = Names("task", "tasks", "TASK", dashed=True)
MODEL_NAMES = Names("model", "models", "FAMILY")
SOURCE_NAMES = Names("source of models", "models", "SOURCE", entries="kit.model_sources")
ALGORITHM_NAMES = Names("quantization method", "algorithms", "ALGORITHM")
PRECISION_NAMES = Names("precision", "precisions", "PRECISION", dashed=True)
CORRECTION_NAMES = Names("correction", "corrections", "CORRECTION")


@functools.cache
def _list_members(package: str, attribute: str, dashed: bool) -> tuple[str, ...]:
    """Return the names of the modules whose source assigns the attribute; none is imported."""
    folder = Path(__file__).parent / package
    files = {file.parent.name: file for file in folder.glob("[!_]*/__init__.py")}
    files |= {file.stem: file for file in folder.glob("[!_]*.py")}
    assignment = f"\n{attribute} = "
    stems = (stem for stem, file in files.items() if assignment in file.read_text("utf-8"))
    return tuple(sorted(stem.replace("_", "-") if dashed else stem for stem in stems))


@functools.cache
def _read_entry_points(path: tuple[str, ...], group: str) -> tuple[EntryPoint, ...]:
    """Return a group's entry points on `sys.path`, which takes 20 ms: every package's is read."""
    return tuple(entry_points(group=group))


def _name_origin(point: EntryPoint) -> str:
    return point.dist.name if point.dist is not None else point.value
