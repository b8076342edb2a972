"""A bundle: the names of its files, and what is read from them.

    mobilenet_v2-224-static-per-channel/
      bundle.json            this schema, and the size and sha256 of every other file
      labels.txt             one category per line, if the model has names for its outputs
      tokenizer.json         of a model of text, as the package tokenizers reads it
      anchors.npy            [N, 4], of a detector whose boxes are relative to anchors
      encodings.json         scale and offset of every quantized tensor, see `kit.encodings`
      reference.safetensors  the float model, see `kit.formats._reference.aten_file`
      model-int8.ptl …       one file per artifact, named by its backend (if it is not the
                             format's own kernels) and precision (`kit.artifact_key`); a folder
                             where that is what the format's users expect
      golden/input.npy       [N, …], the golden inputs, which every runtime must answer
      golden/<name>.npy      [N, …], answers of the artifact `name` on the machine that built it
                             (with several inputs or outputs also input.1.npy, <name>.1.npy …)

`kit.bundles.loading` checks the hash of every file. `kit.manifest.schema` is the schema of
`bundle.json`.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from kit import arrays, no_bundle
from kit.artifact_key import REFERENCE
from kit.documents import describe_read_failure
from kit.errors import BundleError
from kit.files import untrusted
from kit.manifest.schema import Manifest
from kit.signature import FloatArray, Samples, TensorSpec

MANIFEST = no_bundle.MANIFEST
REFERENCE_FILE = "reference.safetensors"
ENCODINGS_FILE = "encodings.json"
_OLD_REFERENCE_FILE = "reference.pt2"  # of manifests of schema 1; read as data
MAX_TOKENIZER_BYTES = 256 * 2**20


class Bundle:
    """A bundle on disk with verified hashes.

    Attributes:
        path: the folder.
        manifest: the validated content of `bundle.json`.
        hash: SHA-256 of `bundle.json`, which holds the hashes of all other files; in hex.
    """

    def __init__(
        self, path: Path, manifest: Manifest, digest: str, labels: list[str] | None = None
    ) -> None:
        self.path = path
        self.manifest = manifest
        self.hash = digest
        self._labels = labels

    def file(self, artifact: str) -> Path:
        """Return the path of a model file by the artifact's name, or of ``reference``."""
        if artifact == REFERENCE:
            return self.path / name_reference(self.manifest)
        return self.path / self.manifest.artifact(artifact).file

    def labels(self) -> list[str] | None:
        """Return the category names in output order, or None."""
        return self._labels

    def read_tokenizer(self) -> bytes | None:
        """Return the content of the tokenizer's file; None if the model takes no text.

        Raises:
            BundleError: it cannot be read.
        """
        if self.manifest.tokenization is None:
            return None
        name = self.manifest.tokenization.file
        try:
            return untrusted.read_file(self.path / name, MAX_TOKENIZER_BYTES)
        except (OSError, ValueError) as exc:
            raise BundleError(
                f"cannot read {name} in {self.path}: {describe_read_failure(exc)}", "build it again"
            ) from exc

    def read_anchors(self) -> FloatArray | None:
        """Return the anchors [N, 4] of a detector; None if the model has none.

        Raises:
            BundleError: they cannot be read, or are not as many as the boxes.
        """
        detection = self.manifest.detection
        if detection is None or detection.anchors is None:
            return None
        name = detection.anchors
        count = detection.count_boxes(self.manifest.signature.outputs[0].shape)
        try:
            anchors = arrays.read(self.path / name, TensorSpec(name=name, shape=(1, 4)), count + 1)
            if len(anchors) != count or not np.isfinite(anchors).all():
                raise ValueError(f"it does not hold {count} anchors")
        except (OSError, ValueError) as exc:
            raise BundleError(
                f"cannot read {name} in {self.path}: {describe_read_failure(exc)}", "build it again"
            ) from exc
        return anchors

    def read_inputs(self, rows: int | None = None) -> Samples:
        """Return the golden inputs, or the first `rows` of them.

        Raises:
            BundleError: a file does not hold such an array, or it is empty.
        """
        golden = self.manifest.golden
        return self._read(golden.inputs, self.manifest.signature.inputs, rows)

    def read_answers(self, files: Sequence[str], rows: int | None = None) -> Samples:
        """Return answers to the golden inputs, or the first `rows` of them.

        Args:
            files: of `Manifest.golden`, one per output.
            rows: number of answers; None for all, which must be as many as the inputs.

        Raises:
            BundleError: a file does not hold such an array, or has fewer answers than inputs.
        """
        return self._read(files, self.manifest.signature.outputs, rows)

    def _read(
        self, names: Sequence[str], specs: tuple[TensorSpec, ...], rows: int | None
    ) -> Samples:
        """Read golden arrays, and check that they are of equal length and finite."""
        count = self.manifest.golden.images if rows is None else rows
        columns = []
        for name, spec in zip(names, specs, strict=True):
            try:
                column = arrays.read(self.path / name, spec, count)
                if not len(column):
                    raise ValueError("it is empty")
                if len(column) < count and rows is None:
                    raise ValueError(f"it holds {len(column)} of {count} golden inputs or answers")
                if not np.isfinite(column).all():
                    raise ValueError("it holds NaN or infinity")
            except (OSError, ValueError) as exc:
                raise BundleError(
                    f"{name} in {self.path} is not a golden array "
                    f"[N, {', '.join(map(str, spec.sample_shape))}] of {spec.dtype}: "
                    f"{describe_read_failure(exc)}",
                    "build it again",
                ) from exc
            columns.append(column)
        return Samples(specs, tuple(columns))

    def __repr__(self) -> str:
        return f"Bundle({str(self.path)!r}, {self.hash[:12]})"


def name_reference(manifest: Manifest) -> str:
    """Return the name of the file with the float model."""
    return _OLD_REFERENCE_FILE if _OLD_REFERENCE_FILE in manifest.files else REFERENCE_FILE
