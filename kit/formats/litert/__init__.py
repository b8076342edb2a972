"""LiteRT (`.tflite`), run by ai-edge-litert with XNNPACK; the former TensorFlow Lite.

https://ai.google.dev/edge/litert - its packages are the extra ``litert``.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from kit.formats.interface import Format, Session
from kit.formats.litert.android import ANDROID_RUNTIME
from kit.formats.litert.channels_last import ChannelsLast
from kit.formats.litert.native import NATIVE_RUNNER
from kit.formats.litert.profile import LiteRtProfiler
from kit.formats.model_card import ModelCard
from kit.formats.properties import Description, Thresholds, VersionRange
from kit.formats.structure import ModelStructure

if TYPE_CHECKING:
    from torch import Tensor
    from torch.fx import GraphModule


class LiteRt(Format):
    """A flatbuffer with one signature; float inputs and outputs, channels first as in PyTorch."""

    name = "litert"
    suffix = ".tflite"
    summary = "LiteRT (TensorFlow Lite), run by XNNPACK; needs the extra litert"
    aliases = ("tensorflow-lite", "tf-lite", "tf")
    flow = "pt2e-s8"
    precisions = (
        *("fp32", "fp16", "int8", "int8-dynamic"),
        *("int8-weights", "int16-activations", "int4-weights"),
    )
    backends = (ChannelsLast(),)
    runtime = "ai-edge-litert"
    packages = ("litert-torch", "litert-converter", "ai-edge-litert")
    extra = "litert"
    exact = False
    # XNNPACK computes, as in ExecuTorch, so the thresholds are equal.
    thresholds = Thresholds(agreement=0.75, sqnr_db=12.0)
    lowering_cost = 2.0
    # The only version since 2017; what is added to it is a version of an operator.
    reads = VersionRange(r"schema (\d+)", frozenset({"3"}), "schema 3")
    native = NATIVE_RUNNER
    android = ANDROID_RUNTIME
    profiler = LiteRtProfiler()

    def export(self, model: GraphModule, example: tuple[Tensor, ...], path: Path) -> None:
        """Convert a model with litert-torch."""
        from kit.formats.litert.export import export_model

        export_model(model, example, path)

    def annotate(self, path: Path, card: ModelCard) -> None:
        """Write TFLite Metadata: labels, normalization, and what the tensors are."""
        from kit.formats.litert.metadata import attach_metadata

        attach_metadata(path, card)

    def describe(self, path: Path) -> Description:
        """Read the schema, the operators, and those that XNNPACK takes here."""
        from kit.formats.litert.describe import describe_file

        return describe_file(path)

    def read_structure(self, path: Path) -> ModelStructure:
        """Return the subgraphs, with operators and their options."""
        from kit.formats.litert.structure import read_file

        return read_file(path)

    def recognizes(self, path: Path) -> bool:
        """Return whether the content has the schema's identifier."""
        from kit.formats.litert.flatbuffer import is_model

        return is_model(path)

    def load(self, path: Path, threads: int) -> Session:
        """Open the file with `threads` threads of XNNPACK."""
        from kit.formats.litert.session import load_session

        return load_session(path, threads)

    def read_version(self) -> str:
        """Return the version of ai-edge-litert."""
        from kit.formats.litert.packages import read_version

        return read_version(self.runtime)

    def prepare(self, threads: int) -> None:
        """Import the interpreter; threads are set when a file is opened."""
        from kit.formats.litert.session import prepare_runtime

        prepare_runtime()

    def check(self, path: Path) -> None:
        """Parse the file completely."""
        from kit.formats.litert.session import check_file

        check_file(path)


FORMAT = LiteRt()
