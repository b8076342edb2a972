"""A device for tests that is no phone: Android's real adb daemon on a small root of its own.

    arm64    under qemu-user: the truth about programs and results, never about speed
    x86_64   at this machine's speed

Each device has its own user, mount, process, network, IPC and host name namespace, and is
reached over 127.0.0.1 only. It calls itself virtual everywhere. One thing it cannot refuse:
the kernel is this machine's, so x86_64 programs start on the arm64 device too.

`scripts/virtual-device` is the command; `fixtures` has pytest's fixtures, `relay` the faults
of a connection.
"""

from importlib import import_module

_HOMES = {
    "Call": "state",
    "CannotRun": "roots",
    "Device": "device",
    "Process": "device",
    "State": "state",
    "devices": "launch",
    "running": "launch",
    "start": "launch",
}
__all__ = [*_HOMES]


def __getattr__(name: str) -> object:
    """Import what is asked for: process 1 of each device is of this package, and needs little."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
