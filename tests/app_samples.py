"""A fake app: writes on a virtual device the results that the real app would write.

The virtual device has no ART. A thread of the test polls for starts that `am` allowed, runs kit's
Python runner on this machine with the options of the extras, and places the result file that
`android_app/contract.json` describes. Everything on kit's side is real: adb, `run-as`,
polling, the events, the answer of a real runtime. None of the app's own code runs.
"""

from __future__ import annotations

import hashlib
import importlib.util
import json
import subprocess
import tempfile
import threading
import zipfile
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

from virtual_device.device import Device
from virtual_device.state import RS, US

from kit.app import contract
from kit.bundles.bundle import Bundle
from kit.runners import drive
from kit.runners.protocol import Request
from kit.signature import format_specs

Change = Callable[[dict[str, Any]], None]
MANIFEST = '<manifest xmlns:android="http://schemas.android.com/apk/res/android">{}</manifest>'
PLAIN = MANIFEST.format('<uses-sdk android:minSdkVersion="21"/>')
_NUMBERS = {"--ei": int, "--ef": float, "--es": str}


class PretendApp:
    """Answers measurements of one device while a `with` block runs.

    Args:
        device: the device that reports the app as installed.
        bundle: the bundle in the app.
        change: called with each record before it is written.
        silent: write nothing, like an app that crashed.
        app_id: the app's package name.
    """

    def __init__(
        self,
        device: Device,
        bundle: Bundle,
        change: Change = lambda _: None,
        silent: bool = False,
        app_id: str = contract.APP_ID,
    ) -> None:
        self.device, self.bundle, self.change, self.silent = device, bundle, change, silent
        self.app_id = app_id
        self.asked: list[dict[str, Any]] = []
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._watch)
        self._seen = len(starts(device, app_id))

    def __enter__(self) -> PretendApp:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._done.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._done.wait(0.05):
            actual = starts(self.device, self.app_id)
            for words in actual[self._seen :]:
                if f"{self.app_id}/{contract.BENCH}" in words:
                    extras = extras_of(words)
                    self.asked.append(extras)
                    if not self.silent:
                        self._answer(extras)
            self._seen = len(actual)

    def _answer(self, extras: dict[str, Any]) -> None:
        files = self.device.state.values / "packages" / self.app_id / contract.FILES
        result = files / contract.RESULT.format(id=extras["id"])
        result.parent.mkdir(parents=True, exist_ok=True)
        events, answer = run(self.bundle, extras)
        record = self._record(extras, events, answer)
        self.change(record)
        (files / contract.ANSWER.format(id=extras["id"])).write_bytes(answer)
        part = result.with_suffix(".part")
        part.write_text(json.dumps(record))
        part.rename(result)

    def _record(
        self, extras: dict[str, Any], events: list[dict[str, Any]], answer: bytes
    ) -> dict[str, Any]:
        return {
            "contract": contract.VERSION,
            "result_schema": contract.RESULT_SCHEMA,
            "id": extras["id"],
            "status": "ok",
            "app_version": "0",
            "package": self.app_id,
            "bundle_hash": self.bundle.hash,
            "model_sha256": "0" * 64,
            "options": extras,
            "events": events,
            "answer": {
                "file": contract.ANSWER.format(id=extras["id"]),
                "sha256": hashlib.sha256(answer).hexdigest(),
            },
            "device": {"before": {}, "after": {}, "facts": {}, "left_foreground": False},
        }


def load_program(name: str) -> ModuleType:
    """Import a Python file of `android_app`, which is not a package."""
    file = Path(__file__).parents[1] / "android_app" / f"{name}.py"
    spec = importlib.util.spec_from_file_location(name, file)
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def starts(device: Device, app_id: str = contract.APP_ID) -> list[tuple[str, ...]]:
    """Return the arguments of each `am start` of an app that the device allowed."""
    file = device.state.values / "known" / app_id / "started"
    text = file.read_text() if file.exists() else ""
    return [tuple(row.split(US)[1:]) for row in text.split(US + RS + US) if row]


def archive(file: Path, members: dict[str, bytes | str], manifest: str = PLAIN) -> Path:
    """Write an Android archive."""
    with zipfile.ZipFile(file, "w") as target:
        target.writestr("AndroidManifest.xml", manifest)
        for name, data in members.items():
            target.writestr(name, data)
    return file


def jar(file: Path, *names: str) -> bytes:
    """Return a jar of empty classes."""
    with zipfile.ZipFile(file, "w") as target:
        for name in names:
            target.writestr(name, b"class")
    return file.read_bytes()


def library() -> Path:
    """Return a shared library of this machine, aligned to 4 KB pages."""
    import numpy

    return next((Path(numpy.__file__).parent / "_core").glob("_multiarray_umath*.so"))


def extras_of(words: tuple[str, ...]) -> dict[str, Any]:
    """Return the extras of a recorded `am start`, with Android's types."""
    actual = {}
    for at, word in enumerate(words):
        if word in _NUMBERS:
            actual[words[at + 1]] = _NUMBERS[word](words[at + 2])
    return actual


def run(bundle: Bundle, extras: dict[str, Any]) -> tuple[list[dict[str, Any]], bytes]:
    """Measure with the options of the extras; return the events and the raw answer."""
    with tempfile.TemporaryDirectory() as folder:
        source, out = Path(folder, "in"), Path(folder, "out")
        source.write_bytes(bundle.read_inputs(1).pack())
        request = Request(
            format=bundle.manifest.artifact(extras["artifact"]).format,
            model=str(bundle.file(extras["artifact"])),
            input=str(source),
            inputs=format_specs(bundle.manifest.signature.inputs),
            out=str(out),
            **{
                name: extras[name]
                for name in contract.EXTRAS
                if name not in ("contract", "id", "bundle", "artifact")
            },
        )
        done = subprocess.run(
            [*drive.PYTHON, *request.arguments()], capture_output=True, text=True, check=True
        )
        return [event(line) for line in done.stdout.splitlines()], out.read_bytes()


def event(line: str) -> dict[str, Any]:
    """Return a runner's event in the app's form."""
    actual = json.loads(line)
    actual.pop("crc", None)  # the app does not send it
    if actual["event"] == "start":
        actual["versions"] = {"runner": "app", "app": "0", "onnxruntime-android": "0"}
    return actual
