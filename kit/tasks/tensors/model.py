"""Find the inputs and outputs of a model of tensors by calling it."""

from __future__ import annotations

import inspect
from pathlib import Path
from typing import TYPE_CHECKING

from kit import models
from kit.calibration import ModelInputs
from kit.error_text import describe_exception
from kit.errors import KitError, RecipeError
from kit.formats.interface import Output
from kit.models.probing import advise_dtype
from kit.signature import DTYPES, Feedback, describe
from kit.tasks.tensors.samples import list_samples, read_specs
from kit.tasks.tensors.sequences import (
    check_inputs,
    match_states,
    parse_state,
    read_first,
)

if TYPE_CHECKING:
    from torch import Tensor, nn

    from kit.models.interface import Model
    from kit.recipe import Recipe

_TOLERANCE = 1e-3  # of the largest value: kernels for batches of 1 and 2 round differently


def describe_model(member: Model, recipe: Recipe, source: Path) -> ModelInputs:
    """Return the specs of the first sample, and the names of the model's outputs.

    Args:
        member: the model.
        recipe: of the build.
        source: folder of samples, or one sample.

    Raises:
        RecipeError: the model fails on the sample, or its outputs are not tensors.
        SampleError: the sample does not match the parameters of the model's ``forward``.
    """
    import torch

    model = member.build(recipe.width, member.spec.classes)
    first, states = list_samples(source)[0], parse_state(recipe)
    parameters = list_parameters(model)
    if states:
        check_inputs(states, parameters, recipe.model)
        specs, values = read_first(first, parameters, tuple(states))
    else:
        specs, values = read_specs(first, parameters)
    inputs = [torch.from_numpy(value.copy()) for value in values]
    output = call_model(model, inputs, recipe.model, first.name)
    names = tuple(_name_outputs(output, recipe.model))
    at_once = all(spec.shape[:1] == (1,) for spec in specs) and is_batched(model, inputs, output)
    tensors = (output,) if isinstance(output, torch.Tensor) else tuple(output)
    feedback: Feedback = ()
    if states:
        outputs = [describe(n, t.numpy()) for n, t in zip(names, tensors, strict=True)]
        feedback = match_states(states, specs, outputs, recipe.model)
    return ModelInputs(
        specs, member.spec.classes, outputs=names, feedback=feedback, at_once=at_once
    )


def list_parameters(model: nn.Module) -> list[str]:
    """Return the names of the positional parameters of a network's ``forward``."""
    kinds = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    parameters = inspect.signature(model.forward).parameters.values()
    return [parameter.name for parameter in parameters if parameter.kind in kinds]


def call_model(model: nn.Module, inputs: list[Tensor], name: str, sample: str) -> Output:
    """Return a network's output for one inference.

    Args:
        model: the network.
        inputs: one tensor per input.
        name: of the model, for messages.
        sample: that the inputs are from, for messages.

    Raises:
        RecipeError: it fails, or writes into its input.
    """
    import torch

    copies = [value.clone() for value in inputs]
    try:
        with torch.no_grad(), models.guard_network(name):
            output = model(*copies)
    except KitError:
        raise
    except Exception as exc:  # a user's model may raise any type
        raise RecipeError(
            f"{name} fails on the sample {sample}: {describe_exception(exc)}",
            "call it yourself with these arrays",
        ) from exc
    if not all(torch.equal(one, other) for one, other in zip(copies, inputs, strict=True)):
        raise RecipeError(
            f"{name} writes into its input",
            "in forward, write x = x * 2 instead of x *= 2 or x.mul_(2)",
        )
    return output


def _name_outputs(output: Output, name: str) -> list[str]:
    """Return names for the tensors that a model returns.

    Raises:
        RecipeError: it is not a tensor, or a flat tuple or list of tensors, or one has a dtype
            that signatures do not support.
    """
    import torch

    if isinstance(output, torch.Tensor):
        _check_dtype(output, name)
        return ["output"]
    is_flat = isinstance(output, tuple | list) and len(output) > 0
    if not is_flat or not all(isinstance(one, torch.Tensor) for one in output):
        raise RecipeError(
            f"{name} returns {type(output).__name__}, not a tensor or a tuple of tensors",
            "wrap it: a forward that returns (output['a'], output['b'])",
        )
    for one in output:
        _check_dtype(one, name)
    fields = getattr(output, "_fields", None)  # of a named tuple
    return list(fields) if fields else [f"output_{i}" for i in range(len(output))]


def _check_dtype(output: Tensor, name: str) -> None:
    kind = str(output.dtype).removeprefix("torch.")
    if kind not in DTYPES:
        raise RecipeError(
            f"{name} returns {kind}, not one of {', '.join(DTYPES)}", advise_dtype(output.dtype)
        )


def is_batched(model: nn.Module, inputs: list[Tensor], output: Output) -> bool:
    """Return whether one call with a batch of two gives the same answers as two calls."""
    import torch

    single = (output,) if isinstance(output, torch.Tensor) else tuple(output)
    try:
        with torch.no_grad():
            batched = model(*(torch.cat([value] * 2) for value in inputs))
    except Exception:  # noqa: BLE001 - a model for a batch of one may raise any type
        return False
    double = (batched,) if isinstance(batched, torch.Tensor) else tuple(batched)
    return all(_is_twice(one, two) for one, two in zip(single, double, strict=True))


def _is_twice(one: Tensor, two: Tensor) -> bool:
    import torch

    if one.shape[:1] != (1,) or two.shape != (2, *one.shape[1:]):
        return False
    repeated = torch.cat([one] * 2).double()
    tolerance = _TOLERANCE * float(repeated.abs().max())
    return bool(torch.allclose(two.double(), repeated, atol=tolerance))
