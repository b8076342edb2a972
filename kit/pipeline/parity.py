"""Compare each runtime's answers with the lowered graph's and with the float model's."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from kit import formats, lowering_job, signature
from kit.algorithms import get_algorithm
from kit.devices import hostinfo
from kit.errors import KitError, VerificationFailed
from kit.formats.interface import predict
from kit.manifest.artifacts import Artifact, Comparison
from kit.notices import Notice, make_notice
from kit.pipeline import _finish
from kit.pipeline.build_state import INACCURATE_DB
from kit.precisions import get_precision
from kit.recipe import Recipe
from kit.signature import Samples
from kit.tasks.interface import GoldenSet

if TYPE_CHECKING:
    from kit.comparison import Against
    from kit.pipeline.build_state import Work

# An untrained network's answers are near ties, and one value that its first layer rounds
# differently grows to a third of the signal.
UNTRAINED = {"sqnr_db": 3.0}


def verify_all(
    work: Work, lowered: Sequence[lowering_job.Lowered], golden: GoldenSet
) -> tuple[Artifact, ...]:
    """Return the artifacts whose answers are right; record the others as failures.

    Args:
        work: the build, whose shared folder has the answers of graph and runtime.
        lowered: by the children.
        golden: inputs and the float model's answers.

    Raises:
        BuildError, VerificationFailed: the first failure of the build, if no file is left or
            `all_or_nothing` is set.
    """
    work.progress("verifying")
    artifacts = []
    for one in lowered:
        try:
            artifacts.append(verify_artifact(work, one.artifact, golden))
        except VerificationFailed as exc:
            work.add_failure(one.artifact.key, "verification", exc)
    failures = work.list_failures()
    if failures and (work.all_or_nothing or not artifacts):
        raise failures[0].error
    return tuple(artifacts)


def verify_artifact(work: Work, artifact: Artifact, golden: GoldenSet) -> Artifact:
    """Return the artifact with its comparisons, and write its golden answers.

    Args:
        work: the build, whose shared folder has the answers of graph and runtime.
        artifact: to verify.
        golden: inputs and the float model's answers.

    Raises:
        VerificationFailed: its answers differ too much; the message has a diagnosis.
    """
    name, outputs = artifact.name, golden.answers.specs
    graph = signature.load(outputs, work.shared / lowering_job.GRAPH.format(name=name))
    runtime = graph
    if artifact.executed:
        runtime = signature.load(outputs, work.shared / lowering_job.RUNTIME.format(name=name))
    pairs: tuple[tuple[Against, Samples, dict[str, float]], ...] = (
        ("quantized graph", graph, _against_graph(work.recipe, artifact)),
        ("float reference", golden.answers, _against_float(work.recipe, artifact)),
    )
    if not artifact.executed:
        pairs = pairs[1:]
        work.notices.append(make_notice("artifact.not-run", file=name))
    comparisons: list[Comparison] = []
    for against, right, limits in pairs:
        thresholds = {
            name: value for name, value in limits.items() if name in work.task.threshold_names
        }
        compared = work.task.compare(against, right, runtime, thresholds)
        for comparison in compared:
            if not comparison.passed:
                raise _failure(work, artifact, comparison, right, runtime)
        comparisons += compared
    work.notices += warn_inaccurate(work.recipe, artifact, comparisons)
    _finish.save_golden(work.folder, name, runtime)
    _finish.save_golden(work.folder, f"{name}.graph", graph)
    return artifact.model_copy(update={"parity": tuple(comparisons)})


def _against_graph(recipe: Recipe, artifact: Artifact) -> dict[str, float]:
    format_ = formats.get_format(artifact.format)
    thresholds = format_.find_thresholds(artifact.backend)
    if thresholds is None and artifact.quantize != "none":
        return {"max_abs": 0.0}
    if recipe.weights == "random":
        return UNTRAINED
    limits = thresholds or format_.thresholds
    return {"agreement": limits.agreement, "sqnr_db": limits.sqnr_db}


def _against_float(recipe: Recipe, artifact: Artifact) -> dict[str, float]:
    if recipe.weights == "random":
        return {}  # all answers of an untrained network are near ties
    # The calibrated ranges are checked separately, by `kit.quantize.coverage`.
    limits = get_precision(artifact.precision).limits
    return {"agreement": limits.agreement, "sqnr_db": limits.sqnr_db}


def warn_inaccurate(
    recipe: Recipe, artifact: Artifact, comparisons: Sequence[Comparison]
) -> list[Notice]:
    """Return a notice for a file that passed and is far from the float model."""
    ratios = [c.sqnr_db for c in comparisons if c.against == "float reference"]
    worst = min((ratio for ratio in ratios if ratio is not None), default=INACCURATE_DB)
    trained = recipe.weights != "random" and get_algorithm(artifact.quantize).calibrates
    if not trained or worst >= INACCURATE_DB:
        return []
    return [make_notice("int8.inaccurate", file=artifact.name, sqnr=worst)]


def _failure(
    work: Work, artifact: Artifact, comparison: Comparison, right: Samples, runtime: Samples
) -> VerificationFailed:
    """Return the error, with a diagnosis of its cause."""
    limits = ", ".join(f"{k} {v:g}" for k, v in comparison.thresholds.items())
    lines = [
        f"{artifact.name} does not compute what the {comparison.against} computes, on "
        f"{comparison.images} {work.task.sample}s: {_numbers(comparison)}; asked for: {limits}",
        f"  {comparison.against}: {work.task.describe_answers(right)}",
        f"  {artifact.name}: {work.task.describe_answers(runtime)}",
        f"  run by {artifact.runtime.name} {artifact.runtime.version} on {hostinfo.describe()}",
    ]
    floats = _compute_in_float(work, artifact)
    in_float = None
    if floats is not None:
        compared = work.task.compare(comparison.against, right, floats, comparison.thresholds)
        in_float = next(one for one in compared if one.output == comparison.output)
        lines.append(f"  the same file computed in float: {_numbers(in_float)}")
    kernels = in_float is not None and in_float.passed
    return VerificationFailed(
        "\n".join(lines),
        choose_hint(work.recipe, artifact.quantize, comparison, kernels),
        [{"name": artifact.name, **comparison.model_dump(mode="json")}],
    )


def _numbers(comparison: Comparison) -> str:
    ratio = "equal" if comparison.sqnr_db is None else f"{comparison.sqnr_db:.1f} dB"
    share = "" if comparison.agreement is None else f"agreement {comparison.agreement:.2f}, "
    where = f" at the output {comparison.output}" if comparison.output else ""
    return f"{share}SQNR {ratio}, max abs {comparison.max_abs:.3g}{where}"


def _compute_in_float(work: Work, artifact: Artifact) -> Samples | None:
    """Return the file's answers computed in float, None if its runtime cannot do that."""
    try:
        format_ = formats.get_format(artifact.format)
        session = format_.load_float(work.shared / artifact.file, 1)
        golden = signature.load(work.inputs.specs, work.shared / lowering_job.GOLDEN)
        return None if session is None else predict(session, golden)
    except KitError:
        return None


def choose_hint(recipe: Recipe, quantize: str, comparison: Comparison, kernels: bool) -> str:
    """Return the hint of a failure.

    Args:
        recipe: of the build.
        quantize: the method of the file.
        comparison: that failed.
        kernels: whether the file's answers are right when computed in float.
    """
    if kernels:
        return (
            "the file is right, but this runtime's kernels for integers are wrong on this "
            "processor: please report it; --format without it builds the others"
        )
    if comparison.against == "quantized graph" or quantize == "none":
        return "the runtime or its exporter is at fault: please report it, or leave the format out"
    if quantize in ("dynamic", "weights"):
        return "use --quantize static, or leave the precision out"
    if recipe.calibrate is None:
        return "calibrate with pictures like those the model will see: --calibrate DIR_OR_ZIP"
    if recipe.granularity == "per-tensor":
        return "quantize with one scale per channel: --granularity per-channel"
    if recipe.tokenizer is not None and quantize != "dynamic":  # which `kit analyze` does not take
        return (
            "activations of transformers have outliers that one scale per tensor cannot hold: "
            "--quantize dynamic takes a scale from each input"
        )
    return "`kit analyze` says which layers int8 hurts, and --repair what helps"
