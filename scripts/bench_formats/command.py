"""The options of `scripts/bench formats`, the order of the steps, the exit code."""

from __future__ import annotations

import argparse
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from bench_quantization.command import MODEL, SHARED, make_reporter, open_work
from bench_quantization.inputs import Setup

from bench_formats import own, peers
from kit.errors import BuildError, KitError, RunError, UsageError
from kit.precisions import get_precision

if TYPE_CHECKING:
    from kit.bundles.bundle import Bundle


def add_options(parser: argparse.ArgumentParser) -> None:
    """Describe the options."""
    add = parser.add_argument
    add("--model", default=MODEL, help=f"as `kit build` takes it; default {MODEL}")
    add("--weights", default="imagenet", metavar="FILE", help="state dict; default: official")
    add("--recipe", type=Path, metavar="FILE", help="TOML with further options of `kit build`")
    add("--images", type=Path, metavar="DIR_OR_ZIP", help="labelled pictures")
    add("--calibration-images", type=int, default=32, metavar="N", help="default 32")
    add("--seed", type=int, default=0, help="of the choice of calibration pictures; default 0")
    add("--limit", type=int, metavar="N", help="evaluate N pictures, evenly spread; default all")
    add("--repeats", type=int, default=3, metavar="N", help="processes of each file; default 3")
    add("--precision", default="2", metavar="%", help="of `kit bench`: of the medians; default 2")
    add("--only", metavar="P,…", help="kit's files of these precisions; default all")
    add("--device", default="", metavar="SERIAL,…", help="measure there as well, with --quick")
    add("--no-peers", action="store_true", help="measure the kit's own files only")
    add("--html", type=Path, default=Path("formats.html"), help="default formats.html")
    add("--markdown", type=Path, default=Path("formats.md"), help="default formats.md")
    add("--work", type=Path, metavar="DIR", help="keep bundles and results in this new folder")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Build, evaluate, measure, write the table; return the exit code: 1 if a row is missing."""
    try:
        images = arguments.images or SHARED
        if not images.exists():
            raise UsageError(
                "there are no pictures to compare on", "give labelled ones with --images DIR_OR_ZIP"
            )
        with open_work(arguments.work) as work:
            setup = Setup(
                model=arguments.model,
                weights=arguments.weights,
                recipe=arguments.recipe,
                images=images.resolve(),
                calibration_images=arguments.calibration_images,
                seed=arguments.seed,
                limit=arguments.limit,
                work=work,
                report_status=make_reporter(),
            )
            return compare(setup, arguments)
    except KitError as exc:
        print(f"error: {exc.message}\nhint: {exc.hint}", file=sys.stderr)
        return exc.exit_code


def compare(setup: Setup, arguments: argparse.Namespace) -> int:
    """Build, evaluate and measure, with interleaved processes."""
    selected = arguments.only.split(",") if arguments.only else None
    for name in selected or ():
        get_precision(name)
    bundles = list(own.build(setup, selected))
    if not bundles:
        raise BuildError("no bundle could be built", "see above")
    missing = 0
    if not arguments.no_peers:
        added, missing = _add_peers(setup, bundles[0])
        bundles += added
    results = setup.work / "results"
    _evaluate(setup, bundles, results)
    setup.report_status(
        f"measuring {sum(len(b.manifest.artifacts) for b in bundles)} files in turns"
    )
    folders = [str(bundle.path) for bundle in bundles]
    repeats = str(arguments.repeats)
    _kit("bench", *folders, "--runner", "python", "--repeats", repeats, "--pairs", repeats,
         "--precision", arguments.precision, "-o", f"{results / 'latency'}/")  # fmt: skip
    for serial in filter(None, arguments.device.split(",")):
        setup.report_status(f"measuring on {serial}")
        _kit("bench", *folders, "--device", serial, "--format", _list_native(bundles), "--quick",
             "-o", f"{results / 'devices'}/")  # fmt: skip
    files = [item for folder in ("", "latency", "devices") if (results / folder).exists()
             for item in ("--results", str(results / folder))]  # fmt: skip
    _kit("table", *folders, *files,
         "--html", str(arguments.html), "--markdown", str(arguments.markdown))  # fmt: skip
    return int(missing > 0)


def _add_peers(setup: Setup, base: Bundle) -> tuple[list[Bundle], int]:
    """Return the bundles of the peers that are installed, and how many failed."""
    setup.report_status("preparing what the peers read")
    peers.prepare(setup, base)
    made, failed = [], 0
    for peer in peers.PEERS:
        try:
            peers.check_installed(peer)
            setup.report_status(f"{peer.name}: quantizing")
            made.append(peers.build(setup, peer, base))
        except KitError as exc:
            setup.report_status(f"{peer.name} is missing: {exc.message}")
            failed += 1
    return made, failed


def _evaluate(setup: Setup, bundles: list[Bundle], results: Path) -> None:
    import kit
    from kit.results import store

    results.mkdir()
    for bundle in bundles:
        setup.report_status(f"evaluating {bundle.path.name}")
        result = kit.evaluate(bundle, setup.images, limit=setup.limit)
        store.write(result, results / f"accuracy-{bundle.path.name}.json")


def _list_native(bundles: list[Bundle]) -> str:
    """Return the names of the files that kit's native runner runs, for `kit bench --format`."""
    from kit import formats

    artifacts = [artifact for bundle in bundles for artifact in bundle.manifest.artifacts]
    return ",".join(
        sorted({a.name for a in artifacts if formats.get_format(a.format).native is not None})
    )


def _kit(*arguments: str) -> None:
    code = subprocess.run([sys.executable, "-m", "kit", *arguments], check=False).returncode
    if code:
        raise RunError(f"kit {arguments[0]} ended with exit code {code}", "see its error above")
