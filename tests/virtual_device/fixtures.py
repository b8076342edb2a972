"""Fixtures for tests that need a device; they skip with the reason where none can run."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

import virtual_device
from virtual_device import confine, ports
from virtual_device.device import Device

NewDevice = Callable[..., Device]


class Adb:
    """The stock `adb` with a server and keys of its own.

    Args:
        home: where it keeps its keys.
        port: of its server.
    """

    def __init__(self, home: Path, port: int) -> None:
        self.home, self.port = home, port
        # ADB_VENDOR_KEYS of the caller would add keys; ADB_MDNS looks around in the network.
        kept = {k: v for k, v in os.environ.items() if not k.startswith(("ADB_", "ANDROID_"))}
        self.env = kept | {"HOME": str(home), "ANDROID_USER_HOME": str(home / ".android")}
        self.env |= {"ANDROID_ADB_SERVER_PORT": str(port), "ADB_MDNS": "0"}

    @property
    def public_key(self) -> Path:
        return self.home / ".android/adbkey.pub"

    def __call__(self, *arguments: str, timeout: float = 60) -> subprocess.CompletedProcess[str]:
        """Run `adb ARGUMENTS`; stdout and stderr are text with the line ends as they came."""
        command = ["adb", *arguments]
        done = subprocess.run(command, env=self.env, capture_output=True, timeout=timeout)
        out, err = (one.decode(errors="replace") for one in (done.stdout, done.stderr))
        return subprocess.CompletedProcess(command, done.returncode, out, err)

    def connect(self, serial: str) -> str:
        """Let the server connect to a device; return the serial."""
        for _ in range(2):  # the daemon under qemu resets a first connection now and then
            output = self("connect", serial).stdout
            if self("-s", serial, "get-state").stdout.strip() == "device":
                return serial
            self("disconnect", serial)  # of an earlier daemon, or reset
        raise AssertionError(output)

    def shell(self, device: Device, command: str) -> subprocess.CompletedProcess[str]:
        """Run a line of shell on a device that is connected."""
        return self("-s", device.serial, "shell", command)


@pytest.fixture(scope="session")
def adb(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Adb]:
    if shutil.which("adb") is None:
        pytest.skip("Debian's adb is not installed")
    one = Adb(tmp_path_factory.mktemp("adb-home"), ports.free())
    yield one
    one("kill-server")


@pytest.fixture(scope="session")
def shared_x86_64() -> Iterator[Device]:
    yield from _running("x86_64")


@pytest.fixture(scope="session")
def shared_arm64() -> Iterator[Device]:
    yield from _running("arm64")


@pytest.fixture
def x86_64_device(shared_x86_64: Device) -> Iterator[Device]:
    """A device at host speed that all tests share, each in its turn."""
    with _left_as_it_was(shared_x86_64):
        yield shared_x86_64


@pytest.fixture
def arm64_device(shared_arm64: Device) -> Iterator[Device]:
    """An emulated Arm device that all tests share, each in its turn."""
    with _left_as_it_was(shared_arm64):
        yield shared_arm64


@pytest.fixture(scope="session")
def renew_x86_64() -> Iterator[Callable[[], Device]]:
    """Return a function: the device of `clean_device`, as new each time."""
    with ExitStack() as stack:
        kept: list[Device] = []

        def renewed() -> Device:
            if kept and kept[0].alive and not os.environ.get(confine.PROOT):
                kept[0].renew()
            else:
                kept[:] = [_start(stack, "x86_64", size_mb=192)]
            return kept[0]

        yield renewed


@pytest.fixture
def clean_device(renew_x86_64: Callable[[], Device]) -> Device:
    """A device of 192 MB at host speed as new, for less than a `new_device`."""
    return renew_x86_64()


@pytest.fixture
def new_device() -> Iterator[NewDevice]:
    """Starts devices of the test's own: `new_device("x86_64", size_mb=64)`."""
    with ExitStack() as stack:

        def start(arch: str = "x86_64", **options: int) -> Device:
            return _start(stack, arch, **options)

        yield start


def _running(arch: str) -> Iterator[Device]:
    with ExitStack() as stack:
        yield _start(stack, arch)


def _start(stack: ExitStack, arch: str, **options: int) -> Device:
    try:
        return stack.enter_context(virtual_device.running(arch, **options))
    except virtual_device.CannotRun as exc:
        pytest.skip(str(exc))


@contextmanager
def _left_as_it_was(device: Device) -> Iterator[None]:
    """Remove what a test, also one that failed, leaves in the storage: the next would find it."""
    before = {entry.name for entry in device.storage.iterdir()}
    yield
    for entry in device.storage.iterdir():
        if entry.name not in before:
            shutil.rmtree(entry) if entry.is_dir() and not entry.is_symlink() else entry.unlink()
