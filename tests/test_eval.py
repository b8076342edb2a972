"""`kit eval`: output, result files and exit codes."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import stat
from pathlib import Path

import pytest
from bundle_samples import draw, draw_labelled, make, make_tiny, net

from kit import formats
from kit.accuracy import evaluate
from kit.bundles.bundle import Bundle
from kit.cli import run
from kit.devices import local
from kit.errors import BundleError, OutputError
from kit.json_outputs import read_output
from kit.results import store

HERE = pytest.mark.usefixtures("evaluated_here")  # children are in the first test


@pytest.fixture(scope="module")
def tiny(tmp_path_factory) -> Bundle:
    return make_tiny(tmp_path_factory.mktemp("bundles") / "tiny")


@pytest.fixture(scope="module")
def pictures(tmp_path_factory) -> Path:
    return draw_labelled(tmp_path_factory.mktemp("pictures") / "set")


FIELDS = {
    *("format", "backend", "precision", "artifact_sha256", "runtime", "images"),
    *("top1", "top5", "agreement", "sqnr_db", "outputs", "images_per_second", "metrics"),
}


@pytest.mark.slow
def test_json_is_one_object_and_nothing_else(tiny, pictures, capfd):
    assert run(["eval", str(tiny.path), "--images", str(pictures), "--json", "--limit", "4"]) == 0
    text = capfd.readouterr().out
    read_output("eval", text)
    actual = json.loads(text)
    assert actual.keys() == {"measurement", "results", "notices"}
    assert len(actual["measurement"]) == 32
    assert [set(row) for row in actual["results"]] == [FIELDS] * 3
    assert [row["format"] for row in actual["results"]] == ["reference", "lite", "onnx"]
    assert all(row["images"] == 4 for row in actual["results"])
    assert actual["results"][0]["sqnr_db"] is None


@HERE
def test_the_table_and_the_result_file(tiny, pictures, tmp_path, capsys):
    file = tmp_path / "sub" / "result.json"
    arguments = ["--images", str(pictures), "--format", "lite, onnx", "-o", str(file)]
    assert run(["eval", str(tiny.path), *arguments]) == 0
    table = capsys.readouterr().out
    assert all(word in table for word in ("reference", "lite", "onnx", "top-1 %", "set"))
    result = store.read(file)
    assert result.kind == "accuracy"
    assert result.left_out == 0
    assert result.identity.device == local.open(None).fingerprint
    for row in result.rows:
        digest = hashlib.sha256(tiny.file(row.format).read_bytes()).hexdigest()
        assert row.artifact_sha256 == digest
        assert row.runtime.endswith(" " + formats.get_format(row.format).read_version())
    assert [r.format for r in result.rows] == ["reference", "lite", "onnx"]
    assert str(tmp_path) not in file.read_text()


@HERE
def test_notes_go_to_stderr(tmp_path, capsys):
    from kit.images import hash_picture, open_set

    root = draw(tmp_path / "set", 3, lambda i: f"photo{i}.png")
    seen = [hash_picture(open_set(root).pictures[0])]
    bundle = make(tmp_path / "b", {"lite": net()}, calibration=seen)
    assert run(["eval", str(bundle.path), "--images", str(root), "--json"]) == 0
    output = capsys.readouterr()
    assert "left out 1 picture that calibrated the bundle" in output.err
    assert "no labels were given" in output.err
    assert json.loads(output.out)["results"][0]["top1"] is None


@HERE
def test_errors_are_one_sentence_with_a_hint(tiny, pictures, tmp_path, capsys):
    def refused(code: int, words: str, *arguments: str) -> None:
        assert run(["eval", *arguments]) == code
        output = capsys.readouterr()
        assert output.out == ""
        message, hint = output.err.strip().splitlines()[-2:]
        assert words in message
        assert hint.startswith("hint: ")
        assert "Traceback" not in output.err

    path, images = str(tiny.path), ["--images", str(pictures)]
    broken = draw(tmp_path / "broken", 2, lambda i: f"000{i}_a.png")
    data = (broken / "0001_a.png").read_bytes()
    (broken / "0001_a.png").write_bytes(data[: len(data) // 2])
    (tmp_path / "empty").mkdir()
    refused(3, "0001_a.png is damaged", path, "--images", str(broken))
    refused(3, "there are no pictures", path, "--images", str(tmp_path / "empty"))
    refused(3, "there is no folder or zip", path, "--images", str(tmp_path / "gone"))
    refused(3, "cannot read", path, *images, "--labels", str(tmp_path / "gone.csv"))
    refused(2, "'tflite'", path, *images, "--format", "tflite")
    refused(2, "the limit 0", path, *images, "--limit", "0")
    refused(2, "--images", path)
    (tmp_path / "file").write_text("mine")
    refused(2, "--format names nothing", path, *images, "--format", ",")
    os.mkfifo(tmp_path / "pipe")
    for place in ("file/r.json", "file/deep/r.json", "pipe"):
        refused(7, f"cannot write {tmp_path / place}", path, *images, "-o", str(tmp_path / place))
    refused(4, "is not a bundle", str(tmp_path / "gone"), *images)
    other = draw(tmp_path / "other", 2, lambda i: f"{('cat', 'dog')[i]}/{i}.png")
    refused(3, "none of the 2 folders of other is a class", path, "--images", str(other))
    assert run(["eval", path, "--images", str(other), "--labels", "none"]) == 0
    assert "no labels were given" in capsys.readouterr().err


@HERE
def test_where_labels_come_from_is_printed(tiny, pictures, capfd):
    arguments = ["--images", str(pictures), "--limit", "4", "--json"]
    assert run(["eval", str(tiny.path), *arguments]) == 0
    output = capfd.readouterr()
    assert "note: labels: beginnings of file names as class indices" in output.err.splitlines()
    assert json.loads(output.out)


def test_a_flipped_byte_in_the_bundle_is_refused(tiny, pictures, tmp_path):
    copy = tmp_path / "copy"
    shutil.copytree(tiny.path, copy)
    data = bytearray((copy / "model-fp32.onnx").read_bytes())
    data[len(data) // 2] ^= 1
    (copy / "model-fp32.onnx").write_bytes(data)
    with pytest.raises(BundleError, match=r"model-fp32\.onnx in .* was altered"):
        evaluate(copy, pictures)


@HERE
def test_a_result_below_a_file_is_an_error(tiny, pictures, tmp_path):
    (tmp_path / "file").write_text("mine")
    os.mkfifo(tmp_path / "pipe")
    result = evaluate(tiny, pictures, limit=1)
    with pytest.raises(OutputError, match=r"cannot write .*file/r\.json"):
        store.write(result, tmp_path / "file" / "r.json")
    with pytest.raises(OutputError, match="it is a FIFO, not a file"):
        store.write(result, tmp_path / "pipe")  # as /dev/null, which root could replace
    assert stat.S_ISFIFO((tmp_path / "pipe").stat().st_mode)


def test_the_docs_name_every_field():
    text = (Path(__file__).parents[1] / "docs" / "eval.md").read_text(encoding="utf-8")
    assert all(f"`{name}`" in text for name in FIELDS)
