"""The runtimes' libraries: from the installed packages, or from pinned wheels.

For the machine's own ABI the packages that kit runs with are used, so that a native runner
and the Python one run the same code. For any other, one wheel of a known hash is fetched by
its name and unpacked into the user's cache folder.
"""

from __future__ import annotations

import hashlib
import importlib.util
import os
import shutil
import stat
import subprocess
import sys
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path, PurePosixPath

from kit.errors import MissingTool, OutputError
from kit.runners._toolchain import Abi

Say = Callable[[str], None]
PYTHON = "311"  # of the wheels; nothing of Python in them is used
_WANTED = (".so", ".h", ".hpp")


@dataclass(frozen=True)
class Pin:
    """A wheel.

    Attributes:
        package: name of the distribution, and of the package inside.
        platform: tag of the wheel.
        sha256: of its file, in hex.
        tag: of the Python that the wheel is for.
    """

    package: str
    version: str
    platform: str
    sha256: str
    tag: str = f"cp{PYTHON}-cp{PYTHON}"

    @property
    def file(self) -> str:
        """Return the name of the wheel's file."""
        return f"{self.package}-{self.version}-{self.tag}-{self.platform}.whl"

    @property
    def words(self) -> list[str]:
        """Return the options of `pip download` that name exactly this wheel."""
        platform = [] if self.platform == "any" else ["--platform", self.platform]
        return [*platform, f"{self.package}=={self.version}"]


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
            _unpack(wheel(pin, cache, say), target, say)
    except OSError as exc:
        if target.is_dir():  # another kit was faster, and the wheel is gone with it
            return target / pin.package
        raise OutputError(
            f"cannot unpack {pin.file} into {cache}: {exc.strerror or exc}",
            "make space there, or point XDG_CACHE_HOME to another folder",
        ) from exc
    return target / pin.package


def wheel(pin: Pin, cache: Path, say: Say) -> Path:
    """Return a wheel's file in the cache folder; it is fetched if need be, and checked.

    Raises:
        MissingTool: it cannot be fetched, or is not the pinned file.
        OSError: the folder cannot be written to.
    """
    file = cache / pin.file
    cache.mkdir(parents=True, exist_ok=True)
    if not file.is_file():
        say(f"fetching {pin.package} {pin.version} for {pin.platform}")
        _download(pin, cache)
    with file.open("rb") as opened:
        digest = hashlib.file_digest(opened, "sha256").hexdigest()
    if digest != pin.sha256:
        file.unlink()
        raise MissingTool(
            f"{pin.file} has the SHA-256 {digest}, not the {pin.sha256} that kit was made with",
            "the file was removed: run it again; if it comes again, do not use that source",
        )
    return file


def _download(pin: Pin, folder: Path) -> None:
    part = folder / f".{pin.package}.{os.getpid()}.part"
    words = ["download", "--quiet", "--no-deps", "--only-binary=:all:", "--no-input"]
    words += ["--implementation", "cp", "--python-version", PYTHON, "--abi", f"cp{PYTHON}"]
    words += ["--dest", str(part), *pin.words]
    try:
        done = subprocess.run(
            [sys.executable, "-m", "pip", "--disable-pip-version-check", *words],
            capture_output=True,
            text=True,
            errors="replace",
            stdin=subprocess.DEVNULL,
        )
        if done.returncode != 0 or not (part / pin.file).is_file():
            raise MissingTool(
                f"cannot fetch {pin.file}: {_reason(done.stderr)}",
                f"connect to the network, or put that file into {folder}",
            )
        (part / pin.file).replace(folder / pin.file)
    finally:
        shutil.rmtree(part, ignore_errors=True)


def _reason(stderr: str) -> str:
    lines = [line for line in stderr.splitlines() if line.strip()]
    faults = [line.removeprefix("ERROR: ") for line in lines if line.startswith("ERROR: ")]
    return (faults or lines or ["pip brought another file"])[-1][:300]


def _check_members(wheel: Path, members: list[zipfile.ZipInfo]) -> None:
    """Refuse names that lead out of the folder, though the wheel's hash is known.

    Names are those in the file: zipfile itself cuts them at a NUL. A backslash or a colon would
    be a path on Windows, and a link would let a later member follow it.
    """
    names = [member.orig_filename for member in members]
    for member, name in zip(members, names, strict=True):
        path = PurePosixPath(name)
        odd = any(char in "\\:" or not char.isprintable() for char in name)
        link = stat.S_ISLNK(member.external_attr >> 16)
        if odd or link or path.is_absolute() or ".." in path.parts or names.count(name) > 1:
            raise MissingTool(f"{wheel.name} holds the unsafe name {name!r}", "fetch it again")


def _wanted(name: str) -> bool:
    return name.endswith(_WANTED) or ".so." in name


def _unpack(wheel: Path, target: Path, say: Say) -> None:
    """Keep the libraries and headers of a wheel, and drop the wheel."""
    say(f"unpacking {wheel.name}")
    part = target.with_name(f".{target.name}.{os.getpid()}.part")
    try:
        with zipfile.ZipFile(wheel) as archive:
            found = [m for m in archive.infolist() if _wanted(m.orig_filename)]
            _check_members(wheel, found)
            archive.extractall(part, found)
        part.rename(target)
    finally:
        shutil.rmtree(part, ignore_errors=True)
    wheel.unlink(missing_ok=True)
