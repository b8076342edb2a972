"""`kit eval`: its numbers against an independent computation, and what it refuses."""

from __future__ import annotations

import json
import shutil
import zipfile
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from kit import bundle as bundles
from kit import formats, recipe
from kit.bundle import Artifact, Bundle, Calibration, Golden, Preprocessing, Runtime, Source
from kit.cli import run
from kit.errors import BundleError, PictureError, RunError, UnknownName, UsageError
from kit.evaluate import CHUNK, _ranks, evaluate
from kit.results import store

CLASSES = 7
PRE = Preprocessing(resize=36, crop=32, mean=(0.5, 0.4, 0.3), std=(0.2, 0.3, 0.4))
SHARED = Path(__file__).parents[2] / "shared" / "data"


def net(step: float = 0.0, bias: float = 0.0):
    """Return a small network, its weights rounded to multiples of `step` if that is not 0."""
    import torch
    from torch import nn

    torch.manual_seed(5)
    layers = [nn.Conv2d(3, 8, 5, stride=4), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten()]
    model = nn.Sequential(*layers, nn.Linear(8, CLASSES)).eval()
    with torch.no_grad():
        for value in model.parameters():
            value.copy_((value / step).round() * step if step else value).add_(bias)
    return model


def make(
    target: Path,
    artifacts: dict[str, object],
    calibration: Sequence[str] = (),
    labels: Sequence[str] | None = None,
    reference: object = None,
    pre: Preprocessing = PRE,
    classes: int = CLASSES,
) -> Bundle:
    """Write a bundle of these models, without `kit build`."""
    import torch

    made = recipe.make(model="mobilenet_v2", quantize="none", formats=tuple(artifacts))
    example = torch.zeros(1, 3, pre.crop, pre.crop)
    with bundles.staged(target) as work:
        formats.get("reference").export(reference or net(), example, work / "reference.pt2")
        for name, model in artifacts.items():
            member = formats.get(name)
            member.export(model, example, work / f"model{member.INFO.suffix}")
        if labels is not None:
            (work / "labels.txt").write_text("\n".join(labels) + "\n")
        fields = {
            "kit_version": "0",
            "created": datetime.now(UTC),
            "recipe": made,
            "recipe_hash": made.hash,
            "parameters": 1,
            "input": bundles.Tensor(name="input", shape=(1, 3, pre.crop, pre.crop)),
            "output": bundles.Tensor(name="logits", shape=(1, classes)),
            "preprocessing": pre,
            "labels": None if labels is None else "labels.txt",
            "weights": Source(source="random", sha256="0"),
            "calibration": Calibration(
                source="set",
                images=len(calibration),
                sha256="0",
                pictures=tuple(calibration),
                worst_layer="0",
                outside=0.0,
            ),
            "qconfig": {},
            "golden": Golden(input="golden/input.npy", images=0, source="none", outputs={}),
            "artifacts": tuple(
                Artifact(
                    format=name,
                    file=f"model{formats.get(name).INFO.suffix}",
                    quantize="none",
                    format_version="1",
                    runtime=Runtime(name="r", version="1"),
                    operators={},
                )
                for name in artifacts
            ),
            "warnings": (),
            "tools": {},
        }
        bundles.write_manifest(work, fields)
    return bundles.load(target)


@pytest.fixture(scope="module")
def tiny(tmp_path_factory) -> Bundle:
    """A float Lite file, and an ONNX file of the same network with rounded weights."""
    folder = tmp_path_factory.mktemp("bundles") / "tiny"
    return make(folder, {"lite": net(), "onnx": net(step=0.1)})


def picture(index: int) -> Image.Image:
    rng = np.random.default_rng(index)
    tint = rng.integers(0, 256, 3)
    grain = rng.integers(-40, 40, (30 + index % 5, 40, 3))
    return Image.fromarray((tint + grain).clip(0, 255).astype(np.uint8))


def draw(root: Path, count: int, name: Callable[[int], str]) -> Path:
    for index in range(count):
        file = root / name(index)
        file.parent.mkdir(parents=True, exist_ok=True)
        picture(index).save(file)
    return root


@pytest.fixture(scope="module")
def pictures(tmp_path_factory) -> Path:
    """More pictures than fit in two chunks, labelled by their names."""
    folder = tmp_path_factory.mktemp("pictures") / "set"
    return draw(folder, 2 * CHUNK + 5, lambda i: f"{i % CLASSES:04}_{i:03}.png")


def expected(root: Path, model: object) -> dict[str, float]:
    """Compute the row of a model from scratch, with torchvision's transforms."""
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


# Numbers


def test_the_numbers_are_those_of_an_independent_computation(tiny, pictures):
    result = evaluate(tiny, pictures)
    reference, lite, onnx = result.rows
    assert [r.format for r in result.rows] == ["reference", "lite", "onnx"]
    assert [r.images for r in result.rows] == [2 * CHUNK + 5] * 3
    assert all(r.images_per_second > 0 for r in result.rows)

    exact = expected(pictures, net())
    assert (reference.top1, reference.top5) == (exact["top1"], exact["top5"])
    assert (reference.agreement, reference.sqnr_db) == (1.0, None)
    assert (lite.top1, lite.top5, lite.agreement) == (exact["top1"], exact["top5"], 1.0)
    assert lite.sqnr_db is None or lite.sqnr_db > 100  # the same float network

    rounded = expected(pictures, net(step=0.1))
    assert 0 < rounded["agreement"] < 1  # else this test would see too little
    assert rounded["top1"] != rounded["top5"]
    assert (onnx.top1, onnx.top5) == (rounded["top1"], rounded["top5"])
    assert onnx.agreement == rounded["agreement"]
    assert onnx.sqnr_db == pytest.approx(rounded["sqnr_db"], abs=1e-3)


def test_of_equal_logits_the_lower_class_comes_first():
    logits = np.array([[0, 3, 1, 3, 2, 1, 1]], np.float32)
    assert _ranks(logits).tolist() == [[1, 3, 4, 2, 5]]
    assert _ranks(np.zeros((1, 3), np.float32)).tolist() == [[0, 1, 2]]


def test_each_picture_is_prepared_once_for_all_formats(tiny, pictures, monkeypatch):
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


# Which pictures


def test_calibration_pictures_are_left_out_by_content(tmp_path, pictures):
    from kit.images import digest, open_set

    seen = [digest(p) for p in open_set(pictures).pictures[3:6]]
    bundle = make(tmp_path / "b", {"lite": net()}, calibration=seen)
    result = evaluate(bundle, pictures)
    assert result.left_out == 3
    assert result.rows[0].images == 2 * CHUNK + 2
    assert evaluate(bundle, pictures, limit=10).rows[0].images == 10

    # Only the contents count: a copy under another name is left out as well.
    others = draw(tmp_path / "others", 1, lambda i: f"0001_{i}.png")
    first = sorted(pictures.iterdir())[3]
    shutil.copy(first, others / "0005_renamed.png")
    assert evaluate(bundle, others).left_out == 1

    (others / "0001_0.png").unlink()
    with pytest.raises(PictureError, match="every picture of others calibrated this bundle"):
        evaluate(bundle, others)


def test_a_limit_is_spread_evenly_and_is_the_same_every_time(tiny, tmp_path):
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


def test_labels_come_from_the_bundles_own_names(tmp_path):
    names = ["cat", "dog", "Big Bird", *"defg"]
    bundle = make(tmp_path / "b", {"lite": net()}, labels=names)
    root = draw(tmp_path / "set", 6, lambda i: f"train/{('cat', 'big_bird')[i % 2]}/{i}.png")
    same = draw(tmp_path / "same", 6, lambda i: f"{(0, 2)[i % 2]}/{i}.png")
    found, indices = evaluate(bundle, root), evaluate(bundle, same)
    assert found.rows[0].top1 == indices.rows[0].top1 is not None


def test_labels_from_a_csv(tiny, pictures, tmp_path):
    table = tmp_path / "labels.csv"
    files = sorted(pictures.iterdir())
    table.write_text("".join(f"{f.name},{int(f.name[:4])}\n" for f in files))
    assert (
        evaluate(tiny, pictures, labels=table).rows[0].top1 == evaluate(tiny, pictures).rows[0].top1
    )
    table.write_text(f"{files[0].name},3\n")
    assert evaluate(tiny, pictures, labels=table).rows[0].images == 1


def test_without_labels_there_is_no_top1(tiny, tmp_path):
    root = draw(tmp_path / "set", 3, lambda i: f"photo{i}.png")
    for row in evaluate(tiny, root).rows:
        assert row.top1 is None
        assert row.top5 is None
        assert 0 <= row.agreement <= 1


@pytest.mark.parametrize(
    ("names", "says"),
    [
        (["0001_a.png", "0007_b.png"], r"0007_b\.png has the label 7, .* classes 0 to 6"),
        (["0001_a.png", "b.png"], r"b\.png has no label, as 1 of 2 pictures"),
        (["1/a.png", "misc/b.png"], r"misc/b\.png has no label"),
    ],
)
def test_labels_that_do_not_fit(tiny, tmp_path, names, says):
    root = draw(tmp_path / "set", len(names), lambda i: names[i])
    with pytest.raises(PictureError, match=says):
        evaluate(tiny, root)


# Which formats


def test_formats_are_chosen_by_name(tiny, pictures):
    def names(wanted: Sequence[str]) -> list[str]:
        return [r.format for r in evaluate(tiny, pictures, formats=wanted, limit=1).rows]

    assert names(["onnx"]) == ["reference", "onnx"]
    assert names(["onnx", "lite"]) == ["reference", "lite", "onnx"]
    assert names(["reference"]) == ["reference"]
    with pytest.raises(UnknownName, match="no format in this bundle called 'onx'") as caught:
        names(["onx"])
    assert "onnx" in caught.value.hint
    with pytest.raises(UnknownName, match="called 'executorch'"):
        names(["executorch"])


def test_a_model_that_answers_nan(tmp_path, pictures):
    bundle = make(tmp_path / "b", {"lite": net(bias=float("nan"))})
    with pytest.raises(RunError, match="lite answered with NaN"):
        evaluate(bundle, pictures)


# The command


FIELDS = {"format", "images", "top1", "top5", "agreement", "sqnr_db", "images_per_second"}


def test_json_is_one_object_and_nothing_else(tiny, pictures, capfd):
    assert run(["eval", str(tiny.path), "--images", str(pictures), "--json", "--limit", "4"]) == 0
    found = json.loads(capfd.readouterr().out)
    assert found.keys() == {"results"}
    assert [set(row) for row in found["results"]] == [FIELDS] * 3
    assert [row["format"] for row in found["results"]] == ["reference", "lite", "onnx"]
    assert all(row["images"] == 4 for row in found["results"])
    assert found["results"][0]["sqnr_db"] is None


def test_the_table_and_the_result_file(tiny, pictures, tmp_path, capsys):
    file = tmp_path / "sub" / "result.json"
    arguments = ["--images", str(pictures), "--format", "lite, onnx", "-o", str(file)]
    assert run(["eval", str(tiny.path), *arguments]) == 0
    table = capsys.readouterr().out
    assert all(word in table for word in ("reference", "lite", "onnx", "top-1 %", "set"))
    result = store.read(file)
    assert result.kind == "accuracy"
    assert result.left_out == 0
    assert [r.format for r in result.rows] == ["reference", "lite", "onnx"]
    assert str(tmp_path) not in file.read_text()


def test_notes_go_to_stderr(tmp_path, capsys):
    from kit.images import digest, open_set

    root = draw(tmp_path / "set", 3, lambda i: f"photo{i}.png")
    seen = [digest(open_set(root).pictures[0])]
    bundle = make(tmp_path / "b", {"lite": net()}, calibration=seen)
    assert run(["eval", str(bundle.path), "--images", str(root), "--json"]) == 0
    output = capsys.readouterr()
    assert "left out 1 picture that calibrated the bundle" in output.err
    assert "no labels were found" in output.err
    assert json.loads(output.out)["results"][0]["top1"] is None


def test_what_is_refused_is_one_sentence_with_a_hint(tiny, pictures, tmp_path, capsys):
    def refused(code: int, says: str, *arguments: str) -> None:
        assert run(["eval", *arguments]) == code
        output = capsys.readouterr()
        assert output.out == ""
        message, hint = output.err.strip().splitlines()[-2:]
        assert says in message
        assert hint.startswith("hint: ")
        assert "Traceback" not in output.err

    path, images = str(tiny.path), ["--images", str(pictures)]
    broken = draw(tmp_path / "broken", 2, lambda i: f"000{i}_a.png")
    data = (broken / "0001_a.png").read_bytes()
    (broken / "0001_a.png").write_bytes(data[: len(data) // 2])
    (tmp_path / "empty").mkdir()
    refused(3, "0001_a.png is damaged", path, "--images", str(broken))
    refused(3, "there are no pictures", path, "--images", str(tmp_path / "empty"))
    refused(3, "there is no folder or zip", path, "--images", str(tmp_path / "gone"))
    refused(3, "cannot read", path, *images, "--labels", str(tmp_path / "gone.csv"))
    refused(2, "'tflite'", path, *images, "--format", "tflite")
    refused(2, "the limit 0", path, *images, "--limit", "0")
    refused(2, "--images", path)
    refused(4, "is not a bundle", str(tmp_path / "gone"), *images)


def test_a_flipped_byte_in_the_bundle_is_found(tiny, pictures, tmp_path):
    copy = tmp_path / "copy"
    shutil.copytree(tiny.path, copy)
    data = bytearray((copy / "model.onnx").read_bytes())
    data[len(data) // 2] ^= 1
    (copy / "model.onnx").write_bytes(data)
    with pytest.raises(BundleError, match=r"model\.onnx in .* was altered"):
        evaluate(copy, pictures)


def test_the_docs_name_every_option():
    from kit.commands.eval import command

    text = (Path(__file__).parents[1] / "docs" / "eval.md").read_text(encoding="utf-8")
    named = [option for parameter in command.params for option in parameter.opts]
    missing = [option for option in named if f"`{option}" not in text.replace("BUNDLE", "bundle")]
    assert missing == []
    assert all(f"`{name}`" in text for name in FIELDS)


# The real thing


@pytest.mark.slow
@pytest.mark.skipif(not SHARED.is_dir(), reason="needs ../shared/data")
def test_official_mobilenet_v2_on_500_pictures(tmp_path):
    from kit.images.labels import imagenet_categories
    from kit.models import mobilenet_v2
    from kit.models._weights import load_into, read_state

    spec = mobilenet_v2.SPEC
    model = mobilenet_v2.build(1.0, 1000)
    load_into(model, read_state(SHARED / "mobilenet_v2-b0353104.pth"), "official")
    bundle = make(
        tmp_path / "b",
        {"onnx": model},
        labels=imagenet_categories(),
        reference=model,
        pre=Preprocessing(resize=256, crop=224, mean=spec.mean, std=spec.std),
        classes=1000,
    )
    reference, onnx = evaluate(bundle, SHARED / "imagenet-500.zip").rows
    assert reference.images == 500
    assert reference.top1 == pytest.approx(0.83, abs=0.02)
    assert reference.top5 > 0.94
    assert onnx.agreement >= 0.998
    assert onnx.sqnr_db > 80
