"""`scripts/bench formats`: its builds, and peers' files evaluated as bundles of kit."""

from __future__ import annotations

import sys
from importlib import metadata
from pathlib import Path

import pytest
from bundle_samples import draw_labelled

SCRIPTS = Path(__file__).parents[1] / "scripts"
sys.path.insert(0, str(SCRIPTS))

from bench_formats import command, own, peers  # noqa: E402
from bench_quantization.inputs import Setup  # noqa: E402

import kit  # noqa: E402
from kit import cli, formats  # noqa: E402
from kit.errors import MissingTool  # noqa: E402
from kit.precisions import list_precisions  # noqa: E402


def test_every_target_of_this_host_is_built_once_in_all_precisions(tmp_path):
    output: list[str] = []
    setup = Setup("mobilenet_v2", "random", tmp_path, 2, 0, None, tmp_path, output.append)
    groups = own._group(setup, list_precisions())
    targets = [target for group in groups.values() for target in group]
    assert len(targets) == len(set(targets))
    for precisions, group in groups.items():
        for target in group:
            name, _, backend = target.partition("/")
            exporter = formats.get_format(name).find_backend(backend or None)
            assert exporter.runs_here
            assert set(precisions) == set(exporter.precisions)
    assert {"onnx", "executorch", "lite", "torchscript", "torchscript/x86"} <= set(targets)
    assert "executorch/vulkan" not in targets
    few = own._group(setup, ("fp16", "int8"))
    assert {name for group in few for name in group} == {"fp16", "int8"}
    assert "lite" in few[("int8",)]


def test_a_peers_file_is_evaluated_as_a_separate_bundle(
    tiny_bundle, tmp_path, evaluated_here, capsys
):
    peer = peers.FilePeer("tool", "script", "onnx", ("onnxruntime",), "its_method")
    made = peers.wrap(tiny_bundle, tiny_bundle.file("onnx"), peer, tmp_path / "peer-tool")
    (artifact,) = made.manifest.artifacts
    assert (artifact.name, artifact.quantize) == ("onnx-int8", "its_method")
    assert made.file("onnx").read_bytes() == tiny_bundle.file("onnx").read_bytes()
    assert made.manifest.golden.outputs.keys() == {"onnx-int8"}
    result = kit.evaluate(made, draw_labelled(tmp_path / "pictures"))
    assert result.rows[1].quantize == "its_method"
    assert result.rows[1].agreement is not None
    assert cli.run(["table", str(made.path), str(tiny_bundle.path)]) == 0
    assert "onnx-int8" in capsys.readouterr().out


def test_a_missing_peer_is_named(monkeypatch):
    def miss(name: str) -> str:
        raise metadata.PackageNotFoundError(name)

    monkeypatch.setattr(metadata, "version", miss)
    with pytest.raises(MissingTool, match=r"onnxruntime is not installed"):
        peers.check_installed(peers.PEERS[0])


def test_the_command_line_overrides_a_recipe_file(tmp_path):
    file = tmp_path / "lite0.toml"
    file.write_text('mean = [0.5, 0.5, 0.5]\nprecisions = ["int8"]\n', encoding="utf-8")
    setup = Setup("mobilenet_v2", "random", tmp_path, 2, 0, None, tmp_path, print, file)
    recipe = own._recipe(setup, ["onnx"], ("fp32", "int8"))
    assert recipe.mean == (0.5, 0.5, 0.5)
    assert recipe.precisions == ("fp32", "int8")  # the default of the table
    assert recipe.calibration_images == 2


def test_devices_measure_formats_of_the_native_runner(tiny_bundle, monkeypatch):
    assert command._list_native([tiny_bundle]) == "lite-fp32,onnx-fp32"
    monkeypatch.setattr(type(formats.get_format("lite")), "native", None)
    assert command._list_native([tiny_bundle]) == "onnx-fp32"


def test_peers_with_an_own_environment_have_a_script_and_pins():
    for peer in peers.PEERS:
        assert (SCRIPTS / "peers" / f"{peer.script}.py").is_file()
        assert peer.packages or (SCRIPTS / "peers" / f"{peer.script}.txt").is_file(), peer.name
