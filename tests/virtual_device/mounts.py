"""The mounts of one device, made inside its own namespaces (so they vanish with it)."""

from __future__ import annotations

import subprocess
from pathlib import Path

BINFMT = Path("/proc/sys/fs/binfmt_misc")
# 64-bit little-endian Arm programs; O: open the program, P: keep its argv[0] (busybox needs
# it), F: open qemu now, because the device's root does not have it.
MAGIC = (
    r":vdev-arm64:M::\x7fELF\x02\x01\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00\x02\x00\xb7\x00"
    r":\xff\xff\xff\xff\xff\xff\xff\x00\xff\xff\xff\xff\xff\xff\xff\xff\xfe\xff\xff\xff:%s:OPF"
)
NODES = ("null", "zero", "full", "random", "urandom", "tty")
# Of the host's kernel, writable for its root: never from the device.
CLOSED = ("proc/sys", "proc/sysrq-trigger", "proc/irq", "proc/bus", "proc/fs")
STORAGE = "data/local/tmp"
BOOT_ID = "boot_id"  # a file that each start of the device writes anew
FURNISHED = ("values", "sys", "system")  # folders of the device's own folder
STORAGE_OPTIONS = "nosuid,nodev,noatime"


def mount(*arguments: str | Path) -> None:
    """Run `mount`; its message is the error."""
    subprocess.run(["mount", *map(str, arguments)], check=True)


def emulate(qemu: str) -> None:
    """Run Arm programs under qemu, in this user namespace only (Linux 6.7 or newer)."""
    mount("-t", "binfmt_misc", "none", BINFMT)
    (BINFMT / "register").write_text(MAGIC % qemu)


def assemble(root: Path, folder: Path, size_mb: int, arch: str) -> None:
    """Put the device together over its root.

    Args:
        root: the shared root, left read-only.
        folder: the device's own folder on the host.
        size_mb: capacity of /data/local/tmp.
        arch: arm64 or x86_64.
    """
    mount("--bind", root, root)
    mount("-t", "proc", "-o", "nosuid,nodev,noexec", "proc", root / "proc")
    for name in CLOSED:
        if (root / name).exists():
            read_only_bind(root / name, root / name)
    read_only_bind(folder / BOOT_ID, root / "proc/sys/kernel/random/boot_id")
    if arch == "arm64":
        read_only_bind(folder / "cpuinfo", root / "proc/cpuinfo")
    _devices(root / "dev")
    read_only_bind(folder / "sys", root / "sys")
    read_only_bind(folder / "system", root / "system")
    mount("--bind", folder / "values", root / "data/vdev")
    options = f"{STORAGE_OPTIONS},mode=0771,size={size_mb}m"
    mount("-t", "tmpfs", "-o", options, "vdev-data", root / STORAGE)
    mount("-o", "remount,bind,ro", root)


def change_storage(root: Path, options: str) -> None:
    """Give /data/local/tmp another size, or make it read-only or writable."""
    # `ignore`: the options it has name the user as the host does, which means nothing here.
    options = f"remount,{STORAGE_OPTIONS},{options}"
    mount("--options-mode", "ignore", "-o", options, root / STORAGE)


def read_only_bind(source: Path, target: Path) -> None:
    mount("--bind", source, target)
    mount("-o", "remount,bind,ro", target)


def _devices(dev: Path) -> None:
    """Make a small /dev: the host's own would offer its disks."""
    mount("-t", "tmpfs", "-o", "nosuid,noexec,mode=0755,size=1m", "vdev-dev", dev)
    for name in NODES:
        (dev / name).touch()
        mount("--bind", Path("/dev", name), dev / name)
    (dev / "pts").mkdir()
    mount("-t", "devpts", "-o", "newinstance,nosuid,noexec,ptmxmode=0666", "devpts", dev / "pts")
    links = {"ptmx": "pts/ptmx", "fd": "/proc/self/fd", "stdin": "/proc/self/fd/0"}
    links |= {"stdout": "/proc/self/fd/1", "stderr": "/proc/self/fd/2"}
    for name, target in links.items():
        (dev / name).symlink_to(target)
