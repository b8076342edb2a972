"""timm's classifiers: ``timm:mobilenetv3_large_100``, or ``timm:resnet18.a1_in1k`` with a tag.

https://huggingface.co/docs/timm/models. Its weights are fetched from the Hugging Face hub as a
safetensors file and read by kit, so that no code of a repository runs.
"""

from __future__ import annotations

import re
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

from kit.errors import RecipeError
from kit.models.interface import HubFile, Published, Spec
from kit.models.sourced import (
    LibrarySource,
    SourcedModel,
    check_classes,
    check_colors,
    check_listed,
    find_interpolation,
    scan_registered,
)

if TYPE_CHECKING:
    from torch import nn

TimmObject = Any  # timm's annotations are partial

_FILE = "model.safetensors"
_SQUARE = "squash"
_CENTER = "center"


class TimmSource(LibrarySource):
    """The networks that `timm.list_models` names, as far as they are classifiers."""

    name = "timm"
    summary = "timm's classifiers, with its weights from the Hugging Face hub and preprocessing"
    package = "timm"

    def list_names(self) -> tuple[str, ...]:
        """Return the names of the architectures, read off timm's files."""
        return scan_registered("timm", "models", "@register_model")

    def check_name(self, name: str) -> None:
        """Raise unless there is such a classifier."""
        self.check_package()
        architecture, _, tag = name.partition(".")
        check_listed(self, architecture, self.list_names())
        if tag:
            _find_config(name)

    def find_side(self, name: str) -> int:
        """Return the side of the pictures that the model was evaluated with."""
        self.check_name(name)
        return _side(_evaluation(_find_config(name)))

    def load(self, name: str) -> SourcedModel:
        """Return a classifier with timm's preprocessing of the evaluation."""
        self.check_name(name)
        full = f"timm:{name}"
        config = _find_config(name)
        check_classes(full, config.num_classes if _has_classes(config) else 0)
        data = _evaluation(config)
        check_colors(full, data["mean"], data["std"])
        side = _side(data)
        interpolation, deviations = find_interpolation(data["interpolation"])
        spec = Spec(
            summary=f"{config.architecture} of timm, weights {config.tag or 'none'}",
            weights=_published(config),
            mean=tuple(data["mean"]),
            std=tuple(data["std"]),
            crop_share=data["crop_pct"],
            fit="stretch" if data["crop_mode"] == _SQUARE else "shorter-side",
            interpolation=interpolation,
            classes=config.num_classes,
            labels=_labels(config),
        )
        return SourcedModel(
            full,
            spec,
            lambda classes: _make(name, classes),
            side,
            {"timm": version("timm")},
            deviations=(*deviations, *_cropping(data)),
        )


def _find_config(name: str) -> TimmObject:
    """Return timm's `PretrainedCfg`.

    Raises:
        RecipeError: the architecture has no weights of this tag.
    """
    import timm
    from timm.models import PretrainedCfg, get_pretrained_cfg

    architecture, _, tag = name.partition(".")
    try:
        config = get_pretrained_cfg(name)
    except RuntimeError as exc:  # an unknown tag
        tags = sorted(n.partition(".")[2] for n in timm.list_pretrained(f"{architecture}.*"))
        raise RecipeError(
            f"timm has no weights {tag!r} of {architecture}",
            f"it has {', '.join(tags)}" if tags else "it has none: leave the tag out",
        ) from exc
    return config if config is not None else PretrainedCfg(architecture=architecture)


def _evaluation(config: TimmObject) -> dict[str, TimmObject]:
    """Return timm's preprocessing; a size for tests only counts as what a model was made for."""
    from timm.data import resolve_data_config

    data: dict[str, TimmObject] = resolve_data_config(pretrained_cfg=config.to_dict())
    return data


def _side(data: dict[str, TimmObject]) -> int:
    channels, height, width = data["input_size"]
    if channels != 3 or height != width:
        raise RecipeError(
            f"the model takes pictures of {channels}x{height}x{width}, and kit's are 3xNxN",
            "choose another model: `kit list --models WORD` finds one",
        )
    return int(height)


def _cropping(data: dict[str, TimmObject]) -> tuple[str, ...]:
    mode = data["crop_mode"]
    return () if mode in (_CENTER, _SQUARE) else (f"crops of the kind {mode}",)


def _published(config: TimmObject) -> Published | None:
    """Return the file on the hub, if it has timm's own names of layers."""
    if not config.hf_hub_id or config.hf_hub_filename or config.custom_load:
        return None
    return HubFile(config.hf_hub_id, _FILE)


def _has_classes(config: TimmObject) -> bool:
    """Return whether the outputs are classes: those of an image tower of CLIP are a vector."""
    from timm.data import infer_imagenet_subset

    if config.label_names or config.num_classes == 1000:
        return True
    trained = re.search(r"(^|_)inw?\d", config.tag or "")  # fb_in1k, ft_in22k, fb_inw21k
    return trained is not None or infer_imagenet_subset(config.to_dict()) is not None


def _labels(config: TimmObject) -> tuple[str, ...] | None:
    """Return the names of classes that timm knows; kit's own stand for ImageNet's 1000."""
    from timm.data import ImageNetInfo, infer_imagenet_subset

    if config.label_names:
        return tuple(config.label_names)
    subset = infer_imagenet_subset(config.to_dict())
    if config.num_classes == 1000 or subset is None:
        return None
    info = ImageNetInfo(subset)
    return tuple(info.index_to_description(i) for i in range(info.num_classes()))


def _make(name: str, classes: int) -> nn.Module:
    import timm

    # `exportable` chooses layers that torch.export and tracing can follow.
    model: nn.Module = timm.create_model(
        name, pretrained=False, num_classes=classes, exportable=True
    )
    return model


SOURCE = TimmSource()
