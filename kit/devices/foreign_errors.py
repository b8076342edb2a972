"""Translate errors of the adb libraries, libusb and sockets to kit's own.

adb-shell's exceptions share no base class, adbutils puts the server's answer into a message, and
libusb has its own hierarchy. None of them leaves this package; a test walks the three libraries
and fails on a class that `translate` does not handle.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from contextlib import contextmanager

from kit.devices._limits import shorten
from kit.errors import DeviceError, DeviceLost, KitError

# Hints by prefix of a state of `adb devices`.
FIXES = {
    "device": "",
    "unauthorized": "unlock the device, accept 'Allow USB debugging?' and try again; if nothing "
    "is asked, revoke USB debugging authorisations in its developer options and plug it in again",
    "authorizing": "wait a second; the device is checking the key of this machine",
    "offline": "plug the cable in again, or run `adb reconnect offline`; restart the device if "
    "that does not help",
    "connecting": "wait a second and try again",
    "no permissions": "on Linux install udev rules for the device (Debian: "
    "android-sdk-platform-tools-common), join the group plugdev, log in again, and reconnect it",
    "bootloader": "the device is in its bootloader: start Android with `fastboot reboot`",
    "recovery": "the device is in recovery: choose 'Reboot system now' on its screen",
    "sideload": "the device waits for an update: choose 'Reboot system now' on its screen",
    "rescue": "the device is in rescue mode: choose 'Reboot system now' on its screen",
    "in use": "another program holds the device: stop it, or run `adb start-server` and let kit "
    "use that server",
}
_LOST_HINT = "check the cable or the network, and that the device is awake; `kit devices` shows it"
_SERVER_HINT = "the adb server has ended: start it again with `adb start-server`"
_BAD_ANSWER = "check that an adb daemon of Android listens there, and not another program"
_GONE = ("not found", "closed", "no devices", "device disconnected")
_COMING = ("offline", "connecting", "authorizing", "not found")


def fix(state: str) -> str:
    """Return the hint for a state of `adb devices`; empty for a usable device."""
    fixes = (text for name, text in FIXES.items() if state.startswith(name))
    return next(fixes, "plug the device in again, or restart it")


def is_transient(exc: Exception) -> bool:
    """Return whether a server's answer describes a transient state, worth a retry."""
    return any(word in str(exc).lower() for word in _COMING)


def make_unusable_error(serial: str, state: str) -> DeviceError:
    """Return the error for a device that is listed but cannot be used."""
    return DeviceError(f"device {serial!r} is {shorten(state)}", fix(state))


def make_lost_error(serial: str, why: str) -> DeviceLost:
    """Return the error for a broken connection."""
    return DeviceLost(f"lost device {serial!r}: {why}", _LOST_HINT)


@contextmanager
def translate_errors(serial: str) -> Iterator[None]:
    """Translate errors of the adb libraries, libusb and sockets to kit's.

    Raises:
        DeviceLost: the connection broke, or timed out.
        DeviceError: the device or the server refused, or does not speak adb.
    """
    try:
        yield
    except KitError:
        raise
    except Exception as exc:
        error = translate(exc, serial)
        if error is None:
            raise
        raise error from exc


def translate(exc: Exception, serial: str) -> DeviceError | None:
    """Return kit's error for a library's; None for an exception of none of the libraries."""
    if isinstance(exc, OSError | EOFError):
        return make_lost_error(serial, _words(exc))
    if isinstance(exc, ValueError | AssertionError | struct.error | UserWarning):
        # Unreadable lengths, unknown commands: the peer is not adb, or the stream is damaged.
        text = f"device {serial!r} answered what is not the adb protocol: {_words(exc)}"
        return DeviceError(text, _BAD_ANSWER)
    return _of_direct(exc, serial) or _of_server(exc, serial) or _of_usb(exc, serial)


def _of_direct(exc: Exception, serial: str) -> DeviceError | None:
    from adb_shell import exceptions as adb

    usb_error = getattr(exc, "usb_error", None)
    if isinstance(usb_error, Exception):
        return _of_usb(usb_error, serial)
    if isinstance(exc, adb.DeviceAuthError):
        return make_unusable_error(serial, "unauthorized")
    if isinstance(exc, adb.UsbDeviceNotFoundError):
        return DeviceLost(f"there is no device {serial!r} on USB", _LOST_HINT)
    if isinstance(exc, adb.InvalidTransportError):
        text = f"cannot reach {serial!r} over USB: {_words(exc)}"
        return DeviceError(text, "install libusb (Debian: libusb-1.0-0), or run `adb start-server`")
    denied = (adb.AdbCommandFailureException, adb.PushFailedError, adb.DevicePathInvalidError)
    if isinstance(exc, denied):
        return make_refusal_error(serial, _words(exc))
    broken = (
        adb.AdbConnectionError,
        adb.AdbTimeoutError,
        adb.InvalidChecksumError,
        adb.InvalidCommandError,
        adb.InvalidResponseError,
        adb.TcpTimeoutException,
        adb.UsbReadFailedError,
        adb.UsbWriteFailedError,
    )
    return make_lost_error(serial, _words(exc)) if isinstance(exc, broken) else None


def _of_server(exc: Exception, serial: str) -> DeviceError | None:
    from adbutils import errors as adb

    if isinstance(exc, adb.AdbConnectionError):  # to the server, not to the device
        return DeviceLost(make_lost_error(serial, _words(exc)).message, _SERVER_HINT)
    if isinstance(exc, adb.AdbTimeout):
        return make_lost_error(serial, _words(exc))
    return _answered(serial, _words(exc)) if isinstance(exc, adb.AdbError) else None


def make_refusal_error(serial: str, answer: str) -> DeviceError:
    """Return the error for a device's refusal of a file."""
    return DeviceError(f"device {serial!r} refused: {answer}", _refused_hint(answer.lower()))


def _answered(serial: str, answer: str) -> DeviceError:
    """Return the error for a server's refusal."""
    text = answer.lower()
    for state in ("unauthorized", "authorizing", "offline", "connecting", "no permissions"):
        if f"device {state}" in text or text.startswith((state, f"device still {state}")):
            error = make_unusable_error(serial, state)
            # These two states are transient.
            return (
                make_lost_error(serial, error.message)
                if state in ("offline", "connecting")
                else error
            )
    if text.startswith("unknown data"):
        return DeviceError(f"the adb server answered what is not adb: {answer}", _BAD_ANSWER)
    if any(word in text for word in _GONE):
        return make_lost_error(serial, answer)
    return make_refusal_error(serial, answer)


def _of_usb(exc: Exception, serial: str) -> DeviceError | None:
    try:
        import usb1
    except (ImportError, OSError):  # without libusb nothing raises its errors
        return None
    if isinstance(exc, usb1.USBErrorAccess):
        return make_unusable_error(serial, "no permissions")
    if isinstance(exc, usb1.USBErrorBusy):
        return make_unusable_error(serial, "in use")
    if isinstance(exc, usb1.USBError | usb1.DoomedTransferError):
        return make_lost_error(serial, _words(exc))
    return None


def _refused_hint(text: str) -> str:
    if "no space" in text:
        return "make space on the device, for example with `kit clean`"
    if "read-only" in text or "denied" in text or "not permitted" in text:
        return "only /data/local/tmp can be written without root"
    return "check the path; `kit devices` shows what the device offers"


def _words(exc: Exception) -> str:
    """Return an exception's message, or its class name if that is empty."""
    strerror = exc.strerror if isinstance(exc, OSError) else None
    return shorten(strerror or str(exc) or type(exc).__name__)
