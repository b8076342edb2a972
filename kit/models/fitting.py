"""Load a state dict into a network: prefixes, computed weights, and what does not fit."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from kit.error_text import shorten_value
from kit.errors import WeightsError
from kit.models.computed_weights import compute_weights, explain_names

if TYPE_CHECKING:
    from torch import Tensor, nn


def load_into(
    model: nn.Module,
    state: Mapping[str, Tensor],
    name: str,
    labels: str | None = None,
    hint: str = "name the model that they were trained with",
) -> str:
    """Load a state dict into a model of exactly this architecture.

    Pruning masks and weight norm of a file are computed. All its names may have one prefix, as
    wrappers add it (``_orig_mod.``, ``model.``). Entries without the prefix, such as a loss or a
    counter, are then ignored.

    Args:
        model: is changed.
        state: from `read_state`.
        name: of the weights, for error messages.
        labels: the file whose lines set the model's number of outputs, if there is one.
        hint: what to do if the weights are of another architecture.

    Returns:
        The prefix that was removed; empty if there was none.

    Raises:
        WeightsError: names or shapes differ, or a value is not a finite number.
    """
    import torch

    prefix = _common_prefix(model.state_dict(), state)
    if not prefix:
        state = compute_weights(model.state_dict(), state)
        prefix = _common_prefix(model.state_dict(), state)
    if prefix:
        state = {k.removeprefix(prefix): v for k, v in state.items() if k.startswith(prefix)}
    if (numbers := _outputs(model.state_dict(), state)) is not None:
        raise _other_outputs(*numbers, name, labels)
    if difference := _first_difference(model.state_dict(), state):
        if (explained := explain_names(state.keys() - model.state_dict().keys())) is not None:
            raise WeightsError(f"the weights {name} are of {explained[0]}", explained[1])
        raise WeightsError(
            f"the weights {name} are of another architecture: first mismatch {difference}",
            hint,
        )
    own = model.state_dict()
    cast = {key: value.to(own[key].dtype) for key, value in state.items()}
    for key, value in cast.items():
        if value.is_floating_point() and not value.isfinite().all():
            lost = state[key].to(torch.float64).isfinite().all()
            what = f"numbers too large for {value.dtype}" if lost else "NaN or infinity"
            raise WeightsError(f"the weights {name} hold {what} in {key}", "the training diverged")
    model.load_state_dict(cast)
    return prefix


def _common_prefix(own: Mapping[str, Tensor], state: Mapping[str, Tensor]) -> str:
    """Return the prefix of a file's names to the model's; empty if there is not exactly one."""
    needed = [key for key in own if not key.endswith("num_batches_tracked")]
    if not needed or needed[0] in state:
        return ""
    ending = f".{needed[0]}"
    prefixes = [key.removesuffix(needed[0]) for key in state if key.endswith(ending)]
    fits = [p for p in prefixes if all(p + key in state for key in needed)]
    return fits[0] if len(fits) == 1 else ""


def _outputs(own: Mapping[str, Tensor], state: Mapping[str, Tensor]) -> tuple[int, int] | None:
    """Return the numbers of outputs of weights and model, if nothing else differs."""
    if own.keys() != state.keys():
        return None
    pairs = {(state[key].shape, ours.shape) for key, ours in own.items()}
    differ = [(theirs, ours) for theirs, ours in pairs if theirs != ours]
    if any(len(t) != len(o) or not t or t[1:] != o[1:] for t, o in differ):
        return None
    numbers = {(theirs[0], ours[0]) for theirs, ours in differ}
    return numbers.pop() if len(numbers) == 1 else None


def _other_outputs(theirs: int, ours: int, name: str, labels: str | None) -> WeightsError:
    if labels is not None:
        return WeightsError(
            f"the weights {name} have {theirs} outputs, and {labels} names {ours} classes",
            "name one class in each line, in the order of the outputs",
        )
    return WeightsError(
        f"the weights {name} have {theirs} outputs, and the model has {ours}",
        f"name the {theirs} classes with --labels FILE, one in each line; a network of your own "
        f"must have {theirs} outputs itself",
    )


def _first_difference(own: Mapping[str, Tensor], state: Mapping[str, Tensor]) -> str | None:
    for key, ours in own.items():
        theirs = state.get(key)
        if theirs is None:
            # BatchNorms in old files have no counter; load_state_dict fills it in.
            if key.endswith("num_batches_tracked"):
                continue
            return f"{key}, which is missing"
        if theirs.shape != ours.shape:
            return f"{key}, of shape {list(theirs.shape)} instead of {list(ours.shape)}"
        if theirs.is_floating_point() != ours.is_floating_point():
            return f"{key}, of type {theirs.dtype} instead of {ours.dtype}"
    extra = next((key for key in state if key not in own), None)
    return None if extra is None else f"{shorten_value(extra)}, which the model does not have"
