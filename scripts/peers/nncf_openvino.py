"""NNCF: `nncf.quantize(model, dataset)` with default options, run by OpenVINO on the CPU.

https://docs.openvino.ai/2026/openvino-workflow/model-optimization-guide/quantizing-models-post-training/basic-quantization-flow.html

Both report their use through the package `openvino-telemetry` and do without it where it is
not installed: nncf_openvino.txt leaves it out.
"""

from __future__ import annotations

import importlib.util
import sys

from work import Work, run


def main(work: Work) -> None:
    if importlib.util.find_spec("openvino_telemetry"):
        sys.exit("openvino-telemetry is installed here, which reports every use; remove it")
    import nncf
    import openvino as ov

    with work.step("convert"):
        model = ov.convert_model(work.model)
    with work.step("quantize"):
        quantized = nncf.quantize(model, nncf.Dataset(list(work.batches())))
    path = work.own / "int8.xml"
    with work.step("write"):
        ov.save_model(quantized, path)
    compiled = ov.Core().compile_model(path, "CPU")
    work.answer(
        lambda image: compiled(image)[0],
        "nncf.quantize: preset PERFORMANCE, fast bias correction",
        [path, path.with_suffix(".bin")],
        ["nncf", "openvino"],
        "openvino",
    )


if __name__ == "__main__":
    run(main)
