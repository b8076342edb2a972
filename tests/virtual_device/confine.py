"""The two ways to put the adb daemon into the device: namespaces, or proot without them.

proot is for containers that forbid namespaces, and for x86_64 only (Debian 12's cannot follow
qemu's file accesses). There the storage has no size of its own, the host's processes are seen,
and the daemon listens on every address of the machine, so it has to be allowed by name.
"""

from __future__ import annotations

import ctypes
import os
import shutil
from contextlib import suppress
from pathlib import Path

from virtual_device.mounts import STORAGE
from virtual_device.roots import CannotRun

SHELL = 2000  # the user of a phone's shell
PROOT = "KIT_VIRTUAL_DEVICE_PROOT"
NAMESPACES = ("--user", "--map-root-user", "--mount", "--pid", "--net", "--ipc", "--uts")


def in_root(root: Path) -> list[str]:
    """Return the start of a command that runs as the shell's user in an assembled root.

    A user namespace of its own leaves it without any capability, like a phone's.
    """
    user = [f"--map-user={SHELL}", f"--map-group={SHELL}"]
    return [_program("unshare"), "--user", *user, f"--root={root}", "--wd=/"]


def under_proot(root: Path, folder: Path) -> list[str]:
    """Return the start of a command that runs in the root by proot, which ends with its parent."""
    command = [_program("setpriv"), "--pdeathsig", "KILL", _program("proot")]
    command += [f"--rootfs={root}", f"--change-id={SHELL}:{SHELL}", "--cwd=/"]
    places = {folder / "system": "/system", folder / "sys": "/sys", folder / "values": "/data/vdev"}
    places |= {folder / "storage": f"/{STORAGE}", Path("/proc"): "/proc"}
    for node in ("null", "zero", "full", "random", "urandom", "tty", "ptmx", "pts"):
        places[Path("/dev", node)] = f"/dev/{node}"
    return [*command, *(f"--bind={source}:{target}" for source, target in places.items())]


def adopt() -> None:
    """Become the parent of every orphan below this process, as process 1 is in a namespace."""
    subreaper = 36  # PR_SET_CHILD_SUBREAPER
    ctypes.CDLL(None).prctl(subreaper, 1, 0, 0, 0)


def end_all() -> None:
    """Kill everything below this process: proot leaves behind what it ran."""
    import psutil

    for one in psutil.Process().children(recursive=True):
        with suppress(psutil.NoSuchProcess):
            one.kill()


def _program(name: str) -> str:
    # With its path: the environment is the device's.
    return shutil.which(name) or name


def may_use_proot(arch: str) -> bool:
    """Whether the user allowed proot, and it can run the device.

    Raises:
        CannotRun: it is allowed and cannot.
    """
    if not os.environ.get(PROOT):
        return False
    if arch == "arm64":
        raise CannotRun("the arm64 virtual device needs namespaces; proot runs x86_64 only")
    if shutil.which("proot") is None:
        raise CannotRun(f"{PROOT} is set, and Debian's proot is not installed")
    return True
