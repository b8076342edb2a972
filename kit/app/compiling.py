"""Compile Java sources and resources to a dex file: aapt2, javac, then D8 or R8."""

from __future__ import annotations

import os
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import kit
from kit.app import reduced, sources, tools
from kit.app.contract import MINIMUM_SDK, NAMESPACE, TARGET_SDK

EPOCH = (1980, 1, 1, 0, 0, 0)  # timestamp of all archive entries, for reproducible builds
RELEASE = "11"  # of Java; D8 translates it for old phones


@dataclass(frozen=True)
class Dex:
    """Code for Android.

    Attributes:
        files: in their order.
        mapping: R8's renamings; None if names are unchanged.
    """

    files: tuple[Path, ...]
    mapping: Path | None = None


def compile_resources(aapt2: Path, framework: Path, work: Path, app_id: str, debug: bool) -> Path:
    """Compile resources and manifest; writes ``R.java`` and rules for R8 beside them.

    Args:
        aapt2: the program.
        framework: a jar with Android's own resources.
        work: a temporary folder.
        app_id: Android's application id.
        debug: whether the app is debuggable, which kit needs for measurements.

    Returns:
        A zip with the binary manifest, ``resources.arsc`` and ``res/``.
    """
    compiled, linked = work / "compiled.zip", work / "resources.zip"
    tools.run(
        [str(aapt2), "compile", "--dir", str(sources.find_resources()), "-o", str(compiled)],
        "aapt2",
    )
    manifest = work / "AndroidManifest.xml"
    manifest.write_text(sources.make_manifest(app_id), encoding="utf-8")
    words = [str(aapt2), "link", "-I", str(framework), "--manifest", str(manifest)]
    words += ["--min-sdk-version", str(MINIMUM_SDK), "--target-sdk-version", str(TARGET_SDK)]
    words += ["--version-code", str(compute_version_code()), "--version-name", kit.__version__]
    words += ["--custom-package", NAMESPACE, "--java", str(work / "generated")]
    words += ["--proguard", str(work / "manifest.pro")]
    words += ["--debug-mode"] if debug else []
    tools.run([*words, "-o", str(linked), str(compiled)], "aapt2")
    return linked


def compute_version_code() -> int:
    """Return Android's version code: 10203 for 1.2.3."""
    numbers = [int(part) for part in kit.__version__.split(".")[:3] if part.isdigit()]
    major, minor, patch = (*numbers, 0, 0, 0)[:3]
    return max(1, 10000 * major + 100 * minor + patch)


def compile_classes(formats: Sequence[str], libraries: Sequence[Path], work: Path) -> Path:
    """Compile the app's sources against a class path; return a jar."""
    out = work / "classes"
    out.mkdir()
    files = [*sources.list_java(formats), *sorted((work / "generated").rglob("*.java"))]
    path = os.pathsep.join(map(str, libraries))
    words = [tools.find("javac"), *(f"-J{flag}" for flag in tools.JVM), "-nowarn", "-Xlint:none"]
    words += ["-encoding", "UTF-8", "--release", RELEASE, "-cp", path, "-d", str(out)]
    tools.run([*words, *map(str, files)], "javac")
    jar = work / "app.jar"
    with zipfile.ZipFile(jar, "w") as archive:
        for file in sorted(out.rglob("*.class")):
            entry = zipfile.ZipInfo(file.relative_to(out).as_posix(), EPOCH)
            archive.writestr(entry, file.read_bytes())
    return jar


def make_dex(r8: Path, framework: Path, jars: Sequence[Path], work: Path) -> Dex:
    """Translate jars for Android."""
    return Dex(_dex("D8", r8, framework, ["--release", *map(str, jars)], work))


def make_shrunk_dex(r8: Path, framework: Path, jars: Sequence[Path], rules: str, work: Path) -> Dex:
    """Translate jars and remove unused code.

    Args:
        r8: the program.
        framework: Android's own classes.
        jars: of the app and its dependencies.
        rules: from the archives, in addition to the app's own and the manifest's.
        work: a temporary folder.
    """
    library = work / "library.jar"
    left_out = reduced.write(jars, framework, library)
    brought = work / "archives.pro"
    # Only classes of the framework name these, so nothing that the app lacks is hidden.
    known = "".join(f"-dontwarn {name}\n" for name in sorted(left_out))
    brought.write_text(f"{rules}\n{known}", encoding="utf-8")
    mapping = work / "mapping.txt"
    words = ["--release", "--pg-map-output", str(mapping)]
    for file in (sources.find_folder() / "keep.pro", work / "manifest.pro", brought):
        words += ["--pg-conf", str(file)]
    return Dex(_dex("R8", r8, library, [*words, *map(str, jars)], work), mapping)


def _dex(name: str, r8: Path, library: Path, words: Sequence[str], work: Path) -> tuple[Path, ...]:
    out = work / "dex"
    out.mkdir()
    command = [tools.find("java"), *tools.JVM, "-cp", str(r8), f"com.android.tools.r8.{name}"]
    # The framework's jar has no java.*, which the JDK provides.
    command += ["--lib", str(tools.find_jdk()), "--lib", str(library)]
    command += ["--min-api", str(MINIMUM_SDK), "--output", str(out)]
    tools.run([*command, *words], name)
    return tuple(sorted(out.glob("*.dex"), key=lambda file: (len(file.name), file.name)))
