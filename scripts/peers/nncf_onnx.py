"""NNCF: `nncf.quantize(model, dataset)` with default options, on an ONNX file, run by ONNX Runtime.

https://docs.openvino.ai/2026/openvino-workflow/model-optimization-guide/quantizing-models-post-training/basic-quantization-flow.html
nncf_onnx.txt leaves `openvino-telemetry` out, as nncf_openvino.txt does.
"""

from __future__ import annotations

from work import Work, run


def main(work: Work) -> None:
    import nncf
    import onnx
    import onnxruntime as ort

    model = onnx.load(work.model)
    name = model.graph.input[0].name
    with work.step("quantize"):
        data = nncf.Dataset([{name: batch} for batch in work.batches()])
        quantized = nncf.quantize(model, data)
    path = work.own / "int8.onnx"
    with work.step("write"):
        onnx.save(quantized, path)
    session = ort.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    work.answer(
        lambda image: session.run(None, {name: image})[0],
        "nncf.quantize: preset PERFORMANCE, fast bias correction",
        [path],
        ["nncf", "onnx", "onnxruntime"],
        "onnxruntime",
    )


if __name__ == "__main__":
    run(main)
