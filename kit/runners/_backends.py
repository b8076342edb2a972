"""Compiler options of each backend of the native runner: flags, headers, libraries."""

from __future__ import annotations

from importlib import metadata
from pathlib import Path

from kit import formats
from kit.errors import UnknownName
from kit.formats.runtimes import NativeRunner

SOURCES = Path(__file__).parent / "native"
_SHARED = ("options.cpp", "events.cpp", "system.cpp", "tensor.cpp")


def find_native_runner(format: str) -> NativeRunner:
    """Return how the native runner of a format is compiled.

    Raises:
        UnknownName: there is no such format, or it has no native runner.
    """
    runner = formats.get_format(format).native
    if runner is None:
        raise UnknownName(
            f"the format {format} has no native runner",
            f"these have one: {', '.join(list_formats())}",
        )
    return runner


def list_formats() -> tuple[str, ...]:
    """Return the names of the formats that have a native runner."""
    names = formats.list_formats()
    return tuple(name for name in names if formats.get_format(name).native is not None)


def list_installed() -> tuple[str, ...]:
    """Return those of `list_formats` whose runtime is installed: some are extras."""
    return tuple(name for name in list_formats() if _is_installed(formats.get_format(name).runtime))


def _is_installed(distribution: str) -> bool:
    try:
        metadata.version(distribution)
    except metadata.PackageNotFoundError:
        return False
    return True


def list_arguments(
    runner: NativeRunner, package: Path, libraries: list[Path], macros: dict[str, str]
) -> list[str]:
    """Return the compiler's arguments for a program, without its main file and output.

    Args:
        runner: of the format.
        package: folder of the runtime's package.
        libraries: files of `NativeRunner.libraries`.
        macros: string macros of the sources.
    """
    # Assertions in the runtimes' headers name their file: the same on every machine. g++ resolves
    # links in the paths of system headers.
    names = dict.fromkeys((package, package.resolve()))
    defines = [f'-D{name}="{value}"' for name, value in macros.items()]
    headers = [word for path in runner.includes for word in ("-isystem", str(package / path))]
    # One translation unit: the headers, which take most of the time, are read once for all.
    sources = [*(SOURCES / name for name in _SHARED), runner.source]
    included = [word for source in sources for word in ("-include", str(source))]
    return [
        *("-std=c++20", "-O2", "-Wall", "-Wextra", "-fPIE", "-pie"),
        *(f"-ffile-prefix-map={path}={package.name}" for path in names),
        *(*runner.flags, *defines, f"-I{SOURCES}", *headers, *included),
        # Dependencies of these libraries are copied next to them, and may be stubs.
        *("-Wl,--no-as-needed", *map(str, libraries), "-Wl,--as-needed"),
        *("-Wl,--allow-shlib-undefined", "-Wl,--unresolved-symbols=ignore-in-shared-libs"),
        # Devices with pages of 16 KB need segments that are aligned to them.
        "-Wl,-z,max-page-size=65536",
    ]
