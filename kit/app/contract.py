"""The names that kit and the app share; a test compares them with `contract.json`."""

from __future__ import annotations

import re
from collections.abc import Mapping

from kit.devices.transport import quote
from kit.errors import UsageError

VERSION = 3
RESULT_SCHEMA = 1

NAMESPACE = "org.mobilekit.demo"  # of the class R that aapt2 writes
APP_ID = NAMESPACE  # of an app that is built without --app-id
VENDOR = "org.mobilekit."  # what the ids that kit proposes begin with
MINIMUM_SDK, TARGET_SDK = 26, 36
DEMO = "org.mobilekit.demo.DemoActivity"
BENCH = "org.mobilekit.bench.BenchActivity"
ACTION = "org.mobilekit.action.BENCH"
# That adb's shell holds; besides it system apps, and those that somebody granted it over adb.
PERMISSION = "android.permission.DUMP"
LOG_TAG = "KitBench"

ASSETS = {
    "bundles": "bundles",
    "picture": "picture.jpg",
    "credit": "picture.txt",
    "runtimes": "runtimes.json",
}
RESULT = "bench/{id}.json"
ANSWER = "bench/{id}.bin"
FILES = "files"  # of the app's own folder, which `run-as` starts in
NAME = re.compile("[A-Za-z0-9][A-Za-z0-9._-]{0,95}")
# Android's rule for application ids; the limit is that of its installer.
_APP_ID = re.compile(r"[A-Za-z][A-Za-z0-9_]*(\.[A-Za-z][A-Za-z0-9_]*)+")
_MAX_APP_ID = 223

# Extras of the activity that measures, and what `am start` calls their types.
EXTRAS = {
    "contract": "int",
    "id": "name",
    "bundle": "name",
    "artifact": "name",
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


def is_app_id(text: str) -> bool:
    """Return whether Android takes a text as the id of an app."""
    return len(text) <= _MAX_APP_ID and _APP_ID.fullmatch(text) is not None


def check_app_id(app_id: str) -> str:
    """Return an application id if Android takes it.

    Raises:
        UsageError: it does not.
    """
    if not is_app_id(app_id):
        raise UsageError(
            f"{app_id!r} cannot be the id of an app",
            f"words of letters, digits and underscores with dots between, such as {APP_ID}.lite",
        )
    return app_id


def start_demo(app_id: str) -> str:
    """Return the shell line that opens the app."""
    return quote(["am", "start", "-W", "-n", f"{app_id}/{DEMO}"])


def start_bench(app_id: str, values: Mapping[str, object]) -> str:
    """Return the shell line that starts a measurement; the values are those of `EXTRAS`."""
    words = ["am", "start", "-W", "-n", f"{app_id}/{BENCH}", "-a", ACTION]
    for name, kind in EXTRAS.items():
        words += [_FLAGS[kind], name, str(values[name])]
    return quote(words)
