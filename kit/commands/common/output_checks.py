"""Common output of commands: checks of output files, and remarks about bundles."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from kit import terminal
from kit.errors import OutputError
from kit.text import one_line

if TYPE_CHECKING:
    from kit.notices import Notice
    from kit.results.schema import BundleRef


def report_left_out(bundle: BundleRef) -> None:
    """Print on stderr which files are missing because their build failed, or do not run here."""
    for name, reason in bundle.failed.items():
        terminal.echo(f"{name} is not in the bundle, its build failed: {reason}", err=True)
    for artifact in bundle.artifacts:
        if not artifact.executed:
            terminal.echo(
                f"{artifact.name} was lowered for devices: nothing here runs it", err=True
            )


def print_notice(notice: Notice) -> None:
    """Print a notice on stderr."""
    from kit.commands.common.advice import write_notices

    for line in write_notices([(notice, "")], 0):
        terminal.echo(one_line(line), err=True)


def check_file(path: Path) -> None:
    """Check that a file can be written, without creating it.

    Raises:
        OutputError: it is a folder, is below a file, or its folder cannot be written to.
    """
    from kit.files import check_writable

    hint = "choose a file with -o, in a folder that is writable"
    try:
        if path.exists() and not path.is_file():  # a device would be replaced by a file
            what = "a folder" if path.is_dir() else "no file, but a device"
            raise OutputError(f"cannot write {path}: it is {what}", hint)
        place = next(folder for folder in path.absolute().parents if folder.exists())
        check_writable(place)
    except (OSError, ValueError) as exc:  # a name with a zero byte raises ValueError
        why = (exc.strerror if isinstance(exc, OSError) else None) or exc
        raise OutputError(f"cannot write {path}: {why}", hint) from exc
