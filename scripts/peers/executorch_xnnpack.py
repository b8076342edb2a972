"""ExecuTorch: what its XNNPACK page does, run as a `.pte` by its own runtime.

https://docs.pytorch.org/executorch/stable/backends/xnnpack/xnnpack-quantization.html
Needs no environment of its own: the kit's has the same packages.
"""

from __future__ import annotations

from work import Array, Work, run


def main(work: Work) -> None:
    import torch
    from executorch.backends.xnnpack.partition.xnnpack_partitioner import XnnpackPartitioner
    from executorch.backends.xnnpack.quantizer.xnnpack_quantizer import (
        XNNPACKQuantizer,
        get_symmetric_quantization_config,
    )
    from executorch.exir import to_edge_transform_and_lower
    from executorch.runtime import Runtime
    from torchao.quantization.pt2e.quantize_pt2e import convert_pt2e, prepare_pt2e

    example = (torch.from_numpy(work.one()),)
    with work.step("quantize"), torch.no_grad():
        model = torch.export.load(work.reference).module()
        config = get_symmetric_quantization_config(is_per_channel=True)
        quantizer = XNNPACKQuantizer().set_global(config)
        prepared = prepare_pt2e(torch.export.export(model, example).module(), quantizer)
        for batch in work.batches():
            prepared(torch.from_numpy(batch))
        quantized = convert_pt2e(prepared)
    path = work.own / "int8.pte"
    with work.step("lower"):
        program = torch.export.export(quantized, example)
        lowered = to_edge_transform_and_lower(program, partitioner=[XnnpackPartitioner()])
        path.write_bytes(lowered.to_executorch().buffer)
    loaded = Runtime.get().load_program(path)
    method = loaded.load_method("forward")

    def predict(image: Array) -> Array:
        answer: Array = method.execute([torch.from_numpy(image)])[0].numpy().copy()
        return answer

    work.answer(
        predict,
        "XNNPACKQuantizer: symmetric per-channel s8 weights, s8 activations by histogram",
        [path],
        ["executorch", "torchao", "torch"],
        "executorch",
    )


if __name__ == "__main__":
    run(main)
