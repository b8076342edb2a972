"""Starting and finding devices.

Each has a folder in `FOLDER`, whose `lock` is held while the device runs; a folder with a free
lock is what a killed device left, and the next start or stop removes it.
"""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from virtual_device import confine, life, roots
from virtual_device.device import Device
from virtual_device.furnish import furnish
from virtual_device.roots import CannotRun
from virtual_device.state import replace

PACKAGES = Path(__file__).parent.parent
FOLDER = Path(tempfile.gettempdir(), f"kit-virtual-device-{os.getuid()}")
ARCHS = ("arm64", "x86_64")
SIZE_MB = 2048


@contextmanager
def running(arch: str, *, port: int = 0, size_mb: int = SIZE_MB) -> Iterator[Device]:
    """Run a device for a block; it also ends when this process dies, however it dies.

    Args:
        arch: arm64 or x86_64.
        port: where it listens on 127.0.0.1; 0 takes a free one.
        size_mb: capacity of /data/local/tmp.

    Raises:
        CannotRun: this machine cannot run it; the text says why.
    """
    far, near = os.pipe()  # the device ends when the near end closes
    try:
        try:
            device = start(arch, port=port, size_mb=size_mb, lifeline=far)
        finally:
            os.close(far)
        try:
            yield device
        finally:
            device.stop()
    finally:
        os.close(near)


def start(
    arch: str, *, port: int = 0, size_mb: int = SIZE_MB, lifeline: int | None = None
) -> Device:
    """Start a device that runs until it is stopped; the arguments are those of `running`.

    Args:
        lifeline: the reading end of a pipe; the device ends when its other end is closed.
    """
    if arch not in ARCHS:
        raise CannotRun(f"there is no virtual device {arch!r}; there are {' and '.join(ARCHS)}")
    lacking = roots.missing(arch)
    if lacking:
        raise CannotRun(f"the virtual device needs Debian's {', '.join(lacking)}")
    proot = confine.may_use_proot(arch)
    root = roots.root(arch)
    sweep()
    listener = _listen(port)
    number = listener.getsockname()[1]
    FOLDER.mkdir(mode=0o700, exist_ok=True)
    folder = Path(tempfile.mkdtemp(prefix=f"{number}-", dir=FOLDER))
    with listener, (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if proot:  # it makes nothing read-only
            root = shutil.copytree(root, folder / "root", symlinks=True)
        config = {"arch": arch, "root": str(root), "folder": str(folder), "size_mb": size_mb}
        config |= {"port": number, "proot": proot}
        config |= {"qemu": shutil.which("qemu-aarch64-static") if roots.foreign(arch) else None}
        furnish(folder, arch, number)
        replace(folder / "config.json", json.dumps(config))
        _launch(folder, listener.fileno(), lock.fileno(), lifeline, proot)
    return Device(folder, number, arch)


def devices() -> list[Device]:
    """Return this user's running devices."""
    result = []
    for folder in sorted(FOLDER.glob("*-*")) if FOLDER.is_dir() else []:
        with suppress(OSError, ValueError):
            config = json.loads((folder / "config.json").read_text())
            if life.locked(folder):
                result.append(Device(folder, config["port"], config["arch"]))
    return result


def sweep() -> None:
    """Remove the folders of devices that were killed."""
    for folder in FOLDER.glob("*-*") if FOLDER.is_dir() else []:
        # Before it has its configuration, a folder may be of a start that goes on right now.
        with suppress(FileNotFoundError):
            new = time.time() - folder.stat().st_mtime < 60
            if not life.locked(folder) and ((folder / "config.json").exists() or not new):
                shutil.rmtree(folder, ignore_errors=True)


def _listen(port: int) -> socket.socket:
    listener = socket.socket()
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind(("127.0.0.1", port))
    except OSError as exc:
        listener.close()
        raise CannotRun(f"port {port} is taken: {exc.strerror}") from exc
    listener.listen(64)
    return listener


def _launch(folder: Path, listener: int, lock: int, lifeline: int | None, proot: bool) -> None:
    ready, output = os.pipe()
    kept = [listener, output] if lifeline is None else [listener, output, lifeline]
    command = [] if proot else ["unshare", *confine.NAMESPACES, "--fork", "--kill-child"]
    # Without installed packages, whose import hooks take longer than all the rest of a start.
    command += [sys.executable, *([] if proot else ["-S"])]
    command += ["-m", "virtual_device.supervisor", str(folder), *map(str, kept)]
    with (folder / "supervisor.log").open("w") as log:
        process = subprocess.Popen(
            command,
            env={**os.environ, "PYTHONPATH": str(PACKAGES)},
            pass_fds=[*kept, lock],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    os.close(output)
    replace(folder / "pid", str(process.pid))
    with os.fdopen(ready) as answers:
        answer = answers.readline().strip()
    if answer != "up":
        last = (folder / "supervisor.log").read_text().strip().splitlines()[-1:]
        process.kill()
        process.wait()
        shutil.rmtree(folder, ignore_errors=True)
        why = answer or " ".join(last)
        raise CannotRun(
            f"the virtual device does not start here: {why}. Where namespaces are forbidden,"
            f" {confine.PROOT}=1 allows proot, which opens its port to the network"
        )
