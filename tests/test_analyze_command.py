"""`kit analyze` on the command line: bundles, user models, and output files."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
from bundle_samples import make, net
from conftest import rewrite

from kit import cli, recipe_input
from kit.analysis import page
from kit.commands.common import study
from kit.errors import BundleError, OutputError
from kit.json_outputs import read_output

MODEL = f"{Path(__file__).parent / 'analysis_samples.py'}:net"  # 3x32x32, 10 classes
FAST = ["--observer", "minmax", "--corrections", "none", "--calibration-images", "4"]


@pytest.fixture
def own_bundle(tiny_bundle, tmp_path):
    """Return a function that writes a bundle with a given recipe in its manifest."""

    def write(**fields: Any) -> Path:
        made = recipe_input.make_recipe(**{"model": MODEL, "resolution": 32, **fields})

        def change(manifest: dict[str, Any]) -> None:
            manifest["recipe"], manifest["recipe_hash"] = made, made.hash

        return rewrite(tiny_bundle, tmp_path / "own", {}, change).path

    return write


def analyze(capsys, *arguments: str | Path) -> tuple[int, str, str]:
    code = cli.run(["analyze", *map(str, arguments)])
    out, err = capsys.readouterr()
    assert "Traceback" not in err
    return code, out, err


@pytest.mark.slow
def test_a_bundle_of_a_user_model_is_analyzed(own_bundle, capsys):
    code, out, err = analyze(capsys, own_bundle(), *FAST, "--json")
    assert code == 0, err
    read_output("analyze", out)
    result = json.loads(out)
    assert result["weights"] == f"own model {MODEL}"
    assert result["layers"]


@pytest.mark.slow
def test_a_user_model_with_labels_and_normalization_is_analyzed(tmp_path, capsys):
    labels, page_file = tmp_path / "labels.txt", tmp_path / "new" / "page.html"
    labels.write_text("".join(f"thing {i}\n" for i in range(10)))
    code, out, err = analyze(
        capsys, MODEL, *FAST, "--input", "3x32x32", "--labels", labels, "--mean", "0.5,0.5,0.5",
        "--std", "0.25,0.25,0.25", "-o", page_file,
    )  # fmt: skip
    assert code == 0, err
    assert "1.filter.0" in out
    assert "1.filter.0" in page_file.read_text(encoding="utf-8")
    labels.write_text("one\ntwo\n")
    code, out, err = analyze(capsys, MODEL, *FAST, "--input", "32", "--labels", labels)
    assert (code, out) == (3, "")
    assert "names 2 classes" in err


def test_a_network_without_layers_has_nothing_to_repair(tmp_path, capsys):
    """No command divides by its zero multiply-adds."""
    file = tmp_path / "odd [/bold] name" / "pool.py"  # rich would interpret the name as markup
    file.parent.mkdir(parents=True)
    file.write_text(
        "from torch import nn\n\n\nclass Pool(nn.Module):\n"
        "    def forward(self, x):\n        return x.mean((2, 3))\n"
    )
    code, out, err = analyze(capsys, f"{file}:Pool", *FAST, "--input", "32")
    assert code == 0, err
    assert "".join(str(file).split()) in "".join(out.split())  # long lines are wrapped
    assert analyze(capsys, f"{file}:Pool", *FAST, "--weights", "imagenet")[0] == 3
    for words in ([], ["--full", "--per-layer"], ["--json"]):
        assert cli.run(["cost", f"{file}:Pool", "--input", "32", *words]) == 0
        assert "0" in capsys.readouterr().out


# Recipes


def test_options_change_the_recipe_of_a_bundle(own_bundle):
    folder = str(own_bundle(mean=(0.5, 0.5, 0.5), seed=3))
    made = study.resolve_recipe(
        folder, {"std": (0.5, 0.5, 0.5), "seed": None, "keep_float": "5, 0.0"}
    )
    assert (made.model, made.weights, made.seed) == (MODEL, "own", 3)
    assert (made.mean, made.std) == ((0.5,) * 3, (0.5,) * 3)
    assert made.keep_float == ("5", "0.0")


def test_a_missing_label_file_is_replaced_by_the_bundles_labels(tmp_path):
    made = recipe_input.make_recipe(MODEL, resolution=32, labels=str(tmp_path / "gone.txt"))

    def change(manifest: dict[str, Any]) -> None:
        manifest["recipe"] = made

    named = make(tmp_path / "named", {"lite": net()}, labels=list("abcdefg"))
    built = rewrite(named, tmp_path / "own", {}, change).path
    assert study.resolve_recipe(str(built), {}).labels == str(built / "labels.txt")
    (tmp_path / "gone.txt").write_text("a\nb\n")
    assert study.resolve_recipe(str(built), {}).labels == str(tmp_path / "gone.txt")


def test_missing_sources_of_a_bundle_are_named(own_bundle, tmp_path):
    file = tmp_path / "net.py"
    file.write_text("")
    folder = str(own_bundle(model=f"{file}:f", calibrate="/gone/pictures", weights="/gone/w.pth"))
    with pytest.raises(BundleError, match=r"with the pictures /gone/pictures.*no longer") as caught:
        study.resolve_recipe(folder, {})
    assert "--calibrate" in caught.value.hint
    with pytest.raises(BundleError, match=r"with the weights /gone/w\.pth"):
        study.resolve_recipe(folder, {"calibrate": str(tmp_path)})
    assert study.resolve_recipe(folder, {"calibrate": str(tmp_path), "weights": str(file)})
    file.unlink()
    with pytest.raises(BundleError, match=r"was built from .*net\.py, which is not there"):
        study.resolve_recipe(folder, {"calibrate": str(tmp_path), "weights": str(tmp_path)})


# Output files


@pytest.mark.parametrize("name", ["file.txt/x.html", "file.txt/deep/x.html", "pipe"])
def test_an_unwritable_output_is_refused_before_the_analysis(tmp_path, capsys, monkeypatch, name):
    monkeypatch.setattr(study, "run", lambda *_: pytest.fail("minutes were spent before"))
    (tmp_path / "file.txt").write_text("mine")
    os.mkfifo(tmp_path / "pipe")
    code, out, err = analyze(capsys, "mobilenet_v2", "-o", tmp_path / name)
    assert (code, out) == (7, "")
    assert f"cannot write {tmp_path / name}" in err
    assert sorted(p.name for p in tmp_path.iterdir()) == ["file.txt", "pipe"]


def test_the_table_is_printed_even_if_writing_the_page_fails(tmp_path, capsys, monkeypatch):
    def full(*_: object) -> None:
        raise OutputError("the disk is full", "make space")

    monkeypatch.setattr(page, "write", full)
    words = [MODEL, *FAST, "--input", "32", "-o", tmp_path / "page.html"]
    code, out, _ = analyze(capsys, *words)
    assert code == 7
    assert "1.filter.0" in out


def test_a_page_below_a_file_is_an_error(tmp_path, monkeypatch):
    monkeypatch.setattr(page, "render", lambda *_: "<html>")
    (tmp_path / "file").write_text("mine")
    with pytest.raises(OutputError, match=r"cannot write .*file/x\.html"):
        page.write(tmp_path / "file" / "x.html", None, {}, None, "")
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(OutputError, match="it is a FIFO, not a file"):
        page.write(tmp_path / "pipe", None, {}, None, "")


@pytest.mark.parametrize("option", ["--width", "--speed-up"])
@pytest.mark.parametrize("value", ["nan", "inf", "-inf"])
def test_numbers_that_are_not_finite_are_refused(option, value, capsys):
    code, _, err = analyze(capsys, "mobilenet_v2", f"{option}={value}")
    assert code == 2
    assert "not a finite number" in err
