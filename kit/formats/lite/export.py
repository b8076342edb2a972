"""Writing of Lite Interpreter files."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from kit.formats.fixed_sizes import fix_sizes, keep_sizes
from kit.formats.torchscript.engine import QNNPACK, use_engine

if TYPE_CHECKING:
    from torch import Tensor
    from torch.fx import GraphModule


def export_model(
    model: GraphModule, example: tuple[Tensor, ...], path: Path, fixed: bool = True
) -> None:
    """Trace, freeze and save a model for the Lite Interpreter.

    Sizes of the example become constants if all calls have them (`fixed`).

    `optimize_for_mobile` is not used: it needs XNNPACK, which the wheels of
    torch are built without.
    """
    import torch

    with use_engine(QNNPACK), torch.inference_mode():
        # Whether it answers as the graph is verified later, in the runtime.
        graph = fix_sizes(model.eval(), example) if fixed else keep_sizes(model.eval())
        traced = torch.jit.trace(graph, example, check_trace=False)
        script = torch.jit.freeze(traced)
    script._save_for_lite_interpreter(str(path))
