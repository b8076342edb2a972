"""Multiply-adds and parameters of a model, counted as the MobileNet papers count them.

Rules, which reproduce Tables 2, 4, 6 and 7 of arXiv 1704.04861 and Table 4 of 1801.04381:

- BatchNorm is folded into the convolution before it, so it costs nothing.
- A multiply-add is one product that is added to a sum, in a convolution or a matrix
  product: half of the floating-point operations of `torch.utils.flop_counter`. Biases,
  activations, additions, pooling and scaling by a gate are not counted; the zeros of the
  padding are counted like pixels.
- A parameter is a weight of such a layer. Biases, and the four numbers per channel of
  BatchNorm, are not counted; `Cost.stored` is the size of `model.parameters()`, which has
  BatchNorm's weight and bias, and not its running mean and variance.
- In the twin with full convolutions, each depthwise k x k convolution and the 1x1
  convolution that mixes its channels become one full k x k convolution with the inputs of
  the first and the outputs of the second. Operations between the two, such as a
  squeeze-and-excite gate, are kept.

Model families are built on torch's meta device, which has shapes and no values, so nothing is
computed. Models of other libraries are built and run once, and a user's own model is run.
"""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING

from kit import models, recipe_input
from kit.cost.layers import CONV_1X1, CONV_3X3, DEPTHWISE, LINEAR, OTHER, Cost, LayerCost
from kit.errors import RecipeError
from kit.models.sourced import SourcedModel
from kit.models.user_model import UserModel
from kit.recipe import format_sides
from kit.registry import CLASSIFICATION
from kit.tasks import get_task

if TYPE_CHECKING:
    from torch import nn
    from torch.fx import GraphModule, Node

    from kit.quantize.examples import Call


def compute_cost(model: str, resolution: int | tuple[int, int] = 224, width: float = 1.0) -> Cost:
    """Return the cost of a member of `kit.models`, or of a model of the user's own.

    Args:
        model: its name, ``SOURCE:NAME`` or ``FILE.py:FACTORY``.
        resolution: side of the square input in pixels, or height and width.
        width: width multiplier.

    Raises:
        UnknownName: there is no such model.
        RecipeError: the resolution or the width is out of range, or the user's file fails.
        BuildError: the user's model cannot be traced.
    """
    import torch

    checked = recipe_input.make_recipe(model, resolution=resolution, width=width)
    module = models.get_model(checked.model)
    if min(checked.sides) < module.spec.min_resolution:
        raise RecipeError(
            f"resolution = {format_sides(*checked.sides)}: {model} needs "
            f"{module.spec.min_resolution} or more",
            "use a larger resolution, for example 224",
        )
    picture = (3, *checked.sides)
    if isinstance(module, UserModel):
        # Raises RecipeError if the model rejects this input size.
        module.classes(checked.resolution, picture)
        with module.running(mixed=True):
            return count(module.build(), picture)
    if isinstance(module, SourcedModel):  # other libraries need not work on the meta device
        task = get_task(module.task)
        if module.task == CLASSIFICATION:
            module.check_input(checked.sides, module.spec.classes)
        network = task.adapt_network(module.build(checked.width, module.spec.classes))
        return count(network, picture)
    with torch.device("meta"):
        network = module.build(checked.width, module.spec.classes)
    return count(network, picture)


def count(model: nn.Module, shape: tuple[int, ...]) -> Cost:
    """Return the cost of any model that can be traced.

    Args:
        model: in eval mode, on any device; it is not changed.
        shape: of one input without the batch, for example [3, 224, 224].

    Raises:
        BuildError: the model's control flow depends on its input.
    """
    import torch

    from kit.quantize.graph import fold

    stored = sum(p.numel() for p in model.parameters())
    first = next(itertools.chain(model.parameters(), model.buffers()), torch.empty(0))
    example = torch.zeros(1, *shape, device=first.device)
    return Cost(tuple(_layers(fold(model, example), (example,))), stored)


def find_shares(folded: GraphModule, call: Call) -> dict[str, float]:
    """Return the share of the multiply-adds of each layer of a folded model, 0..1.

    Args:
        folded: the model.
        call: arguments of one inference.
    """
    shares: dict[str, float] = {}
    layers = _layers(folded, call)
    total = sum(layer.multiply_adds for layer in layers) or 1
    for layer in layers:
        shares[layer.name] = shares.get(layer.name, 0.0) + layer.multiply_adds / total
    return shares


def _layers(graph: GraphModule, call: Call) -> list[LayerCost]:
    import torch
    from torch import fx
    from torch.utils.flop_counter import FlopCounterMode

    from kit.quantize.nodes import is_repeated

    layers: dict[Node, LayerCost] = {}
    shapes: dict[Node, tuple[int, ...]] = {}
    counter = FlopCounterMode(display=False)

    class Counting(fx.Interpreter):
        def run_node(self, n: Node) -> object:
            before = counter.get_total_flops()
            value = super().run_node(n)
            if isinstance(value, torch.Tensor):
                shapes[n] = tuple(value.shape[1:])
                if spent := counter.get_total_flops() - before:
                    layer = _layer(graph, n, shapes[n], spent // 2)
                    layers[n] = replace(layer, parameters=0) if is_repeated(n) else layer
            return value

    with counter, torch.inference_mode(), _attention_as_products():
        Counting(graph).run(*call)
    return [replace(x, mixes=_mixed(graph, n, layers, shapes)) for n, x in layers.items()]


@contextlib.contextmanager
def _attention_as_products() -> Iterator[None]:
    """Compute attention by matrix products: the counter does not know the fused kernels of CPUs."""
    import torch
    from torch.nn.attention import SDPBackend, sdpa_kernel

    fast = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        with sdpa_kernel(SDPBackend.MATH):
            yield
    finally:
        torch.backends.mha.set_fastpath_enabled(fast)


def _layer(
    graph: GraphModule, node: Node, output: tuple[int, ...], multiply_adds: int
) -> LayerCost:
    from torch import nn

    if node.op != "call_module":
        return LayerCost(node.name, OTHER, output, multiply_adds, 0)
    module = graph.get_submodule(str(node.target))
    weights = sum(p.numel() for name, p in module.named_parameters() if "bias" not in name)
    kernel = module.kernel_size if isinstance(module, nn.Conv2d) else None
    return LayerCost(str(node.target), _kind(module), output, multiply_adds, weights, kernel)


def _kind(module: nn.Module) -> str:
    from torch import nn

    if isinstance(module, nn.Linear):
        return LINEAR
    if not isinstance(module, nn.Conv2d):
        return OTHER
    if module.groups > 1:
        return DEPTHWISE if module.groups == module.in_channels else OTHER
    kinds: dict[tuple[int, ...], str] = {(1, 1): CONV_1X1, (3, 3): CONV_3X3}
    return kinds.get(module.kernel_size, OTHER)


def _mixed(
    graph: GraphModule,
    node: Node,
    layers: dict[Node, LayerCost],
    shapes: dict[Node, tuple[int, ...]],
) -> str | None:
    """Return the depthwise convolution whose channels a 1x1 convolution mixes.

    Operations that keep the shape may be between the two, such as an activation and the product
    with a gate. The 1x1 convolution that computes the gate is no match: its input is pooled.
    """
    if layers[node].kind != CONV_1X1:
        return None
    waiting = list(node.all_input_nodes)
    shape = shapes[waiting[0]]
    while waiting:
        source = waiting.pop()
        if layer := layers.get(source):
            if layer.kind == DEPTHWISE:
                return layer.name
        elif shapes.get(source) == shape and not _pools(graph, source):
            waiting += source.all_input_nodes
    return None


def _pools(graph: GraphModule, node: Node) -> bool:
    """Return whether a node pools by average or maximum, even if its input is one pixel."""
    if node.op == "call_module":
        return "Pool" in type(graph.get_submodule(str(node.target))).__name__
    name = node.target if isinstance(node.target, str) else getattr(node.target, "__name__", "")
    return "pool" in name or name in ("mean", "amax")
