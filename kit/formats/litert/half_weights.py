"""Float16 files of LiteRT: weights are stored in float16, and dequantized as the file is loaded.

https://ai.google.dev/edge/litert/models/post_training_float16_quant - LiteRT has no float16
convolution on CPUs: XNNPACK and GPUs read the weights through the DEQUANTIZE operator in front of
each, and compute in float32 or, where the device has it, in float16.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from kit.formats.litert.flatbuffer import Model, import_schema
from kit.formats.litert.narrow_constants import NarrowConstant, narrow_constants

_VERSION = 3  # of DEQUANTIZE, the first that reads float16


def store_half(model: Model) -> None:
    """Store the float constants of a file in float16, except those with a value beyond its range.

    The graph has none, but the converter folds a scale behind a layer into the layer's weights.

    Args:
        model: is changed.
    """
    half = import_schema().TensorType.FLOAT16

    def narrow(values: NDArray[np.float32]) -> NarrowConstant | None:
        with np.errstate(over="ignore"):
            narrowed = values.reshape(-1).astype(np.float16)
        if np.isinf(narrowed).sum() > np.isinf(values).sum():
            return None
        return NarrowConstant(narrowed.view(np.uint8), half)

    narrow_constants(model, narrow, _VERSION)
