"""Android archives: detect their runtime, and unpack classes and libraries."""

from __future__ import annotations

import io
import zipfile
import zlib
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree

from kit.app.artifacts import list_runtimes
from kit.app.contract import MINIMUM_SDK
from kit.errors import BuildError, InputError, OutputError, UsageError

# Manifest elements that apps do not need: a declaration of the library's own tests.
_LEFT_OUT = ("instrumentation",)
_ANDROID = "{http://schemas.android.com/apk/res/android}"
# RuntimeError: encrypted, or compressed by a method that zipfile does not support.
_BROKEN = (zipfile.BadZipFile, zlib.error, KeyError, EOFError, RuntimeError)


@dataclass(frozen=True)
class Aar:
    """An archive on this machine.

    Attributes:
        abis: of its libraries.
        rules: for R8, from the archive.
        left_out: elements of its manifest that are not added to the app's.
    """

    file: Path
    abis: tuple[str, ...]
    rules: str
    left_out: tuple[str, ...] = ()

    def classes(self, folder: Path) -> Path | None:
        """Unpack its classes into a folder and return the jar; None if it has none.

        Raises:
            InputError: they are damaged.
        """
        with _opened(self.file) as archive:
            if "classes.jar" not in archive.namelist():
                return None
            return _write(folder / f"{self.file.stem}.jar", archive.read("classes.jar"))

    def libraries(self, abi: str, folder: Path) -> list[Path]:
        """Unpack its libraries for an ABI into a folder and return them, sorted.

        Raises:
            InputError: one is damaged.
        """
        files = []
        with _opened(self.file) as archive:
            for name in sorted(archive.namelist()):
                if name.startswith(f"jni/{abi}/") and name.endswith(".so"):
                    files.append(_write(folder / Path(name).name, archive.read(name)))
        return files


def read(file: Path) -> Aar:
    """Read an archive.

    Raises:
        InputError: it is no archive, or damaged.
        BuildError: its manifest needs merging by Gradle.
    """
    with _opened(file) as archive:
        names = archive.namelist()
        manifest = archive.read("AndroidManifest.xml")
        rules = archive.read("proguard.txt").decode() if "proguard.txt" in names else ""
    left_out = _check_manifest(file, manifest)
    parts = [name.split("/") for name in names]
    abis = {p[1] for p in parts if len(p) == 3 and p[0] == "jni" and p[2].endswith(".so")}
    return Aar(file, tuple(sorted(abis)), rules, left_out)


@contextmanager
def _opened(file: Path) -> Iterator[zipfile.ZipFile]:
    try:
        with zipfile.ZipFile(file) as archive:
            yield archive
    except OSError as exc:
        raise InputError(f"cannot read {file}: {exc.strerror or exc}", "check its path") from exc
    except (*_BROKEN, UnicodeDecodeError) as exc:
        raise InputError(f"{file} is not a sound Android archive: {exc}", "fetch it again") from exc


def _write(target: Path, data: bytes) -> Path:
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(data)
    except OSError as exc:
        raise OutputError(
            f"cannot write {target}: {exc.strerror or exc}",
            "make space in the temporary folder, or point TMPDIR to another one",
        ) from exc
    return target


def _check_manifest(file: Path, text: bytes) -> tuple[str, ...]:
    """Return the elements to leave out; raise for those that an app may need."""
    left_out = []
    try:
        root = ElementTree.fromstring(text)  # noqa: S314 - expat of Python 3.11 bounds expansion
    except ElementTree.ParseError as exc:
        raise InputError(f"the manifest in {file} is broken: {exc}", "fetch it again") from exc
    for child in root:
        required = child.get(f"{_ANDROID}minSdkVersion", "1") if child.tag == "uses-sdk" else "1"
        if required.isdigit() and int(required) > MINIMUM_SDK:
            raise BuildError(
                f"{file.name} needs Android API {required}; the app is for {MINIMUM_SDK} and newer",
                "use an older version of that runtime",
            )
        if child.tag in _LEFT_OUT:
            left_out.append(child.tag)
        elif child.tag != "uses-sdk" and (child.tag != "application" or len(child)):
            raise BuildError(
                f"the manifest in {file.name} has <{child.tag}>, which kit does not merge",
                "build the app with Gradle, or use another version of that runtime",
            )
    return tuple(dict.fromkeys(left_out))


def recognize(file: Path) -> str:
    """Return the format of an archive's runtime, detected by its classes.

    Raises:
        InputError: it is no archive.
        UsageError: it has no runtime that the app supports.
    """
    read(file)
    try:
        with zipfile.ZipFile(file) as archive:
            classes = io.BytesIO(archive.read("classes.jar"))
        with zipfile.ZipFile(classes) as inner:
            names = set(inner.namelist())
    except _BROKEN as exc:
        raise InputError(f"{file} has no classes that can be read", "fetch it again") from exc
    runtimes = list_runtimes()
    for name, runtime in runtimes.items():
        if runtime.marker in names:
            return name
    raise UsageError(
        f"{file} is an archive of none of the runtimes {', '.join(runtimes)}",
        "give the AAR of a runtime itself, not that of a dependency",
    )


def index_archives(files: Iterable[Path]) -> dict[str, Path]:
    """Return the archives of the option `--aar` by the format that they run.

    Raises:
        UsageError: two have the same runtime, or one has none.
        InputError: one is not an archive.
    """
    by_format: dict[str, Path] = {}
    for file in files:
        name = recognize(file)
        if name in by_format:
            raise UsageError(
                f"{by_format[name]} and {file} are both for {name}", "give one of them"
            )
        by_format[name] = file
    return by_format


def check_abis(archives: Sequence[Aar], abis: Sequence[str]) -> None:
    """Check that a runtime has libraries for an ABI.

    Raises:
        UsageError: it has none.
    """
    for archive in archives:
        missing = [abi for abi in abis if abi not in archive.abis]
        if missing and archive.abis:
            raise UsageError(
                f"{archive.file.name} has no libraries for {', '.join(missing)}",
                f"it has them for {', '.join(archive.abis)}",
            )
