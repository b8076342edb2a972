"""`kit clean`: leave nothing of kit on a device."""

from __future__ import annotations

import click


@click.command("clean")
@click.option(
    "--device",
    "choice",
    metavar="SERIAL",
    help="A serial, HOST:PORT, several with commas, or `all`. Default: ANDROID_SERIAL, or else "
    "the only device.",
)
def command(choice: str | None) -> None:
    """Remove everything that kit put on a device.

    What still runs there is ended, and settings that a killed kit left changed are put back.
    The app of `kit app install` stays: `kit app uninstall` removes it.
    """
    from contextlib import closing

    from kit.app import device
    from kit.devices import _select, adb
    from kit.devices._again import Again

    for serial in _select.serials(choice):
        with closing(Again(_select.open_transport(serial))) as transport:
            freed = adb.clean(transport)
            app = device.installed(transport)
        click.echo(f"{serial}: {freed / 1e6:.1f} MB removed")
        if app:
            click.echo(f"{serial}: the app stays; kit app uninstall removes it", err=True)
