"""`kit app`: build the Android app, test it, and measure through it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import click

from kit import terminal
from kit.commands.common import app_build
from kit.commands.common.groups import CommandGroup
from kit.commands.common.option_types import (
    OUTPUT_PATH,
    OUTPUT_TEXT_PATH,
    PATH,
    Finite,
    FiniteRange,
    Given,
    make_list_option,
)

if TYPE_CHECKING:
    from kit.commands.common.measurement import Measured
    from kit.devices.retry import RetryingTransport

DEVICE = make_list_option(
    "--device",
    "choice",
    metavar="SERIAL",
    help="A serial, HOST:PORT, several with commas, or `all`. Default: ANDROID_SERIAL, or else "
    "the only device.",
)

APP_ID = click.option(
    "--app-id",
    metavar="ID",
    help="Of an app that was built with this option. Default: org.mobilekit.demo.",
)


@click.group("app", cls=CommandGroup)
def command() -> None:
    """The Android app: a demo of your models, and latency as an app has it."""


command.add_command(app_build.build)


@command.command("test")
@click.option("--bundle", type=PATH, help="A real one; without it, tests of models skip.")
@click.option("--phone", is_flag=True, help="Run a phone's own Lite library, emulated, as well.")
@click.option(
    "-o", "--output", type=OUTPUT_PATH, default=Path("out/app-test"), help="Default: out/app-test."
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def test(bundle: Path | None, phone: bool, output: Path, as_json: bool) -> None:
    """Run the app's own tests on this machine and save their screenshots."""
    from kit.app import phone as phones
    from kit.app import testing
    from kit.bundles import loading
    from kit.commands.common import progress_display
    from kit.commands.common.output_checks import check_folder
    from kit.errors import UsageError

    check_folder(output)
    if phone and bundle is None:
        raise UsageError("--phone needs a bundle with lite", "add --bundle BUNDLE")
    if phone and bundle is not None:
        phones.find_artifact(loading.load_bundle(bundle))
    off: list[float] = []
    with progress_display.show_stages() as report_status:
        totals = testing.run(bundle, output, report_status)
        if phone and bundle is not None:
            off = phones.run(bundle, output / "phone", report_status)
    pictures = sorted(str(file) for file in (output / "screenshots").rglob("*.png"))
    if as_json:
        terminal.print_json({**totals, "screenshots": pictures, "phone_max_abs": off})
        return
    terminal.echo(f"{totals['run']} tests, {totals['failed']} failed, {totals['skipped']} skipped")
    terminal.echo(f"{len(pictures)} screenshots in {output / 'screenshots'}")
    if off:
        terminal.echo(f"phone's library: {len(off)} pictures, logits off by up to {max(off):.3g}")


@command.command("install")
@click.argument("apk", type=PATH, default=Path("out/app"), metavar="[APK]")
@DEVICE
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def install(apk: Path, choice: str | None, as_json: bool) -> None:
    """Install APK, a file or a folder of `kit app build`, replacing an installed one."""
    from dataclasses import asdict

    from kit.app import build as building
    from kit.app import device
    from kit.commands.common import progress_display

    file = apk / building.APK if apk.is_dir() else apk
    done: list[dict[str, str]] = []
    with progress_display.show_stages() as report_status:
        for transport in _devices(choice):
            installed = device.install(transport, file, report_status)
            done.append({"serial": transport.serial, **asdict(installed)})
            if as_json:
                continue
            terminal.echo(f"{transport.serial}: installed {installed.app_id}")
            if installed.warning:
                terminal.echo(f"warning: {installed.warning}", err=True)
    if as_json:
        terminal.print_json({"devices": done}, indent=1)


@command.command("run")
@DEVICE
@APP_ID
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def run(choice: str | None, app_id: str | None, as_json: bool) -> None:
    """Open the app on the device's screen."""
    from kit.app import device

    package = app_build.choose_app_id(app_id)
    done: list[dict[str, str]] = []
    for transport in _devices(choice):
        device.open_demo(transport, package)
        done.append({"serial": transport.serial, "app_id": package})
        if not as_json:
            terminal.echo(f"{transport.serial}: started")
    if as_json:
        terminal.print_json({"devices": done}, indent=1)


@command.command("uninstall")
@DEVICE
@APP_ID
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def uninstall(choice: str | None, app_id: str | None, as_json: bool) -> None:
    """Remove the app and its data from the device."""
    from kit.app import device

    package = app_build.choose_app_id(app_id)
    done: list[dict[str, str | bool]] = []
    for transport in _devices(choice):
        there = device.uninstall(transport, package)
        done.append({"serial": transport.serial, "app_id": package, "removed": there})
        if not as_json:
            terminal.echo(f"{transport.serial}: {'removed' if there else 'it was not there'}")
    if as_json:
        terminal.print_json({"devices": done}, indent=1)


def _devices(choice: str | None) -> Iterator[RetryingTransport]:
    from kit.commands.common.output_checks import print_notice
    from kit.devices import selection

    for serial in selection.choose_serials(choice, print_notice):
        with _connected(serial) as transport:
            yield transport


@contextmanager
def _connected(serial: str) -> Iterator[RetryingTransport]:
    from contextlib import closing

    from kit.devices import selection
    from kit.devices.retry import RetryingTransport

    with closing(RetryingTransport(selection.open_transport(serial))) as transport:
        yield transport


@command.command("bench")
@click.argument("bundles", type=PATH, nargs=-1, required=True, metavar="BUNDLE...")
@DEVICE
@make_list_option(
    "--app-id",
    "app_ids",
    default="org.mobilekit.demo",
    metavar="ID,…",
    help="Of the app; several with commas take turns. Default: org.mobilekit.demo.",
)
@make_list_option(
    "--format",
    "names",
    metavar="F,…",
    help="Comma-separated formats. Default: those of the bundle that the app has.",
)
@click.option("--threads", type=click.IntRange(1, 64), default=1, help="Default: 1.")
@click.option("--quick", is_flag=True, help="One process each: a look, not a result to quote.")
@click.option("--official", is_flag=True, help="1024 samples and 60 s in each of 3 processes.")
@click.option("--repeats", type=click.IntRange(1, 1000), help="Fresh processes of each format.")
@click.option("--pairs", type=click.IntRange(1, 1000), help="As for `kit bench`. Default: 32.")
@click.option(
    "--precision",
    type=FiniteRange(0.1, 50),
    help="Maximum half width of a 95 % interval in percent. Default: 2.",
)
@click.option("--cool", type=Finite(), metavar="°C", help="As for `kit bench`. Default: 38.")
@click.option(
    "--cool-wait", type=FiniteRange(0), metavar="S", help="No longer than this. Default: 120."
)
@click.option(
    "-o",
    "--output",
    type=OUTPUT_TEXT_PATH,
    help="Write the result: a file, or a folder for several bundles or devices.",
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object instead of a table.")
def bench(
    bundles: tuple[Path, ...],
    choice: str | None,
    app_ids: str,
    output: str | None,
    **options: Given,
) -> None:
    """Latency of BUNDLE inside of the app that is installed, by the plan of `kit bench`.

    The app must have been built with the same bundles. `kit report` shows the result beside
    that of `kit bench --device`.
    """
    from kit.commands.bench import show
    from kit.commands.common import bench_options, measurement, output_checks
    from kit.commands.common.output_checks import print_notice
    from kit.devices import selection
    from kit.errors import UsageError
    from kit.results import store

    unique = tuple(dict.fromkeys(bundles))
    bench_options.check_options(options, len(unique))
    apps = tuple(app_build.choose_app_id(app_id) for app_id in app_build.split_items(app_ids))
    if not apps:
        raise UsageError("--app-id names nothing", "for example --app-id org.mobilekit.demo")
    serials = selection.choose_serials(choice, print_notice)
    file = None if output is None else Path(output)
    folder = output is not None and (
        len(unique) * len(serials) > 1 or output_checks.is_folder(output)
    )
    if file is not None:
        measurement.check_output(file, folder)
    measured = [_measure(serial, unique, apps, options) for serial in serials]
    if file is not None:
        for result, place in measurement.name_files(measured, unique, file, folder):
            store.write(result, place)
    show(measured, options["as_json"], False)


def _measure(
    serial: str, bundles: tuple[Path, ...], apps: tuple[str, ...], options: dict[str, Given]
) -> Measured:
    from contextlib import closing

    from kit.app import measuring
    from kit.commands.bench import make_plan, parse_formats
    from kit.commands.common import measurement, progress_display
    from kit.commands.common.measurement import Measured
    from kit.devices import adb

    bench_plan = make_plan({**options, "sustained": None})
    with (
        progress_display.show_steps(auto_refresh=False) as update,
        closing(adb.open(serial)) as device,
    ):
        names = parse_formats(options["names"])
        results = measuring.measure_all(bundles, names, bench_plan, update, device, apps)
        measurement.warn(device)
        return Measured(serial, results)
