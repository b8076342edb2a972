"""ONNX files run by OpenVINO, on a computer: ``--session openvino`` of `kit bench` and `kit eval`.

https://docs.openvino.ai/ - its package is the extra ``openvino``. Results name it as a format of
its own, so that they are never mixed with those of ONNX Runtime; see `kit.formats.sessions`.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from kit.errors import BuildError
from kit.formats.extra_packages import read_version
from kit.formats.interface import Format, Session
from kit.formats.properties import Description, Thresholds

if TYPE_CHECKING:
    from torch import Tensor
    from torch.fx import GraphModule


class OpenVino(Format):
    """A runtime for files of the format ``onnx``; no build writes files for it."""

    name = "openvino"
    suffix = ".onnx"
    summary = "ONNX files run by OpenVINO; needs the extra openvino"
    flow = "pt2e-u8"
    precisions = ("fp32", "fp16", "int8")
    runtime = "openvino"
    packages = ("openvino",)
    extra = "openvino"
    exact = False
    thresholds = Thresholds(agreement=0.75, sqnr_db=12.0)

    def export(self, model: GraphModule, example: tuple[Tensor, ...], path: Path) -> None:
        """Refuse: the format ``onnx`` writes the files.

        Raises:
            BuildError: always.
        """
        raise BuildError("OpenVINO runs files of the format onnx", "use --format onnx")

    def describe(self, path: Path) -> Description:
        """Describe the file as the format ``onnx`` does."""
        from kit.formats.onnx.describe import describe_file

        return describe_file(path)

    def load(self, path: Path, threads: int) -> Session:
        """Compile the file for the CPU, with `threads` threads."""
        from kit.formats._openvino.session import load_session

        return load_session(path, threads)

    def read_version(self) -> str:
        """Return the version of OpenVINO."""
        return read_version(self.runtime, self.extra)

    def prepare(self, threads: int) -> None:
        """Import OpenVINO; threads are set when a file is compiled."""
        from kit.formats._openvino.session import import_openvino

        import_openvino()


FORMAT = OpenVino()
