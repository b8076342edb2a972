"""ONNX Runtime: `quantize_static` with default options, or with `per_channel=True`.

https://onnxruntime.ai/docs/performance/model-optimizations/quantization.html asks for
`quant_pre_process` first, and names per-channel weights where per-tensor ones lose too much.
"""

from __future__ import annotations

from typing import Any

from work import Array, Work, run


def main(work: Work) -> None:
    import onnxruntime as ort
    from onnxruntime import quantization as q
    from onnxruntime.quantization.shape_inference import quant_pre_process

    class Reader(q.CalibrationDataReader):
        def __init__(self, name: str) -> None:
            self._feeds = ({name: batch} for batch in work.batches())

        def get_next(self) -> dict[str, Array] | None:
            return next(self._feeds, None)

    per_channel = work.name.endswith("per-channel")
    prepared, quantized = work.own / "prepared.onnx", work.own / "int8.onnx"
    with work.step("prepare"):
        quant_pre_process(str(work.model), str(prepared))
    name = session(ort, prepared).get_inputs()[0].name
    with work.step("quantize"):
        q.quantize_static(str(prepared), str(quantized), Reader(name), per_channel=per_channel)
    runner = session(ort, quantized)
    weights = "per-channel" if per_channel else "per-tensor"
    work.answer(
        lambda image: runner.run(None, {name: image})[0],
        f"quantize_static: QDQ, MinMax, s8 activations, {weights} s8 weights",
        [quantized],
        ["onnxruntime", "onnx"],
        "onnxruntime",
    )


def session(ort: Any, path: Any) -> Any:
    return ort.InferenceSession(str(path), providers=["CPUExecutionProvider"])


if __name__ == "__main__":
    run(main)
