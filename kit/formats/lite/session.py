"""Sessions of the Lite Interpreter in torch."""

from __future__ import annotations

from pathlib import Path

from kit.errors import BundleError
from kit.formats.torch_session import TorchSession, prepare_torch
from kit.formats.torchscript.engine import QNNPACK


def load_session(path: Path, threads: int) -> TorchSession:
    """Load the file; `threads` sets torch's intra-op threads of this process.

    Raises:
        BundleError: it is not a Lite Interpreter file.
    """
    import torch
    from torch.jit.mobile import _load_for_lite_interpreter

    prepare_torch(threads)
    # Before packed weights are read, and for as long as the session runs: kernels ask for it.
    torch.backends.quantized.engine = QNNPACK
    try:
        return TorchSession(_load_for_lite_interpreter(str(path)))
    except (RuntimeError, UnicodeDecodeError) as exc:  # raised for errors that quote invalid text
        raise BundleError(
            f"{path} is not a Lite Interpreter file: {exc}", "build it again"
        ) from exc
