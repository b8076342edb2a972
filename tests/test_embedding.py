"""The task embedding: nearest neighbours, and a bundle through every command."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from picture_models import FILE, Vector
from PIL import Image

import kit
from kit import cli
from kit.errors import RecipeError
from kit.results import store
from kit.signature import Samples, Signature, TensorSpec
from kit.tasks import get_task
from kit.tasks.embedding import tally
from kit.tasks.interface import describe_bundle

TASK = get_task("embedding")
pytestmark = pytest.mark.usefixtures("lowered_here")


def recipe_of(name: str, **fields):
    return kit.make_recipe(f"{FILE}:{name}", task=TASK.name, resolution=32, **fields)


def write_kinds(root: Path) -> Path:
    """Write six pictures of each of three colours, a folder for each."""
    rng = np.random.default_rng(0)
    for kind, colour in {"red": [200, 0, 0], "green": [0, 200, 0], "blue": [0, 0, 200]}.items():
        (root / kind).mkdir(parents=True)
        for number in range(6):
            pixels = np.array(colour) + rng.integers(-60, 60, (40, 50, 3))
            picture = Image.fromarray(pixels.clip(0, 255).astype(np.uint8))
            picture.save(root / kind / f"{number}.jpg")
    return root


# Neighbours


def test_neighbours_are_those_of_scikit_learn(monkeypatch):
    from sklearn.neighbors import NearestNeighbors

    monkeypatch.setattr(tally, "_AT_ONCE", 7)
    vectors = np.random.default_rng(0).normal(size=(30, 5)).astype(np.float32)
    result = NearestNeighbors(n_neighbors=2, metric="cosine").fit(vectors).kneighbors(vectors)[1]
    assert np.array_equal(tally.find_nearest(vectors), result[:, 1])


def test_recall_counts_pictures_that_have_a_right_answer():
    nearest = np.array([1, 0, 1, 0])
    assert tally.compute_recall_at_1(nearest, ["a", "a", "b", "b"]) == 0.5
    assert tally.compute_recall_at_1(nearest, ["a", "a", "b", "c"]) == 1.0
    assert tally.compute_recall_at_1(nearest, ["a", "a", "a", "a"]) is None
    assert tally.compute_recall_at_1(nearest, ["a", "b", "c", "d"]) is None
    assert tally.compute_recall_at_1(nearest, [None] * 4) is None


def test_the_worst_cosine_is_over_all_parts():
    spec = TensorSpec(name="vector", shape=(1, 2))
    counting = TASK.start_tally(Signature(inputs=(spec,), outputs=(spec,)))
    right = np.array([[1, 0], [0, 1], [1, 1]], np.float32)
    given = np.array([[1, 0], [0, 2], [1, 0]], np.float32)
    for row in range(3):
        parts = (Samples((spec,), (array[row : row + 1],)) for array in (given, right))
        counting.add(*parts, [None])
    fields = counting.measure()
    metrics = {m.name: m.value for m in fields["metrics"]}
    assert metrics["worst cosine"] == pytest.approx(2**-0.5)
    assert fields["outputs"][0].cosine == pytest.approx((2 + 2**-0.5) / 3)
    assert set(metrics) == {"worst cosine", "same neighbour"}


# What the task does not do


def test_options_and_networks_that_are_refused(tmp_path):
    with pytest.raises(RecipeError, match=r"labels = 'names\.txt' does nothing"):
        TASK.check_recipe(recipe_of("Vector").model_copy(update={"labels": "names.txt"}))
    with pytest.raises(RecipeError, match="gives the shape") as caught:
        TASK.describe_inputs(recipe_of("Maps"))
    assert "vectors [N, numbers]" in caught.value.hint


# Through every command


@pytest.mark.slow
def test_a_bundle_is_evaluated_by_its_neighbours(tmp_path, capsys, evaluated_here, predicted_here):
    kinds = write_kinds(tmp_path / "kinds")
    fields = {"calibration_images": 3, "formats": ("onnx",), "observer": "minmax"}
    recipe = recipe_of("Vector", calibrate=str(kinds), **fields)
    built = kit.build(recipe, tmp_path / "b", use_cache=False)
    assert built.manifest.signature.outputs[0].shape == (1, 16)
    output = tmp_path / "e.json"
    assert cli.run(["eval", str(built.path), "--images", str(kinds), "-o", str(output)]) == 0
    assert "recall@1" in capsys.readouterr().out
    scored = store.read(output)
    assert scored.left_out == 3
    for row in scored.rows:
        metrics = {m.name: m.value for m in row.metrics}
        assert metrics["recall@1"] > 90
        assert metrics["worst cosine"] > 0.99
        assert row.agreement is None
    flat = kit.evaluate(built, kinds / "red", formats=["onnx"])
    assert "recall@1" not in {m.name for m in flat.rows[0].metrics}
    assert cli.run(["eval", str(built.path), "--images", str(kinds), "--labels", "x.csv"]) == 2
    assert cli.run(["analyze", str(built.path)]) == 3
    assert "cannot be analyzed" in capsys.readouterr().err
    one = kinds / "red/0.jpg"
    assert cli.run(["predict", str(built.path), str(one), "--json"]) == 0
    (sample,) = json.loads(capsys.readouterr().out)["samples"]
    assert sample["name"] == "0.jpg"
    array = TASK.open_samples(describe_bundle(built), one).read(0).arrays[0]
    with torch.no_grad():
        (right,) = Vector().eval()(torch.from_numpy(array)).numpy()
    answer, quantized = (sample["answers"][name] for name in ("reference", "onnx-int8"))
    assert answer["norm"] == pytest.approx(1, abs=1e-5)
    assert answer["values"] == pytest.approx(right[:6], abs=1e-5)
    assert "cosine" not in answer
    assert 0.99 < quantized["cosine"] < 1
    assert cli.run(["predict", str(built.path), str(one)]) == 0
    assert "cosine to float 0.99" in capsys.readouterr().out
    assert cli.run(["predict", str(built.path), str(one), "--save", f"{tmp_path}/"]) == 2
    assert "the task embedding draws none" in capsys.readouterr().err
