"""The best labels of an answer, with probabilities."""

from __future__ import annotations

import numpy as np

from kit.manifest.schema import Scores
from kit.signature import AnyArray, Samples
from kit.tasks.answers import AnswerContext, ShownAnswer

# Float32 sums of 1000 probabilities are off by some 1e-6.
_SUM_TOLERANCE = 1e-3
NOTE = "the network ends with a softmax: its outputs are the probabilities"


def show_labels(answer: Samples, context: AnswerContext) -> ShownAnswer:
    """Return the best labels with their probabilities, the lower class first of equal ones.

    A network that ends with a softmax answers with probabilities; a second softmax would make
    them almost equal.
    """
    scores = answer.arrays[0][0].astype(np.float64)
    kind = context.scores
    if kind is None and context.golden is not None:  # of a bundle that does not say it
        kind = describe_scores(context.golden)
    ends_in_softmax = kind == "probabilities"
    shares = scores if ends_in_softmax else _softmax(scores)
    best = np.argsort(-shares, kind="stable")[: context.top].tolist()
    names = context.inputs.labels
    labels = [
        {
            "index": index,
            "label": names[index] if names else f"#{index}",
            "probability": float(shares[index]),
            "output": float(scores[index]),
        }
        for index in best
    ]
    lines = tuple(f"{100 * one['probability']:5.1f} %  {one['label']}" for one in labels)
    record = {"labels": labels, "softmax": "network" if ends_in_softmax else "kit"}
    return ShownAnswer(lines, record, NOTE if ends_in_softmax else "")


def describe_scores(golden: Samples) -> Scores:
    """Return what a network answers with, by its answers [N, classes] to several inputs."""
    return "probabilities" if is_distribution(golden.arrays[0]) else "logits"


def is_distribution(answers: AnyArray) -> bool:
    """Return whether each answer [N, classes] is probabilities: none negative, their sum 1.

    Logits of several inputs do that by chance only if all but one are 0.
    """
    sums = answers.sum(axis=-1, dtype=np.float64)
    return bool(len(answers) and (answers >= 0).all() and (abs(sums - 1) < _SUM_TOLERANCE).all())


def _softmax(logits: AnyArray) -> AnyArray:
    shares = np.exp(logits - logits.max())
    probabilities: AnyArray = shares / shares.sum()
    return probabilities
