"""Process 1 of a device: makes the mounts, runs the adb daemon, carries its bytes.

The daemon listens in the device's own network, which has nothing but a loopback. The host
reaches it over one socket, opened before the namespaces were made. One JSON line on
the `control` socket is one command, answered by one JSON line.
"""

from __future__ import annotations

import fcntl
import json
import os
import select
import shutil
import signal
import socket
import struct
import subprocess
import sys
import time
import uuid
from contextlib import suppress
from pathlib import Path
from typing import Any

from virtual_device import clocks, confine, mounts, ports
from virtual_device.pump import Pump

INNER_PORT = 5555
PAGE = os.sysconf("SC_PAGE_SIZE")


class Supervisor:
    """Runs one device.

    Args:
        config: arch, root, folder, size_mb, port, qemu, proot, as `launch.start` wrote them.
    """

    def __init__(self, config: dict[str, Any]) -> None:
        self.arch, self.size_mb = config["arch"], config["size_mb"]
        self.root, self.folder = Path(config["root"]), Path(config["folder"])
        self.qemu, self.proot = config["qemu"], config["proot"]
        self.outer_port = config["port"]  # where the host reaches it
        self.storage = self.root / mounts.STORAGE
        self.port = ports.free() if self.proot else INNER_PORT
        self.daemon: subprocess.Popen[bytes] | None = None
        self.booted: list[str] = []  # before the daemon's command: a kernel started lately

    def prepare(self) -> None:
        """Make everything but the daemon."""
        if self.proot:
            confine.adopt()
            return
        socket.sethostname(f"vdev-{self.arch}")
        if self.qemu:
            mounts.emulate(self.qemu)
        mounts.assemble(self.root, self.folder, self.size_mb, self.arch)
        _loopback_up()

    def restart(self) -> None:
        """End the daemon if it runs, start another and wait until it listens."""
        if self.daemon is not None:
            self.end_daemon()
        command = confine.in_root(self.root)
        if self.proot:
            command = confine.under_proot(self.root, self.folder)
        env, null = _environment(self.arch, self.port), subprocess.DEVNULL
        if (self.folder / "values" / clocks.OFFSET).exists():
            env |= clocks.preload("/data/vdev")
        with (self.folder / "adbd.log").open("ab") as log:
            self.daemon = subprocess.Popen(
                [*self.booted, *command, "/vdev/adbd"], env=env, stdin=null, stdout=log, stderr=log
            )
        self._wait_until_listening(self.daemon)

    def reboot(self, uptime: float) -> None:
        """End every process, as a phone that starts anew; files and settings stay."""
        self.booted = clocks.started_ago(uptime)
        (self.folder / mounts.BOOT_ID).write_text(f"{uuid.uuid4()}\n")
        os.kill(-1, signal.SIGKILL)  # all of this process namespace but this process
        self.restart()

    def renew(self) -> None:
        """End every process, remove every file, and start as a new device."""
        from virtual_device.furnish import furnish

        self.booted = []
        os.kill(-1, signal.SIGKILL)
        with suppress(ChildProcessError):
            while True:
                os.waitpid(-1, 0)  # what is gone writes nothing any more
        mounts.change_storage(self.root, f"rw,size={self.size_mb}m")
        for place in (self.storage, *(self.folder / name for name in mounts.FURNISHED)):
            empty(place)
        furnish(self.folder, self.arch, self.outer_port)
        self.restart()

    def end_daemon(self) -> None:
        """Kill the daemon, under proot with all that it started."""
        assert self.daemon is not None
        if self.proot:
            confine.end_all()
        self.daemon.kill()
        self.daemon.wait()

    def command(self, name: str, value: Any) -> Any:
        """Do what the control socket asks."""
        if name == "restart":
            return self.restart()
        if self.proot:
            raise ValueError("proot gives neither a size, nor a mode, nor a start of its own")
        if name == "reboot":  # uptime in seconds
            return self.reboot(value)
        if name == "renew":
            return self.renew()
        if name == "free":  # bytes left in /data/local/tmp
            room = os.statvfs(self.storage)
            used = (room.f_blocks - room.f_bfree) * room.f_frsize
            size = (used + value) // PAGE * PAGE  # it would be rounded up
            return mounts.change_storage(self.root, f"size={size}")
        if name == "size":  # MB
            return mounts.change_storage(self.root, f"size={value}m")
        if name == "read_only":
            return mounts.change_storage(self.root, "ro" if value else "rw")
        raise ValueError(f"there is no command {name!r}")

    def _wait_until_listening(self, daemon: subprocess.Popen[bytes]) -> None:
        # Looked up, not tried: a second connection at the same instant can upset the daemon.
        wanted = f":{self.port:04X}"
        deadline = time.monotonic() + 20
        while time.monotonic() < deadline and daemon.poll() is None:
            for table in ("/proc/self/net/tcp", "/proc/self/net/tcp6"):
                rows = [row.split() for row in Path(table).read_text().splitlines()[1:]]
                if any(row[1].endswith(wanted) and row[3] == "0A" for row in rows):
                    return
            time.sleep(0.01)
        last = (self.folder / "adbd.log").read_text(errors="replace").strip().splitlines()[-1:]
        raise RuntimeError(f"the adb daemon did not come up, its last words: {''.join(last)!r}")


def empty(folder: Path) -> None:
    """Remove what is in a folder; the folder stays, for it may be mounted."""
    for entry in folder.iterdir():
        shutil.rmtree(entry) if entry.is_dir() and not entry.is_symlink() else entry.unlink()


def _environment(arch: str, port: int) -> dict[str, str]:
    result = {
        "ADBD_PORT": str(port),
        "SHELL": "/system/bin/sh",
        "HOME": "/data/local/tmp",
        "TMPDIR": "/data/local/tmp",
        "PATH": "/system/bin",
        "ANDROID_ROOT": "/system",
        "ANDROID_DATA": "/data",
    }
    # qemu 7.2's default processor has an SME that computes wrong int8 results.
    return result | ({"QEMU_CPU": "cortex-a76"} if arch == "arm64" else {})


def _loopback_up() -> None:
    up = struct.pack("16sH14s", b"lo", 0x1 | 0x40, b"")  # IFF_UP | IFF_RUNNING
    with socket.socket() as one:
        fcntl.ioctl(one, 0x8914, up)  # SIOCSIFFLAGS


def serve(device: Supervisor, control: socket.socket, lifeline: int | None) -> None:
    """Answer commands and reap orphans, until whoever holds the other end is gone."""
    watched: list[Any] = [control] if lifeline is None else [control, lifeline]
    while True:
        ready, _, _ = select.select(watched, [], [], 0.2)
        if lifeline in ready:
            return
        if control in ready:
            _answer(device, control)
        with suppress(ChildProcessError):
            _reap(device)


def _answer(device: Supervisor, control: socket.socket) -> None:
    client, _ = control.accept()
    with client, suppress(OSError):
        client.settimeout(5)
        try:
            asked = json.loads(client.makefile().readline())
            answer = {"ok": device.command(asked["name"], asked["value"])}
        except (ValueError, KeyError, OSError, RuntimeError, subprocess.SubprocessError) as exc:
            answer = {"error": f"{type(exc).__name__}: {exc}"}
        client.sendall(json.dumps(answer).encode() + b"\n")


def _reap(device: Supervisor) -> None:
    """Collect what ended: orphans of the device, and the daemon through its own handle."""
    while True:
        result = os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
        if result is None:
            return
        if device.daemon is not None and result.si_pid == device.daemon.pid:
            device.daemon.wait()
        else:
            os.waitpid(result.si_pid, 0)


def main(folder: Path, listener: int, ready: int, lifeline: int | None) -> None:
    """Run a device; one line on `ready` says that it is up, or why it is not."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the test's own affair
    device = Supervisor(json.loads((folder / "config.json").read_text()))
    control = socket.socket(socket.AF_UNIX)
    try:
        device.prepare()
        device.restart()
        control.bind(str(folder / "control"))
        control.listen(8)
    except (OSError, RuntimeError, subprocess.SubprocessError) as exc:
        os.write(ready, f"{type(exc).__name__}: {exc}\n".encode())
        raise
    pump = Pump(
        socket.socket(fileno=listener),
        lambda: socket.create_connection(("127.0.0.1", device.port), timeout=5),
    )
    pump.start()
    os.write(ready, b"up\n")
    os.close(ready)
    serve(device, control, lifeline)
    shutil.rmtree(folder, ignore_errors=True)
    if device.proot:
        confine.end_all()
    os._exit(0)  # the kernel ends everything else of this process namespace


if __name__ == "__main__":
    numbers = [int(one) for one in sys.argv[2:]]
    main(Path(sys.argv[1]), numbers[0], numbers[1], numbers[2] if numbers[2:] else None)
