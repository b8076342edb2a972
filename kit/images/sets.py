"""Sets of pictures: names, labels, and functions that read them.

    pictures/n01440764/x.jpg     class folders: an index, a WordNet id or a category name
    pictures/0000_tench.jpg      flat: names begin with the class index (or WordNet id)
    --labels labels.csv          one `path,label` per line, with or without a header
    pictures/x.jpg               no labels at all

A zip may hold any of these. The order of a set is that of its sorted names.
"""

from __future__ import annotations

import errno
import hashlib
import os
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path, PurePosixPath

from kit.documents import decode_name
from kit.errors import PictureError
from kit.files import untrusted
from kit.images.archive import MAX_BYTES, Read, is_litter, is_picture, list_zip, make_size_error
from kit.images.label_table import read_label_table
from kit.images.labels import Classes, Named

_SHOWN = 5  # suffixes that a message names


@dataclass(frozen=True)
class Picture:
    """One picture file.

    Attributes:
        name: path inside the set, with slashes, for messages. It may not be unique: two files
            whose names are not UTF-8 can have the same.
        label: index of its class, None if unknown.
        read: returns the bytes of the file.
    """

    name: str
    label: int | None
    read: Read


@dataclass(frozen=True)
class PictureSet:
    """Pictures in the order of their names.

    Attributes:
        source: name of the folder or zip, without the path to it.
        pictures: one or more.
        labels_from: source of the labels, such as ``folder names as class indices``; empty
            without labels.
        unread: how many files were ignored because of their suffixes, as text; empty if none
            was, or if a CSV lists the set.
    """

    source: str
    pictures: tuple[Picture, ...]
    labels_from: str = ""
    unread: str = ""

    def __len__(self) -> int:
        return len(self.pictures)

    def __iter__(self) -> Iterator[Picture]:
        return iter(self.pictures)


def open_set(
    path: Path,
    labels: Path | None = None,
    categories: Sequence[str] | None = None,
    label_suffixes: Collection[str] = (),
    kind: str = "pictures",
) -> PictureSet:
    """List a folder or zip of pictures without reading them.

    Args:
        path: folder or zip.
        labels: CSV of `path,label`; the set is then the pictures that it lists.
        categories: names of the classes in output order; None stands for ImageNet's.
        label_suffixes: of files that are labels, and are not counted as unread.
        kind: what it should hold, for messages.

    Raises:
        PictureError: the path does not exist or holds no pictures, a zip is unsafe, or the CSV
            does not match the pictures.
    """
    readers = list_files(path, kind)
    classes, unread = Classes(categories), ""
    if labels is not None:
        listed, labels_from = read_label_table(labels, readers, classes), decode_name(labels.name)
        pictures = [Picture(name, listed[name], readers[name]) for name in sorted(listed)]
    else:
        names = sorted(name for name in readers if is_picture(name))
        unread = _count_others(n for n in readers if not n.endswith(tuple(label_suffixes)))
        named, labels_from = _labels(names, classes)
        pictures = [
            Picture(decode_name(name), label and label.number, readers[name])
            for name, label in named.items()
        ]
    if not pictures:
        raise PictureError(
            f"there are no {kind} in {path}" + (f": {unread}" if unread else ""),
            "give a folder or zip of JPEG, PNG, WebP, AVIF, BMP, GIF, TIFF or PPM files",
        )
    return PictureSet(decode_name(path.resolve().name), tuple(pictures), labels_from, unread)


def open_pictures(path: Path) -> tuple[Picture, ...]:
    """List the pictures of a folder or zip, or one picture, without reading them.

    Raises:
        PictureError: there is no such file, or a folder or zip holds no pictures.
    """
    if path.is_file() and path.suffix.lower() != ".zip":
        name = decode_name(path.name)
        return (Picture(name, None, partial(_read_file, path, name)),)
    if not path.exists():
        raise PictureError(f"there is no picture, folder or zip {path}", "check the path")
    return open_set(path).pictures


def _count_others(names: Iterable[str]) -> str:
    """Return in words how many files are not pictures, by suffix; empty if all are pictures."""
    listed = sorted(names)
    kinds = Counter(PurePosixPath(n).suffix.lower() for n in listed if not is_picture(n))
    if not kinds:
        return ""
    shown = [
        f"{count} {decode_name(suffix)[:20] or 'without a suffix'}"
        for suffix, count in kinds.most_common(_SHOWN)
    ]
    more = ["…"] if len(kinds) > _SHOWN else []
    return f"{kinds.total()} of {len(listed)} files are not read: {', '.join(shown + more)}"


def sample_pictures(pictures: PictureSet, n: int, seed: int) -> PictureSet:
    """Return `n` randomly drawn pictures, or all if there are fewer.

    The draw depends on nothing but the names and the seed, so it is the same with every version
    of Python and numpy.
    """

    def draw(picture: Picture) -> bytes:
        return hashlib.sha256(f"{seed}:{picture.name}".encode()).digest()

    chosen = sorted(sorted(pictures, key=draw)[:n], key=lambda p: p.name)
    return replace(pictures, pictures=tuple(chosen))


def hash_picture(picture: Picture) -> str:
    """Return the SHA-256 of a picture's bytes, in hex."""
    return hashlib.sha256(picture.read()).hexdigest()


def hash_pictures(pictures: Sequence[Picture], digests: Sequence[str] | None = None) -> str:
    """Return one SHA-256 for the contents and labels of pictures, in hex.

    Args:
        pictures: in order.
        digests: of each picture, if already computed.
    """
    hashes = [hash_picture(p) for p in pictures] if digests is None else digests
    lines = [f"{d} {p.label}\n" for p, d in zip(pictures, hashes, strict=True)]
    return hashlib.sha256("".join(lines).encode()).hexdigest()


def list_files(path: Path, kind: str = "pictures") -> dict[str, Read]:
    """Return functions that read the files of a folder or zip, by their paths inside it.

    Args:
        path: folder or zip.
        kind: what it should hold, for messages.

    Raises:
        PictureError: it does not exist, or a zip is unsafe.
    """
    if path.is_dir():
        return _list_folder(path)
    if path.is_file() and is_picture(path.name):
        raise PictureError(f"{path} is one picture", f"give a folder or a zip of {kind}")
    if path.is_file():
        return list_zip(path, kind)
    raise PictureError(f"there is no folder or zip {path}", "check the path")


def _list_folder(folder: Path) -> dict[str, Read]:
    def fail(exc: OSError) -> None:
        where = decode_name(exc.filename)
        raise PictureError(f"cannot read {where}: {exc.strerror}", "check its permissions")

    readers: dict[str, Read] = {}
    seen: set[str] = set()  # links between folders may form a ring
    for root, folders, names in os.walk(folder, onerror=fail, followlinks=True):
        real = os.path.realpath(root)
        if real in seen:
            folders.clear()
            continue
        seen.add(real)
        for name in names:
            file = Path(root, name)
            relative = file.relative_to(folder).as_posix()
            if not is_litter(relative):
                readers[relative] = partial(_read_file, file, decode_name(relative))
    return readers


def _read_file(file: Path, name: str) -> bytes:
    try:
        return untrusted.read_file(file, MAX_BYTES)
    except OSError as exc:
        if exc.errno == errno.EFBIG:
            raise make_size_error(name) from exc
        raise PictureError(f"cannot read {name}: {exc.strerror}", "check the file") from exc


def _labels(names: list[str], classes: Classes) -> tuple[dict[str, Named | None], str]:
    """Take labels from folder names if any of them is a class, else from file names.

    Returns:
        The class of each file, and the source of the labels.
    """
    by_folder = {name: classes.look_up(PurePosixPath(name).parent.name) for name in names}
    if any(by_folder.values()):
        return by_folder, f"folder names as {_kinds(by_folder)}"
    by_file = {name: classes.prefix(PurePosixPath(name).name) for name in names}
    if any(by_file.values()):
        return by_file, f"beginnings of file names as {_kinds(by_file)}"
    return by_file, ""


def _kinds(named: dict[str, Named | None]) -> str:
    return " and ".join(sorted({label.kind for label in named.values() if label}))
