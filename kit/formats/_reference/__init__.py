"""The float PyTorch model of a bundle, run eagerly; its file holds data only."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from kit.artifact_key import REFERENCE, ArtifactKey
from kit.bundles.bundle import REFERENCE_FILE
from kit.formats.interface import Format, Session
from kit.formats.properties import Description, Thresholds

if TYPE_CHECKING:
    from torch import Tensor, nn
    from torch.export import ExportedProgram

    from kit.formats._reference.aten import AtenModel


class Reference(Format):
    """Operators and weights of a float model."""

    name = REFERENCE
    suffix = ".safetensors"
    summary = "the float model, run by eager PyTorch"
    flow = "torch-ao"
    runtime = "torch"
    packages = ("torch",)
    exact = True
    thresholds = Thresholds(agreement=1.0, sqnr_db=60.0)

    def name_file(self, key: ArtifactKey) -> str:
        """Return the name of the file in a bundle, which holds one."""
        return REFERENCE_FILE

    def export(self, model: nn.Module, example: tuple[Tensor, ...], path: Path) -> None:
        """Write a float model, with a dynamic batch dimension if the model supports it.

        Raises:
            BuildError: a part of it cannot be written as data.
        """
        from kit.formats._reference import aten_export, aten_file

        program = _export(model, example)
        if any(node.op == "get_attr" for node in program.graph.nodes):
            # Inlines blocks such as `with torch.no_grad()`, which are separate graphs.
            program = program.run_decompositions({})
        aten_file.save_graph(*aten_export.from_program(program), path)

    def describe(self, path: Path) -> Description:
        """Count the operators of the model."""
        model = self.read_model(path)
        return Description(format_version="ATen operators", operators=model.count_operators())

    def read_model(self, path: Path) -> AtenModel:
        """Return the model, which is called with one tensor per input.

        Raises:
            BundleError: the file does not hold a float model.
        """
        from kit.formats._reference import aten_file, pt2

        return pt2.load(path) if path.suffix == ".pt2" else aten_file.load_model(path)

    def load(self, path: Path, threads: int) -> Session:
        """Load the model; `threads` sets torch's intra-op threads of this process."""
        from kit.formats.torch_session import TorchSession, prepare_torch

        prepare_torch(threads)
        return TorchSession(self.read_model(path))

    def read_version(self) -> str:
        """Return the version of torch."""
        from kit.formats.torch_session import read_version

        return read_version()

    def prepare(self, threads: int) -> int:
        """Import torch and set the intra-op threads of this process."""
        from kit.formats.torch_session import prepare_torch

        return prepare_torch(threads)


def _export(model: nn.Module, example: tuple[Tensor, ...]) -> ExportedProgram:
    """Export a model; a single input has a dynamic batch dimension unless the model fixes it."""
    import torch

    if len(example) == 1 and example[0].dim() and len(example[0]) == 1:
        batch = torch.export.Dim("batch", min=1)
        two = torch.cat([example[0]] * 2)  # a batch of one would be specialized
        # torch.export raises various errors for a fixed batch; then the export
        # below, or its error, is the answer.
        with suppress(Exception):
            return torch.export.export(model, (two,), dynamic_shapes=({0: batch},))
    return torch.export.export(model, example)


FORMAT = Reference()
