"""Text for error messages: untrusted values, foreign exceptions, and places in the user's code."""

from __future__ import annotations

import reprlib
import sysconfig
import traceback
from collections.abc import Iterable
from pathlib import Path

_BRIEF = reprlib.Repr()
_BRIEF.maxstring = _BRIEF.maxother = _BRIEF.maxlong = 100
_BRIEF.maxlevel = 3


def shorten_value(value: object) -> str:
    """Return the `repr` of an untrusted value, shortened to about 100 characters."""
    try:
        return _BRIEF.repr(value)[:200]
    except ValueError:  # an integer with more digits than Python converts
        return f"a number of {value.bit_length()} bits" if isinstance(value, int) else "…"


def format_message(exc: BaseException) -> str:
    """Return the text of a foreign exception, even if its `__str__` fails."""
    try:
        return str(exc).strip()
    except BaseException:  # noqa: BLE001 - foreign code may raise any type
        return "its message cannot be read"


def describe_exception(exc: BaseException) -> str:
    """Return type and first line of a foreign exception, as ``ValueError: …``."""
    lines = format_message(exc).splitlines() or ["no message"]
    return f"{type(exc).__name__[:100]}: {lines[0][:300]}"


def get_first_line(exc: BaseException) -> str:
    """Return the first line of an exception's text, or its class if the text is empty."""
    lines = format_message(exc).splitlines()
    return lines[0][:300] if lines else type(exc).__name__


def find_origin(exc: BaseException) -> str | None:
    """Return ``file:line`` of the innermost frame in the user's code, if there is one.

    Without such a frame it is the innermost of an installed package other than torch and kit.
    """
    if isinstance(exc, SyntaxError) and exc.filename:
        return f"{exc.filename}:{exc.lineno}"
    frames = [(f.filename, f.lineno or 0) for f in traceback.extract_tb(exc.__traceback__)]
    before = exc.__cause__ or exc.__context__
    return find_user_frame(frames) or (find_origin(before) if before else None)


def find_user_frame(frames: Iterable[tuple[str, int]]) -> str | None:
    """Return the frame that `find_origin` names.

    Args:
        frames: file and line of each, from the outermost to the innermost.
    """
    paths = sysconfig.get_paths()
    installed = [str(Path(paths[name])) for name in ("purelib", "platlib")]
    ours = [str(Path(__file__).parent), *(str(Path(p, "torch")) for p in installed)]
    foreign: list[str] = []
    own: list[str] = []
    for file, line in frames:
        if file.startswith("<") or any(file.startswith(folder + "/") for folder in ours):
            continue
        if any(file.startswith(folder) for folder in installed):
            foreign.append(f"{file}:{line}")
        elif not file.startswith((paths["stdlib"], paths["platstdlib"])):
            own.append(f"{file}:{line}")
    candidates = own or foreign
    return candidates[-1] if candidates else None
