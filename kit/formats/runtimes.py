"""What runs a format on devices: `NativeRunner`, and `AndroidRuntime` inside an app."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from kit.wheels.fetching import Pin


@dataclass(frozen=True)
class NativeRunner:
    """How the native runner of a format is compiled, and where its libraries come from.

    Attributes:
        source: the C++ file that implements `Backend` of `kit/runners/native/runner.h`.
        pins: wheel of the runtime's libraries, by ABI.
        includes: folders of headers, below the package.
        folders: folders of libraries, below the package's parent.
        libraries: to link, by their sonames.
        flags: that its headers must be compiled with.
        opened: libraries that the program loads with dlopen(3), so that it can check first
            whether they run here.
    """

    source: Path
    pins: Mapping[str, Pin]
    includes: tuple[str, ...] = ()
    folders: tuple[str, ...] = ()
    libraries: tuple[str, ...] = ()
    flags: tuple[str, ...] = ()
    opened: tuple[str, ...] = ()


@dataclass(frozen=True)
class MavenArtifact:
    """A file that Maven resolves."""

    group: str
    name: str
    version: str
    kind: str = "jar"

    @property
    def coordinates(self) -> str:
        """Return ``group:name:version:kind``."""
        return f"{self.group}:{self.name}:{self.version}:{self.kind}"

    @property
    def file(self) -> str:
        """Return the name that Maven gives the file."""
        return f"{self.name}-{self.version}.{self.kind}"


@dataclass(frozen=True)
class AndroidRuntime:
    """What runs a format inside an app; its Java class is in ``android_app/src/FORMAT``.

    Attributes:
        aar: the runtime itself.
        beside: what its classes need in addition, which an AAR does not contain.
        marker: a class that only this runtime has, by which an archive is recognized.
        versions: of the model file's container that it reads, minimum and maximum; None where
            they are not known.
        exclusive: library that it brings in a version of its own; an app holds one runtime
            of those that name the same. Empty where it shares nothing.
        preference: of runtimes that exclude each other, the one with the lowest is packed.
    """

    aar: MavenArtifact
    marker: str
    beside: tuple[MavenArtifact, ...] = ()
    versions: tuple[int, int] | None = None
    exclusive: str = ""
    preference: int = 0
