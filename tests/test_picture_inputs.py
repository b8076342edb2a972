"""Pictures in the channels, range and layout that a network expects."""

from __future__ import annotations

import json
from types import SimpleNamespace

import input_models
import numpy as np
import pytest
import torch
from bundle_samples import draw
from input_models import FILE
from picture_samples import noise
from torchvision import transforms

import kit
from kit import cli
from kit.errors import RecipeError
from kit.images.preprocess import to_array, to_pixels
from kit.images.resizing import compute_resized_size, resize_and_crop
from kit.manifest.preprocessing import Preprocessing
from kit.manifest.schema import Manifest
from kit.models.interface import Spec
from kit.tasks import get_task
from kit.tasks._pictures import check_picture_options, describe_preprocessing

CAFFE = (103.939, 116.779, 123.68)
MEMBER = SimpleNamespace(spec=Spec(summary="a network"))


def describe(**fields: object) -> Preprocessing:
    recipe = kit.make_recipe(f"{FILE}:Last", resolution=32, **fields)
    return describe_preprocessing(recipe, MEMBER, 1.25)


def prepare(image, mean, std, color="RGB", white=1, layout="NCHW") -> np.ndarray:
    """Return a picture as prepared by torchvision's transforms."""
    steps = [transforms.Grayscale()] if color == "grey" else []
    steps += [transforms.Resize(40), transforms.CenterCrop(32), transforms.PILToTensor()]
    values = transforms.Compose(steps)(image).float() / 255 * white
    if color == "BGR":
        values = values[[2, 1, 0]]
    values = transforms.Normalize(mean, std)(values)
    return (values.permute(1, 2, 0) if layout == "NHWC" else values).numpy()


@pytest.mark.parametrize("layout", ["NCHW", "NHWC"])
@pytest.mark.parametrize(
    ("fields", "mean", "std"),
    [
        ({}, (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
        ({"color": "BGR"}, (0.406, 0.456, 0.485), (0.225, 0.224, 0.229)),
        ({"pixels": "0..255"}, (0, 0, 0), (1, 1, 1)),
        ({"color": "BGR", "pixels": "0..255", "mean": CAFFE}, CAFFE, (1, 1, 1)),
        ({"pixels": "0..255", "mean": (127.5,) * 3, "std": (128,) * 3}, (127.5,) * 3, (128,) * 3),
        ({"color": "grey"}, (0,), (1,)),
        ({"color": "grey", "mean": (0.13,), "std": (0.31,)}, (0.13,), (0.31,)),
        ({"color": "grey", "pixels": "0..255"}, (0,), (1,)),
    ],
)
@pytest.mark.parametrize("size", [(50, 41), (33, 90)])
def test_inputs_equal_torchvisions(size, fields, mean, std, layout):
    pre, image = describe(**fields, layout=layout), noise(*size)
    white = 255 if "pixels" in fields else 1
    expected = prepare(image, mean, std, fields.get("color", "RGB"), white, layout)
    made = to_array(image, pre)
    assert made.dtype == np.float32
    assert made.flags["C_CONTIGUOUS"]
    assert made.shape == expected.shape == pre.shape
    np.testing.assert_allclose(made, expected, rtol=1e-5, atol=1e-6 * white / min(std))
    crop = resize_and_crop(image, pre, compute_resized_size(image.size, pre, "x"))
    if pre.color != "grey":
        assert np.array_equal(to_pixels(made, pre), np.asarray(crop))


def test_recipes_without_these_options_keep_their_hash():
    plain = kit.make_recipe("mobilenet_v2", keep_float="none")
    assert plain.hash == "6fe54cae08a3e2a6c1cf2137a85ea8ab97451408ef92b4cd0e5dd7f66edada6a"
    for fields in ({"color": "BGR"}, {"pixels": "0..255"}, {"layout": "NHWC"}):
        assert kit.make_recipe("mobilenet_v2", keep_float="none", **fields).hash != plain.hash


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"color": "HSV"}, "color = 'HSV'"),
        ({"mean": CAFFE}, r"mean = .*pixels are 0 to 1; for others use pixels = '0..255'"),
        ({"pixels": "0..255", "mean": (256, 0, 0)}, "mean.0 = 256"),
        ({"pixels": "0..255", "std": (0.01, 1, 1)}, "std = .* at least 0.025"),
        (
            {"color": "grey", "mean": (0.5, 0.5, 0.5)},
            "mean = .*one number for each channel, 1 of them",
        ),
        ({"mean": (0.5,)}, "mean = .*one number for each channel, 3 of them"),
    ],
)
def test_invalid_numbers_are_refused(fields, message):
    with pytest.raises(RecipeError, match=message):
        kit.make_recipe("mobilenet_v2", **fields)


@pytest.mark.parametrize(
    ("model", "fields", "message"),
    [
        ("mobilenet_v2", {"color": "grey"}, "color = 'grey': mobilenet_v2 takes three"),
        ("mobilenet_v2", {"layout": "NHWC"}, "layout = 'NHWC': mobilenet_v2 takes three"),
        (f"{FILE}:Last", {"layout": "NHWC", "quantize": "qat"}, "'qat' crops and mirrors"),
    ],
)
def test_invalid_picture_options_are_refused(model, fields, message):
    with pytest.raises(RecipeError, match=message):
        check_picture_options(kit.make_recipe(model, **fields))


def test_other_tasks_refuse_them(capsys):
    words = ["build", f"{FILE}:Last", "--task", "tensors", "--color", "BGR", "-o", "x"]
    assert cli.run(words) == 3
    assert "color = 'BGR' does nothing with the task tensors" in capsys.readouterr().err


@pytest.mark.slow
def test_a_network_of_caffe_through_every_command(
    tmp_path, capsys, lowered_here, evaluated_here, predicted_here
):
    fields = {"color": "BGR", "pixels": "0..255", "layout": "NHWC", "mean": CAFFE}
    more = {"formats": ("onnx",), "observer": "minmax", "resolution": 32}
    built = kit.build(
        kit.make_recipe(f"{FILE}:Last", **fields, **more), tmp_path / "b", use_cache=False
    )
    manifest = built.manifest
    assert manifest.signature.inputs[0].shape == (1, 32, 32, 3)
    assert (manifest.preprocessing.color, manifest.preprocessing.layout) == ("BGR", "NHWC")
    draw(tmp_path / "pics", 6, lambda index: f"{index}.png")
    scored = kit.evaluate(built, tmp_path / "pics")
    assert [row.images for row in scored.rows] == [6, 6]
    assert all((row.sqnr_db or 99) > 15 for row in scored.rows)
    assert cli.run(["predict", str(built.path), str(tmp_path / "pics/0.png"), "--json"]) == 0
    (sample,) = json.loads(capsys.readouterr().out)["samples"]
    result = {one["index"]: one["output"] for one in sample["answers"]["reference"]["labels"]}
    from PIL import Image

    with Image.open(tmp_path / "pics/0.png") as image:
        resize = manifest.preprocessing.resize
        pixels = transforms.CenterCrop(32)(transforms.Resize(resize)(image.convert("RGB")))
    values = torch.from_numpy(np.asarray(pixels)[..., ::-1].astype(np.float32) - np.float32(CAFFE))
    network = input_models.Last().eval()
    with torch.no_grad():
        right = network(values[None])[0]
    assert [result[i] for i in range(5)] == pytest.approx(right.tolist(), rel=1e-3, abs=1e-3)


@pytest.mark.slow
def test_a_network_of_grey_pictures(tmp_path, lowered_here):
    recipe = kit.make_recipe(
        f"{FILE}:Grey", color="grey", formats=("onnx",), observer="minmax", resolution=32
    )
    manifest = kit.build(recipe, tmp_path / "b", use_cache=False).manifest
    assert manifest.signature.inputs[0].shape == (1, 1, 32, 32)
    assert (manifest.preprocessing.mean, manifest.preprocessing.std) == ((0.0,), (1.0,))
    raw = manifest.model_dump(mode="json")
    raw["preprocessing"]["color"] = "RGB"
    with pytest.raises(ValueError, match="mean and std are not of 3 channels"):
        Manifest.model_validate(raw)


def test_all_tasks_of_pictures_take_them():
    for name in ("image-classification", "image-segmentation", "embedding"):
        assert {"color", "pixels", "layout"} <= get_task(name).options
