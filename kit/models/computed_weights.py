"""Weights that a layer computes from others: pruning masks and weight normalization in files.

A file of such a network fits the plain network once the weights are computed. Names of other kinds
of networks, which no computation makes plain, are explained.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor

QUANTIZED = (
    "a network that is quantized already",
    "save the weights of the float network that it was made from",
)
# What names in a file say about the network, and what helps.
_KINDS = (
    (
        ("lora_A", "lora_B"),
        "adapters (LoRA), not a whole network",
        "merge them into the network first: merge_and_unload()",
    ),
    (("_packed_params", "quant.zero_point"), *QUANTIZED),
    (
        ("activation_post_process", "fake_quant", "observer"),
        "a network that was prepared for quantization (QAT)",
        "kit prepares it itself: save the weights before prepare_qat, or without its observers",
    ),
    (
        ("weight_u", "parametrizations.weight.0._u"),
        "a network with spectral norm, which this one does not have",
        "remove it before saving: torch.nn.utils.remove_spectral_norm, "
        "or parametrize.remove_parametrizations",
    ),
)


def compute_weights(own: Iterable[str], state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return a state dict with computed weights in place of what they are computed from.

    Args:
        own: names of the network; what it computes itself is left as it is.
        state: of a file.
    """
    names, result = set(own), dict(state)
    for name in state:
        for pattern, second, compute in _FORMS:
            match = pattern.fullmatch(name)
            if match is None or name in names:
                continue
            other, weight = match.expand(second), "".join(match.group("stem", "weight"))
            if other in result and weight not in state:
                result[weight] = compute(result.pop(name), result.pop(other))
    return result


def _apply_mask(mask: Tensor, original: Tensor) -> Tensor:
    return original * mask


def _scale(magnitude: Tensor, direction: Tensor) -> Tensor:
    """Compute normalized weights (Salimans & Kingma, arXiv:1602.07868, equation 2)."""
    import torch

    # The norm is over the dimensions that the magnitude does not have.
    over = [i for i, size in enumerate(magnitude.shape) if size == 1]
    norm = torch.linalg.vector_norm(direction, dim=over or None, keepdim=bool(over))
    weight: Tensor = direction * (magnitude / norm)
    return weight


# Names of what a weight is computed from: a pattern for the first, the name of the second.
_FORMS: tuple[tuple[re.Pattern[str], str, Callable[[Tensor, Tensor], Tensor]], ...] = (
    (re.compile(r"(?P<stem>)(?P<weight>.+)_mask"), r"\g<weight>_orig", _apply_mask),
    (re.compile(r"(?P<stem>)(?P<weight>.+)_g"), r"\g<weight>_v", _scale),
    (
        re.compile(r"(?P<stem>(?:.+\.)?)parametrizations\.(?P<weight>\w+)\.original0"),
        r"\g<stem>parametrizations.\g<weight>.original1",
        _scale,
    ),
)


def explain_names(names: Iterable[str]) -> tuple[str, str] | None:
    """Return what a file's names say about its network, and what helps; None for plain names."""
    listed = list(names)
    for parts, what, hint in _KINDS:
        if any(part in name for name in listed for part in parts):
            return what, hint
    return None
