"""The float PyTorch model of a bundle, as a `torch.export` program run eagerly.

https://docs.pytorch.org/docs/stable/export.html
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kit.errors import BundleError
from kit.formats._contract import Array

if TYPE_CHECKING:
    from torch import Tensor, nn
    from torch.fx import GraphModule


def version() -> str:
    """Return the version of torch."""
    import torch

    return str(torch.__version__)


def export(model: nn.Module, example: Tensor, path: Path) -> None:
    """Write the program of a float model with a free batch dimension."""
    import torch

    batch = torch.export.Dim("batch", min=1)
    two = example.repeat(2, 1, 1, 1)  # a batch of one would be specialized
    program = torch.export.export(model, (two,), dynamic_shapes=({0: batch},))
    torch.export.save(program, path)


def module(path: Path) -> GraphModule:
    """Return the program as a module that takes [N, 3, H, W] and gives [N, classes].

    Raises:
        BundleError: the file is not an exported program.
    """
    import torch

    try:
        return torch.export.load(path).module()
    except (RuntimeError, ValueError, KeyError, AssertionError) as exc:
        raise BundleError(f"{path} is not an exported program: {exc}", "build it again") from exc


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
    import torch
    import torch.export

    torch.set_num_threads(threads)
    return int(torch.get_num_threads())


def load(path: Path, threads: int) -> TorchSession:
    """Load the program; `threads` sets torch's intra-op threads of this process."""
    prepare(threads)
    return TorchSession(module(path))
