"""ai-edge-quantizer: the recipe `static_wi8_ai8`, converted by litert-torch, run by LiteRT.

A name that ends with `float-io` leaves inputs and outputs in float, as apps and kit's format have.

https://github.com/google-ai-edge/ai-edge-quantizer
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from work import Array, Work, run


def main(work: Work) -> None:
    import litert_torch
    import torch
    from ai_edge_litert.interpreter import Interpreter
    from ai_edge_quantizer import qtyping, quantizer, recipe
    from ai_edge_quantizer.algorithm_manager import AlgorithmName

    plain, quantized = work.own / "float.tflite", work.own / "int8.tflite"
    with work.step("convert"):
        model = torch.export.load(work.reference).module()
        litert_torch.convert(model, (torch.from_numpy(work.one()),)).export(str(plain))
    signature, name = only_input(Interpreter(str(plain)))
    with work.step("quantize"):
        tool = quantizer.Quantizer(str(plain))
        tool.load_quantization_recipe(recipe.static_wi8_ai8())
        if work.name.endswith("float-io"):
            for end in (qtyping.TFLOperationName.INPUT, qtyping.TFLOperationName.OUTPUT):
                tool.update_quantization_recipe(".*", end, algorithm_key=AlgorithmName.NO_QUANTIZE)
        statistics = tool.calibrate({signature: [{name: batch} for batch in work.batches()]})
        tool.quantize(statistics).export_model(str(quantized))
    interpreter = Interpreter(str(quantized))
    (source,) = interpreter.get_input_details()
    (target,) = interpreter.get_output_details()
    interpreter.allocate_tensors()

    def predict(image: Array) -> Array:
        if source["dtype"] is np.float32:
            interpreter.set_tensor(source["index"], image)
        else:
            interpreter.set_tensor(source["index"], to_int8(image, *source["quantization"]))
        interpreter.invoke()
        if target["dtype"] is np.float32:
            return interpreter.get_tensor(target["index"])
        scale, zero_point = target["quantization"]
        steps = interpreter.get_tensor(target["index"]).astype(np.float32) - zero_point
        answer: Array = steps * np.float32(scale)
        return answer

    work.answer(
        predict,
        "recipe static_wi8_ai8: min-max, s8 activations, per-channel s8 weights, int8 in and out",
        [quantized],
        ["ai-edge-quantizer", "litert-torch", "ai-edge-litert", "torch"],
        "ai-edge-litert",
    )


def only_input(interpreter: Any) -> tuple[str, str]:
    """Return the names of the signature and of its input."""
    ((signature, tensors),) = interpreter.get_signature_list().items()
    (name,) = tensors["inputs"]
    return signature, name


def to_int8(image: Array, scale: float, zero_point: int) -> NDArray[np.int8]:
    """Quantize the input, as the recipe makes the model's input int8."""
    steps: Array = np.rint(image / np.float32(scale)) + zero_point
    return steps.clip(-128, 127).astype(np.int8)


if __name__ == "__main__":
    run(main)
