"""Answers of models with several outputs, as rows of one array.

An error of a pixel in a box and one of a score are not of one size, so each output is divided by
its own root mean square before noise is measured: the noise of all is then their mean, relative
to each output's signal.
"""

from __future__ import annotations

import numpy as np

from kit.signature import FloatArray, Samples, TensorSpec


def find_scales(answers: Samples) -> FloatArray | None:
    """Return the factor [values] of each value of a joined answer; None for one output.

    Args:
        answers: of the float model.
    """
    if len(answers.arrays) == 1:
        return None
    powers = [float(np.square(array, dtype=np.float64).mean()) for array in answers.arrays]
    pairs = zip(answers.specs, powers, strict=True)
    factors = [np.full(spec.elements, power**-0.5 if power else 1.0) for spec, power in pairs]
    return np.concatenate(factors).astype(np.float32)


def join_answers(answers: Samples) -> FloatArray:
    """Return the values of all outputs side by side, [N, values]."""
    return np.concatenate([array.reshape(len(array), -1) for array in answers.arrays], 1)


def split_answers(
    specs: tuple[TensorSpec, ...], rows: FloatArray, scales: FloatArray | None
) -> Samples:
    """Return the outputs of joined answers.

    Args:
        specs: of the outputs.
        rows: [N, …], multiplied by `scales`.
        scales: from `find_scales`.
    """
    table = rows.reshape(len(rows), -1)
    if scales is not None:
        table = table / scales
    ends = np.cumsum([spec.elements for spec in specs])[:-1]
    arrays = [
        np.ascontiguousarray(part).reshape(-1, *spec.sample_shape)
        for spec, part in zip(specs, np.split(table, ends, 1), strict=True)
    ]
    return Samples(specs, tuple(arrays))
