"""Measure the loss by int8 at each place of a network, and the gain of float there.

Loss: only this layer's weights and output are rounded, everything else is float. Gain: the
whole model is int8, and only this layer is float, like in the formats (`kit.analysis.points`).
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from kit.analysis._replay import ReplaySetting
from kit.analysis.case import Case, Simulated, sample_positions
from kit.analysis.points import Point
from kit.analysis.score import Score
from kit.calibration import PICTURES_MARGIN
from kit.comparison import compute_sqnr_db
from kit.signature import FloatArray

if TYPE_CHECKING:
    from torch import Tensor
    from torch.fx import GraphModule

PICTURES = 16  # more pictures change the order of the worst layers as little as other pictures do
_ANSWER_BYTES = 16 * 2**20  # of one setting; those of all settings, a hundred, are kept at once
SPEED_UP = 2.1  # MobileNetV2's .pte, int8 against fp32, in the README's table

Step = Callable[[float], None]  # called with the completed share, 0..1


@dataclass(frozen=True)
class LayerRecord:
    """One place: a layer with its output tensor, or a tensor that no layer computes.

    Attributes:
        name: of the layer, the operation or the input.
        kind: as `kit.cost` names layers; else ``input``, ``addition`` or ``operation``.
        layer: whether it is a layer, which can be kept in float by its name.
        kept: whether it is in float already.
        sqnr_db: of the model's answers if only this place is int8; infinite if equal.
        range: low and high end of its tensor, None if that is not quantized.
        saturated: share of its values outside the range, 0..1.
        share: of the model's multiply-adds, 0..1.
        latency: estimated cost of keeping it in float, as a share of the int8 latency.
        gain_db: SQNR of the whole int8 model if this layer is float, minus without; infinite
            if that is equal to float, None if it is no layer, or gains were not measured.
    """

    name: str
    kind: str
    layer: bool
    kept: bool
    sqnr_db: float
    range: tuple[float, float] | None
    saturated: float
    share: float
    latency: float
    gain_db: float | None = None

    def record(self) -> dict[str, object]:
        """Return the numbers for JSON."""
        return {
            "name": self.name,
            "kind": self.kind,
            "kept_float": self.kept,
            "sqnr_db": None if self.sqnr_db == float("inf") else self.sqnr_db,
            "range": self.range,
            "saturated": self.saturated,
            "multiply_adds_share": self.share,
            "gain_db": self.gain_db if self.gain_db != float("inf") else None,
            "added_latency": self.latency if self.layer else None,
        }


@dataclass(frozen=True)
class Study:
    """All places of a model, in the network's order, and scores of whole models.

    Attributes:
        records: the places.
        whole: the int8 model.
        corrected: the float model after its corrections, nothing quantized.
    """

    records: tuple[LayerRecord, ...]
    whole: Score
    corrected: Score

    def worst(self) -> list[LayerRecord]:
        """Return the places by their loss by int8, the worst first."""
        return sorted(self.records, key=lambda record: record.sqnr_db)


def measure(
    folded: GraphModule, images: Tensor, granularity: str, observer: str
) -> tuple[LayerRecord, ...]:
    """Return a record of each convolution and linear layer, in order, without gains.

    Args:
        folded: the float model, BatchNorm folded, corrected.
        images: the calibration batch [N, 3, H, W]; a few of them are used for measuring.
        granularity: of the weights' scales.
        observer: see `kit.quantize.observers`.
    """
    few = images[sample_positions(len(images), PICTURES)]
    case = Case(images, few, np.empty((0, 0), np.float32), granularity, PICTURES_MARGIN, SPEED_UP)
    model = Simulated.calibrated(folded, case, observer, search=False)
    places, _ = _alone(model, case, folded, (), lambda done: None)
    return tuple(record for record in places if record.layer)


def make_study(
    folded: GraphModule,
    case: Case,
    observer: str,
    kept: Collection[str] = (),
    step: Step = lambda done: None,
) -> Study:
    """Return a record of every place, with gains, and the score of the whole.

    Args:
        folded: the float model, BatchNorm folded, corrected.
        case: pictures and other constant inputs; see `thin_case`.
        observer: see `kit.quantize.observers`.
        kept: layers that the recipe keeps in float.
        step: called repeatedly with the completed share.
    """
    model = Simulated.calibrated(folded, case, observer)
    records, corrected = _alone(model, case, folded, kept, lambda done: step(done / 2))
    base = model.all_but(kept)
    candidates = [r.name for r in records if r.layer and not r.kept]
    counted = _Counter(lambda done: step((1 + done) / 2), case, len(candidates))
    settings = [model.all_but({*kept, name}) for name in candidates]
    whole, answers = model.replay(case.pictures).run(base, settings, step=counted)
    before = _db(case.reference, whole)
    gains = {
        name: _gain(before, _db(case.reference, logits))
        for name, logits in zip(candidates, answers, strict=True)
    }
    return Study(
        records=tuple(replace(record, gain_db=gains.get(record.name)) for record in records),
        whole=case.score(whole),
        corrected=case.score(corrected),
    )


def thin_case(case: Case, maximum: int = PICTURES) -> Case:
    """Return a case with up to `maximum` of its pictures, evenly spread; fewer of large maps."""
    maximum = min(maximum, max(2, _ANSWER_BYTES // case.reference[0].nbytes))
    few = sample_positions(len(case.pictures), maximum)
    labels = None if case.labels is None else case.labels[few]
    return replace(case, pictures=case.pictures[few], reference=case.reference[few], labels=labels)


def _alone(
    model: Simulated, case: Case, folded: GraphModule, kept: Collection[str], step: Step
) -> tuple[list[LayerRecord], FloatArray]:
    """Return the records without gains, and the answers of the unquantized model."""
    places = _places(model)
    nothing = ReplaySetting(frozenset(), frozenset())
    outside = _Outside(model.ranges)
    settings = [_only(name, point, model) for name, point in places]
    counted = _Counter(step, case, len(places))
    exact, answers = model.replay(case.pictures).run(nothing, settings, outside.see, counted)
    costs = _costs(folded, case)
    total = sum(count for _, count in costs.values()) or 1  # a network may have no layers
    records = []
    for (name, point), logits in zip(places, answers, strict=True):
        kind, count = costs.get(name, (point.kind if point else "", 0))
        is_layer = name in model.layers
        records.append(
            LayerRecord(
                name=name,
                kind=kind,
                layer=is_layer,
                kept=name in kept,
                sqnr_db=_db(exact, logits),
                range=model.ranges[point.name] if point else None,
                saturated=outside.share(point.name) if point else 0.0,
                share=count / total,
                latency=count / total * (case.speed_up - 1),
            )
        )
    return records, exact


def _places(model: Simulated) -> list[tuple[str, Point | None]]:
    """Return layers and other quantized tensors by name, in the network's order."""
    point_of = {point.maker: point for point in model.points if point.maker}
    order: list[tuple[str, Point | None]] = []
    waiting = list(model.layers)
    for point in model.points:
        if point.maker is None:
            order.append((point.name, point))
            continue
        while waiting and waiting[0] not in point_of:
            order.append((waiting.pop(0), None))
        if waiting:
            name = waiting.pop(0)
            order.append((name, point_of[name]))
    return order + [(name, point_of.get(name)) for name in waiting]


def _only(name: str, point: Point | None, model: Simulated) -> ReplaySetting:
    activations = frozenset({point.name} if point else ())
    return ReplaySetting(activations, frozenset({name} & set(model.layers)))


def _costs(folded: GraphModule, case: Case) -> dict[str, tuple[str, int]]:
    """Return kind and multiply-adds by layer; a layer that runs twice is summed."""
    from kit import cost

    costs: dict[str, tuple[str, int]] = {}
    for layer in cost.count(folded, tuple(case.pictures.shape[1:])).layers:
        before = costs.get(layer.name, ("", 0))[1]
        costs[layer.name] = layer.kind, before + layer.multiply_adds
    return costs


def _gain(before: float, after: float) -> float:
    return 0.0 if after == before else after - before  # both may be infinite


def _db(reference: FloatArray, logits: FloatArray) -> float:
    ratio = compute_sqnr_db(reference, logits.reshape(reference.shape))
    return float("inf") if ratio is None else ratio


class _Outside:
    """Counts the values that are outside a tensor's range by more than a rounding error."""

    def __init__(self, ranges: dict[str, tuple[float, float]]) -> None:
        self._ranges = ranges
        self._outside = dict.fromkeys(ranges, 0)
        self._seen = dict.fromkeys(ranges, 0)

    def see(self, name: str, value: Tensor) -> None:
        low, high = self._ranges[name]
        half = (high - low) / 255 / 2
        outside = (value < low - half) | (value > high + half)
        self._outside[name] += int(outside.sum())
        self._seen[name] += value.numel()

    def share(self, name: str) -> float:
        return self._outside[name] / max(1, self._seen[name])


class _Counter:
    """Converts runs on a few pictures at a time to the completed share."""

    def __init__(self, step: Step, case: Case, settings: int) -> None:
        from kit.analysis._replay import split_calls
        from kit.quantize.examples import as_examples

        self._all = settings * len(split_calls(as_examples(case.pictures)))
        self._step = step
        self._done = 0

    def __call__(self) -> None:
        self._done += 1
        self._step(self._done / self._all)
