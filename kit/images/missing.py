"""Errors about pictures of a set that lack what others have: a label, a mask, boxes."""

from __future__ import annotations

from collections.abc import Sequence

from kit.error_text import shorten_value
from kit.errors import PictureError


def make_missing_error(
    names: Sequence[str], count: int, what: str, hint: str, *, left_out: int = 0, kind: str = ""
) -> PictureError:
    """Return the error for pictures that lack something.

    Args:
        names: of the pictures that lack it, one or more.
        count: number of all pictures that were checked.
        what: what they have, such as ``no label``.
        hint: what to do.
        left_out: number of pictures of the set that were not checked, because they calibrated.
        kind: of pictures, such as ``training``.
    """
    pictures = f"{kind} picture".strip() + ("s" if count > 1 else "")
    rest = " that did not calibrate" if left_out else ""
    have = "have" if len(names) > 1 else "has"
    if count == 1:
        return PictureError(
            f"the only {pictures}{rest}, {shorten_value(names[0])}, has {what}", hint
        )
    example = ", for example " if len(names) > 1 else ": "
    return PictureError(
        f"{len(names)} of the {count} {pictures}{rest} {have} {what}"
        f"{example}{shorten_value(names[0])}",
        hint,
    )
