"""Keep layers in float if the int8 network is inaccurate.

The int8 network is simulated on a few calibration samples. Where it is inaccurate, layers and
operations are ranked in a copy whose weights are not rounded by a correction, which would hide
what rounding costs. The model is corrected and calibrated again for those that are chosen, and
measured once more.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from kit import cost
from kit.corrections import plan
from kit.notices import make_notice
from kit.pipeline._calibrate import calibrate, correct
from kit.pipeline.build_state import INACCURATE_DB, Preparation, make_reporter

if TYPE_CHECKING:
    from torch import nn
    from torch.fx import GraphModule

    from kit.analysis.keeping import Judged, Keeping
    from kit.quantize.examples import Examples
    from kit.quantize.simulation import Simulation

SAMPLES = 8  # on which the int8 network is simulated in every build
MIN_GAIN_DB = 1.0  # for which layers are kept if the network stays inaccurate
_ROUNDS = 2  # of choices, each corrected and measured
_SEARCH = "looking for layers that int8 hurts"


@dataclass(frozen=True)
class _Outcome:
    """A model that is corrected and calibrated, with its SQNR in dB.

    Attributes:
        work: with the layers in float, encodings, ranges and extremes.
        state: of the folded model.
        ratio: of the worst output.
    """

    work: Preparation
    state: dict[str, object]
    ratio: float


def keep_if_inaccurate(
    work: Preparation,
    model: nn.Module,
    folded: GraphModule,
    examples: Examples,
    simulation: Simulation,
) -> None:
    """Measure the int8 network; if it is inaccurate, keep layers in float that repair it.

    Args:
        work: receives the layers, their encodings and a notice, if any are kept.
        model: the float model in eval mode.
        folded: its graph, corrected; it is corrected again if layers are kept.
        examples: for calibration.
        simulation: of the corrected graph, calibrated.
    """
    from kit.analysis.case import sample_positions
    from kit.analysis.keeping import judge_network

    few = examples.take(sample_positions(len(examples), SAMPLES))
    judged = judge_network(model, few)
    if judged is None:
        return
    before = judged.judge(judged.simulate(folded, simulation), ())
    if not before < INACCURATE_DB:
        return
    work.progress(f"the int8 network has {before:.1f} dB: {_SEARCH}")
    start = _Outcome(replace(work), _copy_state(folded), before)
    best = max([start, *_try(start, model, folded, examples, judged)], key=lambda one: one.ratio)
    if best.ratio - before <= MIN_GAIN_DB:
        best = start
    folded.load_state_dict(best.state)
    for name in ("kept_float", "encodings", "ranges", "extremes"):
        setattr(work, name, getattr(best.work, name))
    if work.kept_float:
        kept = work.kept_float
        notice = make_notice("float.kept", layers=kept, before=before, after=best.ratio)
        work.notices.append(notice)


def _try(
    start: _Outcome, model: nn.Module, folded: GraphModule, examples: Examples, judged: Judged
) -> Iterator[_Outcome]:
    """Choose layers, and yield the model that is corrected and calibrated for them."""
    from kit.quantize.graph import fold

    keeping, unrounded = _rank(start.work, fold(model, examples), examples, judged)
    # What corrections of rounding gain, they are assumed to gain with layers in float as well.
    goal = INACCURATE_DB + unrounded - start.ratio
    seen: set[tuple[str, ...]] = {()}
    for _ in range(_ROUNDS):
        kept = keeping.choose(goal)
        if kept in seen:
            return
        seen.add(kept)
        work = replace(start.work, kept_float=kept)
        folded.load_state_dict(fold(model, examples).state_dict())
        correct(work, folded, examples)
        simulated = judged.simulate(folded, calibrate(work, folded, examples))
        outcome = _Outcome(work, _copy_state(folded), judged.judge(simulated, kept))
        yield outcome
        if outcome.ratio >= INACCURATE_DB:
            return
        goal += INACCURATE_DB - outcome.ratio


def _rank(
    work: Preparation, trial: GraphModule, examples: Examples, judged: Judged
) -> tuple[Keeping, float]:
    """Return the choices of layers, and the SQNR in dB of the network that they start from.

    Args:
        work: of the build.
        trial: the folded model, not corrected; it is corrected.
        examples: for calibration.
        judged: to measure on.
    """
    from kit.analysis.keeping import Keeping
    from kit.analysis.repair import REBIASING
    from kit.analysis.sensitivity import SPEED_UP

    steps = [name for name in plan.resolve(work.recipe.corrections) if name not in REBIASING]
    changes = {"corrections": ",".join(steps) or "none"}
    again = replace(work, recipe=work.recipe.model_copy(update=changes))
    correct(again, trial, examples)
    simulated = judged.simulate(trial, calibrate(again, trial, examples))
    costs = {
        name: share * (SPEED_UP - 1)
        for name, share in cost.find_shares(trial, examples.first()).items()
    }
    step = make_reporter(work.progress, _SEARCH)
    return Keeping(simulated, judged, costs, step), judged.judge(simulated, ())


def _copy_state(folded: GraphModule) -> dict[str, object]:
    return {name: value.clone() for name, value in folded.state_dict().items()}
