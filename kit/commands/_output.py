"""Where a command writes a file: looked at before minutes are spent on what goes into it."""

from __future__ import annotations

import tempfile
from pathlib import Path

from kit.errors import OutputError


def check_file(path: Path) -> None:
    """Look whether a file can be written, and leave nothing behind.

    Raises:
        OutputError: it is a folder, is below a file, or its folder cannot be written to.
    """
    hint = "choose a file with -o, in a folder that is writable"
    try:
        if path.exists() and not path.is_file():  # a device would be replaced by a file
            what = "a folder" if path.is_dir() else "no file, but a device"
            raise OutputError(f"cannot write {path}: it is {what}", hint)
        place = next(folder for folder in path.absolute().parents if folder.exists())
        tempfile.TemporaryFile(dir=place).close()
    except (OSError, ValueError) as exc:  # a name with a zero byte is a wrong value
        why = (exc.strerror if isinstance(exc, OSError) else None) or exc
        raise OutputError(f"cannot write {path}: {why}", hint) from exc
