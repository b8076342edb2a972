"""The names that kit and the app share; a test compares them with `contract.json`."""

from __future__ import annotations

import re
from collections.abc import Mapping

from kit.devices._transport import quote
from kit.errors import UsageError

VERSION = 1
RESULT_SCHEMA = 1

PACKAGE = "org.mobilekit.demo"
MINIMUM_SDK, TARGET_SDK = 26, 34
DEMO = "org.mobilekit.demo.DemoActivity"
BENCH = "org.mobilekit.bench.BenchActivity"
ACTION = "org.mobilekit.action.BENCH"
PERMISSION = "android.permission.DUMP"  # that adb's shell holds, and no app from a store
LOG_TAG = "KitBench"

ASSETS = {
    "bundles": "bundles",
    "picture": "picture.jpg",
    "credit": "picture.txt",
    "runtimes": "runtimes.json",
}
RESULT = "bench/{id}.json"
ANSWER = "bench/{id}.f32"
FILES = "files"  # of the app's own folder, which `run-as` starts in
NAME = re.compile("[A-Za-z0-9][A-Za-z0-9._-]{0,95}")

# Extras of the activity that measures, and what `am start` calls their types.
EXTRAS = {
    "contract": "int",
    "id": "name",
    "bundle": "name",
    "format": "name",
    "threads": "int",
    "warmup": "int",
    "warmup_seconds": "float",
    "iters": "int",
    "min_seconds": "float",
    "max_seconds": "float",
}
_FLAGS = {"int": "--ei", "float": "--ef", "name": "--es"}
RESULT_KEYS = (
    "contract",
    "result_schema",
    "id",
    "status",
    "app_version",
    "package",
    "bundle_hash",
    "model_sha256",
    "options",
    "events",
    "answer",
    "device",
)


def check_name(name: str) -> str:
    """Return the name of a bundle if the app takes it.

    Raises:
        UsageError: it has other characters than the app allows in a path.
    """
    if not NAME.fullmatch(name):
        raise UsageError(
            f"{name!r} cannot be the name of a bundle in the app",
            "rename its folder: letters, digits, dot, hyphen and underscore, at most 96",
        )
    return name


def start_demo() -> str:
    """Return the shell line that opens the app."""
    return quote(["am", "start", "-W", "-n", f"{PACKAGE}/{DEMO}"])


def start_bench(values: Mapping[str, object]) -> str:
    """Return the shell line that starts a measurement; the values are those of `EXTRAS`."""
    words = ["am", "start", "-W", "-n", f"{PACKAGE}/{BENCH}", "-a", ACTION]
    for name, kind in EXTRAS.items():
        words += [_FLAGS[kind], name, str(values[name])]
    return quote(words)
