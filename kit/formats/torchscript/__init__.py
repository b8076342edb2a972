"""TorchScript (`.pt`): a frozen module, run by torch's JIT with qnnpack kernels.

https://docs.pytorch.org/docs/stable/jit.html - deprecated upstream in favour of torch.export,
but many C++ programs still load it.
"""

from __future__ import annotations

import re
import zipfile
from collections import Counter
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING

from kit.errors import BundleError
from kit.formats.interface import Format, Session
from kit.formats.properties import Description, EndOfLife, Thresholds
from kit.formats.structure import ModelStructure
from kit.formats.torch_profile import TorchProfiler
from kit.formats.torchscript.compiling import How, compile_module, describe_script, optimize
from kit.formats.torchscript.engine import QNNPACK, read_engine, use_engine
from kit.formats.torchscript.x86 import X86Engine
from kit.varying import Varying, widen

if TYPE_CHECKING:
    from torch import Tensor, nn
    from torch.fx import GraphModule
    from torch.jit import ScriptModule

_CODE = re.compile(r"[^/]+/code/.+\.py")
_VERSION = re.compile(r"[^/]+/(?:\.data/)?version")


def _load(path: Path, threads: int) -> Session:
    import torch

    from kit.formats.torch_session import TorchSession, prepare_torch

    prepare_torch(threads)
    module = _read(path)
    # For as long as the session runs: kernels ask for it.
    torch.backends.quantized.engine = read_engine(path)
    return TorchSession(optimize(module))


def _read(path: Path) -> ScriptModule:
    import torch

    try:
        with use_engine(read_engine(path)):  # must be set before packed weights are read
            module: ScriptModule = torch.jit.load(str(path), map_location="cpu")
    except (RuntimeError, ValueError) as exc:
        reason = str(exc).strip().splitlines()[0]
        raise BundleError(f"{path} is not a TorchScript file: {reason}", "build it again") from exc
    return module


class TorchScript(Format):
    """A module without Python code, parameters folded into constants."""

    name = "torchscript"
    suffix = ".pt"
    summary = "TorchScript for torch and libtorch, qnnpack kernels"
    aliases = ("jit", "script", "libtorch")
    flow = "torch-ao"
    precisions = ("fp32", "fp16", "int8", "int8-dynamic")
    refusals = MappingProxyType(
        {
            "int8-weights": "a frozen module has its constants computed, so that its weights would "
            "be float again"
        }
    )
    backends = (X86Engine(),)
    runtime = "torch"
    packages = ("torch",)
    exact = True
    thresholds = Thresholds(agreement=1.0, sqnr_db=60.0)
    profiler = TorchProfiler(_load)
    varies = True
    ended = EndOfLife("PyTorch deprecated torch.jit", successor="executorch")

    def export(self, model: GraphModule, example: tuple[Tensor, ...], path: Path) -> None:
        """Trace, freeze and save a model."""
        write_module(model, example, path)

    def export_varying(
        self, model: GraphModule, example: tuple[Tensor, ...], varying: Varying, path: Path
    ) -> None:
        """Trace a model that reads the sizes off its input, with two samples if these vary."""
        write_module(model, widen(example, varying), path, fixed=False)

    def describe(self, path: Path) -> Description:
        """Read the version of the archive and the operators of the inlined graph."""
        script = _read(path)
        kinds = (node.kind() for node in script.inlined_graph.nodes())
        operators = Counter(kind for kind in kinds if not kind.startswith("prim::"))
        engine = read_engine(path)
        return Description(
            format_version=f"TorchScript {_read_version(path)}, {describe_script(script)}"
            + ("" if engine == QNNPACK else f", {engine} engine"),
            operators=dict(sorted(operators.items())),
        )

    def read_structure(self, path: Path) -> ModelStructure:
        """Return the inlined graph and the code."""
        from kit.formats.torch_structure import read_code, read_graph

        script = _read(path)
        metadata = {
            "version": _read_version(path),
            "made by": describe_script(script),
            "engine": read_engine(path),
        }
        return ModelStructure(metadata, (read_graph(script),), read_code(path))

    def recognizes(self, path: Path) -> bool:
        """Return whether the content is an archive with code and without bytecode."""
        from kit.formats.torch_structure import list_members

        names = list_members(path)
        return any(_CODE.fullmatch(name) for name in names) and not any(
            name.endswith("/bytecode.pkl") for name in names
        )

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


def write_module(
    module: nn.Module, example: tuple[Tensor, ...], path: Path, fixed: bool = True
) -> How:
    """Write a graph, or any module that torch can script or trace; return how it was compiled.

    A module keeps its branches, loops and state, such as a list of earlier inputs.

    Args:
        module: in eval mode.
        example: one call's inputs.
        path: of the file.
        fixed: whether all calls have the sizes of the example.

    Raises:
        BuildError: the module decides on values and cannot be scripted.
    """
    import torch

    with use_engine(QNNPACK):
        script, how = compile_module(module, example, fixed)
        torch.jit.save(script, str(path))
    return how


def _read_version(path: Path) -> str:
    """Return the version of the archive's operators, which is stored as text."""
    with zipfile.ZipFile(path) as archive:
        name = next(name for name in archive.namelist() if _VERSION.fullmatch(name))
        return archive.read(name).decode("ascii", errors="replace").strip()


FORMAT = TorchScript()
