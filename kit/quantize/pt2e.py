"""PT2E quantization (torchao) with the rules of XNNPACK, for ExecuTorch and ONNX.

https://docs.pytorch.org/ao/stable/pt2e_quantization/index.html
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import TYPE_CHECKING, cast

from kit.errors import BuildError
from kit.network import export_program
from kit.quantize import wording
from kit.quantize._match import Exported, export
from kit.quantize._place import Placing, fix_scales, is_observer
from kit.quantize._widen import widen_activations
from kit.quantize.encoding_choice import WEIGHT_EPS, given_or_chosen
from kit.quantize.examples import as_examples
from kit.quantize.nodes import as_node
from kit.quantize.observers import weight_observer
from kit.quantize.options import Options, Quantized
from kit.quantize.pt2e_clips import drop_saturated_clips, list_clips, replace_clips, restore_clips

if TYPE_CHECKING:
    import torch
    from executorch.backends.xnnpack.quantizer.xnnpack_quantizer import XNNPACKQuantizer
    from executorch.backends.xnnpack.quantizer.xnnpack_quantizer_utils import QuantizationConfig
    from torch import Tensor
    from torch.export import ExportedProgram
    from torch.fx import GraphModule, Node
    from torchao.quantization.pt2e.quantizer import QuantizationSpec

    from kit.quantize.examples import ExamplesLike
    from kit.quantize.observers import Observer


ANNOTATION = "quantization_annotation"  # key in a node's meta, where quantizers write


def quantize_static(
    model: GraphModule, given: ExamplesLike, options: Options, flow: str
) -> Quantized:
    """Quantize with XNNPACKQuantizer; ``pt2e-u8`` gives uint8 activations instead of int8.

    ONNX Runtime's x86 kernels are 1.6 times faster on uint8 activations.
    """
    import torch
    from executorch.backends.xnnpack.quantizer.xnnpack_quantizer import XNNPACKQuantizer
    from torchao.quantization import pt2e
    from torchao.quantization.pt2e.quantize_pt2e import convert_pt2e, prepare_pt2e

    unsigned = flow == "pt2e-u8"
    examples = as_examples(given)
    placing = Placing(model, given_or_chosen(model, examples, options), options.keep_float, pt2e)
    program = export(model, examples.first(), options.max_batch)
    exported = Exported(placing.names)
    clipped = replace_clips(program)
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")
        config = make_config(options, unsigned)
        quantizer = _without(
            XNNPACKQuantizer, options.keep_float, config.input_activation, exported.is_inside
        )
        quantizer.set_global(config)
        prepared = prepare_pt2e(program, quantizer)
        restore_clips(prepared, clipped)
        _place_weights(prepared, placing, options)
        placed = placing.place(prepared, exported.names_of, examples.first())
        graph = convert_pt2e(prepared)
    exported.forget(graph)
    if options.activation_bits == 16:
        widen_activations(graph, symmetric=not unsigned)
    drop_saturated_clips(graph)
    _round_biases(graph)
    return Quantized(
        graph=graph,
        qconfig={**wording.static(flow, options), "encodings": placed},
        integer=True,
    )


def quantize_dynamic(model: GraphModule, given: ExamplesLike, options: Options) -> Quantized:
    """Quantize linear layers with XNNPACK's dynamic scheme: int8 weights and activations.

    Raises:
        BuildError: weights are to have one scale per tensor.
    """
    import torch
    from executorch.backends.xnnpack.quantizer.xnnpack_quantizer import (
        XNNPACKQuantizer,
        get_symmetric_quantization_config,
    )
    from torchao.quantization.pt2e.quantize_pt2e import convert_pt2e, prepare_pt2e

    if options.granularity == "per-tensor":
        raise BuildError(
            "XNNPACK's dynamic kernels take weights with a scale per channel only",
            "use --granularity per-channel, or leave out the formats executorch and litert",
        )
    config = get_symmetric_quantization_config(is_per_channel=True, is_dynamic=True)
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")
        quantizer = XNNPACKQuantizer()
        quantizer.set_operator_type(torch.ops.aten.linear.default, config)
        example = as_examples(given).first()
        program = export_program(model, example, options.max_batch)
        prepared = prepare_pt2e(_unroll(program), quantizer)
        prepared(*example)
        graph = convert_pt2e(prepared)
    return Quantized(graph=graph, qconfig=wording.dynamic("pt2e-s8", options), integer=True)


def _unroll(program: ExportedProgram) -> GraphModule:
    """Return the module of a program in whose graph recurrent layers are linear layers.

    As one operator each, no quantizer knows them, and lowering would unroll them in float.
    """
    import torch
    from torch._decomp import get_decompositions

    aten = torch.ops.aten
    recurrent = [aten.lstm.input, aten.gru.input, aten.rnn_tanh.input, aten.rnn_relu.input]
    if not any(node.target in recurrent for node in program.graph.nodes):
        module: GraphModule = program.module()
        return module
    table = get_decompositions(recurrent)
    unrolled: GraphModule = program.run_decompositions(table).module()
    return unrolled


def _place_weights(prepared: GraphModule, placing: Placing, options: Options) -> None:
    """Make the observers of layers' weights return the encodings."""
    for node in prepared.graph.nodes:
        layer = _layer_name(node)
        if layer is None or not is_observer(prepared, node.args[1]):
            continue
        # `is_observer` has checked it; torchao's observers have no types.
        observer = cast("Observer", prepared.get_submodule(str(node.args[1].target)))
        weight = read_attribute(prepared, f"{layer}.weight")
        channels = len(weight) if options.granularity == "per-channel" else None
        encoding = placing.weight(f"{layer}.weight", channels)
        if encoding is not None:
            fix_scales(observer, encoding)


def _without(
    quantizer: type[XNNPACKQuantizer],
    layers: tuple[str, ...],
    activation: QuantizationSpec,
    is_inside: Callable[[Node], bool],
) -> XNNPACKQuantizer:
    """Return an XNNPACKQuantizer that skips some layers, and the inside of operators.

    The quantizer's own `set_module_name` reads the module stack, which an exported graph of
    a traced model does not have; the names of the weights are kept.

    Args:
        quantizer: the class.
        layers: names of the layers.
        activation: how an int8 operator's input is quantized that a float layer makes.
        is_inside: whether a node is inside of an operator of the canonical graph; that is float
            in all flows.
    """

    class Partly(quantizer):  # type: ignore[misc]  # ExecuTorch has no types
        def annotate(self, model: GraphModule) -> GraphModule:
            leave_out_batch_norm(self, model)
            annotated: GraphModule = super().annotate(model)
            for node in annotated.graph.nodes:
                if _layer_name(node) in layers:
                    _forget(node)
                elif ANNOTATION in node.meta and is_inside(node):
                    node.meta.pop(ANNOTATION)
            _share_with_nothing_forgotten(annotated, activation)
            return annotated

    return Partly()


def leave_out_batch_norm(quantizer: XNNPACKQuantizer, model: GraphModule) -> None:
    """Remove a quantizer's patterns with BatchNorm if the graph, like a folded one, has none.

    For these patterns it exports twelve small networks, which takes half of the time.
    """
    patterns = getattr(quantizer, "SUPPORTED_PATTERNS", ())  # of this version of ExecuTorch
    if any("batch_norm" in str(node.target) for node in model.graph.nodes):
        return
    quantizer.SUPPORTED_PATTERNS = [one for one in patterns if "_bn" not in one.name]
    model.graph.eliminate_dead_code()  # as it does before it looks
    model.recompile()


def _layer_name(node: Node) -> str | None:
    import torch

    aten = torch.ops.aten
    if node.target not in (aten.conv2d.default, aten.linear.default):
        return None
    weight = as_node(node.args[1])
    while weight.op != "get_attr" and weight.args:  # an observer stands between
        weight = as_node(weight.args[0])
    return str(weight.target).removesuffix(".weight")


def _forget(node: Node) -> None:
    """Remove the annotation of a layer, and of the activation that would be fused with it."""
    import torch

    aten = torch.ops.aten
    node.meta.pop(ANNOTATION, None)
    for user in node.users:
        if user.target in (aten.relu.default, aten.relu_.default, *list_clips()):
            user.meta.pop(ANNOTATION, None)


def _share_with_nothing_forgotten(annotated: GraphModule, activation: QuantizationSpec) -> None:
    """Give operators after a float layer a range of their own.

    Pooling and operators that only move values share the range of their input; after a float
    layer that input is quantized for them, with `activation`.
    """
    from torchao.quantization.pt2e.quantizer import SharedQuantizationSpec

    for node in annotated.graph.nodes:
        note = node.meta.get(ANNOTATION)
        if note is None:
            continue
        for source, spec in note.input_qspec_map.items():
            if _is_forgotten(spec):
                note.input_qspec_map[source] = activation
        if _is_forgotten(note.output_qspec):
            note.output_qspec = SharedQuantizationSpec((next(iter(note.input_qspec_map)), node))


def _is_forgotten(spec: object) -> bool:
    """Whether a specification shares that of a tensor that is not quantized."""
    shared = getattr(spec, "edge_or_node", None)
    owner = shared[1] if isinstance(shared, tuple) else shared
    return owner is not None and ANNOTATION not in owner.meta


def _dtype(unsigned: bool) -> torch.dtype:
    import torch

    return torch.uint8 if unsigned else torch.int8


def make_config(options: Options, unsigned: bool) -> QuantizationConfig:
    """Return XNNPACK's symmetric scheme with the requested type and granularity."""
    import torch
    import torchao.quantization.pt2e as observers
    from executorch.backends.xnnpack.quantizer.xnnpack_quantizer_utils import QuantizationConfig
    from torchao.quantization.pt2e.quantizer import QuantizationSpec

    activation = QuantizationSpec(
        dtype=_dtype(unsigned),
        quant_min=0 if unsigned else -128,
        quant_max=255 if unsigned else 127,
        qscheme=torch.per_tensor_affine,
        is_dynamic=False,
        # Only its position and dtype matter: encodings replace it.
        observer_or_fake_quant_ctr=observers.MinMaxObserver.with_args(),
    )
    observer, qscheme = weight_observer(options.granularity, observers)
    weight = QuantizationSpec(
        dtype=torch.int8,
        quant_min=-127,
        quant_max=127,
        qscheme=qscheme,
        ch_axis=0,
        is_dynamic=False,
        observer_or_fake_quant_ctr=observer.with_args(eps=WEIGHT_EPS),
    )
    return QuantizationConfig(activation, activation, weight, None, False)


def _round_biases(graph: GraphModule) -> None:
    """Round biases to the int32 grid of integer kernels.

    The runtimes do this themselves (bias scale = input scale x weight scale), so their answers
    do not change. Without it the graph, which adds float biases, rounds about one value in a
    thousand differently, which 50 layers amplify to an apparent SQNR of 18 dB.
    """
    import torch

    aten = torch.ops.aten
    for node in graph.graph.nodes:
        if node.target not in (aten.conv2d.default, aten.linear.default) or len(node.args) < 3:
            continue
        data, weight, bias = node.args[:3]
        if bias is None or bias.op != "get_attr":
            continue
        scales = read_scale(graph, data), read_scale(graph, weight)
        if scales[0] is None or scales[1] is None:
            continue
        value = read_attribute(graph, bias.target)
        step = (scales[0] * scales[1]).to(torch.float64)
        rounded = ((value.to(torch.float64) / step).round() * step).to(value.dtype)
        _set_attribute(graph, bias, rounded)  # a new tensor: the float model shares the old one


def read_scale(graph: GraphModule, node: Node) -> Tensor | None:
    """Return the scale of a dequantize node, or None."""
    import torch

    decomposed = torch.ops.quantized_decomposed
    if node.target is decomposed.dequantize_per_tensor.default:
        return torch.tensor(node.args[1])
    if node.target is decomposed.dequantize_per_channel.default:
        return read_attribute(graph, as_node(node.args[1]).target)
    return None


def read_attribute(graph: GraphModule, target: object) -> Tensor:
    """Return the tensor that a dotted name of a graph stands for."""
    import torch

    value: object = graph
    for part in str(target).split("."):
        value = getattr(value, part)
    assert isinstance(value, torch.Tensor)
    return value.data


def _set_attribute(graph: GraphModule, node: Node, value: Tensor) -> None:
    from torch import nn

    owner, _, name = str(node.target).rpartition(".")
    setattr(graph.get_submodule(owner), name, nn.Parameter(value, requires_grad=False))
