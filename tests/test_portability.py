"""`kit verify`: the same answers on other processors, or a failure that names the place."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest
from conftest import rewrite

import kit
from kit import cli
from kit.bundles import writing
from kit.devices import local
from kit.errors import BundleError, MissingTool, UnknownName, UsageError
from kit.manifest.artifacts import Comparison
from kit.portability import verification
from kit.report.write import write
from kit.results import store
from kit.results.processors import ProcessorsResult
from kit.runners import emulation
from kit.runners.emulation import PROCESSORS, Emulator

SUFFIX = {"lite": "ptl", "onnx": "onnx"}
HAS_QEMU = all(any(map(shutil.which, names)) for names in emulation.PROGRAMS.values())


@pytest.fixture(scope="module")
def judged(tiny_bundle, tmp_path_factory):
    """The tiny bundle with limits and graph answers as of `kit build`."""

    def change(fields) -> None:
        limits = {"agreement": 0.99, "sqnr_db": 40.0}
        parity = tuple(
            Comparison(against=against, images=3, max_abs=0, sqnr_db=None, agreement=1,
                       passed=True, thresholds=limits)
            for against in ("quantized graph", "float reference")
        )  # fmt: skip
        fields["artifacts"] = tuple(
            a.model_copy(update={"parity": parity}) for a in fields["artifacts"]
        )
        golden = fields["golden"]
        graphs = {name: (f"golden/{name}.npy",) for name in ("lite-fp32", "onnx-fp32")}
        fields["golden"] = golden.model_copy(update={"graphs": graphs})

    return rewrite(tiny_bundle, tmp_path_factory.mktemp("judged") / "judged", {}, change)


@pytest.mark.slow
def test_this_machine_reproduces_the_golden_answers(judged):
    seen = []
    result = kit.verify_processors(judged, progress=lambda *step: seen.append(step))
    assert [(row.format, row.processor, row.passed) for row in result.rows] == [
        ("lite", "host", True),
        ("onnx", "host", True),
    ]
    for row in result.rows:
        graph, reference = row.parity
        assert (graph.against, graph.sqnr_db, graph.max_abs) == ("quantized graph", None, 0)
        assert (reference.against, reference.agreement) == ("float reference", 1)
        assert (row.images, row.golden_max_abs) == (3, 0)
        assert row.runtime == "r"  # as the bundle's manifest calls it
        assert (
            row.artifact_sha256 == judged.manifest.files[f"model-fp32.{SUFFIX[row.format]}"].sha256
        )
    assert result.identity is not None
    assert result.identity.device == local.open(None).fingerprint
    assert [(p.name, p.emulator) for p in result.processors] == [("host", None)]
    assert seen == [(0, 2, "lite-fp32 on host"), (1, 2, "onnx-fp32 on host")]


def test_a_failing_format_sets_the_exit_code_and_is_in_the_report(judged, tmp_path, capsys):
    wrong = -np.load(judged.path / "golden/reference.npy")
    other = rewrite(judged, tmp_path / "other", {"golden/reference.npy": wrong})
    output = tmp_path / "result.json"
    assert cli.run(["verify", str(other.path), "--format", "onnx", "-o", str(output)]) == 5
    shown = capsys.readouterr()
    assert "FAILED" in shown.out
    assert "bit-equal" in shown.out
    result = store.read(output)
    assert isinstance(result, ProcessorsResult)
    (row,) = result.rows
    assert [p.agreement for p in row.parity] == [1, 0]
    written = write([result], tmp_path / "report")
    assert written.sentence == "Falls short on some processors: fp32 .onnx on host."
    assert "falls short" in written.html.read_text(encoding="utf-8")
    assert "\n## Answers\n" in written.markdown.read_text(encoding="utf-8")


@pytest.mark.slow
def test_a_runner_that_fails_is_a_row_that_fails(judged, tmp_path):
    broken = rewrite(judged, tmp_path / "broken", {})
    (broken.path / "model-fp32.onnx").write_bytes(b"not a model")
    fields = dict(broken.manifest)
    del fields["files"]
    writing.write_manifest(broken.path, fields)
    result = kit.verify_processors(str(broken.path))
    lite, onnx = result.rows
    assert lite.passed
    assert not onnx.passed
    assert "exit code 3 at load" in onnx.error
    written = write([result], tmp_path / "report")
    assert "no answer" in written.markdown.read_text(encoding="utf-8")


@pytest.mark.parametrize("name", ["onnx-fp32.npy", "onnx-fp32.graph.npy", "reference.npy"])
@pytest.mark.parametrize(
    ("change", "message"),
    [
        # One row was compared with all answers; two ended as a bug of kit.
        (lambda rows: rows[:1], "1 (of 3 golden inputs|answers)"),
        (lambda rows: rows[:2], "2 (of 3 golden inputs|answers)"),
        (lambda rows: rows * np.float32("nan"), "it holds NaN or infinity"),
    ],
)
def test_golden_answers_of_a_wrong_shape_are_refused(judged, tmp_path, name, change, message):
    wrong = change(np.load(judged.path / "golden/reference.npy"))
    graphs = {"onnx-fp32": ("golden/onnx-fp32.graph.npy",)}
    right = np.load(judged.path / "golden/onnx-fp32.npy")

    def add_graph(fields) -> None:
        fields["golden"] = fields["golden"].model_copy(update={"graphs": graphs})

    content = {graphs["onnx-fp32"][0]: right, f"golden/{name}": wrong}
    other = rewrite(judged, tmp_path / "other", content, add_graph)
    with pytest.raises(BundleError, match=message):
        kit.verify_processors(other, formats=["onnx"])


def test_files_are_chosen_by_precision(judged):
    result = kit.verify_processors(judged, precisions=["fp32", "int8"])
    assert {row.precision for row in result.rows} == {"fp32"}
    with pytest.raises(BundleError, match=r"has no int8 or fp16 file to verify"):
        kit.verify_processors(judged, precisions=["int8", "fp16"])
    with pytest.raises(UnknownName, match=r"no precision called 'int9'"):
        kit.verify_processors(judged, precisions=["int9"])


def test_json_equals_the_result(judged, capsys):
    assert cli.run(["verify", str(judged.path), "--format", "onnx", "--json"]) == 0
    raw = json.loads(capsys.readouterr().out)
    assert raw["kind"] == "processors"
    assert raw["rows"][0]["passed"] is True


def test_a_bundle_without_golden_inputs_is_refused(judged, tmp_path):
    empty = np.empty((0, *judged.manifest.signature.inputs[0].sample_shape), np.float32)
    other = rewrite(judged, tmp_path / "other", {"golden/input.npy": empty})
    with pytest.raises(BundleError, match="it is empty"):
        kit.verify_processors(other)
    other = rewrite(judged, tmp_path / "third", {"golden/input.npy": empty.astype(np.int8)})
    with pytest.raises(BundleError, match="its numbers are int8, not float32"):
        kit.verify_processors(other)


@pytest.mark.parametrize(
    ("names", "error", "message"),
    [
        ("", UsageError, "names nothing"),
        ("pentium", UnknownName, "no processor called 'pentium'"),
        ("cortex-a54", UnknownName, "cortex-a54"),
    ],
)
def test_unknown_processor_names_are_refused(names, error, message):
    with pytest.raises(error, match=message):
        verification.select_processors([name for name in names.split(",") if name])


def test_a_faulty_emulation_is_refused_with_the_reason():
    """Measured: int8 answers of ExecuTorch are noise under qemu 7.2, correct under 10.0."""
    models = frozenset(p.model for p in PROCESSORS.values())
    old, new = (Emulator("qemu", version, models) for version in ((7, 2, 22), (10, 0, 2)))
    assert old.fault_of(PROCESSORS["max"]) == (
        "qemu 7.2.22 emulates max wrongly: its SME instructions compute int8 products wrongly"
    )
    assert new.fault_of(PROCESSORS["max"]) is None
    assert old.fault_of(PROCESSORS["cortex-a53"]) is None
    few = Emulator("qemu", (7, 2, 22), frozenset({"cortex-a53"}))
    assert few.fault_of(PROCESSORS["neoverse-v1"]) == "qemu 7.2.22 does not know neoverse-v1"


@pytest.mark.skipif(not HAS_QEMU, reason="qemu-user-static is not installed")
def test_all_selects_processors_that_qemu_emulates_correctly():
    chosen = verification.select_processors(["all", "haswell"])
    assert chosen[0] is None
    names = [processor.name for processor in chosen if processor]
    assert {"nehalem", "haswell", "cortex-a53", "cortex-a76", "neoverse-n1"} <= set(names)
    assert len(names) == len(set(names))
    for processor in filter(None, chosen):
        assert emulation.find_emulator(processor.abi).fault_of(processor) is None


def test_a_missing_emulator_is_one_sentence_with_its_package(monkeypatch, tmp_path, capsys):
    monkeypatch.setenv("PATH", str(tmp_path))
    emulation.find_emulator.cache_clear()
    try:
        with pytest.raises(MissingTool, match="there is no qemu-x86_64-static"):
            verification.select_processors(["haswell"])
        assert cli.run(["verify", "nowhere", "--processor", "haswell"]) == 4
        capsys.readouterr()
    finally:
        emulation.find_emulator.cache_clear()


@pytest.mark.slow
@pytest.mark.skipif(not HAS_QEMU, reason="qemu-user-static is not installed")
def test_a_quantized_network_computes_the_same_without_vnni_and_dot_products(small_int8):
    """Each format, on an x86 without VNNI and an Arm without dot products."""
    for compiler in ("g++", "aarch64-linux-gnu-g++"):
        if shutil.which(compiler) is None:
            pytest.skip(f"{compiler} is not installed")
    try:
        result = kit.verify_processors(small_int8, ["host", "haswell", "cortex-a53"])
    except MissingTool as exc:
        pytest.skip(exc.message)
    assert [(r.format, r.processor) for r in result.rows] == [
        (name, processor)
        for name in ("lite", "executorch", "onnx")
        for processor in ("host", "haswell", "cortex-a53")
    ]
    for row in result.rows:
        assert row.passed, row
        assert [p.against for p in row.parity] == ["quantized graph", "float reference"]
        # ONNX Runtime rounds some values of this network differently on Arm.
        if row.format == "lite" or row.processor != "cortex-a53":
            assert row.golden_max_abs == 0, f"{row.format} differs on {row.processor}"
    assert [p.emulator is None for p in result.processors] == [True, False, False]
