"""Find undefined classes and members that an APK refers to, with R8's TraceReferences.

An app whose runtime lacks a library builds, installs and starts, but fails
with NoClassDefFoundError at the first inference. This check finds that at build time.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from kit.app import reduced, tools
from kit.errors import BuildError
from kit.files import temporary

_MISSING = re.compile(r"Missing (class|method|field) (.+?) \(referenced from: (.+?)\)?$")
# Annotations for tools only: a virtual machine ignores undefined ones.
_IGNORED = ("javax.annotation.",)
_NAMED = 20  # in one message


def check(apk: Path, framework: Path, r8: Path) -> None:
    """Check that all classes, methods and fields an APK refers to are in it or in Android.

    Args:
        apk: the APK, or a dex file or jar.
        framework: Android's own classes, which are a superset of what a phone has.
        r8: the jar with TraceReferences.

    Raises:
        BuildError: some are missing; the message has them and the classes that refer to them.
    """
    command = [tools.find("java"), *tools.JVM, "-cp", str(r8)]
    command += ["com.android.tools.r8.tracereferences.TraceReferences", "--check"]
    command += ["--map-diagnostics:MissingDefinitionsDiagnostic", "error", "warning"]
    with temporary.make_folder() as work:
        library = work / "library.jar"
        reduced.write([apk], framework, library)
        command += ["--lib", str(tools.find_jdk()), "--lib", str(library), "--source", str(apk)]
        missing = find_missing(tools.run(command, "TraceReferences"))
    if missing:
        raise BuildError(
            f"the app refers to classes or members that it lacks: {_enumerate(list(missing))}; "
            f"the first is used by {next(iter(missing.values()))}",
            "add the library that has it to `beside` in kit/app/artifacts.py, or give another "
            "version of the runtime with --aar",
        )


def find_missing(report: str) -> dict[str, str]:
    """Return the references to each missing definition in a report of TraceReferences.

    Members of a missing class are left out.
    """
    lines = [match for line in report.splitlines() if (match := _MISSING.search(line))]
    missing = [(kind, name, user) for kind, name, user in (line.groups() for line in lines)]
    classes = {name for kind, name, _ in missing if kind == "class"}
    return {
        name: user
        for kind, name, user in missing
        if (kind == "class" or _owner(name) not in classes) and not _is_ignored(name)
    }


def _owner(member: str) -> str:
    """Return the class of a method, ``int a.B.c(d.E)``, or of a field, ``int a.B.c``."""
    return member.partition("(")[0].split(" ")[-1].rpartition(".")[0]


def _is_ignored(name: str) -> bool:
    return name.startswith(_IGNORED)


def _enumerate(names: Sequence[str]) -> str:
    more = len(names) - _NAMED
    return ", ".join(names[:_NAMED]) + (f" and {more} more" if more > 0 else "")
