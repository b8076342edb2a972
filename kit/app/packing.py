"""Choose the app's contents: bundles, the runtimes they need, and a start picture."""

from __future__ import annotations

import importlib.util
import json
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from kit.app.artifacts import list_runtimes
from kit.app.contract import APP_ID, ASSETS, check_name
from kit.artifact_key import ArtifactKey
from kit.bundles.bundle import MANIFEST, Bundle
from kit.errors import BuildError, MissingTool, UnknownName, UsageError
from kit.files.untrusted import read_file
from kit.formats.runtimes import AndroidRuntime
from kit.manifest.artifacts import Artifact
from kit.registry import FORMAT_NAMES

CREDIT = "Photo: dany13, CC BY 2.0"  # flower.jpg of scikit-learn, by its README there
_MAX_PICTURE = 64 * 2**20


@dataclass(frozen=True)
class Packed:
    """A bundle with its name in the app, and its files that are packed."""

    name: str
    bundle: Bundle
    keys: tuple[ArtifactKey, ...]

    @property
    def formats(self) -> tuple[str, ...]:
        """Return the formats of the files."""
        return tuple(dict.fromkeys(key.format for key in self.keys))

    @property
    def files(self) -> list[str]:
        """Return the paths in the bundle that the app needs."""
        manifest = self.bundle.manifest
        names = [MANIFEST, *manifest.golden.inputs]
        names += [manifest.labels] if manifest.labels else []
        for key in self.keys:
            names.append(manifest.artifact(key.name).file)
            names += manifest.golden.outputs.get(key.name, ())
        return sorted(names)


def check(bundles: Sequence[Bundle], formats: Sequence[str] | None) -> None:
    """Check that bundles can be in one app.

    Args:
        bundles: at least one.
        formats: whose runtimes the app gets; None if kit chooses them.

    Raises:
        UnknownName: the app has no runtime for a format.
        UsageError: two bundles have the same name, no file of one could run, or two runtimes
            exclude each other.
        BuildError: a model file is of a version that its runtime cannot read.
    """
    names = [_name(bundle) for bundle in bundles]
    for name in names:
        if names.count(name) > 1:
            raise UsageError(f"two bundles are called {name!r}", "rename the folder of one")
    runtimes = list_runtimes()
    for name in formats or ():
        if name not in runtimes:
            aliases = FORMAT_NAMES.find_aliases()
            meant = aliases.get(name.lower(), name)
            if meant in FORMAT_NAMES.list_all() and meant not in runtimes:
                hint = f"it has those of {', '.join(sorted(runtimes))}"
                raise UnknownName(f"the app has no runtime of {meant}", hint)
            raise UnknownName.among("runtime of the app", name, runtimes, aliases)
    if formats is None:
        for bundle in bundles:
            _select(bundle, list(runtimes))
    else:
        list_formats(choose(bundles, formats))


def choose(bundles: Sequence[Bundle], formats: Sequence[str]) -> list[Packed]:
    """Return the packed files of each bundle in an app with runtimes of some formats.

    Raises:
        UsageError: no file of a bundle could run.
        BuildError: a model file is of a version that its runtime cannot read.
    """
    return [_choose(bundle, formats) for bundle in bundles]


def _choose(bundle: Bundle, formats: Sequence[str]) -> Packed:
    keys = _select(bundle, formats)
    for key in keys:
        artifact = bundle.manifest.artifact(key.name)
        check_version(artifact, list_runtimes()[key.format], bundle.path)
    return Packed(_name(bundle), bundle, keys)


def _select(bundle: Bundle, formats: Sequence[str]) -> tuple[ArtifactKey, ...]:
    keys = bundle.manifest.select_runnable(None)
    selected = tuple(key for key in keys if key.format in formats)
    if not selected:
        have = ", ".join(key.name for key in keys)
        raise UsageError(
            f"{bundle.path} has {have}, and nothing for {' or '.join(formats)}",
            "build the bundle with another --format, or the app with another --runtime",
        )
    return selected


def _name(bundle: Bundle) -> str:
    return check_name(bundle.path.resolve().name)


def check_version(artifact: Artifact, runtime: AndroidRuntime, where: Path) -> None:
    """Check that a runtime reads the version of a model file's container.

    Raises:
        BuildError: it does not, or the version is unknown.
    """
    if runtime.versions is None:
        return
    low, high = runtime.versions
    number = re.search(r"\d+", artifact.format_version)
    if number is None or not low <= int(number[0]) <= high:
        raise BuildError(
            f"{artifact.file} in {where} is {artifact.format_version!r}; {runtime.aar.name} "
            f"{runtime.aar.version} reads {low} to {high}",
            "build the bundle again with the versions that this kit names",
        )


def list_formats(packed: Sequence[Packed]) -> list[str]:
    """Return the formats of all bundles, sorted.

    Raises:
        UsageError: two of their runtimes exclude each other.
    """
    formats = [name for name in list_runtimes() if any(name in one.formats for one in packed)]
    check_rivals(formats)
    return formats


def find_rival(name: str, others: Iterable[str]) -> str | None:
    """Return the first of `others` whose runtime cannot be in one app with that of `name`."""
    runtimes = list_runtimes()
    library = runtimes[name].exclusive
    rivals = (o for o in others if o != name and library and runtimes[o].exclusive == library)
    return next(rivals, None)


def check_rivals(formats: Sequence[str]) -> None:
    """Check that no two runtimes exclude each other in one app.

    Raises:
        UsageError: two do.
    """
    runtimes = list_runtimes()
    for name in sorted(formats, key=lambda one: runtimes[one].preference):
        rival = find_rival(name, formats)
        if rival is not None:
            raise UsageError(
                f"{name} and {rival} cannot be in one app: they bring different versions of "
                f"{runtimes[name].exclusive}",
                f"build an app for each: one without {rival}, and then --runtime {rival} "
                f"--app-id {APP_ID}.{rival} with another -o",
            )


def find_formats(bundles: Sequence[Bundle]) -> list[str]:
    """Return the formats of bundles for which the app has a runtime, in their order."""
    have = {artifact.format for bundle in bundles for artifact in bundle.manifest.artifacts}
    return [name for name in list_runtimes() if name in have]


def collect_assets(
    packed: Sequence[Packed], versions: dict[str, tuple[str, str]], picture: Path | None
) -> dict[str, bytes | Path]:
    """Return the app's assets by their path.

    Args:
        packed: the bundles.
        versions: name and version of the runtime of each format.
        picture: a JPEG that the app shows first; None for one of scikit-learn's.

    Raises:
        UsageError: the picture is no JPEG.
        MissingTool: scikit-learn is not installed.
    """
    names = {form: {"name": name, "version": version} for form, (name, version) in versions.items()}
    contents: dict[str, bytes | Path] = {
        ASSETS["runtimes"]: json.dumps(names, sort_keys=True).encode(),
        ASSETS["picture"]: read_jpeg(picture or _flower()),
    }
    if picture is None:
        contents[ASSETS["credit"]] = f"{CREDIT}\n".encode()
    for one in packed:
        for name in one.files:
            contents[f"{ASSETS['bundles']}/{one.name}/{name}"] = one.bundle.path / name
    return contents


def _flower() -> Path:
    spec = importlib.util.find_spec("sklearn")
    if spec is None or spec.origin is None:
        raise MissingTool("scikit-learn is not installed", "pip install scikit-learn")
    return Path(spec.origin).parent / "datasets/images/flower.jpg"


def read_jpeg(file: Path) -> bytes:
    """Return the bytes of a JPEG file.

    Raises:
        UsageError: it is no JPEG.
    """
    try:
        data = read_file(file, _MAX_PICTURE)
    except OSError as exc:
        raise UsageError(f"cannot read {file}: {exc.strerror}", "name a JPEG file") from exc
    if data[:3] != b"\xff\xd8\xff":
        raise UsageError(f"{file} is no JPEG file", "name a JPEG file with --picture")
    return data
