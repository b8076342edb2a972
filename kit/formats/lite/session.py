"""Sessions of the Lite Interpreter in torch."""

from __future__ import annotations

from pathlib import Path

from kit.errors import BundleError
from kit.formats.torch_session import TorchSession, prepare_torch


def load_session(path: Path, threads: int) -> TorchSession:
    """Load the file; `threads` sets torch's intra-op threads of this process.

    Raises:
        BundleError: it is not a Lite Interpreter file.
    """
    from torch.jit.mobile import _load_for_lite_interpreter

    prepare_torch(threads)
    use_qnnpack()
    try:
        return TorchSession(_load_for_lite_interpreter(str(path)))
    except (RuntimeError, UnicodeDecodeError) as exc:  # raised for errors that quote invalid text
        raise BundleError(
            f"{path} is not a Lite Interpreter file: {exc}", "build it again"
        ) from exc


def use_qnnpack() -> None:
    """Set the engine, which must happen before packed weights are read."""
    import torch

    torch.backends.quantized.engine = "qnnpack"
