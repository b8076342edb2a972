"""What a model file contains: its metadata, graphs, nodes, and code."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from kit.error_text import describe_exception
from kit.errors import BundleError, KitError

MAX_VALUE_LETTERS = 80


@dataclass(frozen=True)
class TensorEncoding:
    """How a file quantizes a tensor: value = scale * (level - zero point).

    Attributes:
        dtype: of the levels, as ``int8`` or ``uint8``.
        scales: one, or one per channel.
        zero_points: one per scale.
        source: name of the same encoding in the bundle's `encodings.json`; empty where no
            encoding there, or more than one, has these numbers.
    """

    dtype: str
    scales: tuple[float, ...]
    zero_points: tuple[int, ...]
    source: str = ""

    @property
    def bits(self) -> int | None:
        """Return the bits of a level; None for a dtype without a number in its name."""
        digits = re.search(r"\d+", self.dtype)
        return int(digits[0]) if digits else None


@dataclass(frozen=True)
class TensorEntry:
    """A tensor of a graph.

    Attributes:
        name: in the file; empty where the file stores none.
        type: dtype and shape, as ``float32 [1, 3, 224, 224]``; empty where the file has neither.
        encoding: of a quantized tensor, and of a float one that Q/DQ nodes mark as quantized.
    """

    name: str
    type: str = ""
    encoding: TensorEncoding | None = None


@dataclass(frozen=True)
class NodeEntry:
    """One operation of a graph.

    Attributes:
        operator: as the format calls it.
        name: of this node; empty where nodes have none.
        inputs: names of tensors.
        outputs: names of tensors.
        parameters: attributes, as text.
    """

    operator: str
    name: str = ""
    inputs: tuple[str, ...] = ()
    outputs: tuple[str, ...] = ()
    parameters: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class GraphEntry:
    """A graph, a method, or what a delegate computes.

    Attributes:
        name: of the graph.
        inputs: of the graph, without weights.
        outputs: of the graph.
        nodes: in the order of execution.
        weights: number of constant tensors.
        tensors: with a known type or encoding, besides inputs and outputs; constants too.
    """

    name: str
    inputs: tuple[TensorEntry, ...] = ()
    outputs: tuple[TensorEntry, ...] = ()
    nodes: tuple[NodeEntry, ...] = ()
    weights: int | None = None
    tensors: tuple[TensorEntry, ...] = ()

    def list_tensors(self) -> dict[str, TensorEntry]:
        """Return all tensors about which something is known, by name."""
        return {one.name: one for one in (*self.inputs, *self.outputs, *self.tensors)}


@dataclass(frozen=True)
class ModelStructure:
    """The content of a model file.

    Attributes:
        metadata: versions, producer, and what else the file says of itself.
        graphs: the main graph first.
        code: of formats that store a program as text.
    """

    metadata: Mapping[str, str]
    graphs: tuple[GraphEntry, ...] = ()
    code: str = ""


@contextmanager
def translate_errors(path: Path) -> Iterator[None]:
    """Translate errors of a damaged file, whose content is of the wrong kind anywhere.

    Raises:
        BundleError: names the file.
    """
    try:
        yield
    except (KitError, MemoryError):
        raise
    except Exception as exc:  # whatever a parser raises about content that it did not expect
        raise BundleError(
            f"{path} is damaged: {describe_exception(exc)}", "build it again"
        ) from exc


def abbreviate(value: object) -> str:
    """Return a value as text of at most `MAX_VALUE_LETTERS` letters."""
    text = " ".join(str(value).split())
    return text if len(text) <= MAX_VALUE_LETTERS else f"{text[: MAX_VALUE_LETTERS - 1]}…"
