"""Speed of transfers against adb, and cost of several devices at once, in one run."""

from __future__ import annotations

import os
import shutil
import statistics
import subprocess
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from kit.devices.selection import open_transport
from kit.devices.storage import Store, make_blob
from kit.devices.transport import Transport

MEGABYTE = 1_000_000
TARGET = "/data/local/tmp/kit-bench-push"
TURNS = 5


def push(serial: str, folder: Path, megabytes: int) -> dict[str, float]:
    """Return the seconds of kit's push and of adb's, in turns, medians of `TURNS`."""
    file = folder / "library-set"
    file.write_bytes(os.urandom(megabytes * MEGABYTE))
    adb = shutil.which("adb")
    if adb is None:
        raise SystemExit("the stock adb is needed to compare with: apt-get install adb")
    port = {**os.environ, "ANDROID_ADB_SERVER_PORT": "5999"}
    subprocess.run([adb, "connect", serial], env=port, check=True, stdout=subprocess.DEVNULL)
    times: dict[str, list[float]] = {"kit": [], "adb": []}
    try:
        transport = open_transport(serial)
        for _ in range(TURNS):
            times["kit"].append(_timed(lambda: transport.push(file, TARGET)))
            command = [adb, "-s", serial, "push", str(file), TARGET]
            times["adb"].append(
                _timed(
                    lambda c=command: subprocess.run(c, env=port, check=True, capture_output=True)
                )
            )
        transport.shell(f"rm -f {TARGET}")
        transport.close()
    finally:
        subprocess.run([adb, "kill-server"], env=port, check=False)
    return {name: statistics.median(seconds) for name, seconds in times.items()}


def _timed(act: Callable[[], object]) -> float:
    began = time.perf_counter()
    act()
    return time.perf_counter() - began


def deployment(serial: str, files: list[Path]) -> tuple[float, float, int]:
    """Return the seconds of a first and a second deployment, and the bytes of the second."""
    transport = open_transport(serial)
    blobs = {file.name: make_blob(file) for file in files}
    first = _timed(lambda: Store(transport).put(blobs))
    again = Store(transport)
    second = _timed(lambda: again.put(blobs))
    transport.close()
    return first, second, again.pushed


def job(serial: str, file: Path) -> None:
    """Act like a short deployment: push a file and run a few commands."""
    transport: Transport = open_transport(serial)
    transport.push(file, TARGET)
    for _ in range(8):
        transport.shell("sleep 0.2")
    transport.shell(f"rm -f {TARGET}")
    transport.close()


def fleet(serials: list[str], folder: Path) -> tuple[float, float]:
    """Return the seconds of the job on one device, and on all at once."""
    file = folder / "model"
    file.write_bytes(os.urandom(14 * MEGABYTE))
    alone = min(_timed(lambda: job(serials[0], file)) for _ in range(2))

    def together() -> None:
        with ThreadPoolExecutor(len(serials)) as pool:
            list(pool.map(lambda serial: job(serial, file), serials))

    return alone, min(_timed(together) for _ in range(2))
