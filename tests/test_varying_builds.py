"""Files whose tokens, height and width vary, run at other sizes than the recipe's."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import text_models
import torch
from picture_models import FILE, Named
from text_models import draw_sentences, write_tokenizer

import kit
from kit import formats
from kit.bundles.loading import load_bundle
from kit.quantize.examples import Examples
from kit.quantize.graph import fold
from kit.varying import VaryingDimension

SIDES = (
    VaryingDimension(axis=2, name="height", min=32, max=96, step=32),
    VaryingDimension(axis=3, name="width", min=40, max=128),
)
TOKENS = (VaryingDimension(axis=1, name="tokens", min=1, max=48),)


def test_traces_follow_slices_up_to_a_size(tmp_path):
    ids = torch.randint(0, 16, (2, 16), generator=torch.Generator().manual_seed(0))
    mask = torch.ones(2, 16, dtype=torch.int64)
    examples = Examples((ids, mask), ((1, 16), (1, 16)), True, TOKENS)
    network = text_models.Short().eval()
    folded = fold(network, examples)
    for name in ("lite", "torchscript"):
        file, format_ = tmp_path / name, formats.get_format(name)
        format_.export_varying(folded, examples.first(), TOKENS, file)
        session = format_.load(file, 1)
        for inputs in ((ids[:1, :3], mask[:1, :3]), (ids.repeat(1, 3)[:1], mask.repeat(1, 3)[:1])):
            (answer,) = session.read(session.bind(tuple(value.numpy() for value in inputs))())
            with torch.no_grad():
                expected = network(*inputs).numpy()
            np.testing.assert_allclose(answer, expected, rtol=1e-4, atol=1e-5)


def answer(built, name: str, inputs: tuple[np.ndarray, ...]) -> np.ndarray:
    key = built.manifest.artifact(name).key
    session = formats.get_format(key.format).load(built.file(name), 1)
    return session.read(session.bind(inputs)())[0]


def dims_of(file: Path) -> list[list[object]]:
    import onnx

    graph = onnx.load(file).graph
    shapes = [value.type.tensor_type.shape.dim for value in (*graph.input, *graph.output)]
    return [[dim.dim_param or dim.dim_value for dim in shape] for shape in shapes]


@pytest.mark.slow
def test_every_file_of_pictures_takes_other_sizes(tmp_path, lowered_here):
    dynamic = "batch=1..2,height=32..96/32,width=40..128"
    wanted = ("onnx", "executorch", "lite")
    recipe = kit.make_recipe(
        f"{FILE}:Named",
        task="image-segmentation",
        resolution=64,
        observer="minmax",
        corrections="none",
        calibration_images=4,
        dynamic=dynamic,
        formats=wanted,
    )
    built = kit.build(recipe, tmp_path / "b", use_cache=False)
    manifest = load_bundle(built.path).manifest
    assert manifest.signature.varying[1:] == SIDES
    assert manifest.signature.inputs[0].shape == (1, 3, 64, 64)
    assert [one.format for one in manifest.artifacts] == list(wanted)
    assert dims_of(built.file("onnx-int8")) == [
        ["batch", 3, "height", "width"],
        ["batch", 3, "height", "width"],
    ]
    golden, network = np.load(built.path / manifest.golden.inputs[0]), Named().eval()
    for height, width, rows in ((32, 40, 1), (96, 77, 2), (64, 128, 1)):
        picture = (
            golden[:rows].take(range(width), 3, mode="wrap").take(range(height), 2, mode="wrap")
        )
        with torch.no_grad():
            expected = network(torch.from_numpy(picture))["out"].numpy()
        for artifact in manifest.artifacts:
            result = answer(built, artifact.name, (picture,))
            assert result.shape == expected.shape == (rows, 3, height, width)
            noise = np.square(result - expected).sum() / np.square(expected).sum()
            assert noise < 0.02, (artifact.name, height, width)


@pytest.mark.slow
def test_every_file_of_texts_takes_other_lengths(tmp_path, lowered_here):
    write_tokenizer(tmp_path / "tokenizer.json")
    (tmp_path / "s.txt").write_text("\n".join(draw_sentences(12)))
    recipe = kit.make_recipe(
        f"{text_models.FILE}:Short",
        task="text-classification",
        tokenizer=str(tmp_path / "tokenizer.json"),
        tokens=16,
        calibrate=str(tmp_path / "s.txt"),
        dynamic="tokens=1..48",
        quantize="dynamic",
        formats=("onnx", "executorch"),
    )
    built = kit.build(recipe, tmp_path / "b", use_cache=False)
    assert built.manifest.signature.varying == TOKENS
    assert len(built.manifest.artifacts) == 2
    assert dims_of(built.file("onnx-int8")) == [[1, "tokens"], [1, "tokens"], [1, 2]]
    network = text_models.Short().eval()
    rng = np.random.default_rng(0)
    for tokens in (1, 7, 48):
        inputs = rng.integers(0, 16, (1, tokens)), np.ones((1, tokens), np.int64)
        with torch.no_grad():
            expected = network(*map(torch.from_numpy, inputs)).numpy()
        for artifact in built.manifest.artifacts:
            result = answer(built, artifact.name, inputs)
            np.testing.assert_allclose(result, expected, atol=0.1 * abs(expected).max())
