"""Tables of labels: a CSV with one ``path,label`` per line, with or without a header."""

from __future__ import annotations

import csv
import io
from collections.abc import Collection, Container, Iterator, Mapping
from pathlib import Path, PurePosixPath

from kit.documents import describe_read_failure
from kit.error_text import shorten_value
from kit.errors import PictureError, format_count
from kit.files import untrusted
from kit.images.archive import is_picture
from kit.images.labels import Classes, compose

_MAX_BYTES = 64 * 2**20


def read_label_table(path: Path, listed: Collection[str], classes: Classes) -> dict[str, int]:
    """Return the label of each picture that a CSV lists, by the picture's name.

    Args:
        path: of the CSV.
        listed: names of all pictures of the set.
        classes: that the labels name.

    Raises:
        PictureError: the file is no such table, or a line names no picture or no class.
    """
    tops = {PurePosixPath(name).parts[0] for name in listed}
    top = tops.pop() if len(tops) == 1 else ""
    composed = {compose(name): name for name in listed}
    labels: dict[str, int] = {}
    for line, row in _rows(path):
        if len(row) != 2:
            raise PictureError(
                f"line {line} of {path} has {format_count(len(row), 'column')}, not 2",
                "each line is path,label; put a name that has a comma in quotes",
            )
        path_in_csv, text = row[0].strip().replace("\\", "/").removeprefix("./"), row[1]
        name = _find(path_in_csv, top, listed, composed)
        label = classes.find(text)
        if line == 1 and name not in listed and label is None and not is_picture(path_in_csv):
            continue  # a header
        if name not in listed:
            raise PictureError(
                f"line {line} of {path} names {shorten_value(path_in_csv)}, "
                "which the set does not hold",
                "paths are relative to the folder or zip of --images",
            )
        if label is None:
            raise PictureError(
                f"line {line} of {path} has the label {shorten_value(text)}, "
                "which is not one class",
                "a label is a class index, a WordNet id of ImageNet or the name of one category",
            )
        if name in labels:
            raise PictureError(
                f"line {line} of {path} lists {shorten_value(path_in_csv)} again", "list it once"
            )
        labels[name] = label
    return labels


def _find(path: str, top: str, listed: Container[str], composed: Mapping[str, str]) -> str:
    """Return the name of a listed file for a path of a CSV; the path itself if there is none.

    Args:
        path: as the CSV has it.
        top: the only folder of the set, which the CSV may leave out.
        listed: the names.
        composed: names by how `kit.images.labels.compose` writes them.
    """
    for name in (path, f"{top}/{path}"):
        if name in listed:
            return name
        if compose(name) in composed:
            return composed[compose(name)]
    return f"{top}/{path}"


def _rows(path: Path) -> Iterator[tuple[int, list[str]]]:
    """Yield line number and cells of each line that is not blank."""
    try:
        content = untrusted.read_file(path, _MAX_BYTES)
    except (OSError, ValueError) as exc:
        raise PictureError(
            f"cannot read {path}: {describe_read_failure(exc)}", "check --labels"
        ) from exc
    try:
        reader = csv.reader(io.StringIO(content.decode("utf-8-sig"), newline=""))
        for row in reader:
            if any(cell.strip() for cell in row):
                yield reader.line_num, row
    except (UnicodeDecodeError, csv.Error) as exc:
        what = str(exc) if isinstance(exc, csv.Error) else "it is not text in UTF-8"
        raise PictureError(f"{path} is not a CSV file: {what}", "save it as UTF-8 text") from exc
