"""Compute what depends on weights alone, such as the order of an LSTM's gates.

torch's exporter leaves slices and joins of large weights in the graph. A runtime computes them as
it loads the file, but ONNX Runtime's quantizer only takes weights that are tensors of the file: it
leaves an LSTM in float, without a word.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from onnx import GraphProto

_FOLDED = {"Concat", "Identity", "Reshape", "Slice", "Squeeze", "Transpose", "Unsqueeze"}


def fold_constants(graph: GraphProto) -> None:
    """Replace nodes that only move values of initializers by their result, in place."""
    from onnx import numpy_helper
    from onnx.reference import ReferenceEvaluator

    stored = {tensor.name: tensor for tensor in graph.initializer}
    made: dict[str, NDArray[np.generic]] = {}

    def read(name: str) -> NDArray[np.generic]:
        return made[name] if name in made else numpy_helper.to_array(stored[name])

    for node in list(graph.node):
        known = all(not name or name in made or name in stored for name in node.input)
        if node.op_type not in _FOLDED or not known or not any(node.input):
            continue
        feeds = {name: read(name) for name in node.input if name}
        results = ReferenceEvaluator(node).run(None, feeds)
        made |= dict(zip(node.output, results, strict=True))
        graph.node.remove(node)
    used = {name for node in graph.node for name in node.input}
    used |= {value.name for value in graph.output}
    for tensor in [tensor for tensor in graph.initializer if tensor.name not in used]:
        graph.initializer.remove(tensor)
    for name in made.keys() & used:
        graph.initializer.append(numpy_helper.from_array(made[name], name))
