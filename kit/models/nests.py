"""Find the state dict in what `torch.save` wrote: alone, or beside an epoch, an optimizer, an EMA.

Training scripts name it as they like. Names that are in use come first, those of averaged weights
(EMA) after those of the network as trained; anything else that maps names to tensors counts, too.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from kit.error_text import shorten_value
from kit.errors import WeightsError
from kit.models.computed_weights import QUANTIZED

if TYPE_CHECKING:
    from torch import Tensor

SAVE_HINT = "save one with torch.save(model.state_dict(), FILE)"
# Lightning, timm, DINO, BasicSR, fairseq, YOLO and training loops of tutorials.
_NAMES = ("state_dict", "model_state_dict", "model_state", "model", "net", "network", "params")
_AVERAGED = ("state_dict_ema", "model_ema", "ema_state_dict", "ema", "params_ema")
_ORDER = {name: rank for rank, name in enumerate((*_NAMES, *_AVERAGED))}
_OTHERS = ("optimizer", "optim", "scheduler", "scaler", "loss", "criterion")  # parts of their names
_DEPTH = 3
_SHOWN = 6


@dataclass(frozen=True)
class Nest:
    """A state dict in a file.

    Attributes:
        key: names that lead to it, with dots; empty if it is the whole file.
        state: the tensors by name.
        others: keys of other state dicts in the file.
    """

    key: str
    state: Mapping[str, Tensor]
    others: tuple[str, ...] = ()


def choose_nest(loaded: object, file: str, key: str = "") -> Nest:
    """Return the state dict at a key, or the one that comes first.

    Args:
        loaded: content of the file.
        file: for messages.
        key: names with dots; empty to search.

    Raises:
        WeightsError: there is none, none at this key, or several without a known name.
    """
    nests = dict(_list_nests(loaded))
    if key:
        if key in nests:
            return Nest(key, nests[key])
        raise WeightsError(
            f"{file} has no state dict called {shorten_value(key)}",
            f"it has {_list_words(nests)}" if any(nests) else "leave the key out",
        )
    if not nests:
        raise _refusal(loaded, file)
    known = [name for name in nests if _rank(name) < len(_ORDER)]
    if "" in nests or len(nests) == 1 or known:
        taken = "" if "" in nests else min(nests, key=lambda name: (_rank(name), name.count(".")))
        return Nest(taken, nests[taken], tuple(name for name in nests if name != taken))
    raise WeightsError(
        f"{file} holds several state dicts: {_list_words(nests)}",
        f"choose one: --weights {shlex.quote(f'{file}:{next(iter(nests))}')}",
    )


def _list_words(nests: Mapping[str, object]) -> str:
    names = [shorten_value(name) for name in nests if name]
    return ", ".join([*names[:_SHOWN], *(["…"] if len(names) > _SHOWN else [])])


def _rank(key: str) -> int:
    """Return the place of a key's best known name; other keys are behind all of them."""
    parts = key.split(".")
    if parts[0] in _AVERAGED:  # what is below an average is one, too
        return _ORDER[parts[0]]
    return min(_ORDER.get(part, len(_ORDER)) for part in parts)


def _list_nests(value: object, key: str = "") -> Iterator[tuple[str, Mapping[str, Tensor]]]:
    """Yield what maps names to tensors, outermost first, except the state of optimizers."""
    from torch import Tensor

    if not isinstance(value, Mapping) or not value:
        return
    if all(isinstance(n, str) and isinstance(v, Tensor) for n, v in value.items()):
        yield key, value
        return
    if key.count(".") >= _DEPTH or _is_optimizer(value):
        return
    for name, inner in value.items():
        if isinstance(name, str) and not any(other in name.lower() for other in _OTHERS):
            yield from _list_nests(inner, f"{key}.{name}" if key else name)


def _is_optimizer(value: Mapping[object, object]) -> bool:
    return "param_groups" in value


def _refusal(loaded: object, file: str) -> WeightsError:
    from torch import Tensor

    for name in _ORDER:  # a state dict with something else in it
        if isinstance(loaded, Mapping) and isinstance(loaded.get(name), Mapping):
            loaded = loaded[name]
    if not isinstance(loaded, Mapping) or not loaded:
        return WeightsError(f"{file} holds {type(loaded).__name__}, not a state dict", SAVE_HINT)
    if _is_optimizer(loaded):
        return WeightsError(f"{file} is the state of an optimizer, not of a network", SAVE_HINT)
    if any(isinstance(value, Tensor) and value.is_quantized for value in loaded.values()):
        return WeightsError(f"{file} holds {QUANTIZED[0]}", QUANTIZED[1])
    name, value = next(
        (name, value)
        for name, value in loaded.items()
        if not isinstance(name, str) or not isinstance(value, Tensor)
    )
    kind = type(value).__name__
    return WeightsError(
        f"{file} is not a state dict: {shorten_value(name)} is of type {kind}", SAVE_HINT
    )
