"""`kit app`: build the Android app, test it, and measure through it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from kit import terminal
from kit.commands._numbers import Finite

if TYPE_CHECKING:
    from kit.app.build import Built, Options
    from kit.commands._bench import Measured
    from kit.devices._again import Again

_PATH = click.Path(path_type=Path)
DEVICE = click.option(
    "--device",
    "choice",
    metavar="SERIAL",
    help="A serial, HOST:PORT, several with commas, or `all`. Default: ANDROID_SERIAL, or else "
    "the only device.",
)


@click.group("app")
def command() -> None:
    """The Android app: a demo of your models, and latency as an app has it."""


@command.command("build")
@click.argument("bundles", type=_PATH, nargs=-1, required=True, metavar="BUNDLE...")
@click.option(
    "--runtime",
    "runtimes",
    metavar="R,…",
    help="Comma-separated formats whose runtimes are packed: onnx, lite, executorch. Default: "
    "all of the bundles.",
)
@click.option(
    "--abi",
    "abis",
    default="arm64-v8a",
    metavar="A,…",
    help="Comma-separated kinds of processor. Default: arm64-v8a.",
)
@click.option(
    "--aar",
    "archives",
    type=_PATH,
    multiple=True,
    metavar="FILE",
    help="A runtime's Android archive to take instead of Maven's. May be repeated.",
)
@click.option(
    "--debug/--release",
    default=True,
    help="Release: shrunk, signed with your key, and not to be measured. Default: debug.",
)
@click.option("--keystore", type=_PATH, metavar="FILE", help="Your key for --release.")
@click.option("--key-alias", default="", metavar="NAME", help="Of a keystore with several keys.")
@click.option("--picture", type=_PATH, metavar="JPEG", help="What the app opens with.")
@click.option("-o", "--output", type=_PATH, default=Path("out/app"), help="Default: out/app.")
@click.option("--json", "as_json", is_flag=True, help="Print build.json instead of a summary.")
def build(bundles: tuple[Path, ...], output: Path, as_json: bool, **options: Any) -> None:
    """Put bundles and their runtimes into app.apk, signed and verified, and write build.json.

    Needs a JDK and Maven; neither Android Studio, an SDK nor Gradle.
    """
    from kit.app import build as building
    from kit.commands import _progress

    wanted = _options(**options)
    with _progress.stages() as say:
        built = building.build(bundles, output, wanted, say)
    if as_json:
        terminal.print_json(built.record, indent=1)
    else:
        _summary(built)


def _options(
    runtimes: str | None,
    abis: str,
    archives: tuple[Path, ...],
    debug: bool,
    keystore: Path | None,
    key_alias: str,
    picture: Path | None,
) -> Options:
    from kit.app.build import Options
    from kit.errors import UsageError

    if debug and keystore is not None:
        raise UsageError("--keystore is for --release", "a debug build has a key of its own")
    if not debug and keystore is None:
        raise UsageError("--release needs --keystore FILE", "`keytool -genkeypair` makes one")
    words = _words(abis)
    if not words:
        raise UsageError("--abi names nothing", "for example --abi arm64-v8a")
    named = None if runtimes is None else _words(runtimes)
    if named == ():
        raise UsageError("--runtime names nothing", "for example --runtime onnx,lite")
    key = None if keystore is None else _key(keystore, key_alias)
    return Options(named, words, archives, key, picture)


def _key(keystore: Path, alias: str) -> Any:
    import os

    from kit.app.signing import PASSWORD, Key

    password = os.environ.get(PASSWORD)
    if password is None:
        password = terminal.ask_secret(f"password of {keystore}")
    return Key(keystore, alias, password)


def _words(text: str) -> tuple[str, ...]:
    return tuple(dict.fromkeys(word.strip() for word in text.split(",") if word.strip()))


def _summary(built: Built) -> None:
    record = built.record
    runtimes = ", ".join(f"{r['name']} {r['version']}" for r in record["runtimes"].values())
    terminal.echo(
        f"{built.file}  {record['apk']['size'] / 1e6:.1f} MB  {', '.join(record['abis'])}"
    )
    for one in record["bundles"]:
        terminal.echo(f"  bundle {one['name']}: {', '.join(one['formats'])}")
    terminal.echo(f"  runtimes: {runtimes}")
    narrow = [name.rpartition("/")[2] for name in record["not_fit_for_16k_pages"]]
    pages = "all libraries" if not narrow else f"not {', '.join(dict.fromkeys(narrow))}"
    terminal.echo(f"  pages of 16 KB: {pages}")


@command.command("test")
@click.option("--bundle", type=_PATH, help="A real one; without it, tests of models skip.")
@click.option("--phone", is_flag=True, help="Run a phone's own Lite library, emulated, as well.")
@click.option(
    "-o", "--output", type=_PATH, default=Path("out/app-test"), help="Default: out/app-test."
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def test(bundle: Path | None, phone: bool, output: Path, as_json: bool) -> None:
    """Run the app's own tests on this machine and keep the screenshots they take."""
    from kit.app import phone as phones
    from kit.app import testing
    from kit.commands import _progress
    from kit.errors import UsageError

    if phone and bundle is None:
        raise UsageError("--phone needs a bundle with lite", "add --bundle BUNDLE")
    off: list[float] = []
    with _progress.stages() as say:
        found = testing.run(bundle, output, say)
        if phone and bundle is not None:
            off = phones.run(bundle, output / "phone", say)
    pictures = sorted(str(file) for file in (output / "screenshots").rglob("*.png"))
    if as_json:
        terminal.print_json({**found, "screenshots": pictures, "phone_max_abs": off})
        return
    terminal.echo(f"{found['run']} tests, {found['failed']} failed, {found['skipped']} skipped")
    terminal.echo(f"{len(pictures)} screenshots in {output / 'screenshots'}")
    if off:
        terminal.echo(f"phone's library: {len(off)} pictures, logits off by up to {max(off):.3g}")


@command.command("install")
@click.argument("apk", type=_PATH, default=Path("out/app"), metavar="[APK]")
@DEVICE
def install(apk: Path, choice: str | None) -> None:
    """Install APK, a file or a folder of `kit app build`, over what is there."""
    from kit.app import build as building
    from kit.app import device
    from kit.commands import _progress

    file = apk / building.APK if apk.is_dir() else apk
    with _progress.stages() as say:
        for transport in _devices(choice):
            warning = device.install(transport, file, say)
            terminal.echo(f"{transport.serial}: installed")
            if warning:
                terminal.echo(f"warning: {warning}", err=True)


@command.command("run")
@DEVICE
def run(choice: str | None) -> None:
    """Open the app on the device's screen."""
    from kit.app import device

    for transport in _devices(choice):
        device.open_demo(transport)
        terminal.echo(f"{transport.serial}: started")


@command.command("uninstall")
@DEVICE
def uninstall(choice: str | None) -> None:
    """Remove the app and all it keeps from the device."""
    from kit.app import device

    for transport in _devices(choice):
        there = device.uninstall(transport)
        terminal.echo(f"{transport.serial}: {'removed' if there else 'it was not there'}")


def _devices(choice: str | None) -> Iterator[Again]:
    from kit.devices import _select

    for serial in _select.serials(choice):
        with _connected(serial) as transport:
            yield transport


@contextmanager
def _connected(serial: str) -> Iterator[Again]:
    from contextlib import closing

    from kit.devices import _select
    from kit.devices._again import Again

    with closing(Again(_select.open_transport(serial))) as transport:
        yield transport


@command.command("bench")
@click.argument("bundles", type=_PATH, nargs=-1, required=True, metavar="BUNDLE...")
@DEVICE
@click.option("--format", "names", metavar="F,…", help="Comma-separated formats. Default: all.")
@click.option("--threads", type=click.IntRange(1, 64), default=1, help="Default: 1.")
@click.option("--quick", is_flag=True, help="One process each: a look, not a result to quote.")
@click.option("--official", is_flag=True, help="1024 samples and 60 s in each of 3 processes.")
@click.option("--repeats", type=click.IntRange(1, 1000), help="Fresh processes of each format.")
@click.option("--pairs", type=click.IntRange(1, 1000), help="As for `kit bench`. Default: 32.")
@click.option(
    "--precision",
    type=Finite(0.1, 50),
    help="Percent that half a 95 % interval may have. Default: 2.",
)
@click.option("--cool", type=Finite(), metavar="°C", help="As for `kit bench`. Default: 38.")
@click.option("--cool-wait", type=Finite(0), metavar="S", help="No longer than this. Default: 120.")
@click.option(
    "-o",
    "--output",
    type=click.Path(),
    help="Write the result: a file, or a folder for several bundles or devices.",
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object instead of a table.")
def bench(
    bundles: tuple[Path, ...], choice: str | None, output: str | None, **options: Any
) -> None:
    """Latency of BUNDLE inside of the app that is installed, by the plan of `kit bench`.

    The app must have been built with the same bundles. `kit report` shows the result beside
    that of `kit bench --device`.
    """
    from kit.commands import _bench
    from kit.commands.bench import show
    from kit.devices import _select
    from kit.results import store

    given = tuple(dict.fromkeys(bundles))
    _bench.check(options, len(given))
    serials = _select.serials(choice)
    file = None if output is None else Path(output)
    folder = output is not None and (len(given) * len(serials) > 1 or _bench.is_folder(output))
    if file is not None:
        _bench.check_output(file, folder)
    measured = [_measure(serial, given, options) for serial in serials]
    if file is not None:
        for result, place in _bench.files(measured, given, file, folder):
            store.write(result, place)
    show(measured, options["as_json"], False)


def _measure(serial: str, bundles: tuple[Path, ...], options: dict[str, Any]) -> Measured:
    from contextlib import closing

    from kit.app import measuring
    from kit.commands import _bench, _progress
    from kit.commands._bench import Measured
    from kit.commands.bench import formats, plan
    from kit.devices import adb

    wanted = plan({**options, "sustained": None})
    with _progress.steps(auto_refresh=False) as update, closing(adb.open(serial)) as device:
        names = formats(options["names"])
        results = measuring.measure_all(bundles, names, wanted, update, device)
        _bench.warn(device)
        return Measured(serial, results)
