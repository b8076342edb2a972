"""PyTorch Lite Interpreter (`.ptl`): TorchScript bytecode, run by qnnpack kernels.

https://docs.pytorch.org/mobile/home/ - deprecated upstream, still in many apps.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from kit.formats.interface import Format, Session
from kit.formats.lite.native import NATIVE_RUNNER
from kit.formats.properties import Description, EndOfLife, Thresholds, VersionRange
from kit.formats.runtimes import AndroidRuntime, MavenArtifact
from kit.formats.structure import ModelStructure
from kit.formats.torch_profile import TorchProfiler
from kit.varying import Varying, widen

if TYPE_CHECKING:
    from torch import Tensor
    from torch.fx import GraphModule

# The versions of the bytecode that torch 1.12 to 2.14 read; newer torch writes 8.
# https://github.com/pytorch/pytorch, caffe2/serialize/versions.h, and for Android
# kMinSupportedBytecodeVersion and kMaxSupportedBytecodeVersion in libpytorch_jni_lite.so.
_BYTECODES = (4, 9)


def _load(path: Path, threads: int) -> Session:
    from kit.formats.lite.session import load_session

    return load_session(path, threads)


class Lite(Format):
    """A traced and frozen module."""

    name = "lite"
    suffix = ".ptl"
    summary = "PyTorch Lite Interpreter, qnnpack kernels"
    aliases = ("pytorch-mobile", "pytorch_mobile", "ptmobile", "mobile", "lite-interpreter")
    flow = "torch-ao"
    precisions = ("fp32", "int8", "int8-dynamic")
    runtime = "torch"
    packages = ("torch",)
    exact = True
    thresholds = Thresholds(agreement=1.0, sqnr_db=60.0)
    reads = VersionRange(
        r"bytecode (\d+)",
        frozenset(str(number) for number in range(_BYTECODES[0], _BYTECODES[1] + 1)),
        f"bytecode {_BYTECODES[0]} to {_BYTECODES[1]}",
    )
    ended = EndOfLife(
        "PyTorch deprecated the Lite Interpreter, and its last Android archive, 2.1.0, is linked "
        "for pages of 4 KB, which Google Play refuses",
        successor="executorch",
    )
    native = NATIVE_RUNNER
    android = AndroidRuntime(
        MavenArtifact("org.pytorch", "pytorch_android_lite", "1.12.2", "aar"),
        marker="org/pytorch/LiteModuleLoader.class",
        beside=(
            MavenArtifact("com.facebook.fbjni", "fbjni-java-only", "0.2.2"),
            MavenArtifact("com.facebook.soloader", "nativeloader", "0.10.1"),
        ),
        versions=_BYTECODES,
        exclusive="fbjni",
        preference=1,
    )
    profiler = TorchProfiler(_load)
    varies = True

    def export(self, model: GraphModule, example: tuple[Tensor, ...], path: Path) -> None:
        """Trace, freeze and save a model for the Lite Interpreter."""
        from kit.formats.lite.export import export_model

        export_model(model, example, path)

    def export_varying(
        self, model: GraphModule, example: tuple[Tensor, ...], varying: Varying, path: Path
    ) -> None:
        """Trace a model that reads the sizes off its input, with two samples if these vary."""
        from kit.formats.lite.export import export_model

        export_model(model, widen(example, varying), path, fixed=False)

    def describe(self, path: Path) -> Description:
        """Read the bytecode version and the operators from the archive."""
        from kit.formats.lite.describe import describe_file

        return describe_file(path)

    def read_structure(self, path: Path) -> ModelStructure:
        """Return the graph and the code, which the archive stores besides the bytecode."""
        from kit.formats.lite.structure import read_file

        return read_file(path, self.describe(path).format_version)

    def recognizes(self, path: Path) -> bool:
        """Return whether the content is an archive with bytecode."""
        from kit.formats.torch_structure import list_members

        return any(name.endswith("/bytecode.pkl") for name in list_members(path))

    def load(self, path: Path, threads: int) -> Session:
        """Load the file; `threads` sets torch's intra-op threads of this process."""
        return _load(path, threads)

    def read_version(self) -> str:
        """Return the version of torch."""
        from kit.formats.torch_session import read_version

        return read_version()

    def prepare(self, threads: int) -> int:
        """Import torch and set the intra-op threads of this process."""
        from kit.formats.torch_session import prepare_torch

        return prepare_torch(threads)


FORMAT = Lite()
