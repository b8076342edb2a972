"""Files from Maven, each downloaded once to the user's cache; the build tools among them."""

from __future__ import annotations

import hashlib
import os
import re
import subprocess
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from kit.app import tools
from kit.app.artifacts import APKSIG, COPY, FRAMEWORK, R8, RESOURCES
from kit.errors import MissingTool, OutputError
from kit.files import temporary
from kit.formats.runtimes import MavenArtifact
from kit.progress import ReportStatus

_ARTIFACTS = (FRAMEWORK, RESOURCES, R8, APKSIG)


@dataclass(frozen=True)
class AppToolchain:
    """Build tools from Maven.

    Attributes:
        framework: Android's classes.
        resources: Android's resources, in a format that aapt2 reads.
        r8: D8, R8 and TraceReferences.
        apksig: signs and verifies.
        java: version of javac.
    """

    framework: Path
    resources: Path
    r8: Path
    apksig: Path
    java: str

    @classmethod
    def fetch(cls, java: str, report_status: ReportStatus) -> AppToolchain:
        """Download missing files."""
        framework, resources, r8, apksig = resolve(_ARTIFACTS, report_status)
        return cls(framework, resources, r8, apksig, java)

    @property
    def files(self) -> dict[str, Path]:
        """Return the files by their coordinates."""
        paths = (self.framework, self.resources, self.r8, self.apksig)
        return dict(zip((a.coordinates for a in _ARTIFACTS), paths, strict=True))


def resolve(artifacts: Iterable[MavenArtifact], report_status: ReportStatus) -> list[Path]:
    """Return the file of each artifact.

    Raises:
        MissingTool: Maven is not installed, or does not serve one of them.
        OutputError: the cache folder cannot be written to.
    """
    return [_resolve(artifact, report_status) for artifact in artifacts]


def _resolve(artifact: MavenArtifact, report_status: ReportStatus) -> Path:
    folder = tools.make_cache_folder() / "maven" / artifact.group
    file = folder / artifact.file
    if not file.is_file():
        report_status(f"fetching {artifact.coordinates}")
        _fetch(artifact, folder)
    return file


def _fetch(artifact: MavenArtifact, folder: Path) -> None:
    # -U: Maven caches failures.
    words = [tools.find("mvn"), "-B", "-U", COPY, f"-Dartifact={artifact.coordinates}"]
    try:
        with temporary.make_folder_beside(folder / artifact.file) as part:
            done = subprocess.run(
                [*words, f"-DoutputDirectory={part}"],
                capture_output=True,
                text=True,
                errors="replace",
                stdin=subprocess.DEVNULL,
                env={**os.environ, **tools.list_maven_variables()},
                cwd=part,
            )
            if done.returncode != 0 or not (part / artifact.file).is_file():
                raise MissingTool(
                    f"Maven did not serve {artifact.coordinates}: "
                    f"{_reason(done.stdout + done.stderr)}",
                    "check the network and ~/.m2/settings.xml",
                )
            (part / artifact.file).replace(folder / artifact.file)
    except OSError as exc:
        raise OutputError(
            f"cannot write to {folder}: {exc.strerror or exc}",
            "make space there, or point XDG_CACHE_HOME to another folder",
        ) from exc


def _reason(output: str) -> str:
    """Return Maven's first error message, without its preamble and advice."""
    plain = re.sub(r"\x1b\[[0-9;]*m", "", output)
    faults = [line for line in plain.splitlines() if line.startswith("[ERROR] ")]
    if not faults:
        return "it reported no error"
    text = faults[0].removeprefix("[ERROR] ").split(" -> [Help")[0]
    _, _, reason = text.rpartition("on project standalone-pom: ")
    return " ".join(reason.split())[:300]


def hash_file(file: Path) -> str:
    """Return the SHA-256 of a file, in hexadecimal."""
    with file.open("rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()
