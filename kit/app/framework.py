"""Android's classes in a format that the installed javac reads."""

from __future__ import annotations

import re
import zipfile
from pathlib import Path

from kit.errors import InputError, OutputError
from kit.files import atomic

_MAJOR = slice(6, 8)  # position of a class file's version, big-endian
_JAVA_11 = (55).to_bytes(2, "big")
_FIRST_READER = 21  # the Java version of API 36's class files


def find_readable(framework: Path, java: str) -> Path:
    """Return a jar of the framework's signatures that a javac version reads.

    API 36 is compiled for Java 21, and an older javac refuses such files for the version in their
    header. It only reads signatures, whose format has not changed, so copies with a
    lower version work. They are cached next to the framework, and are not packed into apps.

    Args:
        framework: Android's classes as published.
        java: version of javac, ``17.0.15``.

    Raises:
        InputError: the framework is damaged.
        OutputError: the cache folder cannot be written to.
    """
    major = re.match(r"\d+", java)
    if major and int(major[0]) >= _FIRST_READER:
        return framework
    lowered = framework.with_name(f"{framework.stem}-java11.jar")
    try:
        if not lowered.is_file():
            _lower(framework, lowered)
    except (zipfile.BadZipFile, EOFError) as exc:
        raise InputError(
            f"{framework} is damaged: {exc}", "remove it: it is fetched again"
        ) from exc
    except OSError as exc:
        raise OutputError(
            f"cannot write {lowered}: {exc.strerror or exc}",
            "make space there, or point XDG_CACHE_HOME to another folder",
        ) from exc
    return lowered


def _lower(framework: Path, lowered: Path) -> None:
    with (
        zipfile.ZipFile(framework) as source,
        atomic.replace_file(lowered) as file,
        zipfile.ZipFile(file, "w") as target,
    ):
        for info in source.infolist():
            # com.android has internal classes, which apps cannot use.
            if info.filename.endswith(".class") and not info.filename.startswith("com/"):
                data = bytearray(source.read(info))
                data[_MAJOR] = min(bytes(data[_MAJOR]), _JAVA_11)
                target.writestr(zipfile.ZipInfo(info.filename), bytes(data))
