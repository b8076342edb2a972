"""Text of a report: exact cells, headline, notices."""

from __future__ import annotations

from itertools import pairwise

import pytest
from report_samples import PHONE, VIRTUAL, accuracy, everything, identity, latency, run, segmented

from kit.notices import make_notice, read_text
from kit.report import changes, headline, model, notices, page, scatter, tables, text
from kit.report.cells import Cell
from kit.report.rows import Report, Row
from kit.results.latency import LatencyResult, Process, Run
from kit.results.statistics import Interval, Speedup


@pytest.fixture(scope="module")
def report() -> Report:
    return model.build(everything())


def row(report: Report, label: str, letter: str = "A") -> Row:
    result = [r for r in report.rows if r.label == label]
    return next(r for r in result if r.timing is None or r.timing.setting.letter == letter)


def notice(report: Report, start: str) -> notices.Remark | None:
    return next((n for n in notices.collect(report) if n.title.startswith(start)), None)


# --- cells


def cells(table: tables.Table, label: str) -> dict[str, str]:
    line = next(line for line in table.lines if line.head.text == label)
    return {
        column: f"{cell.text}|{cell.note}".replace(text.NBSP, " ").strip("|")
        for column, cell in zip(table.columns, line.cells, strict=True)
    }


def test_the_overview_of_a_row_is_exact(report: Report) -> None:
    table = tables.tabulate_overview(report.settings[0], report)
    assert cells(table, "int8 .pte") == {
        "Size, MB": "3.76",
        "Top-1, %": "82.5|0.4 lost, ± 1.8",
        "Parity, %": "96.0|of 50",
        "Median, ms": "3.88|3.76 to 4.00",
        "Against eager fp32": "5.2×|5.13 to 5.31",
        "Against own fp32": "2.1×|2.06 to 2.14",
    }
    assert cells(table, "int8 .ptl")["Against own fp32"] == "0.77×|0.76 to 0.77, slower"
    assert cells(table, "fp32 .pte")["Top-1, %"] == "82.9|equal answers"


@pytest.mark.parametrize("ratio", [1.2, 5.25, 9.94, 10.0, 41.3])
def test_the_ends_of_an_interval_have_one_digit_more_than_their_ratio(ratio: float) -> None:
    digits = [
        len(t.rstrip("×").partition(".")[2])
        for t in (text.format_ratio(ratio), text.format_ratio_end(ratio))
    ]
    assert digits[1] == digits[0] + 1


def test_a_table_with_ratios_says_that_they_are_not_those_of_the_medians(report: Report) -> None:
    assert "compare quiet moments" in tables.tabulate_overview(report.settings[0], report).note
    alone = model.build([latency(runs=(run("onnx", "static", 4.0),))])
    assert tables.tabulate_overview(alone.settings[0], alone).note == ""


def test_the_overview_ranks_real_devices_by_their_medians() -> None:
    results = [
        *everything(),
        latency(
            runs=(
                run("onnx", "static", 90, device=VIRTUAL),
                run("lite", "static", 30, device=VIRTUAL),
            )
        ),
    ]
    report = model.build(results)
    own, virtual = (tables.tabulate_overview(setting, report) for setting in report.settings)
    assert own.caption == "Size, accuracy and speed, the fastest first"
    assert [line.head.text for line in own.lines] == [
        "int8 .pte",
        "int8 .onnx",
        "fp32 .onnx",
        "fp32 .pte",
        "fp32 .ptl",
        "eager PyTorch fp32",
        "int8 .ptl",
    ]
    assert [own.has_bars(at) for at, name in enumerate(own.columns)] == [
        name == "Median, ms" for name in own.columns
    ]
    assert virtual.caption == "Size, accuracy and speed"
    names = [row.label for row in report.rows_in(report.settings[1])]
    assert [line.head.text for line in virtual.lines] == names


def test_the_overview_has_the_metric_of_a_task_without_top1() -> None:
    report = model.build([latency(), segmented()])
    table = tables.tabulate_overview(report.settings[0], report)
    assert cells(table, "int8 .pte")["mean IoU, %"] == "88|96.0 % agree"
    assert "Top-1, %" not in table.columns
    assert not {"Top-1, %", "Top-5, %", "Drop, points"} & set(
        tables.tabulate_accuracy(report).columns
    )
    drawing = scatter.draw_size_and_accuracy(report)
    assert drawing is not None
    assert drawing.title == "Size of the file and mean IoU"


@pytest.mark.parametrize("count", [1, 4, 7])
def test_labels_of_equal_scores_do_not_share_a_height(count) -> None:
    left, right = scatter.place_labels([58.3] * count, [58.3] * count, (56, 60))
    heights = sorted([*left, *right])
    assert min(b - a for a, b in pairwise(heights)) >= 0.06 * 4 - 1e-9
    assert heights[0] > 56
    assert heights[-1] < 60


def test_more_labels_than_there_is_room_for_share_the_heights_of_two_columns() -> None:
    left, right = scatter.place_labels([1.0] * 12, [1.0] * 12, (0, 4))
    assert left == right
    assert min(b - a for a, b in pairwise(sorted(left))) >= 0.06 * 4 - 1e-9


def test_the_overview_has_the_agreement_without_labels_and_metrics() -> None:
    result = segmented()
    bare = tuple(row.model_copy(update={"metrics": ()}) for row in result.rows)
    report = model.build([latency(), result.model_copy(update={"rows": bare})])
    table = tables.tabulate_overview(report.settings[0], report)
    assert cells(table, "int8 .pte")["Agreement, %"] == "96.0"
    assert tables.tabulate_overview(report.settings[0], report).columns[1] == "Agreement, %"


def test_latency_accuracy_and_parity_are_exact(report: Report) -> None:
    assert cells(tables.tabulate_latency(report), "int8 .pte") == {
        "Median, ms": "3.88|3.76 to 4.00",
        "p90, ms": "4.02",
        "p99, ms": "4.20",
        "Load, ms": "43.0",
        "First, ms": "9.75",
        "Peak memory, MB": "214",
        "Samples": "450|medians 3.82, 3.88, 3.92",
        "Runner": "python|default plan",
    }
    assert cells(tables.tabulate_accuracy(report), "int8 .pte") == {
        "Pictures": "468|imagenet-500.zip",
        "Top-1, %": "82.5",
        "Drop, points": "0.4|± 1.8",
        "Top-5, %": "95.7",
        "Agreement, %": "96.0",
        "SQNR, dB": "18.1",
        "Pictures per second": "31.4",
    }
    assert cells(tables.tabulate_parity(report), "int8 .ptl") == {
        "Compared with": "graph that was lowered",
        "Pictures": "50",
        "Largest difference": "0",
        "SQNR, dB": "equal",
        "Agreement, %": "100.0",
    }


def test_columns_without_a_number_are_left_out() -> None:
    report = model.build([latency(runs=(run("executorch", "static", 4, peak_rss=None),))])
    assert tables.tabulate_overview(report.settings[0], report).columns == (
        "Size, MB",
        "Parity, %",
        "Median, ms",
    )
    assert "Peak memory, MB" not in tables.tabulate_latency(report).columns


@pytest.mark.parametrize(
    ("processes", "samples", "note"),
    [(3, 1, "too few samples"), (2, 90, "too few processes"), (1, 90, "too few processes")],
)
def test_few_processes_or_samples_have_a_median_and_no_interval(processes, samples, note) -> None:
    process = Process(load_ns=1, first_ns=1, samples_ns=(4_000_000,) * samples)
    result = latency(runs=(run("onnx", "static", 4, processes=(process,) * processes),))
    assert (
        cells(tables.tabulate_latency(model.build([result])), "int8 .onnx")["Median, ms"]
        == f"4.00|{note}"
    )


@pytest.mark.parametrize(
    ("ratio", "interval", "verdict"),
    [
        (2.1, (2.0, 2.2), "2.1× faster"),
        (0.5, (0.4, 0.6), "2.0× slower"),
        (1.01, (0.98, 1.04), "no difference"),
        (1.002, (1.001, 1.003), "no difference"),
        (1.2, (0.9, 1.5), "not known"),
        (2.7, None, "not known"),
    ],
)
def test_a_verdict_of_the_report_has_the_words_of_kit_bench(ratio, interval, verdict) -> None:
    speedup = Speedup(ratio, interval and Interval(*interval))
    assert text.describe_speedup(speedup) == verdict


def test_a_speedup_of_few_processes_has_no_verdict_and_no_colour() -> None:
    results = [
        latency(runs=(uneven("static", 2.0, 2.0),)),
        latency("none", runs=(uneven("none", 6.0, 6.0),)),
    ]
    report = model.build(results)
    table = tables.tabulate_overview(report.settings[0], report)
    line = next(line for line in table.lines if line.head.text == "int8 .onnx")
    assert line.cells[-1] == Cell("3.0×", "too few processes")


@pytest.mark.parametrize(
    ("function", "value", "shown"),
    [
        (text.format_significant, 3.876, "3.88"),
        (text.format_significant, 21.44, "21.4"),
        (text.format_significant, 3890.2, "3890"),
        (text.format_significant, 0.04567, "0.0457"),
        (text.format_significant, 0.0, "0"),
        (text.format_megabytes, 3_762_480, "3.76"),
        (text.format_megabytes, 214_000_000, "214"),
        (text.format_percent, 0.99999, "99.9"),
        (text.format_percent, 1.0, "100.0"),
        (text.format_signed, -0.24, "\N{MINUS SIGN}0.2"),
        (text.format_signed, -0.04, "0.0"),
        (text.format_ratio, 5.23, "5.2×"),
        (text.format_ratio, 0.763, "0.76×"),
        (text.format_ratio, 12.4, "12×"),
    ],
)
def test_formatting_of_numbers(function, value: float, shown: str) -> None:
    assert function(value) == shown


# --- headline and notices


def uneven(quantize: str, *medians: float) -> Run:
    """Return a run of a process for each median in ms."""
    processes = tuple(
        Process(load_ns=1, first_ns=1, samples_ns=(int(ms * 1e6),) * 50) for ms in medians
    )
    return run("onnx", quantize, 1, processes=processes)


def changed(scale: float, count: int = 3) -> list[LatencyResult]:
    """Return one measurement of two bundles, the second of which takes `scale` of the time."""
    before = latency(runs=(run("onnx", "static", 4.0), run("reference", "none", 20.0)))
    (own, eager) = before.runs

    def stretch(process: Process) -> Process:
        samples = tuple(int(ns * scale) for ns in process.samples_ns)
        return process.model_copy(update={"samples_ns": samples})

    after = own.model_copy(update={"processes": tuple(map(stretch, own.processes))})
    runs = [(own, eager), (after,)]
    return [
        before.model_copy(
            update={
                "bundle": before.bundle.model_copy(update={"name": name, "hash": name[0] * 64}),
                "runs": tuple(
                    one.model_copy(update={"processes": one.processes[:count]}) for one in own_runs
                ),
            }
        )
        for name, own_runs in zip(("before", "after"), runs, strict=True)
    ]


@pytest.mark.parametrize(
    ("scale", "count", "expected"),
    [
        (1.5, 3, "after|before|1.50×, 1.50 to 1.50|slower"),
        (0.5, 3, "before|after|2.00×, 2.00 to 2.00|slower"),
        (1.001, 3, "after|before|1.00×, 1.00 to 1.00|no difference"),
        (1.5, 2, "after|before|1.50×, too few processes|not known"),
    ],
)
def test_the_same_file_of_two_bundles_is_compared(scale, count, expected) -> None:
    report = model.build(changed(scale, count))
    (line,) = changes.tabulate(report).lines
    slow, fast, times, verdict = expected.split("|")
    assert line.head.note == f"of {slow}, against that of {fast}"
    words = [", ".join(filter(None, (cell.text, cell.note))) for cell in line.cells]
    assert words == [times, verdict]
    written = headline.write(report)
    ratio = f"{times[:4]} ({times[7:]}) times as long as that of {fast}."
    assert (
        written.sentence
        == {
            "slower": f"int8 .onnx of {slow} takes {ratio}",
            "no difference": f"No file differs in speed between {fast} and {slow}.",
            "not known": f"It is not known whether {fast} and {slow} differ in speed "
            "for int8 .onnx.",
        }[verdict]
    )
    assert ("not the quotient of the medians" in " ".join(written.details)) == (verdict == "slower")


def test_bundles_of_different_measurements_are_not_compared() -> None:
    before, after = changed(1.5)
    apart = after.model_copy(update={"identity": identity(5)})
    assert changes.tabulate(model.build([before, apart])).lines == ()


def test_the_headline_has_the_metric_of_a_task() -> None:
    sentence = headline.write(model.build([latency(), segmented()])).sentence
    assert "with a mean IoU of 88 % and 96.0 % agreement" in sentence.replace(text.NBSP, " ")


def test_the_headline_is_computed(report: Report) -> None:
    result = headline.write(report)
    assert result.sentence == (
        "int8 .pte is 5.2× faster than eager PyTorch fp32 and 2.1× faster than its own fp32, "
        "0.4 points of top-1 lost."
    )
    assert [d.replace(text.NBSP, " ") for d in result.details] == [
        "Its file is 3.76 MB instead of 14.25 MB.",
        "On 468 pictures a top-1 difference below 1.8 points may be chance; "
        "the first answers agree on 96.0 %.",
        "int8 .ptl is 1.3× slower than its own fp32 here.",
    ]


@pytest.mark.parametrize(
    ("results", "sentence"),
    [
        (
            [latency(runs=(run("lite", "static", 23.1),)), latency("none")],
            "int8 .ptl is 1.3× slower than its own fp32.",
        ),
        (
            [
                latency(runs=(run("onnx", "static", 7.4),)),
                latency("none", runs=(run("onnx", "none", 7.402),)),
            ],
            "int8 .onnx is as fast as its own fp32, within 5 %.",
        ),
        (
            [
                latency(runs=(uneven("static", 6.0, 8.0, 7.0),)),
                latency("none", runs=(uneven("none", 7.0, 6.5, 8.5),)),
            ],
            "int8 .onnx is not clearly faster or slower than its own fp32.",
        ),
        (  # three times as fast, in two processes each
            [
                latency(runs=(uneven("static", 2.0, 2.0),)),
                latency("none", runs=(uneven("none", 6.0, 6.0),)),
            ],
            "int8 .onnx takes 2.00 ms, by too few processes to compare it with its own fp32.",
        ),
        ([latency(runs=(run("onnx", "static", 4.4),))], "int8 .onnx takes 4.39 ms."),
        ([latency("none", runs=(run("onnx", "none", 7.4),))], "fp32 .onnx takes 7.38 ms."),
        (
            [accuracy()],
            "int8 .ptl: 0.2 points of top-1 lost against eager PyTorch fp32; "
            "no latency was measured.",
        ),
        (
            [latency(runs=(run("executorch", "static", 400, device=VIRTUAL),)), latency("none")],
            "fp32 .onnx takes 7.38 ms.",
        ),
        (
            [latency(runs=(run("executorch", "static", 400, device=VIRTUAL),))],
            "Timed on virtual devices only, so no speed is claimed.",
        ),
        (
            [
                latency(runs=(run("executorch", "static", 9, device=PHONE),)),
                latency("none", runs=(run("executorch", "none", 27, device=PHONE),)),
                latency(),
            ],
            "On Pixel 8, int8 .pte is 3.0× faster than its own fp32.",
        ),
    ],
)
def test_the_headline_claims_no_more_than_was_measured(results, sentence: str) -> None:
    result = headline.write(model.build(results)).sentence.replace(text.NBSP, " ")
    assert result == sentence


def test_higher_accuracy_is_called_gained() -> None:
    rows = tuple(
        r.model_copy(update={"top1": 0.85}) if r.format == "executorch" else r
        for r in accuracy().rows
    )
    result = headline.write(model.build([latency(), accuracy(rows=rows)])).sentence
    assert result.endswith("2.1 points of top-1 gained.")


def test_virtual_devices_are_separate_marked_and_without_speedups() -> None:
    virtual = [
        latency(runs=(run("executorch", "static", 400, device=VIRTUAL),)),
        latency("none", runs=(run("executorch", "none", 3900, device=VIRTUAL),)),
    ]
    composed = page.compose([*virtual, *everything()])
    local, apart = composed.sections
    assert (local.virtual, apart.virtual) == (False, True)
    assert apart.kind == "Virtual device, not a phone"
    assert "Against own fp32" not in apart.table.columns
    assert [p.key for p in apart.pictures] == ["latency-b"]
    for table in (apart.table, *composed.details):
        for line in table.lines:
            reports = "vdev" in str(line) or "'B'" in str(line)
            assert ("virtual device" in line.head.marks) == (table is apart.table or reports)
    assert composed.notices[0].title == "Not a phone: vdev-arm64-qemu"


def test_a_warning_of_the_benchmark_is_printed_once_and_marks_its_rows() -> None:
    words = (read_text("the clock changed during the run; plug the machine in"),)
    runs = (
        run("executorch", "static", 4, notices=words),
        run("onnx", "static", 4, notices=words),
        run("lite", "static", 20, notices=(make_notice("labels.source", source="x"),)),
    )
    report = model.build([latency(runs=runs)])
    reports = [n for n in notices.collect(report) if n.title.startswith("Measured with a warning")]
    assert [n.text for n in reports] == ["The clock changed during the run; plug the machine in."]
    assert reports[0].title.endswith(": int8 .pte; int8 .onnx")
    marks = {line.head.text: line.head.marks for line in tables.tabulate_latency(report).lines}
    assert marks["int8 .pte"] == ("see warnings",)
    assert marks["int8 .ptl"] == ()


def test_notices_that_differ_in_numbers_are_one_and_name_no_option() -> None:
    def warm(name: str, temperature: float, processes: int) -> Run:
        notices = (
            make_notice("device.warm", temperature=temperature, limit=38.0),
            make_notice("processes.more", processes=processes),
        )
        return run(name, "static", 4, notices=notices)

    report = model.build([latency(runs=(warm("onnx", 40.2, 20), warm("lite", 39.1, 12)))])
    reports = [f"{n.title}. {n.text}" for n in notices.collect(report)][:2]
    assert reports == [
        "Measured with a warning: every row. The battery reached 39.1 to 40.2 °C, above the "
        "38 °C below which processes start: let the device cool down, or wait longer for it.",
        "What would help: every row. 20 processes with the spread of these would resolve the "
        "median: measure that many.",
    ]


def test_disagreeing_processes_give_a_notice() -> None:
    processes = tuple(
        Process(load_ns=1, first_ns=1, samples_ns=(ms * 1_000_000,) * 20) for ms in (4, 5)
    )
    report = model.build([latency(runs=(run("onnx", "static", 4, processes=processes),))])
    reports = notice(report, "Processes disagree: int8 .onnx")
    assert reports is not None
    assert "differ by 25 %" in reports.text


def test_a_missing_baseline_gives_a_notice() -> None:
    reports = notice(model.build([latency(runs=(run("onnx", "static", 4),))]), "No fp32 beside")
    assert reports is not None
    assert reports.title == "No fp32 beside int8 .onnx"


def test_a_complete_report_has_no_notice(report: Report) -> None:
    assert notices.collect(report) == []
