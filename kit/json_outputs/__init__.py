"""The shapes of JSON that kit prints and writes, from which `docs/schemas/` is made.

What is here is stable: fields are added, and neither renamed nor removed before another major
version. The commands print plain dictionaries; tests read what they print by these types.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from pydantic import NonNegativeInt, RootModel, TypeAdapter

from kit.devices.facts import DeviceFacts
from kit.doctor.finding import Verdict
from kit.json_outputs.base import JsonOutput
from kit.json_outputs.measurements import BenchOutput, EvalOutput, PredictOutput, TableOutput
from kit.json_outputs.studies import (
    AnalyzeOutput,
    AppBuildOutput,
    CostOutput,
    ExplainOutput,
    RunOutput,
    ShowOutput,
)
from kit.manifest.schema import Manifest
from kit.results.kinds import Result

DIALECT = "https://json-schema.org/draft/2020-12/schema"


class FailedDevice(JsonOutput):
    """A device that could not be used: an error of one sentence, and what to do."""

    serial: str
    error: str
    fix: str


class UnusableDevice(FailedDevice):
    """A device of `kit devices` that could not be asked."""

    state: str


class DevicesOutput(JsonOutput):
    """`kit devices`."""

    devices: tuple[DeviceFacts | UnusableDevice, ...]


class FindingOutput(JsonOutput):
    """What `kit doctor` looked at; `fix` is a command, and may be empty."""

    code: str
    verdict: Verdict
    text: str
    fix: str


class DoctorOutput(JsonOutput):
    """`kit doctor`: all findings, and how many there are of each verdict."""

    findings: tuple[FindingOutput, ...]
    counts: dict[Verdict, NonNegativeInt]


class ListOutput(JsonOutput):
    """`kit list`: names that can be given, with one line about each."""

    models: dict[str, str]
    sources: dict[str, str]
    tasks: dict[str, str]
    quantize: dict[str, str]
    precisions: dict[str, str]
    corrections: dict[str, str]
    formats: dict[str, str]


class CacheKindOutput(JsonOutput):
    """Files of one kind: how many are kit's, their bytes on the disk, how many are not kit's."""

    kind: str
    folder: str
    entries: NonNegativeInt
    size: NonNegativeInt
    others: NonNegativeInt


class CacheListOutput(JsonOutput):
    """`kit cache list`."""

    kinds: tuple[CacheKindOutput, ...]


class CacheSizeOutput(JsonOutput):
    """`kit cache size`: bytes on the disk."""

    size: NonNegativeInt


class CacheClearOutput(JsonOutput):
    """`kit cache clear`: what was removed, and kinds that a running kit uses."""

    removed: tuple[CacheKindOutput, ...]
    in_use: tuple[str, ...]


class SettingOutput(JsonOutput):
    """A default of an option; `source` is `kit` or a file."""

    command: str
    option: str
    value: bool | int | float | str | tuple[str, ...] | None
    source: str


class ConfigOutput(JsonOutput):
    """`kit config`."""

    file: str | None
    settings: tuple[SettingOutput, ...]


class RunnerOutput(JsonOutput):
    """A native runner; `page` is the largest page of memory that can load it, in bytes."""

    abi: str
    format: str
    runtime: str
    runtime_version: str
    compiler: str
    protocol: NonNegativeInt
    size: NonNegativeInt
    files: NonNegativeInt
    page: NonNegativeInt
    glibc: str
    folder: str


class RunnersOutput(RootModel[tuple[RunnerOutput, ...]]):
    """`kit runner build` and `kit runner list`."""


class ReportOutput(JsonOutput):
    """`kit report`: paths of the pages, and the headline."""

    html: str
    markdown: str
    headline: str


class CleanedDevice(JsonOutput):
    """A device that was cleaned: bytes that were freed, and apps of kit that stay."""

    serial: str
    freed: NonNegativeInt
    apps: tuple[str, ...]


class CleanOutput(JsonOutput):
    """`kit clean`."""

    devices: tuple[CleanedDevice | FailedDevice, ...]


class InstalledApp(JsonOutput):
    """An app on a device; the warning may be empty."""

    serial: str
    app_id: str
    warning: str


class AppInstallOutput(JsonOutput):
    """`kit app install`."""

    devices: tuple[InstalledApp, ...]


class StartedApp(JsonOutput):
    """An app that was opened on a device."""

    serial: str
    app_id: str


class AppRunOutput(JsonOutput):
    """`kit app run`."""

    devices: tuple[StartedApp, ...]


class UninstalledApp(StartedApp):
    """An app that is no longer on a device; `removed` is false if it was not there."""

    removed: bool


class AppUninstallOutput(JsonOutput):
    """`kit app uninstall`."""

    devices: tuple[UninstalledApp, ...]


class AppTestOutput(JsonOutput):
    """`kit app test`: numbers of tests, screenshots, largest differences of the phone's logits."""

    run: NonNegativeInt
    failed: Literal[0]
    skipped: NonNegativeInt
    screenshots: tuple[str, ...]
    phone_max_abs: tuple[float, ...]


# By the name of the schema's file. `result` is of the files that `-o` writes, and of the output of
# `kit verify --json`; `bundle` is of `bundle.json`, and of the output of `kit build --json`.
_TYPES: Mapping[str, Any] = {  # Any: types, of which `Result` is a union
    "analyze": AnalyzeOutput,
    "app-build": AppBuildOutput,
    "app-install": AppInstallOutput,
    "app-run": AppRunOutput,
    "app-test": AppTestOutput,
    "app-uninstall": AppUninstallOutput,
    "bench": BenchOutput,
    "build-explain": ExplainOutput,
    "bundle": Manifest,
    "cache-clear": CacheClearOutput,
    "cache-list": CacheListOutput,
    "cache-size": CacheSizeOutput,
    "clean": CleanOutput,
    "config": ConfigOutput,
    "cost": CostOutput,
    "devices": DevicesOutput,
    "doctor": DoctorOutput,
    "eval": EvalOutput,
    "list": ListOutput,
    "predict": PredictOutput,
    "report": ReportOutput,
    "result": Result,
    "run": RunOutput,
    "runners": RunnersOutput,
    "show": ShowOutput,
    "table": TableOutput,
}
NAMES = tuple(_TYPES)


def read_output(name: str, text: str | bytes) -> object:
    """Read JSON by the schema of a name.

    Raises:
        ValidationError: it does not fit.
    """
    return TypeAdapter(_TYPES[name]).validate_json(text)


def make_schema(name: str) -> dict[str, object]:
    """Return the JSON Schema of a name, for what the newest kit writes."""
    schema = TypeAdapter(_TYPES[name]).json_schema(mode="serialization")
    return {"$schema": DIALECT, **schema}


def write_schemas(folder: Path) -> None:
    """Write all schemas into a folder, and remove others."""
    from kit.files import atomic

    wanted = {
        folder / f"{name}.json": json.dumps(make_schema(name), indent=1, ensure_ascii=False) + "\n"
        for name in NAMES
    }
    folder.mkdir(parents=True, exist_ok=True)
    for old in set(folder.glob("*.json")) - wanted.keys():
        old.unlink()
    atomic.write_files(wanted)
