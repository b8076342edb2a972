"""Files of other tools as bundles, so that kit evaluates and measures them as its own."""

from __future__ import annotations

import shutil
import sys
from dataclasses import dataclass, replace
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench_quantization import environments, inputs
from bench_quantization.inputs import Setup

from kit.errors import MissingTool

if TYPE_CHECKING:
    from kit.bundles.bundle import Bundle


@dataclass(frozen=True)
class FilePeer:
    """A tool that writes an int8 file which one of kit's formats runs.

    Attributes:
        name: of its bundle, and the argument of its script.
        script: stem of the file in scripts/peers.
        format: that runs the file.
        packages: that must be installed beside kit; none: it has an environment of its own.
        method: a description for the table.
    """

    name: str
    script: str
    format: str
    packages: tuple[str, ...]
    method: str


PEERS = (
    FilePeer(
        "onnxruntime", "ort_static", "onnx", ("onnxruntime", "onnx"), "quantize_static, per-tensor"
    ),
    FilePeer(
        "onnxruntime-per-channel",
        "ort_static",
        "onnx",
        ("onnxruntime", "onnx"),
        "quantize_static, per-channel",
    ),
    FilePeer("nncf", "nncf_onnx", "onnx", (), "nncf.quantize, per-channel"),
    FilePeer(
        "executorch-default",
        "executorch_xnnpack",
        "executorch",
        ("executorch", "torchao"),
        "XNNPACKQuantizer, per-channel",
    ),
    FilePeer(
        "ai-edge-quantizer-float-io",
        "litert_wi8_ai8",
        "litert",
        ("ai-edge-quantizer", "litert-torch", "ai-edge-litert"),
        "static_wi8_ai8, per-channel",
    ),
)


def check_installed(peer: FilePeer) -> None:
    """Raise unless the peer's packages are installed beside kit.

    Raises:
        MissingTool: one is not.
    """
    for package in peer.packages:
        try:
            metadata.version(package)
        except metadata.PackageNotFoundError as exc:
            raise MissingTool(f"{package} is not installed", f"pip install {package}") from exc


def prepare(setup: Setup, base: Bundle) -> None:
    """Write the inputs of all peers: the float model, and the kit's calibration pictures."""
    one = replace(setup, limit=1)  # the kit evaluates the files; a peer answers one picture
    inputs.prepare(one, inputs.divide(one), base)


def build(setup: Setup, peer: FilePeer, base: Bundle) -> Bundle:
    """Run a peer, and return a bundle of its file.

    Args:
        setup: options of the comparison; its folder is prepared.
        peer: to run.
        base: bundle of the same float model, whose golden inputs and calibration it takes.

    Raises:
        MissingTool: the peer's own environment cannot be made.
        BuildError: the peer failed.
    """
    python = Path(sys.executable) if peer.packages else environments.python(peer.script)
    environments.start(peer.script, peer.name, python, setup.work)
    suffix = _suffix(peer)
    return wrap(
        base, setup.work / peer.name / f"int8{suffix}", peer, setup.work / f"peer-{peer.name}"
    )


def _suffix(peer: FilePeer) -> str:
    from kit import formats

    return formats.get_format(peer.format).suffix


def wrap(base: Bundle, file: Path, peer: FilePeer, target: Path) -> Bundle:
    """Write a bundle with a file of another tool in place of the base's own files."""
    import numpy as np

    from kit import formats
    from kit.artifact_key import ArtifactKey
    from kit.bundles import loading, writing
    from kit.bundles.bundle import REFERENCE_FILE
    from kit.formats.interface import predict
    from kit.manifest.artifacts import Artifact, Runtime
    from kit.manifest.schema import Manifest

    member = formats.get_format(peer.format)
    key = ArtifactKey(peer.format, "int8")
    old = base.manifest
    description = member.describe(file)
    answers = predict(member.load(file, 1), base.read_inputs())
    with writing.stage_bundle(target) as work:
        kept = [*old.golden.inputs, REFERENCE_FILE, *([old.labels] if old.labels else [])]
        for name in kept:
            (work / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(base.path / name, work / name)
        shutil.copyfile(file, work / member.name_file(key))
        golden = f"golden/{key.name}.npy"
        np.save(work / golden, answers.arrays[0])
        fields: dict[str, Any] = {
            name: getattr(old, name) for name in Manifest.model_fields if name != "files"
        }
        artifact = Artifact(
            format=key.format,
            precision=key.precision,
            file=member.name_file(key),
            quantize=peer.method,
            runtime=Runtime(name=member.runtime, version=member.read_version()),
            format_version=description.format_version,
            operators=description.operators,
            delegates=description.delegates,
            not_delegated=description.not_delegated,
            computed_in_float=description.computed_in_float,
        )
        fields |= {
            "artifacts": (artifact,),
            "failed": (),
            "notices": (),
            "corrections": (),
            "encodings": None,
            "gate": None,
            "qconfig": {},
            "golden": old.golden.model_copy(
                update={"outputs": {key.name: (golden,)}, "graphs": {}}
            ),
        }
        writing.write_manifest(work, fields)
    return loading.load_bundle(target)
