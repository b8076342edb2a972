"""`kit clean`: remove everything of kit from a device."""

from __future__ import annotations

import click

from kit import terminal
from kit.commands.common.option_types import list_option
from kit.errors import DeviceError, KitError


@click.command("clean")
@list_option(
    "--device",
    "choice",
    metavar="SERIAL",
    help="A serial, HOST:PORT, several with commas, or `all`. Default: ANDROID_SERIAL, or else "
    "the only device.",
)
def command(choice: str | None) -> None:
    """Remove everything that kit put on a device.

    Running jobs are killed, and settings that a killed kit left changed are restored.
    The app of `kit app install` stays: `kit app uninstall` removes it.
    """
    from kit.commands.common.output_checks import print_notice
    from kit.devices import selection

    errors: list[KitError] = []
    for serial in selection.serials(choice, print_notice):
        try:
            _clean(serial)
        except DeviceError as exc:  # clean the others nevertheless
            errors.append(exc)
    for error in errors[1:]:
        terminal.print_error(error.message, error.hint)
    if errors:
        raise errors[0]


def _clean(serial: str) -> None:
    from contextlib import closing

    from kit.app import contract, device
    from kit.devices import adb, selection
    from kit.devices.retry import RetryingTransport

    with closing(RetryingTransport(selection.open_transport(serial))) as transport:
        freed = adb.clean(transport)
        apps = device.list_apps(transport)
    terminal.echo(f"{serial}: {freed / 1e6:.1f} MB removed")
    for app_id in apps:
        named = "" if app_id == contract.APP_ID else f" --app-id {app_id}"
        terminal.echo(f"{serial}: {app_id} stays; kit app uninstall{named} removes it", err=True)
