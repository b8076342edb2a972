"""The command: options in, tables and verdicts out."""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from contextlib import ExitStack, closing
from pathlib import Path

from bench_device import transfers, verdicts

# A direct connection except for adb push: the user's adb server is not contacted.
os.environ.setdefault("ANDROID_ADB_SERVER_PORT", "5998")
TESTS = Path(__file__).resolve().parents[2] / "tests"
MAX_CALLED, OF_EQUAL = 2, 40
MIN_CALLED, OF_SLOWED = 18, 20


def add_options(parser: argparse.ArgumentParser) -> None:
    """Describe the options."""
    parser.add_argument("part", choices=("verdicts", "transfers"))
    parser.add_argument("--format", default="executorch")
    parser.add_argument("--equal", type=int, default=OF_EQUAL, help="comparisons with itself")
    parser.add_argument("--slowed", type=int, default=OF_SLOWED, help="with 5 %% more work")
    parser.add_argument("--megabytes", type=int, default=200)
    parser.add_argument("--devices", type=int, default=8)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Run a part on virtual devices that are started for it."""
    sys.path.insert(0, str(TESTS))
    with tempfile.TemporaryDirectory(prefix="kit-bench-") as folder:
        return {"verdicts": _verdicts, "transfers": _transfers}[arguments.part](
            arguments, Path(folder)
        )


def _verdicts(arguments: argparse.Namespace, folder: Path) -> int:
    import virtual_device

    from kit.devices import adb

    name = arguments.format
    short = verdicts.build(folder, verdicts.LAYERS, name)
    long = verdicts.build(folder, verdicts.LAYERS + 1, name)
    with virtual_device.running("x86_64") as device, closing(adb.open(device.serial)) as opened:
        report_status = lambda text: print(text, file=sys.stderr)  # noqa: E731
        equal = verdicts.count(opened, short, short, name, arguments.equal, report_status)
        slowed = verdicts.count(opened, short, long, name, arguments.slowed, report_status)
    called = sum(c.verdict in ("faster", "slower") for c in equal)
    detected = sum(c.verdict == "slower" for c in slowed)
    ratios = sorted(c.ratio for c in slowed)
    if equal:
        print(f"a bundle with itself: a difference is called in {called} of {len(equal)}")
    if slowed:
        print(
            f"5 % more work: called slower in {detected} of {len(slowed)}; "
            f"time {ratios[len(ratios) // 2]:.3f} in the middle"
        )
    missed = detected * OF_SLOWED < MIN_CALLED * len(slowed)
    return int(called * OF_EQUAL > MAX_CALLED * len(equal) or missed)


def _transfers(arguments: argparse.Namespace, folder: Path) -> int:
    import virtual_device

    from kit.runners import native

    with ExitStack() as stack:
        started = [
            stack.enter_context(virtual_device.running("x86_64")) for _ in range(arguments.devices)
        ]
        serials = [device.serial for device in started]
        times = transfers.push(serials[0], folder, arguments.megabytes)
        runner = native.build("x86_64", ["executorch"])[0]
        files = [runner.folder / file for file in runner.files]
        first, second, pushed = transfers.deployment(serials[0], files)
        alone, together = transfers.fleet(serials, folder)
    print(f"push of {arguments.megabytes} MB: kit {times['kit']:.2f} s, adb {times['adb']:.2f} s")
    print(f"speed of kit over adb: {times['adb'] / times['kit']:.2f}; limit 0.8")
    print(
        f"deployment: first {first:.2f} s, second {second:.3f} s with {pushed} bytes; limit 0.3 s"
    )
    print(
        f"{len(serials)} devices at once: {together:.2f} s, one {alone:.2f} s, "
        f"{together / alone:.2f} times; limit 2"
    )
    held = times["adb"] / times["kit"] >= 0.8 and second <= 0.3 and pushed == 0
    return int(not held or together > 2 * alone)
