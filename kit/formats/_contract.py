"""What every format promises; `tests/test_formats.py` holds each member to it.

A member of `kit.formats` defines:

    INFO: Info
    def export(model: GraphModule, example: Tensor, path: Path) -> None
    def describe(path: Path) -> Description
    def prepare(threads: int) -> int | None   # import the runtime, set its threads; how many
                                              # it reports, None if it cannot be asked
    def load(path: Path, threads: int) -> Session
    def version() -> str                      # of the runtime that `load` uses
    def check(path: Path) -> None             # optional: what `load` checks of its own, once;
                                              # a runner calls it before the clock starts
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float32]

# How a quantized graph is represented before it is lowered; see `kit.quantize`.
#   torch-ao  quantized modules of torch.ao, run by the qnnpack engine
#   pt2e-s8   an exported program with int8 activations between Q/DQ pairs
#   pt2e-u8   the same with uint8 activations
Flow = Literal["torch-ao", "pt2e-s8", "pt2e-u8"]


@dataclass(frozen=True)
class Thresholds:
    """Least agreement with its own graph, and least SQNR in dB, of a healthy artifact.

    An int8 MobileNet answers a single value rounded the other way in its first layer with
    a difference as large as its whole quantization noise (18 dB), so that runtimes whose
    arithmetic is right differ from the graph, and from each other, by about that much.
    """

    agreement: float
    sqnr_db: float


@dataclass(frozen=True)
class Info:
    """One line about a format.

    Attributes:
        suffix: of the model file, with the dot.
        summary: for `kit list`.
        flow: the representation of a quantized model that `export` takes.
        runtime: name of the distribution that runs the file here.
        exact: the runtime gives the graph's own answers bit for bit.
        graph: thresholds of the runtime against the graph that was lowered.
    """

    suffix: str
    summary: str
    flow: Flow
    runtime: str
    exact: bool
    graph: Thresholds


@dataclass(frozen=True)
class Description:
    """What can be read off a model file; see `kit.manifest.Artifact`."""

    format_version: str
    operators: dict[str, int]
    delegates: dict[str, int] = field(default_factory=dict)
    not_delegated: dict[str, int] = field(default_factory=dict)
    computed_in_float: dict[str, int] = field(default_factory=dict)


class Session(Protocol):
    """A loaded model with a batch of one."""

    def bind(self, image: Array) -> Callable[[], Any]:
        """Return a call that runs one inference on `image` [1, 3, H, W].

        Everything that is not inference (conversion, checks) happens here, so that
        timing the call times the runtime.
        """

    def numpy(self, output: Any) -> Array:
        """Return the logits [1, classes] of what the call returned."""


def predict(session: Session, images: Array) -> Array:
    """Return the logits [N, classes] of images [N, 3, H, W], one inference each."""
    rows = [session.numpy(session.bind(images[i : i + 1])()) for i in range(len(images))]
    return np.concatenate(rows)
