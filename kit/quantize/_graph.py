"""The float model as a graph that quantization and corrections work on."""

from __future__ import annotations

from typing import TYPE_CHECKING

from kit.errors import BuildError

if TYPE_CHECKING:
    from torch import nn
    from torch.fx import GraphModule


def fold(model: nn.Module) -> GraphModule:
    """Return a traced copy with BatchNorm folded into convolutions and Dropout removed.

    Folding follows Jacob et al., arXiv 1712.05877, section 3.2; the copy computes what
    the model computes in eval mode, up to float rounding.

    Raises:
        BuildError: the model's control flow depends on its input, so that it cannot be traced.
    """
    from torch import fx
    from torch.fx.experimental.optimization import fuse, remove_dropout

    try:
        traced = remove_dropout(model.eval())
    except (fx.proxy.TraceError, TypeError, RuntimeError) as exc:
        raise BuildError(
            f"{type(model).__name__} cannot be traced: {exc}",
            "make its forward free of decisions that depend on the input's values",
        ) from exc
    folded: GraphModule = fuse(traced, no_trace=True)
    folded.eval().requires_grad_(False)
    return folded
