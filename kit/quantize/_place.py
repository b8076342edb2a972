"""Place encodings in a prepared graph, for both torch.ao and PT2E.

A quantizer inserts observers. Each observer of an activation is replaced by one with fixed
parameters, those of the tensor's encoding, so that no calibration is needed. Observers of
weights and other constants observe these.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, cast

from kit.encodings import Encoding, Encodings
from kit.errors import BuildError
from kit.quantize._names import TensorNames, make_placement_error
from kit.quantize.bias_range import BiasRange
from kit.quantize.encoding_choice import encode_range

if TYPE_CHECKING:
    from torch import nn
    from torch.fx import GraphModule, Node

    from kit.quantize.examples import Call
    from kit.quantize.observers import Observer, Observers
    from kit.quantize.options import Options

_SCALES = "calculate_qparams"  # the method of an observer that returns scales and zero points

# Returns the names of the encodings that cover the tensor of a node of a flow's graph.
Finder = Callable[["Node"], frozenset[str]]


class Placing:
    """Places the encodings of one build in one flow's graph.

    Attributes:
        names: of the canonical graph's tensors.
        biases: the scales of weights at which biases fit.
    """

    def __init__(
        self, model: GraphModule, encodings: Encodings, options: Options, package: Observers
    ) -> None:
        """Check the encodings.

        Args:
            model: the canonical graph.
            encodings: of its tensors.
            options: of the method.
            package: has `FixedQParamsObserver`, of torch.ao or torchao.

        Raises:
            BuildError: an encoding is for a tensor that the graph does not have.
        """
        self.names = TensorNames(model, encodings)
        self.biases = BiasRange(self.names, encodings, options.activation_bits)
        self._kept = options.keep_float
        self._package = package
        self._encodings = {one.name: one for one in encodings.activations}
        self._weights = {one.name: one for one in encodings.weights}

    def place(self, prepared: GraphModule, finder: Finder, example: Call) -> str:
        """Replace all observers of activations by encodings; return a summary in words.

        Args:
            prepared: a quantizer's graph with observers.
            finder: see `Finder`.
            example: arguments of one inference, which runs the observers of constants.

        Raises:
            BuildError: a tensor that the quantizer quantizes has no encoding, or the encoding of
                an int8 layer's input or output cannot be placed.
        """
        placed: set[str] = set()
        for observer, nodes in _observed(prepared):
            constants = [node for node in nodes if node.op == "get_attr"]
            if len(constants) == len(nodes):
                continue
            names: frozenset[str] = frozenset()
            for node in nodes:
                match = finder(node)
                if not match and node.op != "get_attr":
                    raise _no_encoding(node)
                names |= match
            ends = [self._encodings[name].ends for name in sorted(names)]
            ends += [_ends(prepared, constant) for constant in constants]
            encoding = self._encodings[min(names)] if len(ends) == 1 else _joined(ends)
            _replace(prepared, observer, self._fixed(encoding, observer))
            placed |= names
        self.names.check_placed(placed, self._kept)
        prepared(*example)
        return _words(self._encodings, placed)

    def weight(self, name: str, channels: int | None) -> Encoding | None:
        """Return the encoding of a layer's weight; None if it is derived from the weight.

        Args:
            name: of the weight.
            channels: outputs of the layer if each has a scale; None for one scale.

        Raises:
            BuildError: it has another number of scales.
        """
        match = self._weights.get(name)
        if match is not None and len(match.scales) != (channels or 1):
            raise make_placement_error(
                name, f"it has {len(match.scales)} scales, and the weight needs {channels or 1}"
            )
        return match

    def _fixed(self, encoding: Encoding, observer: Observer) -> Observer:
        zero = observer.quant_min - encoding.offsets[0]
        return self._package.FixedQParamsObserver(
            scale=encoding.scales[0],
            zero_point=zero,
            dtype=observer.dtype,
            qscheme=observer.qscheme,
            quant_min=observer.quant_min,
            quant_max=observer.quant_max,
        )


def fix_scales(observer: Observer, encoding: Encoding) -> Observer:
    """Make a weight's observer always return an encoding's scales, and return the observer."""
    import torch

    scales = torch.tensor(encoding.scales, dtype=torch.float32)
    zeros = torch.zeros(len(encoding.scales), dtype=torch.int64)
    observer.__dict__[_SCALES] = lambda: (scales, zeros)
    return observer


def is_observer(graph: GraphModule, node: Node) -> bool:
    """Whether a node calls a quantizer's observer."""
    if node.op != "call_module":
        return False
    return observes(graph.get_submodule(str(node.target)))


def observes(module: nn.Module) -> bool:
    """Whether a module is a quantizer's observer."""
    return hasattr(module, _SCALES)


def _observed(prepared: GraphModule) -> list[tuple[Observer, list[Node]]]:
    """Return every observer with the nodes whose tensors it observes; some observe several."""
    match: dict[int, tuple[Observer, list[Node]]] = {}
    for node in prepared.graph.nodes:
        if not is_observer(prepared, node):
            continue
        # `is_observer` has checked it; torchao's observers have no types.
        observer = cast("Observer", prepared.get_submodule(str(node.target)))
        source = node.args[0]
        while is_observer(prepared, source):
            source = source.args[0]
        match.setdefault(id(observer), (observer, []))[1].append(source)
    return list(match.values())


def _ends(graph: GraphModule, constant: Node) -> tuple[float, float]:
    owner, _, name = str(constant.target).rpartition(".")
    low, high = getattr(graph.get_submodule(owner), name).detach().aminmax()
    return float(low), float(high)


def _joined(ends: list[tuple[float, float]]) -> Encoding:
    """Return the common encoding of several tensors, which covers all their values."""
    low, high = (min(low for low, _ in ends), max(high for _, high in ends))
    return encode_range("", low, high)


def _no_encoding(node: Node) -> BuildError:
    name = node.meta.get("custom", {}).get("tensor") or node.name
    return BuildError(
        f"{name} is quantized and has no encoding",
        "give it one, or leave encodings out: then all are chosen",
    )


def _replace(prepared: GraphModule, old: Observer, new: Observer) -> None:
    """Replace an observer under all its names: operators that only move values share one."""
    for name, module in list(prepared.named_modules(remove_duplicate=False)):
        if module is old:
            prepared.set_submodule(name, new)


def _words(known: dict[str, Encoding], placed: set[str]) -> str:
    """Return the number of placed encodings, and the tensors that this format keeps in float."""
    rest = [name for name in known if name not in placed]
    if not rest:
        return f"{len(placed)} placed"
    shown = ", ".join(rest[:10]) + (", …" if len(rest) > 10 else "")
    return f"{len(placed)} placed; not quantized by this format: {shown}"
