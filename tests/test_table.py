"""`kit table`: rows from bundles and results, the Pareto front, and commands for empty cells."""

from __future__ import annotations

import json
import shlex
from dataclasses import replace
from pathlib import Path

import pytest
from matplotlib.figure import Figure
from report_samples import (
    PHONE,
    VIRTUAL,
    accuracy,
    bundle,
    everything,
    identity,
    latency,
    run,
    segmented,
)
from test_report_browser import BROWSER, probe

from kit import cli
from kit.bench.plan import get_preset
from kit.bundles import loading, writing
from kit.json_outputs import read_output
from kit.results import store
from kit.results.latency import LatencyResult
from kit.table import plot
from kit.table.front import find_points, is_beaten, mark_front
from kit.table.missing import suggest, suggest_device
from kit.table.overview import build
from kit.table.page import list_tables, render_html, render_markdown

NAMES = [
    "reference",
    *(f"{name}-{how}" for name in ("executorch", "lite", "onnx") for how in ("fp32", "int8")),
]


def row_of(overview, label: str):
    return next(row for row in overview.rows if row.label == label)


def test_all_artifacts_of_all_results_are_in_one_table():
    overview = build([], everything())
    assert [row.label for row in overview.rows] == NAMES
    int8, fp32 = row_of(overview, "onnx-int8"), row_of(overview, "onnx-fp32")
    assert int8.artifact.size < fp32.artifact.size
    assert int8.accuracy.row.agreement == 0.951
    assert int8.timing.median.median < fp32.timing.median.median
    assert int8.memory is None  # the samples have no memory of the empty runtime
    assert not overview.others


def test_unmeasured_cells_are_empty():
    overview = build([], [latency(), accuracy("none")])
    (table,) = list_tables(overview)
    cells = {
        line.head.text: dict(zip(table.columns, line.cells, strict=True)) for line in table.lines
    }
    timed = next(row for name, row in cells.items() if name.endswith("onnx-int8"))
    evaluated = next(row for name, row in cells.items() if name.endswith("onnx-fp32"))
    assert timed["Top-1, %"].text == timed["SQNR, dB"].text == ""
    assert timed["Median, ms"].text
    assert evaluated["Median, ms"].text == evaluated["p90, ms"].text == ""
    assert evaluated["Top-1, %"].text == "82.9"


def test_the_first_metric_of_a_task_without_top1_takes_its_place():
    overview = mark_front(build([], [latency(), segmented()]))
    (table,) = list_tables(overview)
    assert table.columns[:3] == ("Size, MB", "mean IoU, %", "Agreement, %")
    assert [line.cells[1].text for line in table.lines] == ["90", "88", "89", "87"]
    points, what = find_points(overview)
    assert what == "mean IoU"
    assert [point.accuracy for point in points] == [88, 89, 87]
    # Beside a classifier both columns are there.
    other = latency(bundle=bundle("none", model="net", name="net", hash="c" * 64), runs=())
    scored = accuracy(bundle=other.bundle)
    (table, *_) = list_tables(build([], [latency(), segmented(), scored]))
    assert table.columns[:3] == ("Size, MB", "Top-1, %", "mean IoU, %")


def test_equal_answers_have_no_interval():
    (table,) = list_tables(build([], [accuracy("none"), latency("none")]))
    place = table.columns.index("Top-1, %")
    notes = {line.cells[place].note.replace("\N{NO-BREAK SPACE}", " ") for line in table.lines[1:]}
    assert notes == {"equal answers"}


def test_virtual_devices_are_separate_and_unranked():
    emulated = latency(
        identity=identity(7), runs=(run("executorch", "static", 0.1, device=VIRTUAL),)
    )
    overview = mark_front(build([], [*everything(), emulated]))
    assert row_of(overview, "executorch-int8").timing.setting.device.kind == "local"
    ((setting, rows),) = overview.others
    assert setting.virtual
    assert [row.label for row in rows] == ["executorch-int8"]
    points, _ = find_points(overview)
    assert min(point.latency for point in points) > 1
    for text in (render_html(overview, []), render_markdown(overview)):
        assert text.count("not a phone, never ranked") >= 1
        assert "they are not ranked" in text
    # If nothing else was timed, there is no main setting, and still no front.
    alone = mark_front(build([], [emulated, accuracy()]))
    assert alone.main is None
    assert not any(row.front for row in alone.rows)


def test_this_machine_comes_before_phones():
    phone = latency(runs=(run("executorch", "static", 9.0, device=PHONE),), identity=identity(8))
    overview = build([], [phone, latency()])
    assert overview.main.device.kind == "local"
    ((setting, _),) = overview.others
    assert setting.device.kind == "phone"
    assert build([], [phone]).main.device.kind == "phone"


def test_the_front_has_rows_that_no_other_row_beats():
    overview = mark_front(build([], everything()))
    points, what = find_points(overview)
    assert what == "top-1"
    assert len(points) == 6  # the float model has no file
    for point in points:
        merits = (point.accuracy, -point.latency, -point.size)
        others = [(p.accuracy, -p.latency, -p.size) for p in points if p is not point]
        beaten = any(
            all(a >= b for a, b in zip(o, merits, strict=True)) and o != merits for o in others
        )
        assert point.row.front != beaten
        assert is_beaten(point, points) == beaten
    assert 0 < sum(row.front for row in overview.rows) < 6
    # Equal points do not beat each other.
    twin = replace(points[0])
    assert not is_beaten(twin, [points[0], twin])


def test_scores_of_other_pictures_are_not_in_the_plot():
    other = accuracy(pictures_sha256="ab" * 32, identity=identity(9))
    overview = build([], [latency(), latency("none"), accuracy("none"), other])
    points, _ = find_points(overview)
    assert len({point.row.accuracy.picture_set for point in points}) == 1
    assert len(points) == 3
    assert "Rows on different pictures do not compare." in render_markdown(overview)


def test_the_plot_and_the_table_number_rows_alike():
    overview = mark_front(build([], everything()))
    (table,) = list_tables(overview)
    heads = [line.head.text for line in table.lines]
    assert heads == [f"{number} {name}" for number, name in enumerate(NAMES, 1)]
    drawing = plot.draw(overview)
    assert ">2, 6<" in drawing.inline  # both are fp32, equally accurate and nearly as fast
    fronts = [sentence.count("on the front") for sentence in drawing.description.split(". ")]
    points, _ = find_points(overview)
    assert fronts == [point.row.front for point in points]


def test_no_point_is_outside_of_the_plot():
    points, what = find_points(mark_front(build([], everything())))
    axes = Figure().subplots()
    plot._scale(axes, points, what)
    for point in points:
        assert axes.get_xlim()[0] < point.latency < axes.get_xlim()[1]
        assert axes.get_ylim()[0] < point.accuracy < axes.get_ylim()[1]


def test_markup_in_names_is_text_on_the_page_and_in_markdown():
    hostile = "<img src=x>|*a*"
    results = [latency(bundle=bundle(name=hostile)), accuracy(bundle=bundle(name=hostile))]
    results += [latency("none", bundle=bundle("none", model=hostile))]
    overview = mark_front(build([], results))
    page = render_html(overview, ["kit eval '<b>'"])
    assert "<img" not in page
    assert "<b>" not in page
    assert "http" not in page.replace("http-equiv", "").replace("http://www.w3.org", "")
    assert 'id="pareto-title"' in page
    text = render_markdown(overview)
    assert "<img" not in text.replace("\\<img", "")
    heads = [line for line in text.splitlines() if line.startswith("|")]
    assert len({line.replace("\\|", "").count("|") for line in heads}) == 1


@pytest.fixture
def place(tmp_path: Path, tiny_bundle, measured) -> Path:
    """A copy of the tiny bundle, in a folder with a space, with a result of one of its files."""
    target = tmp_path / "my work" / "tiny"
    target.parent.mkdir()
    writing.copy_bundle(tiny_bundle.path, target)
    result = next(r for r in measured[0] if r.bundle.hash == tiny_bundle.hash)
    store.write(result, target.parent / "latency.json")
    return target


def test_the_command_reads_results_beside_a_bundle_and_names_missing_ones(place, capsys):
    assert cli.run(["table", str(place), "--json"]) == 0
    shown = capsys.readouterr()
    read_output("table", shown.out)
    rows = {row["artifact"]: row for row in json.loads(shown.out)["rows"]}
    assert rows["onnx-fp32"]["median_ms"] > 0
    assert rows["onnx-fp32"]["load_ms"] > 0
    assert rows["lite-fp32"]["median_ms"] is None
    assert rows["lite-fp32"]["top1"] is None
    assert rows["lite-fp32"]["bytes"] == (place / "model-fp32.ptl").stat().st_size
    commands = [shlex.split(line) for line in shown.err.splitlines() if "kit " in line]
    assert [words[1] for words in commands] == ["eval", "bench", "bench"]
    evaluate, bench, device = commands
    assert evaluate[2] == bench[2] == device[2] == str(place)
    assert evaluate[evaluate.index("--format") + 1] == "lite-fp32,onnx-fp32"
    assert bench[bench.index("--format") + 1] == "lite-fp32"
    assert "--device" in device
    assert shown.err.splitlines()[-2] == "to measure on a phone as well:"


def test_a_suggested_file_does_not_replace_an_earlier_result(place):
    (place.parent / "accuracy-tiny.json").write_text("{}")
    overview = build([loading.load_bundle(place)], [])
    assert "accuracy-tiny-2.json" in suggest(overview)[0]


def has_memory(result: LatencyResult, **changes) -> LatencyResult:
    known = {"base_rss": 100_000_000, **changes}
    runs = tuple(one.model_copy(update=known) for one in result.runs)
    return result.model_copy(update={"runs": runs})


def test_only_commands_that_fill_a_cell_are_said_to(tmp_path):
    def commands(*results) -> list[list[str]]:
        overview = build([], [*results, accuracy(), accuracy("none")])
        paths = {ref.bundle.hash: tmp_path / ref.bundle.name for ref in results}
        return [shlex.split(line) for line in suggest(replace(overview, paths=paths))]

    int8, fp32 = has_memory(latency()), has_memory(latency("none"))
    assert commands(int8, fp32) == []
    # A quick measurement has times and no memory.
    quick = has_memory(int8, plan=get_preset("quick"), peak_rss=None, base_rss=None)
    ((kit, bench, path, _, names, _, _),) = commands(quick, fp32)
    assert (kit, bench, path) == ("kit", "bench", str(tmp_path / quick.bundle.name))
    assert set(names.split(",")) == {f"{name}-int8" for name in ("executorch", "lite", "onnx")}
    # Another run of a runner that cannot tell its memory would not fill the cell.
    assert commands(latency(), fp32) == []
    # Cells of a phone are filled on that phone.
    phone = has_memory(quick, device=PHONE)
    assert commands(phone)[0][-4:-2] == ["--device", "38A1"]
    overview = replace(build([], [phone]), paths={phone.bundle.hash: tmp_path})
    assert suggest_device(overview) == []


def test_the_caption_describes_the_dashed_line_only_where_it_is_drawn():
    scores = [accuracy(), accuracy("none")]
    equal = [
        one.model_copy(update={"rows": tuple(r.model_copy(update={"top1": 0.8}) for r in one.rows)})
        for one in scores
    ]
    times = [latency(), latency("none")]
    assert "The dashed line is" in render_html(build([], [*times, *scores]), [])
    page = render_html(build([], [*times, *equal]), [])
    assert 'id="pareto-title"' in page
    assert "dashed" not in page


def test_the_command_writes_pages_and_accepts_results_without_bundles(tmp_path, capsys):
    for number, result in enumerate(everything()):
        store.write(result, tmp_path / f"{number}.json")
    page, text = tmp_path / "out" / "table.html", tmp_path / "table.md"
    page.parent.mkdir()
    assert cli.run(["table", str(tmp_path), "--html", str(page), "--markdown", str(text)]) == 0
    shown = capsys.readouterr()
    assert "executorch-int8" in shown.out
    assert shown.out.endswith(f"{page}\n{text}\n")
    assert "kit eval" not in shown.err  # the bundles are not here
    assert 'id="pareto-title"' in page.read_text()
    assert text.read_text().startswith(
        "| mobilenet\\_v2" if "\\_" in text.read_text() else "| mobilenet_v2"
    )


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["table", "nothing-here"], 3, "nothing-here"),
        (["table"], 2, "MODEL"),
        (["table", "x", "--html", "/dev/null/table.html"], 7, "/dev/null"),
    ],
)
def test_bad_input_is_one_sentence(arguments, code, words, capsys):
    assert cli.run(arguments) == code
    assert words in capsys.readouterr().err


@pytest.mark.slow
@pytest.mark.skipif(BROWSER is None, reason="needs Chromium: install the package chromium")
@pytest.mark.parametrize("width", [390, 1120])
def test_no_content_overflows_the_page(tmp_path, width):
    page = tmp_path / "table.html"
    emulated = latency(
        identity=identity(7), runs=(run("executorch", "static", 0.1, device=VIRTUAL),)
    )
    overview = mark_front(build([], [*everything(), emulated]))
    page.write_text(render_html(overview, ["kit eval " + "a_long_name/" * 30]), encoding="utf-8")
    actual = probe(tmp_path, page, width)
    assert actual["inner"] == width
    assert actual["scroll"] <= width
    assert actual["smallest"] >= 7  # CSS pixels of the plot's text
    if width == 390:
        assert actual["sticking"] == []


def test_a_result_may_have_the_name_of_a_manifest(tmp_path, capsys):
    """`kit bench -o FOLDER/` names the result of a bundle in a folder `bundle` so."""
    store.write(accuracy(), tmp_path / "bundle.json")
    assert cli.run(["table", str(tmp_path)]) == 0
    assert cli.run(["report", str(tmp_path), "-o", str(tmp_path / "page")]) == 0
    assert cli.run(["report", str(tmp_path / "bundle.json"), "-o", str(tmp_path / "page")]) == 0
