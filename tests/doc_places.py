"""The folder that the pages assume, with small files, and small networks in place of theirs."""

from __future__ import annotations

import csv
import json
import re
import runpy
import shutil
import zipfile
from collections.abc import Iterable
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from doc_blocks import ROOT, Block, Command, list_blocks
from PIL import Image
from small_net import make as make_net
from text_models import draw_sentences, write_tokenizer

TESTS = ROOT / "tests"
NETWORKS = {
    "image-segmentation": ["picture_models.py:Maps"],
    "embedding": ["picture_models.py:Vector"],
    "text-classification": ["doc_networks.py:Words", "--tokens", "16"],
    "tensors": ["doc_networks.py:Words"],
}
# The search for ranges and corrections would take most of the time.
QUICK = ["--observer", "minmax", "--corrections", "none", "--calibration-images", "8"]
SMALL = ["small_net.py:make", "--input", "32"]
CLASSES = {
    "docs/detection.md": 2,
    "docs/segmentation.md": 3,
    "docs/text.md": 2,
    "docs/examples/own-network.md": 3,
}
# Values for limits that an untrained network misses, and for processors that are not here.
VALUES = {
    "--max-drop": "100",
    "--min-agreement": "0",
    "--max-slower": "1000",
    "--processor": "host",
    "--keep-float": "0",  # the first layer of the small network
}
ONNX = {"docs/onnx.md", "docs/precisions.md"}  # pages whose commands apply only to ONNX
BLOCKS = """
from torch import nn


def Block(inputs, outputs):
    return nn.Sequential(nn.Conv2d(inputs, outputs, 3, 2), nn.ReLU())
"""


def stand_in(command: Command) -> list[str]:
    """Return the words of a command of kit, for a small network and a format that is fast to build.

    Lowering to Lite takes a third of the time of ONNX.
    """
    name, *rest = command.words[1:]
    blocks = [block for block in list_blocks() if block.page == command.block.page]
    own = {block.file for block in blocks if not block.note}
    needs_onnx = command.block.page in ONNX or not {"--dynamic", "fp16,int8"}.isdisjoint(rest)
    use = "onnx" if needs_onnx else "lite"
    words = [name]
    for before, word in pairwise(["", *rest]):
        if before == "--format":
            words.append(_choose_format(word, use))
        elif before in VALUES:
            words.append(VALUES[before])
        elif name in ("build", "run", "analyze") and (
            word == "mobilenet_v2" or (".py:" in word and word.partition(":")[0] not in own)
        ):
            task = rest[rest.index("--task") + 1] if "--task" in rest else ""
            file, *options = NETWORKS.get(task, SMALL)
            words += [str(TESTS / file), *options]
        else:
            words += sorted(map(str, Path().glob(word))) if "*" in word else [word]
    if name in ("build", "run") and "--format" not in rest and "--recipe" not in rest:
        words += ["--format", use]
    if name == "build":
        words += _list_quick(words)
    elif (name, *rest[:1]) == ("cache", "clear"):
        words.append("--yes")
    elif name == "run":
        words += [*QUICK[-2:], "--quick"]  # which verifies on this processor only
    return words


def _list_quick(words: list[str]) -> list[str]:
    """Return the options of a quick build, without those that it refuses as unused."""
    given = dict(pairwise(words))
    precisions = given.get("--precision", "int8").split(",")
    if given.get("--quantize", "static") not in ("static", "qat") or "int8" not in precisions:
        return QUICK[-2:]
    return QUICK[2:] if "--encodings" in given else QUICK


def _choose_format(text: str, use: str) -> str:
    """Replace each format in names of formats or files by one; keep no backend but onnx/ort."""
    if use == "onnx":
        text = re.sub(r"onnx([/-])ort", r"ORT\1", text)
    text = re.sub(r"(executorch|onnx|litert|coreml|lite)(/\w+)?", use, text)
    text = re.sub(r"ORT([/-])", r"onnx\1ort", text)
    return ",".join(dict.fromkeys(text.split(",")))


def stand_in_python(text: str) -> str:
    """Return the text of a python or toml block, for a small network and Lite."""
    network = f'"{TESTS / "small_net.py"}:make"'
    small = text.replace('("mobilenet_v2", quantize', f"({network}, resolution=32, quantize")
    small = small.replace('model = "mobilenet_v2"', f"model = {network}")
    small = re.sub('"(executorch|onnx)"', '"lite"', small)
    return small.replace('["lite", "lite"]', '["lite"]')


def fill_place(folder: Path) -> None:
    """Write what readers bring: pictures with labels, masks and boxes, texts, samples, weights."""
    random = np.random.default_rng(0)
    names = [f"{number % 7}_{number}" for number in range(48)]
    _write_pictures(folder / "pictures", names, (32, 32, 3), 256)
    _write_pictures(folder / "masks", names, (32, 32), 3)
    shutil.copy(folder / "pictures/0_0.png", folder / "photo.jpg")
    with zipfile.ZipFile(folder / "pictures.zip", "w") as archive:
        for name in names:
            archive.write(folder / "pictures" / f"{name}.png", f"pictures/{name}.png")
    _write_boxes(folder / "annotations.json", names)
    texts = [(text, "yes" if "good" in text else "no") for text in draw_sentences(60)]
    for name in ("sentences.csv", "test.csv", "texts.csv"):
        with (folder / name).open("w", encoding="utf-8", newline="") as file:
            csv.writer(file).writerows([("text", "label"), *texts])
    write_tokenizer(folder / "tokenizer.json")
    (folder / "samples").mkdir()
    for number in range(24):
        ids = random.integers(0, 16, (1, 12))
        arrays = {"input_ids": ids, "attention_mask": np.ones_like(ids)}
        np.savez(folder / f"samples/{number}.npz", **arrays)
    weights = make_net().state_dict()
    for name in ("mine.pth", "model.pth"):
        torch.save(weights, folder / name)
    torch.save({"state_dict_ema": weights}, folder / "last.ckpt")
    (recipe,) = (b for b in list_blocks() if (b.page, b.language) == ("docs/build.md", "toml"))
    (folder / "recipe.toml").write_text(stand_in_python(recipe.text), encoding="utf-8")


def fill_page(page: str, blocks: Iterable[Block]) -> None:
    """Write the files of a page to the current folder, and those that it mentions."""
    labels = {"docs/text.md": ["no", "yes"]}.get(page) or [
        f"class {number}" for number in range(CLASSES.get(page, 7))
    ]
    for name in ("names.txt", "labels.txt"):
        Path(name).write_text("\n".join(labels) + "\n", encoding="utf-8")
    for block in blocks:
        if block.file and not block.note:
            Path(block.file).write_text(block.text, encoding="utf-8")
    if page == "docs/own-model.md":
        Path("blocks.py").write_text(BLOCKS, encoding="utf-8")
        _write_weights(next(block.text for block in blocks if block.file))
    if page == "docs/examples/own-network.md":
        example = shutil.copy(ROOT / "docs/examples/own_network.py", ".")
        torch.save(runpy.run_path(example)["make"]().state_dict(), "weights.pth")
        for file in sorted(Path("pictures").glob("[3-6]_*.png")):  # its network has three classes
            label, number = file.stem.split("_")
            file.rename(f"pictures/{int(label) % 3}_{number}.png")
    if page == "docs/examples/continuous-integration.md":
        for half, pattern in (("test", "*_*[02468].png"), ("calibration", "*_*.png")):
            Path("pictures", half).mkdir()
            for file in Path("pictures").glob(pattern):
                file.rename(Path("pictures", half, file.name))


def _write_weights(code: str) -> None:
    """Write the file of weights that a page's network reads, with the network's initial weights."""
    names: dict[str, Any] = {}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(torch, "load", lambda file: {})
        patch.setattr(torch.nn.Module, "load_state_dict", lambda network, weights: None)
        exec(code, names)
        network = names["make"]()
    torch.save(network.state_dict(), "trained.pth")


def _write_pictures(folder: Path, names: Iterable[str], shape: tuple[int, ...], top: int) -> None:
    random = np.random.default_rng(0)
    folder.mkdir()
    for name in names:
        pixels = random.integers(0, top, shape, np.uint8)
        Image.fromarray(pixels).save(folder / f"{name}.png")


def _write_boxes(file: Path, names: Iterable[str]) -> None:
    pictures = [
        {"id": number, "file_name": f"{name}.png", "width": 32, "height": 32}
        for number, name in enumerate(names)
    ]
    boxes = [
        {"id": n + 1, "image_id": n, "category_id": 1 + n % 2, "bbox": [4, 4, 20, 20], "iscrowd": 0}
        for n in range(len(pictures))
    ]
    classes = [{"id": number + 1, "name": f"class {number}"} for number in range(2)]
    text = json.dumps({"images": pictures, "annotations": boxes, "categories": classes})
    file.write_text(text, encoding="utf-8")
