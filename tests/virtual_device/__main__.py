"""The command behind scripts/virtual-device."""

from __future__ import annotations

import argparse
import inspect
import sys

from virtual_device import launch
from virtual_device.device import Device
from virtual_device.launch import ARCHS, SIZE_MB
from virtual_device.roots import CannotRun
from virtual_device.state import State

NAMES = tuple(name for name in inspect.signature(State.set).parameters if name != "self")
NUMBERS = {"battery", "battery_status", "thermal_status", "clock", "max_clock", "page_size"}


def main() -> None:
    options = _parser().parse_args()
    try:
        options.run(options)
    except CannotRun as exc:
        sys.exit(f"virtual-device: {exc}")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="virtual-device")
    commands = parser.add_subparsers(required=True)
    start = commands.add_parser("start", help="start one; the last line is its serial")
    start.add_argument("arch", nargs="?", choices=ARCHS, default="x86_64")
    start.add_argument("--port", type=int, default=0)
    start.add_argument("--size-mb", type=int, default=SIZE_MB)
    start.set_defaults(run=_start)
    stop = commands.add_parser("stop", help="stop one, or all")
    stop.add_argument("serial", nargs="?", default="all")
    stop.set_defaults(run=_stop)
    commands.add_parser("list", help="list those that run").set_defaults(run=_list)
    change = commands.add_parser(
        "set",
        help="change what one reports",
        epilog="names: temperature (°C), battery, battery_status, thermal_status, clock and"
        " max_clock (kHz), online, page_size, fixed_performance, free_mb, a property",
    )
    change.add_argument("serial")
    change.add_argument("values", nargs="+", metavar="NAME=VALUE")
    change.set_defaults(run=_set)
    return parser


def _start(options: argparse.Namespace) -> None:
    device = launch.start(options.arch, port=options.port, size_mb=options.size_mb)
    sys.stdout.write(f"a virtual {device.arch} device; its folder is {device.folder}\n")
    sys.stdout.write(f"{device.serial}\n")


def _stop(options: argparse.Namespace) -> None:
    everyone = options.serial == "all"
    for device in launch.devices() if everyone else [_find(options.serial)]:
        device.stop()
    launch.sweep()


def _list(options: argparse.Namespace) -> None:
    for device in launch.devices():
        sys.stdout.write(f"{device.serial} {device.arch}\n")


def _set(options: argparse.Namespace) -> None:
    device = _find(options.serial)
    for one in options.values:
        name, _, value = one.partition("=")
        try:
            set_one(device, name, value)
        except (ValueError, TypeError) as exc:
            raise CannotRun(f"{one!r} cannot be set: {exc}") from exc


def set_one(device: Device, name: str, value: str) -> None:
    if "." in name:
        device.state.prop(name, value)
    elif name == "free_mb":
        device.free(float(value) if value else None)
    elif name == "temperature":
        device.state.set(temperature=float(value))
    elif name in NUMBERS:
        device.state.set(**{name: int(value)})
    elif name in NAMES:
        device.state.set(**{name: value})
    else:
        known = ", ".join(("free_mb", *NAMES))
        raise CannotRun(f"there is no value called {name!r}; known: {known}, a property a.b")


def _find(serial: str) -> Device:
    for device in launch.devices():
        if device.serial == serial:
            return device
    raise CannotRun(f"no virtual device runs at {serial!r}")


if __name__ == "__main__":
    main()
