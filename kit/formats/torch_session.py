"""Sessions of models that PyTorch runs in this process; several formats share them."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from kit.formats.interface import Array

if TYPE_CHECKING:
    from torch import Tensor


def read_version() -> str:
    """Return the version of torch."""
    import torch

    return str(torch.__version__)


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


def prepare_torch(threads: int) -> int:
    """Import torch, set the intra-op threads of this process and return their number."""
    import safetensors.torch  # noqa: F401 - importing it is no part of loading a model
    import torch

    torch.set_num_threads(threads)
    return int(torch.get_num_threads())
