"""How each backend of the native runner is compiled: flags, headers, libraries."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from kit.errors import UnknownName

SOURCES = Path(__file__).parent / "native"
_SHARED = ("options.cpp", "events.cpp", "system.cpp")


@dataclass(frozen=True)
class Backend:
    """One runtime.

    Attributes:
        source: the backend's own file.
        includes: folders of headers, below the package.
        folders: folders of libraries, below the package's parent.
        libraries: to link, by the name they ask for each other.
        flags: what its headers must be compiled with.
        opened: libraries that the program opens itself, so that it can check before whether
            they run here.
    """

    source: str
    includes: tuple[str, ...]
    folders: tuple[str, ...]
    libraries: tuple[str, ...]
    flags: tuple[str, ...] = ()
    opened: tuple[str, ...] = ()


# ExecuTorch's backends and kernels register themselves when they are loaded: nothing refers
# to them, and the linker would drop them. The kernels run what XNNPACK did not take over.
BACKENDS = {
    "executorch": Backend(
        source="executorch.cpp",
        includes=("include", "include/executorch/runtime/core/portable_type/c10"),
        folders=("executorch/lib",),
        libraries=(
            "libexecutorch_backend_xnnpack.so",
            "libexecutorch_kernels_optimized.so",
            "libexecutorch_kernels_quantized.so",
            "libexecutorch_threadpool.so",
            "libexecutorch_etdump.so",
            "libexecutorch.so",
        ),
        flags=(
            "-DC10_USING_CUSTOM_GENERATED_MACROS",
            "-DET_EVENT_TRACER_ENABLED",
            "-DET_USE_THREADPOOL",
        ),
    ),
    "onnx": Backend(
        source="onnx.cpp",
        includes=(),
        folders=("onnxruntime/capi",),
        libraries=(),
        opened=("libonnxruntime.so.1",),
    ),
    "lite": Backend(
        source="lite.cpp",
        includes=("include",),
        folders=("torch/lib", "torch.libs"),
        libraries=("libtorch_cpu.so", "libc10.so"),
    ),
}


def backend(format: str) -> Backend:
    """Return the backend of a format.

    Raises:
        UnknownName: no native runner runs it.
    """
    if format not in BACKENDS:
        raise UnknownName.among("format with a native runner", format, BACKENDS)
    return BACKENDS[format]


def arguments(
    found: Backend, package: Path, libraries: list[Path], macros: dict[str, str]
) -> list[str]:
    """Return the compiler's words for a program, less its own file and its name.

    Args:
        found: the backend.
        package: folder of the runtime's package.
        libraries: files of `Backend.libraries`.
        macros: texts that the sources name.
    """
    defines = [f'-D{name}="{value}"' for name, value in macros.items()]
    headers = [word for path in found.includes for word in ("-isystem", str(package / path))]
    sources = [str(SOURCES / name) for name in (*_SHARED, found.source)]
    return [
        *("-std=c++20", "-O2", "-Wall", "-Wextra", "-fPIE", "-pie"),
        *(*found.flags, *defines, f"-I{SOURCES}", *headers, *sources),
        # What these libraries ask for is put beside them, and may be a stand-in.
        *("-Wl,--no-as-needed", *map(str, libraries), "-Wl,--as-needed"),
        *("-Wl,--allow-shlib-undefined", "-Wl,--unresolved-symbols=ignore-in-shared-libs"),
        # Pages of 16 KB, as new phones have, need parts that are aligned to them.
        "-Wl,-z,max-page-size=65536",
    ]
