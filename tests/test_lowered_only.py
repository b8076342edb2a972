"""Files for backends that the host cannot run: lowered, described, compared by graph."""

from __future__ import annotations

import json

import numpy as np
import pytest
from bundle_samples import SMALL_NET, draw_labelled
from conftest import FAST, rewrite

import kit
from kit import cli
from kit.app import packing
from kit.bench import measure
from kit.bundles import loading
from kit.bundles.loading import load_bundle
from kit.errors import BuildError, BundleError
from kit.manifest.schema import SCHEMA_VERSION

GPU = "executorch-vulkan-int8"
CPU = ["executorch-fp16", "executorch-int8"]
LOWERED = [
    f"executorch-{one}" for one in ("vulkan-fp16", "vulkan-int8", "coreml-fp16", "coreml-int8")
]


@pytest.fixture(scope="module")
def built(lowered_here, tmp_path_factory):
    """Return a bundle with files for the CPU, for a phone's GPU and for Core ML."""
    recipe = kit.make_recipe(
        SMALL_NET,
        resolution=32,
        formats=("executorch", "executorch/vulkan", "executorch/coreml"),
        precisions=("fp16", "int8"),
        observer="percentile",
        corrections="none",
    )
    return kit.build(recipe, tmp_path_factory.mktemp("lowered") / "b", use_cache=False)


@pytest.mark.slow
def test_it_is_lowered_and_described_and_says_that_it_was_not_run(built):
    assert [(artifact.name, artifact.executed) for artifact in built.manifest.artifacts] == [
        *((name, True) for name in CPU),
        *((name, False) for name in LOWERED),
    ]
    gpu = built.manifest.artifact(GPU)
    assert gpu.file == "model-vulkan-int8.pte"
    assert gpu.delegates["VulkanBackend"] == 10
    assert gpu.not_delegated == {}
    assert [one.against for one in gpu.parity] == ["float reference"]
    notices = [one for one in built.manifest.notices if one.code == "artifact.not-run"]
    assert [notice.values["file"] for notice in notices] == LOWERED
    golden = built.manifest.golden
    answers, graph = (built.read_answers(kind[GPU]) for kind in (golden.outputs, golden.graphs))
    assert np.array_equal(answers.arrays[0], graph.arrays[0])
    structure = kit_structure(built)
    operators = [node.operator for node in structure.graphs[1].nodes]
    assert operators.count("et_vk.q8ta_conv2d.default") == 2


def kit_structure(built):
    from kit import formats

    return formats.get_format("executorch").read_structure(built.file(GPU))


@pytest.mark.slow
def test_every_command_reports_that_the_file_cannot_run(built, tmp_path, capsys):
    result = measure.measure(built, None, FAST)
    assert [run.name for run in result.runs] == CPU
    assert [artifact.executed for artifact in result.bundle.artifacts] == [
        *[True] * 2,
        *[False] * 4,
    ]
    rows = kit.evaluate(built, draw_labelled(tmp_path / "pictures"), limit=2).rows
    assert [row.name for row in rows] == ["reference", *CPU]
    assert [row.name for row in kit.verify_processors(built).rows] == CPU
    with pytest.raises(BundleError, match=f"nothing here runs {GPU}"):
        measure.measure(built, [GPU], FAST)
    with pytest.raises(BundleError, match=f"nothing here runs {GPU}"):
        measure.measure(built, ["executorch-int8", GPU], FAST)
    with pytest.raises(BundleError, match=f"nothing here runs {GPU}"):
        kit.evaluate(built, tmp_path / "pictures", formats=["executorch-int8", GPU])
    assert cli.run(["verify", str(built.path)]) == 0
    assert f"{GPU} was lowered for devices: nothing here runs it" in capsys.readouterr().err
    (packed,) = packing.choose([built], ["executorch"])
    assert [key.name for key in packed.keys] == CPU


@pytest.mark.slow
def test_core_ml_has_one_subgraph_and_its_float_arithmetic_is_as_the_key_says(built):
    sizes = {}
    for name in LOWERED[2:]:
        artifact = built.manifest.artifact(name)
        assert artifact.operators == {"executorch_call_delegate": 1}
        assert artifact.not_delegated == {}
        sizes[artifact.precision] = built.file(name).read_bytes().count(b"fp16")
    assert sizes["fp16"] > sizes["int8"]


def test_weights_that_share_one_scale_are_refused_before_lowering(tmp_path):
    """Otherwise ExecuTorch raises an AssertionError without a message."""
    import torch
    from small_net import make

    from kit import formats
    from kit.algorithms import get_algorithm
    from kit.quantize.examples import as_examples
    from kit.quantize.graph import fold
    from kit.quantize.options import Options

    images = torch.rand(2, 3, 32, 32)
    graph = (
        get_algorithm("static")
        .quantize(fold(make(), images), "pt2e-s8", as_examples(images), Options("per-tensor", 1.0))
        .graph
    )
    vulkan = formats.get_format("executorch").find_backend("vulkan")
    with pytest.raises(BuildError, match="no int8 convolution whose weights share") as caught:
        vulkan.export(graph, (images[:1],), tmp_path / "a.pte")
    assert "per-channel" in caught.value.hint
    assert not list(tmp_path.iterdir())


def test_manifests_of_schema_4_have_files_that_were_run(tiny_bundle, tmp_path):
    old = rewrite(tiny_bundle, tmp_path / "old", {})
    raw = json.loads((old.path / "bundle.json").read_text())
    raw["schema_version"] = 4
    for artifact in raw["artifacts"]:
        del artifact["executed"]
    (old.path / "bundle.json").write_text(json.dumps(raw))
    loaded = load_bundle(old.path).manifest
    assert loaded.schema_version == SCHEMA_VERSION
    assert all(artifact.executed for artifact in loaded.artifacts)
    assert loaded.golden == tiny_bundle.manifest.golden  # its keys had precisions already


def test_an_app_of_files_that_nothing_runs_is_refused(tiny_bundle, tmp_path):
    def change(fields) -> None:
        gpu = {"executed": False}
        fields["artifacts"] = tuple(a.model_copy(update=gpu) for a in fields["artifacts"])

    other = rewrite(tiny_bundle, tmp_path / "gpu", {}, change)
    assert loading.load_bundle(other.path).manifest.artifact_keys
    with pytest.raises(BundleError, match="nothing here runs lite-fp32, onnx-fp32"):
        packing.choose([other], ["onnx"])
