"""The native runner's backend: ONNX Runtime through its C interface."""

from __future__ import annotations

from pathlib import Path

from kit.formats.runtimes import NativeRunner
from kit.wheels.fetching import ARM64_LINUX, X86_64_LINUX, Pin

NATIVE_RUNNER = NativeRunner(
    source=Path(__file__).with_name("runner.cpp"),
    pins={
        "arm64-v8a": Pin(
            *("onnxruntime", "1.32.0", ARM64_LINUX),
            "2303372a85299b6757b0e11e1cbf13e410ddf7e10c37f4b37e99d1c90e7daf7c",
        ),
        "x86_64": Pin(
            *("onnxruntime", "1.32.0", X86_64_LINUX),
            "5a34fc4dfeb5a7b4a74c95dcba1e773d722abda720b474edf1b0c419dc6d163d",
        ),
    },
    folders=("onnxruntime/capi",),
    opened=("libonnxruntime.so.1",),
)
