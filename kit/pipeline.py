"""The only file that knows all steps from a recipe to a bundle."""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kit import __version__, bundle, cache, family, formats, golden, lower, verify, workers
from kit.bundle import (
    REFERENCE,
    Artifact,
    Bundle,
    Calibration,
    Comparison,
    Golden,
    Preprocessing,
    Source,
    Tensor,
)
from kit.calibration import Pictures, choose, identity
from kit.corrections import _plan
from kit.errors import VerificationFailed
from kit.quantize._observers import check as check_observer
from kit.recipe import Recipe

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from torch import nn
    from torch.fx import GraphModule

    Array = NDArray[np.float32]

CHILD_BYTES = 3 * 2**30  # what lowering to ExecuTorch takes, rounded up

# A quantized model must still give the float model's answers on the golden pictures;
# the calibrated ranges are judged apart, by `kit.quantize._coverage`.
AGAINST_FLOAT = {"agreement": 0.6, "sqnr_db": 5.0}
FLOAT_AGAINST_FLOAT = {"agreement": 0.99, "sqnr_db": 40.0}

Progress = Callable[[str], None]


@dataclass
class _Work:
    """What the steps hand on to each other."""

    recipe: Recipe
    folder: Path
    progress: Progress
    preprocessing: Preprocessing
    classes: int
    weights: Source = field(init=False)
    parameters: int = 0
    calibration: Calibration | None = None
    corrections: tuple[str, ...] = ()
    warnings: list[str] = field(default_factory=list)


def build(
    recipe: Recipe,
    target: str | Path,
    progress: Progress = lambda stage: None,
    use_cache: bool = True,
) -> Bundle:
    """Build, quantize, lower and verify a model.

    Args:
        recipe: what to build; see `kit.recipe.make`.
        target: folder of the bundle; an existing bundle there is replaced.
        progress: called with the name of each stage as it begins.
        use_cache: take an unchanged recipe's bundle from the cache.

    Raises:
        KitError: one of its subclasses, see `kit.errors`; nothing is left behind.
    """
    path = Path(target)
    bundle.check_target(path)
    progress("reading the inputs")
    _plan.resolve(recipe.corrections)
    check_observer(recipe.observer)
    pictures = choose(recipe)
    name = cache.key(identity(recipe, pictures))
    if use_cache and (found := cache.find(name, path)) is not None:
        progress("taken from the cache")
        return found
    with bundle.staged(path) as folder:
        _make(recipe, pictures, folder, progress)
    made = bundle.load(path)
    cache.keep(name, made)
    return made


def _make(recipe: Recipe, pictures: Pictures, folder: Path, progress: Progress) -> None:
    spec = family.load("models", recipe.model).SPEC
    preprocessing = Preprocessing(
        resize=round(recipe.resolution * spec.resize_ratio),
        crop=recipe.resolution,
        mean=spec.mean,
        std=spec.std,
    )
    work = _Work(recipe, folder, progress, preprocessing, spec.classes)
    progress("loading PyTorch and the weights")
    # Threads that spin while they wait slow everything down beside busy children; OpenMP
    # reads this when torch is imported.
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")
    model = _model(work)
    progress("choosing golden and calibration pictures")
    shared = Path(tempfile.mkdtemp(prefix="kit-"))
    try:
        _lower(work, model, pictures, shared)
    finally:
        shutil.rmtree(shared, ignore_errors=True)


def _model(work: _Work) -> nn.Module:
    """Return the float model with its weights, in eval mode."""
    import torch

    from kit.models import _weights

    recipe = work.recipe
    module = family.load("models", recipe.model)
    torch.manual_seed(recipe.seed)
    model: nn.Module = module.build(recipe.width, work.classes)
    if recipe.weights == "random":
        _settle(model, work)
        work.weights = Source(source=f"random, seed {recipe.seed}", sha256="")
        work.warnings.append(
            "the weights are random: sizes and speed mean something, answers do not"
        )
    else:
        path, source = _weights_file(work, module.SPEC.weights)
        _weights.load_into(model, _weights.read_state(path), path.name)
        digest = _weights.source_hash(recipe.weights, module.SPEC.weights, recipe.seed)
        work.weights = Source(source=source, sha256=digest)
    work.progress(f"weights: {work.weights.source}")
    work.parameters = sum(p.numel() for p in model.parameters())
    return model.eval()


def _weights_file(work: _Work, official: Any) -> tuple[Path, str]:
    from kit.models import _weights

    if work.recipe.weights != "imagenet":
        path = Path(work.recipe.weights)
        return path, f"file {path.name}"
    fetched = _weights.official(official)
    work.warnings.extend(note for note in fetched.notes if "sha256" in note)
    return fetched.path, fetched.source


def _settle(model: nn.Module, work: _Work) -> None:
    """Let BatchNorm see pictures: an untrained network's answers are all but zero without."""
    import torch

    from kit.images import photos

    images = torch.from_numpy(photos.crops(8, work.preprocessing, work.recipe.seed))
    model.train()
    with torch.no_grad():
        for _ in range(20):
            model(images)
    model.eval()


def _lower(work: _Work, model: nn.Module, pictures: Pictures, shared: Path) -> None:
    """Lower every format in children; meanwhile make the reference and check the calibration."""
    import numpy as np
    import torch

    from kit.quantize._graph import fold

    inputs, reference = golden.choose(model, work.preprocessing)
    images = pictures.load(work.preprocessing)
    folded = fold(model)
    _correct(work, folded, images)
    np.save(shared / lower.GOLDEN, inputs)
    np.save(shared / lower.CALIBRATION, images)
    torch.save(folded.state_dict(), shared / lower.FLOAT_STATE)
    tasks, jobs = _tasks(work, pictures, shared)
    at_once = workers.width(len(tasks), CHILD_BYTES)
    threads = str(max(1, (os.cpu_count() or 1) // at_once))
    environment = {"OMP_NUM_THREADS": threads, "OMP_WAIT_POLICY": "passive"}
    with workers.Pool(tasks, at_once, environment) as pool:
        work.progress(f"lowering to {', '.join(work.recipe.formats)}")
        formats.get(REFERENCE).export(model, torch.from_numpy(inputs[:1]), shared / "reference.pt2")
        _check_calibration(work, folded, images, inputs, pictures)
        pool.wait(lambda name: work.progress(f"{name} lowered"))
    answers = [lower.read_answer(job) for job in jobs]
    for file in ("reference.pt2", *(a.artifact.file for a in answers)):
        # torch's own writers report a full disk as an internal error, a copy says what it is
        shutil.copyfile(shared / file, work.folder / file)
    work.progress("verifying")
    artifacts = [_verified(work, a.artifact, shared, reference) for a in answers]
    qconfig = {a.artifact.format: a.qconfig for a in answers}
    _finish(work, inputs, reference, artifacts, qconfig)


def _correct(work: _Work, folded: GraphModule, images: Array) -> None:
    """Correct the float model once, for all formats."""
    import torch

    if not family.load("quantize", work.recipe.quantize).INFO.calibrates:
        return
    work.corrections = _plan.resolve(work.recipe.corrections)
    for name in work.corrections:
        work.progress(f"correction: {name}")
        step = family.load("corrections", name)
        step.apply(folded, torch.from_numpy(images), work.recipe.granularity)


def _tasks(work: _Work, pictures: Pictures, shared: Path) -> tuple[list[workers.Task], list[Path]]:
    # ExecuTorch takes longest, so it starts first; the order of the bundle stays the recipe's.
    tasks, jobs = [], []
    for name in work.recipe.formats:
        file = shared / f"{name}.json"
        job = lower.Job(
            format=name,
            recipe=work.recipe,
            classes=work.classes,
            shared=shared,
            output_margin=pictures.output_margin,
            threads=1,
        )
        file.write_text(job.model_dump_json(), encoding="utf-8")
        command = [sys.executable, "-m", "kit.lower", str(file)]
        tasks.append(workers.Task(name, command, shared / f"{name}.log"))
        jobs.append(file)
    tasks.sort(key=lambda task: task.name != "executorch")
    return tasks, jobs


def _check_calibration(
    work: _Work, folded: GraphModule, images: Array, natural: Array, pictures: Pictures
) -> None:
    """Record the calibration set, and refuse one that does not cover natural pictures.

    Raises:
        VerificationFailed: too many of a layer's values lie outside the calibrated range.
    """
    import torch

    from kit.quantize import _coverage

    if not family.load("quantize", work.recipe.quantize).INFO.calibrates:
        return
    work.progress("checking what the calibration covers")
    found = _coverage.coverage(folded, torch.from_numpy(images), torch.from_numpy(natural))
    share = f"{100 * found.outside:.2g} % of the values of {found.layer} on natural pictures"
    if found.outside > _coverage.TOLERATED and work.recipe.weights != "random":
        raise VerificationFailed(
            f"the calibration set ({pictures.source}, {len(images)} pictures) does not cover "
            f"natural pictures: {share} lie outside the range it gave",
            "calibrate with 32 or more pictures like those the model will see",
        )
    if found.outside > _coverage.DOUBTFUL:
        work.warnings.append(f"thin calibration: {share} will be clipped; use more pictures")
    if pictures.warning:
        work.warnings.append(pictures.warning)
    work.calibration = Calibration(
        source=pictures.source,
        images=len(images),
        sha256=pictures.sha256,
        pictures=pictures.digests,
        worst_layer=found.layer,
        outside=found.outside,
    )


def _verified(work: _Work, artifact: Artifact, shared: Path, reference: Array) -> Artifact:
    """Compare the runtime with its graph and with the float model.

    Raises:
        VerificationFailed: with both sides' statistics.
    """
    import numpy as np

    info = formats.get(artifact.format).INFO
    graph = np.load(shared / f"{artifact.format}.graph.npy")
    runtime = np.load(shared / f"{artifact.format}.runtime.npy")
    exact = {"max_abs": 0.0} if info.exact and artifact.quantize != "none" else {}
    near = {"agreement": info.graph.agreement, "sqnr_db": info.graph.sqnr_db}
    comparisons: list[Comparison] = []
    for against, right, limits in (
        ("quantized graph", graph, exact or near),
        ("float reference", reference, _against_float(work.recipe)),
    ):
        found = verify.compare(against, right, runtime, limits)  # type: ignore[arg-type]
        verify.require(artifact.format, found, right, runtime)
        comparisons.append(found)
    (work.folder / "golden").mkdir(exist_ok=True)
    np.save(work.folder / "golden" / f"{artifact.format}.npy", runtime)
    return artifact.model_copy(update={"parity": tuple(comparisons)})


def _against_float(recipe: Recipe) -> dict[str, float]:
    if recipe.weights == "random":
        return {}  # all answers of an untrained network are near ties
    return FLOAT_AGAINST_FLOAT if recipe.quantize == "none" else AGAINST_FLOAT


def _finish(
    work: _Work,
    inputs: Array,
    reference: Array,
    artifacts: list[Artifact],
    qconfig: dict[str, dict[str, str]],
) -> None:
    """Write golden files, labels and the manifest."""
    import numpy as np

    from kit.images import photos
    from kit.images.labels import imagenet_categories

    np.save(work.folder / "golden" / "input.npy", inputs)
    np.save(work.folder / "golden" / f"{REFERENCE}.npy", reference)
    labels = None
    if work.classes == len(imagenet_categories()):
        labels = "labels.txt"
        text = "\n".join(imagenet_categories()) + "\n"
        (work.folder / labels).write_text(text, encoding="utf-8")
    outputs = {name: f"golden/{name}.npy" for name in (REFERENCE, *work.recipe.formats)}
    side = work.recipe.resolution
    fields = {
        "kit_version": __version__,
        "created": datetime.now(UTC),
        "recipe": work.recipe,
        "recipe_hash": work.recipe.hash,
        "parameters": work.parameters,
        "input": Tensor(name="image", shape=(1, 3, side, side)),
        "output": Tensor(name="logits", shape=(1, work.classes)),
        "preprocessing": work.preprocessing,
        "labels": labels,
        "weights": work.weights,
        "calibration": work.calibration,
        "corrections": work.corrections,
        "qconfig": qconfig,
        "golden": Golden(
            input="golden/input.npy", images=len(inputs), source=photos.SOURCE, outputs=outputs
        ),
        "artifacts": tuple(artifacts),
        "warnings": tuple(work.warnings),
        "tools": cache.tool_versions(),
    }
    bundle.write_manifest(work.folder, fields)
