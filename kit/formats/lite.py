"""PyTorch Lite Interpreter (`.ptl`): TorchScript bytecode, run by qnnpack kernels.

https://docs.pytorch.org/mobile/home/ - deprecated upstream, still in many apps.
"""

from __future__ import annotations

import re
import zipfile
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

from kit.errors import BundleError
from kit.formats._contract import Description, Info, Thresholds
from kit.formats._reference import TorchSession, prepare, version

if TYPE_CHECKING:
    from torch import Tensor
    from torch.fx import GraphModule

__all__ = ["INFO", "describe", "export", "load", "prepare", "version"]

INFO = Info(
    suffix=".ptl",
    summary="PyTorch Lite Interpreter, qnnpack kernels",
    flow="torch-ao",
    runtime="torch",
    exact=True,
    graph=Thresholds(agreement=1.0, sqnr_db=60.0),
)


def export(model: GraphModule, example: Tensor, path: Path) -> None:
    """Trace, freeze and save a model for the Lite Interpreter.

    `optimize_for_mobile` is left out on purpose: it needs XNNPACK, which the wheels of
    torch are built without.
    """
    import torch

    _use_qnnpack()
    with torch.inference_mode():
        script = torch.jit.freeze(torch.jit.trace(model.eval(), example))
    script._save_for_lite_interpreter(str(path))


def describe(path: Path) -> Description:
    """Read the bytecode version and the operators off the archive.

    Raises:
        BundleError: it is not a Lite Interpreter file.
    """
    from torch.jit.mobile import (
        _export_operator_list,
        _get_model_bytecode_version,
        _load_for_lite_interpreter,
    )

    try:
        number = _get_model_bytecode_version(str(path))
        names = _export_operator_list(_load_for_lite_interpreter(str(path)))
        counts = _count_calls(path)
    except (RuntimeError, KeyError, zipfile.BadZipFile) as exc:
        raise BundleError(
            f"{path} is not a Lite Interpreter file: {exc}", "build it again"
        ) from exc
    operators = {name: counts.get(name, 1) for name in sorted(names)}
    return Description(format_version=f"bytecode {number}", operators=operators)


def _count_calls(path: Path) -> Counter[str]:
    """Count operator calls in the serialized code, which the archive keeps as text."""
    calls: Counter[str] = Counter()
    with zipfile.ZipFile(path) as archive:
        for name in archive.namelist():
            if name.endswith(".py"):
                code = archive.read(name).decode()
                calls.update(
                    f"{space}::{op}" for space, op in re.findall(r"\bops\.(\w+)\.(\w+)\(", code)
                )
                calls.update(f"aten::{op}" for op in re.findall(r"\btorch\.(\w+)\(", code))
    return calls


def load(path: Path, threads: int) -> TorchSession:
    """Load the file; `threads` sets torch's intra-op threads of this process.

    Raises:
        BundleError: it is not a Lite Interpreter file.
    """
    from torch.jit.mobile import _load_for_lite_interpreter

    prepare(threads)
    _use_qnnpack()
    try:
        return TorchSession(_load_for_lite_interpreter(str(path)))
    except (RuntimeError, UnicodeDecodeError) as exc:  # an error that quotes what is no text
        raise BundleError(
            f"{path} is not a Lite Interpreter file: {exc}", "build it again"
        ) from exc


def _use_qnnpack() -> None:
    """Packed weights are made for one engine; it must be set before they are read."""
    import torch

    torch.backends.quantized.engine = "qnnpack"
