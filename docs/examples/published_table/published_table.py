"""PyTorch's published table of quantization, its rows run again by kit.

    python docs/examples/published_table/published_table.py out/table --images pictures.zip \\
        --mobilenet mobilenet_v2-b0353104.pth --bert folder/of/all-MiniLM-L6-v2

Three rows (ResNet50 static, MobileNetV2 by quantization-aware training, BERT dynamic), the LSTM
word model, and the scripted module with a branch and a list, each beside what was published. A
row whose weights are not given takes random ones: it then has sizes, speed and SQNR, no accuracy.
`--tiny` takes networks of seconds, to see the script run.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import networks
import numpy as np

if TYPE_CHECKING:
    from kit.bundles.bundle import Bundle
    from kit.results.accuracy import AccuracyRow
    from kit.results.latency import LatencyResult, Run

HERE = Path(__file__).resolve().parent
NETWORKS = HERE / "networks.py"


@dataclass(frozen=True)
class Row:
    """One row.

    Attributes:
        title: of the network and the method.
        published: accuracy and speed that were published, in words.
        differs: what is not the same here.
        recipe: fields of `kit.make_recipe`.
        samples: to evaluate on; None for no evaluation.
        eager: whether the published speed-up is against eager PyTorch.
    """

    title: str
    published: str
    differs: str
    recipe: dict[str, object]
    samples: Path | None
    eager: bool = False


@dataclass
class Outcome:
    """What came of a row, a line for each int8 file."""

    row: Row
    lines: list[dict[str, object]] = field(default_factory=list)


def list_rows(arguments: argparse.Namespace) -> Iterator[Row]:
    """Yield the rows."""
    tiny, images = arguments.tiny, arguments.images
    pictures = {
        "calibrate": None if images is None else str(images),
        "calibration_images": 4 if tiny else 64,
    }
    size = {"resolution": 32} if tiny else {}
    differs = "single thread, this processor"

    def classifier(name: str, small: str, weights: Path | None) -> dict[str, object]:
        if tiny:
            return {"model": f"{NETWORKS}:{small}", "weights": "random", **size, **pictures}
        return {"model": name, "weights": str(weights) if weights else "random", **pictures}

    resnet = arguments.resnet50
    yield Row(
        "ResNet50, static",
        "top-1 76.1 to 75.9; 214 to 102 ms, 2×",
        differs if resnet else f"{differs}; random weights, so no accuracy",
        classifier("torchvision:resnet50", "small_resnet", resnet) | {"quantize": "static"},
        images if resnet else None,
    )
    steps = {"train_steps": 2, "train_batch": 4} if tiny else {}
    yield Row(
        "MobileNetV2, QAT",
        "top-1 71.9 to 71.6; 97 to 17 ms, 5.7× (against eager)",
        f"{differs}; {1 if tiny else 40} steps on the pictures that calibrate, not whole epochs",
        classifier("mobilenet_v2", "small_mobilenet", arguments.mobilenet)
        | {"quantize": "qat"}
        | steps,
        images if arguments.mobilenet else None,
        eager=True,
    )
    yield _bert(arguments, differs)
    samples = draw_ids(arguments.output / "ids", words=64 if tiny else 10_000)
    yield Row(
        "LSTM word model, dynamic",
        "4× smaller",
        f"{differs}; random weights",
        {
            "model": f"{NETWORKS}:{'small_words' if tiny else 'words'}",
            "weights": "random",
            "task": "tensors",
            "quantize": "dynamic",
            "calibrate": str(samples),
        },
        samples,
    )


def _bert(arguments: argparse.Namespace, differs: str) -> Row:
    real = arguments.bert is not None and not arguments.tiny
    if real:
        os.environ[networks.FOLDER] = str(arguments.bert.resolve())
        tokenizer = arguments.bert / "tokenizer.json"
    else:
        tokenizer = write_tokenizer(arguments.output / "tokenizer.json")
    texts = arguments.output / "sentences.txt"
    sentences = list_sentences(24 if arguments.tiny else 400)
    texts.write_text("\n".join(sentences) + "\n", encoding="utf-8")
    if not real:
        differs += "; a small BERT with random weights"
    return Row(
        "BERT, dynamic per-channel",
        "F1 on MRPC 0.902 to 0.895; 581 to 313 ms, 1.8×",
        f"{differs}; MiniLM-L6 instead of BERT-base, cosine to the float vectors instead of F1",
        {
            "model": f"{NETWORKS}:{'bert' if real else 'small_bert'}",
            "task": "text-embedding",
            "quantize": "dynamic",
            "calibrate": str(texts),
            "tokenizer": str(tokenizer),
            "tokens": 12 if arguments.tiny else 64,
            **({} if real else {"weights": "random"}),
        },
        texts,
    )


def run_row(row: Row, arguments: argparse.Namespace) -> Outcome:
    """Build a row's network in each format, evaluate it and measure it."""
    import kit
    from kit.bench.plan import get_preset
    from kit.results.latency import Plan

    recipe = kit.make_recipe(
        formats=arguments.formats.split(","), precisions=["fp32", "int8"], **row.recipe
    )
    folder = arguments.output / row.title.split(",")[0].replace(" ", "-").lower()
    bundle = kit.build(recipe, folder)
    scores: dict[str, AccuracyRow] = {}
    if row.samples is not None:
        scores = {score.name: score for score in kit.evaluate(bundle, row.samples).rows}
    plan = get_preset("quick" if arguments.quick else "default")
    if arguments.tiny:
        plan = Plan(name="custom", warmup_runs=1, warmup_seconds=0, runs=3, seconds=0, repeats=1,
                    memory=False)  # fmt: skip
    names = [artifact.name for artifact in bundle.manifest.artifacts]
    eager = ["reference"] if row.eager else []
    measured = kit.measure(bundle, [*eager, *names], plan)
    return Outcome(row, list(describe(bundle, scores, measured)))


def describe(
    bundle: Bundle, scores: dict[str, AccuracyRow], measured: LatencyResult
) -> Iterator[dict[str, object]]:
    """Yield the numbers of each int8 file."""
    from kit.results import rounds

    runs: dict[str, Run] = {run.name: run for run in measured.runs}
    sizes = {a.name: bundle.manifest.files[a.file].size for a in bundle.manifest.artifacts}
    for artifact in bundle.manifest.artifacts:
        own, float_ = artifact.name, f"{artifact.format}-fp32"
        if artifact.precision != "int8" or float_ not in runs:
            continue
        against = {"fp32": runs[float_]}
        if "reference" in runs:
            against["eager"] = runs["reference"]
        speed = {name: rounds.compute_speedup(run, runs[own]) for name, run in against.items()}
        worst = min(c.sqnr_db or 200.0 for c in artifact.parity if c.against != "quantized graph")
        yield {
            "file": own,
            "mb": sizes[own] / 1e6,
            "smaller": sizes[float_] / sizes[own],
            "golden_sqnr_db": worst,
            "accuracy": _accuracy(scores.get(own), scores.get("reference")),
            "ms": {name: rounds.estimate(run).median for name, run in against.items()}
            | {"int8": rounds.estimate(runs[own]).median},
            "speed_up": {
                name: [one.ratio, *((one.interval.low, one.interval.high) if one.interval else ())]
                for name, one in speed.items()
            },
        }


def _accuracy(score: AccuracyRow | None, reference: AccuracyRow | None) -> dict[str, object]:
    if score is None:
        return {}
    record: dict[str, object] = {"n": score.images, "sqnr_db": score.sqnr_db}
    if score.top1 is not None and reference is not None:
        record |= {"float_top1": reference.top1, "top1": score.top1, "agreement": score.agreement}
    if score.outputs:
        record["cosine"] = score.outputs[0].cosine
    record |= {metric.name: metric.value for metric in score.metrics}
    return record


def run_script(folder: Path) -> str:
    """Write the scripted module, run it again from its file, and say what it kept."""
    import torch

    from kit.formats.torchscript import write_module

    torch.manual_seed(0)
    module, up, down = networks.Remembering().eval(), torch.ones(1, 4), -torch.ones(1, 4)
    expected = [module(x) for x in (up, down, up)]
    module.history.clear()
    path = folder / "remembering.pt"
    how = write_module(module, (up,), path)
    loaded = torch.jit.load(str(path))
    answers = [loaded(x) for x in (up, down, up)]
    kept = all(torch.allclose(a, b) for a, b in zip(answers, expected, strict=True))
    return f"{how}: {'both branches and the list are kept' if kept else 'NOT KEPT'}"


def draw_ids(folder: Path, words: int, count: int = 48, length: int = 32) -> Path:
    """Write `count` samples of word ids [1, length] as .npz files."""
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(0)
    for index in range(count):
        np.savez(folder / f"{index:03}.npz", ids=rng.integers(0, words, (1, length)))
    return folder


def list_sentences(count: int) -> list[str]:
    """Return different English sentences: who does what, where, and when."""
    parts = (
        ("The engineer", "A student", "My neighbour", "The orchestra", "Our dog", "A farmer"),
        ("repaired", "lost", "described", "painted", "sold", "waited for", "dreamt of"),
        ("the old bridge", "a broken phone", "three red apples", "the last train", "her theory"),
        ("in Lisbon", "near the river", "at the office", "behind the school", "on television"),
        ("yesterday.", "before breakfast.", "for no reason.", "although it rained."),
    )
    rng = np.random.default_rng(0)
    texts: dict[str, None] = {}
    while len(texts) < count:
        texts[" ".join(choice[rng.integers(len(choice))] for choice in parts)] = None
    return list(texts)


def write_tokenizer(path: Path) -> Path:
    """Write a tokenizer of some 60 words, for the small BERT."""
    from tokenizers import Tokenizer, models, pre_tokenizers

    path.parent.mkdir(parents=True, exist_ok=True)
    known = sorted({word for text in list_sentences(400) for word in text.replace(".", "").split()})
    vocabulary = {word: i for i, word in enumerate(["[PAD]", "[UNK]", *known][:64])}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, "[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.save(str(path))
    return path


def format_table(outcomes: Sequence[Outcome], script: str) -> str:
    """Return the table in Markdown."""
    lines = [
        "| | published | file | accuracy here | MB (smaller by) | ms, float to int8 | speed-up |",
        "|---|---|---|---|---|---|---|",
    ]
    for outcome in outcomes:
        row = outcome.row
        for index, line in enumerate(outcome.lines):
            first = (row.title, row.published) if index == 0 else ("", "")
            cells = (*first, str(line["file"]), *_cells(line))
            lines.append(f"| {' | '.join(cells)} |")
    lines += [f"| TorchScript's sample | keeps its branch and its list | | {script} | | | |", ""]
    lines += [f"{outcome.row.title}: {outcome.row.differs}." for outcome in outcomes]
    return "\n".join([*lines, "", f"Processor: {name_processor()}."])


def _cells(line: dict[str, object]) -> tuple[str, ...]:
    accuracy, ms, speed = line["accuracy"], line["ms"], line["speed_up"]
    assert isinstance(accuracy, dict)
    assert isinstance(ms, dict)
    assert isinstance(speed, dict)
    words = [f"{line['golden_sqnr_db']:.1f} dB on golden inputs"]
    if accuracy:
        names = {"cosine": "cosine {:.4f}", "worst cosine": "worst {:.4f}", "sqnr_db": "{:.1f} dB"}
        words = [text.format(accuracy[key]) for key, text in names.items() if accuracy.get(key)]
        if "top1" in accuracy:
            before, after = 100 * accuracy["float_top1"], 100 * accuracy["top1"]
            same = 100 * accuracy["agreement"]
            words = [f"top-1 {before:.1f} to {after:.1f}, agreement {same:.1f} %", *words]
        words.append(f"n = {accuracy['n']}")
    ratios = [
        f"{values[0]:.2f}×" + (f" ({values[1]:.2f} to {values[2]:.2f})" if len(values) > 1 else "")
        + (" against eager" if name == "eager" else "")
        for name, values in speed.items()
    ]  # fmt: skip
    before = ms.get("eager", ms["fp32"])
    return (
        ", ".join(words),
        f"{line['mb']:.2f} ({line['smaller']:.2f}×)",
        f"{before:.3g} to {ms['int8']:.3g}",
        ", ".join(ratios),
    )


def name_processor() -> str:
    """Return the name of this processor."""
    info = Path("/proc/cpuinfo")
    if info.exists():
        for line in info.read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def main(words: Sequence[str] | None = None) -> None:
    """Run all rows; print the table, and write it and its numbers to the output folder."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("output", type=Path)
    parser.add_argument("--images", type=Path, help="labelled pictures of ImageNet's classes")
    parser.add_argument("--resnet50", type=Path, help="torchvision's weights of ResNet50")
    parser.add_argument("--mobilenet", type=Path, help="torchvision's weights of MobileNetV2")
    parser.add_argument("--bert", type=Path, help="folder of a BERT, with its tokenizer.json")
    parser.add_argument("--formats", default="onnx,executorch,litert")
    parser.add_argument("--rows", help="only rows whose title has one of these words: BERT,LSTM")
    parser.add_argument("--quick", action="store_true", help="one process of each file")
    parser.add_argument("--tiny", action="store_true", help="networks of seconds")
    arguments = parser.parse_args(words)
    arguments.output.mkdir(parents=True, exist_ok=True)
    wanted = arguments.rows.split(",") if arguments.rows else [""]
    rows = [r for r in list_rows(arguments) if any(word in r.title for word in wanted)]
    outcomes = []
    for row in rows:
        outcomes.append(run_row(row, arguments))
        numbers = [{"title": o.row.title, "files": o.lines} for o in outcomes]
        (arguments.output / "numbers.json").write_text(json.dumps(numbers, indent=1) + "\n")
    table = format_table(outcomes, run_script(arguments.output))
    (arguments.output / "table.md").write_text(table + "\n", encoding="utf-8")
    print(table)


if __name__ == "__main__":
    main()
