"""Fixtures that several test files share."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from bundle_samples import answer_images
from device_samples import adb_keys, direct  # noqa: F401
from shared_builds import (  # noqa: F401
    native_model,
    official_int8,
    once,
    small_build,
    small_int8,
)
from transport_samples import adb_server, no_settings, reach, transport  # noqa: F401
from virtual_device.fixtures import (  # noqa: F401
    adb,
    arm64_device,
    new_device,
    shared_arm64,
    shared_x86_64,
    x86_64_device,
)

from kit import bundle as bundles
from kit import formats
from kit.bundle import MANIFEST, REFERENCE, Bundle
from kit.manifest import Golden, Manifest
from kit.results.schema import LatencyResult, Plan

# Set before anything imports torch: two cores, and other programs beside the tests.
os.environ.setdefault("OMP_NUM_THREADS", "1")
# What libraries print in commands that tests run; not among the user's own logs.
os.environ["XDG_STATE_HOME"] = str(Path(tempfile.gettempdir()) / f"kit-tests-{os.getuid()}")

FAST = Plan(
    name="custom", warmup_runs=1, warmup_seconds=0, runs=20, seconds=0, repeats=2, max_seconds=20
)


# The last is what files call a device that their own tests share.
_DEVICES = {"x86_64_device", "arm64_device", "new_device", "shared_device"}
# Files are shared out whole: a long one that comes last would leave the other worker idle.
_LONGEST = (
    "test_build.py",
    "test_native_runner.py",
    "test_family_builds.py",
    "test_app_tests.py",
    "test_device_faults.py",
    "test_user_models.py",
    "test_device_bench.py",
    "test_qat.py",
    "test_methods.py",
    "test_app_build.py",
    "test_xnnpack_lowering.py",
    "test_kills.py",
    "test_app_executorch.py",
    "test_portability.py",
    "test_logs.py",
    "test_payloads.py",
    "test_own_code.py",
    "test_partial.py",
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with the longest files; tests that start a device are slow, not for scripts/check."""
    order = {name: at for at, name in enumerate(_LONGEST)}
    items.sort(key=lambda item: order.get(item.path.name, len(order)))
    for item in items:
        if _DEVICES & set(getattr(item, "fixturenames", ())):
            item.add_marker(pytest.mark.slow)


def rewrite(
    source: Bundle,
    target: Path,
    files: Mapping[str, np.ndarray | bytes],
    change: Callable[[dict[str, Any]], None] = lambda fields: None,
) -> Bundle:
    """Write a copy of a bundle with other files and manifest fields, hashed anew."""
    manifest = source.manifest
    fields = {name: getattr(manifest, name) for name in Manifest.model_fields if name != "files"}
    change(fields)
    with bundles.staged(target) as work:
        ignore = shutil.ignore_patterns(MANIFEST)
        shutil.copytree(source.path, work, dirs_exist_ok=True, ignore=ignore)
        for name, content in files.items():
            (work / name).parent.mkdir(exist_ok=True)
            if isinstance(content, bytes):
                (work / name).write_bytes(content)
            else:
                np.save(work / name, content)
        bundles.write_manifest(work, fields)
    return bundles.load(target)


@pytest.fixture(scope="session")
def tiny_bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    """A float network in Lite and ONNX with golden inputs and outputs, as `kit build` has."""
    from bundle_samples import make, net

    folder = tmp_path_factory.mktemp("tiny-bundle")
    plain = make(folder / "plain", {"lite": net(), "onnx": net()})
    images = np.random.default_rng(3).normal(
        size=(3, *plain.manifest.signature.inputs[0].sample_shape)
    )
    found = {"golden/input.npy": images.astype(np.float32)}
    for name in (REFERENCE, "lite", "onnx"):
        session = formats.get_format(name).load(plain.file(name), 1)
        found[f"golden/{name}.npy"] = answer_images(session, found["golden/input.npy"])

    def golden(fields: dict[str, Any]) -> None:
        names = (REFERENCE, "lite", "onnx")
        outputs = {name: (f"golden/{name}.npy",) for name in names}
        fields["golden"] = Golden(
            inputs=("golden/input.npy",), images=3, source="noise", outputs=outputs
        )

    return rewrite(plain, folder / "tiny", found, golden)


@pytest.fixture(scope="session")
def tensors_bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    """The bundle that the app's own tests have: ONNX, six inputs and outputs, no picture."""
    from app_samples import load_program

    folder = tmp_path_factory.mktemp("tensors") / "tensors"
    load_program("tensors").write(folder)
    return bundles.load(folder)


@pytest.fixture(scope="session")
def lite_bundle(tiny_bundle, tmp_path_factory):
    """The tiny bundle, which says its files' versions as `kit build` does."""

    def change(fields) -> None:
        versions = {"lite": "bytecode 8", "onnx": "opset 20, IR 10"}
        fields["artifacts"] = tuple(
            a.model_copy(update={"format_version": versions[a.format]}) for a in fields["artifacts"]
        )

    return rewrite(tiny_bundle, tmp_path_factory.mktemp("app") / "tiny-app", {}, change)


@pytest.fixture(scope="session")
def default_bundle(lite_bundle, tmp_path_factory):
    """The tiny bundle with the three formats of `kit build`; ExecuTorch's is a file of its name."""

    def change(fields) -> None:
        lite = fields["artifacts"][0]
        new = {"format": "executorch", "file": "model.pte", "format_version": "0"}
        fields["artifacts"] = (*fields["artifacts"], lite.model_copy(update=new))
        golden = fields["golden"]
        outputs = {**golden.outputs, "executorch": golden.outputs["lite"]}
        fields["golden"] = golden.model_copy(update={"outputs": outputs})

    target = tmp_path_factory.mktemp("default") / "tiny-default"
    return rewrite(lite_bundle, target, {"model.pte": b"program"}, change)


@pytest.fixture(scope="session")
def quantized(tiny_bundle, tmp_path_factory):
    """The tiny bundle under another name, whose ONNX file is said to be quantized."""

    def change(fields) -> None:
        _, onnx = fields["artifacts"]
        fields["artifacts"] = (onnx.model_copy(update={"quantize": "static"}),)
        fields["recipe"] = fields["recipe"].model_copy(update={"quantize": "static"})

    return rewrite(tiny_bundle, tmp_path_factory.mktemp("q") / "int8", {}, change)


@pytest.fixture(scope="session")
def measured(tiny_bundle, quantized) -> tuple[list[LatencyResult], list[str]]:
    from kit.bench import measure

    labels: list[str] = []
    results = measure.measure_all(
        [tiny_bundle, str(quantized.path)],
        ["onnx"],
        FAST,
        lambda done, total, label: labels.append(f"{done}/{total} {label}"),
        runner="python",  # whether or not a native one was built on this machine
    )
    return results, labels
