"""The app's sources, which live in the repository and not in the installed package."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import kit
from kit.app.contract import APP_ID
from kit.errors import BuildError, MissingTool

LABEL = "Mobile Kit"  # of an app that is built without --app-id, as in strings.xml


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


def manifest(app_id: str) -> str:
    """Return the manifest of an app with an id, as Gradle would complete it.

    Everything that Android keeps by its name is derived from the id (the authority of the
    provider), so that two apps of kit can be on one device; so is the label, so that people can
    tell them apart.

    Raises:
        BuildError: it lacks a place for one of them.
    """
    file = folder() / "src/main/AndroidManifest.xml"
    text = file.read_text(encoding="utf-8")
    values = {
        # Gradle takes both from its own file.
        "<manifest ": f'<manifest package="{app_id}" ',
        "<application\n": '<application\n        android:extractNativeLibs="false"\n',
        "${applicationId}": app_id,
    }
    if app_id != APP_ID:
        values['"@string/app_name"'] = f'"{LABEL} {app_id.rpartition(".")[2]}"'
    if "package=" in text or any(text.count(place) != 1 for place in values):
        raise BuildError(
            f"{file} is not the manifest of this kit's app", "check out the repository"
        )
    for place, value in values.items():
        text = text.replace(place, value)
    return text
