"""Files of labels that belong to pictures, by name."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import PurePosixPath

from kit.error_text import shorten_value
from kit.errors import PictureError


def match_names(
    pictures: Sequence[str], labels: Sequence[str], by_file_name: bool = False
) -> list[str | None]:
    """Return the label of each picture, of paths without what differs; None if it has none.

    A folder that all of a set is in, as in a zip of a folder, may have another name in the other.

    Args:
        pictures: paths.
        labels: paths.
        by_file_name: if no paths fit, those without all folders count, where they are unique.
    """
    exact = set(labels)
    if any(name in exact for name in pictures):
        return [name if name in exact else None for name in pictures]
    inner = dict(zip(_drop_top(labels), labels, strict=True))
    matched = [inner.get(name) for name in _drop_top(pictures)]
    if any(matched) or not by_file_name:
        return matched
    files = {PurePosixPath(name).name: name for name in labels}
    wanted = [PurePosixPath(name).name for name in pictures]
    if len(files) < len(labels) or len(set(wanted)) < len(wanted):
        return matched
    return [files.get(name) for name in wanted]


def check_unshared(pictures: Sequence[str], labels: Sequence[str | None]) -> None:
    """Check that no two pictures, such as ``a.jpg`` and ``a.png``, have one file of labels.

    Args:
        pictures: paths.
        labels: path of each picture's labels; None if it has none.

    Raises:
        PictureError: two have.
    """
    owners: dict[str, str] = {}
    for picture, label in zip(pictures, labels, strict=True):
        if label is not None and owners.setdefault(label, picture) != picture:
            raise PictureError(
                f"the pictures {shorten_value(owners[label])} and {shorten_value(picture)} have "
                f"the same labels, {shorten_value(label)}",
                "give one of the pictures another name",
            )


def _drop_top(names: Sequence[str]) -> list[str]:
    """Return paths without their first folder, if it is the same of all."""
    tops = {PurePosixPath(name).parts[0] if "/" in name else "" for name in names}
    if len(tops) != 1 or tops == {""}:
        return list(names)
    return [name.partition("/")[2] for name in names]
