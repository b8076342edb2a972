"""What a quantization method is; `tests/test_quantize.py` checks every registered one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from kit.artifact_key import PrecisionName
from kit.formats.properties import Flow
from kit.quantize.options import Options, Quantized

if TYPE_CHECKING:
    from torch.fx import GraphModule

    from kit.quantize.examples import ExamplesLike


class Describe(Protocol):
    """Describes the configuration of the observers."""

    def __call__(self, flow: Flow, options: Options) -> dict[str, str]:
        """Return words by tensor kind."""


class Quantize(Protocol):
    """Quantizes a float model for one flow."""

    def __call__(
        self, model: GraphModule, flow: Flow, examples: ExamplesLike, options: Options
    ) -> Quantized:
        """Return the quantized graph.

        Args:
            model: with BatchNorm folded, see `kit.quantize.graph.fold`.
            flow: the representation that the format lowers.
            examples: the calibration set.
            options: of the recipe.

        Raises:
            BuildError: the model has something that cannot be quantized.
        """


@dataclass(frozen=True)
class Algorithm:
    """A quantization method.

    Attributes:
        name: of its module or entry point.
        summary: for `kit list`.
        calibrates: it needs samples that set activation ranges.
        describe: returns the configuration of the observers, in words.
        quantize: quantizes a float model for one flow.
        keeps_layers: it leaves the layers that `Options.keep_float` names in float.
        trains: the float model is trained first, once for all formats.
        precision: of the files that it makes, if the recipe names none.
        aliases: other words for it, in lower case, which messages suggest it for.
    """

    name: str
    summary: str
    calibrates: bool
    describe: Describe
    quantize: Quantize
    keeps_layers: bool = False
    trains: bool = False
    precision: PrecisionName = "int8"
    aliases: tuple[str, ...] = ()

    def list_aliases(self) -> dict[str, str]:
        """Return the other words for the method, and its name."""
        return dict.fromkeys(self.aliases, self.name)
