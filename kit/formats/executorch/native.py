"""The native runner's backend: ExecuTorch with XNNPACK."""

from __future__ import annotations

from pathlib import Path

from kit.formats.runtimes import NativeRunner
from kit.wheels.fetching import ARM64_LINUX, X86_64_LINUX, Pin

# ExecuTorch's backends and kernels register themselves when they are loaded: no symbol refers
# to them, and the linker would drop them. The kernels run nodes that are not delegated.
NATIVE_RUNNER = NativeRunner(
    source=Path(__file__).with_name("runner.cpp"),
    pins={
        "arm64-v8a": Pin(
            *("executorch", "1.5.1", ARM64_LINUX),
            "8ee02348a3ea80ddf770822911ebf78da616b73afce0fbaaa79f23311c88c66a",
        ),
        "x86_64": Pin(
            *("executorch", "1.5.1", X86_64_LINUX),
            "274c28c2fe2b76acb03f9fa381537425c40e0098dcf886baf6d97a1a55ffe300",
        ),
    },
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
)
