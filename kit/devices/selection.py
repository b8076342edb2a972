"""Choose devices and the transport to each."""

from __future__ import annotations

import os
import shlex
import shutil
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass

from kit.devices import facts, foreign_errors, server_transport, ways
from kit.devices.transport import Transport
from kit.errors import DeviceError, UsageError
from kit.notices import Notice, make_notice

ALL = "all"
_PASSING = ("offline", "connecting", "authorizing")  # transient states after plugging in
PASSING_SECONDS = 3.0
LOOK_PAUSE = 0.2


@dataclass(frozen=True)
class ListedDevice:
    """A device that an adb server or USB lists, and its state as adb names it."""

    serial: str
    state: str


def list_devices() -> list[ListedDevice]:
    """Return the devices of the running adb server or, if none runs, those on USB.

    Raises:
        DeviceError: the program on the server's port is no adb server.
    """
    return _listed(server_transport.find_server())


def _listed(server: server_transport.Server | None) -> list[ListedDevice]:
    if server is not None:
        return [ListedDevice(*row) for row in server.listed()]
    from kit.devices import _usb

    with foreign_errors.translate_errors("USB"):
        return [ListedDevice(*row) for row in _usb.list_devices()]


def choose_serials(
    choice: str | None, notify: Callable[[Notice], None] = lambda notice: None
) -> list[str]:
    """Return the serials of an option `--device`, one for each device.

    Args:
        choice: a serial, a comma-separated list, ``all``, or None for ``ANDROID_SERIAL`` or
            else the only connected device.
        notify: called with a notice for each serial of a device that another serial names.

    Raises:
        DeviceError: there is no device, or several and no choice.
        UsageError: the choice is empty.
    """
    choice = choice if choice is not None else os.environ.get("ANDROID_SERIAL") or None
    if choice is not None:
        return _one_way_each(choose(choice), notify)
    devices = list_by_steadiness()
    names = _one_way_each([device.serial for device in devices], notify)
    return [_only([device for device in devices if device.serial in names])]


def choose(choice: str) -> list[str]:
    """Return the serials of an option `--device`, also several of one device.

    Args:
        choice: a serial, a comma-separated list, or ``all``.

    Raises:
        DeviceError: there is no device.
        UsageError: the choice is empty.
    """
    if choice.strip() != ALL:
        return _named(choice)
    all_serials = [device.serial for device in list_by_steadiness()]
    if not all_serials:
        raise _no_device()
    return all_serials


def list_by_steadiness() -> list[ListedDevice]:
    """Return the listed devices, USB before the network, so that USB is preferred."""
    return sorted(list_devices(), key=lambda device: _is_wireless(device.serial))


def _is_wireless(serial: str) -> bool:
    """Return whether a serial is an address or an mDNS name."""
    return server_transport.parse_network_address(serial) is not None or "._tcp" in serial


def _one_way_each(names: list[str], notify: Callable[[Notice], None]) -> list[str]:
    """Return the serials, keeping only the first of each device."""
    if len(names) < 2:
        return names
    states = {device.serial: device.state for device in list_devices()}

    def ask(serial: str) -> ways.WayIdentity | None:
        if states.get(serial, "device") != "device":
            return None
        try:
            with closing(open_transport(serial)) as transport:
                return facts.gather(transport).identity
        except DeviceError:  # reported when it is used
            return None

    with ThreadPoolExecutor(max_workers=len(names)) as pool:
        firsts = ways.find_first(dict(zip(names, pool.map(ask, names), strict=True)))
    for serial, first in firsts.items():
        if serial != first:
            notify(make_notice("device.same", serial=serial, first=first))
    return [serial for serial, first in firsts.items() if serial == first]


def _named(choice: str) -> list[str]:
    # A serial may itself have a comma.
    if "," not in choice or choice in [device.serial for device in list_devices()]:
        names = [choice.strip()]
    else:
        names = [name.strip() for name in choice.split(",")]
    unique = list(dict.fromkeys(name for name in names if name))
    if not unique:
        raise UsageError(f"--device {choice!r} names no device", "`kit devices` lists them")
    return unique


def _only(devices: Sequence[ListedDevice]) -> str:
    if not devices:
        raise _no_device()
    if len(devices) > 1:
        raise DeviceError(
            f"there are {len(devices)} devices: {_described(devices)}",
            f"choose with --device {shlex.quote(devices[0].serial)}, or take --device all",
        )
    return devices[0].serial


def open_transport(serial: str | None) -> Transport:
    """Return a transport to a device.

    Args:
        serial: one that `choose_serials` returned; None is for `choose_serials(None)`.

    Raises:
        DeviceError: there is no such device, or it cannot be used in its state.
        DeviceLost: it cannot be reached.
    """
    chosen = serial if serial is not None else choose_serials(None)[0]
    server = server_transport.find_server()
    devices = _listed(server)
    state = next((device.state for device in devices if device.serial == chosen), None)
    address = server_transport.parse_network_address(chosen)
    if server is not None and state is not None:
        # The server may reconnect to a device on the network; others must come back themselves.
        if not address:
            state = _settled(server, chosen, state)
        if state != "device" and not (state == "offline" and address):
            raise foreign_errors.make_unusable_error(chosen, state)
        return server_transport.ServerTransport(server, chosen)
    from kit.devices import direct_transport

    if address is None and state is None:
        raise _no_such(chosen, devices)
    if state not in (None, "device"):
        raise foreign_errors.make_unusable_error(chosen, state or "")
    direct = (
        direct_transport.make_tcp_transport(chosen, *address)
        if address
        else direct_transport.make_usb_transport(chosen)
    )
    direct.connect()
    return direct


def _settled(server: server_transport.Server, serial: str, state: str) -> str:
    """Wait some seconds for a transient state to end, and return the state."""
    until = time.monotonic() + PASSING_SECONDS
    while state in _PASSING and time.monotonic() < until:
        time.sleep(LOOK_PAUSE)
        state = dict(server.listed()).get(serial, "offline")
    return state


def _described(devices: Sequence[ListedDevice]) -> str:
    return ", ".join(
        device.serial if device.state == "device" else f"{device.serial} ({device.state})"
        for device in devices
    )


def _no_device() -> DeviceError:
    return DeviceError("no device is connected", advise_connection())


def advise_connection() -> str:
    """Return the hint for the case that no device is connected."""
    server = "" if not shutil.which("adb") else ", run `adb devices` to start adb's server"
    return f"connect one with USB debugging switched on{server}, or name --device HOST:PORT"


def _no_such(serial: str, devices: Sequence[ListedDevice]) -> DeviceError:
    seen = f"connected: {_described(devices)}" if devices else advise_connection()
    return DeviceError(f"there is no device {serial!r}", seen)
