"""The app's sources, which are in the repository but not in the installed package."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import kit
from kit.app.contract import APP_ID
from kit.errors import BuildError, MissingTool

LABEL = "Mobile Kit"  # default label of the app, as in strings.xml


def folder() -> Path:
    """Return `android_app/`.

    Raises:
        MissingTool: kit is installed without its repository.
    """
    sources = Path(kit.__file__).parents[1] / "android_app"
    if not (sources / "contract.json").is_file():
        raise MissingTool(
            f"the app's sources are not in {sources}",
            "use kit from a checkout of its repository: pip install -e .",
        )
    return sources


def java(formats: Iterable[str]) -> list[Path]:
    """Return the Java files of the app with the runtimes of some formats, sorted."""
    roots = ["main", *formats]
    return sorted(f for root in roots for f in (folder() / "src" / root / "java").rglob("*.java"))


def resources() -> Path:
    """Return the folder of resources."""
    return folder() / "src/main/res"


def manifest(app_id: str) -> str:
    """Return the manifest of an app with an id, completed like Gradle does.

    Names that must be unique on a device are derived from the id (the authority of the
    provider), so that a device can have two apps of kit; so is the label, so that users can
    distinguish them.

    Raises:
        BuildError: the source manifest has no placeholder for one of them.
    """
    file = folder() / "src/main/AndroidManifest.xml"
    text = file.read_text(encoding="utf-8")
    values = {
        # Gradle has both in its own file.
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
