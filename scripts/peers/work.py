"""Shared by all peers: the folder that they read and write. Needs only numpy.

WORK/model.onnx        the float model, BatchNorm folded, input [1, 3, H, W]
WORK/reference.pt2     the float model as a `torch.export` program, input [N, 3, H, W]
WORK/calibration.npy   float32 [N, 3, H, W], preprocessed pictures that set the ranges
WORK/evaluation.npy    float32 [N, 3, H, W], preprocessed pictures to answer
WORK/NAME.npy          written: float32 [N, classes], the answers
WORK/NAME.json         written: method, versions, bytes, seconds by step
WORK/NAME/             the peer's own files, its working directory
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float32]


class Work:
    """The folder of one run, as one peer sees it.

    Attributes:
        name: of the peer's row; a peer of several rows tells them apart by it.
        model: the float model in ONNX.
        reference: the float model as a `torch.export` program.
        own: the peer's own folder.
        calibration: read from disk as it is used.
        evaluation: the same.
    """

    def __init__(self, folder: Path, name: str) -> None:
        self.name = name
        self.model = folder / "model.onnx"
        self.reference = folder / "reference.pt2"
        self.own = folder / name
        self.calibration: Array = np.load(folder / "calibration.npy", mmap_mode="r")
        self.evaluation: Array = np.load(folder / "evaluation.npy", mmap_mode="r")
        self._answers = folder / f"{name}.npy"
        self._facts = folder / f"{name}.json"
        self._seconds: dict[str, float] = {}

    def one(self) -> Array:
        """Return one calibration picture [1, 3, H, W], for tools that need an example."""
        return np.array(self.calibration[:1])

    def batches(self) -> Iterator[Array]:
        """Yield the calibration pictures one by one, each [1, 3, H, W]."""
        for i in range(len(self.calibration)):
            yield np.array(self.calibration[i : i + 1])

    @contextmanager
    def step(self, name: str) -> Iterator[None]:
        """Time a step on the way from the float model to the int8 file."""
        began = time.perf_counter()
        yield
        self._seconds[name] = time.perf_counter() - began

    def answer(
        self,
        predict: Callable[[Array], Any],
        method: str,
        files: Sequence[Path],
        distributions: Sequence[str],
        runtime: str,
    ) -> None:
        """Run the int8 model on every evaluation picture, and write answers and facts.

        Args:
            predict: takes [1, 3, H, W], gives logits [1, classes].
            method: the peer's settings, in words.
            files: that make up the int8 model.
            distributions: whose versions decide the result.
            runtime: which of them runs the files.
        """
        rows = [
            np.asarray(predict(np.array(self.evaluation[i : i + 1]))).reshape(1, -1)
            for i in range(len(self.evaluation))
        ]
        np.save(self._answers, np.concatenate(rows).astype(np.float32))
        facts = {
            "method": method,
            "runtime": runtime,
            "versions": {name: version(name) for name in distributions},
            "bytes": sum(file.stat().st_size for file in files),
            "seconds": self._seconds,
        }
        self._facts.write_text(json.dumps(facts, indent=2) + "\n", encoding="utf-8")


def run(main: Callable[[Work], None]) -> None:
    """Run the peer of the command line: ``python PEER.py WORK NAME``."""
    folder, name = sys.argv[1:]
    main(Work(Path(folder).resolve(), name))
