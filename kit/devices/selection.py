"""Which device, and which way to it."""

from __future__ import annotations

import os
import shlex
import shutil
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass

from kit.devices import _errors, _server, facts, ways
from kit.devices.transport import Transport
from kit.errors import DeviceError, UsageError
from kit.notices import Notice, new_notice

ALL = "all"
_PASSING = ("offline", "connecting", "authorizing")  # of a device that was just plugged in
_PASSING_SECONDS = 3.0
_LOOK_PAUSE = 0.2


@dataclass(frozen=True)
class ListedDevice:
    """A device that a server lists or that hangs on USB, and its state as adb names it."""

    serial: str
    state: str


def listed() -> list[ListedDevice]:
    """Return the devices that can be seen.

    They are those of the running adb server; where none runs, those on USB.

    Raises:
        DeviceError: what listens on the server's port is no adb server.
    """
    return _listed(_server.running())


def _listed(server: _server.Server | None) -> list[ListedDevice]:
    if server is not None:
        return [ListedDevice(*row) for row in server.listed()]
    from kit.devices import _usb

    with _errors.mapped("USB"):
        return [ListedDevice(*row) for row in _usb.devices()]


def serials(choice: str | None, tell: Callable[[Notice], None] = lambda notice: None) -> list[str]:
    """Return the serials that an option `--device` means, one for each device.

    Args:
        choice: a serial, several with commas between, ``all``, or None for ``ANDROID_SERIAL``
            or else the only device there is.
        tell: is given a notice for each serial that is a further way to a device.

    Raises:
        DeviceError: there is none, or several and no choice.
        UsageError: the choice names nothing.
    """
    choice = choice if choice is not None else os.environ.get("ANDROID_SERIAL") or None
    if choice is not None:
        return _one_way_each(choose(choice), tell)
    devices = list_by_steadiness()
    names = _one_way_each([device.serial for device in devices], tell)
    return [_only([device for device in devices if device.serial in names])]


def choose(choice: str) -> list[str]:
    """Return the serials that an option `--device` names, whichever devices they are.

    Args:
        choice: a serial, several with commas between, or ``all``.

    Raises:
        DeviceError: there is none.
        UsageError: the choice names nothing.
    """
    if choice.strip() != ALL:
        return _named(choice)
    found = [device.serial for device in list_by_steadiness()]
    if not found:
        raise _no_device()
    return found


def list_by_steadiness() -> list[ListedDevice]:
    """Return what is listed, USB before the network, so that it is the way which is used."""
    return sorted(listed(), key=lambda device: _is_wireless(device.serial))


def _is_wireless(serial: str) -> bool:
    """Whether a serial is an address, or a name of mDNS."""
    return _server.network_address(serial) is not None or "._tcp" in serial


def _one_way_each(names: list[str], tell: Callable[[Notice], None]) -> list[str]:
    """Return the serials without those of a device that is among them already."""
    if len(names) < 2:
        return names
    states = {device.serial: device.state for device in listed()}

    def ask(serial: str) -> ways.WayIdentity | None:
        if states.get(serial, "device") != "device":
            return None
        try:
            with closing(open_transport(serial)) as transport:
                return facts.gather(transport).identity
        except DeviceError:  # who uses it will say so
            return None

    with ThreadPoolExecutor(max_workers=len(names)) as pool:
        firsts = ways.find_first(dict(zip(names, pool.map(ask, names), strict=True)))
    for serial, first in firsts.items():
        if serial != first:
            tell(new_notice("device.same", serial=serial, first=first))
    return [serial for serial, first in firsts.items() if serial == first]


def _named(choice: str) -> list[str]:
    # A serial may itself have a comma.
    if "," not in choice or choice in [device.serial for device in listed()]:
        names = [choice.strip()]
    else:
        names = [name.strip() for name in choice.split(",")]
    found = list(dict.fromkeys(name for name in names if name))
    if not found:
        raise UsageError(f"--device {choice!r} names no device", "`kit devices` lists them")
    return found


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
        serial: one that `serials` returned; None is for `serials(None)`.

    Raises:
        DeviceError: there is no such device, or it cannot be used in its state.
        DeviceLost: it cannot be reached.
    """
    chosen = serial if serial is not None else serials(None)[0]
    server = _server.running()
    devices = _listed(server)
    state = next((device.state for device in devices if device.serial == chosen), None)
    address = _server.network_address(chosen)
    if server is not None and state is not None:
        # The server may connect again to one on the network; others have to come back.
        if not address:
            state = _settled(server, chosen, state)
        if state != "device" and not (state == "offline" and address):
            raise _errors.unusable(chosen, state)
        return _server.ServerTransport(server, chosen)
    from kit.devices import _direct

    if address is None and state is None:
        raise _no_such(chosen, devices)
    if state not in (None, "device"):
        raise _errors.unusable(chosen, state or "")
    direct = _direct.over_tcp(chosen, *address) if address else _direct.over_usb(chosen)
    direct.connect()
    return direct


def _settled(server: _server.Server, serial: str, state: str) -> str:
    """Return a device's state once it is one that stays, at most some seconds later."""
    until = time.monotonic() + _PASSING_SECONDS
    while state in _PASSING and time.monotonic() < until:
        time.sleep(_LOOK_PAUSE)
        state = dict(server.listed()).get(serial, "offline")
    return state


def _described(devices: Sequence[ListedDevice]) -> str:
    return ", ".join(
        device.serial if device.state == "device" else f"{device.serial} ({device.state})"
        for device in devices
    )


def _no_device() -> DeviceError:
    return DeviceError("no device is connected", advice())


def advice() -> str:
    """Return what to do where no device is seen."""
    server = "" if not shutil.which("adb") else ", run `adb devices` to start adb's server"
    return f"connect one with USB debugging switched on{server}, or name --device HOST:PORT"


def _no_such(serial: str, devices: Sequence[ListedDevice]) -> DeviceError:
    seen = f"connected: {_described(devices)}" if devices else advice()
    return DeviceError(f"there is no device {serial!r}", seen)
