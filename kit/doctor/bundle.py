"""A bundle: versions, files that do not run here, sizes, and traps of dtypes and shapes."""

from __future__ import annotations

from collections.abc import Iterator
from importlib import metadata
from pathlib import Path

from kit import formats
from kit.bundles import loading
from kit.bundles.bundle import Bundle
from kit.doctor.finding import Finding, from_notice, from_notices, write_size
from kit.errors import KitError, UnknownName
from kit.manifest.artifacts import Artifact
from kit.manifest.schema import Manifest
from kit.notices import make_notice
from kit.signature import TensorSpec

LARGE = 200_000_000  # bytes of one file: loading one takes about as much of a phone's memory
LARGE_INPUT = 16_000_000  # bytes of one inference: 2048 x 2048 pixels in uint8, and more
_MAX_RANK = 4  # of NNAPI, GPU delegates and most NPUs
_OWN_CODES = ("format.ended", "artifact.not-run")  # detected here, whenever it was built
# Accelerators of phones take float and small integers; a delegate leaves the others to the CPU.
_TRAPS = {"int64": "int32", "bool": "uint8"}


def load_bundle(path: Path) -> tuple[Bundle | None, Finding]:
    """Return a bundle, None if it cannot be read, and the finding about its files."""
    try:
        loaded = loading.load_bundle(path)
    except KitError as exc:
        return None, Finding("bundle.files", "problem", exc.message, exc.hint)
    count = len(loaded.manifest.files)
    return loaded, Finding("bundle.files", "ok", f"{path}: {count} files, none was altered")


def examine_bundle(bundle: Bundle) -> Iterator[Finding]:
    """Yield the findings about a bundle; no file of it is run."""
    manifest = bundle.manifest
    yield from _examine_artifacts(manifest)
    for artifact in manifest.artifacts:
        yield judge_version(artifact)
    yield from _examine_ended(manifest)
    yield from _examine_tools(manifest)
    yield from _examine_sizes(manifest)
    yield from judge_signature(manifest.signature.inputs, "input")
    yield from judge_signature(manifest.signature.outputs, "output")
    yield from from_notices(one for one in manifest.notices if one.code not in _OWN_CODES)


def _examine_artifacts(manifest: Manifest) -> Iterator[Finding]:
    runs = [artifact.name for artifact in manifest.artifacts if artifact.executed]
    if runs:
        yield Finding("bundle.artifacts", "ok", f"run here: {', '.join(runs)}")
    lowered = [artifact.file for artifact in manifest.artifacts if not artifact.executed]
    yield from from_notices(make_notice("artifact.not-run", file=file) for file in lowered)
    for failure in manifest.failed:
        text = f"{failure.name} is missing, its {failure.stage} failed: {failure.reason}"
        yield Finding("bundle.artifacts", "warning", text, failure.hint)


def judge_version(artifact: Artifact) -> Finding:
    """Return whether the runtime here reads a file's version."""
    name = artifact.name
    try:
        reads = formats.get_format(artifact.format).reads
    except UnknownName:
        text = f"{name} is of the format {artifact.format}, which is not installed"
        return Finding("bundle.version", "problem", text, "install the package that provides it")
    if reads is not None and not reads.includes(artifact.format_version):
        text = f"{name} is of the version {artifact.format_version}; its runtime reads {reads.text}"
        return Finding("bundle.version", "problem", text, "build it again with this kit")
    known = f"; its runtime reads {reads.text}" if reads else ""
    return Finding("bundle.version", "ok", f"{name} is of {artifact.format_version}{known}")


def _examine_ended(manifest: Manifest) -> Iterator[Finding]:
    """Yield a finding for each format of the files that has ended."""
    for name in dict.fromkeys(artifact.format for artifact in manifest.artifacts):
        ended = formats.get_format(name).ended if name in formats.list_formats() else None
        if ended is not None:
            values = {"reason": ended.reason, "successor": ended.successor}
            yield from_notice(
                make_notice("format.ended", format=name, **values),
                f"kit build MODEL --format {ended.successor}",
            )


def _examine_tools(manifest: Manifest) -> Iterator[Finding]:
    """Yield whether the packages that built the bundle have other versions here."""
    others = []
    for name, version in manifest.tools.items():
        try:
            here = metadata.version(name)
        except metadata.PackageNotFoundError:
            here = "missing"
        if here != version:
            others.append(f"{name} {version} ({'missing here' if here == 'missing' else here})")
    if others:
        text = f"it was built with other versions than these here: {', '.join(others)}"
        yield Finding("bundle.tools", "note", text, "build it again if an answer differs")
    elif manifest.tools:
        yield Finding("bundle.tools", "ok", "it was built with the versions of packages here")


def _examine_sizes(manifest: Manifest) -> Iterator[Finding]:
    sizes = {one.name: manifest.measure(one.file).size for one in manifest.artifacts}
    for name, size in sizes.items():
        if size > LARGE:
            text = f"{name} has {size / 1e6:.0f} MB, and takes more than that of a phone's memory"
            yield Finding("bundle.size", "warning", text, "kit build MODEL --precision int8")
    if sizes and max(sizes.values()) <= LARGE:
        text = ", ".join(f"{name} {write_size(size)}" for name, size in sizes.items())
        yield Finding("bundle.size", "ok", text)


def judge_signature(specs: tuple[TensorSpec, ...], word: str) -> Iterator[Finding]:
    """Yield the traps in the dtypes and shapes of inputs or outputs.

    Args:
        specs: of the model.
        word: ``input`` or ``output``.
    """
    for spec in specs:
        what = f"the {word} {spec.name}: {spec.dtype} {list(spec.shape)}"
        trap = _TRAPS.get(spec.dtype)
        if trap is not None:
            text = f"{what}: accelerators take no {spec.dtype}, so that its layers run on the CPU"
            yield Finding("bundle.types", "note", text, f"let forward take {trap}")
        else:
            yield Finding("bundle.types", "ok", what)
        if len(spec.shape) > _MAX_RANK:
            text = f"{what}: accelerators take up to {_MAX_RANK} dimensions"
            yield Finding("bundle.shapes", "note", text, "fold dimensions in forward")
        if word == "input" and spec.shape[:1] != (1,) and len(spec.shape) > 1:
            text = f"{what}: the first dimension is not a batch of one, as a phone has it"
            yield Finding("bundle.shapes", "note", text, "build with a batch of one if it is one")
        if word == "input" and spec.size > LARGE_INPUT:
            text = f"{what} is {spec.size / 1e6:.0f} MB of each inference"
            yield Finding("bundle.shapes", "warning", text, "kit build MODEL --input 224")
