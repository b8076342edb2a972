"""TFLite Metadata: labels, normalization, and what inputs and outputs mean, inside of the file.

The description is a flatbuffer among the file's buffers. Files that it names, such as the labels,
are members of a zip archive behind the model, which readers of the model do not see.

https://ai.google.dev/edge/litert/models/metadata
"""

from __future__ import annotations

import io
import struct
import zipfile
from pathlib import Path

from kit.errors import BuildError, BundleError
from kit.formats.litert import metadata_schema as schema
from kit.formats.litert.channels_last import list_channels_last
from kit.formats.litert.flatbuffer import (
    Model,
    add_metadata,
    find_metadata,
    pack_model,
    read_model,
)
from kit.formats.litert.metadata_schema import Fields
from kit.formats.model_card import ModelCard
from kit.manifest.schema import Scores
from kit.recipe import Color
from kit.signature import TensorSpec

ENTRY = b"TFLITE_METADATA"
LABELS = "labels.txt"
_LEVELS = 255  # pictures are described as 0..255; kit's mean and std are of 0..1
_OLDEST_PARSER = "1.0.0"  # of metadata; nothing that kit writes is newer
_EPOCH = (1980, 1, 1, 0, 0, 0)  # the first date of a zip: equal builds are equal files
_MAX_LABELS_BYTES = 1 << 20


def attach_metadata(path: Path, card: ModelCard) -> None:
    """Write a description, and labels if there are any, into a file.

    Raises:
        BundleError: it is not a LiteRT file, or it is damaged.
        BuildError: pictures are channels last for the network already, and the file swaps again.
    """
    model = read_model(path)
    steps = card.preprocessing
    if steps is not None and steps.layout == "NHWC" and list_channels_last(model):
        raise BuildError(
            "the network takes channels last, which litert/nhwc would move once more",
            "use --format litert, whose file takes channels last as the network does",
        )
    add_metadata(model, ENTRY, schema.pack(_describe(card)))
    content = pack_model(model)
    if card.labels is not None:
        content += _pack_labels(card.labels)
    path.write_bytes(content)


def _pack_labels(labels: tuple[str, ...]) -> bytes:
    """Return a zip archive; its files are stored as they are, because readers map them."""
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_STORED) as opened:
        opened.writestr(zipfile.ZipInfo(LABELS, _EPOCH), "\n".join(labels) + "\n")
    return archive.getvalue()


def _describe(card: ModelCard) -> Fields:
    outputs = [_describe_tensor(spec, _FEATURE) for spec in card.outputs]
    if card.scores is not None:
        outputs[0]["description"] = f"{card.outputs[0].dtype}: {_SCORES[card.scores]}"
    if card.labels is not None:
        outputs[0]["associated_files"] = [
            {
                "name": LABELS,
                "description": "names of the classes, in the order of the output",
                "type": schema.AXIS_LABELS,
            }
        ]
    return {
        "name": card.name,
        "description": card.description,
        "subgraph_metadata": [
            {
                "input_tensor_metadata": [_describe_input(spec, card) for spec in card.inputs],
                "output_tensor_metadata": outputs,
            }
        ],
        "min_parser_version": _OLDEST_PARSER,
    }


# The schema has no BGR; the description says it.
_COLOR_SPACES: dict[Color, int] = {
    "RGB": schema.RGB,
    "BGR": schema.UNKNOWN,
    "grey": schema.GRAYSCALE,
}
_SCORES: dict[Scores, str] = {
    "logits": "logits, whose softmax is the probabilities",
    "probabilities": "probabilities, which need no softmax",
}
_FEATURE: Fields = {"content_properties_type": schema.FEATURE, "content_properties": {}}


def _describe_tensor(spec: TensorSpec, content: Fields) -> Fields:
    return {"name": spec.name, "description": spec.dtype, "content": content}


def _describe_input(spec: TensorSpec, card: ModelCard) -> Fields:
    steps = card.preprocessing
    if steps is None:
        return _describe_tensor(spec, _FEATURE)
    image = {
        "color_space": _COLOR_SPACES[steps.color],
        "default_size": {"width": steps.sides[1], "height": steps.sides[0]},
    }
    mean = [value * _LEVELS for value in steps.mean]
    std = [value * _LEVELS for value in steps.std]
    ends = [[(level - m) / s for m, s in zip(mean, std, strict=True)] for level in (0, _LEVELS)]
    return {
        **_describe_tensor(
            spec, {"content_properties_type": schema.IMAGE, "content_properties": image}
        ),
        "description": f"{spec.dtype}: a picture's values of 0 to 255 ({steps.color}, "
        f"{steps.layout}), minus mean, divided by std",
        "process_units": [
            {"options_type": schema.NORMALIZATION, "options": {"mean": mean, "std": std}}
        ],
        "stats": {"min": ends[0], "max": ends[1]},
    }


def read_metadata(path: Path, model: Model) -> dict[str, str]:
    """Return the metadata of a file in words; empty if it has none.

    Args:
        path: of the file.
        model: its content.

    Raises:
        BundleError: the metadata is damaged.
    """
    content = find_metadata(model, ENTRY)
    if content is None:
        return {}
    try:
        return _put_in_words(schema.unpack(content), path)
    except (struct.error, LookupError, ValueError, TypeError, zipfile.BadZipFile) as exc:
        raise BundleError(f"the metadata of {path} is damaged: {exc}", "build it again") from exc


def _put_in_words(fields: Fields, path: Path) -> dict[str, str]:
    words: dict[str, str] = {k: fields[k] for k in ("name", "description") if k in fields}
    for graph in fields.get("subgraph_metadata", []):
        for tensor in graph.get("input_tensor_metadata", []):
            for unit in tensor.get("process_units", []):
                options = unit.get("options", {})
                for key in ("mean", "std"):
                    numbers = ", ".join(f"{value:g}" for value in options.get(key, []))
                    words[f"{key} of {tensor.get('name', 'input')}"] = f"{numbers} (of 0 to 255)"
        for tensor in graph.get("output_tensor_metadata", []):
            if ":" in tensor.get("description", ""):
                words[tensor.get("name", "output")] = tensor["description"]
            for file in tensor.get("associated_files", []):
                name = file.get("name", "")
                lines = _count_lines(path, name)
                words[f"labels of {tensor.get('name', 'output')}"] = f"{name}, {lines} lines"
    return words


def _count_lines(path: Path, name: str) -> int:
    with zipfile.ZipFile(path) as archive, archive.open(name) as file:
        content = file.read(_MAX_LABELS_BYTES + 1)
    if len(content) > _MAX_LABELS_BYTES:
        raise ValueError(f"{name} has more than {_MAX_LABELS_BYTES} bytes")
    return content.count(b"\n")
