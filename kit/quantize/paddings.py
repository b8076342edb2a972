"""Paddings of convolutions: as numbers, and in the convolution instead of a step of its own."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING

from kit.errors import BuildError

if TYPE_CHECKING:
    from torch.fx import GraphModule, Node


def number_paddings(traced: GraphModule) -> None:
    """Replace padding="same" by numbers, which corrections and quantizers require.

    Raises:
        BuildError: a layer pads one side more than the other.
    """
    from torch import nn

    for name, layer in list(traced.named_modules()):
        if not isinstance(layer, nn.Conv2d) or not isinstance(layer.padding, str):
            continue
        reach = [d * (k - 1) for d, k in zip(layer.dilation, layer.kernel_size, strict=True)]
        if layer.padding == "valid":
            reach = [0, 0]
        if any(r % 2 for r in reach):
            raise BuildError(
                f"{name} pads its input on one side more than on the other: padding='same' with "
                f"a kernel of {layer.kernel_size}",
                "use an odd kernel, or nn.ZeroPad2d and padding=0",
            )
        numbered = copy.deepcopy(layer)
        numbered.padding = tuple(r // 2 for r in reach)
        traced.set_submodule(name, numbered)


def fold_paddings(traced: GraphModule) -> None:
    """Move zeros that are added on both sides of a picture into the convolution that follows.

    Networks from TensorFlow (EfficientNet-Lite and others) pad in a step of its own, which int8
    kernels run as a copy with a range of its own. What is added on one side only stays: a
    convolution of torch has one number for both.
    """
    from torch import nn

    modules = dict(traced.named_modules())
    for node in list(traced.graph.nodes):
        layer = modules.get(str(node.target)) if node.op == "call_module" else None
        if not isinstance(layer, nn.Conv2d) or layer.padding_mode != "zeros":
            continue
        source = node.all_input_nodes[0]
        added = _read_zeros(source, modules)
        if added is None or len(source.users) > 1 or isinstance(layer.padding, str):
            continue
        padded = copy.deepcopy(layer)
        padded.padding = tuple(p + a for p, a in zip(layer.padding, added, strict=True))
        padded._reversed_padding_repeated_twice = [p for p in padded.padding[::-1] for _ in "lr"]
        traced.set_submodule(str(node.target), padded)
        node.replace_input_with(source, source.all_input_nodes[0])
        traced.graph.erase_node(source)
    traced.delete_all_unused_submodules()
    traced.recompile()


def _read_zeros(node: Node, modules: dict[str, object]) -> tuple[int, int] | None:
    """Return the zeros that a node adds to each side, (height, width); None if it does not."""
    from torch import nn
    from torch.nn import functional

    sizes: object
    value: object
    module = modules.get(str(node.target)) if node.op == "call_module" else None
    if isinstance(module, nn.ZeroPad2d | nn.ConstantPad2d):
        sizes, value = module.padding, module.value
    elif node.op == "call_function" and node.target in (functional.pad, *_aten_paddings()):
        constant = getattr(node.target, "__name__", "").startswith("constant_pad_nd")
        names = ("self", "pad", "value") if constant else ("self", "pad", "mode", "value")
        given = {**dict(zip(names, node.args, strict=False)), **node.kwargs}
        if given.get("mode", "constant") != "constant":
            return None
        sizes, value = given["pad"], given.get("value")
    else:
        return None
    if not isinstance(sizes, tuple | list) or not all(isinstance(size, int) for size in sizes):
        return None
    if len(sizes) != 4 or value not in (None, 0) or min(sizes) < 0:
        return None
    left, right, top, bottom = sizes
    return (top, left) if (left, top) == (right, bottom) else None


def _aten_paddings() -> tuple[object, ...]:
    """Return the operators that pad in a graph of `torch.export`."""
    import torch

    return torch.ops.aten.pad.default, torch.ops.aten.constant_pad_nd.default
