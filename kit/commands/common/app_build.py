"""`kit app build`: the options of the command, and its summary."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from kit import terminal
from kit.commands.common.option_types import OUTPUT_PATH, PATH, Given, make_list_option

if TYPE_CHECKING:
    from kit.app.build import AppOptions, Built
    from kit.app.signing import Key


@click.command("build")
@click.argument("bundles", type=PATH, nargs=-1, required=True, metavar="BUNDLE...")
@make_list_option(
    "--runtime",
    "runtimes",
    metavar="R,…",
    help="Comma-separated formats whose runtimes are packed: onnx, litert, lite, "
    "executorch. Default: those of the bundles that are compatible and available; "
    "others are reported.",
)
@click.option(
    "--app-id",
    metavar="ID",
    help="Android's application id, so that several can be on one device. Default: "
    "org.mobilekit.demo.",
)
@make_list_option(
    "--abi",
    "abis",
    default="arm64-v8a",
    metavar="A,…",
    help="Comma-separated kinds of processor. Default: arm64-v8a.",
)
@click.option(
    "--aar",
    "archives",
    type=PATH,
    multiple=True,
    metavar="FILE",
    help="A runtime's Android archive to use instead of Maven's. May be repeated.",
)
@click.option(
    "--debug/--release",
    default=True,
    help="Release: shrunk, signed with your key, and not to be measured. Default: debug.",
)
@click.option("--keystore", type=PATH, metavar="FILE", help="Your key for --release.")
@click.option("--key-alias", default="", metavar="NAME", help="Of a keystore with several keys.")
@click.option("--picture", type=PATH, metavar="JPEG", help="Picture that the app shows first.")
@click.option("-o", "--output", type=OUTPUT_PATH, default=Path("out/app"), help="Default: out/app.")
@click.option("--json", "as_json", is_flag=True, help="Print build.json instead of a summary.")
def build(bundles: tuple[Path, ...], output: Path, as_json: bool, **options: Given) -> None:
    """Put bundles and their runtimes into app.apk, signed and verified, and write build.json.

    Needs a JDK and Maven; neither Android Studio, an SDK nor Gradle.
    """
    from kit.app import build as building
    from kit.commands.common import progress_display
    from kit.commands.common.output_checks import check_folder

    app_options = _options(**options)
    check_folder(output)
    with progress_display.show_stages() as report_status:
        built = building.build(bundles, output, app_options, report_status)
    if as_json:
        terminal.print_json(built.record, indent=1)
    else:
        _summary(built)


def _options(
    runtimes: str | None,
    app_id: str | None,
    abis: str,
    archives: tuple[Path, ...],
    debug: bool,
    keystore: Path | None,
    key_alias: str,
    picture: Path | None,
) -> AppOptions:
    from kit.app.build import AppOptions
    from kit.errors import UsageError

    if debug and keystore is not None:
        raise UsageError("--keystore is for --release", "a debug build has a key of its own")
    if not debug and keystore is None:
        raise UsageError("--release needs --keystore FILE", "`keytool -genkeypair` makes one")
    kinds = split_items(abis)
    if not kinds:
        raise UsageError("--abi names nothing", "for example --abi arm64-v8a")
    named = None if runtimes is None else split_items(runtimes)
    if named == ():
        raise UsageError("--runtime names nothing", "for example --runtime onnx,lite")
    key = None if keystore is None else _key(keystore, key_alias)
    return AppOptions(named, kinds, archives, key, picture, choose_app_id(app_id))


def choose_app_id(app_id: str | None) -> str:
    """Return the app id of an option, or the default.

    Raises:
        UsageError: it is no valid application id.
    """
    from kit.app import contract

    return contract.APP_ID if app_id is None else contract.check_app_id(app_id)


def _key(keystore: Path, alias: str) -> Key:
    import os

    from kit.app.signing import PASSWORD, Key

    password = os.environ.get(PASSWORD)
    if password is None:
        password = terminal.ask_secret(f"password of {keystore}")
    return Key(keystore, alias, password)


def split_items(text: str) -> tuple[str, ...]:
    """Return the items of a comma-separated option, without duplicates."""
    return tuple(dict.fromkeys(word.strip() for word in text.split(",") if word.strip()))


def _summary(built: Built) -> None:
    record = built.record
    runtimes = ", ".join(f"{r['name']} {r['version']}" for r in record["runtimes"].values())
    terminal.echo(
        f"{built.file}  {record['apk']['size'] / 1e6:.1f} MB  {', '.join(record['abis'])}"
    )
    for one in record["bundles"]:
        terminal.echo(f"  bundle {one['name']}: {', '.join(one['artifacts'])}")
    terminal.echo(f"  runtimes: {runtimes}")
    if record["package"] != choose_app_id(None):
        terminal.echo(f"  id: {record['package']}")
    narrow = [name.rpartition("/")[2] for name in record["not_fit_for_16k_pages"]]
    pages = (
        f"not {', '.join(dict.fromkeys(narrow))}; Google Play takes no such app"
        if narrow
        else "all libraries"
    )
    terminal.echo(f"  pages of 16 KB: {pages}")
    for note in record["notes"]:
        terminal.print_note(f"note: {note}")
