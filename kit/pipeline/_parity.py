"""Each runtime's answers against the graph that was lowered and against the float model."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from kit import formats, verify
from kit.devices import _hostinfo
from kit.errors import KitError, VerificationFailed
from kit.formats.interface import predict
from kit.manifest import Artifact, Comparison
from kit.recipe import Recipe

if TYPE_CHECKING:
    from kit.pipeline._work import Array, Work
    from kit.verify import Against

# A quantized model must still give the float model's answers on the golden pictures;
# the calibrated ranges are judged apart, by `kit.quantize._coverage`.
AGAINST_FLOAT = {"agreement": 0.6, "sqnr_db": 5.0}
FLOAT_AGAINST_FLOAT = {"agreement": 0.99, "sqnr_db": 40.0}

# An untrained network's answers are near ties, and one value rounded the other way in its
# first layer becomes a third of its signal.
UNTRAINED = {"sqnr_db": 3.0}


def verify_artifact(work: Work, artifact: Artifact, reference: Array) -> Artifact:
    """Return the artifact with its comparisons, and write its golden answers.

    Args:
        work: the build, whose shared folder has the answers of graph and runtime.
        artifact: that was made.
        reference: the float model's logits for the golden pictures [N, classes].

    Raises:
        VerificationFailed: it computes something else; the message says what is known.
    """
    name = artifact.format
    graph = np.load(work.shared / f"{name}.graph.npy")
    runtime = np.load(work.shared / f"{name}.runtime.npy")
    pairs: tuple[tuple[Against, Array, dict[str, float]], ...] = (
        ("quantized graph", graph, _against_graph(work.recipe, artifact)),
        ("float reference", reference, _against_float(work.recipe)),
    )
    comparisons = []
    for against, right, limits in pairs:
        comparison = verify.compare(against, right, runtime, limits)
        if not comparison.passed:
            raise _failure(work, artifact, comparison, right, runtime)
        comparisons.append(comparison)
    golden = work.folder / "golden"
    golden.mkdir(exist_ok=True)
    np.save(golden / f"{name}.npy", runtime)
    np.save(golden / f"{name}.graph.npy", graph)
    return artifact.model_copy(update={"parity": tuple(comparisons)})


def _against_graph(recipe: Recipe, artifact: Artifact) -> dict[str, float]:
    format_ = formats.get_format(artifact.format)
    if format_.exact and artifact.quantize != "none":
        return {"max_abs": 0.0}
    if recipe.weights == "random":
        return UNTRAINED
    return {"agreement": format_.thresholds.agreement, "sqnr_db": format_.thresholds.sqnr_db}


def _against_float(recipe: Recipe) -> dict[str, float]:
    if recipe.weights == "random":
        return {}  # all answers of an untrained network are near ties
    return FLOAT_AGAINST_FLOAT if recipe.quantize == "none" else AGAINST_FLOAT


def _failure(
    work: Work, artifact: Artifact, comparison: Comparison, right: Array, runtime: Array
) -> VerificationFailed:
    """Return the error, with all that helps to tell whose fault it is."""
    limits = ", ".join(f"{k} {v:g}" for k, v in comparison.thresholds.items())
    lines = [
        f"{artifact.format} does not compute what the {comparison.against} computes, on "
        f"{comparison.images} pictures: {_numbers(comparison)}; asked for: {limits}",
        f"  {comparison.against}: {verify.describe_logits(right)}",
        f"  {artifact.format}: {verify.describe_logits(runtime)}",
        f"  run by {artifact.runtime.name} {artifact.runtime.version} on {_hostinfo.describe()}",
    ]
    floats = _compute_in_float(work, artifact)
    in_float = None
    if floats is not None:
        in_float = verify.compare(comparison.against, right, floats, comparison.thresholds)
        lines.append(f"  the same file computed in float: {_numbers(in_float)}")
    kernels = in_float is not None and in_float.passed
    return VerificationFailed("\n".join(lines), _hint(work.recipe, comparison, kernels))


def _numbers(comparison: Comparison) -> str:
    ratio = "equal" if comparison.sqnr_db is None else f"{comparison.sqnr_db:.1f} dB"
    return f"agreement {comparison.agreement:.2f}, SQNR {ratio}, max abs {comparison.max_abs:.3g}"


def _compute_in_float(work: Work, artifact: Artifact) -> Array | None:
    """Return the file's answers without optimizations, where its runtime can do that."""
    from kit import lower

    try:
        format_ = formats.get_format(artifact.format)
        session = format_.load_float(work.shared / artifact.file, 1)
        return None if session is None else predict(session, np.load(work.shared / lower.GOLDEN))
    except KitError:
        return None


def _hint(recipe: Recipe, comparison: Comparison, kernels: bool) -> str:
    """Return what to do.

    Args:
        recipe: of the build.
        comparison: that failed.
        kernels: the file is right when it is computed in float.
    """
    if kernels:
        return (
            "the file is right, and this runtime's kernels for integers are not on this "
            "processor: please report it; --format without it builds the others"
        )
    if comparison.against == "quantized graph" or recipe.quantize == "none":
        return "the runtime or its exporter is at fault: please report it, or leave the format out"
    if recipe.calibrate is None and recipe.quantize != "dynamic":
        return "calibrate with pictures like those the model will see: --calibrate DIR_OR_ZIP"
    if recipe.granularity == "per-tensor":
        return "quantize with one scale per channel: --granularity per-channel"
    return "`kit analyze` says which layers int8 hurts, and --repair what helps"
