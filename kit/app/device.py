"""The app on a device: install it, open it, remove it."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path

from kit.app import apk
from kit.app.contract import PACKAGE, start_demo
from kit.devices import _facts, _lock
from kit.devices._facts import DeviceFacts
from kit.devices._store import ROOT, ask
from kit.devices._transport import Completed, Transport, quote
from kit.errors import DeviceError

Say = Callable[[str], None]
_INSTALL_SECONDS = 300.0
# ActivityTaskSupervisor's words where a manifest asks the caller for more than it holds.
_LACKING = re.compile(r"Permission Denial: starting Intent .*? requires ([\w.]+)", re.DOTALL)
_LACKING_LETTERS = 8192  # that are searched: beyond, a hostile text takes long
# What Android's package manager answers, and what to do about it.
_ADVICE = {
    "UPDATE_INCOMPATIBLE": "the one installed is signed by another key: kit app uninstall",
    "VERSION_DOWNGRADE": "a newer version is installed: kit app uninstall",
    "INSUFFICIENT_STORAGE": "make space on the device",
    "NO_MATCHING_ABIS": "build it for this device: kit app build --abi",
    "OLDER_SDK": "it needs Android 8 or newer",
    "USER_RESTRICTED": "allow installing over USB in the developer options",
    "VERIFICATION": "allow apps over USB without verification in the developer options",
}


def install(transport: Transport, file: Path, say: Say) -> str:
    """Install an APK, over one that is there; return its warnings, or nothing.

    Raises:
        InputError: the file is no APK.
        DeviceError: the device refuses it, or cannot run it.
    """
    entries = apk.read(file)
    facts = _facts.gather(transport)
    check_abis(apk.abis(entries), facts)
    remote = f"{ROOT}/{PACKAGE}.apk"
    token = _lock.take(transport)  # not while another kit measures there
    try:
        say(f"bringing {file.stat().st_size / 1e6:.0f} MB to {facts.model or transport.serial}")
        try:
            alive = _lock.pulse(transport, token)
            transport.push(file, remote, sent=lambda _: alive())
            say("installing")
            done = transport.shell(quote(["pm", "install", "-r", "-t", remote]), _INSTALL_SECONDS)
        finally:
            with suppress(DeviceError):  # whoever lost the device has heard of it
                ask(transport, quote(["rm", "-f", remote]))
    finally:
        _lock.give_back(transport, token)
    if done.code != 0 or "Success" not in done.stdout:
        raise _refused(transport.serial, done)
    narrow = apk.fit_for_16k(entries)
    if narrow and (facts.page_size or 0) > 4096:
        return (
            f"{transport.serial} has pages of {facts.page_size} bytes, and {', '.join(narrow)} "
            "are made for 4096: Android may run them in its compatibility mode, or not at all"
        )
    return ""


def check_abis(have: Sequence[str], facts: DeviceFacts) -> None:
    """Raise unless a device runs libraries of one of these kinds.

    Raises:
        DeviceError: it does not.
    """
    if have and facts.abis and not set(have) & set(facts.abis):
        raise DeviceError(
            f"{facts.serial!r} runs {', '.join(facts.abis)}, and the app is for {', '.join(have)}",
            f"build it for this device: kit app build --abi {facts.abis[0]}",
        )


def _refused(serial: str, done: Completed) -> DeviceError:
    said = " ".join((done.stdout + done.stderr).split())[-300:] or "no reason"
    advice = next((a for word, a in _ADVICE.items() if word in said), "see what it says")
    return DeviceError(f"{serial!r} does not install the app: {said}", advice)


def uninstall(transport: Transport) -> bool:
    """Remove the app with everything it keeps; return whether it was there.

    Raises:
        DeviceError: the device refuses it.
    """
    if not installed(transport):
        return False
    done = transport.shell(quote(["pm", "uninstall", PACKAGE]), 60)
    if done.code != 0 or "Success" not in done.stdout:
        said = " ".join((done.stdout + done.stderr).split())[-300:]
        raise DeviceError(
            f"{transport.serial!r} does not remove the app: {said}", "remove it in its settings"
        )
    return True


def installed(transport: Transport) -> bool:
    """Return whether the app is on the device."""
    done = transport.shell(quote(["pm", "path", PACKAGE]))
    return done.code == 0 and "package:" in done.stdout


def check_installed(transport: Transport) -> None:
    """Raise unless the app is there.

    Raises:
        DeviceError: it is not.
    """
    if not installed(transport):
        raise DeviceError(f"the app is not on {transport.serial!r}", "kit app install")


def open_demo(transport: Transport) -> None:
    """Open the app on the device's screen.

    Raises:
        DeviceError: it is not there, or does not start.
    """
    check_installed(transport)
    started(transport, start_demo())


def started(transport: Transport, line: str) -> None:
    """Run a line of `am start`, whose exit code tells little.

    Raises:
        DeviceError: Android says that it did not start, or that the shell must not do so.
    """
    done = transport.shell(line, 60)
    said = done.stdout + done.stderr
    lacking = lacking_permission(said)
    if lacking:
        raise DeviceError(
            f"adb's shell of {transport.serial!r} may not start it: this device does not give the "
            f"shell the permission {lacking}",
            "measure without the app: kit bench --device",
        )
    if done.code != 0 or "Error" in said or "Exception" in said:
        raise DeviceError(
            f"{transport.serial!r} does not start the app: {' '.join(said.split())[-300:]}",
            "install it again: kit app install",
        )


def lacking_permission(said: str) -> str | None:
    """Return the permission that the caller of `am start` lacks by Android's words, or None."""
    found = _LACKING.search(said[:_LACKING_LETTERS])
    return found[1] if found else None
