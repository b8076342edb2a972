"""Native runners: C++ programs with all their libraries, ready to be pushed to a device.

A runner is built once for an ABI and a format and kept in the user's cache folder, by the
hash of its sources and the version of its runtime. It is started through its own loader, so
that it depends on nothing but the device's kernel:

    FOLDER/ld-linux-aarch64.so.1 --library-path FOLDER FOLDER/runner --format onnx ...
"""

from __future__ import annotations

import hashlib
import shutil
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

import kit
from kit import user_cache
from kit.errors import BuildError, OutputError
from kit.files import temporary
from kit.files.untrusted import read_file
from kit.progress import ReportStatus
from kit.runners import _backends, assemble, elf, library_wheels, protocol, toolchain

__all__ = [
    "ABIS",
    "RunnerSet",
    "build",
    "compile_program",
    "find",
    "list_formats",
    "list_installed",
    "list_runners",
]

ABIS = tuple(toolchain.ABIS)
list_formats = _backends.list_formats
list_installed = _backends.list_installed
RECORD = "runner.json"
KEEP = 3  # runners of an ABI and a format; the oldest are removed first


@dataclass(frozen=True)
class RunnerSet:
    """A runner's folder on this machine.

    Attributes:
        files: size in bytes and SHA-256 of each file to push, by name.
        runtime: name of its distribution; `runtime_version` is its version.
        protocol: version, see `kit.runners.protocol`.
        page: largest page size of a kernel that can load all files, in bytes.
        glibc: minimum version of glibc for the runtime; the folder has one.
        compiler: that built it.
    """

    abi: str
    format: str
    folder: Path
    files: dict[str, tuple[int, str]]
    runtime: str
    runtime_version: str
    protocol: int
    page: int
    glibc: str
    compiler: str

    @property
    def size(self) -> int:
        """Return the bytes of all files."""
        return sum(size for size, _ in self.files.values())

    def command(self, folder: str) -> list[str]:
        """Return the command of the runner, with its files in `folder`."""
        loader = toolchain.get_abi(self.abi).loader
        return [
            f"{folder}/{loader}",
            *("--library-path", folder),
            f"{folder}/{assemble.PROGRAM}",
        ]


class _File(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    size: int
    sha256: str
    alignment: int


class _Record(BaseModel):
    """The content of `runner.json`."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    protocol: int
    kit: str
    abi: str
    format: str
    runtime: str
    runtime_version: str
    compiler: str
    glibc: str
    command: tuple[str, ...]
    files: dict[str, _File]


def find(abi: str, format: str) -> RunnerSet | None:
    """Return the runner built from this kit's sources and runtime, None if there is none.

    Raises:
        UnknownName: there is no such ABI or format.
        MissingTool: the machine's own runtime is not installed.
    """
    target = toolchain.get_abi(abi)
    _backends.find_native_runner(format)
    return _load(_folder(target, format, library_wheels.find_source(target, format)))


def build(
    abi: str, formats: Sequence[str], report_status: ReportStatus | None = None
) -> list[RunnerSet]:
    """Build missing runners of an ABI, and return all requested ones.

    Raises:
        UnknownName: there is no such ABI or format.
        MissingTool: there is no compiler, or a wheel cannot be downloaded.
        BuildError: compilation fails.
        OutputError: the cache folder cannot be written to.
    """
    target = toolchain.get_abi(abi)
    for name in formats:
        _backends.find_native_runner(name)
    report_status = report_status or (lambda _: None)
    return [
        find(abi, name) or _build(target, name, report_status) for name in dict.fromkeys(formats)
    ]


def list_runners() -> list[RunnerSet]:
    """Return every runner in the cache, also those of other versions of kit."""
    records = map(_load, sorted(_root().glob("*/[!.]*")))
    return [one for one in records if one is not None]


def compile_program(abi: str, format: str, main: Path, target: Path) -> None:
    """Compile a user's program with a backend; it runs with the libraries of `build`.

    Raises:
        MissingTool: there is no compiler, or a wheel cannot be downloaded.
        BuildError: compilation fails.
    """
    job, tools = _job(toolchain.get_abi(abi), format, lambda _: None)
    assemble.compile_program(job, tools, main, target)


def _job(
    abi: toolchain.Abi, format: str, report_status: ReportStatus
) -> tuple[assemble.AssemblyJob, toolchain.Toolchain]:
    source = library_wheels.find_source(abi, format)
    tools = toolchain.find(abi)  # before 100 MB are fetched
    package = library_wheels.fetch(
        source, user_cache.use_folder("wheels", create=True), report_status
    )
    macros = {
        "KIT_VERSION": kit.__version__,
        "KIT_RUNNER": f"native, g++ {tools.version}",
        "KIT_RUNTIME_VERSION": source.version,
    }
    return assemble.AssemblyJob(abi, format, package, macros), tools


def _build(abi: toolchain.Abi, format: str, report_status: ReportStatus) -> RunnerSet:
    source = library_wheels.find_source(abi, format)
    job, tools = _job(abi, format, report_status)
    user_cache.use_folder("runners", create=True)
    target = _folder(abi, format, source)
    try:
        with temporary.make_folder_beside(target) as part:
            parts = assemble.assemble(job, tools, part, report_status)
            record = _record(abi, format, source, tools, parts)
            (part / RECORD).write_text(record.model_dump_json(indent=1) + "\n", encoding="utf-8")
            _keep(part, target)
    except OSError as exc:
        hint = "make space there, or point XDG_CACHE_HOME to another folder"
        raise OutputError.of(exc, target, hint) from exc
    _prune(target)
    runner = _load(target)
    if runner is None:
        raise BuildError(f"{target} was changed while it was built", "build it again")
    return runner


def _keep(part: Path, target: Path) -> None:
    """Give a finished folder its name, unless another process was faster."""
    shutil.rmtree(target, ignore_errors=True)  # what is there is not whole
    try:
        part.rename(target)
    except OSError:
        if _load(target) is None:
            raise


def _record(
    abi: toolchain.Abi,
    format: str,
    source: library_wheels.WheelSource,
    tools: toolchain.Toolchain,
    parts: Sequence[assemble.Part],
) -> _Record:
    glibc = max(part.glibc for part in parts if not part.own)
    return _Record(
        protocol=protocol.VERSION,
        kit=kit.__version__,
        abi=abi.name,
        format=format,
        runtime=source.pin.package,
        runtime_version=source.version,
        compiler=f"g++ {tools.version}",
        glibc=".".join(map(str, glibc)),
        command=("{folder}/" + abi.loader, "--library-path", "{folder}", "{folder}/runner"),
        files={p.name: _File(size=p.size, sha256=p.sha256, alignment=p.alignment) for p in parts},
    )


def _load(folder: Path) -> RunnerSet | None:
    """Return the runner in a folder, None if it is missing or incomplete."""
    try:
        record = _Record.model_validate_json(read_file(folder / RECORD, 2**20))
        sizes = {name: (folder / name).stat().st_size for name in record.files}
    except (OSError, ValidationError):
        return None
    if not sizes or sizes != {name: file.size for name, file in record.files.items()}:
        return None
    return RunnerSet(
        abi=record.abi,
        format=record.format,
        folder=folder,
        files={name: (file.size, file.sha256) for name, file in record.files.items()},
        runtime=record.runtime,
        runtime_version=record.runtime_version,
        protocol=record.protocol,
        page=min(file.alignment for file in record.files.values()),
        glibc=record.glibc,
        compiler=record.compiler,
    )


def _root() -> Path:
    return user_cache.use_folder("runners")


def _folder(abi: toolchain.Abi, format: str, source: library_wheels.WheelSource) -> Path:
    return _root() / abi.name / f"{format}-{_key(format, source)}"


def _key(format: str, source: library_wheels.WheelSource) -> str:
    """Return a hash of a runner's inputs: sources, build options, the runtime."""
    digest = hashlib.sha256(f"{kit.__version__}\n{protocol.VERSION}\n{source.key}".encode())
    ours = (assemble, _backends, elf, toolchain, library_wheels)
    sources = [Path(module.__file__ or "") for module in ours]
    own = _backends.find_native_runner(format).source.parent.glob("*.[ch]*")
    flags = _backends.find_native_runner(format)
    digest.update(repr((flags.includes, flags.libraries, flags.flags, flags.opened)).encode())
    for file in sorted([*sources, *own, *_backends.SOURCES.glob("*.[ch]*")]):
        digest.update(f"\n{file.name}\n".encode() + file.read_bytes())
    return digest.hexdigest()[:16]


def _prune(newest: Path) -> None:
    """Keep some runners of the newest one's format."""
    start = newest.name.rsplit("-", 1)[0] + "-"
    others = [f for f in newest.parent.glob(f"{start}*") if f != newest]
    for folder in sorted(others, key=_age, reverse=True)[: -(KEEP - 1)]:
        shutil.rmtree(folder, ignore_errors=True)


def _age(folder: Path) -> float:
    try:
        return time.time() - folder.stat().st_mtime
    except OSError:  # another process has removed it
        return 0.0
