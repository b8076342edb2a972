"""The device's read-only root: Android's adb daemon, shell (mksh) and tools (toybox) of Debian.

It is made once per user and architecture, and shared by all devices. Like a phone it has no
glibc that a program could use: what a test pushes brings its own loader and libraries, or it
does not start. Those of the programs here lie in `/vdev`, and `_at_home` lets only them look
there.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import platform
import re
import shutil
import subprocess
import tempfile
from contextlib import contextmanager
from pathlib import Path

SUITE = "trixie"
PACKAGES = ("adbd", "mksh", "toybox", "busybox-static")
KEYRING = Path("/usr/share/keyrings/debian-archive-keyring.gpg")
LAYOUT = "1"  # raise it when `_arrange` changes
DEBIAN = {"arm64": "arm64", "x86_64": "amd64"}
TRIPLET = {"arm64": "aarch64-linux-gnu", "x86_64": "x86_64-linux-gnu"}
# On the device: where it comes from.
PROGRAMS = {
    "adbd": "usr/lib/android-sdk/platform-tools/adbd",
    "sh": "usr/lib/{machine}-linux-musl/bin/mksh",
    "toybox": "usr/bin/toybox",
    "busybox": "usr/bin/busybox",
}
INTERPRETER = {"arm64": b"/lib/ld-linux-aarch64.so.1", "x86_64": b"/lib64/ld-linux-x86-64.so.2"}
FOLDERS = ("proc", "sys", "dev", "etc", "sdcard", "system", "vdev/lib")
FOLDERS += ("data/vdev", "data/local/tmp")

_failed: dict[str, str] = {}


class CannotRun(RuntimeError):
    """The virtual device cannot run here; the text says what is missing."""


def root(arch: str) -> Path:
    """Return the root of an architecture, made now if it is not there yet.

    That takes about 5 s and asks the Debian mirror of this machine's apt for the packages.

    Raises:
        CannotRun: it could not be made; another try of this process fails at once.
    """
    made = _place(arch)
    if made.is_dir():
        return made
    if arch in _failed:
        raise CannotRun(_failed[arch])
    made.parent.mkdir(parents=True, exist_ok=True)
    with _alone(made.parent / ".lock"):
        if not made.is_dir():
            try:
                _build(arch, made)
            except CannotRun as exc:
                _failed[arch] = str(exc)
                raise
    return made


def missing(arch: str) -> list[str]:
    """Name the Debian packages that a device of an architecture still needs here."""
    needed = {"unshare": "util-linux", "mount": "mount"}
    if foreign(arch):
        needed["qemu-aarch64-static"] = "qemu-user-static"
    if not _place(arch).is_dir():
        needed["mmdebstrap"] = "mmdebstrap"
    return [package for program, package in needed.items() if shutil.which(program) is None]


def foreign(arch: str) -> bool:
    """Whether programs of an architecture run here under qemu.

    Raises:
        CannotRun: they do not run at all: only Arm's are emulated.
    """
    here = {"aarch64": "arm64"}.get(platform.machine(), platform.machine())
    if arch == "x86_64" and here != arch:
        raise CannotRun(f"the x86_64 virtual device does not run on {here}")
    return arch != here


def _place(arch: str) -> Path:
    recipe = "\n".join((DEBIAN[arch], SUITE, *PACKAGES, LAYOUT))
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return (
        cache / "kit-virtual-device" / f"{arch}-{hashlib.sha256(recipe.encode()).hexdigest()[:12]}"
    )


@contextmanager
def _alone(path: Path):
    with path.open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _build(arch: str, made: Path) -> None:
    with tempfile.TemporaryDirectory(prefix="kit-vdev-") as scratch:
        debian = Path(scratch, "debian")
        _bootstrap(arch, debian)
        part = Path(tempfile.mkdtemp(prefix=".part-", dir=made.parent))
        try:
            _arrange(arch, debian, part)
            part.rename(made)
        except BaseException:
            shutil.rmtree(part)
            raise


def _bootstrap(arch: str, target: Path) -> None:
    # `extract` runs no program of the packages, so it needs no emulation.
    command = ["mmdebstrap", "--variant=extract", f"--architectures={DEBIAN[arch]}"]
    command += [f"--include={','.join(PACKAGES)}", '--aptopt=APT::Install-Recommends "false"']
    command += [f"--keyring={KEYRING}", SUITE, str(target), f"deb {_mirror()} {SUITE} main"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=300)
    except (OSError, subprocess.TimeoutExpired) as exc:
        raise CannotRun(f"cannot make the root of the virtual device: {exc}") from exc
    if done.returncode:
        wrong = [row for row in done.stderr.splitlines() if row.startswith("E:")]
        why = " ".join((wrong or ["E: no message"])[0].split())
        raise CannotRun(f"mmdebstrap cannot make the root of the virtual device: {why}")


def _mirror() -> str:
    """Return the mirror this machine's own apt uses."""
    apt = Path("/etc/apt")
    for source in (apt / "sources.list", *sorted(apt.glob("sources.list.d/*"))):
        text = source.read_text() if source.is_file() else ""
        result = re.search(r"^(?:URIs:|deb\b(?: *\[.*?\])?)\s*(\S+/debian)/?(?:\s|$)", text, re.M)
        if result:
            return result[1]
    raise CannotRun("apt's lists of sources name no Debian mirror")


def _arrange(arch: str, debian: Path, made: Path) -> None:
    made.chmod(0o755)
    for folder in FOLDERS:
        (made / folder).mkdir(parents=True)
    machine = TRIPLET[arch].partition("-")[0]
    for name, source in PROGRAMS.items():
        program = made / "vdev" / name
        shutil.copy(debian / source.format(machine=machine), program)
        program.write_bytes(_at_home(program.read_bytes(), arch))
    libraries = debian / "usr/lib" / TRIPLET[arch]
    for library in (*libraries.glob("*.so*"), *libraries.glob("android/*.so*")):
        shutil.copy(library, made / "vdev/lib" / library.name)
    loader = (libraries / Path(INTERPRETER[arch].decode()).name).read_bytes()
    (made / "vdev/ld").write_bytes(_at_home(loader, arch))
    (made / "vdev/ld").chmod(0o755)
    (made / "bin").symlink_to("system/bin")  # the daemon's shell is /bin/sh
    (made / "etc/passwd").write_text("shell:x:2000:2000::/data/local/tmp:/system/bin/sh\n")
    (made / "etc/group").write_text("shell:x:2000:\n")


def _at_home(program: bytes, arch: str) -> bytes:
    """Let a program's loader be /vdev/ld, and a loader's own folders be /vdev/lib.

    The names are replaced by ones of the same length; spare slashes mean nothing in a path.
    """
    names = {INTERPRETER[arch] + b"\0": b"/vdev/ld"}
    for folder in (f"/usr/lib/{TRIPLET[arch]}/", f"/lib/{TRIPLET[arch]}/"):
        names[folder.encode() + b"\0"] = b"/vdev/lib" + b"/" * (len(folder) - len("/vdev/lib"))
    for old, new in names.items():
        program = program.replace(old, new.ljust(len(old), b"\0"))
    return program
