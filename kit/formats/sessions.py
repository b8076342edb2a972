"""Other runtimes for the files of a bundle: ``--session`` of `kit bench` and `kit eval`.

Each is a `Format` that builds do not offer, such as `kit.formats._openvino`. A bundle is shown to
a command as if its files were of that format: rows, labels and comparisons of results then keep
the runtimes apart, as they keep formats apart.
"""

from __future__ import annotations

from collections.abc import Sequence

from kit import formats
from kit.artifact_key import REFERENCE, ArtifactKey
from kit.bundles.bundle import Bundle
from kit.errors import MissingTool, UnknownName, UsageError
from kit.formats.interface import Format
from kit.manifest.artifacts import Artifact, Runtime

READS = {"openvino": "onnx"}  # by the name of a session: the format whose files it runs


def find_session(name: str) -> Format:
    """Return the runtime of a session, whose packages are installed.

    Raises:
        UnknownName: there is no such session.
        MissingTool: it is not installed.
    """
    if name not in READS:
        raise UnknownName.among("session", name, READS)
    runtime = formats.get_format(name)
    try:
        runtime.check_packages()
    except MissingTool as exc:
        package = runtime.runtime
        raise MissingTool(f"{package} is not installed, which --session needs", exc.hint) from exc
    return runtime


def _reads(name: str, key: ArtifactKey) -> bool:
    return key.format == READS[name] and key.backend is None  # not ONNX Runtime's own format


def open_with(bundle: Bundle, name: str, names: Sequence[str] | None) -> Bundle:
    """Return a bundle whose files are run by another runtime.

    Args:
        bundle: as it was loaded.
        name: of the session.
        names: of files or formats of the bundle, and perhaps ``reference``; None for all files
            that the session runs.

    Raises:
        UnknownName, MissingTool: see `find_session`.
        BundleError: the bundle has no file of a name.
        UsageError: the session cannot run a file that is named, or any.
    """
    runtime, manifest = find_session(name), bundle.manifest
    named = None if names is None else [one for one in names if one != REFERENCE]
    keys = manifest.select_runnable(named)
    keys = [key for key in keys if named is not None or _reads(name, key)]
    for key in keys:
        if not _reads(name, key):
            raise UsageError(
                f"{name} runs {READS[name]} files, and cannot run {key.name}",
                f"leave out --session, or use --format {READS[name]}",
            )
    if not keys and not names:
        raise UsageError(
            f"{bundle.path} has no {READS[name]} file, which {name} could run",
            f"build it with --format {READS[name]}",
        )
    runs = Runtime(name=runtime.runtime, version=runtime.read_version())
    moved = {key.name: _move(key, name).name for key in keys}
    golden = manifest.golden
    outputs = {moved[old]: files for old, files in golden.outputs.items() if old in moved}
    if REFERENCE in golden.outputs:
        outputs[REFERENCE] = golden.outputs[REFERENCE]
    changes = {
        "artifacts": tuple(_run_by(manifest.artifact(key.name), name, runs) for key in keys),
        "failed": (),
        "golden": golden.model_copy(update={"outputs": outputs}),
    }
    return Bundle(bundle.path, manifest.model_copy(update=changes), bundle.hash, bundle.labels())


def _move(key: ArtifactKey, name: str) -> ArtifactKey:
    return ArtifactKey(name, key.precision)


def _run_by(artifact: Artifact, name: str, runtime: Runtime) -> Artifact:
    """Return the description of a file for a session; its parity was another runtime's."""
    key = _move(artifact.key, name)
    return artifact.model_copy(
        update={"format": key.format, "backend": None, "runtime": runtime, "parity": ()}
    )
