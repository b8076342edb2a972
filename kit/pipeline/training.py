"""Quantization-aware training of the corrected float model."""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import TYPE_CHECKING

from kit.encodings import Encoding, Encodings
from kit.errors import RecipeError
from kit.manifest.build_records import Range, Training
from kit.notices import make_notice
from kit.pipeline import training_set
from kit.pipeline.build_state import Preparation
from kit.pipeline.checkpoints import Checkpoints
from kit.pipeline.training_score import HeldOutEvaluation, TrainingScore, explain_rejection
from kit.quantize import distributed
from kit.quantize.distributed import Group
from kit.quantize.training import Diverged, TrainingPlan, train_round

if TYPE_CHECKING:
    from torch import nn
    from torch.fx import GraphModule

    from kit.pipeline.training_data import TrainingData
    from kit.quantize.examples import Examples
    from kit.quantize.simulation import Simulation

Ends = dict[str, tuple[float, float]]  # low and high end of each activation's range


@dataclass(frozen=True)
class Candidate:
    """A float model as a build would quantize it.

    Attributes:
        student: the model in simulated int8.
        ranges: chosen by search; empty if the recipe's observer does not search.
        encodings: of its activations.
        score: of the student.
    """

    student: Simulation
    ranges: tuple[Range, ...]
    encodings: tuple[Encoding, ...]
    score: TrainingScore


def train(work: Preparation, teacher: nn.Module, folded: GraphModule, examples: Examples) -> None:
    """Train `folded` in place if that improves it, and record the outcome.

    Of several processes, only rank 0 evaluates and records.

    Args:
        work: receives progress, the record, the ranges and notices.
        teacher: the float model in eval mode.
        folded: the corrected float model, where training starts.
        examples: for calibration, which sets the ranges.
    """
    group = distributed.from_environment()
    _check(work, group)
    data = training_set.open_data(work, examples)
    evaluation = HeldOutEvaluation.of(data, teacher)
    recipe = work.recipe
    plan = TrainingPlan(
        recipe.train_steps, recipe.train_batch, recipe.learning_rate, evaluation.power
    )
    start = end = _candidate(work, folded, examples, evaluation, plan)
    trained, steps, note = copy.deepcopy(folded), plan.steps, ""
    try:
        _rounds(work, teacher, trained, start, data, plan, group)
    except Diverged as exc:
        steps, note = exc.step, str(exc)
    if not group.is_rank0:
        return
    Checkpoints(work.cache_key).remove()
    if not note:
        work.progress("comparing the trained model with the one it started from")
        end = _candidate(work, trained, examples, evaluation, plan)
        note = explain_rejection(start.score, end.score)
    if note:
        work.notices.append(make_notice("training.not-kept", reason=note))
    else:
        folded.load_state_dict(trained.state_dict())
    kept = start if note else end
    work.ranges, work.encodings = kept.ranges, Encodings(activations=kept.encodings)
    work.training = _record(work, data, group.size, steps, (start.score, end.score), note)


def _check(work: Preparation, group: Group) -> None:
    if group.size > work.recipe.train_batch:
        raise RecipeError(
            f"{group.size} processes cannot share a batch of {work.recipe.train_batch} pictures",
            f"use --train-batch {group.size} or more",
        )


def _record(
    work: Preparation,
    data: TrainingData,
    processes: int,
    steps: int,
    scores: tuple[TrainingScore, TrainingScore],
    note: str,
) -> Training:
    return Training(
        source=data.source,
        pictures=data.digests,
        objective="cross-entropy" if data.labelled else "distillation",
        steps=steps,
        batch=work.recipe.train_batch,
        learning_rate=work.recipe.learning_rate,
        processes=processes,
        sqnr_db=(scores[0].sqnr_db, scores[1].sqnr_db),
        kept=not note,
        note=note,
    )


def _candidate(
    work: Preparation,
    model: GraphModule,
    examples: Examples,
    evaluation: HeldOutEvaluation,
    plan: TrainingPlan,
) -> Candidate:
    """Calibrate a model as the formats will, and evaluate it."""
    from kit.quantize import encoding_choice, range_search

    student = _simulation(work, model)
    student.calibrate(examples, work.pictures.output_margin)
    search = work.recipe.observer == "search"
    ranges = range_search.search(student, examples) if search else ()
    encodings = encoding_choice.list_activation_encodings(model, student)
    _keep_float(work, student)
    return Candidate(student, ranges, encodings, evaluation.score(student.graph, plan))


def _ranged(work: Preparation, model: GraphModule, ends: Ends) -> Simulation:
    """Return the model in simulated int8 with given ranges."""
    simulation = _simulation(work, model)
    for name, fake in simulation.activations.items():
        fake.low, fake.high = ends[name]
    simulation.quantize(None)
    _keep_float(work, simulation)
    return simulation


def _simulation(work: Preparation, model: GraphModule) -> Simulation:
    from kit.quantize.simulation import Simulation

    return Simulation(model, work.recipe.granularity, work.recipe.observer)


def _keep_float(work: Preparation, simulation: Simulation) -> None:
    for name in work.kept_float:
        simulation.weights[name].enabled = False


def _rounds(
    work: Preparation,
    teacher: nn.Module,
    model: GraphModule,
    start: Candidate,
    data: TrainingData,
    plan: TrainingPlan,
    group: Group,
) -> None:
    """Train a float model in place, from its start or from the checkpoint of a killed build.

    Raises:
        Diverged: the learning rate is too high.
    """
    checkpoints = Checkpoints(work.cache_key)
    state, note = group.broadcast(checkpoints.load() if group.is_rank0 else None)
    work.notices += [make_notice("training.restarted", reason=note)] if note else []
    again = f", going on after step {state['step']} of a build that was stopped" if state else ""
    work.progress(f"training on {len(data.seen)} pictures of {data.source}{again}")
    # Ranks on other machines may have rounded differently.
    model.load_state_dict(group.broadcast(state["model"] if state else model.state_dict()))
    ends = group.broadcast({name: (f.low, f.high) for name, f in start.student.activations.items()})
    student = _ranged(work, model, ends)
    part = group.part(plan.batch)
    while state is None or state["step"] < plan.steps:
        state, loss = train_round(
            student, teacher, lambda step: data.step(step, plan.batch, part), plan, group, state
        )
        if group.is_rank0:
            checkpoints.save(state)
        work.progress(f"training {state['step']}/{plan.steps}, loss {loss:.4g}")
    model.load_state_dict(student.float_state())
