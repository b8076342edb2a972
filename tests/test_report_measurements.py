"""Several measurements of one file in a report: never mixed, never the best selected."""

from __future__ import annotations

from datetime import timedelta

import pytest
from report_samples import WHEN, accuracy, bundle, digest, identity, latency, run

from kit.report import headline, model, notices, page, processors, tables, text
from kit.report.rows import Report
from kit.results.context import ParityRef, SourceRef
from kit.results.processors import ProcessorRef, ProcessorRow, ProcessorsResult

LATER = WHEN + timedelta(hours=3)


def output(report: Report, start: str) -> list[str]:
    result = [n for n in notices.collect(report) if n.title.startswith(start)]
    return [f"{n.title}. {n.text}" for n in result]


def once(median: float, number: int, **changes: object):
    fields = {"identity": identity(number), **changes}
    return latency(runs=(run("onnx", "static", median),), **fields)


@pytest.mark.parametrize("newer", [3.0, 6.0])
def test_the_headline_names_the_newest_measurement(newer: float) -> None:
    first, second = once(4.4, 1), once(newer, 2, created=LATER)
    for order in ([first, second], [second, first]):
        result = headline.write(model.build(order))
        label = "int8 .onnx, 2025-11-24 12:30:00,"
        median = {3.0: "2.99", 6.0: "5.98"}[newer]
        assert result.sentence.replace(text.NBSP, " ") == f"{label} takes {median} ms."
        assert result.details == (
            "int8 .onnx was measured 2 times here; the headline is of the newest measurement, "
            "2025-11-24 12:30:00 (20000000), whether it is the fastest or not.",
        )


def test_two_measurements_at_one_time_are_distinguished_by_id() -> None:
    report = model.build([once(4.4, 1), once(3.0, 2)])
    assert sorted(r.label for r in report.rows) == [
        "int8 .onnx, measurement 10000000",
        "int8 .onnx, measurement 20000000",
    ]
    assert len(output(report, "Measured 2 times: int8 .onnx")) == 1


def test_one_file_in_two_bundles_is_one_artifact() -> None:
    again = once(3.0, 2, bundle=bundle(hash="b" * 64, name="rebuilt"), created=LATER)
    report = model.build([once(4.4, 1), again])
    (reports,) = output(report, "Measured 2 times")
    assert reports.startswith("Measured 2 times: int8 .onnx of mobilenet_v2-224-static-per-channel")
    assert "and rebuilt." in reports
    other = once(3.0, 2, bundle=bundle(hash="b" * 64, name="rebuilt"))
    changed = other.runs[0].model_copy(update={"artifact_sha256": digest("onnx", "other")})
    report = model.build([once(4.4, 1), other.model_copy(update={"runs": (changed,)})])
    assert output(report, "Measured 2 times") == []


def test_a_different_system_build_is_a_different_setting() -> None:
    report = model.build([once(4.4, 1), once(3.0, 2, identity=identity(2, build="Linux 6.19"))])
    assert len(report.settings) == 2
    (reports,) = output(report, "Measured in 2 different settings")
    assert reports.endswith("B differs from A in build (Linux 6.18, Linux 6.19).")
    assert output(report, "Measured 2 times") == []


def test_unknown_device_fields_match_any_value() -> None:
    report = model.build([once(4.4, 1), once(3.0, 2, identity=None)])
    assert len(report.settings) == 1
    assert report.settings[0].fingerprint["build"] == "Linux 6.18"


def test_the_page_names_the_evaluation_beside_the_times() -> None:
    rows = tuple(r.model_copy(update={"top1": 0.5}) for r in accuracy().rows)
    newer = accuracy(created=LATER, identity=identity(3), rows=rows)
    report = model.build([latency(), accuracy(), newer])
    (reports,) = output(report, "Evaluated 2 times")
    assert reports == (
        "Evaluated 2 times: eager PyTorch fp32, int8 .pte, int8 .onnx, int8 .ptl of "
        "mobilenet_v2-224-static-per-channel. Shown is the evaluation of 2025-11-24 12:30:00 "
        "(30000000), the newest one. All of them are in the table of accuracy; nothing is "
        "averaged."
    )
    lines = [
        line for line in tables.tabulate_accuracy(report).lines if line.head.text == "int8 .pte"
    ]
    assert [line.head.note.rpartition(", ")[2] for line in lines] == [
        "2025-11-24 09:30:00 (20000000)",
        "2025-11-24 12:30:00 (30000000)",
    ]
    other = accuracy(pictures="other.zip", pictures_sha256="00" * 32, rows=accuracy().rows[:2])
    (reports,) = output(model.build([latency(), accuracy(), other]), "Evaluated 2 times")
    assert reports.startswith("Evaluated 2 times: eager PyTorch fp32, int8 .ptl of ")
    assert "on the pictures that most files were evaluated on. All" in reports
    assert output(model.build([latency(), accuracy()]), "Evaluated") == []


def verified(number: int, about: str, sqnr: float) -> ProcessorsResult:
    parity = ParityRef(
        against="float reference", images=3, max_abs=0.1, sqnr_db=sqnr, agreement=1.0
    )
    row = ProcessorRow(
        format="onnx",
        precision="int8",
        quantize="static",
        processor="host",
        runtime="onnxruntime 1.32.0",
        images=3,
        parity=(parity,),
        golden_max_abs=0.0,
        answers_sha256="a",
        passed=True,
    )
    return ProcessorsResult(
        kit_version="0.1.0",
        created=WHEN,
        identity=identity(number),
        bundle=bundle(),
        processors=(ProcessorRef(name="host", abi="x86_64", about=about, emulator=None),),
        rows=(row,),
    )


def test_hosts_of_two_machines_are_listed_separately() -> None:
    results = [verified(1, "AMD EPYC 9R14", 20.0), verified(2, "Intel Xeon 6780E", 10.0)]
    table = processors.tabulate_overview(results)
    assert [line.head.note for line in table.lines] == ["AMD EPYC 9R14", "Intel Xeon 6780E"]
    assert table.columns == ("int8 .onnx, 10000000", "int8 .onnx, 20000000")
    assert [[c.text for c in line.cells] for line in table.lines] == [["20.0", "–"], ["–", "10.0"]]
    assert processors.write_sentence(results).endswith("on 2 processors.")
    notes = [line.head.note for line in processors.tabulate_details(results).lines]
    assert notes[0].endswith("2025-11-24 09:30:00 (10000000)")
    assert len(output(model.build(results), "Verified 2 times: int8 .onnx")) == 1


def test_only_emulated_processors_are_called_emulated() -> None:
    alone = verified(1, "AMD EPYC 9R14", 20.0)
    assert processors.write_heading([alone]) == "Answers"
    assert "nothing is emulated" in processors.write_note([alone])
    old = ProcessorRef(name="haswell", abi="x86_64", about="AVX2", emulator="qemu-x86_64")
    both = alone.model_copy(update={"processors": (*alone.processors, old)})
    section = page.compose([both]).processors
    assert section is not None
    assert section.heading == "On other processors"
    assert section.note.startswith("Emulated: haswell. The answers")


def test_every_measurement_is_listed_with_its_source() -> None:
    old = latency(created=LATER, identity=None)
    clean = identity(4).model_copy(update={"source": SourceRef(revision="ab" * 20, dirty=False)})
    none = identity(5).model_copy(update={"source": None})
    results = [
        *(latency(), latency("none"), accuracy(), verified(4, "x", 9.0)),
        *(old, once(4, 4, identity=clean), once(4, 5, identity=none)),
    ]
    table = page.compose(results).details[-1]
    assert table.caption == "Measurements"
    assert [line.head.text for line in table.lines] == [
        *(identity(number).measurement for number in (1, 2, 4, 4, 5)),
        "–",
    ]
    first = {line.head.text: line.cells for line in table.lines}[identity(1).measurement]
    assert [f"{c.text}|{c.note}".strip("|") for c in first] == [
        "2025-11-24 09:30:00",
        "latency",
        "X13SAE, AMD EPYC 9R14|x86_64, 4 cores",
        "Linux 6.18",
        "bench-1|Linux 6.18",
        "5e5e5e5e5e5e|with changes",
        "0.1.0",
    ]
