"""The work behind `kit bench`: on this machine, or on one or more devices."""

from __future__ import annotations

import tempfile
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from kit.errors import KitError, OutputError, UsageError

if TYPE_CHECKING:
    from kit.bench.measure import Progress
    from kit.bench.runner import Kind
    from kit.devices._contract import Device
    from kit.results.schema import LatencyResult, Plan

LOCAL = "local"
AUTO = "auto"


@dataclass(frozen=True)
class Asked:
    """What the command line asks for, the same for every device."""

    bundles: tuple[Path, ...]
    formats: tuple[str, ...] | None
    plan: Plan
    cpus: str
    runner: Kind
    profile: bool
    sweep: bool
    keep: bool


@dataclass(frozen=True)
class Measured:
    """The results of one device, one for each bundle."""

    serial: str
    results: list[LatencyResult]


def run(asked: Asked, choice: str | None) -> tuple[list[Measured], list[KitError]]:
    """Measure on this machine, or on the devices of a choice, all at once.

    Returns:
        What was measured, and the errors of devices that failed beside others.

    Raises:
        KitError: what is wrong with the only device, or with this machine.
    """
    from kit.commands import _latency

    if choice in (None, LOCAL):
        from kit.devices import local

        with _latency.bar() as update:
            return [Measured(LOCAL, _on(local.open(None), asked, update))], []
    from kit.devices import _select

    serials = _select.serials(None if choice == AUTO else choice)
    if len(serials) == 1:
        with _latency.bar() as update:
            return [Measured(serials[0], _connected(serials[0], asked, update, None))], []
    return _several(serials, asked)


def _several(serials: list[str], asked: Asked) -> tuple[list[Measured], list[KitError]]:
    from kit.bench import fleet
    from kit.commands import _latency

    with _latency.bars(serials) as updates:
        outcomes = fleet.each(
            serials, lambda serial, stop: _connected(serial, asked, updates[serial], stop)
        )
    measured = [Measured(o.serial, o.result) for o in outcomes if o.result is not None]
    return measured, [o.error for o in outcomes if o.error is not None]


def _connected(
    serial: str, asked: Asked, update: Progress, stop: threading.Event | None
) -> list[LatencyResult]:
    from contextlib import closing

    from kit.devices import adb

    def sent(done: int, of: int) -> None:
        update(done, of, f"bringing {of / 1e6:.0f} MB to {serial}")

    with closing(adb.open(serial, stop, asked.keep, sent)) as device:
        return _on(device, asked, update)


def _on(device: Device, asked: Asked, update: Progress) -> list[LatencyResult]:
    from kit.bench import cores, measure, sweep

    if asked.sweep:
        return sweep.sweep(asked.bundles, asked.formats, asked.plan, device, update, asked.runner)
    mask = cores.mask(asked.cpus, device.clusters)
    return measure.measure_all(
        asked.bundles,
        asked.formats,
        asked.plan.model_copy(update={"cpus": mask}),
        update,
        device,
        asked.runner,
        asked.profile,
    )


def check_output(output: Path, folder: bool) -> None:
    """Look whether results can be written, before minutes are spent on measuring them.

    Raises:
        OutputError: the folder cannot be made or written to.
    """
    place = output if folder else output.parent
    try:
        place.mkdir(parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=place).close()
    except OSError as exc:
        raise OutputError(
            f"cannot write to {place}: {exc.strerror}",
            "choose another place with -o; for several bundles or devices it is a folder",
        ) from exc


def files(
    measured: Sequence[Measured],
    bundles: Sequence[Path],
    output: Path,
    folder: bool,
    several: bool,
) -> list[tuple[LatencyResult, Path]]:
    """Return each result and the file it goes to.

    Args:
        measured: what each device gave.
        bundles: that were measured, in the order of the results.
        output: as the option names it.
        folder: whether it is a folder, in which files are named by the bundles.
        several: whether devices were asked side by side: their serials are in the names.
    """
    if not folder:  # then there is one bundle, and one device
        return [(measured[0].results[0], output)]
    names = [path.resolve().name for path in bundles]
    unique = len(set(names)) == len(names)
    found = []
    for one in measured:
        start = f"{_safe(one.serial)}-" if several else ""
        for index, (name, result) in enumerate(zip(names, one.results, strict=True), 1):
            found.append((result, output / f"{start}{name if unique else f'{index}-{name}'}.json"))
    return found


def _safe(serial: str) -> str:
    """Return a serial as a part of a file's name: ``127.0.0.1:5555`` has a colon."""
    return "".join(c if c.isalnum() or c in ".-_" else "_" for c in serial)


def check(
    quick: bool, official: bool, sweep: str | None, sustained: float | None, profile: bool
) -> None:
    """Refuse options that contradict each other.

    Raises:
        UsageError: they do.
    """
    if quick and official:
        raise UsageError("--quick and --official exclude each other", "give one of them")
    if sweep and sustained:
        raise UsageError("--sweep and --sustained exclude each other", "give one of them")
    if profile and (sweep or sustained):
        raise UsageError("--profile goes with neither --sweep nor --sustained", "leave it out")
