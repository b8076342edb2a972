"""What goes into the app: bundles, the runtimes that they need, and a picture to begin with."""

from __future__ import annotations

import importlib.util
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from kit.app.artifacts import RUNTIMES, Runtime
from kit.app.contract import ASSETS, check_name
from kit.bundle import MANIFEST, Bundle
from kit.errors import BuildError, MissingTool, UnknownName, UsageError
from kit.files import read
from kit.manifest import Artifact

CREDIT = "Photo: dany13, CC BY 2.0"  # flower.jpg of scikit-learn, as its README there says
_MAX_PICTURE = 64 * 2**20


@dataclass(frozen=True)
class Packed:
    """A bundle under the name that the app knows it by, and the formats of it that are packed."""

    name: str
    bundle: Bundle
    formats: tuple[str, ...]

    @property
    def files(self) -> list[str]:
        """Return the paths inside of the bundle that the app needs."""
        manifest = self.bundle.manifest
        names = [MANIFEST, manifest.golden.input]
        names += [manifest.labels] if manifest.labels else []
        for name in self.formats:
            names.append(manifest.artifact(name).file)
            names += [manifest.golden.outputs[name]] if name in manifest.golden.outputs else []
        return sorted(names)


def choose(bundles: Sequence[Bundle], formats: Sequence[str] | None) -> list[Packed]:
    """Return what is packed of each bundle.

    Args:
        bundles: at least one.
        formats: whose runtimes the app shall have; None for all that the bundles have.

    Raises:
        UnknownName: the app has no runtime for a format.
        UsageError: two bundles have the same name, or nothing of one could run.
        BuildError: a model file is of a version that its runtime cannot read.
    """
    for name in formats or ():
        if name not in RUNTIMES:
            raise UnknownName.among("runtime of the app", name, RUNTIMES)
    packed = [_choose(bundle, formats) for bundle in bundles]
    names = [one.name for one in packed]
    for name in names:
        if names.count(name) > 1:
            raise UsageError(f"two bundles are called {name!r}", "rename the folder of one")
    return packed


def _choose(bundle: Bundle, formats: Sequence[str] | None) -> Packed:
    have = [a.format for a in bundle.manifest.artifacts]
    wanted = tuple(name for name in have if name in (formats or RUNTIMES))
    if not wanted:
        raise UsageError(
            f"{bundle.path} has {', '.join(have)}, and nothing for "
            f"{' or '.join(formats or RUNTIMES)}",
            "build the bundle with another --format, or the app with another --runtime",
        )
    for name in wanted:
        check_version(bundle.manifest.artifact(name), RUNTIMES[name], bundle.path)
    return Packed(check_name(bundle.path.resolve().name), bundle, wanted)


def check_version(artifact: Artifact, runtime: Runtime, where: Path) -> None:
    """Raise unless a runtime reads the version of a model file's container.

    Raises:
        BuildError: it is out of its range, or not told.
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


def formats_of(packed: Sequence[Packed]) -> list[str]:
    """Return the formats of all bundles, in the order of `RUNTIMES`.

    Raises:
        UsageError: two of their runtimes exclude each other.
    """
    found = [name for name in RUNTIMES if any(name in one.formats for one in packed)]
    if {"lite", "executorch"} <= set(found):
        raise UsageError(
            "lite and executorch cannot be in one app: they bring different versions of fbjni",
            "name the runtimes, for example --runtime onnx,lite",
        )
    return found


def assets(
    packed: Sequence[Packed], versions: dict[str, tuple[str, str]], picture: Path | None
) -> dict[str, bytes | Path]:
    """Return the app's assets by their path.

    Args:
        packed: the bundles.
        versions: name and version of the runtime of each format.
        picture: a JPEG that the app opens with; None for one of scikit-learn's.

    Raises:
        UsageError: the picture is no JPEG.
        MissingTool: scikit-learn is not installed.
    """
    names = {form: {"name": name, "version": version} for form, (name, version) in versions.items()}
    found: dict[str, bytes | Path] = {
        ASSETS["runtimes"]: json.dumps(names, sort_keys=True).encode(),
        ASSETS["picture"]: jpeg(picture or _flower()),
    }
    if picture is None:
        found[ASSETS["credit"]] = f"{CREDIT}\n".encode()
    for one in packed:
        for name in one.files:
            found[f"{ASSETS['bundles']}/{one.name}/{name}"] = one.bundle.path / name
    return found


def _flower() -> Path:
    spec = importlib.util.find_spec("sklearn")
    if spec is None or spec.origin is None:
        raise MissingTool("scikit-learn is not installed", "pip install scikit-learn")
    return Path(spec.origin).parent / "datasets/images/flower.jpg"


def jpeg(file: Path) -> bytes:
    """Return the bytes of a JPEG file.

    Raises:
        UsageError: it is none.
    """
    try:
        data = read(file, _MAX_PICTURE)
    except OSError as exc:
        raise UsageError(f"cannot read {file}: {exc.strerror}", "name a JPEG file") from exc
    if data[:3] != b"\xff\xd8\xff":
        raise UsageError(f"{file} is no JPEG file", "name a JPEG file with --picture")
    return data
