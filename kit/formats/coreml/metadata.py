"""Write into a package what an app needs to know: names of inputs and outputs, and labels."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from kit.formats.coreml.package import FUNCTION, CoreMlObject, find_model, read_model, write_model
from kit.formats.model_card import ModelCard

LABELS = "labels"  # in the user-defined metadata: a list of names in output order, as JSON


def write_metadata(path: Path, card: ModelCard) -> None:
    """Name inputs and outputs as a model's card does, and store the labels.

    Xcode's generated class has these names.
    """
    file = find_model(path)
    model = read_model(file)
    features = (*model.description.input, *model.description.output)
    specs = (*card.inputs, *card.outputs)
    _rename(model, {one.name: spec.name for one, spec in zip(features, specs, strict=True)})
    if card.labels is not None:
        model.description.metadata.userDefined[LABELS] = json.dumps(card.labels, ensure_ascii=False)
    write_model(model, file)


def _rename(model: CoreMlObject, names: Mapping[str, str]) -> None:
    """Rename features and their tensors, and those tensors out of the way that have the names."""
    function = model.mlProgram.functions[FUNCTION]
    for feature in (*model.description.input, *model.description.output):
        feature.name = names[feature.name]
    moved = {name: f"{name}_inside" for name in names.values() if name not in names}
    changed = {**moved, **names}
    for one in function.inputs:
        one.name = changed.get(one.name, one.name)
    for block in _list_blocks(function.block_specializations.values()):
        block.outputs[:] = [changed.get(name, name) for name in block.outputs]
        for operation in block.operations:
            arguments = (a for value in operation.inputs.values() for a in value.arguments)
            for tensor in (*operation.outputs, *arguments):
                if tensor.name in changed:
                    tensor.name = changed[tensor.name]


def _list_blocks(blocks: Sequence[CoreMlObject]) -> Iterator[CoreMlObject]:
    """Yield blocks, and those inside of their operations."""
    for block in blocks:
        yield block
        for operation in block.operations:
            yield from _list_blocks(operation.blocks)
