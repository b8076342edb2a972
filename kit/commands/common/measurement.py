"""Implementation of `kit bench`, on this machine or on devices."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote

from kit import terminal
from kit.commands.common.output_checks import find_free
from kit.errors import KitError, OutputError
from kit.text import make_one_line

if TYPE_CHECKING:
    from kit.bench.fleet import InternalError
    from kit.bench.runner import RunnerKind
    from kit.bundles.bundle import Bundle
    from kit.devices.adb import AdbDevice
    from kit.devices.interface import Device
    from kit.progress import Progress
    from kit.results.latency import LatencyResult, Plan

LOCAL = "local"
AUTO = "auto"


@dataclass(frozen=True)
class BenchRequest:
    """The request of the command line, the same for every device.

    Attributes:
        measurement: id of this run of the command, in the results of all devices.
    """

    bundles: tuple[Path, ...]
    formats: tuple[str, ...] | None
    plan: Plan
    cpus: str
    runner: RunnerKind
    profile: bool
    sweep: bool
    keep: bool
    measurement: str
    session: str | None = None


@dataclass(frozen=True)
class Measured:
    """The results of one device, one for each bundle."""

    serial: str
    results: list[LatencyResult]


def choose_serials(choice: str | None) -> list[str]:
    """Return the serials of `--device`; only `LOCAL` is this machine.

    Raises:
        DeviceError: there is no device, or several and no choice.
        UsageError: the choice is empty.
    """
    if choice in (None, LOCAL):
        return [LOCAL]
    from kit.commands.common.output_checks import print_notice
    from kit.devices import selection

    return selection.choose_serials(None if choice == AUTO else choice, print_notice)


def run(
    request: BenchRequest, serials: list[str]
) -> tuple[list[Measured], list[KitError | InternalError]]:
    """Measure on this machine, or on devices in parallel.

    Returns:
        Measurements, and the errors of failed devices if there are several, the most serious
        first.

    Raises:
        KitError: of the only device, or of this machine.
    """
    from kit.commands.common import progress_display

    if serials == [LOCAL]:
        from kit.devices import local

        with progress_display.show_steps(auto_refresh=False) as update:
            return [Measured(LOCAL, measure_device(local.open(None), request, update))], []
    if len(serials) == 1:
        with progress_display.show_steps(auto_refresh=False) as update:
            return [Measured(serials[0], measure_serial(serials[0], request, update, None))], []
    return _several(serials, request)


def _several(
    serials: list[str], request: BenchRequest
) -> tuple[list[Measured], list[KitError | InternalError]]:
    from kit.bench import fleet
    from kit.commands.common import progress_display

    with progress_display.show_steps_of(serials) as updates:
        outcomes = fleet.run_each(
            serials, lambda serial, stop: measure_serial(serial, request, updates[serial], stop)
        )
    measured = [Measured(o.serial, o.result) for o in outcomes if o.result is not None]
    errors = [o.error for o in outcomes if o.error is not None]
    return measured, sorted(errors, key=lambda error: isinstance(error, KitError))


def print_error(error: KitError | InternalError) -> None:
    """Print an error of one device in the same form as the command's final error."""
    if isinstance(error, KitError):
        terminal.print_error(error.message, error.hint)
    else:
        terminal.echo(f"kit: {type(error).__name__}: {make_one_line(str(error))}", err=True)


def measure_serial(
    serial: str, request: BenchRequest, update: Progress, stop: threading.Event | None
) -> list[LatencyResult]:
    """Measure on the device of a serial, and close its connection."""
    from contextlib import closing

    from kit.devices import adb

    def sent(done: int, of: int) -> None:
        update(done, of, f"bringing {of / 1e6:.2f} MB to {serial}")

    with closing(adb.open(serial, stop, request.keep, sent)) as device:
        results = measure_device(device, request, update)
        warn(device)
        return results


def warn(device: AdbDevice) -> None:
    """Print notices about failed clean-ups on stderr."""
    from kit.commands.common.advice import write_notices

    for line in write_notices(((notice, device.ref.serial or "") for notice in device.notices), 0):
        terminal.echo(make_one_line(line), err=True)


def measure_device(device: Device, request: BenchRequest, update: Progress) -> list[LatencyResult]:
    """Measure on an open device: once, or once per setting of a sweep."""
    from kit.bench import cores, measure, sweep

    sources, formats = _open(request)
    if request.sweep:
        return sweep.sweep(
            sources,
            formats,
            request.plan,
            device,
            update,
            request.runner,
            request.measurement,
        )
    mask = cores.make_mask(request.cpus, device.clusters)
    return measure.measure_all(
        sources,
        formats,
        request.plan.model_copy(update={"cpus": mask}),
        update,
        device,
        request.runner,
        request.profile,
        request.measurement,
    )


def _open(request: BenchRequest) -> tuple[Sequence[Bundle | Path], tuple[str, ...] | None]:
    """Return the bundles and what of them is measured, for the session that is asked for."""
    if request.session is None:
        return request.bundles, request.formats
    from kit.artifact_key import REFERENCE
    from kit.bundles import loading
    from kit.formats.sessions import open_with

    shown = [
        open_with(loading.load_bundle(b), request.session, request.formats) for b in request.bundles
    ]
    if REFERENCE not in (request.formats or ()):
        return shown, None
    return shown, (
        REFERENCE,
        *dict.fromkeys(key.name for b in shown for key in b.manifest.artifact_keys),
    )


def check_output(output: Path, folder: bool) -> None:
    """Check that results can be written, before a measurement that takes minutes.

    Raises:
        OutputError: the folder cannot be created or written to, or is no folder.
    """
    from kit.files.temporary import check_writable

    place = output if folder else output.parent
    if not folder and output.exists() and not output.is_file():
        # A device such as /dev/null would be replaced by a file.
        raise OutputError(f"cannot write {output}: it is no file", "choose a file with -o")
    try:
        place.mkdir(parents=True, exist_ok=True)
        check_writable(place)
    except OSError as exc:
        is_below_file = isinstance(exc, FileExistsError | NotADirectoryError)
        why = "it is a file, or below one" if is_below_file else exc.strerror
        raise OutputError(
            f"cannot write to {place}: {why}",
            "choose another place with -o; for several bundles or devices it is a folder",
        ) from exc


def name_files(
    measured: Sequence[Measured],
    bundles: Sequence[Path],
    output: Path,
    folder: bool,
) -> list[tuple[LatencyResult, Path]]:
    """Return each result with its file; in a folder, a file that does not exist yet.

    Args:
        measured: results of each device.
        bundles: that were measured, in the order of the results.
        output: the option's path.
        folder: whether it is a folder, with files named after device and bundle.
    """
    if not folder:  # then there is one bundle, and one device
        return [(measured[0].results[0], output)]
    names = [path.resolve().name for path in bundles]
    unique = len(set(names)) == len(names)
    placed: dict[Path, LatencyResult] = {}
    for one in measured:
        # Percent-encoded, so that serials have distinct names: `127.0.0.1:5555` has a colon.
        start = "" if one.serial == LOCAL else f"{quote(one.serial, safe='')}-"
        for index, (name, result) in enumerate(zip(names, one.results, strict=True), 1):
            stem = f"{start}{name if unique else f'{index}-{name}'}"
            placed[find_free(output, stem, ".json", placed)] = result
    return [(result, file) for file, result in placed.items()]
