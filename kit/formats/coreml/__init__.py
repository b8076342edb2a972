"""Core ML (`.mlpackage`), for Apple's devices: converted by coremltools, run by macOS and iOS.

https://apple.github.io/coremltools/ - its package is the extra ``coreml``. On Linux it converts
and cannot run models.
"""

from __future__ import annotations

import platform
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING

from kit.formats.interface import Format, Session
from kit.formats.model_card import ModelCard
from kit.formats.properties import Description, Thresholds
from kit.formats.structure import ModelStructure

if TYPE_CHECKING:
    from torch import Tensor
    from torch.fx import GraphModule


class MlPackage(Format):
    """A folder with an ML program and its weights; float inputs and outputs, as in PyTorch."""

    name = "coreml"
    suffix = ".mlpackage"
    aliases = ("mlmodel",)
    summary = "Core ML for Apple's devices, run on macOS only; needs the extra coreml"
    flow = "pt2e-s8"
    precisions = ("fp32", "fp16", "int8", "int8-weights")
    refusals = MappingProxyType(
        {
            "int8-dynamic": "Core ML has no operators that quantize their input as it comes",
            "int16-activations": "Core ML's quantize has 8 bits",
            "int4-weights": "kit writes for iOS 16 and 17, and Core ML has blocks of int4 from "
            "iOS 18 on",
        }
    )
    runtime = "coremltools"
    packages = ("coremltools",)
    extra = "coreml"
    exact = False
    # As of other runtimes that round in their own way: none has been measured.
    thresholds = Thresholds(agreement=0.75, sqnr_db=12.0)
    runs_here = platform.system() == "Darwin"

    def export(self, model: GraphModule, example: tuple[Tensor, ...], path: Path) -> None:
        """Convert a model with coremltools."""
        from kit.formats.coreml.export import export_model

        export_model(model, example, path)

    def annotate(self, path: Path, card: ModelCard) -> None:
        """Name inputs and outputs as the signature does, and store the labels."""
        from kit.formats.coreml.metadata import write_metadata

        write_metadata(path, card)

    def describe(self, path: Path) -> Description:
        """Read the version of the specification and the operators."""
        from kit.formats.coreml.describe import describe_package

        return describe_package(path)

    def read_structure(self, path: Path) -> ModelStructure:
        """Return the ML program's operations, and the package's metadata."""
        from kit.formats.coreml.structure import read_file

        return read_file(path)

    def recognizes(self, path: Path) -> bool:
        """Return whether a folder is a package with a model."""
        from kit.formats.coreml.package import is_package

        return is_package(path)

    def load(self, path: Path, threads: int) -> Session:
        """Open the package with Core ML, which chooses the threads itself."""
        from kit.formats.coreml.session import load_session

        return load_session(path)

    def read_version(self) -> str:
        """Return the version of coremltools; Core ML's is the system's."""
        from kit.formats.extra_packages import read_version

        return read_version(self.runtime, self.extra)

    def prepare(self, threads: int) -> None:
        """Import coremltools."""
        from kit.formats.coreml.package import import_coremltools

        import_coremltools()

    def check(self, path: Path) -> None:
        """Parse the package completely."""
        from kit.formats.coreml.package import read_package

        read_package(path)


FORMAT = MlPackage()
