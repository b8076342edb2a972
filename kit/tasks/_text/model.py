"""Find the inputs and the output of a user's model of text."""

from __future__ import annotations

import inspect
import itertools
from collections.abc import Callable
from typing import TYPE_CHECKING

from kit import models
from kit.build_inputs import read_tokenizer
from kit.calibration import ModelInputs, TextInputs
from kit.errors import RecipeError
from kit.models.probing import advise_dtype
from kit.recipe import DEFAULT_TOKENS
from kit.signature import TensorSpec
from kit.tasks._text.tokenizing import INPUTS, TextEncoder, describe_tokenizer, open_tokenizer
from kit.tasks.tensors.model import call_model, is_batched

if TYPE_CHECKING:
    from torch import nn

    from kit.recipe import Recipe

_TRIAL = "One text."  # that the network is called with


def describe_text_model(
    recipe: Recipe, task: str, output: str, adapt: Callable[[nn.Module], nn.Module]
) -> tuple[ModelInputs, int]:
    """Return the inputs of a user's model, and the number of values that it answers a text with.

    Args:
        recipe: of the build; it names a tokenizer.
        task: for messages.
        output: name of its output.
        adapt: returns the network whose answers the task uses.

    Raises:
        RecipeError: the model is one of kit's, its ``forward`` takes other inputs, it fails, or it
            does not answer with one row of two float32 numbers or more.
        SampleError: the tokenizer cannot be used.
    """
    import torch

    from kit.models.user_model import UserModel

    member = models.get_model(recipe.model)
    if not isinstance(member, UserModel):
        raise RecipeError(
            f"{recipe.model} is an image classifier, and no model of the task {task}",
            "name a model of your own: FILE.py:FACTORY",
        )
    assert recipe.tokenizer is not None  # the task has checked it
    content, tokens = read_tokenizer(recipe.tokenizer), recipe.tokens or DEFAULT_TOKENS
    text = TextInputs(
        describe_tokenizer(open_tokenizer(content, recipe.tokenizer), tokens), content
    )
    model = adapt(member.build())
    names = name_inputs(model, recipe.model)
    specs = tuple(TensorSpec(name=name, shape=(1, tokens), dtype="int64") for name in names)
    trial = TextEncoder(text, specs, recipe.tokenizer).encode([_TRIAL])
    inputs = [torch.from_numpy(array) for array in trial.arrays]
    answer = call_model(model, inputs, recipe.model, f"text {_TRIAL!r}")
    hint = f"it must return {output} [N, numbers] of two numbers or more, or a dict that has them"
    if not isinstance(answer, torch.Tensor):
        kind = type(answer).__name__
        raise RecipeError(f"{recipe.model} returns {kind}, not a tensor", hint)
    if answer.dim() != 2 or answer.shape[0] != 1 or answer.shape[1] < 2:
        raise RecipeError(f"{recipe.model} answers a text with {list(answer.shape)}", hint)
    if answer.dtype != torch.float32:
        raise RecipeError(f"{recipe.model} gives {answer.dtype}", advise_dtype(answer.dtype))
    at_once = is_batched(model, inputs, answer)
    described = ModelInputs(specs, 0, outputs=(output,), text=text, at_once=at_once)
    return described, int(answer.shape[1])


def name_inputs(model: nn.Module, name: str) -> tuple[str, ...]:
    """Return the leading parameters of a network's ``forward`` that a tokenizer gives.

    Raises:
        RecipeError: there are none, or another one has no default.
    """
    parameters = list(inspect.signature(model.forward).parameters.values())
    names = [one.name for one in itertools.takewhile(lambda one: one.name in INPUTS, parameters)]
    fixed = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
    needed = [
        one.name
        for one in parameters[len(names) :]
        if one.default is inspect.Parameter.empty and one.kind not in fixed
    ]
    if needed or not names:
        listed = ", ".join(one.name for one in parameters) or "nothing"
        raise RecipeError(
            f"forward of {name} takes {listed}, and a tokenizer gives {', '.join(INPUTS)}",
            "name its parameters so; others after them need a default",
        )
    return tuple(names)
