"""Several files of one format in a bundle: keys, names and contents."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from bundle_samples import SMALL_NET
from conftest import FAST
from picture_samples import encode, fill, noise

import kit
from kit import accuracy, cli, formats
from kit.app import packing
from kit.artifact_key import FLOAT_MODEL, ArtifactKey, derive_precision, parse_target
from kit.bench import measure
from kit.bundles.bundle import Bundle
from kit.comparison import compute_sqnr_db
from kit.errors import BundleError, RecipeError, UnknownName
from kit.formats.interface import Backend
from kit.formats.onnx import FORMAT as onnx
from kit.pipeline import Gate
from kit.results import store

NAMES = ["lite-fp32", "lite-int8", "onnx-fp32", "onnx-int8", "onnx-plain-fp32"]


class Plain(Backend):
    """A backend that exports like ONNX's default one, in float only."""

    name = "plain"
    summary = "the same kernels under another name"
    flow = "pt2e-u8"
    precisions = ("fp32",)

    def export(self, model, example, path: Path) -> None:
        onnx.export(model, example, path)


@pytest.fixture(scope="module", autouse=True)
def plain_backend():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(type(onnx), "backends", (Plain(),))
        yield


@pytest.fixture(scope="module")
def built(lowered_here, tmp_path_factory) -> Bundle:
    """Build a small network with corrections, in both precisions and with a second backend."""
    folder = tmp_path_factory.mktemp("keys")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("KIT_CACHE", str(folder / "cache"))
        both = kit.make_recipe(
            SMALL_NET,
            **{"resolution": 32, "formats": ("lite", "onnx"), "precisions": ("fp32", "int8")},
        )
        bundle = kit.build(both, folder / "both")
        float_only = both.model_copy(
            update={"formats": ("onnx/plain",), "quantize": "none", "precisions": None}
        )
        plain = kit.build(float_only, folder / "plain")
    return _merge(bundle, plain, folder / "merged")


def _merge(bundle: Bundle, other: Bundle, target: Path) -> Bundle:
    """Return a copy of the first bundle with the artifacts of both."""
    from conftest import rewrite

    names = [key.name for key in other.manifest.artifact_keys]
    golden = other.manifest.golden
    arrays = [f for n in names for f in (*golden.outputs[n], *golden.graphs[n])]
    files = [a.file for a in other.manifest.artifacts] + arrays

    def change(fields) -> None:
        fields["artifacts"] = (*fields["artifacts"], *other.manifest.artifacts)
        own = fields["golden"]
        outputs = {**own.outputs, **{n: golden.outputs[n] for n in names}}
        graphs = {**own.graphs, **{n: golden.graphs[n] for n in names}}
        fields["golden"] = own.model_copy(update={"outputs": outputs, "graphs": graphs})

    return rewrite(bundle, target, {f: (other.path / f).read_bytes() for f in files}, change)


def _pictures(folder: Path, count: int = 4) -> Path:
    for number in range(count):
        fill(folder / "pictures", f"{number}.png", data=encode(noise(40, 40 + number)))
    return folder / "pictures"


# Keys


def test_names_derive_from_keys():
    assert ArtifactKey("onnx", "int8").name == "onnx-int8"
    key = ArtifactKey("executorch", "fp16", "vulkan")
    assert (key.name, key.name_file(".pte")) == (
        "executorch-vulkan-fp16",
        "model-vulkan-fp16.pte",
    )
    assert FLOAT_MODEL.name == "reference"
    assert [derive_precision(method) for method in ("none", "static", "qat")] == [
        "fp32",
        "int8",
        "int8",
    ]


def test_targets_are_a_format_with_an_optional_backend():
    assert parse_target("onnx") == ("onnx", None)
    assert parse_target("executorch/vulkan") == ("executorch", "vulkan")
    for wrong in ("", "/vulkan", "onnx/", "onnx/a/b", "onnx x", "onnx/../x"):
        with pytest.raises(RecipeError, match="is not a format"):
            parse_target(wrong)


@pytest.mark.parametrize(
    ("fields", "error", "message"),
    [
        ({"precisions": ("fp8",)}, UnknownName, "no precision called 'fp8'"),
        ({"precisions": ()}, RecipeError, "name at least one precision"),
        ({"precisions": ("int8",), "quantize": "none"}, RecipeError, "none gives fp32"),
        ({"precisions": ("fp16",)}, RecipeError, "lite has no fp16 files"),
        ({"formats": ("onnx/plain",)}, RecipeError, "onnx/plain has no int8 files"),
        ({"formats": ("onnx/gpu",)}, UnknownName, "no backend of onnx called 'gpu'"),
        ({"formats": ("lite/gpu",)}, UnknownName, "lite has no backend 'gpu'"),
        ({"formats": ("onx/plain",)}, UnknownName, "no format called 'onx'"),
    ],
)
def test_invalid_targets_are_refused_before_the_build(fields, error, message, tmp_path):
    with pytest.raises(error, match=message) as caught:
        kit.build(kit.make_recipe("mobilenet_v2", weights="random", **fields), tmp_path / "b")
    assert caught.value.hint
    assert not list(tmp_path.iterdir())


def test_precisions_are_part_of_the_hash_and_of_the_command_line():
    from kit.commands.common.build_line import format_build_line

    plain = kit.make_recipe("mobilenet_v2")
    both = kit.make_recipe("mobilenet_v2", precisions=("fp32", "int8", "fp32"))
    assert both.precisions == ("fp32", "int8")
    assert both.hash != plain.hash
    assert format_build_line(both) == "kit build mobilenet_v2 --precision fp32,int8"


# A bundle of several files of one format


@pytest.mark.slow
def test_every_file_has_a_name_answers_and_parity(built):
    manifest = built.manifest
    assert [artifact.name for artifact in manifest.artifacts] == NAMES
    assert [artifact.file for artifact in manifest.artifacts] == [
        *("model-fp32.ptl", "model-int8.ptl", "model-fp32.onnx", "model-int8.onnx"),
        "model-plain-fp32.onnx",
    ]
    assert set(manifest.golden.outputs) == {"reference", *NAMES}
    assert set(manifest.golden.graphs) == set(NAMES)
    assert [artifact.quantize for artifact in manifest.artifacts] == [
        *("none", "static", "none", "static", "none"),
    ]
    assert all(artifact.parity for artifact in manifest.artifacts)
    (ended,) = [notice for notice in manifest.notices if notice.code == "format.ended"]
    assert (ended.values["format"], ended.values["successor"]) == ("lite", "executorch")


@pytest.mark.slow
def test_float_files_have_the_uncorrected_weights(built):
    """A float file of the corrected weights would reach an SQNR of only 64 dB."""
    golden = built.manifest.golden
    right = built.read_answers(golden.outputs["reference"]).arrays[0]
    for name in ("lite-fp32", "onnx-fp32"):
        ratio = compute_sqnr_db(right, built.read_answers(golden.outputs[name]).arrays[0])
        assert ratio is None or ratio > 80, name
    for name in ("lite-int8", "onnx-int8"):
        ratio = compute_sqnr_db(right, built.read_answers(golden.outputs[name]).arrays[0])
        assert ratio is not None
        assert ratio < 60, name


@pytest.mark.slow
def test_a_format_selects_its_files_and_is_ambiguous_for_one_file(built):
    manifest = built.manifest
    assert [key.name for key in manifest.select(["onnx", "lite-int8"])] == NAMES[1:]
    assert manifest.artifact("lite-int8").file == "model-int8.ptl"
    with pytest.raises(BundleError, match="the bundle has 3 onnx files") as caught:
        built.file("onnx")
    assert "onnx-fp32, onnx-int8, onnx-plain-fp32" in caught.value.hint
    with pytest.raises(BundleError, match="has no onnx-fp16 file"):
        manifest.select(["onnx-fp16"])


@pytest.mark.slow
def test_each_file_is_measured_evaluated_and_verified(built, tmp_path, capsys):
    result = measure.measure(built, ["onnx", "reference"], FAST)
    assert [run.name for run in result.runs] == [*NAMES[2:], "reference"]
    assert [run.precision for run in result.runs] == ["fp32", "int8", "fp32", "fp32"]
    digests = {run.name: run.artifact_sha256 for run in result.runs}
    assert digests["onnx-int8"] == built.manifest.files["model-int8.onnx"].sha256
    store.write(result, tmp_path / "latency.json")
    verified = kit.verify_processors(built)
    assert [(row.name, row.passed) for row in verified.rows] == [(name, True) for name in NAMES]
    assert cli.run(["report", str(tmp_path / "latency.json"), "-o", str(tmp_path / "r")]) == 0
    page = (tmp_path / "r" / "report.md").read_text(encoding="utf-8")
    for label in ("fp32 .onnx", "int8 .onnx", "fp32 plain .onnx"):
        assert label in page
    assert cli.run(["bench", str(built.path), "--format", "onnx-fp64"]) == 2
    assert "no format called 'onnx-fp64'" in capsys.readouterr().err


@pytest.mark.slow
def test_rows_of_an_evaluation_have_artifact_names(built, tmp_path, evaluated_here):
    pictures = _pictures(tmp_path)
    rows = accuracy.evaluate(built, pictures, formats=["lite", "onnx-plain-fp32"]).rows
    assert [row.name for row in rows] == ["reference", "lite-fp32", "lite-int8", "onnx-plain-fp32"]
    agreement = {row.name: row.agreement for row in rows}
    assert agreement["lite-fp32"] == agreement["onnx-plain-fp32"] == 1


@pytest.mark.slow
def test_the_app_contains_every_file_of_its_runtimes(built):
    (packed,) = packing.choose([built], ["onnx"])
    assert [key.name for key in packed.keys] == NAMES[2:]
    assert packed.formats == ("onnx",)
    assert {"model-fp32.onnx", "model-int8.onnx", "golden/onnx-int8.npy"} <= set(packed.files)
    assert not any("lite" in name or name.endswith(".ptl") for name in packed.files)


@pytest.mark.slow
def test_the_gate_rejects_one_file_and_keeps_the_others(lowered_here, tmp_path, monkeypatch):
    """An int8 file with wrong answers fails; the float file of the format stays."""
    from kit.formats.isolated import IsolatedSession

    predict = IsolatedSession.predict
    count = iter(range(10**6))

    def wrong(session, samples):
        answers, ns = predict(session, samples)
        if session.name == "onnx-int8":
            rng = np.random.default_rng(next(count))
            other = tuple(rng.normal(size=a.shape).astype(a.dtype) for a in answers.arrays)
            answers = type(answers)(answers.specs, other)
        return answers, ns

    monkeypatch.setenv("KIT_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(IsolatedSession, "predict", wrong)
    recipe = kit.make_recipe(
        SMALL_NET,
        **{"resolution": 32, "formats": ("onnx",), "precisions": ("fp32", "int8")},
    )
    gate = Gate(min_agreement=70.0, images=_pictures(tmp_path, 16))
    manifest = kit.build(recipe, tmp_path / "out", gate=gate).manifest
    assert [artifact.name for artifact in manifest.artifacts] == ["onnx-fp32"]
    assert [(one.name, one.stage) for one in manifest.failed] == [("onnx-int8", "gate")]
    assert manifest.gate is not None
    assert [row.name for row in manifest.gate.rows] == ["onnx-fp32"]
    assert set(manifest.golden.outputs) == {"reference", "onnx-fp32"}
    assert not (tmp_path / "out" / "model-int8.onnx").exists()


def test_list_shows_backends(capsys):
    assert cli.run(["list"]) == 0
    shown = capsys.readouterr().out
    assert "onnx/plain" in shown
    assert formats.get_format("onnx").find_backend("plain").summary in shown
