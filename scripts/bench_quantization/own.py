"""The kit's own builds: the defaults, per granularity, each format run by its own runtime."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from bench_quantization.inputs import Inputs, Setup
from bench_quantization.scores import Row, Score
from kit.errors import KitError, RunError

if TYPE_CHECKING:
    from kit.bundles.bundle import Bundle

GRANULARITIES = ("per-channel", "per-tensor")


def float_bundle(setup: Setup) -> Bundle:
    """Build the float model, with an ONNX file for the peers."""
    import kit

    recipe = kit.make_recipe(
        model=setup.model, weights=setup.weights, quantize="none", formats=("onnx",)
    )
    return kit.build(recipe, setup.work / "float")


def rows(setup: Setup, inputs: Inputs) -> Iterator[Row]:
    """Yield the rows of both granularities; one that cannot be built holds the error.

    Args:
        setup: options of the comparison.
        inputs: pictures of the peers, compared with those that kit took.
    """
    for granularity in GRANULARITIES:
        try:
            yield from _rows(setup, inputs, granularity)
        except KitError as exc:
            setup.report_status(f"kit {granularity}: FAILED: {exc.message}")
            yield Row(f"kit-{granularity}", f"kit {granularity}", failed=exc.message)


def _rows(setup: Setup, inputs: Inputs, granularity: str) -> Iterator[Row]:
    import kit

    setup.report_status(f"kit {granularity}: building")
    recipe = kit.make_recipe(
        model=setup.model,
        weights=setup.weights,
        quantize="static",
        granularity=granularity,
        calibrate=str(setup.images),
        calibration_images=setup.calibration_images,
        seed=setup.seed,
    )
    began = time.perf_counter()
    bundle = kit.build(recipe, setup.work / f"kit-{granularity}", use_cache=False)
    seconds = time.perf_counter() - began
    setup.report_status(f"kit {granularity}: evaluating")
    accuracy = kit.evaluate(bundle, setup.images, limit=setup.limit)
    _check_same(bundle, accuracy.pictures_sha256, inputs)
    paths = {
        "calibrate",
        "weights",
    }  # of this machine; the hashes of their contents are recorded elsewhere
    details = {
        "corrections": bundle.manifest.corrections,
        "recipe": recipe.model_dump(mode="json", exclude=paths),
    }
    for row in accuracy.rows[1:]:  # the first is the float model
        artifact = bundle.manifest.artifact(row.format)
        yield Row(
            name=f"kit-{granularity}-{row.format}",
            title=f"kit {granularity}, {Path(artifact.file).suffix}",
            runs_on=f"{artifact.runtime.name} {artifact.runtime.version.partition('+')[0]}",
            score=Score(row.images, row.top1, row.agreement, row.sqnr_db),
            bytes=bundle.manifest.files[artifact.file].size,
            seconds={"build of all formats": seconds},
            details=details,
        )


def _check_same(bundle: Bundle, evaluated: str, inputs: Inputs) -> None:
    """Raise unless the kit calibrated and evaluated with the pictures the peers get."""
    calibration = bundle.manifest.calibration
    same = calibration is not None and calibration.pictures == inputs.calibration
    if not same or evaluated != inputs.sha256:
        raise RunError(
            "the kit used other pictures than the peers",
            "scripts/bench_quantization/inputs.py no longer chooses as kit does",
        )
