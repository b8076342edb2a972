"""The float model of a recipe, with its weights."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from kit import models
from kit.garbage import pause_collection
from kit.manifest.build_records import Source
from kit.model_source import split_reference
from kit.models.interface import Published
from kit.notices import make_notice
from kit.pipeline.build_state import Preparation
from kit.recipe import OWN, split_own_model

if TYPE_CHECKING:
    from torch import nn


def load(work: Preparation) -> nn.Module:
    """Return the float model with its weights, in eval mode.

    Raises:
        WeightsError: the weights are missing, broken or of another architecture.
        RecipeError: the user's own model fails.
    """
    import torch

    from kit.models import user_model, weights
    from kit.models.fitting import load_into
    from kit.models.sourced import SourcedModel
    from kit.quantize.standard import standardize

    recipe = work.recipe
    module = models.get_model(recipe.model)
    torch.manual_seed(recipe.seed)
    with pause_collection():  # it imports torchvision
        built = module.build(recipe.width, work.inputs.classes)
        model: nn.Module = work.task.adapt_network(built)
    sourced = module if isinstance(module, SourcedModel) else None
    note = ""
    if recipe.weights == "random":
        _settle(model, work)
        origin = Source(source=f"random, seed {recipe.seed}", sha256="")
        work.notices.append(make_notice("weights.random"))
    elif recipe.weights == OWN:
        if sourced is not None:
            sourced.load_own(model)
        user_model.check_finite(model)
        origin = Source(source=f"own model {recipe.model}", sha256=user_model.hash_state(model))
    else:
        path, key, source, digest = _weights_file(work, module.spec.weights)
        nest = weights.read_nest(path, key)
        state = nest.state if sourced is None else sourced.rename(nest.state)
        prefix = load_into(model, state, path.name, recipe.labels, _hint_architecture(recipe.model))
        origin = Source(source=source, sha256=digest)
        note = f", under {nest.key!r}" if nest.key != key else ""
        note += f", whose names begin with {prefix!r}" if prefix else ""
        if nest.others:
            work.notices.append(make_notice("weights.several", key=nest.key, others=nest.others))
    if sourced is not None and sourced.deviations and recipe.weights != "random":
        what = ", ".join(sourced.deviations)
        work.notices.append(make_notice("preprocessing.approximate", model=recipe.title, what=what))
    work.weights = origin
    work.progress(f"weights: {origin.source}{note}")
    model = standardize(model.eval())  # after loading: files name what hooks read
    work.parameters = sum(p.numel() for p in model.parameters())
    return model


def _hint_architecture(model: str) -> str:
    """Return what to do if the weights are of another architecture than the model."""
    if (factory := split_own_model(model)) is not None:
        return f"let {factory[1]} in {factory[0]} return the network that they were trained with"
    if split_reference(model) is not None:
        return "name the model that they were trained with"
    return "name the model and the width that they were trained with"


def _weights_file(work: Preparation, official: Published | None) -> tuple[Path, str, str, str]:
    """Return the file, the key in it, the source for people, and the digest of the file."""
    from kit.models import weights

    # This also raises if there are no official weights, in case no cache key was computed.
    digest = weights.hash_source(work.recipe.weights, official, work.recipe.seed)
    if work.recipe.weights != "imagenet":
        path, key = weights.split_key(work.recipe.weights)
        return path, key, f"file {Path(work.recipe.weights).name}", digest.partition(":")[0]
    assert official is not None  # or `hash_source` had raised
    fetched = weights.fetch_official(official)
    damaged = [note for note in fetched.notes if "sha256" in note]
    work.notices += [make_notice("weights.source", reason=note) for note in damaged]
    return fetched.path, "", fetched.source, fetched.sha256


def _settle(model: nn.Module, work: Preparation) -> None:
    """Update BatchNorm statistics of networks of pictures: without it, answers are near zero."""
    import torch
    from torch.optim.swa_utils import update_bn

    from kit.images import photos

    if work.inputs.preprocessing is None:
        return
    images = torch.from_numpy(photos.make_crops(8, work.preprocessing, work.recipe.seed))
    # Not a moving average: MobileNetV3's momentum of 0.01 would need hundreds of passes.
    update_bn([images], model)
    model.eval()
