"""Simulation of int8 in float (fake quantization), for training and sensitivity analysis.

Weights are rounded to the symmetric grid and activations to the affine grid of the formats, at
the positions where the formats quantize; one simulation represents all of them.
"""

from __future__ import annotations

import copy
import operator
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

import torch
from torch import nn
from torch.nn.utils import parametrize

from kit.quantize._names import find_answers
from kit.quantize.examples import as_examples, join_outputs
from kit.quantize.fake_quantizers import LEVELS, FakeActivation, FakeWeight, Watcher
from kit.quantize.nodes import get_clip_bound, is_quantized_later, name_node
from kit.quantize.observers import choose_activation_observer
from kit.quantize.statistics import Observed, Statistic, collect

if TYPE_CHECKING:
    from torch import Tensor
    from torch.fx import GraphModule, Node

    from kit.quantize.examples import Call, Examples, ExamplesLike

BATCH = 8
FIRST = 2  # samples of the first calibration batch
_PLAIN = {operator.iadd: operator.add, operator.imul: operator.mul, operator.isub: operator.sub}


class Simulation:
    """A copy of a folded float model whose layers can be quantized one by one.

    Attributes:
        graph: maps [N, 3, H, W] to [N, classes].
        activations: by the name of the layer or operation that outputs the tensor.
        weights: by the name of the layer.
        answers: names of activations with the values of the output; see `find_answers`.
    """

    def __init__(self, model: GraphModule, granularity: str, observer: str) -> None:
        """Insert the fake quantizers; nothing is quantized before `calibrate`.

        Args:
            model: folded; `calibrate` runs this model itself, with its weights at that time.
            granularity: of the weights' scales.
            observer: see `kit.quantize.observers`.
        """
        self._model = model
        self.graph = copy.deepcopy(model)
        self.activations: dict[str, FakeActivation] = {}
        self.weights: dict[str, FakeWeight] = {}
        self._fakes: dict[str, str] = {}
        self._observer = observer
        self._place_activations(observer)
        for name, module in list(self.graph.named_modules()):
            if isinstance(module, nn.Conv2d | nn.Linear):
                self.weights[name] = FakeWeight(granularity)
                parametrize.register_parametrization(module, "weight", self.weights[name])

    def _place_activations(self, observer: str) -> None:
        import torchao.quantization.pt2e as observers

        quantized = [node for node in self.graph.graph.nodes if is_quantized_later(node)]
        answers = find_answers(self.graph.graph)
        self.answers = frozenset(name_node(node) for node in quantized if node in answers)
        for node in quantized:
            # A histogram would clip the largest logits, which are rare but decide the answer.
            kind = choose_activation_observer("minmax" if node in answers else observer, observers)
            fake = FakeActivation(kind(dtype=torch.uint8, quant_min=0, quant_max=LEVELS))
            fake.clip = get_clip_bound(node)
            self.activations[name_node(node)] = fake
            self._insert(node, fake)
        self.graph.recompile()

    def _insert(self, node: Node, fake: FakeActivation) -> None:
        name = f"fake_{len(self.activations)}"
        while hasattr(self.graph, name):  # the user may call a layer so
            name += "_"
        self._fakes[name_node(node)] = name
        self.graph.add_submodule(name, fake)
        with self.graph.graph.inserting_after(node):
            added = self.graph.graph.call_module(name, (node,))
        node.replace_all_uses_with(added, delete_user_cb=lambda user: user is not added)

    def calibrate(
        self, examples: ExamplesLike, output_margin: float, also: Sequence[Statistic] = ()
    ) -> None:
        """Set every range from calibration examples; then quantize everything.

        Args:
            examples: the calibration set.
            output_margin: see `kit.quantize.options.Options`.
            also: statistics of the same examples that share this pass over them.
        """
        observed = Observed({name: fake.observer for name, fake in self.activations.items()})
        collect(self._model, self._parts(as_examples(examples)), (observed, *also))
        widened = {*self.answers, list(self.activations)[-1]}
        for name, fake in self.activations.items():
            fake.freeze(output_margin if name in widened else 1.0)
        self.quantize(None)

    def _parts(self, examples: Examples) -> list[Call]:
        if self._observer == "moving-average":  # its average is over calls, not examples
            return examples.split(1)
        # The first batch is small: it sets the bins of histograms, which later ones only extend.
        first, rest = examples.take(slice(FIRST)), examples.take(slice(FIRST, None))
        return [*first.split(FIRST), *(rest.split(BATCH) if len(rest) else ())]

    def quantize(self, names: Collection[str] | None) -> None:
        """Quantize the weights and outputs of these layers only; None quantizes all."""
        for name, fake in self.activations.items():
            fake.mode = "quantize" if names is None or name in names else "off"
        for name, weight in self.weights.items():
            weight.enabled = names is None or name in names

    def keep_inputs(self) -> None:
        """Replace in-place operations such as `x += y` and ReLU(inplace=True) by others."""
        for module in self.graph.modules():
            if hasattr(module, "inplace"):
                module.__dict__["inplace"] = False
        for node in self.graph.graph.nodes:
            if node.op == "call_function":
                node.target = _PLAIN.get(node.target, node.target)
                if node.kwargs.get("inplace"):
                    node.kwargs = {**node.kwargs, "inplace": False}
            elif node.op == "call_method" and hasattr(torch.Tensor, node.target.rstrip("_")):
                node.target = node.target.rstrip("_")
        self.graph.recompile()

    def differentiate(self, call: Call, watchers: Mapping[str, Watcher], seed: int) -> None:
        """Call watchers with tensors of the float network and the gradients of its answers.

        The gradient is of the sum of all logits, each multiplied by 1 or -1 at random: its
        square is, on average, the sum of the logits' squared gradients.

        Args:
            call: arguments of one inference or batch, whose tensors must all fit into memory.
            watchers: by the name of the activation.
            seed: of the signs.

        Raises:
            NotImplementedError: an operator has no gradient.
        """
        self.quantize(())
        self.keep_inputs()
        for name, watcher in watchers.items():
            self.activations[name].watcher = watcher
        try:
            with torch.inference_mode(False), torch.enable_grad():
                own = (value.clone() for value in call)
                inputs = [v.requires_grad_(True) if v.is_floating_point() else v for v in own]
                logits = join_outputs(self.graph(*inputs))
                if not logits.requires_grad:
                    raise NotImplementedError("no gradient leads from the answers to the inputs")
                drawn = torch.rand(logits.shape, generator=torch.Generator().manual_seed(seed))
                torch.where(drawn < 0.5, logits, -logits).sum().backward()
        finally:
            for name in watchers:
                self.activations[name].watcher = None

    def logits(self, examples: ExamplesLike) -> Tensor:
        """Return the answers [N, values] without gradients."""
        parts = as_examples(examples).split(BATCH)
        with torch.no_grad():
            return torch.cat([join_outputs(self.graph(*part)) for part in parts])

    def parameters(self) -> Iterable[nn.Parameter]:
        """Return the parameters for training: the float weights and the biases."""
        trained: Iterable[nn.Parameter] = self.graph.parameters()
        return trained

    def float_state(self) -> dict[str, Tensor]:
        """Return the float weights and biases under the names of the folded model."""
        fakes = frozenset(self._fakes.values())
        return {
            name.replace("parametrizations.weight.original", "weight"): value.detach().clone()
            for name, value in self.graph.state_dict().items()
            if name.partition(".")[0] not in fakes
        }
