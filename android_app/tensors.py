"""A bundle for the app's tests whose model takes and gives each dtype, and no picture.

Nothing trains or lowers such a small thing, so its ONNX file is written node by node; ONNX
Runtime of this machine gives the golden answers.
"""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper

from kit import formats, recipe_input
from kit.bundles import loading, writing
from kit.bundles.bundle import REFERENCE_FILE
from kit.formats.interface import predict
from kit.manifest.artifacts import Artifact, Runtime
from kit.manifest.build_records import Source
from kit.manifest.schema import Golden
from kit.signature import Samples, Signature, TensorSpec

ROWS = 3
KINDS = {
    "float32": TensorProto.FLOAT,
    "float16": TensorProto.FLOAT16,
    "int64": TensorProto.INT64,
    "int32": TensorProto.INT32,
    "uint8": TensorProto.UINT8,
    "bool": TensorProto.BOOL,
}
SIGNATURE = Signature(
    inputs=(
        TensorSpec(name="ids", shape=(1, 4), dtype="int64"),
        TensorSpec(name="mask", shape=(1, 4), dtype="bool"),
        TensorSpec(name="values", shape=(1, 4), dtype="float32"),
        TensorSpec(name="gain", shape=(2, 3), dtype="float16"),
        TensorSpec(name="pixels", shape=(3,), dtype="uint8"),
        TensorSpec(name="counts", shape=(2,), dtype="int32"),
    ),
    outputs=(
        TensorSpec(name="scores", shape=(1, 4), dtype="float32"),
        TensorSpec(name="next", shape=(1, 4), dtype="int64"),
        TensorSpec(name="hidden", shape=(1, 4), dtype="bool"),
        TensorSpec(name="doubled", shape=(2, 3), dtype="float16"),
        TensorSpec(name="reversed", shape=(3,), dtype="uint8"),
        TensorSpec(name="sum", shape=(), dtype="int32"),
    ),
)


def write(target: Path) -> None:
    """Write the bundle into a folder, and check that this kit reads it."""
    with writing.stage_bundle(target) as work:
        _write_model(work / "model-fp32.onnx")
        (work / REFERENCE_FILE).write_bytes(b"\0")  # which the app never reads
        (work / "golden").mkdir()
        golden = _write_golden(work)
        writing.write_manifest(work, describe(golden))
    loading.load_bundle(target)


def _write_model(file: Path) -> None:
    constants = [
        helper.make_tensor("zero", TensorProto.FLOAT, [], [0.0]),
        helper.make_tensor("one", TensorProto.INT64, [], [1]),
        helper.make_tensor("backwards", TensorProto.INT64, [3], [2, 1, 0]),
    ]
    nodes = [
        helper.make_node("Cast", ["ids"], ["as_float"], to=TensorProto.FLOAT),
        helper.make_node("Where", ["mask", "values", "zero"], ["seen"]),
        helper.make_node("Add", ["as_float", "seen"], ["scores"]),
        helper.make_node("Add", ["ids", "one"], ["next"]),
        helper.make_node("Not", ["mask"], ["hidden"]),
        helper.make_node("Add", ["gain", "gain"], ["doubled"]),
        helper.make_node("Gather", ["pixels", "backwards"], ["reversed"]),
        helper.make_node("ReduceSum", ["counts"], ["sum"], keepdims=0),
    ]
    inputs, outputs = (
        [helper.make_tensor_value_info(s.name, KINDS[s.dtype], s.shape) for s in specs]
        for specs in (SIGNATURE.inputs, SIGNATURE.outputs)
    )
    graph = helper.make_graph(nodes, "tensors", inputs, outputs, constants)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)])
    model.ir_version = 9  # which the older ONNX Runtime of the tests reads, too
    onnx.save(model, file)


def _write_golden(work: Path) -> Golden:
    rng = np.random.default_rng(1)
    inputs = Samples(
        SIGNATURE.inputs,
        tuple(
            rng.integers(0, 2 if spec.dtype == "bool" else 100, (ROWS, *spec.sample_shape)).astype(
                spec.dtype
            )
            for spec in SIGNATURE.inputs
        ),
    )
    answers = predict(formats.get_format("onnx").load(work / "model-fp32.onnx", 1), inputs)
    given = write_arrays(work, "input", inputs)
    return Golden(
        inputs=given,
        images=ROWS,
        source="noise",
        outputs={"onnx-fp32": write_arrays(work, "onnx-fp32", answers)},
    )


def write_arrays(work: Path, name: str, samples: Samples) -> tuple[str, ...]:
    """Write samples into the folder of golden arrays; return the files' names."""
    names = tuple(f"golden/{name}{f'.{i}' if i else ''}.npy" for i in range(len(samples.specs)))
    for file, array in zip(names, samples.arrays, strict=True):
        np.save(work / file, array)
    return names


def describe(golden: Golden) -> dict[str, object]:
    """Return the fields of the manifest."""
    made = recipe_input.make_recipe(model="mobilenet_v2", quantize="none", formats=("onnx",))
    return {
        "kit_version": "0",
        "created": datetime.now(UTC),
        "recipe": made,
        "recipe_hash": made.hash,
        "parameters": 1,
        "task": "tensors",
        "signature": SIGNATURE,
        "preprocessing": None,
        "labels": None,
        "weights": Source(source="random", sha256="0"),
        "calibration": None,
        "corrections": (),
        "qconfig": {},
        "golden": golden,
        "artifacts": (
            Artifact(
                format="onnx",
                precision="fp32",
                file="model-fp32.onnx",
                quantize="none",
                format_version="9",
                runtime=Runtime(name="onnxruntime", version="1"),
                operators={},
            ),
        ),
        "tools": {},
    }
