"""The app on a device: install it, open it, remove it."""

from __future__ import annotations

import re
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from kit.app import apk
from kit.app.contract import APP_ID, VENDOR, start_demo
from kit.devices import facts, locking
from kit.devices.facts import DeviceFacts
from kit.devices.storage import ROOT, ask
from kit.devices.transport import Completed, Transport, quote
from kit.errors import DeviceError
from kit.progress import ReportStatus

_INSTALL_SECONDS = 300.0
# ActivityTaskSupervisor's message if the caller lacks a permission that a manifest requires.
_LACKING = re.compile(r"Permission Denial: starting Intent .*? requires ([\w.]+)", re.DOTALL)
_LACKING_LETTERS = 8192  # to search: a longer, hostile text would take long
# Hints by error codes of Android's package manager.
_ADVICE = {
    "UPDATE_INCOMPATIBLE": "the one installed is signed by another key: kit app uninstall",
    "VERSION_DOWNGRADE": "a newer version is installed: kit app uninstall",
    "INSUFFICIENT_STORAGE": "make space on the device",
    "NO_MATCHING_ABIS": "build it for this device: kit app build --abi",
    "OLDER_SDK": "it needs Android 8 or newer",
    "USER_RESTRICTED": "allow installing over USB in the developer options",
    "VERIFICATION": "allow apps over USB without verification in the developer options",
}


@dataclass(frozen=True)
class Installed:
    """An installed app: its id, and a warning, which may be empty."""

    app_id: str
    warning: str


def install(transport: Transport, file: Path, report_status: ReportStatus) -> Installed:
    """Install an APK, and replace an app with the same id.

    Raises:
        InputError: the file is no APK.
        DeviceError: the device refuses it, or cannot run it.
    """
    entries = apk.read(file)
    device = facts.gather(transport)
    check_abis(apk.list_abis(entries), device)
    app_id = apk.read_app_id(file) or APP_ID
    remote = f"{ROOT}/{app_id}.apk"
    token = locking.take(transport)  # fails while another kit measures there
    try:
        report_status(
            f"bringing {file.stat().st_size / 1e6:.2f} MB to {device.model or transport.serial}"
        )
        try:
            alive = locking.pulse(transport, token)
            transport.push(file, remote, sent=lambda _: alive())
            report_status("installing")
            done = transport.shell(quote(["pm", "install", "-r", "-t", remote]), _INSTALL_SECONDS)
        finally:
            with suppress(DeviceError):  # a lost device is reported elsewhere
                ask(transport, quote(["rm", "-f", remote]))
    finally:
        locking.give_back(transport, token)
    if done.code != 0 or "Success" not in done.stdout:
        raise _refused(transport.serial, done)
    narrow = apk.fit_for_16k(entries)
    warning = ""
    if narrow and (device.page_size or 0) > 4096:
        warning = (
            f"{transport.serial} has pages of {device.page_size} bytes, and {', '.join(narrow)} "
            "are made for 4096: Android may run them in its compatibility mode, or not at all"
        )
    return Installed(app_id, warning)


def check_abis(have: Sequence[str], facts: DeviceFacts) -> None:
    """Check that a device supports one of the app's ABIs.

    Raises:
        DeviceError: it supports none.
    """
    if have and facts.abis and not set(have) & set(facts.abis):
        raise DeviceError(
            f"{facts.serial!r} runs {', '.join(facts.abis)}, and the app is for {', '.join(have)}",
            f"build it for this device: kit app build --abi {facts.abis[0]}",
        )


def _refused(serial: str, done: Completed) -> DeviceError:
    reason = " ".join((done.stdout + done.stderr).split())[-300:] or "no reason"
    advice = next((a for word, a in _ADVICE.items() if word in reason), "see what it says")
    return DeviceError(f"{serial!r} does not install the app: {reason}", advice)


def uninstall(transport: Transport, app_id: str) -> bool:
    """Remove an app with its data; return whether it was installed.

    Raises:
        DeviceError: the device refuses it.
    """
    if not is_installed(transport, app_id):
        return False
    done = transport.shell(quote(["pm", "uninstall", app_id]), 60)
    if done.code != 0 or "Success" not in done.stdout:
        reason = " ".join((done.stdout + done.stderr).split())[-300:]
        raise DeviceError(
            f"{transport.serial!r} does not remove the app: {reason}", "remove it in its settings"
        )
    return True


def is_installed(transport: Transport, app_id: str) -> bool:
    """Return whether an app is installed."""
    return find_apk(transport, app_id) is not None


def find_apk(transport: Transport, app_id: str) -> str | None:
    """Return the path of an app's APK on the device; None if the app is not installed."""
    done = transport.shell(quote(["pm", "path", app_id]))
    first = done.stdout.strip().partition("\n")[0]
    if done.code != 0 or not first.startswith("package:"):
        return None
    return first.removeprefix("package:")


def list_apps(transport: Transport) -> list[str]:
    """Return the ids of installed apps with kit's prefix, sorted."""
    done = transport.shell(quote(["pm", "list", "packages"]), 60)
    names = (line.strip().removeprefix("package:") for line in done.stdout.splitlines())
    return sorted(name for name in names if name.startswith(VENDOR))


def check_installed(transport: Transport, app_id: str) -> None:
    """Check that an app is installed.

    Raises:
        DeviceError: it is not installed.
    """
    if is_installed(transport, app_id):
        return
    others = list_apps(transport)
    named = "" if app_id == APP_ID else f" {app_id}"
    raise DeviceError(
        f"the app{named} is not on {transport.serial!r}",
        "kit app install" + (f", or --app-id with {' or '.join(others)}" if others else ""),
    )


def open_demo(transport: Transport, app_id: str) -> None:
    """Open an app on the device's screen.

    Raises:
        DeviceError: it is not installed, or does not start.
    """
    check_installed(transport, app_id)
    start_activity(transport, start_demo(app_id))


def start_activity(transport: Transport, line: str) -> None:
    """Run an `am start` command, and check its output, as its exit code is not reliable.

    Raises:
        DeviceError: the app did not start, or the shell lacks the permission to start it.
    """
    done = transport.shell(line, 60)
    output = done.stdout + done.stderr
    lacking = find_lacking_permission(output)
    if lacking:
        raise DeviceError(
            f"adb's shell of {transport.serial!r} may not start it: this device does not give the "
            f"shell the permission {lacking}",
            "measure without the app: kit bench --device",
        )
    if done.code != 0 or "Error" in output or "Exception" in output:
        raise DeviceError(
            f"{transport.serial!r} does not start the app: {' '.join(output.split())[-300:]}",
            "install it again: kit app install",
        )


def find_lacking_permission(output: str) -> str | None:
    """Return the permission that the caller of `am start` lacks, None if there is no such error."""
    match = _LACKING.search(output[:_LACKING_LETTERS])
    return match[1] if match else None
