"""The runtimes' libraries: from the installed packages, or from pinned wheels.

For the machine's own ABI the packages that kit runs with are used, so that a native runner
and the Python one run the same code. For others, a wheel of a pinned hash is downloaded by
its name (`kit.wheels`) and unpacked into the user's cache folder.
"""

from __future__ import annotations

import importlib.util
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from kit.errors import MissingTool, OutputError
from kit.files import temporary
from kit.progress import ReportStatus
from kit.runners import _backends
from kit.runners.toolchain import Abi
from kit.wheels import reading
from kit.wheels.fetching import Pin

__all__ = ["Pin", "WheelSource", "fetch", "find_source"]

_WANTED = (".so", ".h", ".hpp")


@dataclass(frozen=True)
class WheelSource:
    """The source of a runtime's libraries and headers.

    Attributes:
        version: of the distribution.
        root: folder of the package; None before it is fetched.
    """

    pin: Pin
    version: str
    root: Path | None

    @property
    def key(self) -> str:
        """Return a key that changes with the libraries."""
        return f"{self.pin.package} {self.version}" if self.root else self.pin.sha256


def find_source(abi: Abi, format: str) -> WheelSource:
    """Find the source of a runtime, without downloading or importing it.

    Raises:
        MissingTool: the machine's own runtime is not installed.
    """
    pin = _backends.find_native_runner(format).pins[abi.name]
    if not abi.native:
        return WheelSource(pin, pin.version, None)
    spec = importlib.util.find_spec(pin.module)
    try:
        installed = version(pin.package)
    except PackageNotFoundError:
        spec = None
    if spec is None or not spec.submodule_search_locations:
        raise MissingTool(
            f"{pin.package} is not installed, whose libraries the {format} runner uses",
            f"pip install {pin.package}=={pin.version}",
        )
    return WheelSource(pin, installed, Path(next(iter(spec.submodule_search_locations))))


def fetch(source: WheelSource, cache: Path, report_status: ReportStatus) -> Path:
    """Return the folder of a runtime's package, and download its wheel if needed.

    Raises:
        MissingTool: it cannot be downloaded, or is not the pinned file.
        OutputError: there is no space for it.
    """
    if source.root is not None:
        return source.root
    pin = source.pin
    target = cache / f"{pin.package}-{pin.version}-{pin.sha256[:12]}"
    try:
        if not target.is_dir():
            with (
                reading.open_pinned(pin, cache, report_status) as content,
                temporary.make_folder_beside(target) as work,
            ):
                report_status(f"unpacking {pin.file}")
                content.extract(_wanted, work)
                work.rename(target)
    except OSError as exc:
        if not target.is_dir():  # else another kit was faster
            raise OutputError(
                f"cannot unpack {pin.file} into {cache}: {exc.strerror or exc}",
                "make space there, or point XDG_CACHE_HOME to another folder",
            ) from exc
    return target / pin.module


def _wanted(name: str) -> bool:
    return name.endswith(_WANTED) or ".so." in name
