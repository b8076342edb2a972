"""Find and run the programs that build an APK: a JDK and Maven."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

from kit import user_cache
from kit.errors import BuildError, MissingTool, OutputError

_APT = {"mvn": "maven"}
JDK = "openjdk-17-jdk-headless"
MIN_JAVA = 17  # required by Robolectric; older ones are not tested
# On two cores a short-lived JVM is faster with only its C1 compiler and the serial GC.
JVM = ("-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-Xshare:auto", "-Xmx2g")


def make_cache_folder() -> Path:
    """Return the user's cache folder for downloads, and create it if needed.

    Raises:
        OutputError: it cannot be created.
    """
    folder = user_cache.use_folder("app", create=True)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as exc:
        raise OutputError(
            f"cannot make {folder}: {exc.strerror}", "point XDG_CACHE_HOME to another folder"
        ) from exc
    return folder


def find(name: str) -> str:
    """Return the path of ``java``, ``javac``, ``keytool`` or ``mvn``.

    Raises:
        MissingTool: it is not installed.
    """
    home = os.environ.get("JAVA_HOME")
    beside = Path(home or "/nowhere", "bin", name)
    program = str(beside) if beside.is_file() else shutil.which(name)
    if program is None:
        raise MissingTool(
            f"there is no {name}, which builds the app",
            f"on Debian or Ubuntu: apt-get install {_APT.get(name, JDK)}",
        )
    return program


def list_maven_variables() -> dict[str, str]:
    """Return the environment variables of Maven's own JVM, which is short-lived too.

    Options of the user's follow ours, and so decide.
    """
    return {"MAVEN_OPTS": " ".join([*JVM, os.environ.get("MAVEN_OPTS", "")]).strip()}


def find_jdk() -> Path:
    """Return the folder of the JDK.

    Raises:
        MissingTool: there is none, or only a JRE.
    """
    return Path(find("javac")).resolve().parents[1]


def read_java_version() -> str:
    """Return the version of the JDK, ``17.0.15``.

    Raises:
        MissingTool: it is too old.
    """
    text = run([find("javac"), "-version"], "javac").strip().removeprefix("javac ")
    first = text.split(".")[0]
    if first.isdigit() and int(first) < MIN_JAVA:
        raise MissingTool(
            f"javac is {text}; the app needs {MIN_JAVA} or newer",
            f"on Debian or Ubuntu: apt-get install {JDK}",
        )
    return text


def run(
    command: Sequence[str],
    what: str,
    environment: Mapping[str, str] | None = None,
    folder: Path | None = None,
) -> str:
    """Run a program and return its output, stdout and stderr together.

    Args:
        command: program and arguments.
        what: its name in messages.
        environment: variables to add.
        folder: to run it in.

    Raises:
        MissingTool: it cannot be started.
        BuildError: it failed; the message has its first error.
    """
    try:
        done = subprocess.run(
            command,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            stdin=subprocess.DEVNULL,
            text=True,
            errors="replace",
            env={**os.environ, **(environment or {})},
            cwd=folder,
        )
    except OSError as exc:
        raise MissingTool(
            f"cannot run {command[0]}: {exc.strerror}", "install it, or check its permissions"
        ) from exc
    if done.returncode != 0:
        raise BuildError(
            f"{what} failed: {_first_fault(done.stdout)}",
            "the app's sources and the versions in kit/app/artifacts.py belong together",
        )
    return done.stdout


def _first_fault(output: str) -> str:
    lines = [line.strip() for line in output.splitlines() if line.strip()]
    faults = [line for line in lines if "error" in line.lower() or "exception" in line.lower()]
    return (faults or lines or ["it printed nothing"])[0][:400]
