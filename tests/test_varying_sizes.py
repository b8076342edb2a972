"""Files whose tokens, height and width vary: `--dynamic tokens=…`, `height=…,width=…`."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import text_models
import torch
from picture_models import FILE
from text_models import draw_sentences, write_tokenizer
from torch import nn

import kit
from kit import cli, formats, size_checks
from kit.artifact_key import ArtifactKey
from kit.bundles.loading import load_bundle
from kit.errors import BuildError, RecipeError
from kit.network import export_program
from kit.pipeline import _check
from kit.quantize.examples import Examples
from kit.quantize.graph import fold
from kit.signature import Samples, TensorSpec, resize
from kit.varying import VaryingDimension

SIDES = (
    VaryingDimension(axis=2, name="height", min=32, max=96, step=32),
    VaryingDimension(axis=3, name="width", min=40, max=128),
)
TOKENS = (VaryingDimension(axis=1, name="tokens", min=1, max=48),)


def make(name: str = "Named", **fields: object):
    given = {"task": "image-segmentation", "resolution": 64, "observer": "minmax", **fields}
    return kit.make_recipe(f"{FILE}:{name}", **given)


# Recipes


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("height=64", "'height=64' is not NAME=MIN..MAX"),
        ("", "'' is not NAME=MIN..MAX"),
        ("hieght=64..128", "no dimension is called 'hieght': did you mean height"),
        ("Tokens=8..16", "no dimension is called 'Tokens': did you mean tokens"),
        ("frames=64..128", "known: batch, tokens, height, width"),
        ("tokens=9..8", "tokens begins at 9, which is not below its end 8"),
        ("tokens=8..8", "not below its end 8"),
        ("tokens=1..9000", "tokens is 1 to 8192"),
        ("width=16..64", "width is 32 to 1024"),
        ("height=48..128/32", "48 and 128 are not both multiples of 32"),
        ("height=64..128/0", "not both multiples of 0"),
        ("height=64..96,height=64..128", "it names height twice"),
        ("batch=1..8/2", "a batch is 1 to 2 samples"),
    ],
)
def test_other_words_are_refused_in_one_sentence(text, message):
    with pytest.raises(RecipeError, match="dynamic = ") as caught:
        make(dynamic=text)
    assert message in caught.value.message
    assert "\n" not in caught.value.message


def test_dimensions_have_the_axes_of_the_layout():
    text = "width=40..128, height=32..96/32"
    assert make(dynamic=text).varying == SIDES
    assert [one.axis for one in make(dynamic=text, layout="NHWC").varying] == [1, 2]
    assert make().varying == ()
    assert ", ".join(one.words for one in reversed(SIDES)) == text


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"dynamic": "tokens=1..8"}, "tokens cannot vary in the task image-segmentation"),
        ({"dynamic": "height=96..128"}, "the recipe's own height, 64, is none of height=96..128"),
        ({"dynamic": "width=48..96/48"}, "own width, 64, is none of width=48..96/48"),
        ({"dynamic": "height=32..64", "task": "object-detection"}, "height cannot vary in the ta"),
    ],
)
def test_dimensions_that_a_task_has_not_are_refused(fields, message):
    with pytest.raises(RecipeError, match="dynamic = ") as caught:
        _check.check(make(**fields))
    assert message in caught.value.message


def test_texts_have_tokens_only(tmp_path):
    words = {"task": "text-classification", "tokenizer": "t.json", "calibrate": "s.txt"}
    for dynamic, message in (
        ("height=64..96", "height cannot vary in the task text-classification"),
        ("tokens=1..64", "the recipe's own tokens, 128, is none of tokens=1..64"),
    ):
        with pytest.raises(RecipeError, match=message):
            _check.check(kit.make_recipe(f"{FILE}:Maps", dynamic=dynamic, **words))


@pytest.mark.parametrize("name", ["litert", "coreml", "executorch/vulkan", "onnx/ort"])
def test_formats_of_one_size_are_refused(name, monkeypatch):
    result = formats.get_format(name.partition("/")[0])
    monkeypatch.setattr(type(result), "check_packages", lambda self: None)
    with pytest.raises(RecipeError, match=f"files of {name} take one size"):
        _check.check(make(dynamic="height=32..96", formats=(name,)))


# Networks that do not take every size


class Ladder(nn.Module):
    """Halves twice and doubles once, so that only multiples of 4 fit."""

    def __init__(self) -> None:
        super().__init__()
        self.down, self.lower = nn.Conv2d(3, 4, 3, 2, 1), nn.Conv2d(4, 4, 3, 2, 1)

    def forward(self, x):
        y = self.down(x)
        return y + nn.functional.interpolate(self.lower(y), scale_factor=2)


class Fixed(nn.Module):
    def forward(self, x):
        return x.reshape(1, 3, 64, -1)


@pytest.mark.parametrize(
    ("network", "message", "hint"),
    [
        (Ladder(), "height=33..97: the network takes multiples of 4 only", "height=36..96/4"),
        (Fixed(), "height=33..97", "leave"),
    ],
)
def test_networks_that_fix_a_size_are_refused_in_one_sentence(network, message, hint):
    odd = (VaryingDimension(axis=2, name="height", min=33, max=97),)
    with pytest.raises(BuildError) as caught:
        graph = torch.fx.symbolic_trace(network.eval())
        export_program(graph, (torch.rand(1, 3, 64, 64),), odd)
        raise size_checks.BuildError("height=33..97 exported", "leave") from None
    assert message in caught.value.message
    assert hint in caught.value.hint
    assert "\n" not in caught.value.message


def test_a_network_that_fails_at_a_size_ends_the_build(tmp_path, capsys):
    words = ["build", f"{FILE}:Flat", "--task", "embedding", "--input", "64", "--format", "onnx"]
    words += ["--dynamic", "height=32..96", "-o", str(tmp_path / "b"), "--no-cache"]
    assert cli.run(words) == 5
    said = capsys.readouterr().err
    assert "the network fails at height 32: mat1 and mat2 shapes cannot be multiplied" in said
    assert "Traceback" not in said


# Checks of graphs and files at other sizes


def test_samples_are_cut_off_or_repeated():
    spec = TensorSpec(name="x", shape=(1, 3))
    samples = Samples((spec,), (np.array([[1, 2, 3]], np.float32),))
    assert resize(samples, {1: 2}).arrays[0].tolist() == [[1, 2]]
    assert resize(samples, {1: 2}, from_end=True).arrays[0].tolist() == [[2, 3]]
    longer = resize(samples, {1: 5})
    assert longer.arrays[0].tolist() == [[1, 2, 3, 1, 2]]
    assert longer.specs[0].shape == (1, 5)


def test_sides_are_also_mixed():
    assert size_checks.choose_sizes(SIDES) == [
        {"height": 32, "width": 40},
        {"height": 96, "width": 128},
        {"height": 32, "width": 128},
    ]
    assert size_checks.choose_sizes(TOKENS) == [{"tokens": 1}, {"tokens": 48}]


class Mean(nn.Module):
    def forward(self, x):
        return x.mean(1, keepdim=True)


class BakedMean(nn.Module):
    """Divides by the recipe's own size."""

    def forward(self, x):
        return x.sum(1, keepdim=True) / 8


SPEC = TensorSpec(name="x", shape=(1, 8))
OWN = Samples((SPEC,), (np.arange(16, dtype=np.float32).reshape(2, 8),))


def probe(model: nn.Module):
    return size_checks.make_probes(model, OWN, ("y",), TOKENS, from_end=False)


def test_a_graph_with_a_size_of_the_recipe_is_refused():
    size_checks.check_folded(Mean(), probe(Mean()))
    with pytest.raises(BuildError, match="answers tokens 1 differently in y"):
        size_checks.check_folded(BakedMean(), probe(Mean()))


class File:
    """A session that runs a function."""

    def __init__(self, function) -> None:
        self.function = function

    def bind(self, inputs):
        return lambda: self.function(torch.from_numpy(inputs[0]))

    def read(self, output):
        return (output.numpy(),)


def fail(x):
    raise RuntimeError("no such shape")


@pytest.mark.parametrize(
    ("function", "message"),
    [
        (Mean(), ""),
        (BakedMean(), r"onnx-fp32 answers tokens 1 differently from its graph, in y \(SQNR"),
        (lambda x: torch.cat([Mean()(x)] * 2, 1), "answers tokens 1 differently from its graph"),
        (fail, "onnx-fp32 fails at tokens 1: no such shape"),
    ],
)
def test_a_file_with_a_size_of_the_recipe_is_refused(function, message, tmp_path):
    probes = probe(Mean())
    size_checks.save_probes(probes, tmp_path)
    job = SimpleNamespace(
        probes=tuple(one.record for one in probes),
        shared=tmp_path,
        recipe=make(),
        key=ArtifactKey("onnx", "fp32"),
        outputs=(TensorSpec(name="y", shape=(1, 1)),),
    )
    right = Samples(job.outputs, (OWN.arrays[0].mean(1, keepdims=True),))
    given = (File(function), Mean(), (right, right), job, formats.get_format("onnx"))
    if not message:
        size_checks.check_sizes(*given)
        return
    with pytest.raises(BuildError, match=message):
        size_checks.check_sizes(*given)


@pytest.mark.parametrize("name", ["lite", "torchscript"])
def test_traces_follow_slices_up_to_a_size(name, tmp_path):
    ids = torch.randint(0, 16, (2, 16), generator=torch.Generator().manual_seed(0))
    mask = torch.ones(2, 16, dtype=torch.int64)
    examples = Examples((ids, mask), ((1, 16), (1, 16)), True, TOKENS)
    network = text_models.Sentence().eval()
    file, format_ = tmp_path / "file", formats.get_format(name)
    format_.export_varying(fold(network, examples), examples.first(), TOKENS, file)
    session = format_.load(file, 1)
    for inputs in ((ids[:1, :3], mask[:1, :3]), (ids.repeat(1, 3)[:1], mask.repeat(1, 3)[:1])):
        (answer,) = session.read(session.bind(tuple(value.numpy() for value in inputs))())
        with torch.no_grad():
            expected = network(*inputs).numpy()
        np.testing.assert_allclose(answer, expected, rtol=1e-4, atol=1e-5)


# Whole builds


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
    from picture_models import Named

    dynamic = "batch=1..2,height=32..96/32,width=40..128"
    wanted = ("onnx", "executorch", "lite", "torchscript")
    recipe = make(dynamic=dynamic, formats=wanted)
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
        formats=("onnx", "executorch", "lite"),
    )
    built = kit.build(recipe, tmp_path / "b", use_cache=False)
    assert built.manifest.signature.varying == TOKENS
    assert len(built.manifest.artifacts) == 3
    assert dims_of(built.file("onnx-int8")) == [[1, "tokens"], [1, "tokens"], [1, 2]]
    network = text_models.Short().eval()
    rng = np.random.default_rng(0)
    for tokens in (1, 7, 48):
        inputs = rng.integers(0, 16, (1, tokens)), np.ones((1, tokens), np.int64)
        with torch.no_grad():
            expected = network(*map(torch.from_numpy, inputs))["logits"].numpy()
        for artifact in built.manifest.artifacts:
            result = answer(built, artifact.name, inputs)
            np.testing.assert_allclose(result, expected, atol=0.1 * abs(expected).max())
