"""`kit.evaluate`: its numbers against an independent computation, and its errors."""

from __future__ import annotations

import io
import shutil
import zipfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from bundle_samples import PRE, SHARED, draw, draw_labelled, make, make_tiny, net
from conftest import rewrite
from PIL import Image
from torch import nn

import kit
from kit import formats
from kit.accuracy import CHUNK, evaluate
from kit.bundles.bundle import Bundle
from kit.errors import BundleError, PictureError, RunError, UnknownName, UsageError
from kit.manifest.preprocessing import Preprocessing
from kit.notices import render
from kit.signature import Samples, TensorSpec
from kit.tasks.image_classification.tally import LogitsTally, rank_classes

# No child process per file: these tests do not depend on isolation.
HERE = pytest.mark.usefixtures("evaluated_here")


@pytest.fixture(scope="module")
def tiny(tmp_path_factory) -> Bundle:
    return make_tiny(tmp_path_factory.mktemp("bundles") / "tiny")


@pytest.fixture(scope="module")
def pictures(tmp_path_factory) -> Path:
    return draw_labelled(tmp_path_factory.mktemp("pictures") / "set")


def expected(root: Path, model: object) -> dict[str, float]:
    """Compute a model's expected row independently, with torchvision's transforms."""
    import torch
    from torchvision import transforms as T

    steps = [T.Resize(36, antialias=True), T.CenterCrop(32), T.ToTensor()]
    prepare = T.Compose([*steps, T.Normalize(PRE.mean, PRE.std)])
    files = sorted(root.iterdir())
    inputs = torch.stack([prepare(Image.open(file)) for file in files])
    labels = torch.tensor([int(file.name[:4]) for file in files])
    with torch.no_grad():
        ref, out = net()(inputs).double(), model(inputs).double()
    right = out.topk(5).indices == labels[:, None]
    return {
        "top1": right[:, 0].double().mean().item(),
        "top5": right.any(1).double().mean().item(),
        "agreement": (ref.argmax(1) == out.argmax(1)).double().mean().item(),
        "sqnr_db": 10 * torch.log10((ref**2).sum() / ((ref - out) ** 2).sum()).item(),
    }


def test_evaluate_stays_a_function_after_the_module_is_imported():
    assert kit.evaluate is evaluate
    assert kit.evaluate is evaluate  # still true after the first access has imported the module


# Numbers


@pytest.mark.parametrize(("classes", "top5"), [(5, None), (6, 0.5)])
def test_five_classes_have_no_top_5(classes, top5):
    answers = np.arange(2.0 * classes, dtype=np.float32)[::-1].reshape(2, classes)
    specs = (TensorSpec(name="y", shape=(1, classes)),)
    samples = Samples(specs, (answers.copy(),))
    tally = LogitsTally()
    tally.add(samples, samples, [0, classes - 1])
    assert (tally.measure()["top1"], tally.measure()["top5"]) == (0.5, top5)


@pytest.mark.slow
def test_numbers_equal_an_independent_computation(tiny, pictures):
    result = evaluate(tiny, pictures)
    reference, lite, onnx = result.rows
    assert [r.format for r in result.rows] == ["reference", "lite", "onnx"]
    assert [r.images for r in result.rows] == [2 * CHUNK + 5] * 3
    assert all(r.images_per_second > 0 for r in result.rows)

    exact = expected(pictures, net())
    assert (reference.top1, reference.top5) == (exact["top1"], exact["top5"])
    assert (reference.agreement, reference.sqnr_db) == (1.0, None)
    assert (lite.top1, lite.top5, lite.agreement) == (exact["top1"], exact["top5"], 1.0)
    assert lite.sqnr_db is None or lite.sqnr_db > 100  # the same float network as the reference

    rounded = expected(pictures, net(step=0.1))
    assert 0 < rounded["agreement"] < 1  # otherwise the test would be too weak
    assert rounded["top1"] != rounded["top5"]
    assert (onnx.top1, onnx.top5) == (rounded["top1"], rounded["top5"])
    assert onnx.agreement == rounded["agreement"]
    assert onnx.sqnr_db == pytest.approx(rounded["sqnr_db"], abs=1e-3)


def test_ties_are_ranked_by_class_index():
    logits = np.array([[0, 3, 1, 3, 2, 1, 1]], np.float32)
    assert rank_classes(logits).tolist() == [[1, 3, 4, 2, 5]]
    assert rank_classes(np.zeros((1, 3), np.float32)).tolist() == [[0, 1, 2]]


@HERE
def test_each_picture_is_decoded_once_for_all_formats(tiny, pictures, monkeypatch):
    from kit.images import preprocess

    prepared = []
    decode = preprocess.decode

    def count(data: bytes, name: str) -> Image.Image:
        prepared.append(name)
        return decode(data, name)

    monkeypatch.setattr(preprocess, "decode", count)
    steps: list[tuple[int, int]] = []
    evaluate(tiny, pictures, progress=lambda *step: steps.append(step))
    total = 2 * CHUNK + 5
    assert len(prepared) == len(set(prepared)) == total
    assert steps == [(CHUNK, total), (2 * CHUNK, total), (total, total)]


@HERE
def test_a_zip_and_its_folder_give_the_same_result(tiny, pictures, tmp_path):
    path = tmp_path / "set.zip"
    with zipfile.ZipFile(path, "w") as file:
        for picture_file in pictures.iterdir():
            file.write(picture_file, picture_file.name)
    folder, packed = evaluate(tiny, pictures), evaluate(str(tiny.path), str(path))
    drop = {"images_per_second"}
    assert [r.model_dump(exclude=drop) for r in folder.rows] == [
        r.model_dump(exclude=drop) for r in packed.rows
    ]
    assert folder.pictures_sha256 == packed.pictures_sha256
    assert (folder.pictures, packed.pictures) == ("set", "set.zip")


# Selection of pictures


@HERE
def test_calibration_pictures_are_excluded_by_content(tmp_path, pictures):
    from kit.images import hash_picture, open_set

    seen = [hash_picture(p) for p in open_set(pictures).pictures[3:6]]
    bundle = make(tmp_path / "b", {"lite": net()}, calibration=seen)
    result = evaluate(bundle, pictures)
    assert result.left_out == 3
    assert result.rows[0].images == 2 * CHUNK + 2
    assert evaluate(bundle, pictures, limit=10).rows[0].images == 10

    # Pictures are compared by content: a renamed copy is excluded too.
    others = draw(tmp_path / "others", 1, lambda i: f"0001_{i}.png")
    first = sorted(pictures.iterdir())[3]
    shutil.copy(first, others / "0005_renamed.png")
    assert evaluate(bundle, others).left_out == 1

    (others / "0001_0.png").unlink()
    with pytest.raises(PictureError, match="every picture of others calibrated or trained"):
        evaluate(bundle, others)


@HERE
def test_limit_samples_evenly_and_deterministically(tiny, tmp_path):
    root = draw(tmp_path / "set", 10, lambda i: f"{i // 2}/{i}.png")
    first, second = (evaluate(tiny, root, formats=["lite"], limit=5) for _ in range(2))
    assert first.rows[0].images == 5
    assert first.pictures_sha256 == second.pictures_sha256
    chosen = draw(tmp_path / "chosen", 10, lambda i: f"{i // 2}/{i}.png")
    for odd in range(1, 10, 2):
        (chosen / f"{odd // 2}/{odd}.png").unlink()
    assert evaluate(tiny, chosen, formats=["lite"]).pictures_sha256 == first.pictures_sha256
    assert evaluate(tiny, root, formats=["lite"], limit=99).rows[0].images == 10
    with pytest.raises(UsageError, match="limit 0 leaves no picture"):
        evaluate(tiny, root, limit=0)


@HERE
def test_folder_names_match_the_bundles_labels(tmp_path):
    names = ["cat", "dog", "Big Bird", *"defg"]
    bundle = make(tmp_path / "b", {"lite": net()}, labels=names)
    root = draw(tmp_path / "set", 6, lambda i: f"train/{('cat', 'big_bird')[i % 2]}/{i}.png")
    same = draw(tmp_path / "same", 6, lambda i: f"{(0, 2)[i % 2]}/{i}.png")
    actual, indices = evaluate(bundle, root), evaluate(bundle, same)
    assert actual.rows[0].top1 == indices.rows[0].top1 is not None


@HERE
def test_labels_from_a_csv(tiny, pictures, tmp_path):
    table = tmp_path / "labels.csv"
    files = sorted(pictures.iterdir())
    table.write_text("".join(f"{f.name},{int(f.name[:4])}\n" for f in files))
    assert (
        evaluate(tiny, pictures, labels=table).rows[0].top1 == evaluate(tiny, pictures).rows[0].top1
    )
    table.write_text(f"{files[0].name},3\n")
    assert evaluate(tiny, pictures, labels=table).rows[0].images == 1


@HERE
def test_top1_is_none_without_labels(tiny, tmp_path):
    root = draw(tmp_path / "set", 3, lambda i: f"photo{i}.png")
    for row in evaluate(tiny, root).rows:
        assert row.top1 is None
        assert row.top5 is None
        assert 0 <= row.agreement <= 1


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (["0001_a.png", "0007_b.png"], r"0007_b\.png has the label 7, .* classes 0 to 6"),
        (["0001_a.png", "b.png"], "1 of the 2 pictures has no label: 'b.png'"),
        (["1/a.png", "misc/b.png"], "has no label: 'misc/b.png'"),
    ],
)
def test_mismatched_labels_are_refused(tiny, tmp_path, names, message):
    root = draw(tmp_path / "set", len(names), lambda i: names[i])
    with pytest.raises(PictureError, match=message):
        evaluate(tiny, root)


def noted(bundle: Bundle, root: Path, **options: object) -> list[str]:
    return [render(n) for n in evaluate(bundle, root, formats=["lite"], **options).notices]


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("{0}/{1}.png", "labels: folder names as class indices"),
        ("000{0}_{1}.png", "labels: beginnings of file names as class indices"),
        ("photo{1}.png", None),
    ],
)
@HERE
def test_source_of_labels_is_printed(tiny, tmp_path, name, message):
    root = draw(tmp_path / "set", 4, lambda i: name.format(i % 2, i))
    assert noted(tiny, root) == ([] if message is None else [message])


@HERE
def test_source_of_named_and_csv_labels_is_printed(tmp_path):
    bundle = make(tmp_path / "b", {"lite": net()}, labels=["cat", "dog", *"cdefg"])
    root = draw(tmp_path / "set", 4, lambda i: f"{('cat', 'dog')[i % 2]}/{i}.png")
    assert noted(bundle, root) == ["labels: folder names as category names"]
    mixed = draw(tmp_path / "mixed", 4, lambda i: f"{('cat', '1')[i % 2]}/{i}.png")
    assert noted(bundle, mixed) == ["labels: folder names as category names and class indices"]
    (tmp_path / "my.csv").write_text("cat/0.png,dog\n")
    assert noted(bundle, root, labels=tmp_path / "my.csv") == ["labels: my.csv"]


@HERE
def test_numeric_folders_that_sort_differently_as_text_give_a_warning(tmp_path):
    """ImageFolder sorts names as text (0, 1, 10, 2 …) and numbers classes in that order."""
    root = draw(tmp_path / "set", 12, lambda i: f"{i}/{i}.png")
    plain = make(tmp_path / "b", {"lite": net(classes=12)}, classes=12, reference=net(classes=12))
    _, warning = noted(plain, root)
    assert warning.startswith("folder 10 is class 10 here; a network that was trained")
    assert "has it as class 2" in warning
    named = make(
        tmp_path / "n",
        {"lite": net(classes=12)},
        classes=12,
        labels=list("abcdefghijkl"),
        reference=net(classes=12),
    )
    assert noted(named, root) == ["labels: folder names as class indices"]
    padded = draw(tmp_path / "padded", 12, lambda i: f"{i:02}/{i}.png")
    assert noted(plain, padded) == ["labels: folder names as class indices"]
    some = draw(tmp_path / "some", 3, lambda i: f"{(1, 10, 2)[i]}/{i}.png")
    assert noted(plain, some) == ["labels: folder names as class indices"]


@HERE
def test_class_folders_of_another_data_set_are_refused(tiny, tmp_path):
    root = draw(
        tmp_path / "set", 8, lambda i: f"train/{('cat', 'dog', 'eel', 'fox')[i % 4]}/{i}.png"
    )
    with pytest.raises(PictureError, match="none of the 4 folders of set is a class") as caught:
        evaluate(tiny, root)
    assert "and the bundle has no names of classes: 'cat', 'dog', 'eel' …" in caught.value.message
    assert caught.value.hint.startswith("build it with --labels NAMES.txt")
    assert caught.value.hint.endswith("`kit eval --labels` takes a table, or none")
    named = make(tmp_path / "b", {"lite": net()}, labels=list("abcdefg"))
    with pytest.raises(
        PictureError, match=r"is a class of the model: 'cat', 'dog', 'eel' …"
    ) as caught:
        evaluate(named, root)
    assert caught.value.hint.startswith("name folders by index")
    actual = evaluate(named, root, labels="none")
    assert (actual.rows[0].images, actual.rows[0].top1) == (8, None)


@pytest.mark.parametrize("name", ["holiday/{}.png", "{}.png", "set/{}.png", "{}/../x{}.png"])
@HERE
def test_pictures_outside_class_folders_are_evaluated_without_labels(tiny, tmp_path, name):
    root = draw(tmp_path / "set", 3, lambda i: name.format(i, i))
    if name.startswith("{}.png"):
        draw(root, 2, lambda i: f"more/{i}.png")
    assert evaluate(tiny, root).rows[0].top1 is None


# Selection of formats


@HERE
def test_formats_are_selected_by_name(tiny, pictures):
    def names(selected: Sequence[str]) -> list[str]:
        return [r.format for r in evaluate(tiny, pictures, formats=selected, limit=1).rows]

    assert names(["onnx"]) == ["reference", "onnx"]
    assert names(["onnx", "lite"]) == ["reference", "lite", "onnx"]
    assert names(["reference"]) == ["reference"]
    with pytest.raises(UnknownName, match="no format called 'onx'") as caught:
        names(["onx"])
    assert "onnx" in caught.value.hint
    with pytest.raises(BundleError, match="has no executorch file"):
        names(["executorch"])


@HERE
def test_nan_answers_fail_the_evaluation(tmp_path, pictures):
    bundle = make(tmp_path / "b", {"lite": net(bias=float("nan"))})
    with pytest.raises(RunError, match="lite-fp32 answered with NaN"):
        evaluate(bundle, pictures)


@HERE
@pytest.mark.slow
@pytest.mark.parametrize(
    ("model", "side", "message"),
    [
        (net(classes=5), 32, r"answers with float32 \[1, 5\], not float32 \[1, 7\]"),
        # Regression: its one column was broadcast against the seven classes.
        (net(classes=1), 32, r"float32 \[1, 1\]"),
        (nn.Sequential(net(), nn.Unflatten(1, (7, 1))), 32, r"float32 \[1, 7, 1\]"),
        (nn.Sequential(net(), nn.Flatten(0)), 32, r"float32 \[7\]"),
        (net(), 40, "onnx-fp32 fails on an input: InvalidArgument"),
    ],
)
def test_answers_that_are_not_logits_are_refused(model, side, message, tmp_path, pictures):
    """Regression: such answers were broadcast, or reported as a bug in kit."""
    plain = make(tmp_path / "plain", {"onnx": net()})
    formats.get_format("onnx").export(
        model, (torch.zeros(1, 3, side, side),), tmp_path / "other.onnx"
    )
    other = {"model-fp32.onnx": (tmp_path / "other.onnx").read_bytes()}
    with pytest.raises(RunError, match=message):
        evaluate(rewrite(plain, tmp_path / "b", other), pictures)


@pytest.mark.slow
def test_lite_error_that_is_not_utf8_is_reported(tmp_path, pictures):
    plain = make(tmp_path / "plain", {"lite": net()})
    content = io.BytesIO()
    with zipfile.ZipFile(plain.file("lite")) as source, zipfile.ZipFile(content, "w") as target:
        for name in source.namelist():
            broken = b"\x80\x02c\xf4\xf4\nName\n."  # refers to a type, not in UTF-8
            is_pickle = name.endswith((".pkl", ".debug_pkl"))
            target.writestr(name, broken if is_pickle else source.read(name))
    changed = rewrite(plain, tmp_path / "b", {"model-fp32.ptl": content.getvalue()})
    with pytest.raises(BundleError, match="is not a Lite Interpreter file"):
        evaluate(changed, pictures)


@pytest.mark.slow
def test_a_model_with_two_inputs_is_refused(tmp_path, pictures):
    import onnx

    plain = make(tmp_path / "plain", {"onnx": net()})
    model = onnx.load(plain.file("onnx"))
    model.graph.input.add().CopyFrom(model.graph.output[0])
    model.graph.input[1].name = "second"
    changed = rewrite(plain, tmp_path / "b", {"model-fp32.onnx": model.SerializeToString()})
    with pytest.raises(RunError, match="the file takes 2 inputs, not 1"):
        evaluate(changed, pictures)


class _Scaling(nn.Module):
    """Modifies its input in place, like networks that normalize their own input."""

    def __init__(self) -> None:
        super().__init__()
        self.net = net()

    def forward(self, image):
        return self.net(image.mul_(0.5).add_(1.0))


@pytest.mark.slow
def test_in_place_changes_by_the_float_model_do_not_reach_other_formats(tmp_path, pictures):
    """Regression: the formats received pictures that the float model had modified."""
    bundle = make(tmp_path / "b", {"lite": _Scaling()}, reference=_Scaling())
    reference, lite = evaluate(bundle, pictures).rows
    assert lite.agreement == 1.0
    assert lite.sqnr_db is None or lite.sqnr_db > 100
    assert reference.top1 == lite.top1


# Official weights


@pytest.mark.slow
@pytest.mark.skipif(not SHARED.is_dir(), reason="needs ../shared/data")
def test_accuracy_of_official_mobilenet_v2_on_500_pictures(tmp_path):
    from kit.images.labels import list_imagenet_categories
    from kit.models import mobilenet_v2
    from kit.models.fitting import load_into
    from kit.models.weights import read_state

    spec = mobilenet_v2.FAMILY.spec
    model = mobilenet_v2.build(1.0, 1000)
    load_into(model, read_state(SHARED / "mobilenet_v2-b0353104.pth"), "official")
    bundle = make(
        tmp_path / "b",
        {"onnx": model},
        labels=list_imagenet_categories(),
        reference=model,
        pre=Preprocessing(resize=256, crop=224, mean=spec.mean, std=spec.std),
        classes=1000,
    )
    reference, onnx = evaluate(bundle, SHARED / "imagenet-500.zip").rows
    assert reference.images == 500
    assert reference.top1 == pytest.approx(0.82, abs=0.004)  # torchvision's preset gives 0.82
    assert reference.top5 > 0.94
    assert onnx.agreement >= 0.998
    assert onnx.sqnr_db > 80
