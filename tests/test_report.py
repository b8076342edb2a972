"""The rows of a report: merging, comparison, distinction and refusal."""

from __future__ import annotations

from datetime import timedelta

import pytest
from report_samples import (
    CONTEXT,
    LOCAL,
    WHEN,
    accuracy,
    bundle,
    everything,
    identity,
    latency,
    run,
)

from kit.errors import ResultError
from kit.report import html, model, notices, page, tables
from kit.report.rows import Report, Row
from kit.results import rounds, statistics
from kit.results.context import DeviceRef
from kit.results.latency import Plan

PHONE = DeviceRef(kind="phone", name="Pixel 8", serial="38A1")
VIRTUAL = DeviceRef(kind="virtual", name="vdev-arm64-qemu", serial="127.0.0.1:5555")


@pytest.fixture(scope="module")
def report() -> Report:
    return model.build(everything())


def row(report: Report, label: str, letter: str = "A") -> Row:
    result = [r for r in report.rows if r.label == label]
    return next(r for r in result if r.timing is None or r.timing.setting.letter == letter)


def notice(report: Report, start: str) -> notices.Remark | None:
    return next((n for n in notices.collect(report) if n.title.startswith(start)), None)


# --- rows


def test_one_row_per_bundle_and_format_int8_beside_fp32(report: Report) -> None:
    assert [r.label for r in report.rows] == [
        "eager PyTorch fp32",
        "int8 .pte",
        "fp32 .pte",
        "int8 .onnx",
        "fp32 .onnx",
        "int8 .ptl",
        "fp32 .ptl",
    ]


def test_a_row_holds_size_accuracy_statistics_and_parity(report: Report) -> None:
    result = row(report, "int8 .pte")
    assert result.artifact is not None
    assert result.artifact.size == 3_762_480
    assert result.parity is not None
    assert result.parity.agreement == 0.96
    assert result.accuracy is not None
    assert result.accuracy.drop == pytest.approx(100 * 2 / 468)
    assert result.timing is not None
    processes = [process.samples_ns for process in result.timing.run.processes]
    assert result.timing.median == statistics.estimate(processes)
    assert result.timing.p99 == statistics.compute_percentile_ms(result.timing.samples_ns, 99)
    assert result.timing.load == 43  # of 40, 43 and 46


def test_baselines_are_eager_and_fp32_of_the_same_format(report: Report) -> None:
    int8, fp32, eager = (
        row(report, label).timing for label in ("int8 .pte", "fp32 .pte", "eager PyTorch fp32")
    )
    assert int8 is not None
    assert fp32 is not None
    assert eager is not None
    # Results of one measurement are interleaved: their processes are pairs.
    assert int8.vs_fp32 == rounds.compute_speedup(fp32.run, int8.run)
    assert int8.vs_eager == rounds.compute_speedup(eager.run, int8.run)
    assert fp32.vs_fp32 is None
    assert eager.vs_eager is None


def test_results_of_two_measurements_are_compared_by_their_medians() -> None:
    # Even with equal times: two machines may finish simultaneously.
    for created in (WHEN, WHEN + timedelta(minutes=1)):
        other = latency("none", created=created, identity=identity(7))
        report = model.build([latency(), other])
        int8, fp32 = (row(report, label).timing for label in ("int8 .pte", "fp32 .pte"))
        assert int8 is not None
        assert fp32 is not None
        assert int8.vs_fp32 == statistics.compute_ratio(fp32.median, int8.median)
        assert int8.vs_fp32 != rounds.compute_speedup(fp32.run, int8.run)


def test_results_of_one_measurement_are_paired_whenever_they_were_written() -> None:
    later = latency("none", created=WHEN + timedelta(minutes=1))
    near = latency("none", bundle=bundle("none", hash="e" * 64), identity=identity(7))
    report = model.build([latency(), later, near])
    int8 = row(report, "int8 .pte").timing
    fp32 = next(r.timing for r in report.rows if r.bundle == later.bundle and r.name == "fp32 .pte")
    assert int8 is not None
    assert fp32 is not None
    assert int8.vs_fp32 == rounds.compute_speedup(fp32.run, int8.run)


def test_results_of_older_schemas_are_paired_by_time() -> None:
    old = [latency(identity=None), latency("none", identity=None)]
    report = model.build(old)
    int8, fp32 = (row(report, label).timing for label in ("int8 .pte", "fp32 .pte"))
    assert int8 is not None
    assert fp32 is not None
    assert int8.vs_fp32 == rounds.compute_speedup(fp32.run, int8.run)
    report = model.build([latency(), old[1]])  # one of them has an id: not of one measurement
    int8, fp32 = (row(report, label).timing for label in ("int8 .pte", "fp32 .pte"))
    assert int8 is not None
    assert fp32 is not None
    assert int8.vs_fp32 == statistics.compute_ratio(fp32.median, int8.median)


@pytest.mark.slow
def test_the_order_of_the_results_has_no_effect() -> None:
    first, second, third, fourth = everything()
    orders = ([first, second, third, fourth], [fourth, second, first, third])
    assert len({html.render(page.compose(order)) for order in orders}) == 1


def test_a_result_given_twice_counts_once(report: Report) -> None:
    assert model.build(everything() * 2) == report


@pytest.mark.parametrize(
    "change",
    [
        {"context": CONTEXT.model_copy(update={"cpu": "Intel Xeon 6780E"})},
        {"context": CONTEXT.model_copy(update={"governor": "powersave"})},
        {"context": CONTEXT.model_copy(update={"versions": {"torch": "2.13.0"}})},
        {"context": CONTEXT.model_copy(update={"environment": {"OMP_WAIT_POLICY": "active"}})},
        {"plan": Plan(threads=2)},
        {"threads": 2},
        {"plan": Plan(cpus="f0")},
        {"cpus": "3"},
        {"context": CONTEXT.model_copy(update={"settings": {"fixed performance": "on"}})},
        {"device": LOCAL.model_copy(update={"name": "another machine"})},
    ],
)
def test_a_different_setting_is_a_separate_row_and_no_baseline(change: dict[str, object]) -> None:
    fp32 = latency("none", runs=(run("executorch", "none", 8.2, **change),))
    report = model.build([latency(runs=(run("executorch", "static", 3.9),)), fp32])
    assert len(report.settings) == 2
    assert all(r.timing is not None and r.timing.vs_fp32 is None for r in report.rows)
    reports = notice(report, "Measured in 2 different settings")
    assert reports is not None
    assert "nothing is averaged" in reports.text


def test_a_different_kit_version_is_a_different_setting() -> None:
    report = model.build([latency(), latency("none", kit_version="0.2.0")])
    reports = notice(report, "Measured in 2 different settings")
    assert reports is not None
    assert reports.text.endswith("B differs from A in kit (0.1.0, 0.2.0).")


def test_the_cores_and_the_changed_settings_are_shown() -> None:
    fixed = CONTEXT.model_copy(update={"settings": {"fixed performance": "on"}})
    big = run("executorch", "static", 9, plan=Plan(cpus="f0"), cpus="f0", context=fixed)
    little = run("executorch", "static", 30, plan=Plan(cpus="0f"), cpus="000f")
    report = model.build([latency(runs=(big, little))])
    assert [setting.title for setting in report.settings] == [
        "this machine, AMD EPYC 9R14, 1 thread on cores f",
        "this machine, AMD EPYC 9R14, 1 thread on cores f0",
    ]
    reports = notice(report, "Measured in 2 different settings")
    assert reports is not None
    assert reports.text.endswith(
        "B differs from A in mask of cores (f, f0), changed settings (none, fixed performance on)."
    )
    facts = dict(page.compose([latency(runs=(big,))]).sections[0].facts)
    assert facts["Mask of cores"] == "f0"
    assert facts["Changed settings"] == "fixed performance on"


def test_runs_with_different_libraries_share_a_setting() -> None:
    with_ort = CONTEXT.model_copy(update={"versions": {"kit": "0.1.0", "onnxruntime": "1.32.0"}})
    report = model.build(
        [latency(runs=(run("executorch", "static", 4), run("onnx", "static", 4, context=with_ort)))]
    )
    assert len(report.settings) == 1
    assert report.settings[0].versions["onnxruntime"] == "1.32.0"
    assert report.settings[0].versions["torch"] == "2.14.1"


@pytest.mark.parametrize(
    "change", [{"model": "mobilenet_v1"}, {"resolution": 192}, {"width": 0.5}], ids=str
)
def test_another_architecture_is_no_baseline(change: dict[str, object]) -> None:
    report = model.build([latency(), latency("none", bundle=bundle("none", **change))])
    timing = row(report, "int8 .pte").timing
    assert timing is not None
    assert timing.vs_eager is not None
    assert timing.vs_fp32 is None


def test_fp32_by_another_runner_is_no_baseline_and_eager_is() -> None:
    native = run("executorch", "static", 3.9, via="native")
    reference = run("reference", "none", 20.4)
    fp32 = run("executorch", "none", 8.2)
    report = model.build([latency(runs=(native, reference)), latency("none", runs=(fp32,))])
    timing = row(report, "int8 .pte").timing
    assert timing is not None
    assert timing.vs_eager is not None
    assert timing.vs_fp32 is None


def test_a_second_measurement_is_a_separate_row_with_the_nearest_baseline() -> None:
    later = WHEN + timedelta(hours=3)
    who = identity(7)
    again = latency(created=later, identity=who, runs=(run("executorch", "static", 3.0),))
    fp32 = run("executorch", "none", 16.4)
    slow = latency("none", created=later, identity=who, runs=(fp32,))
    report = model.build([latency(), latency("none"), again, slow])
    labels = [r.label for r in report.rows if r.name == "int8 .pte"]
    assert labels == ["int8 .pte, 2025-11-24 12:30:00", "int8 .pte, 2025-11-24 09:30:00"]
    first = row(report, "int8 .pte, 2025-11-24 09:30:00").timing
    assert first is not None
    assert first.vs_fp32 is not None
    assert first.vs_fp32.ratio == pytest.approx(8.2 / 3.9, rel=0.02)
    second = row(report, "int8 .pte, 2025-11-24 12:30:00").timing
    assert second is not None
    assert second.vs_fp32 is not None
    assert second.vs_fp32.ratio == pytest.approx(16.4 / 3.0, rel=0.02)
    reports = notice(report, "Measured 2 times: int8 .pte of mobilenet_v2-224-static")
    assert reports is not None
    assert reports.text.endswith(
        "Measured 2025-11-24 09:30:00 (10000000) and 2025-11-24 12:30:00 (70000000)."
    )


def test_times_without_a_zone_are_utc() -> None:
    naive = latency("none", created=WHEN.replace(tzinfo=None))
    assert model.build([latency(), naive]).created == (WHEN,)


def test_two_bundles_are_labelled_by_their_difference() -> None:
    tensor = bundle(hash="b" * 64, granularity="per-tensor", name="second")
    report = model.build([latency(runs=(run("lite", "static", 20),)), latency(bundle=tensor)])
    assert [r.label for r in report.rows if r.key.format == "lite"] == [
        "int8 .ptl, static per-channel",
        "int8 .ptl, static per-tensor",
    ]


# --- accuracy


def test_accuracy_of_different_pictures_is_not_mixed() -> None:
    more = tuple(r.model_copy(update={"images": 5000}) for r in accuracy().rows)
    other = accuracy(pictures="other.zip", pictures_sha256="00" * 32, rows=more)
    report = model.build([*everything(), other])
    chosen = {r.accuracy.pictures for r in report.rows if r.accuracy}
    assert chosen == {"imagenet-500.zip"}  # more rows were evaluated on it
    assert [line.cells[0].note for line in tables.tabulate_accuracy(report).lines].count(
        "other.zip"
    ) == 4
    assert notice(report, "Evaluated on different pictures") is None


def test_a_row_evaluated_elsewhere_is_shown_with_a_notice() -> None:
    elsewhere = accuracy("none", pictures="other.zip", pictures_sha256="00" * 32)
    report = model.build([latency(), latency("none"), accuracy(), elsewhere])
    reports = notice(report, "Evaluated on different pictures")
    assert reports is not None
    assert "other.zip (468 pictures)" in reports.text


def test_the_newer_evaluation_of_the_same_pictures_counts() -> None:
    rows = tuple(r.model_copy(update={"top1": 0.5}) for r in accuracy().rows)
    newer = accuracy(created=WHEN + timedelta(days=1), rows=rows)
    for order in ([accuracy(), newer], [newer, accuracy()]):
        result = row(model.build([latency(), *order]), "int8 .pte").accuracy
        assert result is not None
        assert result.row.top1 == 0.5


def test_without_a_reference_there_is_no_drop() -> None:
    alone = accuracy(rows=accuracy().rows[1:])
    assert all(a.drop is None for a in model.build([alone]).accuracy)


def test_an_evaluated_reference_is_not_listed_as_untimed(report: Report) -> None:
    assert report.untimed == []
    assert len(model.build([accuracy()]).untimed) == 4


# --- nothing to report


@pytest.mark.parametrize("results", [[], [latency(runs=())]])
def test_results_without_a_measurement_are_refused(results) -> None:
    with pytest.raises(ResultError, match="hold no measurement"):
        model.build(results)
