"""Warnings that are said once for several rows."""

from __future__ import annotations

from report_samples import latency, run

from kit.bench import gates
from kit.bench.rows import rows
from kit.bench.stability import Stability
from kit.commands import _latency
from kit.results import alike
from kit.results.schema import Run


def test_a_share_becomes_a_range_and_advice_the_largest() -> None:
    found = alike.said_once(
        [
            ("known to ±9.9 % only: wait, or give --repeats 20", "a"),
            ("it got 5 % slower", "a"),
            ("known to ±12.6 % only: wait, or give --repeats 8", "b"),
            ("known to ±10.3 % only: wait, or give --repeats 12", "c"),
        ]
    )
    assert found == [
        ("known to ±9.9 to 12.6 % only: wait, or give --repeats 20", ["a", "b", "c"]),
        ("it got 5 % slower", ["a"]),
    ]


def test_what_is_equal_stays_as_it_is() -> None:
    words = "95 % of 20 to 30 % on 2 cores"
    assert alike.said_once([(words, 1), (words, 2)]) == [(words, [1, 2])]


def test_other_words_and_other_numbers_are_said_apart() -> None:
    warnings = [
        ("gathers around 3.4 and 5.3 ms", 1),
        ("gathers around 4.5 and 6.7 ms", 2),
        ("got 5 % slower", 3),
        ("got 5 % faster", 4),
    ]
    assert alike.said_once(warnings) == [(words, [about]) for words, about in warnings]


def test_all_that_the_benchmark_says_of_a_restless_machine_is_merged() -> None:
    def restless(spread: float, drift: float, half: float) -> list[str]:
        return list(gates.of_stability(_stability(spread, drift, half), 0.02))

    one, other = restless(0.55, 0.26, 0.101), restless(0.74, 0.84, 0.0991)
    assert one != other
    found = alike.said_once([(words, 1) for words in one] + [(words, 2) for words in other])
    assert [about for _, about in found] == [[1, 2]] * len(one)
    text = " ".join(words for words, _ in found)
    assert "55 to 74 % apart" in text
    assert "got 26 to 84 % slower" in text
    assert "±9.9 to 10.1 % only" in text


def test_the_command_line_says_it_once_with_the_rows_it_is_about() -> None:
    def restless(name: str, *warnings: str) -> Run:
        return run(name, "none", 4, warnings=warnings)

    half, third = "got 50 % slower", "got 33 % slower"
    some = latency(
        "none", runs=(restless("lite", half), restless("onnx", third), restless("executorch"))
    )
    assert list(_latency.doubts(rows([some]))) == [
        "warning: lite none, onnx none: got 33 to 50 % slower"
    ]
    every = latency("none", runs=(restless("lite", half), restless("onnx", third)))
    assert list(_latency.doubts(rows([every]))) == ["warning: got 33 to 50 % slower"]


def _stability(spread: float, drift: float, half: float) -> Stability:
    return Stability(
        medians=(1.0, 1.1, 1.2), spread=spread, drift=drift, half_width=half, modes=None
    )
