"""A device for tests that is no phone: Android's real adb daemon on a small root of its own.

    arm64    under qemu-user: the truth about programs and results, never about speed
    x86_64   at this machine's speed

Each device has its own user, mount, process, network, IPC and host name namespace, and is
reached over 127.0.0.1 only. It calls itself virtual everywhere. One thing it cannot refuse:
the kernel is this machine's, so x86_64 programs start on the arm64 device too.

`scripts/virtual-device` is the command; `fixtures` has pytest's fixtures, `relay` the faults
of a connection.
"""

from virtual_device.device import Device, Process
from virtual_device.launch import devices, running, start
from virtual_device.roots import CannotRun
from virtual_device.state import Call, State

__all__ = ["Call", "CannotRun", "Device", "Process", "State", "devices", "running", "start"]
