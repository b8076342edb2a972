"""The native runner's backend: LiteRT with XNNPACK through its C interface."""

from __future__ import annotations

from pathlib import Path

from kit.formats.runtimes import NativeRunner
from kit.wheels.fetching import Pin

NATIVE_RUNNER = NativeRunner(
    source=Path(__file__).with_name("runner.cpp"),
    pins={
        "arm64-v8a": Pin(
            *("ai-edge-litert", "2.3.0", "manylinux_2_27_aarch64"),
            "853fc608f96da87bd5f3458465dfb9abbf18d5ae6b94eceacead407146f175ae",
        ),
        "x86_64": Pin(
            *("ai-edge-litert", "2.3.0", "manylinux_2_27_x86_64"),
            "1f15078a6725d2357d9de9221664c29afa0545d807559c5f7199ce5e40b96b23",
        ),
    },
    folders=("ai_edge_litert",),
    libraries=("libLiteRt.so",),
)
