"""What a precision is; `tests/test_precisions.py` builds every registered one in every format.

A precision makes the graph that a format lowers: a *candidate*, which PyTorch can run, so that
the file can be compared with it. Which formats have files of a precision is theirs to say
(`kit.formats.interface.Format.precisions`); why the others have none is the precision's
`refusal`, unless a format knows better (`refusals`).
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from kit.algorithms.interface import Algorithm
from kit.formats.properties import Flow, Thresholds
from kit.quantize.options import Options, Quantized
from kit.signature import TensorSpec

if TYPE_CHECKING:
    from torch.fx import GraphModule

    from kit.quantize.examples import Examples


@dataclass(frozen=True)
class CandidateRequest:
    """What a candidate is made with.

    Attributes:
        method: what `Precision.choose_method` named.
        flow: the representation that the format lowers.
        examples: the calibration set.
        options: of the recipe.
        inputs: of the model, in order.
        outputs: of the model, in order.
    """

    method: Algorithm
    flow: Flow
    examples: Examples
    options: Options
    inputs: Sequence[TensorSpec]
    outputs: Sequence[TensorSpec]


class Precision(ABC):
    """A precision of weights and arithmetic, and how a graph gets it.

    Attributes:
        name: of its module, with dashes for underscores, or of its entry point.
        summary: for `kit list`.
        weight_bits: that most weights are stored in.
        activation_bits: that layers compute with.
        limits: minimum agreement and SQNR against the float model on the golden samples of a
            trained network, below which a file counts as broken.
        refusal: why a format that does not name the precision has no such files.
        prepared: it is made of the model that the recipe's method has corrected or trained, even
            if another method quantizes it; else of the model as it was.
        largest: name and value of the largest number, if graphs may exceed it; else empty.
        aliases: other words for it, in lower case, which messages suggest it for.
    """

    name: ClassVar[str]
    summary: ClassVar[str]
    weight_bits: ClassVar[int]
    activation_bits: ClassVar[int]
    limits: ClassVar[Thresholds]
    refusal: ClassVar[str]
    prepared: ClassVar[bool] = False
    largest: ClassVar[str] = ""
    aliases: ClassVar[tuple[str, ...]] = ()

    def list_aliases(self) -> dict[str, str]:
        """Return the other words for the precision, and its name."""
        return dict.fromkeys(self.aliases, self.name)

    @abstractmethod
    def choose_method(self, method: Algorithm) -> str:
        """Return the name of the method that quantizes files of this precision.

        Args:
            method: of the recipe.

        Raises:
            RecipeError: files of this precision need another one.
        """

    def describe(self, method: Algorithm, flow: Flow, options: Options) -> dict[str, str]:
        """Return the configuration in words, by tensor kind; see `CandidateRequest`."""
        return method.describe(flow, options)

    def make_candidate(self, model: GraphModule, request: CandidateRequest) -> Quantized:
        """Return the graph that is lowered.

        Args:
            model: the float model with BatchNorm folded, after its corrections if the method
                calibrates.
            request: what to make it with.

        Raises:
            BuildError: the model has something that cannot be made in this precision.
        """
        return request.method.quantize(model, request.flow, request.examples, request.options)
