"""Choose encodings by one calibration of the canonical graph, for all flows."""

from __future__ import annotations

from typing import TYPE_CHECKING

from kit.encodings import LEVELS, MIDDLE, Encoding, Encodings
from kit.errors import RecipeError, UnknownName
from kit.quantize._names import owns_encoding
from kit.quantize.bias_range import fit_biases
from kit.quantize.nodes import get_layer, list_layer_names, name_node

if TYPE_CHECKING:
    from collections.abc import Collection

    from torch import Tensor
    from torch.fx import GraphModule

    from kit.quantize.examples import Examples
    from kit.quantize.options import Options
    from kit.quantize.simulation import Simulation

# Minimum scale of an activation, as in XNNPACK's configuration. qnnpack cannot add two tensors
# whose scales differ by 2**14, and an untrained residual branch is all zeros.
EPS = 2**-12
# Minimum scale of a weight. XNNPACK's configuration has 2**-12, which is too coarse for
# channels whose weights are all below 0.03; equalization makes many such channels.
WEIGHT_EPS = 2**-24


def choose_encodings(model: GraphModule, examples: Examples, options: Options) -> Encodings:
    """Return the encodings in the options, or else calibrate with the options' observer.

    Args:
        model: the canonical graph.
        examples: for calibration.
        options: of the method.
    """
    if options.encodings is not None:
        return options.encodings
    from kit.quantize.simulation import Simulation

    simulation = Simulation(model, options.granularity, options.observer)
    simulation.calibrate(examples, options.output_margin)
    chosen = list_activation_encodings(model, simulation)
    return add_weight_encodings(
        model, chosen, options.granularity, options.keep_float, options.activation_bits
    )


def check_names(model: GraphModule, encodings: Encodings) -> Encodings:
    """Check the names of encodings from a file, and return them.

    Raises:
        RecipeError: one is for a tensor that the graph does not have.
    """
    nodes = [name_node(node) for node in model.graph.nodes if node.op != "output"]
    weights = [f"{name}.weight" for name in list_layer_names(model)]
    for names, chosen in ((nodes, encodings.activations), (weights, encodings.weights)):
        for one in chosen:
            if one.name not in names:
                near = UnknownName.among("tensor", one.name, names)
                raise RecipeError(f"the model has no tensor {one.name!r} to encode", near.hint)
    return encodings


def list_activation_encodings(model: GraphModule, simulation: Simulation) -> tuple[Encoding, ...]:
    """Return the encodings of a canonical graph's tensors from its calibrated simulation.

    Operators that only move or average values have none: they share their input's.
    """
    owners = (name_node(node) for node in model.graph.nodes if owns_encoding(node))
    ranges = {name: simulation.activations[name] for name in owners}
    return tuple(encode_range(name, fake.low, fake.high) for name, fake in ranges.items())


def add_weight_encodings(
    model: GraphModule,
    activations: tuple[Encoding, ...],
    granularity: str,
    kept: Collection[str] = (),
    activation_bits: int = 8,
) -> Encodings:
    """Return encodings of activations together with those of the weights of layers.

    Layers are the convolutions and linear layers of `list_layer_names`.

    Args:
        model: the canonical graph.
        activations: the encodings of its tensors.
        granularity: of the weights' scales, which are symmetric.
        kept: names of the layers that stay float.
        activation_bits: that the activations will have.
    """
    weights = tuple(
        encode_weight(f"{name}.weight", get_layer(model, name).weight, granularity)
        for name in list_layer_names(model)
        if name not in kept
    )
    return fit_biases(model, Encodings(activations=activations, weights=weights), activation_bits)


def encode_range(name: str, low: float, high: float) -> Encoding:
    """Return the encoding of a range, computed in float32 like the packages' observers do."""
    import numpy as np

    bottom, top = min(np.float32(low), np.float32(0)), max(np.float32(high), np.float32(0))
    scale = max((top - bottom) / np.float32(LEVELS), np.float32(EPS))
    offset = int(np.clip(np.rint(bottom / scale), -LEVELS, 0))
    return Encoding(name=name, scales=(float(scale),), offsets=(offset,))


def encode_weight(name: str, weight: Tensor, granularity: str) -> Encoding:
    """Return the symmetric encoding of a weight [out, ...] with 127 steps on each side."""
    from kit.quantize.fake_quantizers import STEPS

    flat = weight.detach().flatten(1) if granularity == "per-channel" else weight.reshape(1, -1)
    scales = (flat.abs().amax(1) / float(STEPS)).clamp_min(WEIGHT_EPS).tolist()
    return Encoding(
        name=name, scales=tuple(scales), offsets=(MIDDLE,) * len(scales), symmetric=True
    )
