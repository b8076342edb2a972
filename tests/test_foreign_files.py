"""Malformed files from users: one table per kind of file."""

from __future__ import annotations

import json
import os
import shutil
import socket
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from bundle_samples import CLASSES, draw, make, make_tiny, net
from conftest import rewrite
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from report_samples import accuracy, latency

from kit import build_inputs, calibration, documents, formats, recipe_input
from kit.bench import answers
from kit.bundles import loading, writing
from kit.bundles.bundle import Bundle
from kit.cli import run
from kit.errors import (
    BundleError,
    KitError,
    OutputError,
    PictureError,
    RecipeError,
    ResultError,
    WeightsError,
)
from kit.images import open_set, sample_pictures
from kit.models import user_model
from kit.models.weights import hash_source, read_state
from kit.results import store
from kit.results.schema import SCHEMA_VERSION

pytestmark = pytest.mark.timeout(120)  # a FIFO that is opened like a file never answers


@pytest.fixture(scope="module")
def named(tmp_path_factory) -> Bundle:
    """A bundle with labels and golden arrays."""
    folder = tmp_path_factory.mktemp("named")
    plain = make(folder / "plain", {"onnx": net()}, labels=list("abcdefg"))
    images = np.zeros((2, *plain.manifest.signature.inputs[0].sample_shape), np.float32)
    actual = {
        "golden/input.npy": images,
        "golden/onnx-fp32.npy": np.zeros((2, CLASSES), np.float32),
    }

    def change(fields: dict[str, Any]) -> None:
        outputs = {"onnx-fp32": ("golden/onnx-fp32.npy",)}
        fields["golden"] = fields["golden"].model_copy(update={"outputs": outputs})

    return rewrite(plain, folder / "named", actual, change)


@pytest.fixture
def copy(named, tmp_path) -> Path:
    return Path(shutil.copytree(named.path, tmp_path / "copy"))


# What is not a file


def fifo(path: Path) -> None:
    os.mkfifo(path)


def folder(path: Path) -> None:
    path.mkdir()


def device(path: Path) -> None:
    path.symlink_to("/dev/zero")  # it never ends


def listening(path: Path) -> None:
    before = Path.cwd()
    os.chdir(path.parent)  # the address of a socket is short
    try:
        socket.socket(socket.AF_UNIX).bind(path.name)
    finally:
        os.chdir(before)


def missing(path: Path) -> None:
    assert not path.exists()


READERS: dict[str, tuple[str, Callable[[Path], object], type[KitError]]] = {
    "manifest": ("copy/bundle.json", lambda p: loading.load_bundle(p.parent), BundleError),
    "model": ("copy/model-fp32.onnx", lambda p: loading.load_bundle(p.parent), BundleError),
    "labels of a bundle": ("copy/labels.txt", lambda p: loading.load_bundle(p.parent), BundleError),
    "golden": ("copy/golden/input.npy", lambda p: loading.load_bundle(p.parents[1]), BundleError),
    "target": ("copy/bundle.json", lambda p: writing.check_target(p.parent), OutputError),
    "result": ("r.json", store.read, ResultError),
    "recipe": ("r.toml", recipe_input.read_recipe, RecipeError),
    "weights": ("w.pth", read_state, WeightsError),
    "safetensors": ("w.safetensors", read_state, WeightsError),
    "hash of weights": ("w.pth", lambda p: hash_source(str(p), None, 0), WeightsError),
    "labels": (
        "l.txt",
        lambda p: build_inputs.read_labels(recipe_input.make_recipe("mobilenet_v1", labels=str(p))),
        RecipeError,
    ),
    "table of labels": ("set/l.csv", lambda p: open_set(p.parent, p), PictureError),
    "zip": ("set.zip", open_set, PictureError),
    "own model": ("net.py", lambda p: user_model.load(f"{p}:make"), RecipeError),
}


@pytest.mark.parametrize("put", [fifo, folder, device, listening, missing])
@pytest.mark.parametrize("kind", READERS)
def test_paths_that_are_not_files_give_one_sentence(copy, tmp_path, kind, put):
    name, read, error = READERS[kind]
    path = tmp_path / name
    path.parent.mkdir(exist_ok=True)
    path.unlink(missing_ok=True)
    put(path)
    if (kind, put) == ("zip", folder):
        draw(path, 1, lambda i: "a.png")  # a folder of pictures is as good
        assert len(open_set(path)) == 1
        return
    with pytest.raises(error) as caught:
        read(path)
    assert "\n" not in caught.value.message
    assert path.name in caught.value.message or path.parent.name in caught.value.message


def test_a_path_with_a_zero_byte_is_one_sentence():
    with pytest.raises(BundleError, match="is not a bundle: there is no such folder"):
        loading.load_bundle(Path("a\0b"))
    with pytest.raises(ResultError, match="null byte"):
        store.read(Path("a\0b"))
    with pytest.raises(RecipeError, match="null byte"):
        recipe_input.read_recipe(Path("a\0b"))
    for field in ("model", "weights", "labels", "calibrate", "train"):
        with pytest.raises(RecipeError, match="it holds a zero byte"):
            recipe_input.make_recipe(**{"model": "mobilenet_v1", field: "a\0b"})


# JSON and TOML

DOCUMENTS = {
    "not UTF-8": (b'{"a": "\xff"}', "it is not UTF-8: byte 7 is 0xff"),
    "not whole": (b'{"a": 1', "Expecting"),
    "a name twice": (b'{"schema_version": 1, "schema_version": 1}', "occurs twice in one object"),
    "deep lists": (b"[" * 10**5, "nested more than 32 deep"),
    "lists that end": (b"[" * 40 + b"]" * 40, "nested more than 32 deep"),
    "deep objects": (b'{"a":' * 40 + b"1" + b"}" * 40, "nested more than 32 deep"),
    "long number": (b'{"a": ' + b"9" * 5000 + b"}", "a number of thousands of digits"),
    "not a number": (b'{"a": NaN}', "it holds NaN, which JSON does not have"),
    "half a character": (b'{"a": "\\ud800"}', "text that is not Unicode"),
    "half a character in a name": (b'{"\\udcff": 1}', "text that is not Unicode"),
    "millions of values": (b"[" + b"0," * 25_000_000 + b"0]", "values"),
    "not an object": (b"[]", "is not a"),
    "empty": (b"", "Expecting value"),
}


@pytest.mark.parametrize("name", DOCUMENTS)
def test_malformed_documents_are_refused(copy, tmp_path, name):
    content, message = DOCUMENTS[name]
    (copy / "bundle.json").write_bytes(content)
    with pytest.raises(BundleError, match=message) as caught:
        loading.load_bundle(copy)
    assert "\n" not in caught.value.message
    (tmp_path / "r.json").write_bytes(content)
    with pytest.raises(ResultError, match=message) as actual:
        store.read(tmp_path / "r.json")
    assert "\n" not in actual.value.message


def test_a_character_of_two_escapes_is_text():
    assert documents.parse_json(b'"\\ud83d\\ude00"') == "\N{GRINNING FACE}"


RECIPES = {
    "not UTF-8": (b'model = "\xff"', "it is not UTF-8"),
    "deep lists": (b"a = " + b"[" * 30_000, "nested more than 32 deep"),
    "deep tables": (b"a = " + b"{a=" * 15_000, "nested more than 32 deep"),
    "lists that end": (b"a = " + b"[" * 40 + b"]" * 40, "nested more than 32 deep"),
    "a long name": (b"a." * 32_000 + b"a = 1", "nested more than 32 deep"),
    "a long name with spaces": (b"a . " * 12_000 + b"a = 1", "nested more than 32 deep"),
    "a long name in quotes": (b'"a".' * 12_000 + b"a = 1", "nested more than 32 deep"),
    "a long name of a table": (b"[" + b"a." * 25_000 + b"a]", "nested more than 32 deep"),
    "long number": (b"seed = " + b"9" * 5000, "a number of thousands of digits"),
    "large": (b"#" * 100_000, "it is larger than 65536 bytes"),
}


@pytest.mark.timeout(20)  # without a limit, tomllib takes a minute for the long name
@pytest.mark.parametrize("name", RECIPES)
def test_malformed_recipes_are_refused(tmp_path, name):
    content, message = RECIPES[name]
    (tmp_path / "r.toml").write_bytes(content)
    with pytest.raises(RecipeError, match=message) as caught:
        recipe_input.read_recipe(tmp_path / "r.toml")
    assert "\n" not in caught.value.message


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("seed = 0x" + "f" * 5000, "seed = a number of 20000 bits"),
        ("seed = " + "9" * 4000, "seed = 999"),
        ("seed = true", "seed = True"),
        ('resolution = "224"', "resolution = '224'"),
        ("width = 1e999", "width = inf"),
        ("width = nan", "width = nan"),
        ("mean = [nan, 0, 0]", r"mean\.0 = nan"),
        ("mean = [-0.1, 0, 0]", r"mean\.0 = -0\.1"),
        ("std = [0, 1, 1]", r"std\.0 = 0"),
        ("std = [1e300, 1, 1]", r"std\.0 = 1e\+300"),
        ("labels = 1979-05-27", r"labels = datetime\.date"),
        ('labels = "a\\u0000b"', "it holds a zero byte"),
        (f'labels = "{"x" * 20_000}"', "labels = 'xxx"),
        (f"keep_float = {['a'] * 10_001}", "keep_float = "),
        ("mean = [[[[[[1]]]]]]", "mean"),
    ],
)
def test_values_of_a_recipe_are_bounded(tmp_path, text, message):
    (tmp_path / "r.toml").write_text(f'model = "mobilenet_v1"\n{text}\n')
    with pytest.raises(RecipeError, match=message) as caught:
        recipe_input.make_recipe(**recipe_input.read_recipe(tmp_path / "r.toml"))
    assert "\n" not in caught.value.message
    assert len(caught.value.message) < 400


def test_a_recipe_that_is_broken_is_exit_code_3(tmp_path, capsys):
    (tmp_path / "r.toml").write_text("seed = " + "9" * 5000)
    assert run(["build", "--recipe", str(tmp_path / "r.toml")]) == 3
    assert "Traceback" not in capsys.readouterr().err


# What a manifest says

MANIFESTS: list[tuple[str, Any, str]] = [
    ("schema_version", -1, "schema_version"),
    ("schema_version", True, "schema_version"),
    ("schema_version", "1", "schema_version"),
    ("parameters", -1, "parameters"),
    ("parameters", 10**400, "parameters"),
    ("created", "yesterday", "created"),
    ("signature.inputs.0.shape", [1, 3, 10**9, 10**9], "values"),
    ("signature.inputs.0.shape", [1, 3, 64, 64], "the input is"),
    ("signature.inputs.0.shape", [], "the input is"),
    ("signature.inputs", [], "signature.inputs"),
    ("signature.inputs.0.dtype", "float64", "signature.inputs.0.dtype"),
    ("task", "x" * 20_000, "task"),
    ("golden.inputs", [], "golden.inputs"),
    ("golden.outputs.onnx", ["golden/onnx-fp32.npy"] * 2, "golden answers are in 2 files"),
    ("signature.outputs.0.shape", [1, 10**8], "the output is"),
    ("signature.outputs.0.shape", [1], "the output is"),
    ("signature.outputs.0.shape", [1, 1], "the output is"),
    ("signature.outputs.0.shape", [1, -7], "signature.outputs.0.shape"),
    ("preprocessing.resize", 0, "preprocessing.resize"),
    ("preprocessing.resize", True, "preprocessing.resize"),
    ("preprocessing.crop", -1, "preprocessing.crop"),
    ("preprocessing.crop", 10**9, "preprocessing.crop"),
    ("preprocessing.mean", [0.5, 0.5, 7], "preprocessing.mean"),
    ("preprocessing.std", [0.2, 0, 0.2], "preprocessing.std"),
    ("preprocessing.std", [0.2, 1e300, 0.2], "preprocessing.std"),
    ("labels", "golden/input.npy", "labels"),
    ("labels", "../secret", "labels"),
    ("calibration.images", -1, "calibration.images"),
    ("calibration.outside", 1e308, "calibration.outside"),
    ("calibration.pictures", ["x"], "calibration.pictures"),
    ("golden.images", -1, "golden.images"),
    ("artifacts.0.operators", {"Conv": -1}, "artifacts.0.operators"),
    ("files", {"model-fp32.onnx": {"size": -1, "sha256": "0" * 64}}, "files"),
    ("files", {"model-fp32.onnx": {"size": 1, "sha256": "x"}}, "files"),
    ("files", {"a\x1b[2J": {"size": 1, "sha256": "x"}}, "files"),
    ("recipe.seed", -1, "recipe.seed"),
    ("recipe.resolution", 10**9, "recipe.resolution"),
    ("recipe", [[[[]]]], "recipe"),
    ("kit_version", "1" * 20_000, "kit_version"),
    (
        "notices",
        [{"code": "text", "severity": "warning", "values": {"text": "a\0b"}}],
        "notices.0.values.text",
    ),
]


def put(document: Any, where: str, value: Any) -> None:
    *steps, last = where.split(".")
    for step in steps:
        document = document[int(step) if step.isdigit() else step]
    document[int(last) if last.isdigit() else last] = value


def change(file: Path, act: Callable[[Any], None]) -> None:
    document = json.loads(file.read_text())
    act(document)
    file.write_text(json.dumps(document))


@pytest.mark.parametrize(("where", "value", "message"), MANIFESTS)
def test_invalid_manifest_values_are_refused(copy, where, value, message):
    change(copy / "bundle.json", lambda manifest: put(manifest, where, value))
    with pytest.raises(BundleError, match="is not a valid bundle description") as caught:
        loading.load_bundle(copy)
    assert message in caught.value.message
    assert caught.value.message.isprintable()
    assert len(caught.value.message) < 500


def test_two_files_of_one_key(copy):
    change(copy / "bundle.json", lambda m: m["artifacts"].append(m["artifacts"][0]))
    with pytest.raises(BundleError, match="it has 2 files called onnx-fp32"):
        loading.load_bundle(copy)


@pytest.mark.parametrize("bad", ["NaN", "1e999", "-1"])
def test_a_comparison_that_is_no_number(copy, bad):
    fields = {"against": "float reference", "images": 1, "max_abs": 1.25, "sqnr_db": None}
    fields |= {"agreement": 1.0, "passed": True, "thresholds": {}}
    change(copy / "bundle.json", lambda m: put(m, "artifacts.0.parity", [fields]))
    loading.load_bundle(copy)
    text = (copy / "bundle.json").read_text()
    (copy / "bundle.json").write_text(text.replace("1.25", bad))
    with pytest.raises(BundleError, match="is not a valid bundle description"):
        loading.load_bundle(copy)


def rehash(folder: Path, name: str, content: bytes) -> None:
    """Write a file of a bundle, and its hash."""
    (folder / name).write_bytes(content)
    entry = writing.measure_files(folder)[name].model_dump()
    change(folder / "bundle.json", lambda m: put(m["files"], "x", None) or m["files"].pop("x"))
    change(folder / "bundle.json", lambda m: m["files"].update({name: entry}))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"a\nb\nc\n", "names 3 classes, but the model has 7 outputs"),
        (b"\n".join([b"a"] * 10**6), "names 1000000 classes, but the model has 7 outputs"),
        (b"\xff\n" * 7, "cannot read labels.txt"),
        (b"x" * (17 * 2**20), "cannot read labels.txt in .*: it is larger than"),
    ],
)
def test_labels_of_a_bundle(copy, content, message):
    rehash(copy, "labels.txt", content)
    with pytest.raises(BundleError, match=message) as caught:
        loading.load_bundle(copy)
    assert "\n" not in caught.value.message


def npy(array: Any, **options: Any) -> bytes:
    import io

    stream = io.BytesIO()
    np.save(stream, array, **options)
    return stream.getvalue()


def header(text: str) -> bytes:
    return b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text.encode("latin-1")


def zipped() -> bytes:
    import io

    stream = io.BytesIO()
    np.savez(stream, a=np.zeros(3))
    return stream.getvalue()


PLAIN = "{'descr': '<f4', 'fortran_order': False, 'shape':"
SHAPE = (2, 3, 32, 32)
ARRAYS = {
    "empty file": b"",
    "text": b"hello",
    "zip of arrays": zipped(),
    "pickled objects": npy(np.array([{}, []], dtype=object), allow_pickle=True),
    "float64": npy(np.zeros(SHAPE)),
    "int32": npy(np.zeros(SHAPE, np.int32)),
    "big endian": npy(np.zeros(SHAPE, ">f4")),
    "text in it": npy(np.array(["a"])),
    "another shape": npy(np.zeros((2, 5), np.float32)),
    "another side": npy(np.zeros((2, 3, 32, 33), np.float32)),
    "no dimension": npy(np.float32(1)),
    "Fortran": npy(np.asfortranarray(np.zeros(SHAPE, np.float32))),
    "no pictures": npy(np.zeros((0, 3, 32, 32), np.float32)),
    "not finite": npy(np.full(SHAPE, np.nan, np.float32)),
    "truncated": npy(np.zeros(SHAPE, np.float32))[:-1],
    "longer": npy(np.zeros(SHAPE, np.float32)) + b"\0",
    "shape of terabytes": header(f"{PLAIN} (10000000000000, 3, 32, 32)}}\n"),
    "negative shape": header(
        "{'descr': '<f4', 'fortran_order': False, 'shape': (-1, 3, 32, 32)}\n"
    ),
    "boolean shape": header(
        "{'descr': '<f4', 'fortran_order': False, 'shape': (True, 3, 32, 32)}\n"
    ),
    "deep header": header("(" * 9000),
    "broken header": header("{'descr': \n"),
    "version 3": b"\x93NUMPY\x03\x00" + npy(np.zeros(SHAPE, np.float32))[8:],
    "version 9": b"\x93NUMPY\x09\x00" + npy(np.zeros(SHAPE, np.float32))[8:],
}


@pytest.mark.parametrize("name", ARRAYS)
def test_invalid_golden_arrays_are_refused(copy, name):
    rehash(copy, "golden/input.npy", ARRAYS[name])
    actual = loading.load_bundle(copy)
    with pytest.raises(BundleError, match=r"golden/input\.npy in ") as caught:
        answers.load(actual, "onnx")
    assert "\n" not in caught.value.message


# What a result says; its numbers are in `test_result_bounds`


@pytest.mark.parametrize(
    "version", [-1, 0, True, "4", 10**4000], ids=["negative", "zero", "true", "text", "long"]
)
def test_invalid_schema_versions_are_refused(tmp_path, version):
    document = json.loads(latency().model_dump_json()) | {"schema_version": version}
    (tmp_path / "r.json").write_text(json.dumps(document))
    with pytest.raises(ResultError, match="schema") as caught:
        store.read(tmp_path / "r.json")
    assert len(caught.value.message) < 400


@pytest.mark.parametrize("version", [1, 2, 3, 4])
def test_results_of_every_schema_are_still_read(tmp_path, version):
    document = json.loads(latency().model_dump_json())
    document["schema_version"] = version
    (tmp_path / "r.json").write_text(json.dumps(document))
    assert store.read(tmp_path / "r.json").schema_version == SCHEMA_VERSION


ODD_VALUES: list[Any] = [-1, 0, 1, 2**62, 10**15, 10**400, 1e308, -1e308, 1e-320, None, True]
ODD_VALUES += ["", "x", "\0", "<b>", "x" * 3000, "\u202e", {}, [], [[]], {"a": 1}]
ODD_VALUES += ["0001-01-01T00:00:00", "9999-12-31T23:59:59Z"]
ODD = st.sampled_from(ODD_VALUES)


def places(document: Any, where: str = "") -> Iterator[str]:
    actual = document.items() if isinstance(document, dict) else ()
    actual = enumerate(document[:2]) if isinstance(document, list) else actual
    for name, value in actual:
        yield f"{where}{name}"
        yield from places(value, f"{where}{name}.")


@pytest.mark.slow
@settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.data())
def test_altered_results_are_refused_or_reported(tmp_path, data):
    from kit.report import model

    result = data.draw(st.sampled_from([latency, accuracy]))
    document = json.loads(result().model_dump_json())
    for _ in range(data.draw(st.integers(1, 2))):
        where = data.draw(st.sampled_from([p for p in places(document) if not p.endswith(".")]))
        if not any("." in key for key in where.split("..")):
            put(document, where, data.draw(ODD))
    (tmp_path / "r.json").write_text(json.dumps(document))
    try:
        model.build([store.read(tmp_path / "r.json"), latency(), accuracy()])
    except ResultError as exc:
        assert "\n" not in exc.message  # noqa: PT017 - most are refused, and some may be


@settings(max_examples=100, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.data())
def test_altered_manifests_are_refused_or_usable(copy, named, data):
    document = json.loads((named.path / "bundle.json").read_text())
    del document["files"]
    where = data.draw(st.sampled_from(list(places(document))))
    put(document, where, data.draw(ODD))
    document["files"] = json.loads((named.path / "bundle.json").read_text())["files"]
    (copy / "bundle.json").write_text(json.dumps(document))
    try:
        actual = loading.load_bundle(copy)
        store.describe(actual)
        answers.load(actual, "onnx")
    except BundleError as exc:
        assert "\n" not in exc.message  # noqa: PT017 - most are refused, and some may be


# Weights


def weights(kind: str) -> Any:
    import torch

    plain = torch.ones(4, 3)
    if kind == "sparse":
        return plain.to_sparse()
    if kind == "sparse rows":
        return plain.to_sparse_csr()
    if kind == "meta":
        return torch.empty(4, 3, device="meta")
    if kind == "quantized":
        return torch.quantize_per_tensor(plain, 0.1, 0, torch.qint8)
    return torch.nested.nested_tensor([plain, plain[:2]])


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("kind", ["sparse", "sparse rows", "meta", "quantized", "nested"])
def test_weights_that_are_no_plain_tensors(tmp_path, kind):
    import torch

    torch.save({"w": weights(kind)}, tmp_path / "w.pth")
    with pytest.raises(WeightsError, match=r"w\.pth") as caught:
        read_state(tmp_path / "w.pth")
    assert "\n" not in caught.value.message


@pytest.mark.parametrize("kind", ["float64", "complex64", "bfloat16", "float16", "float8_e5m2"])
def test_weights_of_other_types_are_put_in_or_refused(kind):
    import torch

    from kit.models.fitting import load_into

    model = torch.nn.Linear(3, 4)
    state = {k: v.to(getattr(torch, kind)) for k, v in model.state_dict().items()}
    if kind == "complex64":
        with pytest.raises(WeightsError, match=r"of type torch\.complex64 instead of"):
            load_into(model, state, "w.pth")
    else:
        load_into(model, state, "w.pth")
        assert model.weight.dtype == torch.float32


def test_numbers_that_overflow_when_they_are_put_in():
    import torch

    from kit.models.fitting import load_into

    model = torch.nn.Linear(3, 4)
    before = model.weight.clone()
    state = {"weight": torch.full((4, 3), 1e300, dtype=torch.float64), "bias": torch.zeros(4)}
    with pytest.raises(WeightsError, match=r"numbers too large for torch\.float32 in weight"):
        load_into(model, state, "w.pth")
    assert torch.equal(model.weight, before)


def test_weights_with_a_large_expanded_size_are_refused(tmp_path):
    import torch

    torch.save({"w": torch.zeros(10_000_000)}, tmp_path / "plain.pth")
    with (
        zipfile.ZipFile(tmp_path / "plain.pth") as plain,
        zipfile.ZipFile(tmp_path / "w.pth", "w", zipfile.ZIP_DEFLATED) as packed,
    ):
        for member in plain.infolist():
            packed.writestr(member.filename, plain.read(member))
    with pytest.raises(WeightsError, match=r"w\.pth is corrupt .* would expand to 400"):
        read_state(tmp_path / "w.pth")


# Labels and names of pictures


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"\xff\xfe\x00", "cannot read the labels"),
        (b"x\n" * 100_001, "names 100001 classes, and a model has 100000 at most"),
        (b"x" * (17 * 2**20), "it is larger than"),
        (b"y" * 10**6, "names one class, 'yyy"),
    ],
)
def test_files_of_labels(tmp_path, content, message):
    (tmp_path / "l.txt").write_bytes(content)
    with pytest.raises(RecipeError, match=message) as caught:
        build_inputs.read_labels(
            recipe_input.make_recipe("mobilenet_v1", labels=str(tmp_path / "l.txt"))
        )
    assert len(caught.value.message) < 400


@pytest.fixture
def latin(tmp_path) -> Path:
    """A folder of pictures whose names, and its own, are in Latin-1."""
    root = tmp_path / os.fsdecode(b"\xfcbung")
    draw(root, 3, lambda i: os.fsdecode(b"ber\xfchmt%d.png" % i))
    return root


def test_pictures_whose_names_are_not_utf8(latin):
    actual = open_set(latin)
    assert actual.source == r"\xfcbung"
    assert [p.name for p in actual] == [rf"ber\xfchmt{i}.png" for i in range(3)]
    assert len({p.read() for p in sample_pictures(actual, 2, seed=0)}) == 2
    (latin / os.fsdecode(b"ber\xfchmt0.png")).unlink()
    gone, _, _ = actual
    with pytest.raises(PictureError, match=r"cannot read ber\\xfchmt0\.png"):
        gone.read()


@pytest.mark.slow
def test_such_pictures_are_evaluated(latin, tmp_path):
    made, target = make_tiny(tmp_path / "b"), tmp_path / "r.json"
    arguments = ["--images", str(latin), "--format", "onnx", "-o", str(target)]
    assert run(["eval", str(made.path), *arguments]) == 0
    assert store.read(target).pictures == r"\xfcbung"


def test_a_bundle_in_such_a_folder_is_refused_in_one_sentence(copy, capsys):
    odd = copy.rename(copy.with_name(os.fsdecode(b"\xfc")))
    assert run(["bench", str(odd)]) == 4
    assert run(["build", "mobilenet_v1", "--weights", "random", "-o", str(odd)]) == 7
    printed = [line for line in capsys.readouterr().err.splitlines() if line.startswith("kit: ")]
    assert all(r"\xfc is not UTF-8" in line for line in printed)
    assert len(printed) == 2


def test_such_pictures_calibrate(latin):
    made = recipe_input.make_recipe("mobilenet_v1", weights="random")
    chosen = calibration.PictureCalibration("set", sample_pictures(open_set(latin), 2, 0), (), 2, 0)
    assert json.dumps(build_inputs.identify_inputs(made, chosen))
    with pytest.raises(RecipeError, match=r"calibrate = .*\\udcfcbung"):
        recipe_input.make_recipe("mobilenet_v1", calibrate=str(latin))


def test_a_float_model_that_answers_nothing_is_printed_before_anything_is_built():
    import torch

    from kit.network import run_network
    from kit.signature import stack

    broken = net()
    with torch.no_grad():
        broken[4].bias[0] = float("inf")
    inputs = stack("image", np.zeros((20, 3, 32, 32), np.float32))
    with pytest.raises(WeightsError, match="answers 20 of 20 inputs with NaN or infinity"):
        run_network(broken, inputs)
    assert run_network(net(), inputs, at_once=8).arrays[0].shape == (20, CLASSES)


def test_an_onnx_file_that_names_another_file_is_described_without_it(tmp_path):
    import onnx
    from onnx import helper, numpy_helper

    weight = numpy_helper.from_array(np.zeros((4, 4), np.float32), "w")
    weight.ClearField("raw_data")
    weight.data_location = onnx.TensorProto.EXTERNAL
    weight.external_data.add(key="location", value="absent.bin")
    values = [helper.make_tensor_value_info(name, 1, [1, 4]) for name in "xy"]
    node = helper.make_node("MatMul", ["x", "w"], ["y"])
    graph = helper.make_graph([node], "net", values[:1], values[1:], [weight])
    path = tmp_path / "net.onnx"
    path.write_bytes(helper.make_model(graph).SerializeToString())
    assert formats.get_format("onnx").describe(path).operators == {"MatMul": 1}
