"""Keys of the model files in a bundle.

A bundle may hold several files of one format: the same network in float and in int8, or lowered
for another backend. Their key is format, backend and precision; its text names the file, the
golden answers and the rows of tables.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Annotated, Final

from pydantic import StringConstraints

from kit.documents import Record, Text
from kit.errors import RecipeError

# The name of a member of `kit.precisions`, or of one that another version of kit or a plug-in has.
PrecisionName = Annotated[
    str, StringConstraints(pattern=r"^[a-z][a-z0-9]*(-[a-z0-9]+)*$", max_length=40)
]
FLOATS = ("fp32", "fp16")  # precisions that quantize nothing
REFERENCE: Final = "reference"  # the float model of a bundle, in place of a format

_TARGET = re.compile(r"([^/\s]+)(?:/([A-Za-z0-9_]+))?")


@dataclass(frozen=True)
class ArtifactKey:
    """Format, backend and precision of a model file.

    Attributes:
        format: member of `kit.formats`.
        precision: of weights and activations, a member of `kit.precisions`; some operators of an
            ``int8`` file may compute in float.
        backend: one of `kit.formats.interface.Format.backends`; None for the format's own
            kernels.
    """

    format: str
    precision: PrecisionName
    backend: str | None = None

    @property
    def name(self) -> str:
        """Return ``onnx-int8`` or ``executorch-vulkan-fp32``; ``reference`` for the float model."""
        if self.format == REFERENCE:
            return REFERENCE
        return "-".join(part for part in (self.format, self.backend, self.precision) if part)

    def name_file(self, suffix: str) -> str:
        """Return ``model-int8.onnx`` or ``model-vulkan-fp32.pte``."""
        return "-".join(part for part in ("model", self.backend, self.precision) if part) + suffix

    @property
    def quantized(self) -> bool:
        """Whether integers are stored or computed with."""
        return self.precision not in FLOATS

    def is_named(self, text: str) -> bool:
        """Return whether a text is this file's name, its format, or ``FORMAT/BACKEND``."""
        return text in (self.name, self.format, f"{self.format}/{self.backend}")


FLOAT_MODEL: Final = ArtifactKey(REFERENCE, "fp32")


class KeyedRecord(Record):
    """A part of a document that is about one model file."""

    format: Text
    backend: Text | None = None
    precision: PrecisionName

    @property
    def key(self) -> ArtifactKey:
        """Return the key of the file."""
        return ArtifactKey(self.format, self.precision, self.backend)

    @property
    def name(self) -> str:
        """Return the name of the file's key."""
        return self.key.name


def parse_target(text: str) -> tuple[str, str | None]:
    """Return format and backend of ``FORMAT`` or ``FORMAT/BACKEND``.

    Raises:
        RecipeError: the text is neither.
    """
    match = _TARGET.fullmatch(text)
    if match is None:
        raise RecipeError(f"{text!r} is not a format", "write FORMAT or FORMAT/BACKEND")
    return match[1], match[2]


def derive_precision(quantize: str) -> PrecisionName:
    """Return the precision of a quantization method: ``fp32`` for ``none``, else ``int8``."""
    return "fp32" if quantize == "none" else "int8"
