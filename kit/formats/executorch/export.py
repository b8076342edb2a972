"""Lowering to XNNPACK and writing of ExecuTorch programs."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from kit.errors import BuildError

if TYPE_CHECKING:
    from torch import Tensor
    from torch.fx import GraphModule


def export_model(model: GraphModule, example: tuple[Tensor, ...], path: Path) -> None:
    """Lower a model to XNNPACK and write the program.

    Raises:
        BuildError: ExecuTorch cannot lower the model.
    """
    import torch

    from kit.formats.executorch import xnnpack_lowering

    try:
        program = torch.export.export(model, example)
        lowered = xnnpack_lowering.lower(program)
    except Exception as exc:  # ExecuTorch's pass managers raise bare Exceptions
        raise describe_failure(model, exc) from exc
    path.write_bytes(lowered.program)


def describe_failure(model: GraphModule, exc: Exception) -> BuildError:
    """Return the error of a model that ExecuTorch cannot lower."""
    return BuildError(
        f"ExecuTorch cannot lower {type(model).__name__}: {_first_line(exc)}",
        "try another --format, or replace the operator that is named",
    )


def _first_line(exc: Exception) -> str:
    """Return the cause in one line, as a pass manager's error only names the pass."""
    words = str(exc.__cause__ or exc).strip()
    return words.splitlines()[0] if words else type(exc).__name__
