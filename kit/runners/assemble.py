"""Build a runner with all libraries it loads into one self-contained folder.

Needed libraries are read from the ELF files, recursively: the runtime's come from its wheel;
glibc, its loader and the C++ library from the toolchain.
"""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from kit.errors import BuildError
from kit.progress import ReportStatus
from kit.runners import _backends, elf
from kit.runners.toolchain import Abi, Toolchain

PROGRAM = "runner"

# Libraries that wheels link and a runner on a device never calls. They are replaced by stubs
# with the same symbols, which only return "no device": CUDA, which torch's x86_64 wheels are
# built with, and zlib, which libgfortran links without using any of its symbols.
_STUBBED = ("libcuda", "libcudart.", "libcupti.", "libz.")


@dataclass(frozen=True)
class AssemblyJob:
    """A runner to build.

    Attributes:
        package: folder of the runtime's package.
        macros: string macros of the sources.
    """

    abi: Abi
    format: str
    package: Path
    macros: dict[str, str]


@dataclass(frozen=True)
class Part:
    """A file of a runner's folder.

    Attributes:
        alignment: the largest page size that it can be loaded with, in bytes.
        glibc: highest version of glibc that it requires.
        own: whether it is from the toolchain, not from the runtime.
    """

    name: str
    size: int
    sha256: str
    alignment: int
    glibc: tuple[int, int]
    own: bool


def assemble(
    job: AssemblyJob, tools: Toolchain, to: Path, report_status: ReportStatus
) -> list[Part]:
    """Compile a runner into an empty folder and copy its libraries next to it.

    Args:
        job: the runner to build.
        tools: compiler for its ABI.
        to: the folder.
        report_status: callback; takes the current step.

    Raises:
        BuildError: compilation fails, or a library is missing.
    """
    name = f"the {job.format} runner for {job.abi.name}"
    report_status(f"compiling {name}")
    compile_program(job, tools, _backends.SOURCES / "main.cpp", to / PROGRAM)
    report_status(f"collecting the libraries of {name}")
    opened = {*_backends.find_native_runner(job.format).opened, job.abi.loader}
    own = _collect(opened, _libraries(job), tools, to)
    return [_part(file, file.name in own) for file in sorted(to.iterdir())]


def compile_program(job: AssemblyJob, tools: Toolchain, main: Path, target: Path) -> None:
    """Compile a program of a backend.

    Raises:
        BuildError: compilation fails, or the runtime has no such library.
    """
    backend, wheel = _backends.find_native_runner(job.format), _libraries(job)
    linked = [_need(name, wheel, job.format) for name in backend.libraries]
    words = _backends.list_arguments(backend, job.package, linked, job.macros)
    what = f"the {job.format} runner for {job.abi.name}"
    tools.compile([*words, str(main), "-o", str(target)], what)


def _libraries(job: AssemblyJob) -> dict[str, Path]:
    """Return the libraries of a wheel by soname and file name."""
    libraries: dict[str, Path] = {}
    for folder in _backends.find_native_runner(job.format).folders:
        for file in sorted((job.package.parent / folder).glob("*.so*")):
            if elf.is_elf(file):
                libraries[elf.read_elf(file).soname or file.name] = file
                libraries.setdefault(file.name, file)
    return libraries


def _need(name: str, wheel: dict[str, Path], format: str) -> Path:
    if name not in wheel:
        raise BuildError(
            f"the runtime of {format} has no {name}", "install the version that kit requires"
        )
    return wheel[name]


def _collect(opened: set[str], wheel: dict[str, Path], tools: Toolchain, to: Path) -> set[str]:
    """Copy all direct and indirect dependencies; return those from the toolchain.

    Args:
        opened: dependencies that the program does not list: libraries it loads with dlopen,
            and the loader that starts it.
        wheel: the runtime's libraries, by name.
        tools: the toolchain that has all other libraries.
        to: the folder, which already has the program.
    """
    own: set[str] = set()
    seen, waiting = {PROGRAM}, [PROGRAM]
    while waiting:
        user = waiting.pop()
        needed = {*elf.read_elf(to / user).needed, *(opened if user == PROGRAM else ())}
        replaced = [n for n in needed - seen if n not in wheel and n.startswith(_STUBBED)]
        symbols = elf.read_needed_symbols(to / user) if replaced else {}
        for name in needed - seen:
            seen.add(name)
            if name not in wheel:
                own.add(name)
            if name in replaced:
                _build_stub(name, symbols.get(name, {}), tools, to)
            else:
                shutil.copyfile(_origin(name, user, wheel, tools), to / name)
            waiting.append(name)
    for name in seen:
        tools.strip_symbols(to / name)
        (to / name).chmod(0o755)
    return own


def _origin(name: str, user: str, wheel: dict[str, Path], tools: Toolchain) -> Path:
    origin = wheel.get(name) or tools.library(name)
    if origin is None:
        raise BuildError(
            f"{user} needs {name}, which neither its wheel nor the compiler has",
            "install the version of the runtime that kit requires",
        )
    return origin


def _build_stub(name: str, symbols: dict[str, str], tools: Toolchain, to: Path) -> None:
    """Build a stub library with these symbols, by version.

    Its functions return 100, ``cudaErrorNoDevice``: no other stub is called, see `_STUBBED`.
    """
    code, script = to / f".{name}.c", to / f".{name}.map"
    code.write_text("".join(_function(symbol) for symbol in sorted(symbols)) + "\n")
    versions = sorted(set(symbols.values()))
    script.write_text(
        "".join(f"{v} {{ global: {'; '.join(_of(symbols, v))}; }};\n" for v in versions)
    )
    words = ["-x", "c", "-shared", "-fPIC", "-O1", f"-Wl,-soname,{name}", str(code)]
    words += ["-nostdlib", "-Wl,-z,max-page-size=65536", "-o", str(to / name)]
    if versions:
        words.append(f"-Wl,--version-script={script}")
    tools.compile(words, f"a stub of {name}")
    code.unlink()
    script.unlink()


def _of(symbols: dict[str, str], version: str) -> Iterator[str]:
    return (symbol for symbol in sorted(symbols) if symbols[symbol] == version)


def _function(symbol: str) -> str:
    if symbol.endswith("String"):
        return f'const char *{symbol}(void) {{ return "no such device"; }}\n'
    return f"int {symbol}(void) {{ return 100; }}\n"


def _part(file: Path, own: bool) -> Part:
    header = elf.read_elf(file)
    with file.open("rb") as opened:
        digest = hashlib.file_digest(opened, "sha256").hexdigest()
    return Part(file.name, file.stat().st_size, digest, header.alignment, header.glibc, own)
