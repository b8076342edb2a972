"""Image classifiers of transformers in a folder: ``hf:FOLDER`` (config.json, *.safetensors).

Only classes that the installed transformers has are used; code in the folder is never run.
"""

from __future__ import annotations

import re
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kit import documents
from kit.error_text import describe_exception, shorten_value
from kit.errors import RecipeError, WeightsError
from kit.files import untrusted
from kit.models._hf_preprocessing import HfPreprocessing, convert_settings
from kit.models.interface import IMAGENET_MEAN, IMAGENET_STD, Spec
from kit.models.sourced import (
    LibrarySource,
    SourcedModel,
    State,
    check_classes,
    hash_files,
    suggest_task,
)
from kit.recipe import OWN

if TYPE_CHECKING:
    from torch import Tensor, nn

TransformersObject = Any  # transformers need not be installed

_CONFIG, _PROCESSOR = "config.json", "preprocessor_config.json"
_MAX_BYTES = 2**24  # of a configuration, which may have the names of thousands of classes
_CLASSIFIER = re.compile(r"[A-Za-z0-9]+ForImageClassification[A-Za-z]*")
# Endings of other classes, and the tasks that they are for.
_OTHER_KINDS = {
    "ForSemanticSegmentation": "image-segmentation",
    "ForUniversalSegmentation": "image-segmentation",
    "ForObjectDetection": "object-detection",
    "ForSequenceClassification": "text-classification",
    "Model": "embedding",
}
_PREFIX = "network."  # of the names in the state dict, by the module that unwraps the answer


class HfSource(LibrarySource):
    """Folders that `save_pretrained` wrote, or that were downloaded from the hub."""

    name = "hf"
    summary = "an image classifier of transformers, from a folder with config.json"
    takes = "FOLDER"
    package = "transformers"
    extra = "hf"
    weights = OWN

    def list_names(self) -> tuple[str, ...]:
        """Return nothing: it takes folders."""
        return ()

    def check_name(self, name: str) -> None:
        """Raise unless the folder holds an image classifier."""
        _read_architecture(name)
        self.check_package()

    def find_side(self, name: str) -> int:
        """Return the side that the folder's image processor gives."""
        self.check_name(name)
        return _read_preprocessing(name).side

    def load(self, name: str) -> SourcedModel:
        """Return the folder's classifier with its preprocessing and labels."""
        self.check_name(name)
        full, architecture = f"hf:{name}", _read_architecture(name)
        config = _load_config(name, architecture)
        classes = int(config.num_labels)
        check_classes(full, classes)
        made = _read_preprocessing(name)
        spec = Spec(
            summary=f"{architecture} of transformers",
            mean=made.mean,
            std=made.std,
            resize_ratio=made.resize_ratio,
            fit=made.fit,
            interpolation=made.interpolation,
            classes=classes,
            labels=_labels(config),
        )
        folder = Path(name)
        contents = (folder / _CONFIG, folder / _PROCESSOR, *sorted(folder.glob("*.safetensors")))
        return SourcedModel(
            full,
            spec,
            lambda outputs: _make(name, architecture, outputs),
            made.side,
            {
                "transformers": version("transformers"),
                "files": hash_files(file for file in contents if file.is_file()),
            },
            find_own=lambda: _read_own(name, architecture),
            rename=_rename,
            deviations=made.deviations,
        )


def _read_architecture(name: str) -> str:
    """Return the class that config.json names, without importing anything.

    Raises:
        RecipeError: the folder or the file cannot be read, or it is no image classifier.
    """
    folder = Path(name)
    if not _is_folder(folder):
        raise RecipeError(
            f"there is no folder {shorten_value(name)}",
            "hf: takes a folder with config.json and model.safetensors; download it first",
        )
    try:
        content = documents.parse_json(untrusted.read_file(folder / _CONFIG, _MAX_BYTES))
    except (OSError, ValueError) as exc:
        raise RecipeError(
            f"cannot read {folder / _CONFIG}: {documents.describe_read_failure(exc)}",
            "hf: takes a folder that save_pretrained wrote",
        ) from exc
    listed = content.get("architectures") if isinstance(content, dict) else None
    architecture = listed[0] if isinstance(listed, list) and listed else None
    if not isinstance(architecture, str):
        raise RecipeError(
            f"{folder / _CONFIG} names no architecture, so it is not known what the weights are",
            "hf: takes a folder that save_pretrained wrote",
        )
    if not _CLASSIFIER.fullmatch(architecture):
        task = next((t for end, t in _OTHER_KINDS.items() if architecture.endswith(end)), "tensors")
        raise RecipeError(
            f"hf:{name} holds {shorten_value(architecture)}, which is no classifier of pictures",
            suggest_task(task),
        )
    return architecture


def _is_folder(folder: Path) -> bool:
    try:
        return folder.is_dir()
    except (OSError, ValueError):  # the name is too long, or has a zero byte
        return False


def _find_class(name: str, architecture: str) -> TransformersObject:
    """Return the class of transformers.

    Raises:
        RecipeError: the installed version has none of this name.
    """
    import transformers

    listed = getattr(transformers, architecture, None)
    if listed is None:
        raise RecipeError(
            f"hf:{name} holds {architecture}, which transformers {version('transformers')} does "
            "not have, and kit runs no code from a folder",
            "update transformers, or return the network from a function of yours: FILE.py:FACTORY",
        )
    return listed


def _load_config(name: str, architecture: str) -> TransformersObject:
    try:
        return _find_class(name, architecture).config_class.from_pretrained(
            name, local_files_only=True, trust_remote_code=False
        )
    except RecipeError:
        raise
    except Exception as exc:  # foreign code may raise any type
        raise RecipeError(
            f"transformers cannot use {Path(name, _CONFIG)}: {describe_exception(exc)}",
            "download the folder again",
        ) from exc


def _read_preprocessing(name: str) -> HfPreprocessing:
    """Return what the folder's image processor does, with the defaults of its class."""
    from transformers import AutoImageProcessor

    if not Path(name, _PROCESSOR).is_file():
        config = _load_config(name, _read_architecture(name))
        side = getattr(config, "image_size", 224)
        missing = f"no {_PROCESSOR}, so that ImageNet's mean and deviation are taken"
        square = side if isinstance(side, int) else 224
        return HfPreprocessing(square, 1.0, IMAGENET_MEAN, IMAGENET_STD, deviations=(missing,))
    try:
        processor = AutoImageProcessor.from_pretrained(
            name, local_files_only=True, trust_remote_code=False
        )
        settings = processor.to_dict()
    except Exception as exc:  # foreign code may raise any type
        raise RecipeError(
            f"transformers cannot use {Path(name, _PROCESSOR)}: {describe_exception(exc)}",
            "download the folder again; kit runs no code from a folder",
        ) from exc
    return convert_settings(f"hf:{name}", settings)


def _labels(config: TransformersObject) -> tuple[str, ...] | None:
    """Return the names of the classes; None where the configuration only numbers them."""
    names = [str(config.id2label[i]) for i in range(config.num_labels) if i in config.id2label]
    numbered = all(re.fullmatch(r"LABEL_\d+", name) for name in names)
    return None if numbered or len(names) != config.num_labels else tuple(names)


def _make(name: str, architecture: str, classes: int) -> nn.Module:
    config = _load_config(name, architecture)
    if classes != config.num_labels:
        config.num_labels = classes
    config._attn_implementation = "eager"  # fused attention cannot be quantized
    return _unwrap_answer(_find_class(name, architecture)(config))


def _unwrap_answer(network: nn.Module) -> nn.Module:
    """Return a network that gives logits, where transformers' gives an object that holds them."""
    from torch import nn

    class Logits(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.network = network

        def forward(self, pictures: Tensor) -> Tensor:
            logits: Tensor = self.network(pictures, return_dict=True).logits
            return logits

    return Logits()


def _read_own(name: str, architecture: str) -> State:
    """Return the weights of the folder, with the network's names.

    Raises:
        WeightsError: they are missing, are a pickle, or do not fit the architecture.
    """
    import torch

    if not any(Path(name).glob("*.safetensors")):
        pickles = sorted(Path(name).glob("pytorch_model*.bin"))
        raise WeightsError(
            f"hf:{name} has no *.safetensors" + (", only pickles" if pickles else ""),
            f"--weights {pickles[0]} reads one without running code"
            if len(pickles) == 1
            else "save it with save_pretrained, which writes safetensors",
        )
    try:
        with _quiet():
            network, listed = _find_class(name, architecture).from_pretrained(
                name,
                local_files_only=True,
                use_safetensors=True,
                dtype=torch.float32,
                output_loading_info=True,
            )
    except Exception as exc:  # foreign code may raise any type
        raise WeightsError(
            f"transformers cannot read the weights of hf:{name}: {describe_exception(exc)}",
            "download the folder again",
        ) from exc
    lost = sorted({*listed["missing_keys"], *(str(key) for key in listed["mismatched_keys"])})
    if lost:
        raise WeightsError(
            f"the weights of hf:{name} lack {shorten_value(lost[0])} ({len(lost)} in all)",
            "train its classifier first, and save it with save_pretrained",
        )
    state: dict[str, Tensor] = network.state_dict()
    return _rename(state)


def _rename(state: State) -> dict[str, Tensor]:
    return {f"{_PREFIX}{key}": value for key, value in state.items()}


def _quiet() -> TransformersObject:
    """Return a context without transformers' bar of progress, which kit has its own of."""
    from contextlib import contextmanager

    from transformers.utils import logging

    @contextmanager
    def without_bar() -> TransformersObject:
        shown = logging.is_progress_bar_enabled()
        logging.disable_progress_bar()
        try:
            yield
        finally:
            if shown:
                logging.enable_progress_bar()

    return without_bar()


SOURCE = HfSource()
