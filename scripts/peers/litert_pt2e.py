"""litert-torch: its `PT2EQuantizer` and its converter, as its page shows, run by LiteRT.

https://github.com/google-ai-edge/litert-torch/blob/main/docs/pytorch_converter/README.md
Needs no environment of its own: the kit's has the same packages.
"""

from __future__ import annotations

import numpy as np
from work import Array, Work, run


def main(work: Work) -> None:
    import litert_torch
    import torch
    from ai_edge_litert.interpreter import Interpreter
    from litert_torch.quantize.pt2e_quantizer import (
        PT2EQuantizer,
        get_symmetric_quantization_config,
    )
    from litert_torch.quantize.quant_config import QuantConfig
    from torchao.quantization.pt2e.quantize_pt2e import convert_pt2e, prepare_pt2e

    example = (torch.from_numpy(work.one()),)
    with work.step("quantize"), torch.no_grad():
        model = torch.export.load(work.reference).module()
        config = get_symmetric_quantization_config(is_per_channel=True)
        quantizer = PT2EQuantizer().set_global(config)
        prepared = prepare_pt2e(torch.export.export(model, example).module(), quantizer)
        for batch in work.batches():
            prepared(torch.from_numpy(batch))
        quantized = convert_pt2e(prepared, fold_quantize=False)
    path = work.own / "int8.tflite"
    with work.step("convert"):
        setting = QuantConfig(pt2e_quantizer=quantizer)
        litert_torch.convert(quantized, example, quant_config=setting).export(str(path))
    interpreter = Interpreter(str(path))
    interpreter.allocate_tensors()
    (source,), (target,) = interpreter.get_input_details(), interpreter.get_output_details()

    def predict(image: Array) -> Array:
        interpreter.set_tensor(source["index"], image)
        interpreter.invoke()
        answer: Array = interpreter.get_tensor(target["index"])
        return np.array(answer)

    work.answer(
        predict,
        "PT2EQuantizer: symmetric per-channel s8 weights, s8 activations",
        [path],
        ["litert-torch", "torchao", "torch"],
        "ai-edge-litert",
    )


if __name__ == "__main__":
    run(main)
