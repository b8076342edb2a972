"""The kit's bundles: every format, backend and precision that runs here."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from bench_quantization.inputs import Setup

from kit import formats
from kit.artifact_key import PrecisionName
from kit.errors import KitError, MissingTool
from kit.precisions import list_precisions

if TYPE_CHECKING:
    from kit.bundles.bundle import Bundle
    from kit.recipe import Recipe


def build(setup: Setup, names: Sequence[PrecisionName] | None = None) -> Iterator[Bundle]:
    """Yield bundles: one for all targets that have the same precisions.

    A bundle that cannot be built is reported and left out.

    Args:
        setup: options of the comparison.
        names: precisions; None takes all.
    """
    import kit

    for precisions, targets in _group(setup, names or list_precisions()).items():
        setup.report_status(f"building {', '.join(targets)} in {', '.join(precisions)}")
        try:
            folder = setup.work / f"kit-{'-'.join(precisions)}"
            yield kit.build(_recipe(setup, targets, precisions), folder)
        except KitError as exc:
            setup.report_status(f"FAILED: {exc.message}")


def _group(
    setup: Setup, names: Sequence[PrecisionName]
) -> dict[tuple[PrecisionName, ...], list[str]]:
    groups: dict[tuple[PrecisionName, ...], list[str]] = defaultdict(list)
    for name in formats.list_formats():
        format_ = formats.get_format(name)
        try:
            format_.check_packages()
        except MissingTool as exc:
            setup.report_status(f"{name} is left out: {exc.message}")
            continue
        for target, exporter in (
            (name, format_),
            *((f"{name}/{b.name}", b) for b in format_.backends),
        ):
            precisions = tuple(p for p in names if p in exporter.precisions)
            if exporter.runs_here and precisions:
                groups[precisions].append(target)
    return groups


def _recipe(setup: Setup, targets: list[str], precisions: tuple[PrecisionName, ...]) -> Recipe:
    import kit
    from kit import recipe_input

    fields = {
        "model": setup.model,
        "weights": setup.weights,
        "quantize": "static",
        "calibrate": str(setup.images),
        "calibration_images": setup.calibration_images,
        "seed": setup.seed,
        **(recipe_input.read_recipe(setup.recipe) if setup.recipe else {}),
        "formats": tuple(targets),
        "precisions": precisions,
    }
    return kit.make_recipe(**fields)
