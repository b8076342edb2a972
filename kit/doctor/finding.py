"""Findings: what was looked at, whether it is well, and the command that mends it.

A finding's code says what was looked at. Codes of `CODES` are the doctor's own; the others are
notices of `kit.notices`, with their text. The meaning of a code never changes.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Literal

from kit.notice_values import Severity
from kit.notices import Notice, merge_notices, render

Verdict = Literal["ok", "note", "warning", "problem"]
VERDICTS: Mapping[Verdict, str] = {
    "ok": "as it should be",
    "note": "something optional is missing, or good to know",
    "warning": "it will run, and slower, less exactly or not everywhere",
    "problem": "it will not run",
}
_OF_NOTICES: Mapping[Severity, Verdict] = {
    "note": "note",
    "hint": "note",
    "warning": "warning",
    "refusal": "problem",
}

CODES: Mapping[str, str] = {
    "host.python": "version of Python",
    "host.system": "operating system and processor family, for which runtimes have packages",
    "host.disk": "free space in the working and in the temporary folder",
    "host.memory": "free memory",
    "host.processor": "instructions for int8 products",
    "host.compiler": "compilers of native runners",
    "host.jdk": "JDK, for the app",
    "host.maven": "Maven, for the app",
    "host.adb": "adb; kit reaches devices without it",
    "host.qemu": "emulator of other processors, for `kit verify`",
    "host.browser": "browser that prints reports",
    "package.format": "packages of each format",
    "package.plugin": "packages that extend kit",
    "bundle.files": "the bundle can be read, and no file of it was altered",
    "bundle.artifacts": "model files that run here, and those whose build failed",
    "bundle.version": "versions of the files, and those that the runtimes here read",
    "bundle.tools": "versions of the packages that built it, and those here",
    "bundle.size": "size of the files that travel",
    "bundle.types": "dtypes of inputs and outputs that mobile runtimes or accelerators do not take",
    "bundle.shapes": "shapes that cost time on devices, or that they do not take",
    "device.reach": "connection and authorisation",
    "device.abi": "kind of processor",
    "device.api": "version of Android",
    "device.pages": "size of memory pages, and the runners that can be loaded",
    "device.disk": "free space for the bundle and its runners",
    "device.memory": "memory",
    "device.battery": "charge, and whether it is plugged in",
    "device.heat": "temperature and thermal status",
    "device.cores": "cores that are switched off",
    "device.processor": "instructions for int8 products",
    "device.settings": "settings that disturb a measurement",
    "device.leftovers": "settings that a killed kit left changed",
    "device.kind": "emulated and virtual devices, whose times are not a phone's",
    "device.formats": "formats of the bundle that have a native runner",
}


@dataclass(frozen=True)
class Finding:
    """One finding.

    Attributes:
        code: key of `CODES`, or of `kit.notice_catalogue.CATALOGUE`.
        verdict: see `VERDICTS`.
        text: the fact, without a full stop.
        fix: a command, or what to do; empty if there is nothing to do.
    """

    code: str
    verdict: Verdict
    text: str
    fix: str = ""


def from_notice(notice: Notice, fix: str = "") -> Finding:
    """Return the finding of a notice; its hint is in the text unless there is a fix."""
    return Finding(notice.code, _OF_NOTICES[notice.severity], render(notice, hint=not fix), fix)


def from_notices(notices: Iterable[Notice]) -> Iterator[Finding]:
    """Yield the findings of notices; notices that are written as one sentence are one finding."""
    for group, _ in merge_notices((notice, None) for notice in notices):
        yield Finding(group[0].code, _OF_NOTICES[group[0].severity], render(group))


def has_problem(findings: Iterable[Finding]) -> bool:
    """Return whether something will not run."""
    return any(finding.verdict == "problem" for finding in findings)


def judge_amount(code: str, what: str, size: int, minimum: int, enough: int, fix: str) -> Finding:
    """Return the finding for an amount of bytes: a problem below the minimum.

    Args:
        code: of the finding.
        what: follows the amount, such as ``free in /tmp``.
        size: in bytes.
        minimum: below it nothing works.
        enough: below it some things do not.
        fix: what to do.
    """
    text = f"{write_size(size)} {what}"
    if size < minimum:
        return Finding(code, "problem", f"{text}; {write_size(minimum)} are needed", fix)
    if size < enough:
        return Finding(code, "warning", f"{text}; {write_size(enough)} are enough", fix)
    return Finding(code, "ok", text)


def write_size(size: int) -> str:
    """Return bytes as ``1.5 GB``, ``150 MB`` or ``0.03 MB``."""
    if size >= 1e9:
        return f"{size / 1e9:.1f} GB"
    return f"{size / 1e6:.0f} MB" if size >= 1e7 else f"{size / 1e6:.2f} MB"
