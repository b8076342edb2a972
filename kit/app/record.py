"""The result file that the app writes for a measurement, see `contract.json`."""

from __future__ import annotations

import json

from pydantic import BaseModel, ConfigDict, ValidationError

from kit.app import contract
from kit.errors import RunError
from kit.results.schema import Many
from kit.runners.protocol import Exit, seal

MAX_BYTES = 32 << 20  # of the file; an hour of samples has a third of it

_CODES = {
    "usage": Exit.USAGE,
    "load": Exit.LOAD,
    "input": Exit.INPUT,
    "run": Exit.RUN,
    "output": Exit.OUTPUT,
}


class Answer(BaseModel):
    """The app's file with the model's answer."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    file: str
    sha256: str


class Around(BaseModel):
    """The device's state as seen by the app."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    left_foreground: bool = False


class AppRecord(BaseModel):
    """The result file of the app, see `contract.json`."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    contract: int
    result_schema: int
    id: str
    status: str
    app_version: str
    package: str
    bundle_hash: str | None
    model_sha256: str | None
    options: dict[str, object] | None
    events: Many[dict[str, object]]
    answer: Answer | None
    device: Around

    @property
    def code(self) -> int:
        """Return the equivalent exit code of a runner."""
        failed = [str(e.get("at")) for e in self.events if e.get("event") == "error"]
        return int(_CODES.get(failed[0], Exit.RUN) if failed else Exit.OK)

    @property
    def lines(self) -> list[str]:
        """Return the equivalent output of a runner, with checksums."""
        return [seal(json.dumps(event)) for event in self.events]


def read(text: str) -> AppRecord:
    """Read a result file.

    Raises:
        RunError: it is no result file, or the app is of another kit version.
    """
    try:
        raw = json.loads(text)
        version = raw.get("contract") if isinstance(raw, dict) else None
        if isinstance(version, int) and version != contract.VERSION:
            raise _other_app(f"contract {version}; this kit speaks {contract.VERSION}")
        record = AppRecord.model_validate(raw)
    except (ValidationError, ValueError, RecursionError) as exc:
        raise RunError(
            f"the app wrote a result that cannot be read: {' '.join(str(exc).split())[:200]}",
            "this is a bug in the app: please report it",
        ) from exc
    if record.result_schema != contract.RESULT_SCHEMA:
        raise _other_app(f"result schema {record.result_schema}, not {contract.RESULT_SCHEMA}")
    return record


def _other_app(what: str) -> RunError:
    return RunError(f"the app speaks {what}", "build and install it with this kit: kit app build")
