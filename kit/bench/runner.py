"""Choose which runner measures a format on a device: the native, Python's or the app's."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

import kit
from kit.artifact_key import REFERENCE
from kit.devices.interface import Device, Folder
from kit.errors import DeviceError, RunError, UsageError
from kit.progress import ReportStatus
from kit.runners import drive, native
from kit.runners.native import RunnerSet

RunnerKind = Literal["auto", "python", "native", "app"]


@dataclass(frozen=True)
class Runner:
    """A command that a runner's options are appended to.

    Attributes:
        via: as in `kit.results.latency.Run`.
        versions: of the runtime and of kit, if this kit built the program; it must report the
            same.
    """

    command: tuple[str, ...]
    via: Literal["python", "native", "app"]
    versions: Mapping[str, str] = field(default_factory=dict)

    def check_versions(self, reported: Mapping[str, str]) -> None:
        """Check that the program that ran is the one that was pushed.

        Raises:
            RunError: it reports other versions.
        """
        for name, version in self.versions.items():
            if reported.get(name) != version:
                raise RunError(
                    f"the runner reports {name} {reported.get(name, 'of no version')}, and the one "
                    f"that was started has {version}",
                    "the device ran another program, or altered its output: measure again",
                )

    def kept_versions(self, reported: Mapping[str, str]) -> dict[str, str]:
        """Return the reported versions that a result stores."""
        kept = {*self.versions, "runner"}
        return {k: v for k, v in reported.items() if k in kept or not self.versions}


PYTHON = Runner(drive.PYTHON, "python")
APP = Runner(("app",), "app")  # `kit.app.measuring` turns the options into intent extras
_BUILDING = threading.Lock()


def choose(
    device: Device, names: Iterable[str], kind: RunnerKind, report_status: ReportStatus
) -> dict[str, RunnerSet]:
    """Return the native runner of each format that is measured with one.

    A device supports no others, and missing ones are built for it. This machine uses them if
    all measured formats have one (`kit runner build`), and Python's otherwise.

    Args:
        device: to run on.
        names: formats, and perhaps ``reference``.
        kind: ``auto``, or the required one; ``app`` is on the device already.
        report_status: callback; takes messages about builds.

    Raises:
        UsageError: the device does not support the required runner.
        DeviceError: kit cannot build programs for it, or its pages are too large.
        MissingTool: a runner has to be built, and a compiler or a wheel is missing.
    """
    every = list(dict.fromkeys(names))
    local = device.ref.kind == "local"
    if not local:
        _check_remote(device, every, kind)
    if kind in ("python", "app"):
        return {}
    formats = [name for name in every if name != REFERENCE]
    abi = _abi(device)
    if kind == "auto" and local:
        # All or none: rows of different runners are not comparable, and eager PyTorch has none.
        runnable = [name for name in formats if name in native.list_formats()]
        installed = {name: native.find(abi, name) for name in runnable} if abi else {}
        there = {name: one for name, one in installed.items() if one is not None}
        return there if len(there) == len(every) else {}
    if abi is None:
        raise DeviceError(
            f"{device.ref.name} runs {', '.join(device.abis) or 'programs of no known kind'}; "
            f"native runners exist for {' and '.join(native.ABIS)}",
            "measure on a 64-bit device",
        )
    with _BUILDING:  # devices that are measured in parallel share the build
        built = native.build(abi, formats, report_status)
    return {one.format: _fitting(one, device) for one in built}


def _check_remote(device: Device, every: Sequence[str], kind: RunnerKind) -> None:
    """Refuse formats and runners that only this machine supports."""
    if REFERENCE in every:
        raise UsageError(
            f"{REFERENCE} is eager PyTorch, which does not run on {device.ref.name}",
            "measure it on this machine, without --device",
        )
    if kind == "python":
        raise UsageError(
            f"there is no Python on {device.ref.name}", "leave --runner out for a device"
        )


def install(runner: RunnerSet | None, folder: Folder, kind: RunnerKind = "auto") -> Runner:
    """Push a runner to the device and return its command; None is Python's or the app's."""
    if runner is None:
        return APP if kind == "app" else PYTHON
    digests = {name: digest for name, (_, digest) in runner.files.items()}
    command = runner.command(folder.install(runner.folder, digests))
    versions = {runner.runtime: runner.runtime_version, "kit": kit.__version__}
    return Runner(tuple(command), "native", versions)


def _abi(device: Device) -> str | None:
    return next((abi for abi in device.abis if abi in native.ABIS), None)


def _fitting(runner: RunnerSet, device: Device) -> RunnerSet:
    if device.page is not None and device.page > runner.page:
        raise DeviceError(
            f"{device.ref.name} has memory pages of {device.page} bytes, and libraries of "
            f"{runner.runtime} {runner.runtime_version} for {runner.abi} are made for pages of "
            f"{runner.page}",
            "measure another format, or on a device with 4 KB pages",
        )
    return runner
