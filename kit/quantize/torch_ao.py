"""Quantization with `torch.ao.quantization`, which upstream has deprecated.

The Lite Interpreter needs the quantized modules of this package; when torch removes it, this
file and the Lite format will be removed. FX graph mode is used instead of eager mode, so that no
model needs a hand-written quantizable version; the result is the same quantized modules, run
eagerly by the qnnpack engine.

https://docs.pytorch.org/docs/stable/quantization.html
"""

from __future__ import annotations

import copy
import functools
import warnings
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING

from kit.encodings import Encoding
from kit.quantize import wording
from kit.quantize._match import match_nodes
from kit.quantize._place import Placing, fix_scales
from kit.quantize.bias_range import raise_scales
from kit.quantize.encoding_choice import WEIGHT_EPS, choose_encodings
from kit.quantize.examples import as_examples
from kit.quantize.nodes import NodeValue, list_layer_names, name_node
from kit.quantize.observers import choose_weight_observer
from kit.quantize.options import Options, Quantized
from kit.quantize.torch_ao_clips import correct_clips

if TYPE_CHECKING:
    from torch import Tensor, nn
    from torch.ao.quantization import QConfig, QConfigMapping
    from torch.fx import GraphModule, Node

    from kit.quantize.examples import Call, ExamplesLike
    from kit.quantize.observers import Observer

_DYNAMIC = "torch.ao.nn.quantized.dynamic"
_MOVES = {
    *("dequantize", "flatten", "reshape", "view", "permute", "transpose", "getattr", "getitem"),
    *("embedding", "to"),
}


def quantize_static(model: GraphModule, examples_like: ExamplesLike, options: Options) -> Quantized:
    """Quantize with the qnnpack qconfig: quint8 without reduce_range, symmetric qint8."""
    import torch
    from torch import nn
    from torch.ao.quantization import QConfigMapping, observer
    from torch.ao.quantization.fx.custom_config import PrepareCustomConfig
    from torch.ao.quantization.quantize_fx import convert_fx, prepare_fx

    qconfig = _qconfig(options)
    mapping = QConfigMapping().set_global(qconfig)
    if options.granularity == "per-channel":  # torch.ao has no such weights for these
        for kind in (nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d):
            mapping.set_object_type(kind, None)
    _leave_out(mapping, model, options.keep_float)
    with _qnnpack(), torch.inference_mode():
        examples = as_examples(examples_like)
        example = examples.first()
        encodings = choose_encodings(model, examples, options)
        placing = Placing(model, encodings, options, observer)
        swapped, hidden = _hide_prelu(_with_fusable_clips(model))
        custom = PrepareCustomConfig().set_non_traceable_module_classes([hidden])
        prepared = prepare_fx(swapped, mapping, example, custom)
        canonical = match_nodes(prepared, model)
        placed = placing.place(prepared, lambda node: placing.names.of(canonical[node]), example)
        _place_weights(prepared, placing, options)
        graph = convert_fx(prepared)
        correct_clips(graph, example)
    return Quantized(
        graph=graph,
        qconfig={**wording.describe_static("torch-ao", options), "encodings": placed},
        computed_in_float=_computed_in_float(graph, example),
    )


def _leave_out(mapping: QConfigMapping, model: GraphModule, names: Collection[str]) -> None:
    """Keep layers and operations in float: modules by name, functions by their order."""
    seen: Counter[object] = Counter()
    for node in model.graph.nodes:
        if name_node(node) in names and node.op == "call_module":
            mapping.set_module_name(node.target, None)
        elif name_node(node) in names:
            mapping.set_module_name_object_type_order("", node.target, seen[node.target], None)
        seen[node.target] += 1


def _place_weights(prepared: GraphModule, placing: Placing, options: Options) -> None:
    """Set the encodings of weights in the layers' qconfig, which conversion reads.

    Weights without an encoding, such as those of one-dimensional convolutions, get scales at which
    the bias fits.
    """
    import torch
    from torch.ao.nn.intrinsic.modules.fused import _FusedModule
    from torch.ao.quantization import QConfig

    modules = dict(prepared.named_modules())
    layers = list_layer_names(placing.names.model)
    for node in placing.names.model.graph.nodes:
        name = name_node(node)
        module = modules.get(name) if node.op == "call_module" else None
        qconfig = getattr(module, "qconfig", None)
        if module is None or qconfig is None:
            continue
        encoding = None
        if name in layers:
            layer = module[0] if isinstance(module, _FusedModule) else module
            weight = layer.weight
            assert isinstance(weight, torch.Tensor)
            channels = len(weight) if options.granularity == "per-channel" else None
            encoding = placing.weight(f"{name}.weight", channels)
        if encoding is not None:
            fixed = functools.partial(_fixed_weight, qconfig.weight, encoding)
        else:
            smallest = placing.biases.find_smallest_of(node)
            fixed = functools.partial(_raised_weight, qconfig.weight, smallest)
        module.__dict__["qconfig"] = QConfig(activation=qconfig.activation, weight=fixed)


def _fixed_weight(make: Callable[[], Observer], encoding: Encoding) -> Observer:
    return fix_scales(make(), encoding)


def _raised_weight(make: Callable[[], Observer], smallest: Tensor | None) -> Observer:
    return raise_scales(make(), smallest)


def _computed_in_float(graph: GraphModule, example: Call) -> dict[str, int]:
    """Count the operators with float outputs, except the final dequantization."""
    import torch
    from torch import fx

    counts: Counter[str] = Counter()
    modules = dict(graph.named_modules())

    class Watching(fx.Interpreter):
        def run_node(self, n: Node) -> NodeValue:
            value = super().run_node(n)
            computes = n.op in ("call_module", "call_function", "call_method")
            is_float = isinstance(value, torch.Tensor) and value.is_floating_point()
            if computes and is_float and not value.is_quantized and not _moves(n, modules):
                counts[_operator(graph, n)] += 1
            return value

    Watching(graph).run(*example)
    return dict(sorted(counts.items()))


def _operator(graph: GraphModule, node: Node) -> str:
    if node.op == "call_module":
        return type(graph.get_submodule(str(node.target))).__name__
    return str(node.target if node.op == "call_method" else getattr(node.target, "__name__", ""))


def _moves(node: Node, modules: Mapping[str, nn.Module]) -> bool:
    """Whether a node moves values only, looks them up, or is a layer with dynamic quantization."""
    if node.op == "call_module":
        kind = type(modules[str(node.target)])
        return kind.__module__.startswith(_DYNAMIC) or kind.__name__ == "Embedding"
    name = str(getattr(node.target, "__name__", node.target))
    return name in _MOVES


def quantize_dynamic(model: GraphModule, examples: ExamplesLike, options: Options) -> Quantized:
    """Replace Linear, LSTM and GRU by modules that quantize their input dynamically."""
    import torch
    from torch import nn
    from torch.ao import quantization as tq

    per_channel = options.granularity == "per-channel"
    qconfig = tq.per_channel_dynamic_qconfig if per_channel else tq.default_dynamic_qconfig
    # Recurrent layers only have a per-tensor dynamic kernel.
    recurrent = tq.default_dynamic_qconfig
    kinds = {nn.Linear: qconfig, nn.LSTM: recurrent, nn.GRU: recurrent}
    with _qnnpack(), torch.inference_mode():
        graph = tq.quantize_dynamic(copy.deepcopy(model), kinds, dtype=torch.qint8)
        in_float = _computed_in_float(graph, as_examples(examples).first())
    return Quantized(
        graph=graph,
        qconfig=wording.describe_dynamic("torch-ao", options),
        computed_in_float=in_float,
    )


def _qconfig(options: Options) -> QConfig:
    """Return the qnnpack qconfig for weights of the requested granularity.

    The default weight observer uses 127.5 steps for symmetric weights, which clips the largest
    weight of each channel; 127 steps, as in XNNPACK, clip nothing, and are the grid that the
    corrections of the float model assume.
    """
    import torch
    from torch.ao.quantization import QConfig, observer

    # Only its position and dtype matter: encodings replace it.
    activation = observer.MinMaxObserver
    weight, qscheme = choose_weight_observer(options.granularity, observer)
    return QConfig(
        activation=activation.with_args(dtype=torch.quint8, reduce_range=False),
        weight=weight.with_args(
            dtype=torch.qint8, qscheme=qscheme, quant_min=-127, quant_max=127, eps=WEIGHT_EPS
        ),
    )


def _with_fusable_clips(model: GraphModule) -> GraphModule:
    """Return a copy whose convolution + clip pairs, such as ReLU6, are fused like ReLU.

    torch.ao only fuses ReLU. Replacing ReLU6 by ReLU changes the network (5 % of the answers of
    MobileNetV2), so the replacement still clips during calibration; after conversion the
    output's range ends at the clip or below, and saturation implements the clip.
    """
    from torch import nn
    from torch.nn.functional import hardtanh

    swapped = copy.deepcopy(model)
    modules = dict(swapped.named_modules())
    for node in swapped.graph.nodes:
        clip = modules.get(node.target) if node.op == "call_module" else None
        if not isinstance(clip, nn.Hardtanh) or clip.min_val != 0:  # ReLU6 is a Hardtanh
            continue
        source = node.args[0]
        if source.op != "call_module" or len(source.users) != 1:
            continue
        if isinstance(modules[source.target], nn.Conv2d | nn.Linear):
            relu = nn.ReLU().eval()
            relu.__dict__["forward"] = functools.partial(
                hardtanh, min_val=0.0, max_val=clip.max_val
            )
            swapped.set_submodule(node.target, relu)
    return swapped


def _hide_prelu(model: GraphModule) -> tuple[GraphModule, type[nn.Module]]:
    """Make PReLU a class that torch.ao does not know, in place; return that too.

    It computes in float then.

    torch.ao's observer cannot split the vector of slopes into channels, and the kernel of torch
    2.14, `quantized::prelu`, gives other answers (0 to 9 dB, slopes of either sign).
    """
    from torch import nn

    class PReLU(nn.PReLU):
        pass

    for module in model.modules():
        if type(module) is nn.PReLU:
            module.__class__ = PReLU
    return model, PReLU


@contextmanager
def _qnnpack() -> Iterator[None]:
    """Pack weights for qnnpack, and suppress deprecation warnings."""
    import torch

    before = torch.backends.quantized.engine
    torch.backends.quantized.engine = "qnnpack"
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        torch.backends.quantized.engine = before
