"""Build one network in every format, and record the results."""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from bench_zoo import samples
from bench_zoo.models import FORMATS, NETWORKS, ZooModel

if TYPE_CHECKING:
    from kit.bundles.bundle import Bundle
    from kit.manifest.artifacts import Artifact

ROOT = Path(__file__).parents[2]
LIMIT_S = 2400  # of one build
BLOCK_S, BLOCKS = 0.1, 16  # of latency: each file's turns
Row = dict[str, Any]


def measure(
    model: ZooModel, work: Path, images: Path | None, formats: Sequence[str] = FORMATS
) -> Row:
    """Return the results of a network: a row for each format, as data for JSON.

    Args:
        model: to build.
        work: folder for its bundle, which is kept there.
        images: labelled pictures, for trained classifiers; None for the sample photos.
        formats: to build for.
    """
    work.mkdir(parents=True, exist_ok=True)
    began = time.perf_counter()
    target, log = work / f"bundle-{'-'.join(formats)}", work / "build.log"
    with log.open("w", encoding="utf-8") as stream:
        done = subprocess.run(
            [
                sys.executable,
                "-m",
                "kit",
                *_command(model, work, images, formats),
                "-o",
                str(target),
            ],
            stdout=subprocess.DEVNULL,
            stderr=stream,
            cwd=ROOT,
            env={**os.environ, "PYTHONPATH": _python_path()},
            timeout=LIMIT_S,
            check=False,
        )
    row: Row = {
        "name": model.name,
        "seconds": round(time.perf_counter() - began),
        "exit_code": done.returncode,
        "formats": {},
    }
    if done.returncode not in (0, 10):
        row["refused"] = _last_words(log)
        return row
    return row | _read(model, target, images, formats)


def _command(model: ZooModel, work: Path, images: Path | None, formats: Sequence[str]) -> list[str]:
    from bench_zoo import networks

    options = ["--task", model.task, "--quantize", model.quantize, "--no-cache"]
    options += ["--format", ",".join(formats), "--precision", "fp32,int8"]
    if not model.trained:
        options += ["--weights", "random", "--calibration-images", "8"]
    calibrate = samples.write(model, work) or (images if model.trained else None)
    if calibrate is not None:
        options += ["--calibrate", str(calibrate)]
    if model.size and model.task != "tensors":
        options += ["--input", str(model.size)]
    if model.task.startswith("text"):
        tokenizer = networks.packages() / model.package / "model/tokenizer.json"
        options += ["--tokenizer", str(tokenizer), "--tokens", "64"]
    if model.name == "efficientnet_lite0":
        options += ["--mean", "0.498,0.498,0.498", "--std", "0.502,0.502,0.502"]
    return ["build", f"{NETWORKS}:{model.name}", *options]


def _last_words(log: Path) -> str:
    """Return the lines of the error that ended a build."""
    lines = log.read_text(encoding="utf-8", errors="replace").strip().splitlines()
    return " ".join(line.strip() for line in lines[-4:])[-1000:]


def _read(model: ZooModel, folder: Path, images: Path | None, names: Sequence[str]) -> Row:
    from kit.bundles import loading

    opened = loading.load_bundle(folder)
    manifest, formats = opened.manifest, {}
    agreement: dict[str, Any] = {}
    if model.trained and model.task == "image-classification" and images is not None:
        agreement = _evaluate(opened, images)
    for name in names:
        row: Row = {"bundle": folder.name}
        for artifact in manifest.artifacts:
            if artifact.format == name:
                row[artifact.precision] = _describe(opened, artifact)
        for failed in manifest.failed:
            if failed.format == name:
                row.setdefault("refused", {})[failed.precision] = {
                    "stage": failed.stage,
                    "reason": failed.reason,
                    "hint": failed.hint,
                }
        if "fp32" in row and "int8" in row:
            row["latency"] = latency(opened, name)
        if name in agreement:
            row["evaluated"] = agreement[name]
        formats[name] = row
    notices = [notice.code for notice in manifest.notices]
    return {
        "parameters": manifest.parameters,
        "kept_float": list(manifest.kept_float),
        "notices": notices,
        "formats": formats,
    }


def measure_again(work: Path) -> None:
    """Measure the latency of all bundles in a folder again, and write it to their JSON."""
    from kit.bundles import loading

    for file in sorted(work.glob("*.json")):
        row = json.loads(file.read_text(encoding="utf-8"))
        for name, entry in row.get("formats", {}).items():
            folder = work / row["name"] / entry.get("bundle", "bundle")
            if "latency" in entry and folder.exists():
                entry["latency"] = latency(loading.load_bundle(folder), name)
        file.write_text(json.dumps(row, indent=1) + "\n", encoding="utf-8")


def _describe(opened: Bundle, artifact: Artifact) -> Row:
    from kit.comparison import find_worst

    worst = find_worst(artifact.parity, "float reference")
    graph = find_worst(artifact.parity, "quantized graph")
    size = sum(
        entry.size
        for file, entry in opened.manifest.files.items()
        if file == artifact.file or file.startswith(f"{artifact.file}/")
    )
    assert worst is not None
    return {
        "bytes": size,
        "sqnr_db": worst.sqnr_db,
        "graph_db": graph.sqnr_db if graph else None,
        "cosine": worst.cosine,
        "agreement": worst.agreement,
        "golden": worst.images,
        "operators": sum(artifact.operators.values()),
        "delegated": sum(artifact.delegates.values()),
        "not_delegated": artifact.not_delegated,
        "computed_in_float": artifact.computed_in_float,
    }


def _evaluate(opened: Bundle, images: Path) -> Row:
    """Return agreement, SQNR and drop of each int8 file on pictures that did not calibrate."""
    import kit

    result = kit.evaluate(opened, images).model_dump(mode="json")
    return {
        row["format"]: {
            key: row.get(key) for key in ("top1", "agreement", "sqnr_db", "images", "drop")
        }
        for row in result["rows"]
        if row.get("precision") == "int8"
    }


def latency(opened: Bundle, format_name: str) -> Row:
    """Return median ms of fp32 and int8 on one thread, in turns in one process.

    The ratio is the median of the ratios of neighbouring turns: what slows the machine for a
    while slows both. Its interval is that of the order statistics of the turns (95 %).
    """
    command = [sys.executable, __file__, str(opened.path), format_name]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": _python_path()}
    done = subprocess.run(command, stdout=subprocess.PIPE, env=environment, check=True)
    times: Row = json.loads(done.stdout.splitlines()[-1])
    return times


def _python_path() -> str:
    return os.pathsep.join([str(ROOT), str(ROOT / "scripts")])


def take_turns(calls: dict[str, Callable[[], object]]) -> dict[str, list[float]]:
    """Return the ms of each of a call's turns, which alternate."""
    turns: dict[str, list[float]] = {name: [] for name in calls}
    for call in calls.values():
        _turn(call)
    for number in range(BLOCKS):
        for name in sorted(calls, reverse=number % 2 == 1):
            turns[name].append(_turn(calls[name]))
    return turns


def _turn(call: Callable[[], object]) -> float:
    """Return the time of a turn's fastest tenth, in ms: other work can only add time."""
    samples_: list[float] = []
    end = time.perf_counter() + BLOCK_S
    while not samples_ or time.perf_counter() < end:
        began = time.perf_counter_ns()
        call()
        samples_.append((time.perf_counter_ns() - began) / 1e6)
    return float(np.quantile(samples_, 0.1))


def summarize(turns: dict[str, list[float]]) -> Row:
    """Return medians, and how many times as fast int8 is, with an interval."""
    ratios = sorted(a / b for a, b in zip(turns["fp32"], turns["int8"], strict=True))
    low = max(0, round(len(ratios) / 2 - 0.98 * len(ratios) ** 0.5) - 1)
    return {
        "fp32_ms": round(statistics.median(turns["fp32"]), 4),
        "int8_ms": round(statistics.median(turns["int8"]), 4),
        "speed_up": round(statistics.median(ratios), 3),
        "interval": [round(ratios[low], 3), round(ratios[-1 - low], 3)],
    }


def main() -> None:
    """Run as the measuring process: print one JSON object."""
    from kit import formats
    from kit.artifact_key import ArtifactKey
    from kit.bundles import loading

    opened, name = loading.load_bundle(Path(sys.argv[1])), sys.argv[2]
    format_ = formats.get_format(name)
    format_.prepare(1)
    sample = opened.read_inputs()[0]
    calls: dict[str, Callable[[], object]] = {}
    sessions = []  # keeps them alive
    for precision in ("fp32", "int8"):
        artifact = opened.manifest.artifact(ArtifactKey(name, precision).name)
        session = format_.load(opened.path / artifact.file, 1)
        sessions.append(session)
        calls[precision] = session.bind(sample)
    print(json.dumps(summarize(take_turns(calls))))


if __name__ == "__main__":
    main()
