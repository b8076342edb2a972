"""The result of `kit verify`: the answers of each file on several processors."""

from __future__ import annotations

from datetime import datetime
from typing import Literal

from pydantic import Field

from kit.artifact_key import KeyedRecord
from kit.documents import Digest, Record
from kit.results.context import BundleRef, Identity, ParityRef
from kit.results.schema import SCHEMA_VERSION, BoundedCount, Many


class ProcessorRef(Record):
    """A processor on which answers were computed.

    Attributes:
        name: ``host`` for this machine's own.
        abi: of the programs it runs, as Android names it.
        about: its features that matter for int8 arithmetic.
        emulator: name and version of what emulated it; None for this machine's own.
    """

    name: str
    abi: str
    about: str
    emulator: str | None


class ProcessorRow(KeyedRecord):
    """The answers of one file to the golden inputs on one processor.

    Attributes:
        format: of the file.
        quantize: its quantization method.
        artifact_sha256: of the model file; None before schema 6.
        processor: name in `ProcessorsResult.processors`.
        runtime: name and version.
        images: number of golden inputs.
        parity: against the quantized graph, where the bundle has its answers, and the float model.
        golden_max_abs: largest difference from the answers that the bundle was built with;
            0 if they are equal bit for bit.
        answers_sha256: of the answers' bytes; equal ones are equal bit for bit.
        passed: whether the limits of the build hold here.
        error: the runtime's message if it gave no answers, else empty.
    """

    quantize: str
    artifact_sha256: Digest | None = None
    processor: str
    runtime: str
    images: BoundedCount
    parity: tuple[ParityRef, ...] = ()
    golden_max_abs: float | None = Field(default=None, ge=0)
    answers_sha256: str = ""
    passed: bool
    error: str = ""


class ProcessorsResult(Record):
    """The result of `kit verify`."""

    schema_version: int = Field(default=SCHEMA_VERSION, ge=1, strict=True)
    kind: Literal["processors"] = "processors"
    kit_version: str
    created: datetime
    identity: Identity | None = None
    bundle: BundleRef
    processors: Many[ProcessorRef]
    rows: Many[ProcessorRow]
