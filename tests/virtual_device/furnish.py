"""What a fresh device finds in its own folder: values, /sys, and the programs of /system."""

from __future__ import annotations

import shutil
import uuid
from pathlib import Path

from virtual_device import profile
from virtual_device.mounts import BOOT_ID
from virtual_device.state import replace

SHIMS = Path(__file__).with_name("shims")
# What Android's toybox has and Debian's too; then what only Android's has, here by busybox.
TOYBOX = (
    "[ base64 basename cat chgrp chmod chown cksum clear cmp comm cp cpio cut date df dirname"
    " dmesg dos2unix du echo egrep env expand fallocate false fgrep file find flock free"
    " fsync getconf grep groups gunzip head hostname id ifconfig inotifyd ionice kill killall ln"
    " logname losetup ls lsmod md5sum microcom mkdir mkfifo mknod mkswap mktemp modinfo mount"
    " mountpoint mv nc netcat netstat nice nl nohup nproc nsenter od paste patch pgrep pidof"
    " pkill pmap printenv printf ps pwd readelf readlink realpath renice rm rmdir rmmod sed"
    " seq setsid sha1sum sha224sum sha256sum sha384sum sha512sum sleep sort split stat strings"
    " swapoff swapon sync sysctl tac tail tar taskset tee test time timeout top touch true"
    " truncate tty ulimit umount uname uniq unix2dos unlink unshare uptime usleep uudecode"
    " uuencode uuidgen vmstat watch wc which whoami xargs xxd yes zcat"
)
BUSYBOX = "dd diff expr gzip more stty tr"


def furnish(folder: Path, arch: str, port: int) -> None:
    """Write what a fresh device finds: its values, its /sys and its /system."""
    for name, value in profile.values().items():
        replace(folder / "values" / name, value)
    for name, value in profile.properties(arch, port).items():
        replace(folder / "values/props" / name, value)
    for name in ("settings/global", "settings/secure", "settings/system", "packages", "dumpsys"):
        (folder / "values" / name).mkdir(parents=True)
    (folder / "storage").mkdir(exist_ok=True)  # of proot; namespaces have one of their own
    (folder / BOOT_ID).write_text(f"{uuid.uuid4()}\n")
    (folder / "cpuinfo").write_text(profile.cpuinfo())
    profile.write_sys(folder / "sys", arch)
    programs = folder / "system/bin"
    programs.mkdir(parents=True)
    for shim in SHIMS.iterdir():
        shutil.copy(shim, programs / shim.name)
    (programs / "sh").symlink_to("/vdev/sh")
    for program, names in {"toybox": TOYBOX, "busybox": BUSYBOX}.items():
        for name in names.split():
            if not (programs / name).exists():
                (programs / name).symlink_to(f"/vdev/{program}")
    (programs / "toybox").symlink_to("/vdev/toybox")
