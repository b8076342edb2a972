"""Every error that kit raises on purpose.

    KitError                     1   anything below; never raised itself
    ├── UsageError               2   an option value that cannot be used
    │   └── UnknownName          2   no such model, format, method …: near matches are named
    ├── InputError               3   something the user gave us is broken
    │   ├── RecipeError          3   a recipe file or a combination of its fields
    │   ├── WeightsError         3   weights missing, corrupt, unsafe or of another architecture
    │   ├── SampleError          3   a sample of a task, or a folder of samples
    │   │   └── PictureError     3   a picture, folder, zip or CSV of pictures
    │   └── ResultError          3   a result file that cannot be read
    ├── BundleError              4   a bundle is incomplete, altered or of a newer schema
    ├── BuildError               5   a model cannot be quantized or lowered
    │   └── VerificationFailed   5   it was built, and computes the wrong thing
    ├── RunError                 6   a runner failed while it measured
    ├── OutputError              7   the result cannot be written (permissions, disk full, not ours)
    ├── MissingTool              8   a program or package that is needed is not installed
    │   └── PluginError          8   a package that extends kit cannot be used
    └── DeviceError              9   a device cannot be used
        └── DeviceLost           9   the connection to it broke; it may come back

The number is the exit code of the command line; 0 is success, 70 an error that kit
did not foresee (please report it), 130 an interruption by Ctrl-C, 143 by SIGTERM, 141 a reader
of the output that went away.
`docs/errors.md` lists the same table and a test compares the two.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping, Sequence
from difflib import get_close_matches
from pathlib import Path

from kit.error_text import shorten_value

PARTIAL = 10  # a bundle was written without a requested format, which failed
UNFIT = 11  # `kit doctor` reports something that will not run
UNFORESEEN = 70
INTERRUPTED = 130
READER_GONE = 141  # of our output: the code that a shell gives to SIGPIPE


class KitError(Exception):
    """An error with a message and a hint.

    Args:
        message: one sentence that says what is wrong and names the offending value.
        hint: what the user can do about it.
    """

    exit_code = 1

    def __init__(self, message: str, hint: str) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def __reduce__(self) -> tuple[type[KitError], tuple[object, ...]]:
        # Errors are pickled between processes (formats are lowered in children); the default
        # would call __init__ with one argument.
        return type(self), (self.message, self.hint)


def name_kind(error: KitError) -> str:
    """Return the name of the nearest class of this module, to report an error to a parent process.

    A plug-in may raise a class of its own, which the parent does not know.
    """
    return next(kind.__name__ for kind in type(error).__mro__ if kind.__module__ == __name__)


def make_error(kind: str, message: str, hint: str) -> KitError:
    """Return the error that a child process reports by the name of its class; see `name_kind`."""
    known = globals().get(kind)
    assert isinstance(known, type)
    assert issubclass(known, KitError)
    return known(message, hint)


class UsageError(KitError):
    """An option value that cannot be used."""

    exit_code = 2


_NO_ALIASES: Mapping[str, str] = {}
_MAX_LISTED = 16  # names in a hint
_CUTOFF = 0.6  # similarity of a near match, of `difflib`


def suggest(name: str, names: Sequence[str], aliases: Mapping[str, str] = _NO_ALIASES) -> str:
    """Return a hint for an unknown name: what it stands for, near matches, or what is known."""
    alike = [known for known in names if _plain(known) == _plain(name)]
    meant = alike[0] if alike else aliases.get(name.lower())
    near = [meant] if meant else get_close_matches(name.lower(), names, n=3, cutoff=_CUTOFF)
    if near:
        return f"did you mean {' or '.join(near)}?"
    more = [f"and {len(names) - _MAX_LISTED} more"] if len(names) > _MAX_LISTED else []
    return f"known: {', '.join([*names[:_MAX_LISTED], *more])}"


def _plain(name: str) -> str:
    """Return a name without what is easily mistaken: case and separators."""
    return re.sub(r"[-_ .]", "", name.lower())


def format_count(count: int, noun: str) -> str:
    """Return ``1 column`` or ``2 columns``, for a noun whose plural adds an s."""
    return f"{count} {noun}{'' if count == 1 else 's'}"


class UnknownName(UsageError):
    """A name that nothing has; `UnknownName.among` makes one with near matches."""

    @classmethod
    def among(
        cls, kind: str, name: str, choices: Iterable[str], aliases: Mapping[str, str] = _NO_ALIASES
    ) -> UnknownName:
        """Return the error for `name`, which is not one of `choices`.

        Args:
            kind: word for the choices, such as ``format``.
            name: that was given.
            choices: the names that exist.
            aliases: in lower case, what other tools call the choices, each with what the hint
                suggests instead. They precede near matches: ``tflite`` is near ``lite``, and means
                ``litert``.
        """
        names = sorted(choices)
        return cls(
            f"there is no {kind} called {shorten_value(name)}", suggest(name, names, aliases)
        )


class InputError(KitError):
    """Something the user gave us is broken."""

    exit_code = 3


class RecipeError(InputError):
    """A recipe file, or a combination of its fields, that cannot be built."""


class WeightsError(InputError):
    """Weights that are missing, corrupt, unsafe or of another architecture."""


class SampleError(InputError):
    """A sample of a task, or a folder of samples, that cannot be used."""


class PictureError(SampleError):
    """A picture, or a folder, zip or CSV of pictures, that cannot be used."""


class ResultError(InputError):
    """A result file that cannot be read."""


class BundleError(KitError):
    """A bundle that is incomplete, altered, or of a newer schema."""

    exit_code = 4


class BuildError(KitError):
    """A model that cannot be quantized or lowered."""

    exit_code = 5


class VerificationFailed(BuildError):
    """A bundle that was built and computes the wrong thing.

    Args:
        message: what is wrong.
        hint: what to do.
        rows: the measured values, one mapping per file, with its name: fields of
            `kit.manifest.build_records.GateRow` for a gate, of
            `kit.manifest.artifacts.Comparison` for a comparison.
    """

    def __init__(self, message: str, hint: str, rows: Iterable[Mapping[str, object]] = ()) -> None:
        super().__init__(message, hint)
        self.rows = tuple(rows)

    def __reduce__(self) -> tuple[type[KitError], tuple[object, ...]]:
        return type(self), (self.message, self.hint, self.rows)


class RunError(KitError):
    """A runner that failed while it measured."""

    exit_code = 6


class OutputError(KitError):
    """A place that cannot be written to."""

    exit_code = 7

    @classmethod
    def of(cls, exc: Exception, path: Path, hint: str) -> OutputError:
        """Return the error for a failure to write.

        Args:
            exc: the failure; of several (`shutil.Error`) the first one counts.
            path: the file or folder that was being written. The message names it, unless the
                system names a file elsewhere, for example on another disk that is full.
            hint: what to do.
        """
        place, why = _place_and_reason(exc)
        folder = os.path.realpath(path.parent)
        if place is not None and not Path(os.path.realpath(place)).is_relative_to(folder):
            return cls(f"cannot write {place}: {why}", hint)
        return cls(f"cannot write {path}: {why}", hint)


def _place_and_reason(exc: Exception) -> tuple[str | None, str]:
    """Return the file that an error names, or None, and the reason of the failure."""
    if not isinstance(exc, OSError):
        return None, str(exc)
    copies = exc.args[0] if exc.args and isinstance(exc.args[0], list) else None
    if copies:  # of `shutil.copytree`: source, target, and an error as text
        _, place, text = copies[0]
        number = re.match(r"\[Errno (\d{1,4})\]", str(text))
        return os.fspath(place), os.strerror(int(number[1])) if number else str(text)
    named = exc.filename2 or exc.filename
    place = os.fsdecode(named) if isinstance(named, str | bytes) else None
    return place, describe_failure(exc)


def describe_failure(exc: OSError) -> str:
    """Return why something cannot be written, without the name of a file."""
    if exc.strerror is None and re.fullmatch(r"\d+ requested and \d+ written", str(exc)):
        return "no space is left, or files are limited in size"  # numpy knows no more
    return exc.strerror or str(exc)


class MissingTool(KitError):
    """A program or package that is needed and not installed."""

    exit_code = 8


class PluginError(MissingTool):
    """A package that extends kit cannot be used: it is broken, or uses a name that is taken."""


class DeviceError(KitError):
    """A device that cannot be used."""

    exit_code = 9


class DeviceLost(DeviceError):
    """A device whose connection broke; it may come back."""
