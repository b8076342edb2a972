"""Lowering to XNNPACK and writing of ExecuTorch programs."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from kit.errors import BuildError
from kit.varying import Varying

if TYPE_CHECKING:
    from torch import Tensor
    from torch.fx import GraphModule


_ONE_DIMENSION = "reshape only supports 1 dynamic dimension"  # in XNNPACK's message


def export_model(
    model: GraphModule, example: tuple[Tensor, ...], path: Path, varying: Varying = ()
) -> None:
    """Lower a model to XNNPACK and write the program.

    Args:
        model: float, or with Q/DQ pairs.
        example: one inference's inputs.
        path: of the program.
        varying: dimensions of inputs that may vary; memory is planned for the largest.

    Raises:
        BuildError: ExecuTorch cannot lower the model.
    """
    from kit.formats.executorch import xnnpack_lowering
    from kit.formats.executorch.decomposing import decompose
    from kit.network import export_program

    try:
        program = decompose(export_program(model, example, varying))
        lowered = xnnpack_lowering.lower(program)
    except Exception as exc:  # ExecuTorch's pass managers raise bare Exceptions
        raise _describe_failure(model, exc) from exc
    path.write_bytes(lowered.program)


def export_with(
    partitioner: object, model: GraphModule, example: tuple[Tensor, ...], path: Path
) -> None:
    """Lower a model to another backend and write the program.

    Args:
        partitioner: of the backend, an `executorch.exir.backend.partitioner.Partitioner`.
        model: float, or with Q/DQ pairs.
        example: one inference's inputs.
        path: of the program.

    Raises:
        BuildError: ExecuTorch cannot lower the model.
    """
    import torch
    from executorch.exir import to_edge_transform_and_lower

    try:
        program = torch.export.export(model, example)
        edge = to_edge_transform_and_lower(program, partitioner=[partitioner])
        content = bytes(edge.to_executorch().buffer)
    except Exception as exc:  # ExecuTorch's pass managers raise bare Exceptions
        raise _describe_failure(model, exc) from exc
    path.write_bytes(content)


def _describe_failure(model: GraphModule, exc: Exception) -> BuildError:
    """Return the error of a model that ExecuTorch cannot lower."""
    reason = _first_line(exc)
    hint = "try another --format, or replace the operator that is named"
    if _ONE_DIMENSION in reason:
        reason = "XNNPACK reshapes tensors of one varying dimension only"
        hint = "let fewer dimensions vary with --dynamic, or try another --format"
    return BuildError(f"ExecuTorch cannot lower {type(model).__name__}: {reason}", hint)


def _first_line(exc: Exception) -> str:
    """Return the cause in one line, as a pass manager's error only names the pass."""
    words = str(exc.__cause__ or exc).strip()
    return words.splitlines()[0] if words else type(exc).__name__
