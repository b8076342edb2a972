"""A bundle for the app's tests with LiteRT files of one model, channels first and channels last.

Conversion takes long, so the files are written operator by operator, with the schema's classes;
LiteRT of this machine gives the golden answers.
"""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import tensors

from kit import formats, recipe_input
from kit.app import maven
from kit.artifact_key import ArtifactKey
from kit.bundles import loading, writing
from kit.bundles.bundle import REFERENCE_FILE
from kit.errors import MissingTool
from kit.formats.interface import predict
from kit.formats.litert import flatbuffer
from kit.formats.litert.channels_last import mark_inputs
from kit.manifest.artifacts import Artifact, Runtime
from kit.manifest.schema import Golden
from kit.signature import Samples, Signature, TensorSpec

SIGNATURE = Signature(
    inputs=(
        TensorSpec(name="picture", shape=(1, 3, 2, 4), dtype="float32"),
        TensorSpec(name="ids", shape=(1, 4), dtype="int64"),
        TensorSpec(name="counts", shape=(2,), dtype="int32"),
        TensorSpec(name="mask", shape=(1, 4), dtype="bool"),
        TensorSpec(name="pixels", shape=(3,), dtype="uint8"),
    ),
    outputs=(
        TensorSpec(name="doubled", shape=(1, 3, 2, 4), dtype="float32"),
        TensorSpec(name="twice", shape=(1, 4), dtype="int64"),
        TensorSpec(name="sums", shape=(2,), dtype="int32"),
        TensorSpec(name="hidden", shape=(1, 4), dtype="bool"),
        TensorSpec(name="reversed", shape=(3,), dtype="uint8"),
    ),
)
KEYS = (ArtifactKey("litert", "fp32"), ArtifactKey("litert", "fp32", "nhwc"))


def write(target: Path) -> None:
    """Write the bundle into a folder, and check that this kit reads it."""
    names = {key: formats.get_format("litert").name_file(key) for key in KEYS}
    with writing.stage_bundle(target) as work:
        for key, name in names.items():
            _write_model(work / name, channels_last=key.backend == "nhwc")
        (work / REFERENCE_FILE).write_bytes(b"\0")  # which the app never reads
        (work / "golden").mkdir()
        golden = _write_golden(work, names)
        writing.write_manifest(work, _describe(golden, names))
    loading.load_bundle(target)


def write_natives(out: Path) -> None:
    """Write the archive's library for this machine's Java, and its order as ``order.txt``.

    Raises:
        MissingTool: there is no C compiler, or Maven does not serve the archive.
    """
    import natives

    compiler = shutil.which("gcc") or shutil.which("cc")
    if compiler is None:
        raise MissingTool("there is no C compiler", "apt-get install gcc")
    runtime = formats.get_format("litert").android
    assert runtime is not None
    (archive,) = maven.resolve([runtime.aar], lambda _: None)
    files = natives.write(archive, out, compiler)
    (out / "order.txt").write_text("\n".join(file.name for file in files), encoding="utf-8")


def _write_model(path: Path, channels_last: bool) -> None:
    schema = flatbuffer.import_schema()
    kinds, codes = schema.TensorType, schema.BuiltinOperator
    types = {
        "float32": kinds.FLOAT32,
        "int64": kinds.INT64,
        "int32": kinds.INT32,
        "bool": kinds.BOOL,
        "uint8": kinds.UINT8,
    }
    model, graph = schema.ModelT(), schema.SubGraphT()
    model.version, model.subgraphs, model.buffers = 3, [graph], [schema.BufferT()]
    model.operatorCodes, graph.tensors, graph.operators = [], [], []

    def add_tensor(name: str, dtype: str, shape: tuple[int, ...], data: object = None) -> int:
        tensor = schema.TensorT()
        tensor.name, tensor.type, tensor.shape = name.encode(), types[dtype], list(shape)
        if data is not None:
            buffer = schema.BufferT()
            buffer.data = np.frombuffer(np.asarray(data, dtype).tobytes(), np.uint8)
            model.buffers.append(buffer)
            tensor.buffer = len(model.buffers) - 1
        graph.tensors.append(tensor)
        return len(graph.tensors) - 1

    def add_operator(name: str, inputs: list[int], output: int) -> None:
        code, operator = schema.OperatorCodeT(), schema.OperatorT()
        code.builtinCode = code.deprecatedBuiltinCode = getattr(codes, name.upper())
        code.version = 1
        model.operatorCodes.append(code)
        operator.opcodeIndex = len(model.operatorCodes) - 1
        operator.inputs, operator.outputs = inputs, [output]
        options = "".join(part.title() for part in name.split("_")) + "Options"
        operator.builtinOptionsType = getattr(schema.BuiltinOptions, options)
        operator.builtinOptions = getattr(schema, f"{options}T")()
        graph.operators.append(operator)

    given = [
        add_tensor(s.name, s.dtype, _move(s.shape) if channels_last and i == 0 else s.shape)
        for i, s in enumerate(SIGNATURE.inputs)
    ]
    answers = [add_tensor(s.name, s.dtype, s.shape) for s in SIGNATURE.outputs]
    graph.inputs, graph.outputs = given, answers
    picture, ids, counts, mask, pixels = given
    if channels_last:
        order = add_tensor("order", "int32", (4,), (0, 3, 1, 2))
        first = add_tensor("first", "float32", SIGNATURE.inputs[0].shape)
        add_operator("transpose", [picture, order], first)
        picture = first
    backwards = add_tensor("backwards", "int32", (3,), (2, 1, 0))
    add_operator("add", [picture, picture], answers[0])
    add_operator("add", [ids, ids], answers[1])
    add_operator("add", [counts, counts], answers[2])
    add_operator("logical_not", [mask], answers[3])
    add_operator("gather", [pixels, backwards], answers[4])
    if channels_last:
        mark_inputs(model, (0,))
    path.write_bytes(flatbuffer.pack_model(model))


def _move(shape: tuple[int, ...]) -> tuple[int, ...]:
    batch, channels, *sides = shape
    return (batch, *sides, channels)


def _write_golden(work: Path, names: dict[ArtifactKey, str]) -> Golden:
    rng = np.random.default_rng(1)
    arrays = tuple(
        rng.integers(0, 2 if s.dtype == "bool" else 100, (tensors.ROWS, *s.sample_shape)).astype(
            s.dtype
        )
        for s in SIGNATURE.inputs
    )
    inputs = Samples(SIGNATURE.inputs, arrays)
    outputs = {}
    for key, name in names.items():
        answers = predict(formats.get_format("litert").load(work / name, 1), inputs)
        outputs[key.name] = tensors.write_arrays(work, key.name, answers)
    given = tensors.write_arrays(work, "input", inputs)
    return Golden(inputs=given, images=tensors.ROWS, source="noise", outputs=outputs)


def _describe(golden: Golden, names: dict[ArtifactKey, str]) -> dict[str, object]:
    artifacts = tuple(
        Artifact(
            format=key.format,
            backend=key.backend,
            precision=key.precision,
            file=name,
            quantize="none",
            format_version="schema 3",
            runtime=Runtime(name="ai-edge-litert", version="1"),
            operators={},
        )
        for key, name in names.items()
    )
    made = recipe_input.make_recipe(
        model="mobilenet_v2", quantize="none", formats=("litert", "litert/nhwc")
    )
    return tensors.describe(golden) | {
        "recipe": made,
        "recipe_hash": made.hash,
        "signature": SIGNATURE,
        "artifacts": artifacts,
    }
