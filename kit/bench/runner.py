"""Which runner measures a format on a device: the native one, or Python's on this machine."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

import kit
from kit.artifact_key import REFERENCE
from kit.devices.interface import Device, Folder
from kit.errors import DeviceError, RunError, UsageError
from kit.runners import drive, native
from kit.runners.native import RunnerSet

Kind = Literal["auto", "python", "native", "app"]
Say = Callable[[str], None]


@dataclass(frozen=True)
class Runner:
    """A command that a runner's options are appended to.

    Attributes:
        via: as in `kit.results.schema.Run`.
        versions: of the runtime and of kit, where this kit built the program; what it reports
            has to agree.
    """

    command: tuple[str, ...]
    via: Literal["python", "native", "app"]
    versions: Mapping[str, str] = field(default_factory=dict)

    def check_versions(self, reported: Mapping[str, str]) -> None:
        """Look whether the program that ran is the one that was brought.

        Raises:
            RunError: it reports other versions.
        """
        for name, version in self.versions.items():
            if reported.get(name) != version:
                raise RunError(
                    f"the runner reports {name} {reported.get(name, 'of no version')}, and the one "
                    f"that was started has {version}",
                    "the device ran another program, or altered what it said: measure again",
                )

    def kept_versions(self, reported: Mapping[str, str]) -> dict[str, str]:
        """Return what a result keeps of the versions that the program reports."""
        known = {*self.versions, "runner"}
        return {k: v for k, v in reported.items() if k in known or not self.versions}


PYTHON = Runner(drive.PYTHON, "python")
APP = Runner(("app",), "app")  # the device of `kit.app.measuring` makes extras of the options
_BUILDING = threading.Lock()


def choose(device: Device, names: Iterable[str], kind: Kind, say: Say) -> dict[str, RunnerSet]:
    """Return the native runner of each format that is measured with one.

    A device runs nothing else; there a runner that is missing is built. This machine uses
    them where all that is measured has one (`kit runner build`), and Python's otherwise.

    Args:
        device: where they shall run.
        names: formats, and perhaps ``reference``.
        kind: ``auto``, or which one to insist on; ``app`` is on the device already.
        say: is told what is being built.

    Raises:
        UsageError: the device cannot do what is insisted on.
        DeviceError: it runs no programs that kit can build, or has too large pages.
        MissingTool: a runner has to be built, and a compiler or a wheel is missing.
    """
    every = list(dict.fromkeys(names))
    local = device.ref.kind == "local"
    if not local:
        _check_remote(device, every, kind)
    if kind in ("python", "app"):
        return {}
    wanted = [name for name in every if name != REFERENCE]
    abi = _abi(device)
    if kind == "auto" and local:
        # All or none: rows of different runners do not compare, and eager PyTorch has none.
        runnable = [name for name in wanted if name in native.list_formats()]
        found = {name: native.find(abi, name) for name in runnable} if abi else {}
        there = {name: one for name, one in found.items() if one is not None}
        return there if len(there) == len(every) else {}
    if abi is None:
        raise DeviceError(
            f"{device.ref.name} runs {', '.join(device.abis) or 'programs of no known kind'}; "
            f"native runners exist for {' and '.join(native.ABIS)}",
            "measure on a 64-bit device",
        )
    with _BUILDING:  # devices that are measured at once share what is built
        built = native.build(abi, wanted, say)
    return {one.format: _fitting(one, device) for one in built}


def _check_remote(device: Device, every: Sequence[str], kind: Kind) -> None:
    """Refuse what only this machine can run."""
    if REFERENCE in every:
        raise UsageError(
            f"{REFERENCE} is eager PyTorch, which does not run on {device.ref.name}",
            "measure it on this machine, without --device",
        )
    if kind == "python":
        raise UsageError(
            f"there is no Python on {device.ref.name}", "leave --runner out for a device"
        )


def install(runner: RunnerSet | None, folder: Folder, kind: Kind = "auto") -> Runner:
    """Bring a runner to the device and return how it is started; None is Python's or the app."""
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
