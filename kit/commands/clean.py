"""`kit clean`: remove everything of kit from a device."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import click

from kit import terminal
from kit.commands.common.option_types import make_list_option
from kit.errors import DeviceError, KitError


@click.command("clean")
@make_list_option(
    "--device",
    "choice",
    metavar="SERIAL",
    help="A serial, HOST:PORT, several with commas, or `all`. Default: ANDROID_SERIAL, or else "
    "the only device.",
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object instead of lines.")
def command(choice: str | None, as_json: bool) -> None:
    """Remove everything that kit put on a device.

    Running jobs are killed, and settings that a killed kit left changed are restored.
    The app of `kit app install` stays: `kit app uninstall` removes it.
    """
    from kit.commands.common.output_checks import print_notice
    from kit.devices import selection

    errors: list[KitError] = []
    cleaned: list[dict[str, object]] = []
    for serial in selection.choose_serials(choice, print_notice):
        try:
            record = _clean(serial)
        except DeviceError as exc:  # clean the others nevertheless
            errors.append(exc)
            cleaned.append({"serial": serial, "error": exc.message, "fix": exc.hint})
            continue
        cleaned.append(record)
        if not as_json:
            _show(**record)
    if as_json:
        terminal.print_json({"devices": cleaned}, indent=1)
    for error in errors[1:]:
        terminal.print_error(error.message, error.hint)
    if errors:
        raise errors[0]


def _clean(serial: str) -> dict[str, Any]:
    from contextlib import closing

    from kit.app import device
    from kit.devices import adb, selection
    from kit.devices.retry import RetryingTransport

    with closing(RetryingTransport(selection.open_transport(serial))) as transport:
        freed = adb.clean(transport)
        apps = device.list_apps(transport)
    return {"serial": serial, "freed": freed, "apps": apps}


def _show(serial: str, freed: int, apps: Sequence[str]) -> None:
    from kit.app import contract

    terminal.echo(f"{serial}: {freed / 1e6:.1f} MB removed")
    for app_id in apps:
        named = "" if app_id == contract.APP_ID else f" --app-id {app_id}"
        terminal.print_note(f"{serial}: {app_id} stays; kit app uninstall{named} removes it")
