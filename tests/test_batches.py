"""Files with a dynamic batch dimension: `--dynamic batch=1..N`."""

from __future__ import annotations

import numpy as np
import pytest
from bundle_samples import draw
from picture_models import FILE

import kit
from kit import cli, formats, size_checks
from kit.artifact_key import ArtifactKey
from kit.bundles.loading import load_bundle
from kit.errors import BuildError, RecipeError, UsageError
from kit.pipeline import _check
from kit.signature import Samples, TensorSpec, group
from kit.varying import VaryingDimension

FORMATS = ("onnx", "executorch", "lite", "torchscript")


def make(**fields: object):
    return kit.make_recipe(f"{FILE}:Vector", task="embedding", resolution=32, **fields)


@pytest.mark.parametrize(
    "text", ["batch", "batch=2..8", "batch=1..1", "batch=1..9999", "height=1..8"]
)
def test_invalid_values_of_dynamic_are_refused(text):
    with pytest.raises(RecipeError, match="dynamic = "):
        make(dynamic=text)
    assert make().max_batch == 1
    assert make(dynamic="batch=1..8").max_batch == 8
    assert make(dynamic="batch=1..8").hash != make().hash


@pytest.mark.parametrize("name", ["litert", "coreml", "executorch/vulkan", "torchscript/x86"])
def test_formats_with_a_fixed_batch_are_refused(name, monkeypatch):
    result = formats.get_format(name.partition("/")[0])
    monkeypatch.setattr(type(result), "check_packages", lambda self: None)
    with pytest.raises(RecipeError, match=f"files of {name} take one sample at once") as caught:
        _check.check(make(dynamic="batch=1..8", formats=("onnx", name)))
    assert "onnx" in caught.value.hint
    assert "litert" not in caught.value.hint


def test_samples_are_grouped_into_batches():
    spec = TensorSpec(name="x", shape=(1, 2))
    grouped = group(Samples((spec,), (np.arange(14, dtype=np.float32).reshape(7, 2),)), 3)
    assert len(grouped) == 2
    assert grouped[1][0].tolist() == [[6, 7], [8, 9], [10, 11]]


class Wrong:
    """A session whose answers depend on the batch."""

    def __init__(self, factor: float, rows: int) -> None:
        self.factor, self.rows = factor, rows

    def bind(self, inputs):
        return lambda: inputs[0][: self.rows] * (1 if len(inputs[0]) == 1 else self.factor)

    def read(self, output):
        return (output,)


@pytest.mark.parametrize(("factor", "rows", "fails"), [(1, 4, False), (1.1, 4, True), (1, 1, True)])
def test_a_file_whose_answers_depend_on_the_batch_is_refused(factor, rows, fails):
    spec = TensorSpec(name="x", shape=(1, 3))
    samples = Samples((spec,), (np.ones((2, 3), np.float32),))

    class Job:
        recipe, at_once, outputs = make(dynamic="batch=1..4"), True, (spec,)
        key = ArtifactKey("onnx", "fp32")

    if fails:
        with pytest.raises(BuildError, match="answers 4 samples at once differently"):
            size_checks.check_batches(Wrong(factor, rows), samples, samples, Job)
    else:
        size_checks.check_batches(Wrong(factor, rows), samples, samples, Job)


@pytest.mark.slow
def test_every_file_runs_every_batch_size(tmp_path, capsys, lowered_here, evaluated_here):
    fields = {"dynamic": "batch=1..5", "formats": FORMATS, "observer": "minmax"}
    built = kit.build(make(**fields), tmp_path / "b", use_cache=False)
    manifest = load_bundle(built.path).manifest
    assert manifest.signature.varying == (VaryingDimension(axis=0, name="batch", min=1, max=5),)
    assert manifest.signature.inputs[0].shape == (1, 3, 32, 32)
    golden = np.load(built.path / manifest.golden.inputs[0])[:5]
    for artifact in manifest.artifacts:
        session = formats.get_format(artifact.format).load(built.file(artifact.name), 1)
        one = [session.read(session.bind((row[None],))())[0] for row in golden]
        for size in (2, 5):
            (result,) = session.read(session.bind((golden[:size],))())
            np.testing.assert_allclose(result, np.concatenate(one[:size]), rtol=1e-3, atol=1e-3)
    import onnx

    graph = onnx.load(built.file("onnx-int8")).graph
    for value in (*graph.input, *graph.output):
        assert value.type.tensor_type.shape.dim[0].dim_param == "batch"
    draw(tmp_path / "pics", 7, lambda index: f"{index}.png")
    scored = kit.evaluate(built, tmp_path / "pics", batch=3)
    single = kit.evaluate(built, tmp_path / "pics")
    assert (scored.batch, single.batch) == (3, 1)
    codes = [{notice.code for notice in one.notices} for one in (scored, single)]
    assert ["accuracy.batch" in result for result in codes] == [True, False]
    assert [row.images for row in scored.rows] == [7] * 5
    for row, other in zip(scored.rows, single.rows, strict=True):
        if row.sqnr_db is not None and row.sqnr_db < 60:
            assert row.sqnr_db == pytest.approx(other.sqnr_db, abs=1)
    with pytest.raises(UsageError, match=r"--batch 6: .* take 1 to 5 samples at once"):
        kit.evaluate(built, tmp_path / "pics", batch=6)
    words = ["eval", str(built.path), "--images", str(tmp_path / "pics")]
    assert cli.run([*words, "--batch", "9"]) == 2
