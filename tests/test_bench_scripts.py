"""`scripts/bench quantization`: its pure parts, its environments, and one peer on a tiny model."""

from __future__ import annotations

import json
import math
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from picture_samples import encode, fill, noise

from kit.errors import BuildError, MissingTool, PictureError, UnknownName, UsageError

SCRIPTS = Path(__file__).parents[1] / "scripts"
sys.path.insert(0, str(SCRIPTS))

from bench_quantization import command, environments, inputs, peers, scores  # noqa: E402
from bench_quantization.scores import Row, Score  # noqa: E402

OWN = sorted(
    {p.script for p in peers.PEERS.values() if (SCRIPTS / f"peers/{p.script}.txt").exists()}
)


def setup(work: Path, images: Path, count: int = 2, limit: int | None = None) -> inputs.Setup:
    return inputs.Setup("mobilenet_v2", "random", images, count, 0, limit, work, lambda what: None)


def make_inputs(reference: np.ndarray) -> inputs.Inputs:
    return inputs.Inputs("set", (), "0", np.zeros(len(reference), np.int64), reference)


# numbers ---------------------------------------------------------------------------------


def test_scores_equal_a_manual_count():
    reference = np.array([[9, 1], [1, 9], [9, 1], [1, 9]], np.float32)
    logits = np.array([[8, 1], [1, 9], [2, 7], [5, 5]], np.float32)  # of a tie, the first
    result = scores.score(logits, reference, np.array([0, 1, 1, 1]))
    assert (result.images, result.top1, result.agreement) == (4, 0.75, 0.5)
    signal, error = 4 * (81 + 1), 1 + (49 + 36) + (16 + 16)
    assert result.sqnr_db == pytest.approx(10 * math.log10(signal / error))


def test_scores_without_labels_and_without_noise():
    reference = np.eye(3, dtype=np.float32)
    assert scores.score(reference, reference, None) == Score(3, None, 1.0, None)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_nan_answers_are_refused(bad):
    reference = np.ones((2, 3), np.float32)
    with pytest.raises(ValueError, match="NaN"):
        scores.score(reference * np.float32(bad), reference, None)
    with pytest.raises(ValueError, match=r"\(2, 3\)"):
        scores.score(reference[:1], reference, None)


def test_standard_error_is_binomial():
    assert scores.standard_error(0.5, 100) == pytest.approx(0.05)
    assert "standard error of top-1 5.0 points" in scores.noise(Score(100, 0.5, 1.0, None))
    assert "no labels" in scores.noise(Score(100, None, 1.0, None))


def test_table_rows():
    whole, int8 = Score(400, 0.8, 1.0, None), Score(400, 0.775, 0.96, 18.04)
    row = Row("a", "A", "runtime 1", int8, 3_760_000, {"quantize": 1.6, "lower": 20.0})
    cells = ["A", "runtime 1", "77.50", "+2.50 ± 2.0", "96.0", "18.0", "3.76", "22"]
    assert scores.cells(row, whole) == cells
    float_cells = ["F", "-", "80.00", "-", "100.0", "equal", "-", "-"]
    assert scores.cells(Row("float", "F", score=whole), whole) == float_cells
    empty = scores.cells(Row("b", "B", failed="no network"), whole)
    assert empty == ["B", *["-"] * 7]
    assert {len(scores.HEADS)} == {len(cells), len(empty)}


def test_json_rows_have_the_drop_and_the_reason():
    whole = Score(400, 0.8, 1.0, None)
    good, bad = scores.record(
        [Row("a", "A", score=Score(400, 0.7, 0.96, 18.0)), Row("b", "B", failed="why")], whole
    )
    assert good["drop_points"] == pytest.approx(10)
    assert good["drop_margin95_points"] == pytest.approx(196 * math.sqrt(0.04 / 400))
    assert bad["score"] is None
    assert bad["failed"] == "why"
    json.dumps([good, bad])


# pictures --------------------------------------------------------------------------------


@pytest.mark.parametrize("limit", [None, 1, 3, 7, 8])
def test_pictures_are_those_of_kit_eval(limit):
    from kit.tasks.image_classification.evaluation import sample_evenly

    things = list(range(7))
    assert inputs.evenly(things, limit) == sample_evenly(things, limit)


def test_calibration_pictures_and_their_copies_are_not_evaluated(tmp_path):
    for i in range(5):
        data = encode(noise(40 + i, 30))
        fill(tmp_path, f"{i:04}_x.png", f"copy/{i:04}_x.png", data=data)
    _, (chosen,), rest = inputs.divide(setup(tmp_path, tmp_path, count=1))
    assert len(rest) == 8
    assert chosen.read() not in {picture.read() for picture in rest}
    with pytest.raises(PictureError, match="would calibrate"):
        inputs.divide(setup(tmp_path, tmp_path, count=10))


# peers -----------------------------------------------------------------------------------


def test_unknown_peer_names_near_matches():
    with pytest.raises(UnknownName) as caught:
        peers.choose("nncf,onnx-runtime")
    assert "'onnx-runtime'" in caught.value.message
    assert "onnxruntime" in caught.value.hint
    with pytest.raises(UsageError, match="names no peer"):
        peers.choose(" , ")


def test_peers_have_the_order_of_the_table():
    assert [p.name for p in peers.choose("executorch, nncf")] == ["nncf", "executorch"]
    assert peers.choose(None) == list(peers.PEERS.values())


def test_every_peer_has_a_script_and_is_in_the_docs():
    text = (SCRIPTS.parent / "docs" / "quantization-peers.md").read_text(encoding="utf-8")
    for name, peer in peers.PEERS.items():
        assert (SCRIPTS / "peers" / f"{peer.script}.py").is_file()
        assert f"| `{name}` |" in text


@pytest.mark.parametrize("script", OWN)
def test_pins_are_exact_without_addresses_and_telemetry(script):
    text = (SCRIPTS / "peers" / f"{script}.txt").read_text(encoding="utf-8")
    lines = [line for line in text.splitlines() if not line.startswith("#")]
    assert len(lines) > 5
    assert all(re.fullmatch(r"[\w.-]+==[\w.+-]+( ; .+)?", line) for line in lines)
    assert "://" not in text
    assert not any(line.startswith("openvino-telemetry") for line in lines)


def test_an_unknown_peer_is_refused_before_any_work():
    command = [sys.executable, str(SCRIPTS / "bench"), "quantization", "--images", ".", "--peers"]
    done = subprocess.run([*command, "nnfc"], capture_output=True, text=True, timeout=60)
    assert done.returncode == 2
    assert done.stdout == ""
    assert "there is no peer called 'nnfc'" in done.stderr
    assert "did you mean nncf?" in done.stderr


# environments ----------------------------------------------------------------------------


@pytest.fixture
def scripts(tmp_path, monkeypatch):
    folder = tmp_path / "scripts"
    folder.mkdir()
    monkeypatch.setattr(environments, "SCRIPTS", folder)
    monkeypatch.setenv("KIT_CACHE", str(tmp_path / "cache"))
    return folder


def test_an_environment_is_rebuilt_only_if_the_pins_change(scripts):
    assert environments.python("own") == Path(sys.executable)
    pins = scripts / "own.txt"
    pins.write_text("# none\n")
    python = environments.python("own")
    code = "import sys; print(sys.prefix); import numpy"
    done = subprocess.run([python, "-c", code], capture_output=True, text=True)
    assert Path(done.stdout.strip()) == python.parents[1]
    assert "No module named 'numpy'" in done.stderr
    mark = python.with_name("mark")
    mark.touch()
    assert environments.python("own") == python
    assert mark.exists()
    pins.write_text("# none, differently\n")
    assert environments.python("own") == python
    assert not mark.exists()


def test_a_peer_without_an_environment_has_a_failed_row_with_the_reason(scripts, tmp_path):
    (scripts / "broken.txt").write_text("./no-such-file.whl\n")
    reference = np.ones((1, 2), np.float32)
    peer = peers.Peer("broken", "Broken", "broken")
    row = command._peer(peer, make_inputs(reference), setup(tmp_path, tmp_path))
    assert row.score is None
    assert "environment of broken cannot be made" in row.failed
    with pytest.raises(MissingTool):
        environments.python("broken")


def test_errors_of_a_peer_contain_no_addresses(scripts, tmp_path, capfd):
    (scripts / "sad.py").write_text("import sys; sys.exit('cannot reach https://host.example/x')")
    with pytest.raises(BuildError, match=r"exit code 1: cannot reach \(an address\)"):
        environments.start("sad", "sad", Path(sys.executable), tmp_path)
    assert "host.example" not in capfd.readouterr().err


def test_telemetry_of_peers_is_disabled(monkeypatch):
    monkeypatch.setenv("PYTHONPATH", "elsewhere")
    result = environments.environment()
    assert result["ORT_DISABLE_TELEMETRY"] == result["HF_HUB_OFFLINE"] == "1"
    assert "PYTHONPATH" not in result


@pytest.mark.slow
def test_a_real_peer_writes_the_expected_files(tiny_bundle, tmp_path):
    """ONNX Runtime is the peer whose packages kit itself installs."""
    images = np.load(tiny_bundle.path / tiny_bundle.manifest.golden.inputs[0])
    reference = np.load(tiny_bundle.path / "golden" / "onnx-fp32.npy")
    (tmp_path / "model.onnx").write_bytes(tiny_bundle.file("onnx").read_bytes())
    np.save(tmp_path / "calibration.npy", images)
    np.save(tmp_path / "evaluation.npy", images)
    for name in ("onnxruntime", "onnxruntime-per-channel"):
        environments.start("ort_static", name, Path(sys.executable), tmp_path)
    tensor, channel = (
        json.loads((tmp_path / f"{name}.json").read_text())
        for name in ("onnxruntime", "onnxruntime-per-channel")
    )
    assert "per-tensor" in tensor["method"]
    assert "per-channel" in channel["method"]
    assert tensor["runtime"] in tensor["versions"]
    assert tensor["bytes"] == (tmp_path / "onnxruntime" / "int8.onnx").stat().st_size
    assert set(tensor["seconds"]) == {"prepare", "quantize"}
    result = scores.score(np.load(tmp_path / "onnxruntime.npy"), reference, None)
    assert result.sqnr_db is not None
    assert 15 < result.sqnr_db < 60
