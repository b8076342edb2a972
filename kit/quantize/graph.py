"""The float model as a graph for quantization and corrections."""

from __future__ import annotations

import copy
import re
from collections import Counter
from collections.abc import Callable
from typing import TYPE_CHECKING

from kit.error_text import describe_exception
from kit.errors import BuildError
from kit.quantize import clips, paddings
from kit.quantize.nodes import (
    NOT_FLOAT,
    REPEATED,
    NodeValue,
    choose_free_name,
    list_member_names,
)

if TYPE_CHECKING:
    from torch import nn
    from torch.fx import GraphModule, Node
    from torch.nn.modules.batchnorm import _BatchNorm
    from torch.nn.modules.conv import _ConvTransposeNd

    from kit.quantize.examples import Examples, ExamplesLike


def fold(model: nn.Module, given: ExamplesLike | None = None) -> GraphModule:
    """Return a traced copy with BatchNorm folded into convolutions, Dropout and Identity removed.

    Weights that hooks compute are computed once, see `standardize`. Folding follows Jacob et
    al., arXiv 1712.05877, section 3.2; the copy is equivalent to the model in eval mode, up to
    float rounding. A module that the model calls twice is duplicated, because ranges and
    corrections belong to a call.

    Args:
        model: is set to eval mode, and not changed otherwise.
        given: examples, for models that symbolic tracing does not support.

    Raises:
        BuildError: the model cannot be traced, because its control flow depends on its input.
    """
    from torch import fx
    from torch.fx.experimental.optimization import fuse

    from kit.quantize.examples import as_examples
    from kit.quantize.standard import standardize

    examples = None if given is None else as_examples(given)
    traced = _traced(standardize(model.eval()), examples)
    _drop_dropout(traced)
    _call_functions(traced)
    _call_once(traced)
    paddings.number_paddings(traced)
    paddings.fold_paddings(traced)
    _unsync(traced, examples)
    folded = fuse(traced, no_trace=True)
    assert isinstance(folded, fx.GraphModule)
    _fold_into_transposed(folded)
    folded.eval().requires_grad_(False)
    clips.replace_gates(folded)
    _name_apart(folded)
    if examples is not None:
        _mark_other_values(folded, examples)
        clips.convert_bounds(folded)
    return folded


def _traced(model: nn.Module, examples: Examples | None) -> GraphModule:
    """Trace symbolically, or by `torch.export` if that would miss weights or hooks of layers."""
    from kit.quantize._from_export import translate_model
    from kit.quantize.standard import has_hooks

    if examples is not None and has_hooks(model):
        return translate_model(model, examples)
    try:
        traced = _trace_symbolically(model, None if examples is None else len(examples.first()))
    except Exception as exc:  # tracing runs the model's own code, which may raise anything
        if examples is None:
            raise BuildError(
                f"{type(model).__name__} cannot be traced: {describe_exception(exc)}",
                "make its forward free of decisions that depend on the input's values",
            ) from exc
        return translate_model(model, examples)
    if examples is None:
        return traced
    if _hides_layers(traced) or _overwrites(traced):
        return translate_model(model, examples)
    traced.graph.eliminate_dead_code()  # such as an auxiliary head whose output is not taken
    return traced


def _trace_symbolically(model: nn.Module, inputs: int | None) -> GraphModule:
    """Return the graph of a model that gets its first inputs only; None for all.

    Other parameters of `forward` keep their defaults. As inputs of the graph, they would be
    different from None, and so take another branch than in a call without them.
    """
    from torch import fx

    class Tracer(fx.Tracer):
        def create_args_for_root(
            self,
            root_fn: Callable[..., object],
            is_module: bool,
            concrete_args: dict[str, object] | tuple[object, ...] | None = None,
        ) -> tuple[Callable[..., object], list[object]]:
            function, given = super().create_args_for_root(root_fn, is_module, concrete_args)
            return function, given if inputs is None else given[: inputs + is_module]

    tracer = Tracer()
    graph = tracer.trace(model)
    for unused in [node for node in graph.nodes if node.op == "placeholder"][inputs:]:
        if inputs is not None:
            graph.erase_node(unused)
    return fx.GraphModule(tracer.root, graph, type(model).__name__)


def _hides_layers(traced: GraphModule) -> bool:
    """Whether a function uses a parameter, or a module with submodules was not traced into."""
    modules = dict(traced.named_modules())
    called = [modules[n.target] for n in traced.graph.nodes if n.op == "call_module"]
    loose = any(node.op == "get_attr" for node in traced.graph.nodes)
    return loose or any(next(m.children(), None) is not None for m in called)


def _overwrites(traced: GraphModule) -> bool:
    """Whether an in-place operator changes another's input: observers would change the result."""
    modules = dict(traced.named_modules())
    for node in traced.graph.nodes:
        module = modules.get(node.target) if node.op == "call_module" else None
        name = str(getattr(node.target, "__name__", node.target))
        method = node.op == "call_method" and re.fullmatch("[a-z].*[^_]_", name)
        in_place = getattr(module, "inplace", False) or node.kwargs.get("inplace") or method
        in_place = in_place or (node.op == "call_function" and name in ("iadd", "imul", "isub"))
        if in_place and any(len(source.users) > 1 for source in node.all_input_nodes[:1]):
            return True
    return False


def _drop_dropout(traced: GraphModule) -> None:
    """Remove Dropout and Identity, which would prevent fusing a layer and a clip."""
    from torch import nn

    modules = dict(traced.named_modules())
    kinds = (nn.Dropout, nn.Dropout1d, nn.Dropout2d, nn.Dropout3d, nn.AlphaDropout)
    for node in list(traced.graph.nodes):
        module = modules.get(str(node.target)) if node.op == "call_module" else None
        if isinstance(module, kinds) or type(module) is nn.Identity:  # a subclass may compute
            node.replace_all_uses_with(node.args[0])
            traced.graph.erase_node(node)
    traced.delete_all_unused_submodules()
    traced.recompile()


def _call_functions(traced: GraphModule) -> None:
    """Call `torch.flatten` for `nn.Flatten`, which torch.ao only calls with float tensors."""
    import torch
    from torch import nn

    modules = dict(traced.named_modules())
    for node in traced.graph.nodes:
        module = modules.get(str(node.target)) if node.op == "call_module" else None
        if type(module) is nn.Flatten and not node.kwargs:
            node.op, node.target = "call_function", torch.flatten
            node.args = (*node.args, module.start_dim, module.end_dim)
    traced.delete_all_unused_submodules()
    traced.recompile()


def _call_once(traced: GraphModule) -> None:
    """Give each further call of a module a copy of it: call 2 of `conv` becomes `conv_2`."""
    calls: Counter[str] = Counter()
    taken = list_member_names(traced)  # `conv_2` may be a layer of the user
    for node in traced.graph.nodes:
        if node.op != "call_module":
            continue
        name = str(node.target)
        calls[name] += 1
        if calls[name] > 1:
            node.target = choose_free_name(name, taken, calls[name])
            taken.add(node.target)
            again = copy.deepcopy(traced.get_submodule(name))
            setattr(again, REPEATED, True)
            traced.add_submodule(node.target, again)
    traced.recompile()


def _name_apart(folded: GraphModule) -> None:
    """Rename operations and inputs that are called like a layer: encodings know all by name.

    torch makes names of operations unique among operations only: the second sum is `add_1`, and
    so may be a layer of the user, or the second call of one.
    """
    called = {str(node.target) for node in folded.graph.nodes if node.op == "call_module"}
    taken = called | {node.name for node in folded.graph.nodes}
    for node in folded.graph.nodes:
        if node.op != "call_module" and node.name in called:
            node._rename(choose_free_name(node.name, taken))
            taken.add(node.name)
    folded.recompile()


def _unsync(traced: GraphModule, examples: Examples | None) -> None:
    """Replace SyncBatchNorm by BatchNorm, which is equivalent in eval mode and can be folded."""
    from torch import nn
    from torch.fx.passes.shape_prop import ShapeProp

    modules = dict(traced.named_modules())
    called = [n for n in traced.graph.nodes if n.op == "call_module"]
    synced = [n for n in called if isinstance(modules[n.target], nn.SyncBatchNorm)]
    if synced and examples is not None:
        ShapeProp(traced).propagate(*examples.first())
    kinds: dict[int, type[_BatchNorm]]
    kinds = {2: nn.BatchNorm1d, 3: nn.BatchNorm1d, 5: nn.BatchNorm3d}
    for node in synced:
        old = modules[node.target]
        shape = getattr(node.meta.get("tensor_meta"), "shape", (1,) * 4)
        made = kinds.get(len(shape), nn.BatchNorm2d)
        assert isinstance(old, nn.SyncBatchNorm)
        new = made(old.num_features, old.eps, None, old.affine, old.track_running_stats)
        new.load_state_dict(old.state_dict(), assign=True)
        traced.set_submodule(node.target, new.eval())


def _fold_into_transposed(folded: GraphModule) -> None:
    """Fold BatchNorm into transposed convolutions, which torch's `fuse` does not do."""
    from torch import nn
    from torch.nn.modules.batchnorm import _BatchNorm
    from torch.nn.modules.conv import _ConvTransposeNd

    pairs: dict[type[nn.Module], type[nn.Module]] = {
        nn.ConvTranspose1d: nn.BatchNorm1d,
        nn.ConvTranspose2d: nn.BatchNorm2d,
        nn.ConvTranspose3d: nn.BatchNorm3d,
    }
    modules: dict[object, nn.Module] = dict(folded.named_modules())
    for node in list(folded.graph.nodes):
        source = node.args[0] if node.args else node
        layer, norm = (modules.get(getattr(n, "target", None)) for n in (source, node))
        if not isinstance(layer, _ConvTransposeNd) or not isinstance(norm, _BatchNorm):
            continue
        if pairs.get(type(layer)) is not type(norm) or len(source.users) > 1:
            continue
        if norm.running_mean is None:
            continue
        folded.set_submodule(source.target, _fused_transposed(layer, norm))
        node.replace_all_uses_with(source)
        folded.graph.erase_node(node)
    folded.delete_all_unused_submodules()
    folded.recompile()


def _fused_transposed(layer: _ConvTransposeNd, norm: _BatchNorm) -> nn.Module:
    from torch import nn
    from torch.nn.utils.fusion import fuse_conv_bn_weights

    mean, variance = norm.running_mean, norm.running_var
    assert mean is not None
    assert variance is not None
    fused = copy.deepcopy(layer)
    groups, size = layer.groups, layer.weight.shape
    # [in, out / groups, ...]: torch scales the second dimension, which must have all outputs.
    ungrouped = layer.weight.unflatten(0, (groups, -1)).transpose(0, 1).flatten(1, 2)
    weight, fused.bias = fuse_conv_bn_weights(
        ungrouped, layer.bias, mean, variance, norm.eps, norm.weight, norm.bias,
        transpose=True,
    )  # fmt: skip
    grouped = weight.detach().unflatten(1, (groups, -1)).transpose(0, 1).reshape(size)
    fused.weight = nn.Parameter(grouped.contiguous())
    return fused


def _mark_other_values(folded: GraphModule, examples: Examples) -> None:
    """Mark nodes whose values are sizes, indices or tuples, which have no range to observe."""
    import torch
    from torch import fx

    class Visitor(fx.Interpreter):
        def run_node(self, n: Node) -> NodeValue:
            value = super().run_node(n)
            if not isinstance(value, torch.Tensor) or not value.is_floating_point():
                n.meta[NOT_FLOAT] = True
            return value

    with torch.no_grad():
        Visitor(folded).run(*examples.first())
