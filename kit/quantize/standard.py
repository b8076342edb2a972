"""Convert a network to plain layers: hooks made permanent, frozen BatchNorm as torch's own.

Tracing treats a layer of torch as one node and reads its `weight`. Pruning and the older weight
and spectral norm compute that `weight` before each call, so it is no parameter that folding,
corrections and quantization could change. Parametrizations, and hooks that torch cannot make
permanent, are handled by `torch.export`.
"""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import nn
    from torch.nn.utils.prune import BasePruningMethod
    from torch.nn.utils.spectral_norm import SpectralNorm
    from torch.nn.utils.weight_norm import WeightNorm

_FROZEN = {"weight", "bias", "running_mean", "running_var"}


def standardize(model: nn.Module) -> nn.Module:
    """Return a network of plain layers that is equivalent to `model` in eval mode.

    Weights that `torch.nn.utils.prune`, `weight_norm` and `spectral_norm` compute before each
    call become parameters. Batch normalization with four buffers, as in
    `torchvision.ops.FrozenBatchNorm2d`, becomes `BatchNorm2d`.

    Args:
        model: in eval mode; it is not changed, and returned itself if it is plain already.
    """
    if not any(_known_hooks(module) or _is_frozen(module) for module in model.modules()):
        return model
    copied = _copy(model)
    for module in copied.modules():
        _make_permanent(module)
    for name, module in list(copied.named_modules(remove_duplicate=False)):
        if name and _is_frozen(module) and (plain := _unfreeze(module)) is not None:
            copied.set_submodule(name, plain)
    return copied


def has_hooks(model: nn.Module) -> bool:
    """Return whether a leaf module has hooks on its forward, which tracing ignores."""
    return any(
        (module._forward_pre_hooks or module._forward_hooks)
        and next(module.children(), None) is None
        for module in model.modules()
    )


def _copy(model: nn.Module) -> nn.Module:
    import torch

    # torch cannot copy tensors with a gradient function, like computed weights.
    attributes = (value for module in model.modules() for value in vars(module).values())
    tensors = (v for v in attributes if isinstance(v, torch.Tensor) and v.grad_fn is not None)
    memo: dict[int, object] = {id(tensor): tensor.detach().clone() for tensor in tensors}
    return copy.deepcopy(model, memo)


def _known_hooks(module: nn.Module) -> list[BasePruningMethod | SpectralNorm | WeightNorm]:
    """Return the hooks that torch can make permanent, newest first: others may depend on it."""
    from torch.nn.utils.prune import BasePruningMethod
    from torch.nn.utils.spectral_norm import SpectralNorm
    from torch.nn.utils.weight_norm import WeightNorm

    kinds = (BasePruningMethod, SpectralNorm, WeightNorm)
    return [
        hook for hook in reversed(module._forward_pre_hooks.values()) if isinstance(hook, kinds)
    ]


def _make_permanent(module: nn.Module) -> None:
    from torch import nn
    from torch.nn.utils import prune, remove_spectral_norm, remove_weight_norm
    from torch.nn.utils.spectral_norm import SpectralNorm

    for hook in _known_hooks(module):
        if isinstance(hook, prune.BasePruningMethod):
            name = hook._tensor_name
            original = getattr(module, f"{name}_orig")
            # Copied, because `remove` changes it, and other layers may share it.
            setattr(module, f"{name}_orig", nn.Parameter(original.detach().clone()))
            prune.remove(module, name)
        elif isinstance(hook, SpectralNorm):
            remove_spectral_norm(module, hook.name)
        else:
            remove_weight_norm(module, hook.name)


def _is_frozen(module: nn.Module) -> bool:
    from torch import nn

    sizes = {tuple(buffer.shape) for buffer in module._buffers.values() if buffer is not None}
    return (
        not isinstance(module, nn.modules.batchnorm._BatchNorm)
        and set(module._buffers) - {"num_batches_tracked"} == _FROZEN
        and len(sizes - {()}) == 1
        and next(module.parameters(), None) is None
        and next(module.children(), None) is None
    )


def _unfreeze(module: nn.Module) -> nn.Module | None:
    """Return an equivalent BatchNorm2d, None if it would not be equivalent."""
    import torch
    from torch import nn

    buffers = {name: value for name, value in module._buffers.items() if value is not None}
    count = buffers["weight"].numel()
    norm = nn.BatchNorm2d(count, eps=getattr(module, "eps", 1e-5)).eval()
    norm.load_state_dict({name: buffers[name] for name in _FROZEN}, strict=False)
    norm.to(buffers["weight"].device)
    noise = torch.randn(2, count, 3, 3, generator=torch.Generator().manual_seed(0))
    try:
        with torch.no_grad():
            same = torch.allclose(module(noise), norm(noise), rtol=1e-4, atol=1e-5)
    except Exception:  # noqa: BLE001 - the user's forward need not take four dimensions
        return None
    return norm if same else None
