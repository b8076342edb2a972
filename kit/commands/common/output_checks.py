"""Common output of commands: checks of output files, and remarks about bundles."""

from __future__ import annotations

import os
from collections.abc import Container, Iterable
from itertools import chain, count
from pathlib import Path
from typing import TYPE_CHECKING

from kit import terminal
from kit.errors import OutputError
from kit.text import make_one_line

if TYPE_CHECKING:
    from kit.notices import Notice
    from kit.results.context import BundleRef
    from kit.results.latency import LatencyResult


def report_left_out(bundle: BundleRef) -> None:
    """Print on stderr which files are missing because their build failed, or do not run here."""
    for name, reason in bundle.failed.items():
        terminal.echo(f"{name} is not in the bundle, its build failed: {reason}", err=True)
    for artifact in bundle.artifacts:
        if not artifact.executed:
            terminal.print_note(f"{artifact.name} was lowered for devices: nothing here runs it")


def report_without_runner(results: Iterable[LatencyResult]) -> None:
    """Print on stderr which files were left out because they have no native runner."""
    from kit.runners import native

    for result in results:
        vias = {run.via for run in result.runs}
        for artifact in result.bundle.artifacts if vias == {"native"} else ():
            if artifact.executed and artifact.format not in native.list_formats():
                terminal.print_note(
                    f"{artifact.name} was left out: {artifact.format} has no native runner"
                )


def print_notice(notice: Notice) -> None:
    """Print a notice on stderr."""
    from kit.commands.common.advice import write_notices

    for line in write_notices([(notice, "")], 0):
        terminal.echo(make_one_line(line), err=True)


def is_folder(output: str) -> bool:
    """Return whether `-o` is a folder: it exists as one, or ends with a slash."""
    return Path(output).is_dir() or output.endswith(tuple(filter(None, (os.sep, os.altsep))))


def choose_file(output: str | None, what: str, kind: str, suffix: str = ".json") -> Path | None:
    """Return the file of `-o`, which can be written; None if the option was left out.

    In a folder it is a file that does not exist yet, named after what it is about.

    Args:
        output: a file, or a folder as `is_folder` has it.
        what: the bundle or model.
        kind: of result, which ends the name.
        suffix: of the file.

    Raises:
        OutputError: it cannot be written.
    """
    if output is None:
        return None
    path = Path(output)
    if is_folder(output):
        path = find_free(path, f"{Path(what).resolve().name}-{kind}", suffix)
    check_file(path)
    return path


def find_free(folder: Path, stem: str, suffix: str, used: Container[Path] = ()) -> Path:
    """Return a file of a folder, with a number if it exists, so that earlier ones are kept."""
    names = chain([stem], (f"{stem}-{number}" for number in count(2)))
    files = (folder / f"{name}{suffix}" for name in names)
    return next(file for file in files if file not in used and not os.path.lexists(file))


def check_file(path: Path) -> None:
    """Check that a file can be written, without creating it.

    Raises:
        OutputError: it is a folder, is below a file, or its folder cannot be written to.
    """
    from kit.files.temporary import check_writable

    hint = "choose a file with -o, in a folder that is writable"
    try:
        if path.exists() and not path.is_file():  # a device would be replaced by a file
            what = "a folder" if path.is_dir() else "no file, but a device"
            raise OutputError(f"cannot write {path}: it is {what}", hint)
        place = next(folder for folder in path.absolute().parents if folder.exists())
        check_writable(place)
    except (OSError, ValueError) as exc:  # a name with a zero byte raises ValueError
        why = (exc.strerror if isinstance(exc, OSError) else None) or exc
        if isinstance(exc, NotADirectoryError):
            why = "a file is where its folder should be"
        raise OutputError(f"cannot write {path}: {why}", hint) from exc


def check_folder(folder: Path) -> None:
    """Check that files can be written to a folder, without creating it.

    Raises:
        OutputError: it is a file, is below one, or cannot be written to.
    """
    from kit.files.temporary import check_writable

    hint = "choose a folder with -o that is writable"
    try:
        if folder.exists() and not folder.is_dir():
            raise OutputError(f"cannot write to {folder}: it is a file, not a folder", hint)
        check_writable(
            next(place for place in (folder, *folder.absolute().parents) if place.exists())
        )
    except (OSError, ValueError) as exc:  # a name with a zero byte raises ValueError
        why = (exc.strerror if isinstance(exc, OSError) else None) or exc
        if isinstance(exc, NotADirectoryError):
            why = "a file is where its folder should be"
        raise OutputError(f"cannot write to {folder}: {why}", hint) from exc
