"""The pages of a report: escaped, self-contained, described, written whole or not at all."""

from __future__ import annotations

import base64
import csv as standard_csv
import hashlib
import re
import resource
from datetime import timedelta
from pathlib import Path
from urllib.parse import unquote
from xml.etree import ElementTree

import pytest
from report_samples import CONTEXT, accuracy, bundle, everything, identity, latency, run

from kit import cli
from kit.errors import OutputError
from kit.files import atomic
from kit.notices import Notice
from kit.report import csv, html, markdown, page, tables, text
from kit.report.cells import Cell, Head, Line
from kit.report.palette import DARK, LIGHT, SERIES
from kit.report.tables import Table
from kit.report.write import write
from kit.results import store
from kit.results.context import DeviceRef, HostRef

HOSTILE = "<script>alert(1)</script> & | `x` **b** [a](b) $x^2$ \u202e\x1b[31m\ud800 \n# x"


def sentence(text: str) -> Notice:
    """Return a notice of any text, without lone surrogates, as after reading."""
    return Notice.model_construct(code="text", severity="warning", values={"text": text})


@pytest.fixture(scope="module")
def hostile() -> page.Page:
    name = HOSTILE
    ref = bundle(name=name, hash="b" * 64, model=name)
    context = CONTEXT.model_copy(
        update={"cpu": name, "os": name, "versions": {name: name}, "environment": {name: name}}
    )
    device = DeviceRef(kind="local", name=name, serial=name)
    odd = {"context": context, "device": device, "notices": (sentence(name),)}
    unnamed = run("lite", "static", 5, **odd).model_copy(update={"format": name})
    runs = (run("onnx", "static", 4, **odd), unnamed)
    ref_fp32 = bundle("none", name=name + "2", model=name)
    scores = [
        accuracy(bundle=ref, pictures=name),
        accuracy("none", bundle=ref_fp32, pictures=name),
    ]
    fields = {"model": name, "soc": name, "build": name, "abi": name}
    who = identity(3, **fields).model_copy(update={"host": HostRef.model_validate({
        "name": name, "cpu": name, "machine": name, "os": name,
    })})  # fmt: skip
    timed = latency(bundle=ref, runs=runs, kit_version=name, identity=who)
    fp32_runs = (run("onnx", "none", 7, **odd),)
    fp32 = latency("none", bundle=ref_fp32, runs=fp32_runs, identity=who)
    return page.compose([timed, fp32, *scores])


def test_strings_of_results_are_escaped_in_html(hostile: page.Page) -> None:
    actual = html.render(hostile)
    actual.encode()
    assert actual.count("<script") == 1  # the page's own, which the policy names by its hash
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in actual
    assert not re.search(r"[\x00-\x08\x0b-\x1f\u202e\ud800-\udfff]", actual)


def test_an_option_in_a_warning_is_not_wrapped() -> None:
    odd = run(
        "onnx", "static", 4, notices=(sentence("<b> runs: measure with --cpus f0 or --cool-wait"),)
    )
    actual = html.render(page.compose([latency(runs=(odd,))]))
    option = '<span class="option">{}</span>'.format
    words = f"&lt;b&gt; runs: measure with {option('--cpus')} f0 or {option('--cool-wait')}"
    assert words in actual


def test_strings_of_results_are_escaped_in_markdown(hostile: page.Page) -> None:
    actual = markdown.render(hostile)
    actual.encode()
    assert "<script" not in re.sub(r"\\<", "", actual)
    assert not re.search(r"(?<!\\)\*\*b\*\*|(?<!\\)\[a\](?!\\)\(", actual.replace("\\*", ""))
    tables_found = [block for block in actual.split("\n\n") if block.startswith("| ")]
    assert len(tables_found) >= 5
    for block in tables_found:
        widths = {len(re.findall(r"(?<!\\)\|", line)) for line in block.splitlines()}
        assert len(widths) == 1, block


def test_an_invalid_figure_title_does_not_break_the_svg(hostile: page.Page) -> None:
    for picture in [*hostile.pictures, *(p for s in hostile.sections for p in s.pictures)]:
        root = ElementTree.fromstring(picture.file.encode())
        assert root.find("{*}script") is None
        assert root[0].text == picture.title


def test_markdown_of_a_name_with_underscores_stays_readable() -> None:
    assert markdown.escape("mobilenet_v2-224") == "mobilenet_v2-224"
    assert markdown.escape("_a_ b|c\nd") == r"\_a\_ b\|c d"


def test_the_html_page_is_self_contained_and_described() -> None:
    actual = html.render(page.compose(everything()))
    own = re.search(r"<script>(.*?)</script>", actual, re.DOTALL)[1]
    digest = base64.b64encode(hashlib.sha256(own.encode()).digest()).decode()
    assert f"default-src 'none'; style-src 'unsafe-inline'; script-src 'sha256-{digest}'" in actual
    rest = actual.replace(own, "", 1).replace("<script></script>", "")
    assert not re.search(r"https?:|//[a-z]|<script|<link|<img|url\((?!#)|@import", rest)
    assert not re.search(r"https?:|fetch|import|XMLHttp|eval", own)
    assert actual.count("<style") == 1  # one in a plot would dress the whole page
    assert actual.count("<caption") == actual.count("<table") == 6
    heads = re.findall(r"<th [^>]*>", actual)
    assert all(re.search(r'scope="(col|row)"', head) for head in heads)
    pictures = re.findall(r"<svg [^>]*>", actual)
    assert len(pictures) == 3
    for picture in pictures:
        assert 'role="img"' in picture
        for name in re.search(r'aria-labelledby="([^"]*)"', picture)[1].split():
            assert actual.count(f'id="{name}"') == 1
    ids = re.findall(r' id="([^"]*)"', actual)
    places = re.findall(r'<a href="#([^"]*)"', actual)
    assert places == ["setting-1", "numbers", "conditions", "reading"]
    assert set(places) <= set(ids)
    assert len(ids) == len(set(ids))
    referred = re.findall(r"url\(#([^)]*)\)", actual)
    referred += re.findall(r'<use [^>]*href="#([^"]*)"', actual)  # the marks of plots
    assert set(referred) <= set(ids)
    assert "prefers-color-scheme:dark" in actual
    assert "3.76 to 4.00" in actual.replace(text.NBSP, " ")


def test_a_page_names_the_first_and_last_day() -> None:
    first = latency()
    again = first.model_copy(update={"created": first.created + timedelta(hours=1)})
    later = first.model_copy(update={"created": first.created + timedelta(days=2)})
    assert page.compose([first, again]).when == "2025-11-24"
    assert page.compose([first, again, later]).when == "2025-11-24 to 2025-11-26"


def test_the_page_offers_each_table_as_csv() -> None:
    composed = page.compose(everything())
    actual = html.render(composed)
    links = re.findall(r'<a href="data:text/csv;charset=utf-8,([^"]*)" download="([^"]*)"', actual)
    tables = (composed.sections[0].table, *composed.details)
    assert [name for _, name in links] == [f"{table.key}.csv" for table in tables]
    heads, *rows = standard_csv.reader(unquote(links[0][0]).splitlines())
    fastest = dict(zip(heads, rows[0], strict=True))
    assert fastest == {
        "Format": "int8 .pte",
        "Note": "static per-channel, executorch 1.5.1",
        "Size, MB": "3.76",
        "Top-1, %": "82.5",
        "Top-1, %: note": "0.4 lost, ± 1.8",
        "Parity, %": "96.0",
        "Parity, %: note": "of 50",
        "Median, ms": "3.88",
        "Median, ms: note": "3.76 to 4.00",
        "Against eager fp32": "5.2",
        "Against eager fp32: note": "5.13 to 5.31",
        "Against own fp32": "2.1",
        "Against own fp32: note": "2.06 to 2.14",
    }
    assert len(rows) == len(composed.sections[0].table.lines)
    assert {row[heads.index("Against eager fp32")] for row in rows} >= {""}  # of the eager model


def test_pages_say_below_the_first_table_what_its_ratios_are() -> None:
    composed = page.compose(everything())
    for text_of_page in (html.render(composed), markdown.render(composed)):
        assert text_of_page.count(tables.QUIET_MOMENTS) == 1


def test_csv_has_plain_numbers_and_no_formulas() -> None:
    shown = ["14,180,224", f"{text.MINUS}0.5", "5.2×", text.NONE, "1e-06", "a, b"]
    shown += ["=1+1", "-x", "@x"]
    cells = tuple(Cell(one) for one in shown)
    table = Table("key", "Caption", tuple("abcdefghi"), (Line(Head("+x\n", "", ""), cells),))
    _, row = standard_csv.reader(csv.render(table).splitlines())
    assert row == [
        *("'+x", "", "14180224", "-0.5", "5.2", "", "1e-06", "a, b", "'=1+1", "'-x", "'@x"),
    ]


def test_the_most_serious_notices_are_shown_and_the_others_folded() -> None:
    names = ("lite", "executorch", "onnx")
    runs = [run(n, "static", 4, notices=(sentence(f"odd {n}"),)) for n in names]
    actual = html.render(page.compose([latency(runs=tuple(runs))]))
    box = re.search(r'<section class="notices".*?</section>', actual, re.DOTALL)[0]
    items = re.findall(r"<li>(.*?)</li>", box, re.DOTALL)
    assert len(items) == 4
    assert [item.startswith("<details><summary><strong>") for item in items] == [*[False] * 3, True]
    assert "No fp32 beside" in items[3]


def test_folded_notices_of_one_title_are_one_item() -> None:
    odd = tuple(sentence(f"odd {number}") for number in range(5))
    actual = html.render(page.compose([latency(runs=(run("onnx", "static", 4, notices=odd),))]))
    folded = re.findall(r"<summary><strong>(.*?)</strong></summary>(.*?)</details></li>", actual)
    (texts,) = (texts for title, texts in folded if title.endswith("(2)."))
    assert texts == "<p>Odd 3.</p><p>Odd 4.</p>"


def test_markdown_has_the_same_tables_as_html() -> None:
    composed = page.compose(everything())
    actual = markdown.render(composed)
    for table in (composed.sections[0].table, *composed.details):
        assert f"| {table.subject} | {' | '.join(table.columns)} |" in actual
        for line in table.lines:
            assert actual.count(f"| **{line.head.text}**") >= 1
    assert actual.startswith("# int8 .pte is 5.2× faster than eager PyTorch fp32 and 2.1× faster")
    assert "](plots/latency-a.svg)" in actual
    assert "int8 .pte: median 3.88 ms, 95 % interval 3.76 to 4.00, p99 4.20, 450 samples." in actual


def test_every_sample_is_drawn() -> None:
    composed = page.compose(everything())
    latency_plot = next(p for p in composed.sections[0].pictures if p.key == "latency-a")
    dots = [d for d in re.findall(r' d="([^"]*)"', latency_plot.inline) if d.count("M") > 50]
    assert sum(d.count("M") for d in dots) == 7 * 450


def test_colours_have_contrast_in_light_and_dark() -> None:
    for palette in (LIGHT, DARK):
        for ground in ("paper", "card"):
            for ink in ("ink", "muted", "good", "bad", "eager", "int8"):
                assert contrast(palette[ink], palette[ground]) >= 4.5, (ink, ground)
            for mark in ("fp32", *SERIES):
                assert contrast(palette[mark], palette[ground]) >= 3, (mark, ground)
        assert contrast(palette["warn"], palette["warn-paper"]) >= 4.5
        assert contrast(palette["ink"], palette["warn-paper"]) >= 4.5


def contrast(one: str, other: str) -> float:
    """WCAG 2.2, 1.4.3."""

    def luminance(colour: str) -> float:
        parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
        linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in parts]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    light, dark = sorted((luminance(one), luminance(other)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


# --- on disk


def test_a_failed_write_keeps_the_older_report(tmp_path, monkeypatch) -> None:
    write(everything(), tmp_path / "out")
    names = sorted(p.relative_to(tmp_path).as_posix() for p in tmp_path.rglob("*") if p.is_file())
    assert names == [
        "out/plots/latency-a.svg",
        "out/plots/pairs-a.svg",
        "out/plots/size-accuracy.svg",
        "out/report.html",
        "out/report.md",
    ]
    before = (tmp_path / "out/report.md").read_bytes()
    real = atomic.create_part

    def full_disk(path: Path) -> tuple[Path, int]:
        if path.name == "report.html":
            raise OSError(28, "No space left on device")
        return real(path)

    monkeypatch.setattr(atomic, "create_part", full_disk)
    with pytest.raises(OutputError, match="No space left on device"):
        write([accuracy()], tmp_path / "out")
    assert (tmp_path / "out/report.md").read_bytes() == before
    assert len(list((tmp_path / "out").rglob(".*"))) == 0


def test_an_existing_file_as_the_folder_is_an_output_error(tmp_path) -> None:
    (tmp_path / "out").write_text("mine")
    with pytest.raises(OutputError, match="cannot write the report"):
        write([accuracy()], tmp_path / "out")
    assert (tmp_path / "out").read_text() == "mine"


def test_a_limit_on_file_sizes_leaves_no_folder(tmp_path) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, hard))
    try:
        with pytest.raises(OutputError, match="cannot write the report"):
            write([accuracy()], tmp_path / "a/out")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert list(tmp_path.iterdir()) == []


def test_a_planted_link_is_not_followed(tmp_path) -> None:
    """It would let another user choose the folder of the plots."""
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "plots").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(OutputError, match=r"out/plots: it is a symbolic link"):
        write([accuracy()], tmp_path / "out")
    assert list((tmp_path / "elsewhere").iterdir()) == []
    assert [p.name for p in (tmp_path / "out").iterdir()] == ["plots"]
    (tmp_path / "mine").symlink_to(tmp_path / "elsewhere")  # the user's own choice
    assert write([accuracy()], tmp_path / "mine").html.is_file()


# --- the command


def test_the_command_reads_files_and_prints_the_paths(tmp_path, capsys) -> None:
    paths = []
    for index, result in enumerate(everything()):
        paths.append(str(tmp_path / f"{index}.json"))
        store.write(result, Path(paths[-1]))
    assert cli.run(["report", *paths, "-o", str(tmp_path / "out")]) == 0
    reports = capsys.readouterr()
    assert reports.out.splitlines() == [
        str(tmp_path / "out" / "report.html"),
        str(tmp_path / "out" / "report.md"),
    ]
    assert reports.err.startswith("int8 .pte is 5.2× faster than eager PyTorch fp32")
    assert "int8 .pte is 5.2×" in (tmp_path / "out" / "report.html").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "cannot read the result"),
        ("{", "is not a result file"),
        ("[]", "is not a result file"),
        ('{"kind": "latency", "schema_version": 99}', "schema 99"),
        ('{"kind": "speed"}', "is not a result file: its kind is 'speed'"),
        ("{}", "is not a result file: it says no kind"),
    ],
)
def test_a_wrong_file_is_one_sentence_and_exit_code_3(tmp_path, capsys, content, message) -> None:
    path = tmp_path / "result.json"
    if content is not None:
        path.write_text(content)
    assert cli.run(["report", str(path), "-o", str(tmp_path / "out")]) == 3
    reports = capsys.readouterr().err
    assert message in reports
    assert "Traceback" not in reports
    assert not (tmp_path / "out").exists()


def test_a_folder_as_a_result_and_no_result_at_all_are_errors(tmp_path, capsys) -> None:
    assert cli.run(["report", str(tmp_path), "-o", str(tmp_path / "out")]) == 3
    assert cli.run(["report"]) == 2
    assert "RESULT" in capsys.readouterr().err
