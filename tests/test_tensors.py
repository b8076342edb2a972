"""The task tensors: any model whose samples are .npz files, through every command."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path

import numpy as np
import pytest
import virtual_device
from conftest import FAST
from device_samples import opened
from tensor_models import FILE, draw, write_samples

import kit
from kit import cli
from kit.bench.measure import measure_all
from kit.errors import RecipeError, SampleError, UsageError
from kit.report.write import write
from kit.results import store
from kit.tasks import get_task
from kit.tasks.tensors import samples as files

TASK = get_task("tensors")
pytestmark = pytest.mark.usefixtures("lowered_here")


def recipe_of(name: str, samples: Path, **fields):
    return kit.make_recipe(
        f"{FILE}:{name}", task="tensors", calibrate=str(samples), calibration_images=8, **fields
    )


@pytest.fixture(scope="module")
def two(tmp_path_factory) -> Path:
    return write_samples(tmp_path_factory.mktemp("samples") / "two", "Two")


# Samples


def test_inputs_are_those_of_the_first_sample_in_the_order_of_forward(two):
    inputs = TASK.describe_inputs(recipe_of("Two", two))
    assert [(s.name, s.shape, s.dtype) for s in inputs.specs] == [
        ("ids", (1, 7), "int64"),
        ("features", (1, 8), "float32"),
    ]
    assert inputs.outputs == ("output_0", "output_1")
    assert inputs.at_once


def test_a_network_with_states_runs_without_a_batch(tmp_path):
    inputs = TASK.describe_inputs(
        recipe_of("Recurrent", write_samples(tmp_path / "s", "Recurrent"))
    )
    assert [s.name for s in inputs.specs] == ["x", "h", "c"]
    assert not inputs.at_once


def test_arrays_without_names_are_in_the_order_of_forward(tmp_path):
    np.savez(tmp_path / "a.npz", np.zeros((1, 7), np.int64), np.zeros((1, 8), np.float32))
    inputs = TASK.describe_inputs(recipe_of("Two", tmp_path))
    assert [s.name for s in inputs.specs] == ["ids", "features"]


def test_golden_samples_exclude_calibration_samples(two):
    chosen = TASK.open_calibration(recipe_of("Two", two))
    assert (chosen.count, len(chosen.rest), len(set(chosen.digests))) == (8, 4, 8)
    assert not {s.name for s in chosen.chosen} & {s.name for s in chosen.rest}
    assert TASK.open_calibration(recipe_of("Two", two)).sha256 == chosen.sha256


def npz(**arrays: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    np.savez(buffer, **arrays)
    return buffer.getvalue()


def zipped(name: str, content: bytes, method: int = zipfile.ZIP_STORED) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", method) as archive:
        archive.writestr(name, content)
    return buffer.getvalue()


def header(shape: str) -> bytes:
    text = f"{{'descr': '<f4', 'fortran_order': False, 'shape': {shape}, }}"
    return b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text.encode()


BROKEN = {
    "empty": (b"", "is not an .npz file"),
    "no zip": (b"x" * 1000, "is not an .npz file"),
    "pickled": (npz(x=np.array([{}], dtype=object)), "not numbers|allow_pickle|header|bytes"),
    "text": (npz(x=np.array(["a"])), "not numbers"),
    "terabytes": (zipped("x.npy", header("(1000000, 1000000)") + b"1234"), "bytes, and 4 follow"),
    "too short": (zipped("x.npy", header("(4,)") + b"1234"), "takes 16 bytes, and 4 follow"),
    "no array": (zipped("x.npy", b"hello"), "x.npy"),
    "lzma": (zipped("x.npy", header("(1,)") + b"1234", zipfile.ZIP_LZMA), "compressed"),
    "nothing in it": (b"PK\5\6" + bytes(18), "holds 0 arrays"),
    "another name": (npz(y=np.zeros((1, 4, 12, 10), np.float32)), "has an array 'y'"),
    "doubles": (npz(x=np.zeros((1, 4, 12, 10))), "x is float64"),
    "NaN": (npz(x=np.full((1, 4, 2, 2), np.nan, np.float32)), "NaN in x, 16 of 16 values"),
    "no values": (npz(x=np.zeros((0, 4), np.float32)), "x is empty"),
}


@pytest.mark.parametrize("kind", BROKEN)
def test_an_unusable_sample_is_reported_in_one_sentence(kind, tmp_path):
    content, message = BROKEN[kind]
    (tmp_path / "a.npz").write_bytes(content)
    with pytest.raises(SampleError, match=message) as caught:
        TASK.describe_inputs(recipe_of("Planes", tmp_path))
    assert str(tmp_path / "a.npz") in caught.value.message
    assert "\n" not in caught.value.message


def test_samples_of_two_shapes_are_refused(tmp_path):
    write_samples(tmp_path / "s", "Planes", 2)
    np.savez(tmp_path / "s" / "zzz.npz", x=np.zeros((1, 4, 9, 9), np.float32))
    recipe = recipe_of("Planes", tmp_path / "s")
    with pytest.raises(SampleError, match=r"zzz.npz holds x: float32 \[1, 4, 9, 9\]"):
        TASK.open_calibration(recipe).load(TASK.describe_inputs(recipe))


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("Named", "returns dict, not a tensor or a tuple of tensors"),
        ("Overwriting", "writes into its input"),
        ("Recurrent", "fails on the sample 000.npz"),
        ("Spectrum", "Spectrum returns complex64, not one of float32, float16"),
    ],
)
def test_an_unsupported_model_is_refused(name, message, tmp_path):
    samples = write_samples(tmp_path / "s", "Planes", 1)
    with pytest.raises(RecipeError, match=message):
        TASK.describe_inputs(recipe_of(name, samples))


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"calibrate": None}, "needs samples"),
        ({"labels": "labels.txt"}, "labels = 'labels.txt' does nothing"),
        ({"mean": (0.5, 0.5, 0.5)}, "mean = "),
        ({"quantize": "qat"}, "trains with pictures"),
    ],
)
def test_options_of_pictures_are_refused(fields, message, two):
    recipe = recipe_of("Two", two).model_copy(update=fields)
    with pytest.raises(RecipeError, match=message):
        TASK.check_recipe(recipe)


def test_an_accuracy_gate_is_refused(two, tmp_path, capsys):
    words = ["build", f"{FILE}:Two", "--task", "tensors", "--calibrate", str(two)]
    assert cli.run([*words, "--min-agreement", "90", "-o", str(tmp_path / "b")]) == 3
    assert "has no classes" in capsys.readouterr().err


# Through every command


@pytest.fixture(scope="module")
def built(two, tmp_path_factory):
    """Two inputs and two outputs in int8, in every format."""
    return kit.build(recipe_of("Two", two), tmp_path_factory.mktemp("b") / "two", use_cache=False)


@pytest.mark.slow
def test_a_bundle_describes_inputs_and_outputs(built):
    manifest = built.manifest
    assert (manifest.task, manifest.preprocessing, manifest.labels) == ("tensors", None, None)
    assert [s.dtype for s in manifest.signature.inputs] == ["int64", "float32"]
    assert [(s.name, s.shape, s.dtype) for s in manifest.signature.outputs] == [
        ("output_0", (1, 5), "float32"),
        ("output_1", (1,), "int64"),
    ]
    assert manifest.golden.inputs == ("golden/input.npy", "golden/input.1.npy")
    for artifact in manifest.artifacts:
        actual = {(c.against, c.output): c for c in artifact.parity}
        assert len(actual) == 4
        float_ = actual["float reference", "output_0"]
        assert float_.agreement is None
        assert float_.sqnr_db is not None
        assert float_.sqnr_db > 12
        assert float_.cosine is not None
        assert float_.cosine > 0.95


@pytest.mark.slow
def test_it_is_measured_evaluated_verified_and_reported(built, two, tmp_path, capsys):
    words = ["eval", str(built.path), "--samples", str(two), "-o", str(tmp_path / "eval.json")]
    assert cli.run(words) == 0
    assert "output_1" in capsys.readouterr().out
    scored = store.read(tmp_path / "eval.json")
    assert scored.task == "tensors"
    assert scored.left_out == 8
    rows = {row.format: row for row in scored.rows}
    assert set(rows) == {"reference", "lite", "executorch", "onnx"}
    for name, row in rows.items():
        assert row.agreement is None
        assert [o.name for o in row.outputs] == ["output_0", "output_1"]
        assert row.sqnr_db is None if name == "reference" else row.sqnr_db > 12
    verified = kit.verify_processors(built)
    assert all(row.passed for row in verified.rows)
    (measured,) = measure_all([built], None, FAST, runner="python")
    assert {run.format for run in measured.runs} == {"lite", "executorch", "onnx"}
    page = write([measured, scored, verified], tmp_path / "page")
    text = page.markdown.read_text(encoding="utf-8")
    assert "Outputs against the float reference" in text
    assert "output_1" in text


@pytest.mark.slow
def test_an_evaluation_uses_the_answers_of_the_runtime(built, two, tmp_path):
    """SQNR and cosine again, from the sessions and by hand."""
    from kit import formats

    held = sorted(two.glob("*.npz"))
    seen = set(built.manifest.calibration.pictures)
    unseen = [f for f in held if files.SampleFile(f.name, f).digest() not in seen]
    scored = kit.evaluate(built, two)
    sessions = {
        name: formats.get_format(name).load(built.file(name), 1) for name in ("reference", "onnx")
    }
    answers = {name: [] for name in sessions}
    for file in unseen:
        with np.load(file) as arrays:
            inputs = (arrays["ids"], arrays["features"])
        for name, session in sessions.items():
            answers[name].append(session.read(session.bind(inputs)())[0].astype(np.float64))
    right, given = (np.concatenate(answers[name]) for name in ("reference", "onnx"))
    ratio = 10 * np.log10((right**2).sum() / ((right - given) ** 2).sum())
    row = next(row for row in scored.rows if row.format == "onnx")
    assert row.images == len(unseen) == 4
    assert row.outputs[0].sqnr_db == pytest.approx(ratio, abs=1e-6)
    lengths = np.linalg.norm(right, axis=1) * np.linalg.norm(given, axis=1)
    assert row.outputs[0].cosine == pytest.approx(((right * given).sum(1) / lengths).mean())


@pytest.mark.slow
def test_a_tensor_model_runs_on_a_virtual_device(built):
    try:
        with virtual_device.running("x86_64", size_mb=1024) as device, opened(device.serial) as one:
            (result,) = measure_all([built], ["onnx"], FAST, None, one)
    except virtual_device.CannotRun as exc:
        pytest.skip(str(exc))
    (run,) = result.runs
    assert (run.via, run.device.kind) == ("native", "virtual")
    assert run.golden_max_abs == 0


@pytest.mark.slow
@pytest.mark.parametrize("name", ["Recurrent", "Planes"])
def test_other_shapes_are_built_too(name, tmp_path):
    samples = write_samples(tmp_path / "s", name)
    method = "none" if name == "Recurrent" else "static"
    recipe = recipe_of(name, samples, quantize=method, formats=("onnx", "executorch"))
    made = kit.build(recipe, tmp_path / "b", use_cache=False)
    assert made.manifest.failed == ()
    scored = kit.evaluate(made, samples)
    floor = 60 if method == "none" else 20
    assert all(row.sqnr_db is None or row.sqnr_db > floor for row in scored.rows)


@pytest.mark.slow
def test_a_sample_of_another_shape_is_refused_by_an_evaluation(built, tmp_path):
    np.savez(tmp_path / "a.npz", **{**draw("Two", np.random.default_rng(1)), "ids": [[1, 2]]})
    with pytest.raises(SampleError, match=r"a.npz holds ids: int64 \[1, 2\]"):
        kit.evaluate(built, tmp_path)
    with pytest.raises(UsageError, match="has no labels"):
        kit.evaluate(built, tmp_path, labels="labels.csv")
