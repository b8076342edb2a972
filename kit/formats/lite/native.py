"""The native runner's backend: the Lite Interpreter in libtorch."""

from __future__ import annotations

from pathlib import Path

from kit.formats.runtimes import NativeRunner
from kit.wheels.fetching import ARM64_LINUX, X86_64_LINUX, Pin

NATIVE_RUNNER = NativeRunner(
    source=Path(__file__).with_name("runner.cpp"),
    pins={
        # Later wheels for Arm include CUDA and have 450 MB instead of 100.
        "arm64-v8a": Pin(
            *("torch", "2.8.0", ARM64_LINUX),
            "220a06fd7af8b653c35d359dfe1aaf32f65aa85befa342629f716acb134b9710",
        ),
        "x86_64": Pin(
            *("torch", "2.14.1", X86_64_LINUX),
            "305a61f61f35f128579f299c5bd33d475f6a01c6307336139632e30856c4854d",
        ),
    },
    includes=("include",),
    folders=("torch/lib", "torch.libs"),
    libraries=("libtorch_cpu.so", "libc10.so"),
)
