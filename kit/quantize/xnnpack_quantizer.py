"""XNNPACK's quantizer for PT2E: its scheme, and what it leaves in float."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from kit.quantize._names import name_operator
from kit.quantize.encoding_choice import WEIGHT_EPS
from kit.quantize.nodes import as_node
from kit.quantize.observers import choose_weight_observer
from kit.quantize.options import Options
from kit.quantize.pt2e_clips import list_clips

if TYPE_CHECKING:
    import torch
    from executorch.backends.xnnpack.quantizer.xnnpack_quantizer import XNNPACKQuantizer
    from executorch.backends.xnnpack.quantizer.xnnpack_quantizer_utils import QuantizationConfig
    from torch.fx import GraphModule, Node
    from torchao.quantization.pt2e.quantizer import QuantizationSpec


ANNOTATION = "quantization_annotation"  # key in a node's meta, where quantizers write


def make_quantizer(
    quantizer: type[XNNPACKQuantizer],
    is_kept: Callable[[Node], bool],
    activation: QuantizationSpec,
    is_inside: Callable[[Node], bool],
) -> XNNPACKQuantizer:
    """Return an XNNPACKQuantizer that skips some operations, and the inside of operators.

    The quantizer's own `set_module_name` reads the module stack, which an exported graph of
    a traced model does not have.

    Args:
        quantizer: the class.
        is_kept: whether a node belongs to a layer or operation that stays float.
        activation: how an int8 operator's input is quantized that a float layer makes.
        is_inside: whether a node is inside of an operator of the canonical graph; that is float
            in all flows.
    """

    class Partly(quantizer):  # type: ignore[misc]  # ExecuTorch has no types
        def annotate(self, model: GraphModule) -> GraphModule:
            leave_out_batch_norm(self, model)
            annotated: GraphModule = super().annotate(model)
            for node in annotated.graph.nodes:
                if is_kept(node):
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


def has_weight(node: Node) -> bool:
    """Whether a node is a convolution, transposed or not, or a linear layer's operator."""
    name = name_operator(node)
    return node.op == "call_function" and (name == "linear" or name.startswith("conv"))


def find_layer(node: Node) -> str | None:
    """Return the name of the layer whose operator a node is; None for other operators."""
    import torch

    aten = torch.ops.aten
    if node.target not in (aten.conv2d.default, aten.linear.default):
        return None
    weight = as_node(node.args[1])
    while weight.op != "get_attr" and weight.args:  # an observer stands between
        weight = as_node(weight.args[0])
    return str(weight.target).removesuffix(".weight")


def _forget(node: Node) -> None:
    """Remove the annotation of an operation, and of the activation that would be fused with it."""
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
    observer, qscheme = choose_weight_observer(options.granularity, observers)
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
