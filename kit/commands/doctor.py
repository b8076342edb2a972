"""`kit doctor`: will it run there?"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import click

from kit import terminal
from kit.commands.common.option_types import PATH, make_list_option
from kit.errors import UNFIT
from kit.text import make_one_line

if TYPE_CHECKING:
    from kit.doctor.finding import Finding


@click.command("doctor")
@click.argument("bundle", type=PATH, required=False)
@make_list_option(
    "--device",
    metavar="SERIAL",
    help="A serial, HOST:PORT, several with commas, `all`, or `auto`: ANDROID_SERIAL, or else the "
    "only device. Default: no device.",
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object instead of lines.")
def command(bundle: Path | None, device: str | None, as_json: bool) -> int:
    """Check this machine, BUNDLE and a device: what will run, what will not, and what to type.

    One line for each finding: ok, note, warning or problem, and the command that mends it.
    Nothing is changed, fetched or run. Exit code 0 without a problem, else 11.
    """
    from kit.doctor.finding import has_problem

    findings = []
    for finding in _examine(bundle, device):
        findings.append(finding)
        if not as_json:
            terminal.echo(_line(finding))
    counts: Counter[str] = Counter(finding.verdict for finding in findings)
    if as_json:
        from dataclasses import asdict

        terminal.print_json({"findings": [asdict(one) for one in findings], "counts": counts})
    else:
        terminal.print_note(_sum_up(counts))
    return UNFIT if has_problem(findings) else 0


def _examine(bundle: Path | None, device: str | None) -> Iterator[Finding]:
    from kit.doctor.bundle import examine_bundle, load_bundle
    from kit.doctor.device import examine_devices
    from kit.doctor.host import examine_host
    from kit.doctor.packages import examine_packages

    yield from examine_host()
    yield from examine_packages()
    loaded = None
    if bundle is not None:
        loaded, finding = load_bundle(bundle)
        yield finding
    if loaded is not None:
        yield from examine_bundle(loaded)
    if device is not None:
        yield from examine_devices(device, loaded)


def _line(finding: Finding) -> str:
    """Return ``warning  host.disk: 1.2 GB free in /tmp -> df -h .``."""
    fix = f" -> {finding.fix}" if finding.fix else ""
    return f"{finding.verdict:<8} {make_one_line(f'{finding.code}: {finding.text}{fix}')}"


def _sum_up(counts: Counter[str]) -> str:
    words = [f"{counts['ok']} ok"]
    for verdict in ("note", "warning", "problem"):
        count = counts[verdict]
        words.append(f"{count or 'no'} {verdict}{'' if count in (0, 1) else 's'}")
    return ", ".join(words)
