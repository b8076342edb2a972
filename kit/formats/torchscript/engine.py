"""The engine of a TorchScript file's int8 kernels: qnnpack for phones, oneDNN for desktops.

Packed weights are stored as plain tensors and packed again as they are read, for the engine that
is set then. A file for another engine than qnnpack therefore says so in an extra file.
"""

from __future__ import annotations

import functools
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from kit.errors import RunError

QNNPACK, ONEDNN = "qnnpack", "onednn"
MEMBER = "kit_engine"  # name of the extra file


def read_engine(path: Path) -> str:
    """Return the engine that a file is for."""
    try:
        with zipfile.ZipFile(path) as archive:
            names = [n for n in archive.namelist() if n.endswith(f"/extra/{MEMBER}")]
            content = archive.read(names[0])[:20] if names else b""
    except (OSError, ValueError, zipfile.BadZipFile):
        content = b""  # torch says what is wrong with it
    return ONEDNN if content == ONEDNN.encode() else QNNPACK


@contextmanager
def use_engine(engine: str) -> Iterator[None]:
    """Set torch's engine for a while.

    Raises:
        RunError: this torch has none of that name.
    """
    import torch

    require(engine)
    before = torch.backends.quantized.engine
    torch.backends.quantized.engine = engine
    try:
        yield
    finally:
        torch.backends.quantized.engine = before


def require(engine: str) -> None:
    """Check that this torch has an engine, and that its sums are right on this processor.

    Raises:
        RunError: it does not have the engine, or the sums are wrong.
    """
    import torch

    if engine not in torch.backends.quantized.supported_engines:
        raise RunError(
            f"torch has no {engine} engine on this processor", "use the format torchscript"
        )
    if engine == ONEDNN and saturates():
        raise RunError(
            "the onednn engine's int8 sums saturate on this processor, which has no VNNI",
            "use the format torchscript, or a processor with VNNI",
        )


@functools.cache
def saturates() -> bool:
    """Return whether oneDNN's int8 kernels saturate here, by running them.

    Without VNNI they add two products of a uint8 and an int8 in 16 bits. torch's own qconfigs for
    desktops therefore use 7 bits; the bundle's encodings have 8. The engines fbgemm and x86 are not
    used: fbgemm's depthwise kernels saturate with VNNI too, and x86 takes them for convolutions of
    more than 100 groups (in MobileNetV2, answers off by 100 levels of 255, 7 dB in the end).
    """
    import torch

    before = torch.backends.quantized.engine
    torch.backends.quantized.engine = ONEDNN
    try:
        with torch.inference_mode():
            return _multiplies_wrongly() or _convolves_wrongly()
    finally:
        torch.backends.quantized.engine = before


def _multiplies_wrongly() -> bool:
    import torch

    inputs = torch.quantize_per_tensor(torch.full((1, 64), 255.0), 1.0, 0, torch.quint8)
    weights = torch.quantize_per_tensor(torch.full((8, 64), 127.0), 1.0, 0, torch.qint8)
    packed = torch.ops.quantized.linear_prepack(weights, None)
    scale = 255.0 * 127.0 * 64 / 200
    answer = torch.ops.quantized.linear(inputs, packed, scale, 0)
    return bool((answer.int_repr() != 200).any())


def _convolves_wrongly() -> bool:
    import torch

    quint8, qint8, one = torch.quint8, torch.qint8, (1, 1)
    for channels, groups in ((16, 1), (16, 16), (144, 144)):  # depthwise ones have own kernels
        inputs = torch.quantize_per_tensor(torch.full((1, channels, 7, 7), 255.0), 1.0, 0, quint8)
        values = torch.full((channels, channels // groups, 3, 3), 127.0)
        scales, zeros = torch.ones(channels), torch.zeros(channels, dtype=torch.long)
        weights = torch.quantize_per_channel(values, scales, zeros, 0, qint8)
        packed = torch.ops.quantized.conv2d_prepack(weights, None, one, one, one, groups)
        scale = 255.0 * 127.0 * 9 * (channels // groups) / 200
        answer = torch.ops.quantized.conv2d(inputs, packed, scale, 0)
        if bool((answer.int_repr()[..., 1:-1, 1:-1] != 200).any()):
            return True
    return False
