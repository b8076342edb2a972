"""How tasks whose answers are vectors show one."""

from __future__ import annotations

import numpy as np

from kit.comparison import compute_cosine
from kit.signature import Samples
from kit.tasks.answers import FIRST_VALUES, AnswerContext, ShownAnswer


def show_vector(answer: Samples, context: AnswerContext) -> ShownAnswer:
    """Return length and first values of a vector, and its cosine to the float model's."""
    vector = answer.arrays[0].reshape(1, -1)
    length = float(np.linalg.norm(vector.astype(np.float64)))
    values = [float(value) for value in vector[0, :FIRST_VALUES]]
    more = ", …" if vector.size > FIRST_VALUES else ""
    numbers = ", ".join(f"{value:.4g}" for value in values)
    lines = [f"{vector.size} numbers, norm {length:.4g}", f"{numbers}{more}"]
    record = {"size": vector.size, "norm": length, "values": values}
    if context.reference is None:
        return ShownAnswer(tuple(lines), record)
    angle = compute_cosine(context.reference.arrays[0].reshape(1, -1), vector)
    return ShownAnswer((*lines, f"cosine to float {angle:.5f}"), {**record, "cosine": angle})
