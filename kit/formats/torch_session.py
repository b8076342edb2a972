"""Sessions of models that PyTorch runs in this process, shared by several formats."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from kit.formats.interface import Output
from kit.signature import Tensors

if TYPE_CHECKING:
    from torch import Tensor


def read_version() -> str:
    """Return the version of torch."""
    import torch

    return str(torch.__version__)


class TorchSession:
    """Runs any callable on tensors: eager, exported or mobile modules."""

    def __init__(self, call: Callable[..., Tensor | Sequence[Tensor]]) -> None:
        self._call = call

    def bind(self, inputs: Tensors) -> Callable[[], Output]:
        """Return a call that runs one inference, without gradients."""
        import torch

        tensors, call = [torch.from_numpy(value.copy()) for value in inputs], self._call

        def run() -> Tensor | Sequence[Tensor]:
            with torch.inference_mode():
                return call(*tensors)

        return run

    def read(self, output: Output) -> Tensors:
        """Return the outputs as arrays."""
        import torch

        return tuple(t.numpy() for t in ((output,) if isinstance(output, torch.Tensor) else output))


def prepare_torch(threads: int) -> int:
    """Import torch, set the intra-op threads of this process and return their number."""
    import safetensors.torch  # noqa: F401 - so that its import is not timed as loading
    import torch

    torch.set_num_threads(threads)
    return int(torch.get_num_threads())
