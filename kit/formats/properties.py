"""What formats declare of themselves, and what can be read off their files."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Literal

# How a quantized graph is represented before it is lowered; see `kit.quantize`.
#   torch-ao  quantized modules of torch.ao, run by the qnnpack engine
#   pt2e-s8   an exported program with int8 activations between Q/DQ pairs
#   pt2e-u8   the same with uint8 activations
Flow = Literal["torch-ao", "pt2e-s8", "pt2e-u8"]


@dataclass(frozen=True)
class Thresholds:
    """Minimum agreement of a healthy artifact with its own graph, and minimum SQNR in dB.

    A single value that is rounded the other way in the first layer of an int8 MobileNet changes
    the answer by as much as all of its quantization noise (18 dB). So runtimes whose arithmetic
    is right differ from the graph, and from each other, by about that much.
    """

    agreement: float
    sqnr_db: float


@dataclass(frozen=True)
class Description:
    """What can be read off a model file; see `kit.manifest.artifacts.Artifact`."""

    format_version: str
    operators: dict[str, int]
    delegates: dict[str, int] = field(default_factory=dict)
    not_delegated: dict[str, int] = field(default_factory=dict)
    computed_in_float: dict[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class EndOfLife:
    """Why a format should not be chosen for a new app.

    Attributes:
        reason: what upstream says or does, without a full stop.
        successor: name of the format to use instead.
    """

    reason: str
    successor: str


@dataclass(frozen=True)
class VersionRange:
    """The versions of a file that a runtime reads.

    Attributes:
        pattern: regular expression whose first group is the version in
            `Description.format_version`.
        versions: that are read.
        text: the same for people.
    """

    pattern: str
    versions: frozenset[str]
    text: str

    def includes(self, format_version: str) -> bool:
        """Return whether a file's version is read; True where the file does not say it."""
        match = re.match(self.pattern, format_version)
        return match is None or match[1] in self.versions
