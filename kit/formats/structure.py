"""What a model file contains: its metadata, graphs, nodes, and code."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from kit.errors import BundleError, KitError, words

MAX_VALUE_LETTERS = 80


@dataclass(frozen=True)
class TensorEntry:
    """A tensor of a graph.

    Attributes:
        name: in the file; empty where the file stores none.
        type: dtype and shape, as ``float32 [1, 3, 224, 224]``; empty where the file has neither.
    """

    name: str
    type: str = ""


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
    """

    name: str
    inputs: tuple[TensorEntry, ...] = ()
    outputs: tuple[TensorEntry, ...] = ()
    nodes: tuple[NodeEntry, ...] = ()
    weights: int | None = None


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
def reading(path: Path) -> Iterator[None]:
    """Translate errors of a damaged file, whose content is of the wrong kind anywhere.

    Raises:
        BundleError: names the file.
    """
    try:
        yield
    except (KitError, MemoryError):
        raise
    except Exception as exc:  # whatever a parser raises about content that it did not expect
        raise BundleError(f"{path} is damaged: {words(exc)}", "build it again") from exc


def abbreviate(value: object) -> str:
    """Return a value as text of at most `MAX_VALUE_LETTERS` letters."""
    text = " ".join(str(value).split())
    return text if len(text) <= MAX_VALUE_LETTERS else f"{text[: MAX_VALUE_LETTERS - 1]}…"
