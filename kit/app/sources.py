"""The app's sources, which live in the repository and not in the installed package."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import kit
from kit.app.contract import PACKAGE
from kit.errors import BuildError, MissingTool


def folder() -> Path:
    """Return `android_app/`.

    Raises:
        MissingTool: this kit is installed without its repository.
    """
    found = Path(kit.__file__).parents[1] / "android_app"
    if not (found / "contract.json").is_file():
        raise MissingTool(
            f"the app's sources are not in {found}",
            "use kit from a checkout of its repository: pip install -e .",
        )
    return found


def java(formats: Iterable[str]) -> list[Path]:
    """Return the Java files of the app with the runtimes of some formats, sorted."""
    roots = ["main", *formats]
    return sorted(f for root in roots for f in (folder() / "src" / root / "java").rglob("*.java"))


def resources() -> Path:
    """Return the folder of resources."""
    return folder() / "src/main/res"


def manifest() -> str:
    """Return the manifest, with the package's name that Gradle would take from its own file.

    Raises:
        BuildError: it has no place for it.
    """
    file = folder() / "src/main/AndroidManifest.xml"
    text = file.read_text(encoding="utf-8")
    if text.count("<manifest ") != 1 or "package=" in text:
        raise BuildError(
            f"{file} is not the manifest of this kit's app", "check out the repository"
        )
    return text.replace("<manifest ", f'<manifest package="{PACKAGE}" ')
