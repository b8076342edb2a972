"""Stateful models of the task tensors: sequences whose outputs become inputs."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import tensor_models
import torch
from tensor_models import FILE

import kit
from kit.artifact_key import FLOAT_MODEL
from kit.errors import RecipeError, SampleError
from kit.formats.isolated import open_session
from kit.manifest.schema import Manifest
from kit.pipeline._check import check
from kit.signature import Sequences
from kit.tasks import get_task
from kit.tasks.evaluation import EvaluationContext
from kit.tasks.interface import describe_bundle
from kit.tasks.tensors.samples import list_samples
from kit.tasks.tensors.sequences import read_sequences

TASK = get_task("tensors")
STATE = ("hidden=output_1",)


def write_set(folder: Path, count: int = 8) -> Path:
    """Write sequences of 5 to 12 frames."""
    folder.mkdir(parents=True)
    rng = np.random.default_rng(0)
    for number in range(count):
        frames = rng.normal(size=(5 + number, 1, 6)).astype(np.float32)
        first = rng.normal(size=(1, 8)).astype(np.float32)
        np.savez(folder / f"{number:03}.npz", x=frames, hidden=first)
    return folder


@pytest.fixture(scope="module")
def frames(tmp_path_factory) -> Path:
    return write_set(tmp_path_factory.mktemp("frames") / "set")


def recipe_of(samples: Path, **fields):
    return kit.make_recipe(
        f"{FILE}:Cell",
        task="tensors",
        **{"calibrate": str(samples), "calibration_images": 4, "state": STATE, **fields},
    )


def run_loop(file: Path) -> list[tuple[np.ndarray, np.ndarray]]:
    """Return the answers of the network to one sequence, by a plain loop."""
    model, arrays = tensor_models.Cell().eval(), np.load(file)
    hidden, answers = torch.from_numpy(arrays["hidden"]), []
    with torch.no_grad():
        for frame in arrays["x"]:
            y, hidden = model(torch.from_numpy(frame), hidden)
            answers.append((y.numpy(), hidden.numpy()))
    return answers


def test_inputs_are_those_of_one_inference(frames):
    inputs = TASK.describe_inputs(recipe_of(frames))
    assert [(s.name, s.shape) for s in inputs.specs] == [("x", (1, 6)), ("hidden", (1, 8))]
    assert inputs.feedback == ((1, 1),)
    sequences = read_sequences(list_samples(frames)[:2], inputs)
    assert (len(sequences), sequences.starts) == (5 + 6, (0, 5))
    assert not sequences.arrays[1][[1, 2, 3, 4, 6]].any()
    (first,) = TASK.open_samples(inputs, frames / "000.npz").names
    assert first == "000.npz"


def test_calibration_and_golden_inputs_use_states_of_the_network(frames):
    recipe = recipe_of(frames)
    inputs, chosen = TASK.describe_inputs(recipe), TASK.open_calibration(recipe)
    model = tensor_models.Cell().eval()
    samples = TASK.load_calibration(model, inputs, chosen)
    right = [answers for sample in chosen.chosen for answers in run_loop(sample.path)]
    start = 0
    for sample in chosen.chosen:
        count = len(np.load(sample.path)["x"])
        states = np.concatenate([one[1] for one in right[start : start + count]])
        assert np.allclose(samples.arrays[1][start + 1 : start + count], states[:-1], atol=1e-6)
        start += count
    assert len(samples) == start
    golden = TASK.choose_golden(model, inputs, chosen)
    assert len(golden.inputs) == 16
    assert golden.inputs.arrays[1].any(1).all()


@pytest.mark.parametrize(
    ("state", "message"),
    [
        (("hidden",), "'hidden' is not INPUT=OUTPUT"),
        (("hidden=output_1", "hidden=output_0"), "names the input hidden twice"),
        (("h=output_1",), "no input 'h'"),
        (("hidden=h",), "no output 'h'"),
        (("hidden=output_0",), r"hidden is float32 \[1, 8\], and output_0 float32 \[1, 2\]"),
    ],
)
def test_invalid_states_are_refused(state, message, frames):
    with pytest.raises((RecipeError, SampleError), match=message):
        TASK.describe_inputs(recipe_of(frames, state=state))


def test_unusable_sequences_are_refused(frames, tmp_path):
    inputs = TASK.describe_inputs(recipe_of(frames))
    for arrays, message in [
        ({"x": np.zeros((3, 1, 5), np.float32)}, r"x: float32 \[1, 5\]"),
        ({"hidden": np.zeros((1, 9), np.float32)}, r"hidden: float32 \[1, 9\]"),
        ({"x": np.float32(1)}, "different numbers of inferences: x: 0"),
    ]:
        whole = {"x": np.zeros((3, 1, 6), np.float32), "hidden": np.zeros((1, 8), np.float32)}
        np.savez(tmp_path / "a.npz", **{**whole, **arrays})
        with pytest.raises(SampleError, match=message):
            read_sequences(list_samples(tmp_path), inputs)
    np.savez(tmp_path / "a.npz", hidden=np.zeros((1, 8), np.float32))
    with pytest.raises(SampleError, match="states only"):
        read_sequences(list_samples(tmp_path), inputs)


def test_other_tasks_refuse_states():
    recipe = kit.make_recipe("mobilenet_v2", weights="random", state=STATE)
    with pytest.raises(RecipeError, match="does nothing with the task image") as caught:
        check(recipe)
    assert "--task tensors" in caught.value.hint


@pytest.mark.slow
def test_a_bundle_feeds_its_states_back(frames, tmp_path, lowered_here, evaluated_here):
    recipe = recipe_of(frames, formats=("onnx",), observer="minmax")
    built = kit.build(recipe, tmp_path / "cell", use_cache=False)
    assert built.manifest.state == {"hidden": "output_1"}
    fields = built.manifest.model_dump(mode="json")
    for state in ({"hidden": "output_0"}, {"h": "output_1"}):
        with pytest.raises(ValueError, match="the state h"):
            Manifest.model_validate({**fields, "state": state})
    inputs = describe_bundle(built)
    rest = [
        s for s in list_samples(frames) if s.digest() not in built.manifest.calibration.pictures
    ]
    sequences = read_sequences(rest[:2], inputs)
    assert isinstance(sequences, Sequences)
    right = [answers for sample in rest[:2] for answers in run_loop(sample.path)]
    with open_session(FLOAT_MODEL, built.file("reference"), 1) as session:
        answers, ns = session.predict(sequences)
    assert ns > 0
    for number, column in enumerate(answers.arrays):
        assert np.allclose(column, np.concatenate([one[number] for one in right]), atol=1e-5)
    with open_session(built.manifest.artifacts[0].key, built.file("onnx").resolve(), 1) as session:
        quantized, _ = session.predict(sequences)
        alone, _ = session.predict(sequences.take(slice(None)))
    drift = abs(quantized.arrays[0] - answers.arrays[0]).max()
    assert 0 < drift < abs(alone.arrays[0] - answers.arrays[0]).max()
    result = kit.evaluate(built, frames)
    row = result.rows[1]
    assert (result.left_out, row.images) == (4, 4)
    assert 10 < row.sqnr_db < 60
    opened = TASK.open_evaluation(EvaluationContext(inputs, frozenset()), frames, None, None)
    assert opened.load(0, 8)[0].starts == (0, 5, 11, 18, 26, 35, 45, 56)
