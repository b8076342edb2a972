"""`--preprocess` and inputs that are not square, compared with the libraries pixel by pixel."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from bundle_samples import draw
from picture_models import FILE as MAPS
from picture_samples import noise
from PIL import Image
from torchvision import transforms

import kit
from kit import cli
from kit.bundles.loading import load_bundle
from kit.errors import RecipeError
from kit.images.preprocess import to_array
from kit.manifest.preprocessing import Preprocessing
from kit.models.interface import IMAGENET_MEAN, IMAGENET_STD, Spec
from kit.models.presets import PRESETS
from kit.tasks._pictures import describe_preprocessing

SIZES = [(90, 61), (61, 90), (50, 50), (33, 200), (641, 480)]


class Member:
    spec = Spec(summary="a network")


def describe(**fields: object) -> Preprocessing:
    return describe_preprocessing(kit.make_recipe("mobilenet_v2", **fields), Member)


@pytest.mark.parametrize("size", SIZES)
def test_torchvision(size):
    image = noise(*size)
    steps = [transforms.Resize(round(48 * 256 / 224)), transforms.CenterCrop(48)]
    steps += [transforms.ToTensor(), transforms.Normalize(IMAGENET_MEAN, IMAGENET_STD)]
    actual = to_array(image, describe(preprocess="torchvision", resolution=48))
    np.testing.assert_allclose(actual, transforms.Compose(steps)(image), atol=1e-6)


@pytest.mark.parametrize("crop_mode", ["center", "squash"])
@pytest.mark.parametrize("interpolation", ["bicubic", "bilinear"])
@pytest.mark.parametrize("sides", [(48, 48), (40, 64), (64, 33)])
@pytest.mark.parametrize("size", SIZES)
def test_timm(size, sides, interpolation, crop_mode, tmp_path):
    from timm.data import create_transform

    config = {"input_size": (3, *sides), "interpolation": interpolation, "crop_pct": 0.9}
    config |= {"mean": (0.5, 0.4, 0.3), "std": (0.2, 0.3, 0.4), "crop_mode": crop_mode}
    file = tmp_path / "config.json"
    file.write_text(json.dumps({"architecture": "x", "pretrained_cfg": config}))
    image = noise(*size)
    actual = to_array(image, describe(preprocess=str(file)))
    assert actual.shape == (3, *sides)
    np.testing.assert_allclose(actual, create_transform(**config)(image), atol=1e-6)


def test_the_word_timm_is_its_default():
    from timm.data import create_transform, resolve_data_config

    image = noise(90, 61)
    actual = to_array(image, describe(preprocess="timm", resolution=(40, 64)))
    config = resolve_data_config({"input_size": (3, 40, 64)}, pretrained_cfg={})
    np.testing.assert_allclose(actual, create_transform(**config)(image), atol=1e-6)


def by_keras(image: Image.Image, sides: tuple[int, int], mode: str) -> np.ndarray:
    """Return a picture as Keras prepares it, by its published formulas.

    `keras.utils.load_img` (target_size, interpolation="nearest") and
    `keras.applications.imagenet_utils._preprocess_numpy_input`.
    """
    x = np.asarray(image.resize(sides[::-1], Image.Resampling.NEAREST)).astype(np.float32)
    if mode == "tf":
        return x / 127.5 - 1.0
    if mode == "torch":
        return (x / 255.0 - [0.485, 0.456, 0.406]) / [0.229, 0.224, 0.225]
    return x[..., ::-1] - np.array([103.939, 116.779, 123.68])


@pytest.mark.parametrize(
    ("word", "mode"), [("keras", "tf"), ("keras:torch", "torch"), ("keras:caffe", "caffe")]
)
@pytest.mark.parametrize("sides", [(48, 48), (40, 64)])
@pytest.mark.parametrize("size", SIZES)
def test_keras(size, sides, word, mode):
    image = noise(*size)
    actual = to_array(image, describe(preprocess=word, resolution=sides, layout="NHWC"))
    np.testing.assert_allclose(actual, by_keras(image, sides, mode), rtol=1e-5, atol=2e-5)


def test_files_of_transformers_and_of_kit(tmp_path):
    file = tmp_path / "preprocessor_config.json"
    settings = {"image_processor_type": "ViTImageProcessor", "resample": 3, "do_normalize": True}
    settings |= {"size": {"height": 32, "width": 32}, "image_mean": [0.5] * 3}
    file.write_text(json.dumps(settings | {"image_std": [0.25] * 3}))
    assert kit.make_recipe("mobilenet_v2", preprocess=str(file)).sides == (32, 32)
    pre = describe(preprocess=str(file), resolution=(48, 64))
    image = noise(90, 61)
    pixels = np.asarray(image.resize((64, 48), Image.Resampling.BICUBIC)) / 255
    np.testing.assert_allclose(
        to_array(image, pre), ((pixels - 0.5) / 0.25).transpose(2, 0, 1), atol=1e-6
    )
    given = describe(preprocess="keras:caffe", resolution=48)
    file.write_text(json.dumps({"preprocessing": given.model_dump(mode="json")}))
    again = describe(preprocess=str(file))
    assert again.model_dump() == given.model_dump()


def test_options_override_a_preset():
    mean = (0.1, 0.2, 0.3)
    pre = describe(preprocess="keras:caffe", color="RGB", mean=mean)
    assert (pre.color, pre.mean) == ("RGB", mean)
    assert pre.std == PRESETS["keras:caffe"].std
    grey = describe(preprocess="keras", color="grey")
    assert (grey.mean, grey.std) == ((0.0,), (1.0,))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "it cannot be read: No such file"),
        ("[1", "it cannot be read"),
        ("{}", "describes no preprocessing that kit knows"),
        (
            {"pretrained_cfg": {"crop_mode": "border", "mean": [0.5] * 3, "std": [0.5] * 3}},
            "border",
        ),
        ({"pretrained_cfg": {"mean": [0.5], "std": [0.5] * 3}}, "the mean or deviation"),
        ({"crop_pct": 2, "input_size": 3, "mean": [0.5] * 3, "std": [1] * 3}, "crop_pct 2"),
        ({"do_normalize": True, "resample": 1, "size": 32}, "lanczos"),
        ({"preprocessing": {"resize": 1}}, "no bundle's manifest: preprocessing.crop"),
    ],
)
def test_invalid_preprocessing_files_are_refused(tmp_path, content, message):
    file = tmp_path / "x.json"
    if content is not None:
        file.write_text(content if isinstance(content, str) else json.dumps(content))
    with pytest.raises(RecipeError, match=message):
        describe(preprocess=str(file))


def test_a_size_is_height_and_width():
    made = kit.make_recipe("mobilenet_v2", resolution=(160, 256))
    assert (made.resolution, made.input_width, made.sides) == (160, 256, (160, 256))
    assert "-160x256-" in made.slug
    assert kit.make_recipe("mobilenet_v2", resolution=[96, 96]).input_width is None
    for sides in ((16, 256), (160, 9000), ("a", 64), (160, 2.5)):
        with pytest.raises(RecipeError, match=r"resolution|input_width"):
            kit.make_recipe("mobilenet_v2", resolution=sides)


@pytest.mark.parametrize(
    "fields",
    [
        {"resize": None},
        {"resize_to": (8, 8)},
        {"fit": "cover"},
        {"fit": "stretch", "resize_to": (8, 8)},
    ],
)
def test_a_preprocessing_has_one_size_to_resize_to(fields):
    plain = {"resize": 8, "crop": 8, "mean": (0, 0, 0), "std": (1, 1, 1)}
    with pytest.raises(ValueError, match="needs resize"):
        Preprocessing(**{**plain, **fields})


def test_tasks_without_pictures_refuse_them(capsys):
    words = ["build", f"{MAPS}:Maps", "--task", "tensors", "-o", "x"]
    assert cli.run([*words, "--input", "32x64"]) == 3
    assert "input_width = 64 does nothing with the task tensors" in capsys.readouterr().err
    assert cli.run([*words, "--preprocess", "timm"]) == 3
    assert "preprocess = 'timm' does nothing" in capsys.readouterr().err


@pytest.mark.slow
def test_a_network_that_is_not_square_through_every_command(
    tmp_path, capsys, lowered_here, evaluated_here, predicted_here
):
    """A segmentation, whose answers also have the shape of the input."""
    folder, pictures = tmp_path / "b", tmp_path / "pics"
    draw(pictures, 6, lambda index: f"{index}.png")
    words = ["build", f"{MAPS}:Named", "--task", "image-segmentation", "--image-size", "48x80"]
    words += ["--preprocess", "timm", "--format", "lite,executorch,onnx,torchscript"]
    assert cli.run([*words, "--observer", "minmax", "-o", str(folder), "--no-cache"]) == 0
    bundle = load_bundle(folder)
    manifest = bundle.manifest
    assert manifest.signature.inputs[0].shape == (1, 3, 48, 80)
    assert manifest.signature.outputs[0].shape == (1, 3, 48, 80)
    assert (manifest.preprocessing.fit, manifest.preprocessing.resize_to) == ("cover", (54, 91))
    assert [artifact.parity[0].passed for artifact in manifest.artifacts] == [True] * 4
    scored = kit.evaluate(bundle, pictures)
    assert all(row.agreement is None or row.agreement > 0.9 for row in scored.rows)
    result = json.loads(scored.model_dump_json())
    assert (result["bundle"]["resolution"], result["bundle"]["input_width"]) == (48, 80)
    assert scored.bundle.size == "48x80"
    capsys.readouterr()
    save = tmp_path / "masks"
    words = ["predict", str(folder), str(pictures / "0.png"), "--save", f"{save}/", "--json"]
    assert cli.run(words) == 0
    drawn = [Image.open(file).size for file in save.rglob("*.png")]
    assert drawn
    assert set(drawn) == {(80, 48)}
    with torch.no_grad():
        golden = np.load(folder / manifest.golden.inputs[0])
    assert golden.shape[1:] == (3, 48, 80)
