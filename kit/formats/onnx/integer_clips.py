"""Move clips behind the quantization that follows them, where ONNX Runtime cannot leave them out.

ONNX Runtime fuses a convolution with the quantization after it, across a ReLU only if the
quantized range begins at zero: saturation is the ReLU then. It does not where the tensor shares
its range with one of both signs, as the branches of a concatenation do (U-Nets, detectors): the
convolution computes in float, twice as slow. Quantization is monotonic, so a clip of the integers
gives the same values bit for bit, and leaves the convolution next to its quantization.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from collections.abc import Callable

    from onnx import GraphProto, NodeProto

Constant = NDArray[np.generic]
SUFFIX = "_on_integers"  # of the names of such clips, which `describe` reads
_LAYERS = ("Conv", "Gemm", "MatMul")


def move_clips(graph: GraphProto) -> None:
    """Rewrite Conv -> Relu or Clip -> QuantizeLinear as Conv -> QuantizeLinear -> Clip, in place.

    Left alone are clips that saturation makes superfluous, values of 16 bits, and those that
    something else reads.
    """
    from onnx import numpy_helper

    constants = {tensor.name: tensor for tensor in graph.initializer}
    made_by = {name: node for node in graph.node for name in node.output}
    read_by: dict[str, list[NodeProto]] = {}
    for node in graph.node:
        for name in node.input:
            read_by.setdefault(name, []).append(node)
    outputs = {value.name for value in graph.output}

    def read(name: str) -> Constant | None:
        return numpy_helper.to_array(constants[name]) if name in constants else None

    for quantize in [node for node in graph.node if node.op_type == "QuantizeLinear"]:
        clip = made_by.get(quantize.input[0])
        if clip is None or clip.op_type not in ("Relu", "Clip"):
            continue
        layer = made_by.get(clip.input[0])
        if layer is None or layer.op_type not in _LAYERS:
            continue
        values = (clip.input[0], clip.output[0])
        if any(len(read_by[name]) > 1 or name in outputs for name in values):
            continue
        scale, zero = read(quantize.input[1]), read(quantize.input[2])
        low, high = _read_bounds(clip, read)
        if scale is None or zero is None or scale.size > 1 or low is None:
            continue
        if zero.itemsize > 1:  # ONNX Runtime has no clip of 16 bits, and computes in float anyway
            continue
        _move(graph, clip, quantize, _to_levels((low, high), scale, zero))


def _read_bounds(
    clip: NodeProto, read: Callable[[str], Constant | None]
) -> tuple[float | None, float]:
    """Return the bounds of a clip; None for one that is not a constant."""
    if clip.op_type == "Relu":
        return 0.0, np.inf
    limits = [read(name) if name else None for name in clip.input[1:3]]
    if len(limits) < 2 or limits[0] is None or limits[1] is None:
        return None, np.inf
    return float(limits[0]), float(limits[1])


def _to_levels(
    bounds: tuple[float, float], scale: Constant, zero: Constant
) -> tuple[Constant, Constant] | None:
    """Return the levels of bounds; None if saturation gives the same."""
    info = np.iinfo(zero.dtype.name)
    exact = [np.rint(np.float32(bound) / np.float32(scale.item())) for bound in bounds]
    low, high = (float(np.clip(e + int(zero.item()), info.min, info.max)) for e in exact)
    if low == info.min and high == info.max:
        return None
    return np.array(low, zero.dtype), np.array(high, zero.dtype)


def _move(
    graph: GraphProto,
    clip: NodeProto,
    quantize: NodeProto,
    levels: tuple[Constant, Constant] | None,
) -> None:
    from onnx import helper, numpy_helper

    if levels is None:
        return
    result, source = quantize.output[0], clip.input[0]
    name = f"{quantize.name or result}{SUFFIX}"
    for bound, value in zip(("min", "max"), levels, strict=True):
        graph.initializer.append(numpy_helper.from_array(value, f"{name}_{bound}"))
    moved = helper.make_node(
        "Clip", [f"{name}_quantized", f"{name}_min", f"{name}_max"], [result], name=name
    )
    quantize.output[0], quantize.input[0] = f"{name}_quantized", source
    graph.node.insert(list(graph.node).index(quantize) + 1, moved)
    graph.node.remove(clip)
