"""`kit bench --max-slower`: whether a bundle became slower than another one."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from kit import terminal
from kit.errors import VerificationFailed

if TYPE_CHECKING:
    from kit.bench.rows import LatencyRow


def check(tables: Iterable[Sequence[LatencyRow]], percent: float) -> None:
    """Check that no file is slower than the same file of the first bundle by more than a limit.

    A comparison whose result is not known does not fail, and is named on stderr.

    Args:
        tables: rows of each device.
        percent: the limit.

    Raises:
        VerificationFailed: one is slower, and its interval excludes chance.
    """
    from kit.bench import paired

    slower, unknown = [], []
    for one in (one for table in tables for one in paired.compare(table)):
        if one.baseline.run.key != one.row.run.key:
            continue
        name = f"{one.row.run.name} of {one.row.bundle.name}"
        if one.verdict == "not known":
            unknown.append(name)
        elif one.verdict == "slower" and one.ratio > 1 + percent / 100:
            slower.append(
                f"{name} takes {100 * (one.ratio - 1):.1f} % longer than that of "
                f"{one.baseline.bundle.name}"
            )
    if slower:
        raise VerificationFailed(
            f"slower by more than {percent:g} %:\n  " + "\n  ".join(slower),
            "`kit bench --profile` shows the time of each operator of both",
        )
    if unknown:
        terminal.echo(
            f"warning: not known whether slower: {', '.join(unknown)} (--pairs 128)", err=True
        )
