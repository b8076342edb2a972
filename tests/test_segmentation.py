"""The task image-segmentation: masks, metrics, and a bundle through every command."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import picture_models
import pytest
import torch
from conftest import FAST
from picture_models import FILE
from picture_samples import encode, noise, pre
from PIL import Image
from torchvision.transforms import InterpolationMode
from torchvision.transforms import functional as transforms

import kit
from kit import cli
from kit.bench.measure import measure_all
from kit.errors import PictureError, RecipeError
from kit.images import hash_picture, open_set
from kit.images.masks import decode_mask
from kit.json_outputs import read_output
from kit.network import take_output
from kit.report.write import write
from kit.results import store
from kit.signature import Samples, Signature, TensorSpec
from kit.tasks import get_task
from kit.tasks._matching import match_names
from kit.tasks.answers import AnswerContext
from kit.tasks.evaluation import EvaluationContext
from kit.tasks.image_segmentation import showing, tally
from kit.tasks.image_segmentation.evaluation import open_masked
from kit.tasks.interface import ModelInputs, describe_bundle

TASK = get_task("image-segmentation")
CLASSES = 3
COLOURS = np.array([[200, 30, 30], [30, 200, 30], [30, 30, 200]])
pytestmark = pytest.mark.usefixtures("lowered_here")


def recipe_of(name: str, **fields):
    return kit.make_recipe(f"{FILE}:{name}", task=TASK.name, resolution=32, **fields)


def save_mask(indices: np.ndarray, path: Path, mode: str = "L") -> None:
    image = Image.fromarray(indices.astype(np.uint8))
    if mode == "P":
        image.putpalette([*range(256)] * 3)
    image.save(path)


def write_set(root: Path, count: int = 12) -> Path:
    """Write `pictures` of coloured squares, and `masks` of their classes."""
    rng = np.random.default_rng(0)
    for folder in ("pictures/a", "masks/a"):
        (root / folder).mkdir(parents=True)
    for number in range(count):
        mask = np.kron(rng.integers(0, CLASSES, (4, 5)), np.ones((10, 10), int))
        colours = COLOURS[mask] + rng.integers(-30, 30, (*mask.shape, 3))
        picture = Image.fromarray(colours.clip(0, 255).astype(np.uint8))
        picture.save(root / f"pictures/a/{number:02}.jpg")
        mask[0] = 255
        save_mask(mask, root / f"masks/a/{number:02}.png", "P" if number % 2 else "L")
    return root


@pytest.fixture(scope="module")
def squares(tmp_path_factory) -> Path:
    return write_set(tmp_path_factory.mktemp("squares") / "set")


# Masks


@pytest.mark.parametrize(
    ("image", "pixel"),
    [
        (Image.fromarray(np.full((4, 4), 7, np.uint8)), 7),
        (Image.fromarray(np.full((4, 4), 300, np.uint16)), 300),
        (Image.fromarray(np.full((4, 4), True)), 1),
    ],
)
def test_a_mask_has_class_indices(image, pixel):
    decoded = np.asarray(decode_mask(encode(image), "m.png"))
    assert decoded.dtype == np.int32
    assert (decoded == pixel).all()


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (encode(noise(8, 8)), "has colours"),
        (encode(noise(8, 8, "L"), "JPEG"), "no mask in PNG"),
        (b"\x89PNG", "no mask in PNG"),
    ],
)
def test_invalid_masks_are_refused(data, message):
    with pytest.raises(PictureError, match=message):
        decode_mask(data, "m.png")


def inputs_of(side: int = 32, classes: int = CLASSES) -> ModelInputs:
    spec = TensorSpec(name="image", shape=(1, 3, side, side))
    return ModelInputs((spec,), classes, pre(side, side))


def open_(
    root: Path,
    classes: int = CLASSES,
    limit: int | None = None,
    seen: frozenset[str] = frozenset(),
):
    context = EvaluationContext(inputs_of(classes=classes), seen)
    return open_masked(context, root / "pictures", root / "masks", limit)


@pytest.mark.parametrize("size", [(50, 40), (40, 51), (33, 100)])
def test_a_mask_is_resized_and_cropped_like_its_picture(size, tmp_path):
    for folder in ("pictures", "masks"):
        (tmp_path / folder).mkdir()
    noise(*size).save(tmp_path / "pictures/x.png")
    indices = np.random.default_rng(1).integers(0, CLASSES, size[::-1]).astype(np.uint8)
    save_mask(indices, tmp_path / "masks/x.png")
    samples, (mask,) = open_(tmp_path).load(0, 1)
    assert samples.arrays[0].shape == (1, 3, 32, 32)
    small = transforms.resize(Image.fromarray(indices), 32, InterpolationMode.NEAREST)
    assert np.array_equal(mask, np.asarray(transforms.center_crop(small, 32)))


def test_masks_that_do_not_match_are_refused(squares, tmp_path):
    with pytest.raises(PictureError, match=r"00.png has the class 2, .* 0 to 1, and 255"):
        open_(squares, classes=2).load(0, 16)
    part = write_set(tmp_path / "part", 3)
    (part / "masks/a/01.png").unlink()
    with pytest.raises(
        PictureError, match=r"^1 of the 3 pictures has no mask in .*: 'a/01\.jpg'"
    ) as caught:
        open_(part)
    assert "a/01.png" in caught.value.hint
    save_mask(np.zeros((50, 40)), part / "masks/a/01.png")
    with pytest.raises(PictureError, match=r"40x50 pixels and its picture a/01\.jpg 50x40"):
        open_(part).load(0, 3)


def test_two_pictures_with_one_mask_are_refused(tmp_path):
    part = write_set(tmp_path / "part", 2)
    noise(50, 40).save(part / "pictures/a/01.png")
    message = r"the pictures 'a/01\.jpg' and 'a/01\.png' have the same labels, 'a/01\.png'"
    with pytest.raises(PictureError, match=message):
        open_(part)


@pytest.mark.parametrize(("classes", "ignored"), [(255, 255), (256, 65535), (300, 65535)])
def test_the_last_class_of_a_mask_is_not_the_index_of_none(classes, ignored, tmp_path):
    for folder in ("pictures", "masks"):
        (tmp_path / folder).mkdir()
    noise(32, 32).save(tmp_path / "pictures/x.png")
    right = np.random.default_rng(0).integers(0, classes, (32, 32))
    right[0] = classes - 1
    spec = TensorSpec(name="out", shape=(1, classes, 32, 32))
    answer = Samples((spec,), (np.eye(classes, dtype=np.float32)[right].transpose(2, 0, 1)[None],))
    sample = Samples(inputs_of().specs, (np.zeros((1, 3, 32, 32), np.float32),))
    context = AnswerContext(inputs_of(classes=classes), None, top=5)
    drawn = TASK.draw_answer(answer, sample, context)["mask"]
    (tmp_path / "masks/x.png").write_bytes(drawn)
    _, (mask,) = open_(tmp_path, classes).load(0, 1)
    assert np.array_equal(mask, right)
    counted = tally.count_classes(mask, right, classes)
    assert counted.sum() == np.diag(counted).sum() == right.size
    mask[1] = ignored
    assert tally.count_classes(mask, right, classes).sum() == right.size - 32


def test_a_text_in_place_of_masks_is_refused_in_one_sentence(tmp_path):
    part = write_set(tmp_path / "part", 1)
    (part / "names.txt").write_text("cat\n")
    context = EvaluationContext(inputs_of(classes=CLASSES), frozenset())
    with pytest.raises(PictureError, match=r"names\.txt is not a zip file$") as caught:
        open_masked(context, part / "pictures", part / "names.txt", None)
    assert caught.value.hint == "give a folder or a zip of masks"


def test_pictures_that_calibrated_need_no_mask_and_are_not_counted(tmp_path):
    part = write_set(tmp_path / "part", 5)
    pictures = list(open_set(part / "pictures", None, ()))
    for picture in pictures[:4]:
        (part / "masks" / picture.name).with_suffix(".png").unlink()
    seen = frozenset(hash_picture(picture) for picture in pictures[:2])
    message = rf"^2 of the 3 pictures that did not calibrate have no mask in .*{pictures[2].name}'$"
    with pytest.raises(PictureError, match=message):
        open_(part, seen=seen)
    seen |= {hash_picture(picture) for picture in pictures[2:4]}
    assert len(open_(part, seen=seen)) == 1


@pytest.mark.parametrize(
    ("pictures", "masks", "result"),
    [
        (["a/1", "b/1"], ["a/1", "b/1", "c"], ["a/1", "b/1"]),
        (["images/1", "images/x/2"], ["masks/x/2", "masks/1"], ["masks/1", "masks/x/2"]),
        (["images/1"], ["1", "2"], ["1"]),
        (["1", "2"], ["masks/2", "masks/1"], ["masks/1", "masks/2"]),
        (["a/1", "b/1"], ["1"], [None, None]),
        (["1", "2"], ["1"], ["1", None]),
    ],
)
def test_masks_are_matched_by_name(pictures, masks, result):
    assert match_names(pictures, masks) == result


def test_the_digest_covers_the_masks(squares, tmp_path):
    other = write_set(tmp_path / "other")
    assert open_(squares).sha256 == open_(other).sha256
    save_mask(np.ones((40, 50)), other / "masks/a/03.png")
    assert open_(squares).sha256 != open_(other).sha256
    assert len(open_(squares, limit=5)) == 5


# Metrics


def test_metrics_equal_those_of_scikit_learn():
    from sklearn.metrics import jaccard_score

    rng = np.random.default_rng(0)
    masks = list(rng.integers(0, CLASSES, (4, 8, 8)))
    masks[1][:3] = 255
    logits = rng.normal(size=(4, CLASSES, 8, 8)).astype(np.float32)
    spec = TensorSpec(name="out", shape=(1, CLASSES, 8, 8))
    answers = Samples((spec,), (logits,))
    counting = TASK.start_tally(Signature(inputs=(spec,), outputs=(spec,)))
    for start in range(4):
        part = answers.take([start])
        counting.add(part, part, masks[start : start + 1])
    right, given = np.stack(masks), logits.argmax(1)
    there = right != 255
    metrics = {m.name: m.value for m in counting.measure()["metrics"]}
    iou = jaccard_score(right[there], given[there], average="macro")
    assert metrics["mean IoU"] == pytest.approx(100 * iou)
    assert metrics["pixel accuracy"] == pytest.approx(100 * (right == given)[there].mean())


def test_classes_absent_from_all_masks_are_not_averaged():
    confusion = tally.count_classes(np.array([[0, 0, 1, 1]]), np.array([[0, 2, 1, 1]]), 3)
    assert tally.compute_mean_iou(confusion) == pytest.approx((1 / 2 + 1) / 2)
    nothing = tally.count_classes(np.array([[255]]), np.array([[0]]), 3)
    assert (tally.compute_mean_iou(nothing), tally.compute_accuracy(nothing)) == (0, 0)


def test_maps_of_another_size_are_resized_like_torchvision():
    logits = np.random.default_rng(0).normal(size=(CLASSES, 5, 7)).astype(np.float32)
    expected = torch.nn.functional.interpolate(
        torch.from_numpy(logits)[None], size=(32, 20), mode="bilinear", align_corners=False
    )
    assert np.array_equal(tally.resize_logits(logits, (32, 20)), expected[0])


# Networks


def test_the_named_output_is_used_and_names_are_kept():
    model, plain = picture_models.Named().eval(), picture_models.Named().eval()
    taken = take_output(model, ("out",))
    x = torch.rand(1, 3, 32, 32)
    assert torch.equal(taken(x), plain(x)["out"])
    assert (repr(taken), [*taken.state_dict()]) == (repr(plain), [*plain.state_dict()])


@pytest.mark.parametrize(
    ("name", "message"),
    [("OtherNames", "gives dict, not a tensor"), ("Single", r"gives the shape \[1, 1, 16, 16\]")],
)
def test_networks_without_a_map_are_refused(name, message):
    with pytest.raises(RecipeError, match=message) as caught:
        TASK.describe_inputs(recipe_of(name))
    assert "[N, classes, H, W]" in caught.value.hint


def test_unsupported_recipes_are_refused(tmp_path):
    with pytest.raises(RecipeError, match="mobilenet_v2 is an image classifier"):
        TASK.describe_inputs(kit.make_recipe("mobilenet_v2", task=TASK.name))
    with pytest.raises(RecipeError, match="'qat' trains classifiers"):
        TASK.check_recipe(recipe_of("Maps", quantize="qat"))
    (tmp_path / "names").write_text("a\nb\n")
    with pytest.raises(RecipeError, match=r"names 2 classes, .* has 3 outputs"):
        TASK.describe_inputs(recipe_of("Maps", labels=str(tmp_path / "names")))


# Through every command


@pytest.fixture(scope="module")
def built(squares, tmp_path_factory):
    names = tmp_path_factory.mktemp("names") / "names.txt"
    names.write_text("red\ngreen\nblue\n")
    fields = {"calibrate": str(squares / "pictures"), "calibration_images": 4, "observer": "minmax"}
    recipe = recipe_of("Named", labels=str(names), formats=("onnx",), **fields)
    return kit.build(recipe, tmp_path_factory.mktemp("b") / "maps", use_cache=False)


@pytest.mark.slow
def test_a_bundle_is_evaluated_measured_and_reported(
    built, squares, tmp_path, capsys, evaluated_here
):
    manifest = built.manifest
    assert (manifest.task, manifest.classes, manifest.labels) == (TASK.name, 3, "labels.txt")
    assert manifest.signature.outputs[0].name == "out"
    assert (manifest.preprocessing.resize, manifest.preprocessing.crop) == (32, 32)
    words = ["eval", str(built.path), "--images", str(squares / "pictures")]
    masks = ["--labels", str(squares / "masks"), "-o", str(tmp_path / "e.json")]
    assert cli.run([*words, *masks]) == 0
    assert "mean IoU" in capsys.readouterr().out
    scored = store.read(tmp_path / "e.json")
    assert (scored.left_out, scored.rows[0].images) == (4, 8)
    for row in scored.rows:
        assert row.agreement > 0.9
        assert [m.heading for m in row.metrics] == ["mean IoU, %", "pixel accuracy, %"]
        assert abs(row.metrics[0].value - scored.rows[0].metrics[0].value) < 3
    assert cli.run(words) == 0
    assert "there is no mean IoU" in capsys.readouterr().err
    (measured,) = measure_all([built], ["onnx"], FAST, runner="python")
    verified = kit.verify_processors(built)
    assert all(row.passed for row in verified.rows)
    page = write([measured, scored, verified], tmp_path / "page")
    text = page.markdown.read_text(encoding="utf-8")
    assert "mean IoU, %" in text
    assert "agreement with fp32 on 8 samples" in text.replace("\u00a0", " ")


@pytest.mark.slow
def test_predict_shows_the_classes_and_saves_masks(
    built, squares, tmp_path, capsys, predicted_here
):
    source, masks = squares / "pictures", tmp_path / "masks"
    words = ["predict", str(built.path), str(source), "--json", "--save", f"{masks}/"]
    assert cli.run(words) == 0
    out, err = capsys.readouterr()
    assert "48 pictures are in" in err  # masks and overlays of two files
    read_output("predict", out)
    result = json.loads(out)["samples"]
    assert len(result) == 12
    pictures = TASK.open_samples(describe_bundle(built), source)
    network = take_output(picture_models.Named().eval(), ("out",))
    for index, sample in enumerate(result):
        array = pictures.read(index).arrays[0]
        with torch.no_grad():
            right = network(torch.from_numpy(array)).argmax(1)[0].numpy()
        answer = sample["answers"]["reference"]
        shares = {one["label"]: one["share"] for one in answer["classes"]}
        expected = {n: (right == i).mean() for i, n in enumerate(("red", "green", "blue"))}
        assert shares == pytest.approx({n: share for n, share in expected.items() if share})
        assert "agreement" not in answer
        mask = Image.open(masks / "reference" / sample["name"].replace("jpg", "png"))
        assert (mask.mode, mask.size) == ("P", (32, 32))
        assert np.array_equal(np.asarray(mask), right)
        quantized = np.asarray(Image.open(masks / "onnx-int8" / f"{sample['name'][:-4]}.png"))
        same = sample["answers"]["onnx-int8"]["agreement"]
        assert (quantized == right).mean() == pytest.approx(same)
    overlay = np.asarray(Image.open(masks / "reference-overlay/a/00.png")).astype(float)
    size = (40, 32)
    photo = Image.open(source / "a/00.jpg").resize(size, Image.Resampling.BILINEAR)
    colours = np.asarray(Image.open(masks / "reference/a/00.png").convert("RGB"))
    middle = np.asarray(photo.crop((4, 0, 36, 32)))
    assert abs(overlay - (middle / 2 + colours / 2)).max() <= 1.5


def test_colours_equal_those_of_pascal_voc():
    colours = showing.choose_colours()
    assert colours[[0, 1, 2, 3, 8, 15, 255]].tolist() == [
        [0, 0, 0],
        [128, 0, 0],
        [0, 128, 0],
        [128, 128, 0],
        [64, 0, 0],
        [192, 128, 128],
        [224, 224, 192],
    ]


@pytest.mark.slow
def test_a_segmentation_network_is_analyzed(built, squares, capsys):
    words = ["analyze", str(built.path), "--images", str(squares / "pictures"), "--json"]
    assert cli.run(words) == 0
    assert '"agreement"' in capsys.readouterr().out
