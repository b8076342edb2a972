"""How the native runner of each format is compiled: flags, headers, libraries."""

from __future__ import annotations

from pathlib import Path

from kit import formats
from kit.errors import UnknownName
from kit.formats.interface import NativeRunner

SOURCES = Path(__file__).parent / "native"
_SHARED = ("options.cpp", "events.cpp", "system.cpp", "tensor.cpp")


def find_native_runner(format: str) -> NativeRunner:
    """Return how the native runner of a format is compiled.

    Raises:
        UnknownName: there is no such format, or no native runner runs it.
    """
    found = formats.get_format(format).native
    if found is None:
        raise UnknownName.among("format with a native runner", format, list_formats())
    return found


def list_formats() -> tuple[str, ...]:
    """Return the names of the formats that a native runner runs."""
    names = formats.list_formats()
    return tuple(name for name in names if formats.get_format(name).native is not None)


def arguments(
    found: NativeRunner, package: Path, libraries: list[Path], macros: dict[str, str]
) -> list[str]:
    """Return the compiler's words for a program, less its own file and its name.

    Args:
        found: of the format.
        package: folder of the runtime's package.
        libraries: files of `NativeRunner.libraries`.
        macros: texts that the sources name.
    """
    defines = [f'-D{name}="{value}"' for name, value in macros.items()]
    headers = [word for path in found.includes for word in ("-isystem", str(package / path))]
    sources = [*(str(SOURCES / name) for name in _SHARED), str(found.source)]
    return [
        *("-std=c++20", "-O2", "-Wall", "-Wextra", "-fPIE", "-pie"),
        *(*found.flags, *defines, f"-I{SOURCES}", *headers, *sources),
        # What these libraries ask for is put beside them, and may be a stand-in.
        *("-Wl,--no-as-needed", *map(str, libraries), "-Wl,--as-needed"),
        *("-Wl,--allow-shlib-undefined", "-Wl,--unresolved-symbols=ignore-in-shared-libs"),
        # Pages of 16 KB, as new phones have, need parts that are aligned to them.
        "-Wl,-z,max-page-size=65536",
    ]
