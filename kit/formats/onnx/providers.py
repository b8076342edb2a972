"""Estimate what ONNX Runtime's execution providers of phones would take over of a file.

NNAPI and Core ML compute in place of ONNX Runtime's own kernels, where an app asks for them; the
desktop wheel has neither. ONNX Runtime's checker compares names of operators with the lists of
each provider, for fixed shapes. Types and attributes are the provider's to accept or refuse, on
the device.

https://onnxruntime.ai/docs/tutorials/mobile/helpers/model-usability-checker.html
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from kit.error_text import get_first_line

if TYPE_CHECKING:
    from onnx import ModelProto

_COREML_OPERATORS = "coreml_supported_mlprogram_ops.md"


def estimate_partitions(model: ModelProto) -> dict[str, str]:
    """Return by provider how many nodes it would take, in how many parts, and what it lacks.

    Args:
        model: with its weights.
    """
    import onnx
    from onnxruntime.tools.mobile_helpers import usability_checker

    try:
        shaped = onnx.shape_inference.infer_shapes(model)
        supported = {
            "NNAPI": usability_checker.check_nnapi_partitions(shaped, True),
            "Core ML": usability_checker.check_coreml_partitions(shaped, True, _COREML_OPERATORS),
        }
    except Exception as exc:  # noqa: BLE001 - an estimate that a tool cannot make is no damage
        return {"providers": f"not known: {get_first_line(exc)}"}
    return {f"{name} provider": _describe(one) for name, one in supported.items()}


def _describe(info: Any) -> str:
    """Return ``all nodes``, or ``104 of 123 nodes in 20 parts, without HardSwish``."""
    taken, count = int(info.num_supported_nodes), int(info.num_nodes)
    if taken == count:
        return "all nodes, by their names"
    parts = "1 part" if info.num_partitions == 1 else f"{info.num_partitions} parts"
    lacking = sorted(str(name).removeprefix("ai.onnx:") for name in info.unsupported_ops)
    without = f", without {', '.join(lacking)}" if lacking else ""
    return f"{taken} of {count} nodes in {parts}, by their names{without}"
