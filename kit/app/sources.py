"""The app's sources: `android_app/` of the repository, `kit/_android_app` of a wheel."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from pathlib import Path

import kit
from kit.app import tools
from kit.app.contract import APP_ID
from kit.errors import BuildError, MissingTool, OutputError
from kit.files import temporary, untrusted

LABEL = "Mobile Kit"  # default label of the app, as in strings.xml


def find_folder() -> Path:
    """Return the app's sources: `android_app/` of a checkout, or their copy in the package.

    Raises:
        MissingTool: there are none.
    """
    for sources in _places():
        if (sources / "contract.json").is_file():
            return sources
    raise MissingTool(
        f"the app's sources are not in {' or '.join(map(str, _places()))}",
        "install kit again, from a whole wheel or checkout",
    )


def prepare_project() -> Path:
    """Return the app's sources where Maven can write beside them.

    In a checkout that is what `find_folder` returns. Of the copy in an installed package, which
    may not be written to, it is a copy in the user's cache folder.

    Raises:
        MissingTool: there are none.
        OutputError: the cache folder cannot be written to.
    """
    checkout, packaged = _places()
    sources = find_folder()
    if sources == checkout:
        return sources
    target = tools.make_cache_folder() / f"sources-{_digest(packaged)}"
    if not target.is_dir():
        try:
            with temporary.make_folder_beside(target) as part:
                untrusted.copy_contents(packaged, part / packaged.name)
                (part / packaged.name).rename(target)
        except OSError as exc:
            if not target.is_dir():  # otherwise another kit was faster
                hint = "point XDG_CACHE_HOME to another folder"
                raise OutputError.of(exc, target, hint) from exc
    return target


def _places() -> tuple[Path, Path]:
    package = Path(kit.__file__).parent
    return package.parent / "android_app", package / "_android_app"


def _digest(sources: Path) -> str:
    digest = hashlib.sha256()
    for file in sorted(path for path in sources.rglob("*") if path.is_file()):
        digest.update(f"{file.relative_to(sources)}\n".encode() + file.read_bytes())
    return digest.hexdigest()[:12]


def list_java(formats: Iterable[str]) -> list[Path]:
    """Return the Java files of the app with the runtimes of some formats, sorted."""
    roots = ["main", *formats]
    return sorted(
        f for root in roots for f in (find_folder() / "src" / root / "java").rglob("*.java")
    )


def find_resources() -> Path:
    """Return the folder of resources."""
    return find_folder() / "src/main/res"


def make_manifest(app_id: str) -> str:
    """Return the manifest of an app with an id, completed like Gradle does.

    Names that must be unique on a device are derived from the id (the authority of the
    provider), so that a device can have two apps of kit; so is the label, so that users can
    distinguish them.

    Raises:
        BuildError: the source manifest has no placeholder for one of them.
    """
    file = find_folder() / "src/main/AndroidManifest.xml"
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
