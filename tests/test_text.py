"""The tasks of text: tokens, files of texts, and bundles through every command."""

from __future__ import annotations

import io
import json
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import text_models
from conftest import FAST
from text_models import FILE, draw_sentences, write_tokenizer

import kit
from kit import cli
from kit.bench.measure import measure_all
from kit.bundles import loading, writing
from kit.errors import BundleError, RecipeError, SampleError, UsageError
from kit.manifest.schema import SCHEMA_VERSION, Manifest
from kit.pipeline import Gate, explain
from kit.report.write import write
from kit.results import store
from kit.tasks import get_task
from kit.tasks._text import model, texts
from kit.tasks._text.tokenizing import describe_tokenizer, open_tokenizer

TASK = get_task("text-classification")
TOKENS = 16
pytestmark = pytest.mark.usefixtures("lowered_here")


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """A tokenizer, sentences with labels, and the names of two classes."""
    root = tmp_path_factory.mktemp("text")
    write_tokenizer(root / "tokenizer.json")
    rows = [f'"{text}",{"good" if "good" in text else "bad"}' for text in draw_sentences(48)]
    (root / "s.csv").write_text("\n".join(["text,label", *rows]))
    (root / "names.txt").write_text("bad\ngood\n")
    return root


def recipe_of(name: str, folder: Path, task: str = TASK.name, **fields):
    given = {
        "tokenizer": str(folder / "tokenizer.json"),
        "tokens": TOKENS,
        "calibrate": str(folder / "s.csv"),
        "calibration_images": 8,
        **fields,
    }
    return kit.make_recipe(f"{FILE}:{name}", task=task, **given)


# Recipes


def test_a_recipe_without_text_keeps_its_hash():
    plain = kit.make_recipe("mobilenet_v2", keep_float="none")
    assert plain.hash == "6fe54cae08a3e2a6c1cf2137a85ea8ab97451408ef92b4cd0e5dd7f66edada6a"
    assert kit.make_recipe("mobilenet_v2", keep_float="none", tokens=8).hash != plain.hash


def test_manifests_of_schema_5_have_no_tokenizer(tiny_bundle):
    raw = tiny_bundle.manifest.model_dump(mode="json")
    assert raw.pop("tokenization") is None
    for name in ("tokenizer", "tokens"):
        del raw["recipe"][name]
    old = Manifest.model_validate({**raw, "schema_version": 5})
    assert old == tiny_bundle.manifest
    assert old.schema_version == SCHEMA_VERSION


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"tokenizer": None}, "needs a tokenizer"),
        ({"calibrate": None}, "needs texts"),
        ({"mean": (0.5, 0.5, 0.5)}, "mean = "),
        ({"quantize": "qat"}, "trains with pictures"),
    ],
)
def test_missing_options_and_picture_options_are_refused(fields, message, folder):
    with pytest.raises(RecipeError, match=message):
        TASK.check_recipe(recipe_of("Opinion", folder).model_copy(update=fields))


def test_text_options_are_refused_by_other_tasks(folder, capsys):
    assert cli.run(["build", "mobilenet_v2", "--tokens", "8", "-o", "x"]) == 3
    assert "tokens = 8 does nothing with the task image-classification" in capsys.readouterr().err


# Tokens


def test_inputs_equal_the_tokens_of_the_package(folder):
    from tokenizers import Tokenizer

    recipe = recipe_of("Opinion", folder)
    inputs = TASK.describe_inputs(recipe)
    assert [(s.name, s.shape, s.dtype) for s in inputs.specs] == [
        ("input_ids", (1, TOKENS), "int64"),
        ("attention_mask", (1, TOKENS), "int64"),
    ]
    assert (inputs.classes, inputs.outputs, inputs.at_once) == (2, ("logits",), True)
    calibration = TASK.open_calibration(recipe)
    ids, mask = calibration.load(inputs).arrays
    own = Tokenizer.from_file(str(folder / "tokenizer.json"))
    for row, one in enumerate(calibration.chosen):
        expected = own.encode(one.text).ids
        assert ids[row, : len(expected)].tolist() == expected
        assert ids[row, len(expected) :].tolist() == [0] * (TOKENS - len(expected))
        assert mask[row].tolist() == [1] * len(expected) + [0] * (TOKENS - len(expected))


def test_long_texts_are_truncated_before_the_last_special_token(folder):
    recipe = recipe_of("Opinion", folder, tokens=6)
    inputs = TASK.describe_inputs(recipe)
    long = texts.LabelledText("good " * 50, None, 1)
    ids = texts.encode_texts([long], inputs, "a test").arrays[0]
    assert ids.tolist() == [[2, 4, 4, 4, 4, 3]]


def test_padding_follows_the_tokenizer_file(folder):
    tokenizer = open_tokenizer((folder / "tokenizer.json").read_bytes(), "it")
    assert describe_tokenizer(tokenizer, 8).pad_id == 0
    tokenizer.enable_padding(direction="left", pad_id=7, pad_type_id=1, length=99)
    how = describe_tokenizer(tokenizer, 8)
    assert (how.tokens, how.pad_id, how.pad_type, how.pad_side) == (8, 7, 1, "left")


@pytest.mark.parametrize("content", [b"", b"{}", b"[]", b"\xff", b'{"model": {"type": "BPE"}}'])
def test_an_invalid_tokenizer_is_refused(content):
    with pytest.raises(SampleError, match=r"t\.json is no tokenizer") as caught:
        open_tokenizer(content, "t.json")
    assert "\n" not in caught.value.message


# Networks


@pytest.mark.parametrize(
    ("name", "names"),
    [("Opinion", ("input_ids", "attention_mask")), ("Encoder", ("input_ids",))],
)
def test_inputs_are_named_by_forward(name, names):
    assert model.name_inputs(getattr(text_models, name)(), name) == names


@pytest.mark.parametrize(
    ("name", "message"),
    [("Unknown", "takes x, and a tokenizer gives input_ids"), ("Tokens", r"with \[1, 16, 32\]")],
)
def test_networks_with_other_inputs_or_outputs_are_refused(name, message, folder):
    with pytest.raises(RecipeError, match=message):
        TASK.describe_inputs(recipe_of(name, folder))
    with pytest.raises(RecipeError, match="mobilenet_v2 is an image classifier"):
        recipe = recipe_of("Opinion", folder).model_copy(update={"model": "mobilenet_v2"})
        TASK.describe_inputs(recipe)


# Files of texts


@pytest.mark.parametrize(
    ("name", "content", "expected"),
    [
        ("a.txt", "one, two\r\n\n three \n", [("one, two", None), ("three", None)]),
        ("a.csv", '"one, two",1\nthree,0\n', [("one, two", "1"), ("three", "0")]),
        ("a.csv", "label,id,sentence\n1,7,one\n", [("one", "1")]),
        ("a.csv", "text\none\n", [("one", None)]),
        ("a.csv", "id,text\n1,one\n2,two\n", [("one", None), ("two", None)]),
        ("a.csv", "one,text\ntwo,text\n", [("one", "text"), ("two", "text")]),
        ("a.tsv", "\ufeffone, two\tgood\n", [("one, two", "good")]),
    ],
)
def test_texts_are_read(name, content, expected, tmp_path):
    (tmp_path / name).write_bytes(content.encode())
    assert [(one.text, one.label) for one in texts.read_texts(tmp_path / name)] == expected


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.txt", b"\n \n", "no texts"),
        ("a.txt", b"\xff\xfe", "cannot read"),
        ("a.csv", b"one\n", "line 1 of .* has 1 column,"),
        ("a.csv", b"text,label\n,1\n", "line 2"),
    ],
)
def test_unusable_texts_are_refused(name, content, message, tmp_path):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(SampleError, match=message):
        texts.read_texts(tmp_path / name)


# Through every command


@pytest.fixture(scope="module")
def built(folder, tmp_path_factory):
    recipe = recipe_of(
        "Opinion",
        folder,
        labels=str(folder / "names.txt"),
        quantize="dynamic",
        formats=("onnx", "executorch", "lite"),
    )
    return kit.build(recipe, tmp_path_factory.mktemp("b") / "opinion", use_cache=False)


@pytest.mark.slow
def test_a_transformer_is_quantized_dynamically_where_a_format_can(built):
    manifest = built.manifest
    assert [a.name for a in manifest.artifacts] == ["onnx-int8", "executorch-int8", "lite-int8"]
    for artifact in manifest.artifacts:
        assert all(one.agreement == 1.0 and one.passed for one in artifact.parity)
        assert min(one.sqnr_db or 99 for one in artifact.parity) > 30


@pytest.fixture
def unlabelled(folder, tmp_path) -> Path:
    """Texts without labels."""
    content = "\n".join(one.text for one in texts.read_texts(folder / "s.csv"))
    (tmp_path / "s.txt").write_text(content)
    return tmp_path / "s.txt"


def test_an_accuracy_gate_is_explained_in_texts(folder, unlabelled):
    recipe = recipe_of("Opinion", folder, labels=str(folder / "names.txt"))
    gate = Gate(min_agreement=90, images=str(unlabelled))
    checks = dict(explain(recipe, gate))["checks"]
    assert checks[-1] == f"at least 90 % of the float model's answers on 40 texts of {unlabelled}"
    with pytest.raises(RecipeError, match="has no labels, so there is no top-1") as caught:
        list(explain(recipe, Gate(max_drop=1, images=str(unlabelled))))
    assert caught.value.hint == "use --min-agreement, or use a .csv of text,label"


@pytest.mark.slow
def test_an_accuracy_gate_measures_texts(folder, unlabelled, tmp_path, evaluated_here):
    recipe = recipe_of("Opinion", folder, quantize="dynamic", formats=("onnx",))
    gate = Gate(min_agreement=0, images=str(unlabelled))
    stages = []
    made = kit.build(recipe, tmp_path / "made", stages.append, gate=gate)
    assert stages[-1].startswith("measuring accuracy for the gate on 40 texts")
    assert made.manifest.gate.images == 40


@pytest.mark.slow
def test_a_bundle_has_its_tokenizer(built, folder, tmp_path):
    manifest = built.manifest
    assert manifest.tokenization.tokens == TOKENS
    assert manifest.labels == "labels.txt"
    assert built.read_tokenizer() == (folder / "tokenizer.json").read_bytes()
    writing.copy_bundle(built.path, tmp_path / "copy")
    assert loading.load_bundle(tmp_path / "copy").hash == built.hash
    (tmp_path / "copy/tokenizer.json").write_text("{}")
    with pytest.raises(BundleError, match=r"tokenizer\.json in .* was altered"):
        loading.load_bundle(tmp_path / "copy")


@pytest.mark.slow
def test_it_is_evaluated_measured_and_reported(built, folder, tmp_path, capsys, evaluated_here):
    output = tmp_path / "e.json"
    words = ["eval", str(built.path), "--samples", str(folder / "s.csv")]
    assert cli.run([*words, "-o", str(output)]) == 0
    assert "texts/s" in capsys.readouterr().out
    scored = store.read(output)
    assert scored.rows[0].images == 48  # a dynamic build calibrates with none of them
    labels = [one.label for one in texts.read_texts(folder / "s.csv")]
    answers = _answer(built, folder)
    right = np.mean([["bad", "good"][a] == label for a, label in zip(answers, labels, strict=True)])
    assert scored.rows[0].top1 == pytest.approx(right)
    assert scored.rows[0].top5 is None
    assert all(row.agreement > 0.95 for row in scored.rows)
    plain = kit.evaluate(built, folder / "s.csv", labels="none", formats=["onnx"], limit=5)
    assert (plain.rows[0].top1, plain.rows[0].images) == (None, 5)
    with pytest.raises(UsageError, match="no file of labels"):
        kit.evaluate(built, folder / "s.csv", labels="labels.csv")
    (tmp_path / "odd.csv").write_text("a film,fine\n")
    with pytest.raises(SampleError, match=r"line 1 of .*odd.csv has the label 'fine'"):
        kit.evaluate(built, tmp_path / "odd.csv")
    (measured,) = measure_all([built], ["onnx"], FAST, runner="python")
    page = write([measured, scored], tmp_path / "page")
    assert "Accuracy against the labels" in page.markdown.read_text(encoding="utf-8")


def _answer(built, folder: Path) -> list[int]:
    """Return the float network's classes, one text at a time, with the package's tokens."""
    import torch
    from tokenizers import Tokenizer

    own = Tokenizer.from_file(str(folder / "tokenizer.json"))
    own.enable_padding(length=TOKENS)
    network, result = text_models.Opinion().eval(), []
    for one in texts.read_texts(folder / "s.csv"):
        code = own.encode(one.text)
        with torch.no_grad():
            logits = network(torch.tensor([code.ids]), torch.tensor([code.attention_mask]))
        result.append(int(logits["logits"].argmax()))
    return result


@pytest.mark.slow
def test_predict_takes_sentences(built, folder, capsys, monkeypatch, predicted_here):
    words = ["predict", str(built.path), "--format", "onnx", "--json"]
    assert cli.run([*words, str(folder / "s.csv")]) == 0
    samples = json.loads(capsys.readouterr().out)["samples"]
    listed = texts.read_texts(folder / "s.csv")
    assert [one["name"] for one in samples] == [one.text for one in listed]
    best = [one["answers"]["reference"]["labels"][0] for one in samples]
    assert [one["index"] for one in best] == _answer(built, folder)
    assert {one["label"] for one in best} <= {"bad", "good"}
    for one in samples:
        shares = [label["probability"] for label in one["answers"]["onnx-int8"]["labels"]]
        assert sum(shares) == pytest.approx(1)
    stdin = SimpleNamespace(buffer=io.BytesIO(listed[3].text.encode()), isatty=lambda: False)
    monkeypatch.setattr(sys, "stdin", stdin)
    assert cli.run([*words, "-"]) == 0
    (sample,) = json.loads(capsys.readouterr().out)["samples"]
    assert sample == samples[3]
    assert cli.run([*words, str(folder / "none.txt")]) == 3
    assert "cannot read" in capsys.readouterr().err


@pytest.mark.slow
def test_a_sentence_embedding(folder, tmp_path, capsys, evaluated_here, predicted_here):
    recipe = recipe_of(
        "Sentence", folder, task="text-embedding", formats=("onnx",), observer="minmax"
    )
    made = kit.build(recipe, tmp_path / "b", use_cache=False)
    scored = kit.evaluate(made, folder / "s.csv")
    assert scored.left_out == 8
    metrics = {m.name: m.value for m in scored.rows[1].metrics}
    assert metrics["worst cosine"] > 0.99
    assert set(metrics) == {"worst cosine", "same neighbour", "recall@1"}
    assert scored.rows[1].outputs[0].cosine > 0.995
    (tmp_path / "one.txt").write_text("a good film\n")
    assert cli.run(["predict", str(made.path), str(tmp_path / "one.txt"), "--json"]) == 0
    (sample,) = json.loads(capsys.readouterr().out)["samples"]
    assert sample["name"] == "a good film"
    assert 0.99 < sample["answers"]["onnx-int8"]["cosine"] <= 1
    assert sample["answers"]["reference"]["size"] == text_models.WIDTH
