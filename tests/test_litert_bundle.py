"""A bundle with LiteRT files: run natively, verified, channels last, and its TFLite Metadata."""

from __future__ import annotations

import shutil
import zipfile
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path

import flatbuffers
import native_samples
import numpy as np
import pytest
from flatbuffers import number_types
from flatbuffers.table import Table

import kit
from kit import cli
from kit.bench import measure
from kit.bundles.bundle import Bundle
from kit.errors import BuildError, BundleError, MissingTool
from kit.formats.litert import FORMAT as litert
from kit.formats.litert import metadata_schema as schema
from kit.formats.litert.channels_last import ChannelsLast
from kit.manifest.preprocessing import Preprocessing
from kit.results.latency import Plan
from kit.runners.protocol import Request
from kit.signature import TensorSpec

if find_spec("litert_torch") is None or find_spec("ai_edge_litert") is None:
    pytest.skip("the extra litert is not installed", allow_module_level=True)

pytestmark = pytest.mark.slow
KEYS = ("litert-int8", "litert-nhwc-int8")
PLAN = Plan(name="custom", repeats=1, runs=3, warmup_runs=1, warmup_seconds=0, seconds=0)


@pytest.fixture(scope="module")
def built(litert_int8) -> Bundle:
    """An int8 bundle of an untrained network, with channels first and channels last."""
    return litert_int8


# running ---------------------------------------------------------------------------------


def test_emulated_processors_answer_as_this_one(built):
    try:
        result = kit.verify_processors(built, ["host", "cortex-a53"])
    except MissingTool as exc:
        pytest.skip(exc.message)
    actual = [(row.format, row.backend, row.processor) for row in result.rows]
    assert actual == [
        ("litert", backend, processor)
        for backend in (None, "nhwc")
        for processor in ("host", "cortex-a53")
    ]
    for row in result.rows:
        assert row.passed, row
        assert row.golden_max_abs == 0, row


def test_the_native_runner_measures_both_layouts(built):
    native_samples.runner("litert")
    (result,) = measure.measure_all([built], plan=PLAN, runner="native", profile=True)
    assert [(run.format, run.backend) for run in result.runs] == [
        ("litert", None),
        ("litert", "nhwc"),
    ]
    for run in result.runs:
        assert run.via == "native"
        assert run.golden_max_abs == 0
        assert any("Convolution" in operator.type for operator in run.operators)
    first, last = (
        [operator.type for operator in run.operators if "Transpose" in operator.type]
        for run in result.runs
    )
    assert (len(first), last) == (1, [])


def test_a_channels_last_file_takes_the_same_inputs_and_begins_without_a_transposition(built):
    from ai_edge_litert.interpreter import Interpreter

    first, last = (built.file(key) for key in KEYS)
    assert litert.describe(first).operators["TRANSPOSE"] == 1
    assert "TRANSPOSE" not in litert.describe(last).operators
    (taken,) = Interpreter(str(last)).get_input_details()
    assert list(taken["shape"]) == [1, 32, 32, 3]
    images = np.load(built.path / "golden" / "input.npy")
    for image in images:
        answers = [
            session.read(session.bind((image[None],))())[0]
            for session in (litert.load(first, 1), litert.load(last, 1))
        ]
        np.testing.assert_array_equal(*answers)


def test_a_model_without_pictures_has_no_channels_last_file(tmp_path):
    import torch

    example = (torch.zeros(1, 4),)
    graph = torch.export.export(torch.nn.Linear(4, 2), example).module()
    with pytest.raises(BuildError, match="no input of the model has four dimensions") as caught:
        ChannelsLast().export(graph, example, tmp_path / "a.tflite")
    assert "--format litert" in caught.value.hint
    assert not list(tmp_path.iterdir())


def test_natively_inputs_and_outputs_may_be_many_and_of_every_dtype(tmp_path):
    """Also a picture that the file takes channels last beside others, and several rows."""
    import torch

    class Mixed(torch.nn.Module):
        def forward(self, picture, a, b, c, d, e):
            return picture.mean(1), a + 1, b * 2, ~c, d.reshape(2, 3), e.reshape(3, 2)

    rng = np.random.default_rng(0)
    rows = [
        (
            rng.normal(size=(2, 3, 4, 5)).astype(np.float32),
            rng.integers(9, size=6, dtype=np.int32),
            rng.integers(9, size=6),
            rng.integers(2, size=3) > 0,
            rng.integers(9, size=6, dtype=np.uint8),
            rng.normal(size=6).astype(np.float16),
        )
        for _ in range(3)
    ]
    example = tuple(map(torch.from_numpy, rows[0]))
    file = tmp_path / "mixed.tflite"
    ChannelsLast().export(torch.export.export(Mixed(), example).module(), example, file)
    request = make_request(tmp_path, file, rows)
    received = native_samples.run(native_samples.runner("litert"), request)
    assert received.out is not None
    names = "float32:2,4,5;int32:6;int64:6;bool:3;uint8:2,3;float16:3,2"
    assert received.out.tensors == names
    session = litert.load(file, 1)
    answers = [session.read(session.bind(row)()) for row in rows]
    expected = b"".join(value.tobytes() for row in answers for value in row)
    assert Path(request.out).read_bytes() == expected
    np.testing.assert_allclose(answers[1][0], rows[1][0].mean(1), atol=1e-6)


def make_request(folder: Path, file: Path, rows: list[tuple[np.ndarray, ...]]) -> Request:
    specs = (f"{value.dtype}:{','.join(map(str, value.shape))}" for value in rows[0])
    request = replace(
        native_samples.request(folder, "litert", file), inputs=";".join(specs), rows=len(rows)
    )
    content = b"".join(value.tobytes() for row in rows for value in row)
    Path(request.input).write_bytes(content)
    return request


# metadata --------------------------------------------------------------------------------


def follow(table: Table, slot: int) -> Table:
    """Return the table that a field refers to."""
    place = table.Offset(4 + 2 * slot)
    assert place
    return Table(table.Bytes, table.Indirect(table.Pos + place))


def follow_list(table: Table, slot: int) -> list[Table]:
    place = table.Offset(4 + 2 * slot)
    start, count = table.Vector(place), table.VectorLen(place)
    return [Table(table.Bytes, table.Indirect(start + 4 * i)) for i in range(count)]


def read_text(table: Table, slot: int) -> str:
    return table.String(table.Pos + table.Offset(4 + 2 * slot)).decode()


def read_floats(table: Table, slot: int) -> list[float]:
    place = table.Offset(4 + 2 * slot)
    start, count = table.Vector(place), table.VectorLen(place)
    return [table.Get(number_types.Float32Flags, start + 4 * i) for i in range(count)]


def read_byte(table: Table, slot: int) -> int:
    return table.Get(number_types.Int8Flags, table.Pos + table.Offset(4 + 2 * slot))


def find_metadata(file: Path) -> bytes:
    from ai_edge_litert import schema_py_generated as schema

    model = schema.Model.GetRootAs(file.read_bytes(), 0)
    entries = [model.Metadata(i) for i in range(model.MetadataLength())]
    (entry,) = [one for one in entries if one.Name() == b"TFLITE_METADATA"]
    return model.Buffers(entry.Buffer()).DataAsNumpy().tobytes()


@pytest.mark.parametrize("key", KEYS)
def test_metadata_is_where_its_schema_has_it(key, built):
    """Slots and numbers as in upstream's schema, read without kit's table of it."""
    content = find_metadata(built.file(key))
    assert content[4:8] == b"M001"
    root = Table(content, flatbuffers.encode.Get(flatbuffers.packer.uoffset, content, 0))
    assert read_text(root, 0) == "small_net"  # without the folder, which is this machine's
    assert "image-classification, int8 (static)" in read_text(root, 1)
    assert read_text(root, 7) == "1.0.0"
    (graph,) = follow_list(root, 3)
    (taken,), (given,) = follow_list(graph, 2), follow_list(graph, 3)
    steps = built.manifest.preprocessing
    assert read_text(taken, 0) == built.manifest.signature.inputs[0].name
    image = follow(follow(taken, 3), 1)
    assert read_byte(follow(taken, 3), 0) == 2  # the type ImageProperties
    assert read_byte(image, 0) == 1  # RGB
    side = follow(image, 1)
    places = [side.Pos + side.Offset(4 + 2 * i) for i in (0, 1)]
    assert [side.Get(number_types.Uint32Flags, place) for place in places] == [32, 32]
    (unit,) = follow_list(taken, 4)
    assert read_byte(unit, 0) == 1  # the type NormalizationOptions
    options = follow(unit, 1)
    np.testing.assert_allclose(read_floats(options, 0), [255 * m for m in steps.mean], rtol=1e-6)
    np.testing.assert_allclose(read_floats(options, 1), [255 * s for s in steps.std], rtol=1e-6)
    stats = follow(taken, 5)
    ends = [[(x - m) / s for m, s in zip(steps.mean, steps.std, strict=True)] for x in (1, 0)]
    np.testing.assert_allclose([read_floats(stats, 0), read_floats(stats, 1)], ends, rtol=1e-5)
    (labels,) = follow_list(given, 6)
    assert (read_text(labels, 0), read_byte(labels, 2)) == ("labels.txt", 2)


@pytest.mark.parametrize("key", KEYS)
def test_labels_are_stored_behind_the_model(key, built):
    with zipfile.ZipFile(built.file(key)) as archive:
        (member,) = archive.infolist()
        assert member.compress_type == zipfile.ZIP_STORED
        assert archive.read("labels.txt").decode().splitlines() == [
            f"klasse {n} ä" for n in range(7)
        ]


def test_show_prints_metadata(built, capsys):
    assert cli.run(["show", str(built.path), "--format", "litert-int8"]) == 0
    shown = " ".join(capsys.readouterr().out.split())
    steps = built.manifest.preprocessing
    assert f"mean of image: {', '.join(f'{255 * m:g}' for m in steps.mean)}" in shown
    assert "labels of" in shown
    assert "labels.txt, 7 lines" in shown
    assert "logits: float32: logits, whose softmax is the probabilities" in shown


@pytest.mark.parametrize(
    ("color", "space"), [("RGB", schema.RGB), ("BGR", schema.UNKNOWN), ("grey", schema.GRAYSCALE)]
)
def test_metadata_says_the_channels(color, space):
    from kit.formats.litert.metadata import _describe
    from kit.formats.model_card import ModelCard

    number = 1 if color == "grey" else 3
    steps = Preprocessing(resize=8, crop=8, color=color, mean=(0,) * number, std=(1,) * number)
    spec = TensorSpec(name="image", shape=(1, *steps.shape))
    card = ModelCard("m", "d", (spec,), (spec,), preprocessing=steps)
    (tensor,) = _describe(card)["subgraph_metadata"][0]["input_tensor_metadata"]
    assert tensor["content"]["content_properties"]["color_space"] == space
    assert f"({color}, NCHW)" in tensor["description"]


def test_channels_are_not_moved_twice(built, tmp_path):
    from kit.formats.litert.metadata import attach_metadata
    from kit.formats.model_card import ModelCard

    steps = built.manifest.preprocessing.model_copy(update={"layout": "NHWC"})
    spec = TensorSpec(name="image", shape=(1, *steps.shape))
    card = ModelCard("m", "d", (spec,), built.manifest.signature.outputs, preprocessing=steps)
    for key in KEYS:
        shutil.copy(built.file(key), tmp_path / key)
    attach_metadata(tmp_path / "litert-int8", card)
    with pytest.raises(BuildError, match="channels last, which litert/nhwc would move once more"):
        attach_metadata(tmp_path / "litert-nhwc-int8", card)


def test_equal_models_are_equal_files(built, tmp_path):
    """By default the members of a zip have the time of writing."""
    from kit.formats.litert.metadata import attach_metadata
    from kit.formats.model_card import ModelCard

    signature = built.manifest.signature
    card = ModelCard("m", "d", signature.inputs, signature.outputs, labels=("a", "b"))
    actual = set()
    for name in ("a", "b"):
        file = Path(shutil.copy(built.file("litert-int8"), tmp_path / name))
        attach_metadata(file, card)
        actual.add(file.read_bytes())
    assert len(actual) == 1


def damage_text(content: bytes) -> bytes:
    return content.replace(b"M001", b"M009")


def damage_list(content: bytes) -> bytes:
    """Give the list of graphs as many members as fit into 32 bits."""
    return content[:16] + b"\xff" * (len(content) - 16)


def test_damaged_metadata_is_refused_in_one_sentence(built, tmp_path):
    from kit.formats.litert import metadata
    from kit.formats.litert.flatbuffer import read_model

    file = Path(shutil.copy(built.file("litert-int8"), tmp_path / "model.tflite"))
    whole = find_metadata(file)
    for damaged in (damage_text(whole), damage_list(whole), whole[:40]):
        model = read_model(file)
        (entry,) = (one for one in model.metadata if one.name == metadata.ENTRY)
        model.buffers[entry.buffer].data = np.frombuffer(damaged, np.uint8)
        with pytest.raises(BundleError, match=r"the metadata of .* is damaged") as caught:
            metadata.read_metadata(file, model)
        assert "\n" not in caught.value.message
    file.write_bytes(file.read_bytes()[:-60])  # the end of the archive
    with pytest.raises(BundleError, match=r"the metadata of .* is damaged"):
        litert.read_structure(file)
