"""Constants that kit and the app share; a test compares them with `contract.json`."""

from __future__ import annotations

import re
from collections.abc import Mapping

from kit.devices.transport import quote
from kit.errors import UsageError

VERSION = 3
RESULT_SCHEMA = 1

NAMESPACE = "org.mobilekit.demo"  # of the class R that aapt2 writes
APP_ID = NAMESPACE  # default of --app-id
VENDOR = "org.mobilekit."  # prefix of the ids that kit proposes
MINIMUM_SDK, TARGET_SDK = 26, 36
DEMO = "org.mobilekit.demo.DemoActivity"
BENCH = "org.mobilekit.bench.BenchActivity"
ACTION = "org.mobilekit.action.BENCH"
# Held by adb's shell, system apps, and apps that were granted it over adb.
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

# Extras of the measuring activity, and their types for `am start`.
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
    """Check the name of a bundle for the app, and return it.

    Raises:
        UsageError: it has characters that the app does not allow in a path.
    """
    if not NAME.fullmatch(name):
        raise UsageError(
            f"{name!r} cannot be the name of a bundle in the app",
            "rename its folder: letters, digits, dot, hyphen and underscore, at most 96",
        )
    return name


def is_app_id(text: str) -> bool:
    """Return whether a text is a valid application id."""
    return len(text) <= _MAX_APP_ID and _APP_ID.fullmatch(text) is not None


def check_app_id(app_id: str) -> str:
    """Check an application id, and return it.

    Raises:
        UsageError: it is not valid.
    """
    if not is_app_id(app_id):
        raise UsageError(
            f"{app_id!r} cannot be the id of an app",
            f"words of letters, digits and underscores with dots between, such as {APP_ID}.lite",
        )
    return app_id


def start_demo(app_id: str) -> str:
    """Return the shell command that opens the app."""
    return quote(["am", "start", "-W", "-n", f"{app_id}/{DEMO}"])


def start_bench(app_id: str, values: Mapping[str, object]) -> str:
    """Return the shell command that starts a measurement, with values of `EXTRAS`."""
    words = ["am", "start", "-W", "-n", f"{app_id}/{BENCH}", "-a", ACTION]
    for name, kind in EXTRAS.items():
        words += [_FLAGS[kind], name, str(values[name])]
    return quote(words)
