"""Devices on USB that no adb server holds, listed by libusb."""

from __future__ import annotations

from typing import TYPE_CHECKING

from adb_shell.exceptions import UsbDeviceNotFoundError

if TYPE_CHECKING:
    from adb_shell.transport.usb_transport import UsbTransport


def list_devices() -> list[tuple[str, str]]:
    """Return serial and state of the devices on USB; none if libusb is not installed."""
    try:
        attached = _library().find_all_adb_devices()
    except (ImportError, OSError):
        return []
    return [_seen(device) for device in attached]


def _library() -> type[UsbTransport]:
    from adb_shell.transport.usb_transport import UsbTransport  # loads libusb

    library: type[UsbTransport] = UsbTransport
    return library


def find_transport(serial: str) -> UsbTransport:
    """Return adb-shell's transport to the device with a serial.

    Raises:
        adb_shell.exceptions.UsbDeviceNotFoundError: there is none that can be opened.
    """
    # The library's own search fails on other devices that cannot be opened.
    for device in _library().find_all_adb_devices():
        if _seen(device) == (serial, "device"):
            return device
    raise UsbDeviceNotFoundError(f"no device {serial!r}")


def _seen(device: UsbTransport) -> tuple[str, str]:
    import usb1

    try:
        return str(device.serial_number), "device"
    except usb1.USBErrorAccess:
        return f"usb:{'-'.join(map(str, device.port_path))}", "no permissions"
    except usb1.USBError:
        return f"usb:{'-'.join(map(str, device.port_path))}", "offline"
