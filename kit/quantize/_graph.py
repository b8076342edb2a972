"""The float model as a graph that quantization and corrections work on."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

from kit.errors import BuildError

if TYPE_CHECKING:
    from torch import nn
    from torch.fx import GraphModule, Node


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
    _gates_as_clips(folded)
    return folded


def _gates_as_clips(folded: GraphModule) -> None:
    """Turn a layer and hard-sigmoid, clip((y + 3) / 6, 0, 1), into a scaled layer and a clip.

    An integer kernel has no hard-sigmoid, but clips to its output's range for free. Without
    this, each gate of MobileNetV3 runs in float between two conversions, and ExecuTorch
    leaves two of its operators outside of the delegate.
    """
    import torch
    from torch import nn

    calls = Counter(node.target for node in folded.graph.nodes if node.op == "call_module")
    modules = dict(folded.named_modules())
    for node in folded.graph.nodes:
        source = node.args[0] if node.args else node
        gate, layer = (modules.get(getattr(n, "target", None)) for n in (node, source))
        if not isinstance(gate, nn.Hardsigmoid) or not isinstance(layer, nn.Conv2d | nn.Linear):
            continue
        alone = calls[node.target] == calls[source.target] == len(source.users) == 1
        if alone and layer.bias is not None:
            with torch.no_grad():
                layer.weight.div_(6)
                layer.bias.add_(3).div_(6)
            folded.set_submodule(node.target, nn.Hardtanh(0.0, 1.0))


def layer_names(folded: GraphModule) -> tuple[str, ...]:
    """Return the names of the convolutions and linear layers, in the order of the graph."""
    from torch import nn

    modules = dict(folded.named_modules())
    called = (str(node.target) for node in folded.graph.nodes if node.op == "call_module")
    return tuple(dict.fromkeys(n for n in called if isinstance(modules[n], nn.Conv2d | nn.Linear)))


def node_name(node: Node) -> str:
    """Return the module's name, or the node's where it calls no module."""
    return str(node.target if node.op == "call_module" else node.name)


def is_quantized_later(node: Node) -> bool:
    """Whether a tensor keeps its own range; one that only feeds a clip does not."""
    if node.op not in ("placeholder", "call_module", "call_function", "call_method"):
        return False
    users = list(node.users)
    if len(users) == 1 and _is_clip(users[0]):
        return False
    return not _only_moves(node)


def _only_moves(node: Node) -> bool:
    """Whether a node gives its input's values in another shape."""
    from torch import nn

    if node.op == "call_module":
        module = node.graph.owning_module.get_submodule(str(node.target))
        return isinstance(module, nn.Flatten | nn.Identity | nn.Dropout)
    target: Any = node.target
    name = target if isinstance(target, str) else getattr(target, "__name__", "")
    return name in ("flatten", "reshape", "view", "permute", "transpose", "contiguous", "squeeze")


def _is_clip(node: Node) -> bool:
    from torch import nn

    if node.op != "call_module":
        return False
    module = node.graph.owning_module.get_submodule(str(node.target))
    return isinstance(module, nn.ReLU | nn.Hardtanh)
