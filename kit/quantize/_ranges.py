"""Activation ranges chosen by what they do to the answers.

A histogram cannot tell whether a rare large value matters: in MobileNetV2 the last depthwise
outputs need twice their 99.99 % range, and the additions before them less than theirs. So
each range is scaled by the factor that leaves the logits of some calibration pictures
nearest to the float model's, all other tensors in float; of two that do this about equally
well the wider, since pictures that set a range are clipped by it less than others.

The flows that lower the formats name their tensors differently. A tensor is recognized by
its values on the calibration pictures: least, largest and mean.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from kit.manifest import Range

if TYPE_CHECKING:
    from torch import Tensor

    from kit.quantize._simulate import Simulation

PICTURES = 16
UP = (1.4, 2.0, 2.8)
DOWN = (0.7,)  # further down fits the few pictures that choose
# In MobileNetV2's last depthwise layer the range as calibrated is 3 % better than 1.4 times as
# much on the pictures that choose, and has 4 times the error on others.
ALIKE = 1.15
NEAR = 1e-3  # batches of another size round float sums differently

Seen = tuple[float, float, float]  # least, largest and mean value


def is_of(found: Range, seen: Seen) -> bool:
    """Whether a range belongs to the tensor with these values."""
    spread = max(found.seen[1] - found.seen[0], 1e-12)
    return all(abs(a - b) <= NEAR * spread for a, b in zip(found.seen, seen, strict=True))


def find(ranges: tuple[Range, ...], seen: Seen) -> Range | None:
    """Return the range of the tensor with these values, or None."""
    fits = [found for found in ranges if is_of(found, seen)]
    return min(fits, key=lambda found: abs(found.seen[2] - seen[2]), default=None)


@dataclass
class _Trial:
    """One simulation with its float values, to run again from any tensor on."""

    simulation: Simulation
    values: dict[Any, Any]
    wanted: Tensor

    def error(self, node: Any) -> float:
        """Return the squared error of the logits if the tensor of `node` is rounded."""
        import torch
        from torch import fx

        order = {n: i for i, n in enumerate(self.simulation.graph.graph.nodes)}
        before = {n: v for n, v in self.values.items() if order[n] < order[node]}
        with torch.no_grad():
            got = fx.Interpreter(self.simulation.graph).run(initial_env=before)
        return float((got - self.wanted).square().sum())


def search(simulation: Simulation, images: Tensor) -> tuple[Range, ...]:
    """Choose the ranges of a calibrated simulation, in place, and return them.

    Args:
        simulation: calibrated; its output keeps the range it has.
        images: calibration pictures [N, 3, H, W]; the first 16 are used.
    """
    import torch
    from torch import fx

    simulation.quantize(())
    keeper = fx.Interpreter(simulation.graph, garbage_collect_values=False)
    with torch.no_grad():
        wanted = keeper.run(images[:PICTURES])
    trial = _Trial(simulation, dict(keeper.env), wanted)
    nodes = {n.target: n for n in simulation.graph.graph.nodes if n.op == "call_module"}
    found = []
    names = list(simulation.activations)
    for name in names:
        fake = simulation.activations[name]
        fake.mode = "quantize"
        node = nodes[simulation.module_of(name)]
        factor = 1.0 if name == names[-1] else _best_factor(trial, fake, node)
        fake.low, fake.high = _scaled(fake, factor)
        found.append(
            Range(name=name, low=fake.low, high=fake.high, factor=factor, seen=fake.seen())
        )
        fake.mode = "off"
    simulation.quantize(None)
    return tuple(found)


def _scaled(fake: Any, factor: float) -> tuple[float, float]:
    """Return a range scaled, but not beyond the clip that makes the tensor.

    Wider, the clip would have to be an operator of its own; fused, it is the range that clips.
    """
    return fake.low * factor, min(fake.high * factor, fake.clip)


def _best_factor(trial: _Trial, fake: Any, node: Any) -> float:
    """Go up while that does no harm; if it does at once, go down while that helps."""
    low, high = fake.low, fake.high
    scaled = {factor: _scaled(fake, factor) for factor in (1.0, *UP, *DOWN)}

    def error(factor: float) -> float:
        fake.low, fake.high = scaled[factor]
        return trial.error(node)

    best, least = 1.0, error(1.0)
    for factor in UP:
        if scaled[factor] == scaled[best]:
            break  # the clip is reached
        now = error(factor)
        if now >= ALIKE * least:
            break
        best, least = factor, min(now, least)
    for factor in DOWN if best == 1.0 else ():
        now = error(factor)
        if ALIKE * now >= least:
            break
        best, least = factor, now
    fake.low, fake.high = low, high
    return best
