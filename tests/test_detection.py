"""The task object-detection: boxes, annotations, mAP, and a bundle through every command."""

from __future__ import annotations

import json
import re
import shutil
from dataclasses import replace
from pathlib import Path

import detection_models
import numpy as np
import pytest
import torch
from conftest import FAST
from detection_models import FILE, SIDE
from detection_samples import NAMES, write_set
from picture_samples import noise
from PIL import Image

import kit
from kit import cli
from kit.bench.measure import measure_all
from kit.detection import Detection
from kit.errors import PictureError, RecipeError, UsageError, VerificationFailed
from kit.images.preprocess import to_array, to_pixels
from kit.images.resizing import find_placement
from kit.manifest.preprocessing import Preprocessing
from kit.manifest.schema import Manifest
from kit.pipeline import _gate
from kit.report.write import write
from kit.results import store
from kit.tasks import get_task
from kit.tasks.evaluation import EvaluationContext
from kit.tasks.interface import describe_bundle
from kit.tasks.object_detection.annotations import TrueBox, read_coco, read_texts
from kit.tasks.object_detection.boxes import Boxes, count_matches, find_boxes, measure_iou
from kit.tasks.object_detection.evaluation import open_annotated
from kit.tasks.object_detection.heads import adapt_outputs, describe_outputs
from kit.tasks.object_detection.tally import measure_map, place_boxes

TASK = get_task("object-detection")
SIDES = (SIDE, SIDE)
pytestmark = pytest.mark.usefixtures("lowered_here")


def recipe_of(name: str, **fields):
    zero = {"mean": (0.0,) * 3, "std": (1.0,) * 3}
    return kit.make_recipe(f"{FILE}:{name}", task=TASK.name, resolution=SIDE, **zero, **fields)


@pytest.fixture(scope="module")
def shapes(tmp_path_factory) -> Path:
    return write_set(tmp_path_factory.mktemp("shapes") / "set")


def answer(model, images: torch.Tensor):
    """Return the outputs of a network, as a tuple of arrays."""
    with torch.no_grad():
        outputs = model(images)
    outputs = (outputs,) if isinstance(outputs, torch.Tensor) else outputs
    return tuple(output.numpy() for output in outputs)


# Boxes


def ask_torchvision(model, images: torch.Tensor) -> list[dict[str, torch.Tensor]]:
    """Return what the detector's own post-processing makes of its heads' outputs."""
    from torchvision.models.detection.image_list import ImageList

    sizes = [tuple(images.shape[-2:])] * len(images)
    with torch.no_grad():
        features = list(model.backbone(images).values())
        result = model.head(features)
        anchors = model.anchor_generator(ImageList(images, sizes), features)
    if type(model).__name__ == "SSD":
        return model.postprocess_detections(result, anchors, sizes)
    each = len(anchors[0]) // sum(f.shape[2] * f.shape[3] for f in features)
    counts = [each * f.shape[2] * f.shape[3] for f in features]
    split = {name: list(value.split(counts, 1)) for name, value in result.items()}
    return model.postprocess_detections(split, [list(a.split(counts)) for a in anchors], sizes)


@pytest.mark.parametrize("sides", [(SIDE, SIDE), (64, 128)])
@pytest.mark.parametrize("make", [detection_models.make_ssd, detection_models.make_retinanet])
def test_boxes_are_those_of_torchvision(make, sides):
    images = torch.rand(3, 3, *sides, generator=torch.Generator().manual_seed(1))
    model = adapt_outputs(make())
    outputs = answer(model, images)
    described, _ = describe_outputs(model, [(1, *o.shape[1:]) for o in outputs], sides, "it")
    for index, right in enumerate(ask_torchvision(make(), images)):
        result = find_boxes([o[index : index + 1] for o in outputs], described, sides)
        assert len(result) > 5
        assert np.array_equal(result.corners, right["boxes"])
        assert np.array_equal(result.scores, right["scores"])
        assert np.array_equal(result.classes, right["labels"])


def test_detectors_of_torchvision_describe_themselves():
    inputs = TASK.describe_inputs(
        kit.make_recipe(f"{FILE}:make_ssd", task=TASK.name, resolution=SIDE)
    )
    record = inputs.detection.record
    assert (record.activation, record.background, record.weights) == ("softmax", 0, (10, 10, 5, 5))
    assert (record.candidates_of, record.nms_iou, record.max_detections) == ("class", 0.45, 200)
    assert inputs.preprocessing.mean == inputs.preprocessing.std == (0.5, 0.5, 0.5)
    assert (inputs.preprocessing.fit, inputs.outputs) == ("stretch", ("scores", "boxes"))
    retina = TASK.describe_inputs(recipe_of("make_retinanet"))
    assert retina.detection.record.levels == (6 * 12 * 12, 6 * 6 * 6)
    assert (retina.preprocessing.fit, retina.preprocessing.mean) == ("letterbox", (0, 0, 0))


@pytest.mark.parametrize("name", ["Shapes", "Joined", "Corners"])
def test_raw_and_decoded_outputs_give_the_same_boxes(name, shapes):
    inputs = TASK.describe_inputs(recipe_of(name))
    assert inputs.classes == (3 if name == "Shapes" else 2)
    context = EvaluationContext(inputs, frozenset())
    samples, targets = open_annotated(context, shapes / "pictures", None, None).load(0, 16)
    model = adapt_outputs(getattr(detection_models, name)().eval())
    result = []
    for index, target in enumerate(targets):
        (image,) = samples[index]
        boxes = find_boxes(answer(model, torch.from_numpy(image)), inputs.detection, SIDES)
        assert len(boxes.above(0.5)) == len(target.boxes)
        result.append(place_boxes(boxes, target.placement))
    whole, half = measure_map([target.boxes for target in targets], result)
    assert half == pytest.approx(1)
    assert 0.6 < whole < 1


def test_boxes_with_objectness_and_without_suppression():
    table = np.zeros((1, 3, 7), np.float32)
    table[0, :, :4] = [[10, 10, 8, 8], [10, 10, 8, 8], [40, 40, 8, 8]]
    table[0, :, 4:] = [[0.5, 0.8, 0.2], [1, 0.7, 0.1], [0.1, 0.1, 0.1]]
    model = torch.nn.Identity()
    model.detection = {"objectness": True, "nms_iou": 1.0, "score_threshold": 0.15}
    outputs, fit = describe_outputs(model, [(1, 7, 70)], SIDES, "it")
    assert (outputs.record.layout, outputs.record.classes, fit) == ("columns", 2, "letterbox")
    rows = describe_outputs(model, [(1, 70, 7)], SIDES, "it")[0]
    result = find_boxes([table], rows, SIDES)
    assert np.array_equal(
        find_boxes([table.transpose(0, 2, 1)], outputs, SIDES).scores, result.scores
    )
    assert result.scores == pytest.approx([0.7, 0.4])
    assert result.classes.tolist() == [0, 0]
    assert result.corners.tolist() == [[6, 6, 14, 14]] * 2
    model.detection["nms_iou"] = 0.5
    assert (
        len(find_boxes([table], describe_outputs(model, [(1, 70, 7)], SIDES, "it")[0], SIDES)) == 1
    )


def test_relative_boxes_scale_with_width_and_height():
    model = torch.nn.Identity()
    model.detection = {"coding": "xyxy", "unit": "share"}
    outputs, _ = describe_outputs(model, [(1, 1, 2), (1, 1, 4)], (100, 200), "it")
    answers = [np.array([[[0.9, 0.2]]], np.float32), np.array([[[0.1, 0.1, 0.5, 2]]], np.float32)]
    result = find_boxes(answers, outputs, (100, 200)).above(0.5)
    assert result.corners.tolist() == [[20, 10, 100, 100]]


def make_boxes(*rows: tuple[float, ...]) -> Boxes:
    table = np.array(rows, np.float32).reshape(-1, 6)
    return Boxes(table[:, :4], table[:, 4], table[:, 5].astype(np.int64))


def test_partners_have_the_same_class_and_half_of_the_area():
    left = make_boxes((0, 0, 10, 10, 0.9, 0), (50, 50, 60, 60, 0.8, 1), (1, 0, 11, 10, 0.7, 0))
    right = make_boxes((0, 0, 10, 9, 0.9, 0), (50, 50, 60, 60, 0.9, 0))
    assert measure_iou(left.corners[:1], right.corners[:1]) == pytest.approx(0.9)
    assert count_matches(left, right) == 1
    assert count_matches(left, left) == 3
    assert count_matches(left, make_boxes()) == count_matches(make_boxes(), left) == 0


# Networks


@pytest.mark.parametrize(
    ("name", "message", "hint"),
    [
        ("Undescribed", "does not say how its numbers become boxes", "attribute detection"),
        ("Misspelled", "has no entry 'variances'", ""),
        ("FewAnchors", "has 143 anchors, and the outputs 144 boxes", "attribute detection"),
        ("Logits", r"gives the shape \[1, 3\]", r"scores \[N, boxes, classes\]"),
        ("make_two_stage", "torchvision's GeneralizedRCNN", "SSDLite"),
    ],
)
def test_networks_that_give_no_boxes(name, message, hint):
    with pytest.raises(RecipeError, match=message) as caught:
        TASK.describe_inputs(recipe_of(name))
    assert caught.value.hint
    assert not hint or re.search(hint, caught.value.hint)


def test_unsupported_options_are_refused(tmp_path):
    with pytest.raises(RecipeError, match="mobilenet_v2 is an image classifier"):
        TASK.describe_inputs(kit.make_recipe("mobilenet_v2", task=TASK.name))
    with pytest.raises(RecipeError, match="'qat' trains classifiers"):
        TASK.check_recipe(recipe_of("Shapes", quantize="qat"))
    names = tmp_path / "names"
    names.write_text("a\nb\nc\nd\n")
    with pytest.raises(RecipeError, match=r"names 4 classes, .* has 3, of which number 0"):
        TASK.describe_inputs(recipe_of("Shapes", labels=str(names)))
    names.write_text("a\nb\n")
    named = TASK.describe_inputs(recipe_of("Shapes", labels=str(names)))
    assert named.labels == ("background", "a", "b")


def test_the_network_of_the_page_is_described(tmp_path):
    page = (Path(__file__).parents[1] / "docs/detection.md").read_text(encoding="utf-8")
    *_, code = re.findall(r"```python\n(.*?)```", page, re.S)
    (tmp_path / "net.py").write_text(code)
    recipe = kit.make_recipe(f"{tmp_path / 'net.py'}:make", task=TASK.name, resolution=SIDE)
    inputs = TASK.describe_inputs(recipe)
    assert (inputs.detection.record.nms_iou, inputs.classes) == (0.45, 3)
    assert inputs.detection.anchors[0].tolist() == [-8, -8, 16, 16]
    fields = re.findall(r"^\| `(\w+)`(?:, `(\w+)`)? \| .* \| .* \|$", page, re.M)
    named = {name for pair in fields for name in pair if name}
    assert set(Detection.model_fields) <= named


def test_anchors_of_another_file_make_another_bundle(tmp_path):
    np.save(tmp_path / "anchors.npy", detection_models.place_anchors().numpy())
    (tmp_path / "net.py").write_text(
        f"import sys, numpy\nsys.path.insert(0, {str(Path(FILE).parent)!r})\n"
        "from detection_models import Shapes\n\n\ndef make():\n    net = Shapes()\n"
        f"    net.detection['anchors'] = numpy.load({str(tmp_path / 'anchors.npy')!r})\n"
        "    return net\n"
    )
    recipe = kit.make_recipe(f"{tmp_path / 'net.py'}:make", task=TASK.name, resolution=SIDE)
    first = TASK.identify(recipe)
    assert TASK.identify(recipe) == first
    np.save(tmp_path / "anchors.npy", 1 + detection_models.place_anchors().numpy())
    assert TASK.identify(recipe) != first


def test_torchvision_has_detectors_by_name():
    from kit.model_source import find_source

    source = find_source("torchvision")
    assert {"ssdlite320_mobilenet_v3_large", "retinanet_resnet50_fpn"} <= {*source.list_names()}
    recipe = kit.make_recipe("torchvision:ssdlite320_mobilenet_v3_large")
    assert (recipe.task, recipe.resolution) == (TASK.name, 320)
    with pytest.raises(RecipeError, match="a detector with a second stage"):
        kit.make_recipe("torchvision:fasterrcnn_resnet50_fpn")
    wrong = recipe.model_copy(update={"task": "image-classification"})
    with pytest.raises(RecipeError, match="no image classifier") as caught:
        get_task("image-classification").describe_inputs(wrong)
    assert "--task object-detection" in caught.value.hint
    inputs = TASK.describe_inputs(recipe)
    assert (inputs.classes, inputs.labels[1], inputs.labels[0]) == (91, "person", "__background__")
    assert inputs.detection.anchors.shape == (3234, 4)
    assert inputs.preprocessing.mean == (0.5, 0.5, 0.5)


# Pictures


@pytest.mark.parametrize("size", [(96, 96), (50, 40), (40, 51), (33, 100), (300, 200)])
@pytest.mark.parametrize("fit", ["stretch", "letterbox", "cover"])
def test_a_box_is_where_its_pixels_are(size, fit):
    pre = Preprocessing(
        resize=None, resize_to=(SIDE, SIDE), crop=SIDE, fit=fit, mean=(0, 0, 0), std=(1, 1, 1)
    )
    image = Image.new("RGB", size, "black")
    corners = [round(v) for v in (0.4 * size[0], 0.4 * size[1], 0.6 * size[0], 0.6 * size[1])]
    image.paste("white", corners)
    pixels = to_pixels(to_array(image, pre), pre)
    rows, columns = np.where((pixels > 180).all(-1))
    seen = [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]
    place = find_placement(size, pre, "it")
    result = place_boxes(make_boxes((*seen, 1, 0)), place)
    one_pixel = max(1, *(1 / scale for scale in place.scale))
    assert abs(result.corners[0] - corners).max() <= one_pixel + 0.5
    grey = (pixels == 114).all(-1).mean()
    assert grey == pytest.approx(1 - min(size) / max(size) if fit == "letterbox" else 0, abs=0.02)


def test_stretching_is_a_plain_resize():
    pre = Preprocessing(
        resize=None,
        resize_to=(SIDE, SIDE),
        crop=SIDE,
        fit="stretch",
        mean=(0, 0, 0),
        std=(1, 1, 1),
    )
    image = noise(50, 40)
    right = image.resize((SIDE, SIDE), Image.Resampling.BILINEAR)
    assert np.array_equal(to_pixels(to_array(image, pre), pre), np.asarray(right))


# Annotations


def inputs_of(names=NAMES):
    inputs = TASK.describe_inputs(recipe_of("Shapes"))
    labels = None if names is None else ("background", *names)
    return kit.calibration.ModelInputs(
        inputs.specs, 3, inputs.preprocessing, labels, detection=inputs.detection
    )


def write_coco(**changes) -> bytes:
    text = {
        "images": [{"id": 7, "file_name": "x/a.jpg", "width": 100, "height": 50}],
        "annotations": [{"image_id": 7, "category_id": 2, "bbox": [10, 20, 30, 10]}],
        "categories": [{"id": 1, "name": NAMES[0]}, {"id": 2, "name": NAMES[1].upper()}],
    }
    return json.dumps({**text, **changes}).encode()


def test_boxes_of_coco_are_those_of_the_model():
    (read,) = read_coco("c.json", write_coco(), ["a.jpg"], inputs_of())
    assert read((100, 50)) == (TrueBox((10, 20, 40, 30), 2, area=300),)
    assert read((200, 100)) == (TrueBox((20, 40, 80, 60), 2, area=1200),)
    with pytest.raises(PictureError, match="has 100x50 pixels, and it has 50x100"):
        read((50, 100))
    (read,) = read_coco("c.json", write_coco(), ["a.jpg"], inputs_of(None))
    assert read((100, 50))[0].label == 2


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"categories": [{"id": 2, "name": "dog"}]}, "boxes of 'dog', which is no class"),
        ({"categories": []}, "category 2 without a name"),
        (
            {"images": [{"id": 7, "file_name": "b.jpg"}]},
            r"the only picture, 'a\.jpg', has no entry in c.json",
        ),
        ({"annotations": [{"image_id": 7, "bbox": [1, 2]}]}, "annotations.0.category_id"),
        ({"annotations": [{"image_id": 7, "category_id": 2, "bbox": [1, 2]}]}, "bbox"),
        ({"images": None}, "not COCO's annotations: images"),
    ],
)
def test_annotations_that_cannot_be_used(changes, message):
    with pytest.raises(PictureError, match=message):
        read_coco("c.json", write_coco(**changes), ["a.jpg"], inputs_of())


def test_categories_without_names_are_counted():
    three = [{"id": number, "name": "x"} for number in (1, 2, 3)]
    with pytest.raises(PictureError, match="has 3 categories, and the model 2 classes"):
        read_coco("c.json", write_coco(categories=three), ["a.jpg"], inputs_of(None))


def test_texts_of_yolo_give_the_same_boxes(shapes):
    context = EvaluationContext(inputs_of(), frozenset())
    ours = open_annotated(context, shapes / "pictures", None, None)
    theirs = open_annotated(context, shapes / "pictures", shapes / "labels", None)
    assert ours.sha256 != theirs.sha256
    assert not ours.notices
    for one, other in zip(ours.load(0, 16)[1], theirs.load(0, 16)[1], strict=True):
        left, right = (sorted((b.label, b.corners) for b in t.boxes) for t in (one, other))
        assert [label for label, _ in left] == [label for label, _ in right]
        assert np.allclose([c for _, c in left], [c for _, c in right])


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("2 .5 .5 .1 .1", "has the class 2, and the model the classes 0 to 1"),
        ("0 .5 .5 .1", "is '0 .5 .5 .1', and no box"),
        ("0 .1 .1 .2 .2 .3 .3", "is a polygon, and no box"),
        ("0 50 50 10 10", "not in shares"),
        ("0 -.5 .5 .1 .1", "not in shares"),
        ("0 .5 -.5 .1 .1", "not in shares"),
        ("0 .5 .5 nan .1", "no box"),
    ],
)
def test_invalid_lines_are_refused(line, message, tmp_path):
    (tmp_path / "a.txt").write_text(f"\n{line}\n")
    (read,) = read_texts(tmp_path, ["a.jpg"], inputs_of())
    with pytest.raises(PictureError, match=message) as caught:
        read((10, 10))
    assert "line 2 of a.txt" in caught.value.message
    with pytest.raises(PictureError, match="no picture has boxes"):
        read_texts(tmp_path, ["b.jpg"], inputs_of())


def test_two_pictures_with_one_text_are_refused(tmp_path):
    (tmp_path / "a.txt").write_text("0 .5 .5 .1 .1\n")
    with pytest.raises(PictureError, match=r"'a\.jpg' and 'a\.png' have the same labels, 'a\.txt'"):
        read_texts(tmp_path, ["a.jpg", "a.png"], inputs_of())
    assert len(read_texts(tmp_path, ["a.jpg", "b.jpg", "b.png"], inputs_of())) == 3


def test_which_file_has_the_annotations(shapes, tmp_path):
    context = EvaluationContext(inputs_of(), frozenset())
    (tmp_path / "set").mkdir()
    for picture in (shapes / "pictures/a").glob("0[01].png"):
        (tmp_path / "set" / picture.name).write_bytes(picture.read_bytes())
    assert not open_annotated(context, tmp_path / "set", None, None).labelled
    given = shapes / "pictures/annotations.json"
    assert open_annotated(context, tmp_path / "set", given, None).labelled
    for name in ("a.json", "b.json"):
        (tmp_path / "set" / name).write_text("{}")
    with pytest.raises(PictureError, match=r"holds 2 JSON files: 'a\.json', 'b\.json'"):
        open_annotated(context, tmp_path / "set", None, None)
    unlabelled = EvaluationContext(context.inputs, frozenset(), labelled=False)
    assert not open_annotated(unlabelled, tmp_path / "set", None, None).labelled


# Metrics


def test_average_precision_of_known_boxes():
    truth = [(TrueBox((0, 0, 10, 10), 1, area=100), TrueBox((20, 0, 30, 10), 1, area=100)), ()]
    both = make_boxes((0, 0, 10, 10, 0.9, 1), (20, 0, 30, 10, 0.8, 1))
    assert measure_map(truth, [both, make_boxes()]) == (1, 1)
    # Recall of a half at full precision: 51 of the 101 recalls.
    half = make_boxes((0, 0, 10, 10, 0.9, 1))
    assert measure_map(truth, [half, make_boxes()]) == pytest.approx((51 / 101,) * 2)
    # An IoU of 0.7 counts for 0.5 to 0.7, five of ten limits.
    loose = make_boxes((0, 0, 10, 7, 0.9, 1), (20, 0, 30, 7, 0.8, 1))
    assert measure_map(truth, [loose, make_boxes()]) == pytest.approx((0.5, 1), abs=1e-6)
    wrong = make_boxes((0, 0, 10, 10, 0.95, 1))
    right = [half, wrong]  # a better box where there is nothing
    assert measure_map(truth, right)[1] == pytest.approx(51 / 101 / 2)
    other = make_boxes((0, 0, 10, 10, 0.9, 0))
    assert measure_map(truth, [other, make_boxes()]) == (0, 0)
    assert measure_map([()], [half]) == (0, 0)
    crowd = [(TrueBox((0, 0, 10, 10), 1, crowd=True, area=100),), truth[0]]
    assert measure_map(crowd, [half, both]) == (1, 1)


# Through every command


@pytest.fixture(scope="module")
def built(shapes, tmp_path_factory):
    names = tmp_path_factory.mktemp("names") / "names.txt"
    names.write_text("\n".join(NAMES))
    fields = {"calibrate": str(shapes / "pictures"), "calibration_images": 4, "observer": "minmax"}
    recipe = recipe_of("Shapes", labels=str(names), formats=("onnx",), **fields)
    return kit.build(recipe, tmp_path_factory.mktemp("b") / "shapes", use_cache=False)


@pytest.mark.slow
def test_the_manifest_says_how_numbers_become_boxes(built):
    manifest = built.manifest
    assert (manifest.task, manifest.classes) == (TASK.name, 3)
    assert [spec.shape for spec in manifest.signature.outputs] == [(1, 144, 3), (1, 144, 4)]
    assert np.array_equal(built.read_anchors(), detection_models.place_anchors())
    fields = manifest.model_dump(mode="json")
    for changes, message in [
        ({"detection": None}, "detection belongs to the task"),
        ({"detection": {**fields["detection"], "classes": 4}}, "the outputs are"),
        ({"detection": {**fields["detection"], "levels": [3]}}, "levels are of 3 boxes"),
        ({"detection": {**fields["detection"], "coding": "xyxy"}}, "anchors belong"),
    ]:
        with pytest.raises(ValueError, match=message):
            Manifest.model_validate({**fields, **changes})
    with pytest.raises(UsageError, match="for the task object-detection"):
        from kit.app import testing

        testing.run(built.path, built.path.parent, lambda _: None)


@pytest.mark.slow
def test_a_bundle_is_evaluated_measured_and_reported(
    built, shapes, tmp_path, capsys, evaluated_here
):
    words = ["eval", str(built.path), "--images", str(shapes / "pictures")]
    assert cli.run([*words, "-o", str(tmp_path / "e.json")]) == 0
    out = capsys.readouterr().out
    assert "mAP@50" in out
    assert "agreement %" in out
    scored = store.read(tmp_path / "e.json")
    assert (scored.left_out, scored.rows[0].images) == (4, 6)
    for row in scored.rows:
        assert row.agreement > 0.9
        assert [m.heading for m in row.metrics] == ["mAP@50:95, %", "mAP@50, %"]
        assert row.metrics[1].value > 95
        assert [output.name for output in row.outputs] == ["scores", "boxes"]
    assert cli.run([*words, "--labels", "none"]) == 0
    assert "there is no mAP" in capsys.readouterr().err
    (measured,) = measure_all([built], ["onnx"], FAST, runner="python")
    verified = kit.verify_processors(built)
    assert all(row.passed for row in verified.rows)
    page = write([measured, scored, verified], tmp_path / "page")
    assert "mAP@50:95, %" in page.markdown.read_text(encoding="utf-8")


@pytest.mark.slow
def test_predict_shows_boxes_in_pixels_of_the_picture(
    built, shapes, tmp_path, capsys, predicted_here
):
    large = tmp_path / "large.png"
    with Image.open(shapes / "pictures/a/00.png") as image:
        image.resize((4 * SIDE, 2 * SIDE), Image.Resampling.NEAREST).save(large)
    saved = tmp_path / "drawn"
    assert cli.run(["predict", str(built.path), str(large), "--json", "--save", f"{saved}/"]) == 0
    (sample,) = json.loads(capsys.readouterr().out)["samples"]
    (target,) = open_annotated(
        EvaluationContext(describe_bundle(built), frozenset()), shapes / "pictures", None, 1
    ).load(0, 1)[1]
    for name, result in sample["answers"].items():
        assert result["pixels"] == "picture"
        assert len(result["boxes"]) == len(target.boxes) > 1
        for one in result["boxes"]:
            corners = np.array(one["box"]) / [4, 2, 4, 2]
            near = min(target.boxes, key=lambda box: abs(np.array(box.corners) - corners).max())
            assert abs(np.array(near.corners) - corners).max() < 3
            assert one["label"] == ("background", *NAMES)[near.label]
            assert 0.5 <= one["probability"] <= 1
        if name != "reference":
            assert result["matches"] == result["float_boxes"] == len(target.boxes)
        drawn = np.asarray(Image.open(saved / name / "large.png"))
        assert drawn.shape == (SIDE, SIDE, 3)
        assert (drawn != np.asarray(Image.open(large).resize((SIDE, SIDE)))).any(-1).mean() > 0.02


@pytest.mark.slow
def test_a_gate_keeps_the_map(built, shapes, tmp_path, evaluated_here):
    recipe, task = built.manifest.recipe, get_task(built.manifest.task)
    gate = _gate.Gate(max_drop=5.0, min_agreement=90.0)
    pictures = _gate.open_pictures(gate, recipe, task.open_calibration(recipe))
    assert pictures.labelled
    folder = tmp_path / "passed"
    shutil.copytree(built.path, folder)
    _gate.enforce_gate(gate, pictures, folder, lambda _: None, all_or_nothing=True)
    record = kit.load_bundle(folder).manifest.gate
    assert -5 <= record.rows[0].drop <= 5
    assert (record.rows[0].agreement > 90, record.images) == (True, 6)
    empty = tmp_path / "empty"
    empty.mkdir()
    Image.new("RGB", (SIDE, SIDE)).save(empty / "black.png")
    with pytest.raises(RecipeError, match="no mAP@50:95 to drop"):
        _gate.open_pictures(replace(gate, images=empty), recipe, task.open_calibration(recipe))
    nothing = _gate.Gate(min_agreement=90.0, images=empty)
    black = _gate.open_pictures(nothing, recipe, task.open_calibration(recipe))
    with pytest.raises(VerificationFailed, match="finds nothing in 1 picture of"):
        _gate.enforce_gate(nothing, black, folder, lambda _: None, all_or_nothing=True)


@pytest.mark.slow
def test_it_is_analyzed_by_its_boxes(built, shapes, capsys):
    words = ["analyze", str(built.path), "--images", str(shapes / "pictures"), "--json"]
    assert cli.run(words) == 0
    result = json.loads(capsys.readouterr().out)
    assert result["int8"]["agreement"] > 0.9
    assert result["int8"]["sqnr_db"] > 15
    assert [layer["name"] for layer in result["layers"] if layer["kind"] != "input"]
