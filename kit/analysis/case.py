"""A model in simulated int8 with any of its layers in float, and the pictures to measure on."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import TYPE_CHECKING

from kit.analysis._replay import Replay, ReplaySetting, arrange
from kit.analysis.points import list_points, select_int8
from kit.analysis.score import Labels, MeasureAgreement, Score, compute_score
from kit.quantize.nodes import list_layer_names, list_operation_names

if TYPE_CHECKING:
    from torch import Tensor
    from torch.fx import GraphModule

    from kit.quantize.examples import ExamplesLike
    from kit.quantize.simulation import Simulation
    from kit.signature import FloatArray


@dataclass(frozen=True)
class Case:
    """The constant inputs of an analysis.

    Attributes:
        calibration: pictures [N, 3, H, W] that set the ranges.
        pictures: to measure on.
        reference: the float model's logits for them [N, classes, …]; of a model with several
            outputs all of them side by side, each multiplied by its `scales`.
        granularity: of the weights' scales.
        output_margin: see `kit.quantize.options.Options`.
        speed_up: assumed speed-up by int8, for estimates of latency.
        labels: of the pictures; None if unknown.
        scales: by which each value of an answer is multiplied, so that outputs of several units
            have equal power; None for one output.
        measure_agreement: of two answers; None for logits.
    """

    calibration: Tensor
    pictures: Tensor
    reference: FloatArray
    granularity: str
    output_margin: float
    speed_up: float
    labels: Labels | None = None
    scales: FloatArray | None = None
    measure_agreement: MeasureAgreement | None = None

    def score(self, answers: FloatArray) -> Score:
        """Return the score of answers to the pictures."""
        return compute_score(self.reference, answers, self.labels, self.measure_agreement)


class Simulated:
    """A folded float model in simulated int8, calibrated.

    Attributes:
        points: the quantized tensors, in order.
        layers: names of the convolutions and linear layers, in order.
        keepable: names of all that can be kept in float: the layers, then other operations.
        ranges: of each tensor by name, (low, high).
    """

    def __init__(
        self, folded: GraphModule, simulation: Simulation, scales: FloatArray | None = None
    ) -> None:
        """Take a calibrated simulation.

        Args:
            folded: the model that it simulates.
            simulation: its settings are changed.
            scales: see `Case`.
        """
        self.points = list_points(folded)
        self.layers = list_layer_names(folded)
        self.keepable = (*self.layers, *list_operation_names(folded))
        self._scales = scales
        self._simulation = simulation
        activations = simulation.activations
        # Adding zero normalizes minus zero.
        self.ranges = {name: (fake.low + 0.0, fake.high) for name, fake in activations.items()}

    @classmethod
    def calibrated(
        cls, folded: GraphModule, case: Case, observer: str, search: bool = True
    ) -> Simulated:
        """Calibrate a folded float model.

        Args:
            folded: the model.
            case: its calibration pictures and scales are used.
            observer: see `kit.quantize.observers`.
            search: whether the observer ``search`` searches; its initial ranges are enough to
                rank layers.
        """
        from kit.quantize import range_search
        from kit.quantize.simulation import Simulation

        simulation = Simulation(folded, case.granularity, observer)
        simulation.calibrate(case.calibration, case.output_margin)
        if search and observer == "search":
            range_search.search(simulation, case.calibration)
        return cls(folded, simulation, case.scales)

    def all_but(self, kept: Collection[str]) -> ReplaySetting:
        """Return the setting with some layers in float, like in the formats."""
        return ReplaySetting(
            select_int8(self.points, kept), frozenset(self.layers) - frozenset(kept)
        )

    def logits(self, images: ExamplesLike, kept: Collection[str]) -> FloatArray:
        """Return the answers [N, classes] with some layers in float."""
        arrange(self._simulation, self.all_but(kept))
        answers: FloatArray = self._simulation.logits(images).numpy()
        return answers if self._scales is None else answers * self._scales

    def replay(self, images: ExamplesLike) -> Replay:
        """Return a replay, which runs many settings on a few pictures."""
        return Replay(self._simulation, images, self._scales)


def sample_positions(count: int, maximum: int) -> list[int]:
    """Return up to `maximum` of the positions 0 to count - 1, evenly spread."""
    return (
        list(range(count)) if count <= maximum else [i * count // maximum for i in range(maximum)]
    )
