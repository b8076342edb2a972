"""The runtimes' libraries: from the installed packages, or from pinned wheels.

For the machine's own ABI the packages that kit runs with are used, so that a native runner
and the Python one run the same code. For any other, one wheel of a known hash is fetched by
its name (`kit.wheels`) and unpacked into the user's cache folder.
"""

from __future__ import annotations

import importlib.util
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from kit import files, wheels
from kit.errors import MissingTool, OutputError
from kit.runners._toolchain import Abi
from kit.wheels import Pin, Say

__all__ = ["PINS", "Pin", "Say", "Source", "fetch", "source"]

_WANTED = (".so", ".h", ".hpp")

_ARM, _X86 = "manylinux_2_28_aarch64", "manylinux_2_28_x86_64"
# torch 2.8.0: later wheels for Arm are built for CUDA and take 450 MB instead of 100.
PINS = {
    ("arm64-v8a", "executorch"): Pin(
        *("executorch", "1.5.1", _ARM),
        "8ee02348a3ea80ddf770822911ebf78da616b73afce0fbaaa79f23311c88c66a",
    ),
    ("arm64-v8a", "onnx"): Pin(
        *("onnxruntime", "1.32.0", _ARM),
        "2303372a85299b6757b0e11e1cbf13e410ddf7e10c37f4b37e99d1c90e7daf7c",
    ),
    ("arm64-v8a", "lite"): Pin(
        *("torch", "2.8.0", _ARM),
        "220a06fd7af8b653c35d359dfe1aaf32f65aa85befa342629f716acb134b9710",
    ),
    ("x86_64", "executorch"): Pin(
        *("executorch", "1.5.1", _X86),
        "274c28c2fe2b76acb03f9fa381537425c40e0098dcf886baf6d97a1a55ffe300",
    ),
    ("x86_64", "onnx"): Pin(
        *("onnxruntime", "1.32.0", _X86),
        "5a34fc4dfeb5a7b4a74c95dcba1e773d722abda720b474edf1b0c419dc6d163d",
    ),
    ("x86_64", "lite"): Pin(
        *("torch", "2.14.1", _X86),
        "305a61f61f35f128579f299c5bd33d475f6a01c6307336139632e30856c4854d",
    ),
}


@dataclass(frozen=True)
class Source:
    """Where a runtime's libraries and headers lie.

    Attributes:
        version: of the distribution.
        root: folder of the package; None before it is fetched.
    """

    pin: Pin
    version: str
    root: Path | None

    @property
    def key(self) -> str:
        """Return what changes when the libraries do."""
        return f"{self.pin.package} {self.version}" if self.root else self.pin.sha256


def source(abi: Abi, format: str) -> Source:
    """Say where a runtime comes from, without fetching or importing it.

    Raises:
        MissingTool: the machine's own runtime is not installed.
    """
    pin = PINS[abi.name, format]
    if not abi.native:
        return Source(pin, pin.version, None)
    spec = importlib.util.find_spec(pin.package)
    try:
        found = version(pin.package)
    except PackageNotFoundError:
        spec = None
    if spec is None or not spec.submodule_search_locations:
        raise MissingTool(
            f"{pin.package} is not installed, whose libraries the {format} runner uses",
            f"pip install {pin.package}=={pin.version}",
        )
    return Source(pin, found, Path(next(iter(spec.submodule_search_locations))))


def fetch(source: Source, cache: Path, say: Say) -> Path:
    """Return the folder of a runtime's package; its wheel is fetched if need be.

    Raises:
        MissingTool: it cannot be fetched, or is not the pinned file.
        OutputError: there is no space for it.
    """
    if source.root is not None:
        return source.root
    pin = source.pin
    target = cache / f"{pin.package}-{pin.version}-{pin.sha256[:12]}"
    try:
        if not target.is_dir():
            with wheels.opened(pin, cache, say) as content, files.folder_beside(target) as work:
                say(f"unpacking {pin.file}")
                content.extract(_wanted, work)
                work.rename(target)
    except OSError as exc:
        if not target.is_dir():  # else another kit was faster
            raise OutputError(
                f"cannot unpack {pin.file} into {cache}: {exc.strerror or exc}",
                "make space there, or point XDG_CACHE_HOME to another folder",
            ) from exc
    return target / pin.package


def _wanted(name: str) -> bool:
    return name.endswith(_WANTED) or ".so." in name
