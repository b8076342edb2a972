"""`kit devices`: list connected devices, their facts and state."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from kit import terminal
from kit.commands.common.option_types import make_list_option
from kit.errors import DeviceError, DeviceLost

if TYPE_CHECKING:
    from kit.devices.facts import DeviceFacts


@click.command("devices")
@make_list_option(
    "--device",
    "choice",
    metavar="SERIAL",
    help="Only this one: a serial, HOST:PORT, several with commas, or 'all'. Default: all.",
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object instead of a table.")
def command(choice: str | None, as_json: bool) -> None:
    """List phones and emulators: state, hardware, battery, temperature.

    A device that cannot be used is listed with a hint.
    """
    from kit.devices import selection

    states = {device.serial: device.state for device in selection.list_by_steadiness()}
    rows = _merged(_rows(list(states) if choice is None else selection.choose(choice)))
    if as_json:
        records = [_record(serial, facts, states.get(serial, "device")) for serial, facts in rows]
        terminal.print_json({"devices": records}, indent=1)
    elif rows:
        _show(rows)
    else:
        terminal.print_note(f"no device is connected: {selection.advise_connection()}")
    errors = [error for _, error in rows if isinstance(error, DeviceError)]
    if choice is not None and errors:
        raise errors[0]


def _rows(serials: list[str]) -> list[tuple[str, DeviceFacts | DeviceError]]:
    """Query all devices in parallel, so that timeouts of silent ones do not add up.

    Threads are daemons: Ctrl-C does not wait for them, unlike for an executor's.
    """
    from concurrent.futures import Future
    from threading import Thread

    def ask(serial: str, future: Future[DeviceFacts | DeviceError]) -> None:
        try:
            future.set_result(_ask(serial))
        except BaseException as exc:  # noqa: BLE001 - raised again by the waiting thread
            future.set_exception(exc)

    futures: dict[str, Future[DeviceFacts | DeviceError]] = {s: Future() for s in serials}
    for pair in futures.items():
        Thread(target=ask, args=pair, daemon=True).start()
    return [(serial, future.result()) for serial, future in futures.items()]


def _merged(
    rows: list[tuple[str, DeviceFacts | DeviceError]],
) -> list[tuple[str, DeviceFacts | DeviceError]]:
    """Return one row for each device, with its other serials."""
    from dataclasses import replace

    from kit.devices import ways

    identities = {s: None if isinstance(f, DeviceError) else f.identity for s, f in rows}
    firsts = ways.find_first(identities)
    merged: list[tuple[str, DeviceFacts | DeviceError]] = []
    for serial, facts in rows:
        also = tuple(other for other, first in firsts.items() if first == serial != other)
        if also and not isinstance(facts, DeviceError):
            merged.append((serial, replace(facts, also=also)))
        elif firsts[serial] == serial:
            merged.append((serial, facts))
    return merged


def _ask(serial: str) -> DeviceFacts | DeviceError:
    from contextlib import closing

    from kit.devices import facts, selection

    try:
        with closing(selection.open_transport(serial)) as transport:
            return facts.gather(transport)
    except DeviceError as exc:
        return exc


def _record(serial: str, facts: DeviceFacts | DeviceError, state: str) -> dict[str, object]:
    from dataclasses import asdict

    if not isinstance(facts, DeviceError):
        return asdict(facts)
    if state == "device":  # it is listed, or on the network without a server
        state = "lost" if isinstance(facts, DeviceLost) else "refused"
    return {"serial": serial, "state": state, "error": facts.message, "fix": facts.hint}


def _show(rows: list[tuple[str, DeviceFacts | DeviceError]]) -> None:
    from rich.table import Table

    for serial, facts in rows:
        table = Table(title=serial, title_justify="left", show_header=False)
        table.add_column(no_wrap=True)
        table.add_column(overflow="fold")
        for name, value in _lines(facts):
            table.add_row(name, value)
        terminal.print_table(table)


def _lines(facts: DeviceFacts | DeviceError) -> list[tuple[str, str]]:
    if isinstance(facts, DeviceError):
        return [("state", facts.message), ("fix", facts.hint)]
    lines = [
        ("state", f"{facts.state}, {facts.kind}"),
        *([("also as", ", ".join(facts.also))] if facts.also else []),
        ("model", facts.model),
        ("SoC", facts.soc),
        ("Android", _join(facts.android, facts.api and f"API level {facts.api}")),
        ("ABIs", ", ".join(facts.abis)),
        ("cores", _cores(facts)),
        ("memory", format_megabytes(facts.memory)),
        ("free", format_megabytes(facts.free_bytes)),
        ("page size", facts.page_size and f"{facts.page_size // 1024} KB"),
        ("battery", _battery(facts)),
        ("thermal status", facts.thermal_status),
        ("kernel", _join(facts.kernel, facts.selinux and f"SELinux {facts.selinux.lower()}")),
    ]
    return [(name, value or "unknown") for name, value in lines]


def _join(*parts: object) -> str:
    return ", ".join(str(part) for part in parts if part)


def format_megabytes(size: int | None) -> str | None:
    """Return a size as ``2,147 MB``; None for an unknown one."""
    return None if size is None else f"{size / 1e6:,.0f} MB"


def _cores(facts: DeviceFacts) -> str:
    groups = []
    for cluster in facts.clusters:
        clock = f"{cluster.max_mhz} MHz" if cluster.max_mhz else "clock unknown"
        groups.append(f"{_ranges(cluster.cpus)} at {clock}")
    off = sorted({cpu for c in facts.clusters for cpu in c.cpus} - set(facts.online))
    switched = f"{_ranges(tuple(off))} switched off" if off and facts.online else None
    return _join(facts.cores, *groups, switched)


def _ranges(cpus: tuple[int, ...]) -> str:
    """Return ``0-3,6`` for (0, 1, 2, 3, 6)."""
    pieces: list[list[int]] = []
    for cpu in cpus:
        if pieces and cpu == pieces[-1][-1] + 1:
            pieces[-1].append(cpu)
        else:
            pieces.append([cpu])
    return ",".join(str(p[0]) if len(p) == 1 else f"{p[0]}-{p[-1]}" for p in pieces)


def _battery(facts: DeviceFacts) -> str | None:
    battery = facts.battery
    if battery is None:
        return None
    level = None if battery.level is None else f"{battery.level} %"
    warm = None if battery.temperature_c is None else f"{battery.temperature_c:.1f} °C"
    return _join(level, warm, battery.status, battery.plugged and "on " + "+".join(battery.plugged))
