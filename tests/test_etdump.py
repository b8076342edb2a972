"""ETDumps, the profiles of ExecuTorch's runner: parsing and refused files."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from kit.errors import RunError
from kit.formats.executorch import etdump
from kit.runners import profile

flatbuffers = pytest.importorskip("flatbuffers")
INSTRUCTION, NUMBER, TEXT, START, END = 2, 3, 4, 6, 7  # fields of a profiled event


class Writer:
    """Writes dumps: tables of `executorch/devtools/etdump/etdump_schema_flatcc.fbs`."""

    def __init__(self) -> None:
        self._builder = flatbuffers.Builder(1024)

    def event(self, name: str, ns: int, instruction: int = 0, **ids: int | str) -> int:
        """Write an event that took a time: of a kernel, or with `text` or `number` a delegate's."""
        build = self._builder
        words = {0: build.CreateString(name)}
        if "text" in ids:
            words[TEXT] = build.CreateString(ids["text"])
        build.StartObject(8)
        for slot, text in words.items():
            build.PrependUOffsetTRelativeSlot(slot, text, 0)
        build.PrependInt32Slot(INSTRUCTION, instruction, -1)
        build.PrependInt32Slot(NUMBER, int(ids.get("number", -1)), -1)
        build.PrependUint64Slot(START, 1000, 0)
        build.PrependUint64Slot(END, 1000 + ns, 0)
        return self._table(profiled=build.EndObject())

    def allocation(self) -> int:
        """Write an event that took memory."""
        self._builder.StartObject(2)
        return self._table(allocated=self._builder.EndObject())

    def _table(self, **of: int) -> int:
        self._builder.StartObject(3)
        for slot, kind in enumerate(("profiled", "allocated")):
            self._builder.PrependUOffsetTRelativeSlot(slot, of.get(kind, 0), 0)
        return self._builder.EndObject()

    def run(self, events: list[int], name: str = "Execute") -> int:
        build = self._builder
        title, vector = build.CreateString(name), self._vector(events)
        build.StartObject(4)
        build.PrependUOffsetTRelativeSlot(0, title, 0)
        build.PrependUOffsetTRelativeSlot(3, vector, 0)
        return build.EndObject()

    def dump(self, runs: list[int]) -> bytes:
        vector = self._vector(runs)
        self._builder.StartObject(2)
        self._builder.PrependUOffsetTRelativeSlot(1, vector, 0)
        self._builder.FinishSizePrefixed(self._builder.EndObject(), b"ED00")
        return bytes(self._builder.Output())

    def _vector(self, tables: list[int]) -> int:
        self._builder.StartVector(4, len(tables), 4)
        for table in reversed(tables):
            self._builder.PrependUOffsetTRelative(table)
        return self._builder.EndVector()


def inference(writer: Writer, scale: int) -> int:
    return writer.run(
        [
            writer.event("native_call_cumsum.out", 7 * scale, 1),
            writer.event("OPERATOR_CALL", 8 * scale, 1),
            writer.allocation(),
            writer.event("", 20 * scale, 2, text="Convolution (NHWC, F32) IGEMM #1"),
            writer.event("", 30 * scale, 2, text="Convolution (NHWC, F32) IGEMM #2"),
            writer.event("", 5 * scale, 3, number=0),
            writer.event("DELEGATE_CALL", 60 * scale, 2),
            writer.event("native_call_cumsum.out", scale, 4),
            writer.event("Method::execute", 99 * scale),
        ]
    )


@pytest.fixture
def whole() -> bytes:
    writer = Writer()
    load = writer.run([writer.event("Program::load_method", 10**6)], "Default")
    return writer.dump([load, *(inference(writer, scale) for scale in (1000, 1, 2))])


def test_operators_are_those_of_the_last_inferences(whole, tmp_path) -> None:
    (tmp_path / "ops").write_bytes(whole)
    assert etdump.read(tmp_path / "ops", 2) == [
        ("native_call_cumsum.out", 2, 21.0),
        ("Convolution (NHWC, F32) IGEMM #1", 2, 60.0),
        ("Convolution (NHWC, F32) IGEMM #2", 2, 90.0),
        ("0", 2, 15.0),
        ("native_call_cumsum.out", 2, 3.0),  # another instruction of the program
    ]
    rows = profile.read_operators(tmp_path / "ops", "executorch", "etdump", 3)
    assert [row.calls for row in rows] == [3] * 5
    assert [row.total_ns for row in rows][1:3] == [20 * 1003, 30 * 1003]
    assert {row.type for row in rows[1:3]} == {"Convolution (NHWC, F32) IGEMM"}


def test_an_instruction_that_runs_twice_in_an_inference_is_one_call(tmp_path) -> None:
    writer = Writer()
    twice = writer.run([writer.event("native_call_add.out", ns, 1) for ns in (3, 4)])
    (tmp_path / "ops").write_bytes(writer.dump([twice]))
    assert etdump.read(tmp_path / "ops", 5) == [("native_call_add.out", 1, 7.0)]


@pytest.mark.parametrize("many", ["events", "inferences", "names"])
def test_events_of_a_small_dump_are_bounded(many, tmp_path) -> None:
    """Its tables are referred to again and again: 10^8 events, or as many letters."""
    writer = Writer()
    name, events, runs = {
        "events": ("native_call_add.out", 10_000, 10_000),
        "inferences": ("Method::execute", 0, 50_000),
        "names": ("x" * 50_000, 10_000, 1),
    }[many]
    run = writer.run([writer.event(name, 1)] * events)
    (tmp_path / "ops").write_bytes(writer.dump([run] * runs))
    with pytest.raises(RunError, match="its parts take more bytes than it has"):
        profile.read_operators(tmp_path / "ops", "executorch", "etdump", 5)


def test_a_dump_that_is_too_large_is_not_read(whole, tmp_path, monkeypatch) -> None:
    (tmp_path / "ops").write_bytes(whole)
    monkeypatch.setattr(etdump, "_MAX_BYTES", len(whole) - 1)
    with pytest.raises(RunError, match=f"larger than {len(whole) - 1} bytes"):
        profile.read_operators(tmp_path / "ops", "executorch", "etdump", 5)


def test_a_damaged_dump_is_an_error_or_has_other_rows(whole, tmp_path) -> None:
    chance, messages = random.Random(3), []
    file: Path = tmp_path / "ops"
    for turn in range(600):
        data = bytearray(whole)
        for _ in range(chance.choice((1, 2, 8))):
            data[chance.randrange(12, len(data))] = chance.randrange(256)
        file.write_bytes(data[: chance.randrange(len(data))] if turn % 3 == 2 else data)
        try:
            profile.read_operators(file, "executorch", "etdump", 3)
        except RunError as exc:
            messages.append(exc.message)
    assert all("the etdump profile" in message for message in messages)
    assert 300 < len(messages) < 550  # an octet of a name or a time may be any
