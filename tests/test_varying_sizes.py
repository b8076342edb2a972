"""Files whose tokens, height and width vary: `--dynamic tokens=…`, `height=…,width=…`."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from picture_models import FILE
from torch import nn

import kit
from kit import cli, formats, size_checks
from kit.artifact_key import ArtifactKey
from kit.errors import BuildError, RecipeError
from kit.network import export_program
from kit.pipeline import _check
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
        ("height=64", "it is not NAME=MIN..MAX"),
        ("", "it is not NAME=MIN..MAX"),
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


class Tall(nn.Module):
    def forward(self, x):
        return x * 2 if x.shape[2] >= 40 else x


@pytest.mark.parametrize(
    ("network", "message", "hint"),
    [
        (Ladder(), "height=33..97: the network takes multiples of 4 only", "height=36..96/4"),
        (Fixed(), "height=33..97: the network takes height 64 only", "leave height out"),
        (Tall(), "height=33..97: the network takes height 40 to 97 only", "height=40..97"),
    ],
)
def test_networks_that_fix_a_size_are_refused_in_one_sentence(network, message, hint):
    odd = (VaryingDimension(axis=2, name="height", min=33, max=97),)
    with pytest.raises(BuildError) as caught:
        export_program(network.eval(), (torch.rand(1, 3, 64, 64),), odd)
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
