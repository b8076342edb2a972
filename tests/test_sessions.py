"""Other runtimes of a bundle's files: OpenVINO for ONNX."""

from __future__ import annotations

from importlib import metadata
from importlib.util import find_spec

import numpy as np
import pytest
from bundle_samples import draw_labelled
from conftest import FAST

import kit
from kit import cli, formats
from kit.bench import measure
from kit.bundles import loading
from kit.bundles.bundle import Bundle
from kit.errors import BuildError, BundleError, MissingTool, RunError, UnknownName, UsageError
from kit.formats.sessions import find_session, open_with
from kit.report import write as report
from kit.results import store

needs_openvino = pytest.mark.skipif(
    find_spec("openvino") is None, reason="the extra openvino is not installed"
)


@pytest.fixture
def installed(monkeypatch):
    """OpenVINO has a version, whether it is installed or not."""
    version = metadata.version
    monkeypatch.setattr(metadata, "version", lambda n: "9.9" if n == "openvino" else version(n))


def test_a_bundle_lists_its_onnx_files_under_the_session(tiny_bundle, installed):
    shown = open_with(tiny_bundle, "openvino", None)
    (artifact,) = shown.manifest.artifacts
    assert artifact.name == "openvino-fp32"
    assert (artifact.runtime.name, artifact.runtime.version) == ("openvino", "9.9")
    assert artifact.parity == ()
    assert shown.file("openvino-fp32") == tiny_bundle.file("onnx-fp32")
    assert store.find_digest(shown, "openvino") == store.find_digest(tiny_bundle, "onnx")
    assert store.find_runtime(shown, "openvino") == "openvino"
    outputs = tiny_bundle.manifest.golden.outputs
    assert shown.manifest.golden.outputs == {
        "openvino-fp32": outputs["onnx-fp32"],
        "reference": outputs["reference"],
    }
    assert [a.name for a in store.describe(shown).artifacts] == ["openvino-fp32"]


def test_files_of_onnx_runtimes_own_format_are_left_out(tiny_bundle, installed):
    manifest = tiny_bundle.manifest
    own = manifest.artifact("onnx-fp32").model_copy(update={"backend": "ort"})
    changes = {"artifacts": (*manifest.artifacts, own)}
    both = Bundle(tiny_bundle.path, manifest.model_copy(update=changes), tiny_bundle.hash)
    assert [one.name for one in open_with(both, "openvino", None).manifest.artifacts] == [
        "openvino-fp32"
    ]
    with pytest.raises(UsageError, match="cannot run onnx-ort-fp32"):
        open_with(both, "openvino", ["onnx-ort-fp32"])


@pytest.mark.parametrize(
    ("names", "error", "message"),
    [
        (["lite"], UsageError, "openvino runs onnx files, and cannot run lite-fp32"),
        (["onnx", "lite-fp32"], UsageError, "cannot run lite-fp32"),
        (["onnx-int8"], BundleError, "no onnx-int8 file"),
    ],
)
def test_files_that_openvino_cannot_run_are_named(names, error, message, tiny_bundle, installed):
    with pytest.raises(error, match=message):
        open_with(tiny_bundle, "openvino", names)


def test_a_bundle_without_an_onnx_file_is_refused(tiny_bundle, installed):
    manifest = tiny_bundle.manifest
    lite = manifest.model_copy(update={"artifacts": manifest.artifacts[:1]})
    lite_bundle = Bundle(tiny_bundle.path, lite, tiny_bundle.hash)
    with pytest.raises(UsageError, match="has no onnx file, which openvino could run"):
        open_with(lite_bundle, "openvino", None)


def test_an_unknown_session_and_a_missing_package_are_named(monkeypatch):
    with pytest.raises(UnknownName, match="no session called 'openvina'"):
        find_session("openvina")

    def find_no_version(name: str) -> str:
        raise metadata.PackageNotFoundError(name)

    monkeypatch.setattr(metadata, "version", find_no_version)
    with pytest.raises(MissingTool, match="openvino is not installed, which --session") as caught:
        find_session("openvino")
    assert caught.value.hint == "pip install 'mobile-deployment-kit[openvino]'"


@pytest.mark.parametrize("option", [["--device", "auto"], ["--profile"]])
def test_openvino_runs_only_here_and_has_no_profile(option, tiny_bundle, capsys):
    assert cli.run(["bench", str(tiny_bundle.path), "--session", "openvino", *option]) == 2
    assert "--session runs files on this machine" in capsys.readouterr().err


def test_openvino_is_no_format_of_a_build():
    assert "openvino" not in formats.list_formats()
    with pytest.raises(UnknownName):
        kit.make_recipe("mobilenet_v2", formats=("openvino",))
    with pytest.raises(BuildError, match="files of the format onnx"):
        formats.get_format("openvino").export(None, (), None)


@pytest.mark.slow
@needs_openvino
def test_openvino_gives_the_answers_of_onnx_runtime(tiny_bundle):
    path = tiny_bundle.file("onnx-fp32")
    session = formats.get_format("openvino").load(path, 1)
    expected = formats.get_format("onnx").load(path, 1)
    inputs = tiny_bundle.read_inputs()
    first, second = inputs[0], inputs[1]
    call = session.bind(first)
    for values in (first, second):
        (answer,) = session.read(session.bind(values)())
        (right,) = expected.read(expected.bind(values)())
        np.testing.assert_allclose(answer, right, atol=1e-5)
    (again,) = session.read(call())  # of its own inputs, whatever was bound since
    np.testing.assert_allclose(again, expected.read(expected.bind(first)())[0], atol=1e-5)
    for wrong in ((), first * 2, (first[0][:, :2],), (first[0].astype(np.float64),)):
        with pytest.raises(RunError, match="the file takes"):
            session.bind(wrong)


@pytest.mark.slow
@needs_openvino
def test_a_damaged_file_is_refused_in_one_sentence(tmp_path):
    path = tmp_path / "model.onnx"
    path.write_bytes(b"no model")
    with pytest.raises(BundleError, match=f"OpenVINO cannot load {path}") as caught:
        formats.get_format("openvino").load(path, 1)
    assert "\n" not in caught.value.message


@pytest.mark.slow
@needs_openvino
def test_results_distinguish_the_runtimes(tiny_bundle, tmp_path, evaluated_here):
    once = FAST.model_copy(update={"repeats": 1, "memory": False})
    shown = open_with(tiny_bundle, "openvino", None)
    own = measure.measure(tiny_bundle, ["onnx"], once)
    other = measure.measure(shown, None, once)
    (run,) = other.runs
    assert run.name == "openvino-fp32"
    assert run.runtime == f"openvino {metadata.version('openvino')}"
    assert run.artifact_sha256 == own.runs[0].artifact_sha256
    scored = kit.evaluate(shown, draw_labelled(tmp_path / "pictures"), limit=2)
    assert [row.name for row in scored.rows] == ["reference", "openvino-fp32"]
    assert scored.rows[1].runtime == run.runtime
    for order in ([own, other, scored], [scored, other, own]):
        text = report.write(order, tmp_path / "page").markdown.read_text()
        assert "**fp32 openvino**" in text
        assert "**fp32 .onnx**" in text
    assert loading.load_bundle(tiny_bundle.path).manifest == tiny_bundle.manifest
