"""Group measurements by setting; only those in the same setting are compared.

Two runs share a setting when device, processor, cores, the mask of those used, threads, system,
governor, settings that kit changed and kit version are equal, and no library version, variable or
part of the device's fingerprint contradicts. A run lists only the libraries it used, and results
before schema 6 have no fingerprint, so these are merged as long as they agree.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from kit.report.text import format_count
from kit.results.context import DeviceRef, Identity
from kit.results.latency import LatencyResult, Run

_RANK = {"phone": 0, "local": 1, "emulator": 2, "virtual": 3}

MASK = "mask of cores"

Member = tuple[LatencyResult, Run]


@dataclass(frozen=True)
class Setting:
    """One setting and every run that was measured in it, oldest first.

    Attributes:
        letter: A, B, … in the order of the report: phones first, virtual devices last.
        facts: common to all its runs, by name, in display order.
        versions: of the runtimes, Python and kit, merged over the runs.
        environment: variables that kit set, merged over the runs.
        fingerprint: known parts of the device's, by name.
    """

    letter: str
    device: DeviceRef
    facts: dict[str, str]
    versions: dict[str, str]
    environment: dict[str, str]
    fingerprint: dict[str, str]
    members: tuple[Member, ...]

    @property
    def virtual(self) -> bool:
        """Whether it is no real device, so that its times are meaningless."""
        return self.device.kind in ("emulator", "virtual")

    @property
    def title(self) -> str:
        """Device, processor, threads, and chosen cores, in one line."""
        threads = format_count(int(self.facts["threads"]), "thread")
        if any(run.plan.cpus for _, run in self.members):
            threads += f" on cores {self.facts[MASK]}"
        return ", ".join(dict.fromkeys((self.device.name, self.facts["CPU"], threads)))


def assume_utc(moment: datetime) -> datetime:
    """Return the moment with a time zone, so that any two can be ordered."""
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def name_measurement(created: datetime, identity: str | None) -> str:
    """Return ``2025-11-24 09:30:00 (1a2b3c4d)``: a moment, and the start of the id if there is."""
    text = f"{created:%Y-%m-%d %H:%M:%S}"
    return f"{text} ({identity[:8]})" if identity else text


def group(results: Iterable[LatencyResult]) -> list[Setting]:
    """Return the settings of all runs; the order of the results does not matter."""
    members = [(result, run) for result in results for run in result.runs]
    settings: list[Setting] = []
    for member in sorted(members, key=_order):
        _place(member, settings)
    return [_lettered(setting, index) for index, setting in enumerate(settings)]


def _order(member: Member) -> tuple[int, str, datetime, str, str, str]:
    result, run = member
    return (
        _RANK[run.device.kind],
        run.device.name,
        assume_utc(result.created),
        result.bundle.hash,
        run.name,
        repr(run),
    )


def _place(member: Member, settings: list[Setting]) -> None:
    alone = _alone(member)
    for index, setting in enumerate(settings):
        if _compatible(setting, alone):
            settings[index] = _merged(setting, alone)
            return
    settings.append(alone)


def _alone(member: Member) -> Setting:
    result, run = member
    context = run.context
    facts = {
        "CPU": context.cpu,
        "cores": str(context.cores),
        MASK: _mask(run.cpus or run.plan.cpus),
        "threads": str(run.threads or run.plan.threads),
        "machine": context.machine,
        "system": context.os,
        "governor": context.governor or "not known",
        "changed settings": _format_settings(context.settings),
        "kit": result.kit_version,
    }
    return Setting(
        letter="",
        device=run.device,
        facts=facts,
        versions=context.versions,
        environment=context.environment,
        fingerprint=_fingerprint(result.identity),
        members=(member,),
    )


def _fingerprint(identity: Identity | None) -> dict[str, str]:
    """Return the known parts of a device's fingerprint, by display name."""
    if identity is None:
        return {}
    names = {
        "model": "model",
        "soc": "SoC",
        "build": "build",
        "abi": "ABI",
        "cores": "cores of the device",
    }
    fields = identity.device.model_dump(exclude_none=True)
    return {name: str(fields[field]) for field, name in names.items() if field in fields}


def _mask(mask: str) -> str:
    """Return a mask in hexadecimal as it is compared and shown."""
    return mask.lower().lstrip("0") or "all"


def _format_settings(settings: dict[str, str]) -> str:
    return ", ".join(f"{name} {value}" for name, value in sorted(settings.items())) or "none"


def _compatible(one: Setting, other: Setting) -> bool:
    return (
        one.device == other.device
        and one.facts == other.facts
        and not _conflicts(one.versions, other.versions)
        and not _conflicts(one.environment, other.environment)
        and not _conflicts(one.fingerprint, other.fingerprint)
    )


def _conflicts(one: dict[str, str], other: dict[str, str]) -> list[str]:
    return [key for key in one if key in other and one[key] != other[key]]


def _merged(setting: Setting, more: Setting) -> Setting:
    return replace(
        setting,
        versions=dict(sorted({**setting.versions, **more.versions}.items())),
        environment=dict(sorted({**setting.environment, **more.environment}.items())),
        fingerprint={**setting.fingerprint, **more.fingerprint},
        members=setting.members + more.members,
    )


def _lettered(setting: Setting, index: int) -> Setting:
    letter = chr(ord("A") + index) if index < 26 else f"A{index}"
    return replace(setting, letter=letter)


def list_differences(one: Setting, other: Setting) -> list[str]:
    """Return the differences between two settings: ``["threads (1, 4)", …]``."""
    return [
        f"{key} ({left[key]}, {right[key]})"
        for left, right in (
            (_device(one), _device(other)),
            (one.facts, other.facts),
            (one.versions, other.versions),
            (one.environment, other.environment),
            (one.fingerprint, other.fingerprint),
        )
        for key in _conflicts(left, right)
    ]


def _device(setting: Setting) -> dict[str, str]:
    device = setting.device
    return {"device": device.name, "kind": device.kind, "serial": device.serial or "none"}


def format_range(values: Sequence[float], form: str) -> str:
    """Return ``0.2`` or ``0.2 to 0.4``: the range over all runs."""
    low, high = form.format(min(values)), form.format(max(values))
    return low if low == high else f"{low} to {high}"
