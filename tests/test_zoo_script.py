"""`scripts/bench zoo` and the example of the published table: their pure parts, and tiny runs."""

from __future__ import annotations

import json
import runpy
import sys
from pathlib import Path

import pytest
import torch

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "scripts"))

from bench_zoo import measuring, networks, samples, table  # noqa: E402
from bench_zoo.models import FORMATS, MODELS  # noqa: E402

EXAMPLE = ROOT / "docs/examples/published_table"


def describe(**changes):
    return {
        "bytes": 2_000_000, "sqnr_db": 30.04, "graph_db": None, "cosine": None, "agreement": 1.0,
        "golden": 16, "operators": 9, "delegated": 8, "not_delegated": {"aten::softmax.out": 2},
        "computed_in_float": {"xnnpack::Gelu": 3}, **changes,
    }  # fmt: skip


def test_names_are_unique_and_each_network_has_a_factory():
    names = [model.name for model in MODELS]
    assert len(set(names)) == len(names)
    assert all(callable(getattr(networks, name)) for name in names)


def test_the_table_has_a_row_for_each_format_and_names_refusals():
    latency = {"fp32_ms": 2.0, "int8_ms": 4.0, "speed_up": 0.5, "interval": [0.4, 0.6]}
    built = {"fp32": describe(bytes=8_000_000), "int8": describe(), "latency": latency}
    refused = {"int8": {"stage": "lowering", "reason": "it is odd\nmore", "hint": "wait"}}
    result = dict.fromkeys(FORMATS, built) | {"lite": {"fp32": describe(), "refused": refused}}
    text = table.format_table([{"name": "resnet18", "formats": result}])
    lines = text.splitlines()
    assert lines[2] == (
        "| ResNet18 | 96 | random, static | onnx | 8.00, 2.00 | (30.0) | – | 8 of 10 | 2, 4 "
        "| **0.50× (0.40 to 0.60), slower** | Gelu ×3, softmax.out ×2 |"
    )
    assert len([line for line in lines if line.startswith("|")]) == 2 + len(FORMATS)
    assert "- **ResNet18**, lite-int8: it is odd" in lines
    assert "more" not in text
    assert "Not measured in this run:" in text
    assert "ResNet50" in lines[-1]


def test_interval_and_ratio_of_turns():
    turns = {"fp32": [4.0] * 16, "int8": [2.0] * 8 + [1.0] * 8}
    result = measuring.summarize(turns)
    assert result["speed_up"] == 3.0
    assert result["interval"] == [2.0, 4.0]


def test_an_untrained_network_is_deterministic_with_varying_outputs():
    one, other = (networks.unet().eval() for _ in range(2))
    images = networks.pictures(2, 32)
    with torch.no_grad():
        answers = one(images)
        assert torch.equal(answers, other(images))
    assert answers.std() > 0.1
    assert (answers[0] - answers[1]).abs().max() > 0.1


def test_sentences_differ_and_have_several_words():
    result = samples.sentences(40)
    assert len(set(result)) == len(result) == 40
    assert all(30 <= len(one) <= 200 for one in result)


@pytest.mark.slow
def test_the_example_of_the_published_table_runs(
    tmp_path, lowered_here, evaluated_here, capsys, monkeypatch
):
    monkeypatch.syspath_prepend(str(EXAMPLE))
    main = runpy.run_path(str(EXAMPLE / "published_table.py"))["main"]
    main([str(tmp_path), "--tiny", "--formats", "onnx", "--rows", "BERT,LSTM"])
    output = capsys.readouterr().out
    assert "| BERT, dynamic per-channel | F1 on MRPC 0.902 to 0.895; 581 to 313 ms, 1.8×" in output
    assert "scripted: both branches and the list are kept" in output
    bert, words = json.loads((tmp_path / "numbers.json").read_text())
    assert bert["files"][0]["accuracy"]["cosine"] > 0.999
    assert bert["files"][0]["smaller"] > 1.2
    assert words["files"][0]["smaller"] > 1.5
