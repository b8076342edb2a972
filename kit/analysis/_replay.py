"""Run one simulation with many settings, and compute only what a setting changes.

Every tensor of a base run is cached for a few pictures at a time; a run that differs from the
fifth layer on starts there. With one layer changed at a time that halves the work.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from kit.quantize.examples import as_examples, join_outputs

if TYPE_CHECKING:
    from torch import Tensor
    from torch.fx import Node

    from kit.quantize.examples import Call, Examples, ExamplesLike
    from kit.quantize.nodes import NodeValue
    from kit.quantize.simulation import Simulation
    from kit.signature import FloatArray

VALUES = 3 * 4 * 224 * 224  # of inputs whose tensors are kept at once: 0.2 GB for MobileNetV2


@dataclass(frozen=True)
class ReplaySetting:
    """Names of the quantized tensors and weights.

    Attributes:
        activations: tensors.
        weights: layers whose weights are rounded.
    """

    activations: frozenset[str]
    weights: frozenset[str]


class Replay:
    """A calibrated simulation and the examples to run it on."""

    def __init__(
        self, simulation: Simulation, examples: ExamplesLike, scales: FloatArray | None = None
    ) -> None:
        """Replace in-place operations in the simulation's graph.

        Args:
            simulation: of the network.
            examples: to run it on.
            scales: see `kit.analysis.case.Case`.
        """
        self._simulation = simulation
        self._scales = scales
        self._parts = split_calls(as_examples(examples))
        simulation.keep_inputs()
        self._nodes: list[Node] = list(simulation.graph.graph.nodes)
        names = {id(fake): name for name, fake in simulation.activations.items()}
        self._activation = [self._named(node, names) for node in self._nodes]

    def _named(self, node: Node, names: dict[int, str]) -> str | None:
        if node.op != "call_module":
            return None
        return names.get(id(self._simulation.graph.get_submodule(str(node.target))))

    def run(
        self,
        base: ReplaySetting,
        others: Sequence[ReplaySetting],
        see: Callable[[str, Tensor], None] = lambda name, value: None,
        step: Callable[[], None] = lambda: None,
    ) -> tuple[FloatArray, list[FloatArray]]:
        """Return the logits [N, classes] of the base and of each other setting.

        Args:
            base: similar to the others, so that much can be reused.
            others: the settings to try.
            see: called with every tensor of the base run before it is rounded.
            step: called after each run of a setting.
        """
        import numpy as np
        import torch

        answers: list[list[FloatArray]] = [[] for _ in range(len(others) + 1)]
        with torch.no_grad():
            for part in self._parts:
                values = self._record(base, part)
                for name, node in zip(self._activation, self._nodes, strict=True):
                    if name is not None:
                        see(name, values[node.all_input_nodes[0]])
                answers[0].append(self._join(values[self._nodes[-1]]))
                for index, setting in enumerate(others):
                    answers[index + 1].append(self._again(base, setting, part, values))
                    step()
        whole = [np.concatenate(rows) for rows in answers]
        return whole[0], whole[1:]

    def _record(self, setting: ReplaySetting, part: Call) -> dict[Node, NodeValue]:
        from torch import fx

        arrange(self._simulation, setting)
        interpreter = fx.Interpreter(self._simulation.graph, garbage_collect_values=False)
        interpreter.run(*part)
        values: dict[Node, NodeValue] = interpreter.env
        return values

    def _again(
        self, base: ReplaySetting, setting: ReplaySetting, part: Call, values: dict[Node, NodeValue]
    ) -> FloatArray:
        from torch import fx

        first = self._first(base, setting)
        inputs = (node for node in self._nodes[first:] if node.op == "placeholder")
        initial = {node: values[node] for node in (*self._nodes[:first], *inputs)}
        arrange(self._simulation, setting)
        interpreter = fx.Interpreter(self._simulation.graph)
        return self._join(interpreter.run(*part, initial_env=initial))

    def _join(self, output: NodeValue) -> FloatArray:
        answers: FloatArray = join_outputs(output).numpy()
        return answers if self._scales is None else answers * self._scales

    def _first(self, base: ReplaySetting, other: ReplaySetting) -> int:
        """Return the position of the first node with a different value."""
        activations = base.activations ^ other.activations
        weights = base.weights ^ other.weights
        for position, (node, name) in enumerate(zip(self._nodes, self._activation, strict=True)):
            if name in activations or (node.op == "call_module" and node.target in weights):
                return position
        return len(self._nodes) - 1


def split_calls(examples: Examples) -> list[Call]:
    """Split examples into calls whose tensors fit into memory."""
    return examples.split(max(1, VALUES // examples.elements))


def arrange(simulation: Simulation, setting: ReplaySetting) -> None:
    """Quantize exactly the tensors and weights of a setting."""
    for name, fake in simulation.activations.items():
        fake.mode = "quantize" if name in setting.activations else "off"
    for name, weight in simulation.weights.items():
        weight.enabled = name in setting.weights
