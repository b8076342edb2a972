"""The float PyTorch model of a bundle, run eagerly; its file holds data only."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kit.formats._contract import Array

if TYPE_CHECKING:
    from torch import Tensor, nn

    from kit.formats._aten import Model


def version() -> str:
    """Return the version of torch."""
    import torch

    return str(torch.__version__)


def export(model: nn.Module, example: Tensor, path: Path) -> None:
    """Write a float model with a free batch dimension.

    Raises:
        BuildError: it has something that cannot be written as data.
    """
    import torch

    from kit.formats import _aten

    batch = torch.export.Dim("batch", min=1)
    two = example.repeat(2, 1, 1, 1)  # a batch of one would be specialized
    program = torch.export.export(model, (two,), dynamic_shapes=({0: batch},))
    if any(node.op == "get_attr" for node in program.graph.nodes):
        # A block such as `with torch.no_grad()` is a graph of its own; this inlines it.
        program = program.run_decompositions({})
    _aten.save(*_aten.from_program(program), path)


def module(path: Path) -> Model:
    """Return the model, which takes [N, 3, H, W] and gives [N, classes].

    Raises:
        BundleError: the file does not hold a float model.
    """
    from kit.formats import _aten, _pt2

    return _pt2.load(path) if path.suffix == ".pt2" else _aten.load(path)


class TorchSession:
    """Runs anything that is called with a tensor: eager, exported or mobile modules."""

    def __init__(self, call: Callable[[Tensor], Tensor]) -> None:
        self._call = call

    def bind(self, image: Array) -> Callable[[], Any]:
        """Return a call that runs one inference, without gradients."""
        import torch

        tensor, call = torch.from_numpy(image.copy()), self._call

        def run() -> Tensor:
            with torch.inference_mode():
                return call(tensor)

        return run

    def numpy(self, output: Any) -> Array:
        """Return the output as an array."""
        array: Array = output.numpy()
        return array


def prepare(threads: int) -> int:
    """Import torch, set the intra-op threads of this process and return their number."""
    import safetensors.torch  # noqa: F401 - importing it is no part of loading a model
    import torch

    torch.set_num_threads(threads)
    return int(torch.get_num_threads())


def load(path: Path, threads: int) -> TorchSession:
    """Load the program; `threads` sets torch's intra-op threads of this process."""
    prepare(threads)
    return TorchSession(module(path))
