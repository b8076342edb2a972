"""torchvision's classifiers and detectors: ``torchvision:resnet50.IMAGENET1K_V1``.

https://docs.pytorch.org/vision/stable/models.html
"""

from __future__ import annotations

import re
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

from kit.error_text import shorten_value
from kit.errors import RecipeError, UnknownName
from kit.models.interface import Official, Spec
from kit.models.sourced import (
    LibrarySource,
    SourcedModel,
    State,
    check_colors,
    check_listed,
    find_interpolation,
    scan_registered,
    suggest_task,
)
from kit.registry import CLASSIFICATION, DETECTION

if TYPE_CHECKING:
    from torch import Tensor, nn

LibraryObject = Any  # torchvision has no types

_DEFAULT_SIDE = 224  # of a network without published weights
_DECORATOR = "@register_model()"
# Networks of torchvision's sub-packages, and the task that each is for.
_OTHER_KINDS = {
    "segmentation": "image-segmentation",
    "video": "video-classification",
    "optical_flow": "optical-flow",
}
_DETECTORS = ("ssd", "ssdlite", "retinanet")  # beginnings of names; others have a second stage
_DETECTOR_SIDE = 512  # of the input, if a detector does not fix it
_COCO_CLASSES = 91  # of torchvision's detectors: numbers of COCO's categories, 0 is none
_QUANTIZED = "quantized_"
# Position embeddings and windows of these are made for one size of pictures.
_SIZED = ("vit_", "maxvit_")
# Classifiers beside the last one, which only training uses; and a change of the input that is
# part of the network as its weights were trained.
_AUXILIARY = ("googlenet", "inception_v3")
# densenet's published files are older than the rule that module names have no dots.
_DENSE_LAYER = re.compile(r"(.*denselayer\d+\.(?:norm|relu|conv))\.([12]\..+)")
_DIGEST = re.compile(r"-([0-9a-f]{8,64})\.\w+$")


class TorchvisionSource(LibrarySource):
    """The classifiers and single-stage detectors that `torchvision.models.list_models` names."""

    name = "torchvision"
    summary = "torchvision's classifiers and detectors, with its weights, labels, preprocessing"
    package = "torchvision"

    def list_names(self) -> tuple[str, ...]:
        """Return the names of the builders, read off torchvision's files."""
        classifiers = scan_registered("torchvision", "models", _DECORATOR)
        return tuple(sorted((*classifiers, *filter(_is_detector, _list_detection()))))

    def check_name(self, name: str) -> None:
        """Raise unless there is such a classifier or detector."""
        self.check_package()
        builder, _, tag = name.partition(".")
        if builder in _list_detection() and not _is_detector(builder):
            raise RecipeError(
                f"torchvision:{builder} is a detector with a second stage or without anchors, and "
                "kit builds those whose boxes come from anchors in one stage",
                "use torchvision:ssdlite320_mobilenet_v3_large, ssd300_vgg16 or a retinanet",
            )
        for kind, task in _OTHER_KINDS.items():
            if builder in scan_registered("torchvision", f"models/{kind}", _DECORATOR):
                raise RecipeError(
                    f"torchvision:{builder} is a network of torchvision.models.{kind}, but a model "
                    "by name must be a classifier or a detector",
                    suggest_task(task),
                )
        plain = builder.removeprefix(_QUANTIZED)
        if plain != builder and plain in self.list_names():
            raise RecipeError(
                f"torchvision:{builder} is quantized already",
                f"build torchvision:{plain}, which kit quantizes",
            )
        check_listed(self, builder, self.list_names())
        if tag:
            _find_weights(builder, tag)

    def find_task(self, name: str) -> str:
        """Return what a network is for."""
        return DETECTION if _is_detector(name) else CLASSIFICATION

    def find_side(self, name: str) -> int:
        """Return the crop of the weights' own preprocessing."""
        self.check_name(name)
        if _is_detector(name):
            return _read_side(name)
        weights = _find_weights(*_parts(name))
        return _crop(weights) if weights is not None else _DEFAULT_SIDE

    def load(self, name: str) -> SourcedModel:
        """Return a classifier with the preprocessing and labels of its weights."""
        self.check_name(name)
        builder, tag = _parts(name)
        weights = _find_weights(builder, tag)
        full = f"torchvision:{name}"
        if _is_detector(builder):
            return _load_detector(full, builder, weights)
        if weights is None:
            spec = Spec(summary=f"{builder} of torchvision, without weights")
            return SourcedModel(full, spec, _maker(builder), _DEFAULT_SIDE, _origin())
        transform = weights.transforms()
        check_colors(full, transform.mean, transform.std)
        side = _crop(weights)
        interpolation, deviations = find_interpolation(transform.interpolation.value)
        categories = tuple(weights.meta["categories"])
        spec = Spec(
            summary=f"{builder} of torchvision, weights {weights.name}",
            weights=_official(weights),
            mean=tuple(transform.mean),
            std=tuple(transform.std),
            resize_ratio=transform.resize_size[0] / side,
            interpolation=interpolation,
            classes=len(categories),
            min_resolution=_smallest(builder, weights),
            labels=categories,
        )
        return SourcedModel(
            full,
            spec,
            _maker(builder),
            side,
            _origin(),
            rename=_renamer(builder),
            deviations=deviations,
        )


def _list_detection() -> tuple[str, ...]:
    return scan_registered("torchvision", "models/detection", _DECORATOR)


def _is_detector(name: str) -> bool:
    builder = name.partition(".")[0]
    return builder.startswith(_DETECTORS) and builder in _list_detection()


def _read_side(name: str) -> int:
    """Return the side that a detector's own name says, as ``ssd300_vgg16`` does."""
    digits = re.match(r"[a-z]+(\d+)", name)
    return int(digits[1]) if digits else _DETECTOR_SIDE


def _load_detector(full: str, builder: str, weights: LibraryObject) -> SourcedModel:
    """Return a detector; mean and deviation are the network's own, which the task reads."""
    side = _read_side(builder)
    if weights is None:
        spec = Spec(summary=f"{builder} of torchvision, without weights", classes=_COCO_CLASSES)
    else:
        categories = tuple(weights.meta["categories"])
        spec = Spec(
            summary=f"{builder} of torchvision, weights {weights.name}",
            weights=_official(weights),
            classes=len(categories),
            labels=categories,
        )
    return SourcedModel(full, spec, _maker(builder), side, _origin(), task=DETECTION)


def _parts(name: str) -> tuple[str, str]:
    builder, _, tag = name.partition(".")
    return builder, tag


def _origin() -> dict[str, str]:
    return {"torchvision": version("torchvision")}


def _find_weights(builder: str, tag: str) -> LibraryObject:
    """Return a member of the builder's WeightsEnum: the default one without a tag, or None.

    Raises:
        UnknownName: there is no such member.
    """
    from torchvision.models import get_model_weights

    enum = get_model_weights(builder)
    members = {member.name: member for member in enum if member.meta.get("categories")}
    if not tag:
        default = getattr(enum, "DEFAULT", None)
        return members.get(default.name) if default is not None else None
    if tag not in members:
        raise UnknownName(
            f"torchvision:{builder} has no weights called {shorten_value(tag)}",
            f"it has {', '.join(members)}",
        )
    return members[tag]


def _crop(weights: LibraryObject) -> int:
    return int(weights.transforms().crop_size[0])


def _smallest(builder: str, weights: LibraryObject) -> int:
    side = _crop(weights)
    smallest = max(32, *weights.meta.get("min_size", (32,)))
    return side if builder.startswith(_SIZED) else int(smallest)


def _official(weights: LibraryObject) -> Official | None:
    file = weights.url.rsplit("/", 1)[1]
    digest = _DIGEST.search(file)
    if digest is None:  # nothing to check a download with
        return None
    (measured,) = weights.meta["_metrics"].values()
    accuracy = measured["acc@1"] if "acc@1" in measured else measured["box_map"]
    return Official(file, weights.url, digest[1], accuracy)


def _maker(builder: str) -> LibraryObject:
    def make(classes: int) -> nn.Module:
        from torchvision.models import get_model

        extra: dict[str, object] = {}
        if builder in _AUXILIARY:
            extra = {"aux_logits": False, "transform_input": True, "init_weights": True}
        if _is_detector(builder):
            extra = {"weights_backbone": None}
        model: nn.Module = get_model(builder, weights=None, num_classes=classes, **extra)
        return model

    return make


def _renamer(builder: str) -> LibraryObject:
    def rename(state: State) -> dict[str, Tensor]:
        if builder in _AUXILIARY:
            return {k: v for k, v in state.items() if not re.match(r"aux\d|AuxLogits", k)}
        if builder.startswith("densenet"):
            return {_DENSE_LAYER.sub(r"\1\2", key): value for key, value in state.items()}
        return dict(state)

    return rename


SOURCE = TorchvisionSource()
