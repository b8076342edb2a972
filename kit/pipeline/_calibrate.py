"""Correct a folded model, and choose the encodings of its tensors from calibration samples."""

from __future__ import annotations

from typing import TYPE_CHECKING

from kit.corrections import get_correction, plan
from kit.pipeline.build_state import Preparation, make_reporter

if TYPE_CHECKING:
    from torch.fx import GraphModule

    from kit.quantize.examples import Examples
    from kit.quantize.simulation import Simulation


def correct(work: Preparation, folded: GraphModule, examples: Examples) -> None:
    """Apply the recipe's corrections to a folded model, in place.

    Args:
        work: receives their names; the weights of `work.kept_float` are not rounded.
        folded: the model.
        examples: for calibration.
    """
    recipe = work.recipe
    work.corrections = plan.resolve(recipe.corrections)
    for name in work.corrections:
        work.progress(f"correction: {name}")
        step = get_correction(name)
        progress = make_reporter(work.progress, f"correction: {name}")
        step.apply(folded, examples, recipe.granularity, work.kept_float, progress)


def calibrate(work: Preparation, folded: GraphModule, examples: Examples) -> Simulation:
    """Choose the encodings of a corrected model, and return its simulation with their ranges.

    Args:
        work: receives encodings, ranges and extremes.
        folded: the model.
        examples: for calibration.
    """
    from kit.quantize import encoding_choice, range_search
    from kit.quantize.simulation import Simulation
    from kit.quantize.statistics import Extremes

    recipe = work.recipe
    work.progress("choosing activation ranges")
    simulation = Simulation(folded, recipe.granularity, recipe.observer)
    extremes = Extremes()  # for `check_calibration`, from the same pass
    simulation.calibrate(examples, work.pictures.output_margin, (extremes,))
    work.extremes = extremes.ends
    if recipe.observer == "search":
        work.ranges = range_search.search(
            simulation, examples, make_reporter(work.progress, "choosing activation ranges")
        )
    chosen = encoding_choice.list_activation_encodings(folded, simulation)
    work.encodings = encoding_choice.add_weight_encodings(
        folded, chosen, recipe.granularity, work.kept_float
    )
    return simulation
