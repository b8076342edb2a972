"""ExecuTorch (`.pte`), delegated to XNNPACK.

https://docs.pytorch.org/executorch/stable/backends-xnnpack.html
"""

from __future__ import annotations

from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING

from kit.formats.executorch.coreml import CoreMl
from kit.formats.executorch.native import NATIVE_RUNNER
from kit.formats.executorch.profile import EtdumpProfiler
from kit.formats.executorch.vulkan import Vulkan
from kit.formats.interface import Format, Session
from kit.formats.properties import Description, Thresholds, VersionRange
from kit.formats.runtimes import AndroidRuntime, MavenArtifact
from kit.formats.structure import ModelStructure
from kit.varying import Varying

if TYPE_CHECKING:
    from torch import Tensor
    from torch.fx import GraphModule


class ExecuTorch(Format):
    """One program with the method ``forward``."""

    name = "executorch"
    suffix = ".pte"
    summary = "ExecuTorch, delegated to XNNPACK"
    aliases = ("et",)
    flow = "pt2e-s8"
    precisions = ("fp32", "fp16", "int8", "int8-dynamic", "int4-weights")
    refusals = MappingProxyType(
        {
            "int8-weights": "its XNNPACK backend takes int8 weights beside int8 activations only; "
            "int8-dynamic is the nearest",
            "int16-activations": "XNNPACK has no kernels for int16 activations",
        }
    )
    backends = (Vulkan(), CoreMl())
    runtime = "executorch"
    packages = ("executorch",)
    exact = False
    thresholds = Thresholds(agreement=0.75, sqnr_db=12.0)
    lowering_cost = 2.0
    imports = ("executorch.backends.xnnpack.partition.xnnpack_partitioner",)
    # The schema of ExecuTorch's programs since 0.1.
    reads = VersionRange(r"(ET\d+)", frozenset({"ET12"}), "ET12")
    native = NATIVE_RUNNER
    android = AndroidRuntime(
        MavenArtifact("org.pytorch", "executorch-android", "1.5.1", "aar"),
        marker="org/pytorch/executorch/Module.class",
        beside=(
            MavenArtifact("com.facebook.fbjni", "fbjni", "0.7.0", "aar"),
            MavenArtifact("com.facebook.soloader", "nativeloader", "0.10.5"),
            # Its classes are Kotlin's, compiled by 1.9.23; R8 needs the classes they refer to.
            MavenArtifact("org.jetbrains.kotlin", "kotlin-stdlib", "1.9.23"),
            MavenArtifact("org.jetbrains", "annotations", "13.0"),
        ),
        exclusive="fbjni",
        preference=0,
    )
    profiler = EtdumpProfiler()
    varies = True

    def export(self, model: GraphModule, example: tuple[Tensor, ...], path: Path) -> None:
        """Lower a model to XNNPACK and write the program."""
        from kit.formats.executorch.export import export_model

        export_model(model, example, path)

    def export_varying(
        self, model: GraphModule, example: tuple[Tensor, ...], varying: Varying, path: Path
    ) -> None:
        """Lower a model with memory for the largest sizes."""
        from kit.formats.executorch.export import export_model

        export_model(model, example, path, varying)

    def describe(self, path: Path) -> Description:
        """Read the version, the operators and the delegated nodes."""
        from kit.formats.executorch.describe import describe_file

        return describe_file(path)

    def read_structure(self, path: Path) -> ModelStructure:
        """Return the instructions, and the nodes of each delegate."""
        from kit.formats.executorch.structure import read_file

        return read_file(path)

    def recognizes(self, path: Path) -> bool:
        """Return whether the content has the identifier of a program."""
        from kit.formats.executorch.program import is_program

        return is_program(path)

    def load(self, path: Path, threads: int) -> Session:
        """Load the program, to run on `threads` threads of this process."""
        from kit.formats.executorch.session import load_session

        return load_session(path, threads)

    def read_version(self) -> str:
        """Return the version of ExecuTorch."""
        from kit.formats.executorch.session import read_version

        return read_version()

    def prepare(self, threads: int) -> int:
        """Import the runtime and set the size of its thread pool."""
        from kit.formats.executorch.session import prepare_runtime

        return prepare_runtime(threads)

    def check(self, path: Path) -> None:
        """Parse the file completely: a damaged one would crash the runtime, and this process."""
        from kit.formats.executorch.session import check_file

        check_file(path)


FORMAT = ExecuTorch()
