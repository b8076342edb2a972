"""Checks of answers, and the rows of the table of results."""

from __future__ import annotations

import numpy as np
import pytest
from conftest import FAST, rewrite

from kit.artifact_key import ArtifactKey, derive_precision
from kit.bench import answers, measure, rows
from kit.errors import BundleError, RunError
from kit.notices import render
from kit.results import rounds
from kit.results.latency import LatencyResult, Plan
from kit.signature import TensorSpec, join

# Answers.


def test_an_answer_is_compared_with_the_golden_answer(tiny_bundle) -> None:
    _, golden = answers.load(tiny_bundle, "onnx")
    (expected,) = golden.arrays
    fine = expected + np.float32(1e-6)
    assert answers.check(
        ArtifactKey("onnx", "fp32"), "none", fine.tobytes(), golden
    ) == pytest.approx(1e-6, rel=0.1)
    assert answers.check(ArtifactKey("lite", "int8"), "static", expected.tobytes(), golden) == 0.0
    near = expected + 0.05 * np.abs(expected).max() * np.float32([1, -1] * 3 + [1])
    assert (
        answers.check(ArtifactKey("onnx", "int8"), "static", near.astype("<f4").tobytes(), golden)
        > 0
    )


@pytest.mark.parametrize(("key", "method"), [("onnx-fp32", "none"), ("lite-int8", "static")])
def test_equal_infinities_are_right_answers(key, method):
    """A network may mask scores; a plug-in's task may accept them."""
    name, _, precision = key.partition("-")
    values = np.float32([[1.0, -np.inf, 2.0]])
    golden = join((TensorSpec(name="y", shape=(1, 3)),), [(values,)])
    assert answers.check(ArtifactKey(name, precision), method, values.tobytes(), golden) == 0.0
    for wrong in ([[1.0, 0.0, 2.0]], [[1.0, np.inf, 2.0]], [[1.0, np.nan, 2.0]], [[np.inf] * 3]):
        with pytest.raises(RunError, match="numbers that are not finite"):
            answer = np.float32(wrong).tobytes()
            answers.check(ArtifactKey(name, precision), method, answer, golden)


@pytest.mark.parametrize(
    ("name", "method", "change", "words"),
    [
        ("onnx", "none", lambda e: e * 1.1, "SQNR of 20.0 dB, below 40 dB"),
        ("reference", "none", lambda e: e[:, ::-1], "below 40 dB"),
        ("onnx", "static", lambda e: -e, "SQNR of -6.0 dB"),
        ("lite", "static", lambda e: e + 1e-3, "off by up to 0.001, where lite-int8 is exact"),
        ("onnx", "static", lambda e: e * np.nan, "not finite"),
        ("onnx", "static", lambda e: e[:, 1:], "24 bytes instead of 28"),
        ("onnx", "static", lambda e: e[:, :0], "0 bytes instead of 28"),
    ],
)
def test_a_wrong_answer_is_an_error(name, method, change, words, tiny_bundle) -> None:
    key = ArtifactKey(name, derive_precision(method))
    _, expected = answers.load(tiny_bundle, name)
    answer = change(expected.arrays[0]).astype("<f4").tobytes()
    with pytest.raises(RunError, match=words) as caught:
        answers.check(key, method, answer, expected)
    assert caught.value.message.startswith(f"{key.name}: ")


def test_a_bundle_with_a_different_answer_fails(tiny_bundle, tmp_path) -> None:
    _, expected = answers.load(tiny_bundle, "onnx")
    other = rewrite(tiny_bundle, tmp_path / "other", {"golden/onnx-fp32.npy": -expected.arrays[0]})
    with pytest.raises(RunError, match="golden input 0 is not the bundle's"):
        measure.measure(other, ["onnx"], FAST)


def test_unusable_golden_files_are_refused(tiny_bundle, tmp_path) -> None:
    flat = np.zeros((2, 5), np.float32)
    changed = rewrite(tiny_bundle, tmp_path / "flat", {"golden/input.npy": flat})
    with pytest.raises(BundleError, match=r"its shape is \[2, 5\]"):
        answers.load(changed, "onnx")

    def without(fields) -> None:
        fields["golden"] = fields["golden"].model_copy(update={"outputs": {}})

    none = rewrite(tiny_bundle, tmp_path / "none", {}, without)
    with pytest.raises(BundleError, match="no golden output of onnx"):
        measure.measure(none, ["onnx"], FAST)


def test_a_bundle_given_twice_is_measured_as_two(tiny_bundle) -> None:
    results = measure.measure_all([tiny_bundle, tiny_bundle], ["onnx"], FAST)
    assert [[run.name for run in result.runs] for result in results] == [["onnx-fp32"]] * 2


# Rows of the table.


def altered(
    result: LatencyResult, *factors: float, count: int = 3, **fields: object
) -> LatencyResult:
    """Return a result of `count` processes, or of one process per factor."""
    (run,) = result.runs
    steps = [1 + i / 1000 for i in range(200)]
    processes = tuple(
        run.processes[0].model_copy(
            update={"samples_ns": tuple(int(5e6 * factor * step) for step in steps)}
        )
        for factor in (factors if len(factors) > 1 else factors * count)
    )
    update = {"processes": processes, **fields}
    return result.model_copy(update={"runs": (run.model_copy(update=update),)})


def test_slower_int8_gives_a_notice(measured) -> None:
    tiny, int8 = measured[0]
    table = rows.list_rows([altered(tiny, 1.0), altered(int8, 2.0)])
    (printed,) = rows.find_slower_than_float(table)
    assert printed.code == "int8.slower-on-desktop"
    assert render(printed).startswith(
        "int8 onnx-int8 static is 2.0× slower than tiny onnx-fp32 here in quiet moments "
        "(medians: 11.00 and 5.50 ms)"
    )
    arm = []
    for result in (altered(tiny, 1.0), altered(int8, 2.0)):
        (run,) = result.runs
        context = run.context.model_copy(update={"machine": "aarch64"})
        runs = (run.model_copy(update={"context": context}),)
        arm.append(result.model_copy(update={"runs": runs}))
    (printed,) = rows.find_slower_than_float(rows.list_rows(arm))
    assert render(printed).endswith("(medians: 11.00 and 5.50 ms)")
    (printed,) = rows.find_slower_than_float(
        rows.list_rows([altered(tiny, 1.0), altered(int8, 1.0005)])
    )
    assert render(printed).startswith(
        "int8 onnx-int8 static is 1.0× slower"
    )  # 0.05 %, in each of three rounds
    uneven = altered(tiny, 1.0, 1.02, 0.98), altered(int8, 1.01, 0.99, 1.01)
    (printed,) = rows.find_slower_than_float(rows.list_rows(uneven))
    assert render(printed).startswith(
        "int8 onnx-int8 static is not faster than tiny onnx-fp32 here (medians: "
    )
    few = altered(tiny, 1.0, count=2), altered(int8, 2.0, count=2)
    (printed,) = rows.find_slower_than_float(rows.list_rows(few))
    assert render(printed).startswith(
        "int8 onnx-int8 static took 2.0× the time of tiny onnx-fp32 here in quiet moments"
    )
    assert "fewer than 3 processes do not tell" in render(printed)
    assert (
        rows.find_slower_than_float(rows.list_rows([altered(tiny, 1.0), altered(int8, 0.5)])) == []
    )


def test_int8_of_a_bundle_with_a_float_file_is_compared_with_that(measured) -> None:
    tiny, int8 = altered(measured[0][0], 1.0), altered(measured[0][1], 2.0)
    fast = altered(tiny, 1.0).runs[0]
    both = int8.model_copy(update={"runs": (altered(tiny, 1.5).runs[0], int8.runs[0])})
    alone = tiny.model_copy(update={"runs": (fast,)})
    (printed,) = rows.find_slower_than_float(rows.list_rows([alone, both]))
    assert render(printed).startswith("int8 onnx-int8 static is 1.3× slower than int8 onnx-fp32 ")
    (printed,) = rows.find_slower_than_float(rows.list_rows([both]))
    assert render(printed).startswith("onnx-int8 static is 1.3× slower than onnx-fp32 ")


@pytest.mark.parametrize(
    "changed",
    [
        {"format": "lite"},
        {"backend": "xnnpack"},
        {"via": "native"},
        {"plan": Plan(threads=2)},
        {"plan": Plan(cpus="1")},
    ],
)
def test_int8_is_compared_only_with_float_of_the_same_format(measured, changed) -> None:
    tiny, int8 = measured[0]
    table = rows.list_rows([altered(tiny, 1.0, **changed), altered(int8, 2.0)])
    assert rows.find_slower_than_float(table) == []


def test_int8_is_compared_with_fp32_before_fp16(measured) -> None:
    tiny, int8 = measured[0]
    half = altered(tiny, 3.0, precision="fp16")
    table = rows.list_rows([half, altered(tiny, 1.0), altered(int8, 2.0)])
    (printed,) = rows.find_slower_than_float(table)
    assert "onnx-fp32" in render(printed)
    (printed,) = rows.find_slower_than_float(rows.list_rows([half, altered(int8, 4.0)]))
    assert "onnx-fp16" in render(printed)


def test_rows_of_one_measurement_are_compared_per_round(measured) -> None:
    tiny, int8 = measured[0]
    weather = (1.0, 1.3, 0.8, 1.1)  # both files are slow in the same rounds
    fast = altered(int8, *(0.97 * k * e for k, e in zip(weather, (1, 1.01, 0.99, 1), strict=True)))
    slow = altered(tiny, *weather)
    ((one,), (other,)) = (slow.runs, fast.runs)
    assert rounds.is_paired(one, other)
    assert rounds.compute_speedup(one, other).clear
    for apart in (
        altered(tiny, *weather, plan=Plan(cpus="3")),
        altered(tiny, *weather, 1.0),
    ):
        assert not rounds.is_paired(apart.runs[0], other)
        assert not rounds.compute_speedup(apart.runs[0], other).clear


def test_speed_up_is_relative_to_the_reference(measured) -> None:
    tiny, int8 = measured[0]
    table = rows.list_rows([altered(tiny, 4.0, format="reference"), altered(int8, 1.0)])
    speedup = rows.compare_with_reference(table[1], table)
    assert speedup is not None
    assert speedup.ratio == pytest.approx(4, rel=1e-3)
    assert rows.compare_with_reference(table[0], table) is None
    assert rows.compare_with_reference(table[1], table[1:]) is None
