"""A failed format does not affect the others, and every output names it."""

from __future__ import annotations

import json
import pickle
from pathlib import Path

import pytest
from bundle_samples import SMALL_NET
from conftest import rewrite
from shared_builds import negate

import kit
from kit import cache, cli, lowering_job
from kit.bundles import loading
from kit.errors import PARTIAL, BundleError, VerificationFailed
from kit.manifest.artifacts import Comparison, FailedArtifact
from kit.pipeline import parity
from kit.report.write import write
from kit.results import store

LINE = ["build", SMALL_NET, "--input", "32", "--observer", "percentile",
        "--corrections", "none", "--format", "lite,onnx"]  # fmt: skip


@pytest.fixture
def faulty(lowered_here, monkeypatch, tmp_path):
    """Negates ONNX Runtime's answers, as no installed runtime is faulty."""
    monkeypatch.setenv("KIT_CACHE", str(tmp_path / "cache"))
    real = lowering_job.read_answer

    def negated(job_file: Path):
        if job_file.name == "onnx-int8.json":
            negate(job_file)
        return real(job_file)

    monkeypatch.setattr(lowering_job, "read_answer", negated)


@pytest.mark.slow
def test_a_partial_bundle_has_passed_files_and_names_failures(faulty, tmp_path, capsys):
    target = tmp_path / "out"
    assert cli.run([*LINE, "-o", str(target)]) == PARTIAL == 10
    shown = capsys.readouterr()
    assert (
        "onnx-int8 failed: onnx-int8 does not compute what the quantized graph computes"
        in shown.err
    )
    assert [line.split()[1:4] for line in shown.out.splitlines() if "onnx" in line] == [
        ["onnx-int8", "│", "failed"]
    ]
    built = kit.load_bundle(target)
    assert [a.format for a in built.manifest.artifacts] == ["lite"]
    assert list(built.manifest.qconfig) == ["lite-int8"]
    (failure,) = built.manifest.failed
    assert (failure.format, failure.stage) == ("onnx", "verification")
    assert not list(target.rglob("*onnx*"))
    with pytest.raises(BundleError, match="no onnx file: its verification failed"):
        kit.measure(built, ["onnx"])
    # The file itself is right: its float arithmetic agrees with the graph.
    assert "the same file computed in float: agreement" in failure.reason
    assert "run by onnxruntime" in failure.reason
    assert failure.hint.startswith("the file is right")
    assert not cache.get_folder().exists() or not list(cache.get_folder().glob("[!.]*"))


@pytest.mark.slow
def test_all_or_nothing_writes_nothing(faulty, tmp_path, capsys):
    target = tmp_path / "out"
    assert cli.run([*LINE, "-o", str(target), "--all-or-nothing"]) == 5
    assert "onnx-int8 does not compute" in capsys.readouterr().err
    assert not target.exists()


@pytest.mark.slow
def test_a_bundle_without_a_file_is_an_error(faulty, tmp_path):
    recipe = kit.make_recipe(SMALL_NET, resolution=32, observer="percentile", formats=("onnx",))
    with pytest.raises(VerificationFailed, match="onnx-int8 does not compute") as caught:
        kit.build(recipe, tmp_path / "out")
    (row,) = pickle.loads(pickle.dumps(caught.value)).rows  # our own
    assert (row["name"], row["against"], row["passed"]) == ("onnx-int8", "quantized graph", False)
    assert row["sqnr_db"] < 0
    assert not (tmp_path / "out").exists()


@pytest.fixture(scope="module")
def partial(tiny_bundle, tmp_path_factory):
    """The tiny bundle without its ONNX file, recorded as failed."""

    def change(fields) -> None:
        fields["artifacts"] = tuple(a for a in fields["artifacts"] if a.format == "lite")
        reason = "ONNX Runtime cannot run it\n  with a second line"
        fields["failed"] = (
            FailedArtifact(
                format="onnx",
                precision="fp32",
                stage="lowering",
                reason=reason,
                hint="leave it out",
            ),
        )

    return rewrite(tiny_bundle, tmp_path_factory.mktemp("partial") / "partial", {}, change)


@pytest.mark.slow
def test_bench_names_failed_files_and_measures_the_others(partial, tmp_path, capsys):
    output = tmp_path / "result.json"
    assert cli.run(["bench", str(partial.path), "--quick", "-o", str(output)]) == 0
    note = "onnx-fp32 is not in the bundle, its build failed: ONNX Runtime cannot run it\n"
    assert note in capsys.readouterr().err
    result = store.read(output)
    assert [run.format for run in result.runs] == ["lite"]
    page = write([result], tmp_path / "report").markdown.read_text(encoding="utf-8")
    assert "**Failed to build: onnx-fp32 of partial.** ONNX Runtime cannot run it." in page


@pytest.mark.slow
def test_verify_names_failed_files(partial, capsys):
    assert cli.run(["verify", str(partial.path)]) == 0
    assert "onnx-fp32 is not in the bundle, its build failed" in capsys.readouterr().err


@pytest.mark.slow
def test_the_manifest_of_an_older_kit_has_no_failures(tiny_bundle, tmp_path):
    """Schema 1 has neither failed formats nor answers of graphs."""
    old = rewrite(tiny_bundle, tmp_path / "old", {})
    raw = json.loads((old.path / "bundle.json").read_text())
    raw["schema_version"] = 1
    del raw["failed"], raw["golden"]["graphs"]
    (old.path / "bundle.json").write_text(json.dumps(raw))
    loaded = loading.load_bundle(old.path)
    assert loaded.manifest.failed == ()
    assert kit.verify_processors(loaded).rows[0].passed


def comparison(against):
    return Comparison(against=against, images=1, max_abs=1, sqnr_db=1, agreement=0, passed=False,
                      thresholds={})  # fmt: skip


@pytest.mark.parametrize(
    ("changes", "against", "kernels", "message"),
    [
        ({}, "float reference", False, "calibrate with pictures like those the model will see"),
        ({}, "float reference", True, "the file is right"),
        ({}, "quantized graph", False, "the runtime or its exporter is at fault"),
        ({"quantize": "none"}, "float reference", False, "the runtime or its exporter is at fault"),
        ({"calibrate": "p"}, "float reference", False, "`kit analyze` says which layers"),
        (
            {"calibrate": "p", "granularity": "per-tensor"},
            "float reference",
            False,
            "quantize with one scale per channel",
        ),
        ({"quantize": "dynamic"}, "float reference", False, "use --quantize static"),
        (
            {"calibrate": "p", "task": "text-embedding", "tokenizer": "tokenizer.json"},
            "float reference",
            False,
            "activations of transformers have outliers",
        ),
    ],
)
def test_a_hint_suggests_no_option_that_is_set(changes, against, kernels, message):
    recipe = kit.make_recipe("mobilenet_v2", **changes)
    assert parity.choose_hint(recipe, recipe.quantize, comparison(against), kernels).startswith(
        message
    )


@pytest.mark.parametrize(
    ("sqnr_db", "weights", "quantize", "warned"),
    [
        ((6.2, 20.0), "imagenet", "static", 6.2),
        ((20.0, 6.2), "own", "qat", 6.2),
        ((16.0, None), "imagenet", "static", None),
        ((6.2,), "random", "static", None),
        ((6.2,), "imagenet", "none", None),
    ],
)
def test_a_passing_file_far_from_the_float_model_gets_a_warning(
    tiny_bundle, sqnr_db, weights, quantize, warned
):
    """The worst of several outputs counts; those of an untrained network are all far off."""
    artifact = tiny_bundle.manifest.artifacts[0].model_copy(update={"quantize": quantize})
    recipe = kit.make_recipe("mobilenet_v2").model_copy(update={"weights": weights})
    near = comparison("quantized graph")
    compared = [
        near.model_copy(update={"against": "float reference", "sqnr_db": db}) for db in sqnr_db
    ]
    notices = parity.warn_inaccurate(recipe, artifact, [near, *compared])
    assert [(n.code, n.values["sqnr"]) for n in notices] == (
        [] if warned is None else [("int8.inaccurate", warned)]
    )
