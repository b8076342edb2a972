"""PT2E quantization (torchao) with the rules of XNNPACK, for ExecuTorch and ONNX.

https://docs.pytorch.org/ao/stable/pt2e_quantization/index.html
"""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, cast

from kit.errors import BuildError
from kit.network import export_program
from kit.quantize import wording
from kit.quantize._match import Exported, export, forget_names
from kit.quantize._place import Placing, fix_scales, is_observer
from kit.quantize._widen import widen_activations
from kit.quantize.bias_range import raise_scales
from kit.quantize.encoding_choice import choose_encodings
from kit.quantize.examples import as_examples
from kit.quantize.nodes import as_node
from kit.quantize.options import Options, Quantized
from kit.quantize.pt2e_clips import drop_saturated_clips, replace_clips, restore_clips
from kit.quantize.xnnpack_quantizer import find_layer, has_weight, make_config, make_quantizer

if TYPE_CHECKING:
    from torch import Tensor
    from torch.export import ExportedProgram
    from torch.fx import GraphModule, Node

    from kit.quantize.examples import ExamplesLike
    from kit.quantize.observers import Observer


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
    placing = Placing(model, choose_encodings(model, examples, options), options, pt2e)
    program = export(model, examples.first(), options.varying)
    exported = Exported(placing.names)
    clipped = replace_clips(program)
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")
        config = make_config(options, unsigned)
        quantizer = make_quantizer(
            XNNPACKQuantizer,
            lambda node: exported.is_of(node, options.keep_float),
            config.input_activation,
            exported.is_inside,
        )
        quantizer.set_global(config)
        prepared = prepare_pt2e(program, quantizer)
        restore_clips(prepared, clipped)
        _place_weights(prepared, placing, exported, options)
        placed = placing.place(prepared, exported.names_of, examples.first())
        graph = convert_pt2e(prepared)
    forget_names(graph)
    if options.activation_bits == 16:
        widen_activations(graph, symmetric=not unsigned)
    drop_saturated_clips(graph)
    _round_biases(graph)
    return Quantized(
        graph=graph,
        qconfig={**wording.describe_static(flow, options), "encodings": placed},
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
        program = export_program(model, example, options.varying)
        prepared = prepare_pt2e(_unroll(program), quantizer)
        prepared(*example)
        graph = convert_pt2e(prepared)
    return Quantized(
        graph=graph, qconfig=wording.describe_dynamic("pt2e-s8", options), integer=True
    )


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


def _place_weights(
    prepared: GraphModule, placing: Placing, exported: Exported, options: Options
) -> None:
    """Make the observers of layers' weights return the encodings.

    Weights without an encoding, such as those of transposed convolutions, get scales at which the
    bias fits.
    """
    for node in prepared.graph.nodes:
        if not has_weight(node) or not is_observer(prepared, node.args[1]):
            continue
        # `is_observer` has checked it; torchao's observers have no types.
        observer = cast("Observer", prepared.get_submodule(str(node.args[1].target)))
        layer = find_layer(node)
        encoding = None
        if layer is not None:
            weight = read_attribute(prepared, f"{layer}.weight")
            channels = len(weight) if options.granularity == "per-channel" else None
            encoding = placing.weight(f"{layer}.weight", channels)
        if encoding is not None:
            fix_scales(observer, encoding)
        elif len(node.args) > 2 and node.args[2] is not None and node.args[2].op == "get_attr":
            bias = read_attribute(prepared, node.args[2].target)
            smallest = placing.biases.find_smallest(exported.names_of(node.args[0]), bias)
            raise_scales(observer, smallest)


def _round_biases(graph: GraphModule) -> None:
    """Round biases to the int32 grid of integer kernels.

    The runtimes do this themselves (bias scale = input scale x weight scale), so their answers
    do not change. Without it the graph, which adds float biases, rounds about one value in a
    thousand differently, which 50 layers amplify to an apparent SQNR of 18 dB. They clip what is
    beyond int32, and so does the graph.
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
        levels = (value.to(torch.float64) / step).round().clamp(-(2**31), 2**31 - 1)
        rounded = (levels * step).to(value.dtype)
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
