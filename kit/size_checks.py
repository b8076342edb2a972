"""Runs networks and files whose inputs vary at other sizes than the recipe's.

A build makes probes: golden samples cut off or repeated to the smallest and the largest sizes, with
the float model's answers. Each file is run on them, so that one that computes with the recipe's own
size, which no error would reveal, is refused.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import cycle
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from kit import signature
from kit.comparison import compute_sqnr_db
from kit.error_text import format_message
from kit.errors import BuildError
from kit.formats.interface import Format, Session, predict
from kit.lowering_job import LoweringJob, SizeProbe
from kit.network import run_network
from kit.precisions import get_precision
from kit.signature import Samples
from kit.varying import BATCH, Varying

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from torch import nn

_ROWS = 2  # samples of a probe
_BATCH_SQNR_DB = 30.0  # kernels for one and several samples may round differently
_FLOAT_SQNR_DB = 40.0  # of the folded float model, against the model as it was
# What equal answers count as. Integer kernels round one or two levels of an output otherwise.
_EQUAL_DB, _EQUAL_ROUNDED_DB = 60.0, 35.0
_WORSE_DB = 15.0  # how much worse a file may be at other sizes than at the recipe's own
_UNTRAINED_DB = 3.0  # answers of untrained networks are near ties, see `kit.pipeline.parity`
_LEAVE_OUT = "leave --dynamic out, or leave the format out with --format"
_NARROW = "name bounds that it takes, or leave --dynamic out"


@dataclass(frozen=True)
class Probe:
    """Samples of one choice of sizes.

    Attributes:
        record: names, sizes and specs.
        inputs: of the model.
        answers: of the float model.
    """

    record: SizeProbe
    inputs: Samples
    answers: Samples


def make_probes(
    model: nn.Module, golden: Samples, names: Sequence[str], varying: Varying, from_end: bool
) -> tuple[Probe, ...]:
    """Return samples of the smallest, the largest and mixed sizes, with a float model's answers.

    Args:
        model: the float model.
        golden: inputs of the recipe's sizes.
        names: of the outputs.
        varying: dimensions of inputs; the batch is not probed here.
        from_end: see `kit.signature.resize`.

    Raises:
        BuildError: the model fails at a size, or answers with NaN or infinity.
    """
    return tuple(
        _probe(model, golden.take(slice(_ROWS)), names, varying, sizes, from_end)
        for sizes in choose_sizes(varying)
    )


def choose_sizes(varying: Varying) -> list[dict[str, int]]:
    """Return the smallest and largest sizes, and both side by side where several vary.

    A network for squares would take the first two, if height and width have equal bounds.
    """
    sizes = [one for one in varying if one.name != BATCH]
    if not sizes:
        return []
    choices = [
        {one.name: one.min for one in sizes},
        {one.name: one.max for one in sizes},
        {one.name: one.min if low else one.max for one, low in zip(sizes, cycle((True, False)))},
    ]
    return [choice for at, choice in enumerate(choices) if choice not in choices[:at]]


def _probe(
    model: nn.Module,
    golden: Samples,
    names: Sequence[str],
    varying: Varying,
    sizes: dict[str, int],
    from_end: bool,
) -> Probe:
    axes = {one.axis: sizes[one.name] for one in varying if one.name in sizes}
    inputs, shown = signature.resize(golden, axes, from_end), format_sizes(sizes)
    try:
        answers = run_network(model, inputs, names)
    except Exception as exc:  # the user's code and torch raise various errors
        reason = _find_reason(exc)
        raise BuildError(f"the network fails at {shown}: {reason}", _NARROW) from exc
    return Probe(
        SizeProbe(sizes=sizes, inputs=inputs.specs, outputs=answers.specs), inputs, answers
    )


def _find_reason(exc: Exception) -> str:
    """Return the line of an error that says the cause; TorchScript's first lines do not."""
    lines = [line.strip() for line in format_message(exc).splitlines() if line.strip()]
    causes = [line for line in lines if line.startswith("RuntimeError:")]
    return ([*causes[-1:], *lines, type(exc).__name__][0]).removeprefix("RuntimeError: ")[:200]


def format_sizes(sizes: dict[str, int]) -> str:
    """Return sizes for people: ``height 64, width 32``."""
    return ", ".join(f"{name} {length}" for name, length in sizes.items())


def check_folded(folded: nn.Module, probes: Sequence[Probe]) -> None:
    """Check that the folded float model has no size of the recipe's in it.

    Raises:
        BuildError: it answers differently at other sizes.
    """
    for probe in probes:
        shown = format_sizes(probe.record.sizes)
        names = [spec.name for spec in probe.answers.specs]
        try:
            answers = run_network(folded, probe.inputs, names)
        except Exception as exc:  # torch raises various errors
            reason = _find_reason(exc)
            raise BuildError(
                f"the network's graph fails at {shown}, since its forward fixes a size: {reason}",
                _NARROW,
            ) from exc
        for spec, noise in _compare(probe.answers, answers):
            if noise < _FLOAT_SQNR_DB:
                raise BuildError(
                    f"the network's graph answers {shown} differently in {spec}, since its "
                    "forward fixes a size",
                    "compute with the sizes of the input in forward, or leave --dynamic out",
                )


def save_probes(probes: Sequence[Probe], folder: Path) -> None:
    """Write probes for `check_sizes` into the shared folder of a build."""
    for number, probe in enumerate(probes):
        signature.save(probe.inputs, folder / f"size{number}.inputs.arrays")
        signature.save(probe.answers, folder / f"size{number}.answers.arrays")


def check_sizes(
    session: Session, graph: nn.Module, own: tuple[Samples, Samples], job: LoweringJob, form: Format
) -> None:
    """Check that a file answers at every probe of a job as its graph and the float model do.

    Args:
        session: of the file.
        graph: that was lowered.
        own: answers of the graph and of the file at the recipe's sizes.
        job: with the probes.
        form: of the file.

    Raises:
        BuildError: the file or its graph fails at a size or answers differently.
    """
    names = [spec.name for spec in job.outputs]
    for number, record in enumerate(job.probes):
        shown = format_sizes(record.sizes)
        inputs = signature.load(record.inputs, job.shared / f"size{number}.inputs.arrays")
        floats = signature.load(record.outputs, job.shared / f"size{number}.answers.arrays")
        right = _run_graph(graph, inputs, names, shown)
        try:
            answers = predict(session, inputs)
        except Exception as exc:  # torch and runtimes raise various errors
            reason = _find_reason(exc)
            raise BuildError(f"{job.key.name} fails at {shown}: {reason}", _LEAVE_OUT) from exc
        limits = _choose_limits(job, form, own)
        for what, one, other, limit in (
            ("its graph", right, answers, limits[0]),
            ("the float model", floats, answers, limits[1]),
        ):
            for spec, noise in _compare(one, other):
                if noise < limit:
                    raise BuildError(
                        f"{job.key.name} answers {shown} differently from {what}, in {spec} "
                        f"(SQNR {noise:.1f} dB)",
                        _LEAVE_OUT,
                    )
        if job.recipe.max_batch > 1:
            check_batches(session, inputs, answers, job, f" of {shown}")


def _run_graph(graph: nn.Module, inputs: Samples, names: Sequence[str], shown: str) -> Samples:
    """Return the answers of a lowered graph.

    Raises:
        BuildError: it does not take these sizes; `torch.export` has put guards into it.
    """
    try:
        return run_network(graph, inputs, names)
    except Exception as exc:  # torch raises various errors
        reason = _find_reason(exc)
        if reason.startswith("Guard failed"):
            raise BuildError(
                f"torch.export takes {shown} for a case of its own, as where a map has one pixel",
                "let the sizes begin at larger ones, or leave --dynamic out",
            ) from exc
        raise BuildError(f"the graph fails at {shown}: {reason}", _NARROW) from exc


def _choose_limits(
    job: LoweringJob, form: Format, own: tuple[Samples, Samples]
) -> tuple[float, float]:
    """Return the lower SQNR in dB against the graph and against the float model."""
    if job.recipe.weights == "random":
        return _UNTRAINED_DB, -np.inf
    equal = _EQUAL_DB if job.key.precision == "fp32" else _EQUAL_ROUNDED_DB
    worst = min(equal, *(noise for _, noise in _compare(*own)))
    against_graph = max(form.thresholds.sqnr_db if not form.exact else 0.0, worst - _WORSE_DB)
    return against_graph, get_precision(job.key.precision).limits.sqnr_db


def _compare(right: Samples, other: Samples) -> Iterator[tuple[str, float]]:
    """Yield the name of each output and its SQNR in dB, which is that of equal answers at most."""
    for spec, one, two in zip(right.specs, right.arrays, other.arrays, strict=True):
        if one.shape != two.shape or not np.isfinite(two).all():
            yield spec.name, -np.inf
            continue
        noise = compute_sqnr_db(one, two)
        yield spec.name, _EQUAL_DB if noise is None else min(noise, _EQUAL_DB)


def check_batches(
    session: Session, inputs: Samples, answers: Samples, job: LoweringJob, of: str = ""
) -> None:
    """Check that a file answers the largest batch as it answers its samples one by one.

    Args:
        session: of the file.
        inputs: of the model.
        answers: of the file, one by one.
        job: whose largest batch it is.
        of: sizes of the samples, for messages.

    Raises:
        BuildError: it does not.
    """
    size = job.recipe.max_batch
    if not job.at_once:
        raise BuildError("its samples have no batch dimension", "leave --dynamic out")
    rows = np.arange(size) % len(inputs)
    batch = signature.group(inputs.take(rows.tolist()), size)[0]
    computed = session.read(session.bind(batch)())
    for spec, array, right in zip(job.outputs, computed, answers.arrays, strict=True):
        wanted = right[rows]
        noise = compute_sqnr_db(wanted, array) if array.shape == wanted.shape else -np.inf
        if noise is not None and noise < _BATCH_SQNR_DB:
            raise BuildError(
                f"{job.key.name} answers {size} samples{of} at once differently from one by one, "
                f"in {spec.name}",
                _LEAVE_OUT,
            )
