"""Notices: codes and values, rendered to text in one place and merged by value."""

from __future__ import annotations

import ast
import string
from pathlib import Path

import pytest
from pydantic import ValidationError
from report_samples import latency, run

from kit.bench import gates
from kit.bench.rows import as_json, list_rows
from kit.bench.stability import Stability
from kit.commands.common import advice, latency_table
from kit.notice_catalogue import CATALOGUE, TEXT
from kit.notice_values import SEVERITIES
from kit.notices import Notice, fill, make_notice, merge_notices, read_text, render

ROOT = Path(__file__).parents[1]


def names_in(template: str) -> set[str]:
    return {name for _, name, _, _ in string.Formatter().parse(template) if name}


@pytest.mark.parametrize("code", CATALOGUE)
def test_an_entry_uses_its_values_and_names_no_option(code: str) -> None:
    entry = CATALOGUE[code]
    typed = advice.TYPE.get(code, "")
    used = names_in(entry.text) | names_in(entry.hint) | names_in(typed)
    assert used == set(entry.values)
    assert entry.severity in SEVERITIES
    for words in (entry.text, entry.hint):
        assert "--" not in words
        assert "`" not in words
        assert not words.endswith(".")
    assert "kit " not in entry.hint


def test_advice_covers_only_existing_codes() -> None:
    assert set(advice.TYPE) <= set(CATALOGUE)


def test_the_codes_in_use_are_those_of_the_catalogue() -> None:
    given: set[str] = set()
    for path in (ROOT / "kit").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and ast.unparse(node.func) == "make_notice":
                code = node.args[0]
                if isinstance(code, ast.Constant):
                    given.add(code.value)
    # Codes passed as a variable, in `kit.bench`.
    given |= {"samples.slower", "samples.faster", "int8.slower", "int8.slower-on-desktop"}
    assert given == set(CATALOGUE) - {TEXT}


def test_the_documented_catalogue_is_current() -> None:
    reports = (ROOT / "docs/notices.md").read_text(encoding="utf-8")
    assert reports == advice.document_notices(), "run scripts/notices > docs/notices.md"


# --- values


@pytest.mark.parametrize(
    ("code", "values"),
    [
        ("machine.busy", {"others": 1.5}),
        ("machine.busy", {"others": 1.5, "cores": 4, "more": 1}),
        ("machine.busy", {"others": 1.5, "cores": "4"}),
        ("machine.busy", {"others": 1.5, "cores": 4.0}),
        ("machine.busy", {"others": float("nan"), "cores": 4}),
        ("machine.busy", {"others": 10**400, "cores": 4}),
        ("samples.few", {"x": 1}),
        ("text", {"text": "a\0b"}),
        ("text", {"text": "x" * 10_001}),
        ("newer.code", {str(number): 1 for number in range(21)}),
        ("newer.code", {"x": {"y": 1}}),
        ("No Code", {}),
        ("a.b.c", {}),
    ],
)
def test_values_that_do_not_match_the_code_are_refused(code, values) -> None:
    with pytest.raises(ValidationError):
        Notice(code=code, severity="warning", values=values)


def test_a_notice_survives_json() -> None:
    for notice in (
        make_notice("device.warm", temperature=45.0, limit=38.0),
        make_notice("device.thermal-status", statuses=("light", "severe")),
        make_notice("processes.more", processes=7),
        Notice(code="newer.code", severity="refusal", values={"a": 1, "b": 0.5, "c": "x"}),
    ):
        assert Notice.model_validate_json(notice.model_dump_json()) == notice
    whole = (
        '{"code": "device.warm", "severity": "warning", "values": {"temperature": 45, "limit": 38}}'
    )
    assert render(Notice.model_validate_json(whole)).startswith("the battery reached 45.0 °C")


def test_a_sentence_of_an_older_result_is_shown_as_it_is() -> None:
    assert render(read_text("measure {longer}: with --official")) == (
        "measure {longer}: with --official"
    )
    assert render(read_text("a\0b" + "x" * 20_000)) == ("ab" + "x" * 20_000)[:10_000]


def test_an_unknown_code_is_shown_with_its_values() -> None:
    newer = Notice(code="newer.code", severity="hint", values={"a": 1, "b": "x"})
    assert render(newer) == "newer.code: a 1, b x"
    assert render(Notice(code="newer", severity="hint")) == "newer"


# --- merging


def reports(*notices: Notice) -> list[tuple[str, list[int]]]:
    merged = merge_notices((notice, index) for index, notice in enumerate(notices))
    return [(render(group, hint=False), abouts) for group, abouts in merged]


def warm(celsius: float, limit: float = 38.0) -> Notice:
    return make_notice("device.warm", temperature=celsius, limit=limit)


def busy(others: float, cores: int = 4) -> Notice:
    return make_notice("machine.busy", others=others, cores=cores)


@pytest.mark.parametrize(
    ("notices", "text"),
    [
        ([warm(40.2), warm(39.1)], "the battery reached 39.1 to 40.2 °C, above the 38 °C"),
        ([busy(2.4), busy(1.4)], "other programs kept 1.4 to 2.4 of 4 cores busy meanwhile"),
        ([busy(1.41), busy(1.44)], "other programs kept 1.4 of 4 cores busy meanwhile"),
        (
            [make_notice("median.not-resolved", half_width=w) for w in (0.101, 0.0991, 0.126)],
            "not resolved: the median's ± is 9.9 to 12.6 %",
        ),
        (
            [make_notice("processes.more", processes=n) for n in (12, 20, 8)],
            "20 processes with the spread of these would resolve the median",
        ),
    ],
)
def test_notices_that_differ_in_numbers_become_one(notices, text) -> None:
    ((shown, abouts),) = reports(*notices)
    assert shown.startswith(text)
    assert abouts == list(range(len(notices)))


def test_notices_that_differ_otherwise_stay_separate_in_order() -> None:
    groups = reports(
        busy(1.4),
        busy(1.4, cores=8),
        make_notice("samples.slower", change=0.05),
        make_notice("samples.faster", change=0.05),
        warm(40.0),
        warm(40.0, limit=35.0),
        busy(2.0),
    )
    assert [abouts for _, abouts in groups] == [[0, 6], [1], [2], [3], [4], [5]]


def test_two_groups_of_samples_in_several_rows_are_one_line_without_times() -> None:
    """Ranges over rows would overlap: 3.4 to 5.5 and 5.3 to 6.7 ms describe no row."""
    times = ((3.4, 5.3), (5.5, 6.7))
    ((shown, abouts),) = reports(
        *(make_notice("samples.two-groups", low=a, high=b) for a, b in times)
    )
    assert abouts == [0, 1]
    assert shown.startswith("the samples of each row cluster around two times, so the medians")
    single = render(make_notice("samples.two-groups", low=3.4, high=5.3))
    assert single.startswith("samples cluster around two times, 3.4 ms and 5.3 ms, so the median")


def test_sentences_of_older_results_and_unknown_codes_merge_only_if_they_are_equal() -> None:
    newer = [Notice(code="newer.code", severity="hint", values={"a": a}) for a in (1, 2, 1)]
    sentences = [read_text(words) for words in ("got 5 % slower", "got 6 % slower")]
    assert [abouts for _, abouts in reports(*newer, *sentences)] == [[0, 2], [1], [3], [4]]


def test_stability_notices_of_two_rows_are_merged() -> None:
    def restless(spread: float, drift: float, half: float) -> list[Notice]:
        result = Stability(
            medians=(1.0, 1.1, 1.2), spread=spread, drift=drift, half_width=half, modes=None
        )
        return list(gates.examine_stability(result, 0.02))

    one, other = restless(0.55, 0.26, 0.101), restless(0.74, 0.84, 0.0991)
    assert one != other
    pairs = [(notice, 1) for notice in one] + [(notice, 2) for notice in other]
    result = merge_notices(pairs)
    assert [about for _, about in result] == [[1, 2]] * len(one)
    text = " ".join(render(group) for group, _ in result)
    assert "differ by 55 to 74 %" in text
    assert "got 26 to 84 % slower" in text
    assert "± is 9.9 to 10.1 %" in text


# --- on the command line


def test_the_command_line_prints_a_notice_once_with_its_rows() -> None:
    half, third = (make_notice("samples.slower", change=change) for change in (0.5, 1 / 3))
    runs = (
        run("lite", "none", 4, notices=(half,)),
        run("onnx", "none", 4, notices=(third,)),
        run("executorch", "none", 4),
    )
    words = (
        "samples got 33 to 50 % slower while they were taken, as on a machine that gets hot or "
        "busy: let it cool down and measure again"
    )
    some = list_rows([latency("none", runs=runs)])
    assert list(latency_table.list_doubts(some)) == [f"warning: lite-fp32, onnx-fp32: {words}"]
    every = list_rows([latency("none", runs=runs[:2])])
    assert list(latency_table.list_doubts(every)) == [f"warning: {words}"]


def test_the_command_line_prints_the_option_to_type() -> None:
    hints = [make_notice("processes.more", processes=n) for n in (7, 9)]
    assert list(advice.write_notices([(hint, "x") for hint in hints], 2)) == [
        "hint: 9 processes with the spread of these would resolve the median: measure that many "
        "(--repeats 9)"
    ]
    assert fill(advice.TYPE["cores.not-given"], [
        make_notice("cores.not-given", asked="4-7", given="4-5", mask="30")
    ]) == "--cpus 30"  # fmt: skip


def test_json_has_the_code_the_values_and_the_text() -> None:
    one = run("onnx", "none", 4, notices=(make_notice("processes.more", processes=7),))
    (row,) = list_rows([latency("none", runs=(one,))])
    assert as_json(row)["notices"] == [
        {
            "code": "processes.more",
            "severity": "hint",
            "values": {"processes": 7},
            "text": "7 processes with the spread of these would resolve the median: "
            "measure that many",
        }
    ]
