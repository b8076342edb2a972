"""`kit predict`: answers of every file to the user's pictures, as printed."""

from __future__ import annotations

import io
import json
import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from bundle_samples import draw, picture
from conftest import rewrite

import kit
from kit import cli, formats, tasks
from kit.artifact_key import REFERENCE
from kit.bundles.bundle import Bundle
from kit.calibration import ModelInputs
from kit.commands.common.answer_files import PictureFolder
from kit.errors import RunError
from kit.json_outputs import read_output
from kit.prediction import Predictor, describe_context
from kit.signature import Samples, TensorSpec
from kit.tasks.answers import AnswerContext, show_tensors
from kit.tasks.image_classification.showing import is_distribution
from kit.tasks.interface import describe_bundle

SPEC = TensorSpec(name="logits", shape=(1, 3))
LABELS = ("cat", "dog", "cow")


def predict(*words: object) -> int:
    return cli.run(["predict", *map(str, words)])


def as_json(capsys: pytest.CaptureFixture[str]) -> dict:
    text = capsys.readouterr().out
    read_output("predict", text)
    return json.loads(text)


def answers_of(bundle: Bundle, name: str, file: Path) -> np.ndarray:
    """Return the logits that a file's own runtime gives for a picture."""
    task = tasks.get_task(bundle.manifest.task)
    inputs = describe_bundle(bundle)
    samples = task.open_samples(inputs, file).read(0)
    format_name = name if name == REFERENCE else bundle.manifest.artifact(name).format
    session = formats.get_format(format_name).load(bundle.file(name), 1)
    return session.read(session.bind(samples[0])())[0][0]


@pytest.fixture(scope="module")
def photo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("photo") / "photo.png"
    picture(1).save(file)
    return file


def test_probabilities_come_from_the_runtime(predicted_here, tiny_bundle, photo, capsys):
    assert predict(tiny_bundle.path, photo, "--json", "--top", 7) == 0
    result = as_json(capsys)
    (sample,) = result["samples"]
    assert sample["name"] == "photo.png"
    assert list(sample["answers"]) == [REFERENCE, "lite-fp32", "onnx-fp32"]
    assert (result["left_out"], result["failed"], result["damaged"]) == ({}, {}, {})
    for name, answer in sample["answers"].items():
        logits = answers_of(tiny_bundle, name, photo).astype(float)
        right = np.exp(logits) / np.exp(logits).sum()
        assert answer["softmax"] == "kit"
        order = [one["index"] for one in answer["labels"]]
        assert order == list(np.argsort(-right))
        shares = [one["probability"] for one in answer["labels"]]
        assert shares == pytest.approx([right[index] for index in order])


def test_a_table_has_a_column_for_each_file_and_a_folder_a_table_for_each_picture(
    predicted_here, tiny_bundle, tmp_path, capsys
):
    draw(tmp_path / "pics", 2, lambda index: f"{index}.png")
    assert predict(tiny_bundle.path, tmp_path / "pics", "--format", "onnx", "--top", 2) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.strip() for line in lines if line.strip().endswith(".png")] == ["0.png", "1.png"]
    headings = [line for line in lines if "reference" in line]
    assert len(headings) == 2
    assert headings[0].index("reference") < headings[0].index("onnx-fp32")
    assert "lite" not in "".join(lines)
    assert sum(line.count("%") for line in lines) == 2 * 2 * 2


def test_a_picture_on_stdin(predicted_here, tiny_bundle, photo, capsys, monkeypatch):
    stdin = SimpleNamespace(buffer=io.BytesIO(photo.read_bytes()), isatty=lambda: False)
    monkeypatch.setattr(sys, "stdin", stdin)
    assert predict(tiny_bundle.path, "-", "--format", "onnx", "--json") == 0
    (sample,) = as_json(capsys)["samples"]
    assert sample["name"] == "stdin"
    assert predict(tiny_bundle.path, photo, "--format", "onnx", "--json") == 0
    (same,) = as_json(capsys)["samples"]
    assert same["answers"] == sample["answers"]
    monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=io.BytesIO(), isatty=lambda: False))
    assert predict(tiny_bundle.path, "-") == 3
    assert "stdin is empty" in capsys.readouterr().err
    monkeypatch.setattr(sys, "stdin", SimpleNamespace(isatty=lambda: True))
    assert predict(tiny_bundle.path, "-") == 2


def test_a_damaged_picture_is_reported_and_the_others_are_predicted(
    predicted_here, tiny_bundle, tmp_path, capsys
):
    draw(tmp_path, 2, lambda index: f"{index}.png")
    (tmp_path / "zz.png").write_bytes((tmp_path / "0.png").read_bytes()[:300])
    assert predict(tiny_bundle.path, tmp_path, "--format", "onnx", "--json") == 3
    out, err = capsys.readouterr()
    read_output("predict", out)
    result = json.loads(out)
    assert [sample["name"] for sample in result["samples"]] == ["0.png", "1.png"]
    assert list(result["damaged"]) == ["zz.png"]
    (text_out,) = (line for line in err.splitlines() if line.startswith("kit: "))
    assert text_out.startswith("kit: zz.png is damaged")


def test_files_that_cannot_run_here_are_named(predicted_here, tiny_bundle, photo, tmp_path, capsys):
    def change(fields) -> None:
        lite, onnx = fields["artifacts"]
        fields["artifacts"] = (lite.model_copy(update={"executed": False}), onnx)

    other = rewrite(tiny_bundle, tmp_path / "other", {}, change)
    assert predict(other.path, photo, "--json") == 0
    out, err = capsys.readouterr()
    assert json.loads(out)["left_out"].keys() == {"lite-fp32"}
    assert "lite-fp32 was lowered for other devices: nothing here runs it" in err
    assert predict(other.path, photo, "--format", "lite") == 4
    assert "no file can answer: lite-fp32 was lowered" in capsys.readouterr().err


def test_a_failing_file_does_not_stop_the_others():
    def fail(samples: Samples) -> Samples:
        raise RunError("broken", "build it again")

    right = Samples((SPEC,), (np.ones((1, 3), np.float32),))
    endless = Samples((SPEC,), (np.full((1, 3), np.inf, np.float32),))
    runs = {"a": fail, "b": lambda _: right, "c": lambda _: endless}
    predictor = Predictor((SPEC,), {}, runs)
    assert list(predictor.answer(right)) == ["b"]
    assert {name: error.message for name, error in predictor.failed.items()} == {
        "a": "broken",
        "c": "c answered with NaN or infinity",
    }
    assert predictor.names == ["b"]


def test_saved_outputs(predicted_here, tiny_bundle, photo, tmp_path, capsys):
    words = (tiny_bundle.path, photo, "--format", "onnx", "--save")
    assert predict(*words, tmp_path / "a.npz", "--json") == 0
    printed = as_json(capsys)
    with np.load(tmp_path / "a.npz", allow_pickle=False) as arrays:
        assert list(arrays["names"]) == ["photo.png"]
        right = answers_of(tiny_bundle, "onnx-fp32", photo)
        np.testing.assert_array_equal(arrays["onnx-fp32/logits"], right[None])
    assert predict(*words, tmp_path / "a.json") == 0
    assert json.loads((tmp_path / "a.json").read_text()) == printed
    assert predict(*words, tmp_path / "a.txt") == 2
    assert not (tmp_path / "a.txt").exists()


@pytest.mark.parametrize(
    ("names", "saved"),
    [
        (("a/1.jpg", "a/1.png", "2.png"), ("a/1.jpg.png", "a/1.png.png", "2.png")),
        (("../../x.png", "/etc/y.png", ".."), ("x.png", "etc/y.png", "sample.png")),
        (("..\\c:z.png",), (".._c_z.png",)),
    ],
)
def test_pictures_stay_in_their_folder(names, saved, tmp_path):
    folder = PictureFolder(tmp_path / "out", names, "mask")
    for name in names:
        folder.write(name, "onnx-int8", {"mask": b"x", "overlay": b"y"})
    assert folder.count == 2 * len(names)
    for name in saved:
        assert (tmp_path / "out/onnx-int8" / name).read_bytes() == b"x"
        assert (tmp_path / "out/onnx-int8-overlay" / name).read_bytes() == b"y"
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def context(golden: np.ndarray | None, top: int = 5) -> AnswerContext:
    inputs = ModelInputs((TensorSpec(name="image", shape=(1, 3, 8, 8)),), 3, None, LABELS)
    return AnswerContext(inputs, None if golden is None else Samples((SPEC,), (golden,)), top)


def test_a_softmax_of_the_network_is_not_applied_twice():
    task = tasks.get_task("image-classification")
    answer = Samples((SPEC,), (np.array([[0.2, 0.7, 0.1]], np.float32),))
    golden = np.array([[0.5, 0.25, 0.25], [0.0, 0.0, 1.0]], np.float32)
    shown = task.show_answer(answer, context(golden))
    assert shown.lines[0].split() == ["70.0", "%", "dog"]
    assert shown.record["softmax"] == "network"
    assert "softmax" in shown.note
    logits = np.array([[0.5, 0.25, 0.25], [3.0, 0.0, 1.0]], np.float32)
    twice = task.show_answer(answer, context(logits))
    assert twice.record["softmax"] == "kit"
    right = np.exp(0.7) / np.exp([0.2, 0.7, 0.1]).sum()
    assert twice.record["labels"][0]["probability"] == pytest.approx(right)
    assert twice.note == ""
    assert len(task.show_answer(answer, context(None, top=2)).lines) == 2


def test_a_bundle_records_its_kind_of_scores(predicted_here, lowered_here, photo, tmp_path, capsys):
    assert describe_context(make_bundle("make", tmp_path), 5).scores == "logits"
    made = make_bundle("make_probable", tmp_path)
    assert made.manifest.scores == "probabilities"
    assert predict(made.path, photo, "--json", "--top", 7) == 0
    out, err = capsys.readouterr()
    for answer in json.loads(out)["samples"][0]["answers"].values():
        assert answer["softmax"] == "network"
        for one in answer["labels"]:
            assert one["probability"] == one["output"]
    assert "the network ends with a softmax" in err


def make_bundle(network: str, folder: Path) -> Bundle:
    net = Path(__file__).with_name("small_net.py")
    fields = {"resolution": 32, "quantize": "none", "formats": ("onnx",)}
    recipe = kit.make_recipe(f"{net}:{network}", **fields)
    return kit.build(recipe, folder / network, use_cache=False)


def test_the_recorded_kind_of_scores_is_used():
    task = tasks.get_task("image-classification")
    answer = Samples((SPEC,), (np.array([[0.2, 0.7, 0.1]], np.float32),))
    alike = replace(context(np.array([[0.5, 0.25, 0.25]], np.float32)), scores="logits")
    assert task.show_answer(answer, alike).record["softmax"] == "kit"
    known = replace(context(None), scores="probabilities")
    assert task.show_answer(answer, known).record["softmax"] == "network"


@pytest.mark.parametrize(
    ("rows", "is_one"),
    [
        ([[0.5, 0.5]], True),
        ([[1.5, -0.5]], False),
        ([[0.5, 0.5], [0.9, 0.4]], False),
        (np.empty((0, 2)), False),
    ],
)
def test_which_outputs_count_as_probabilities(rows, is_one):
    assert is_distribution(np.asarray(rows, np.float32)) is is_one


def test_tensors_show_shapes_and_first_values():
    specs = (TensorSpec(name="y", shape=(1, 8)), TensorSpec(name="n", shape=(1,), dtype="int64"))
    answer = Samples(specs, (np.arange(8, dtype=np.float32)[None] / 4, np.array([7])))
    shown = show_tensors(answer)
    assert shown.lines == (
        "y: float32 [1, 8]",
        "  0, 0.25, 0.5, 0.75, 1, 1.25, …",
        "n: int64 [1]",
        "  7",
    )
    first = {"name": "y", "dtype": "float32", "shape": [1, 8]}
    assert shown.record["outputs"][0] == {**first, "values": [0, 0.25, 0.5, 0.75, 1, 1.25]}


def test_a_sample_of_the_task_tensors(predicted_here, tensors_bundle, tmp_path, capsys):
    inputs = tensors_bundle.read_inputs(1)
    names = [spec.name for spec in inputs.specs]
    np.savez(tmp_path / "one.npz", **dict(zip(names, inputs[0], strict=True)))
    # The bundle has no float model, as the app needs none: the others still answer.
    assert predict(tensors_bundle.path, tmp_path / "one.npz", "--json") == 4
    result = as_json(capsys)
    assert list(result["failed"]) == [REFERENCE]
    (sample,) = result["samples"]
    assert sample["name"] == "one.npz"
    answers = next(iter(sample["answers"].values()))["outputs"]
    specs = tensors_bundle.manifest.signature.outputs
    assert [one["name"] for one in answers] == [spec.name for spec in specs]
    assert [one["shape"] for one in answers] == [list(spec.shape) for spec in specs]
