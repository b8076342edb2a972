"""Conversion to Core ML packages.

The target is the oldest system that has what a file needs: iOS 16 (macOS 13) for float models,
iOS 17 (macOS 14) for int8 weights or activations. What an int8 file computes in float, and its
scales, are float16, as the Neural Engine computes nothing in float32; beside int8 weights alone
all is float32.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from kit.error_text import get_first_line
from kit.errors import BuildError, KitError
from kit.formats.coreml.package import (
    CoreMlObject,
    import_coremltools,
    read_package,
    write_package,
)
from kit.formats.coreml.placed_encodings import check_encodings
from kit.formats.extra_packages import silence_converters
from kit.formats.graph_encodings import check_static, list_encodings
from kit.formats.half_graph import restore_float

if TYPE_CHECKING:
    from torch import Tensor
    from torch.export import ExportedProgram
    from torch.fx import GraphModule

# It folds the scale of an addition's first input into those of the second input and of the
# output, which are then no longer the graph's.
_RESCALING = "common::distributive_quantized_binary_op_scale_normalization"


def export_model(model: GraphModule, example: tuple[Tensor, ...], path: Path) -> None:
    """Convert a model, check that its encodings are in the package, and write it.

    Raises:
        BuildError: Core ML cannot convert the model, it is quantized dynamically, or an encoding
            finds no place.
        MissingTool: coremltools is not installed.
    """
    import torch

    import_coremltools()  # first: it is what may be missing
    check_static(model, "coreml", "Core ML")
    restored = restore_float(model)  # Core ML casts by itself
    encodings = list_encodings(model)
    integers = bool(encodings.activations or encodings.constants)
    half = bool(encodings.activations) or restored is not None
    try:
        with silence_converters(), torch.no_grad():
            program = torch.export.export(restored or model, example).run_decompositions({})
            converted = _convert(program, integers, half)
            write_package(converted, path)
    except KitError:
        raise
    except Exception as exc:  # coremltools raises those of its passes and of protobuf
        raise BuildError(
            f"Core ML cannot convert {type(model).__name__}: {get_first_line(exc)}",
            "try another --format, or replace the operator that is named",
        ) from exc
    check_encodings(read_package(path).function, encodings)


def _convert(program: ExportedProgram, integers: bool, half: bool) -> CoreMlObject:
    """Return the `MLModel` of a program, without loading it."""
    tools = import_coremltools()
    passes = tools.PassPipeline.DEFAULT
    passes.remove_passes({_RESCALING})
    precision = tools.precision.FLOAT16 if half else tools.precision.FLOAT32
    return tools.convert(
        program,
        convert_to="mlprogram",
        outputs=_name_outputs(program),
        minimum_deployment_target=tools.target.iOS17 if integers else tools.target.iOS16,
        compute_precision=precision,
        pass_pipeline=passes,
        skip_model_load=True,
    )


def _name_outputs(program: ExportedProgram) -> list[CoreMlObject]:
    """Return the outputs' types; float ones are float32 in every precision."""
    tools = import_coremltools()
    (output,) = (node for node in program.graph.nodes if node.op == "output")
    kept = set(program.graph_signature.user_outputs)
    values = (node.meta["val"] for node in output.args[0] if node.name in kept)
    return [
        tools.TensorType(
            name=f"output_{number}", dtype=np.float32 if value.dtype.is_floating_point else None
        )
        for number, value in enumerate(values)
    ]
