"""Packages of the formats, and packages that extend kit."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from importlib import metadata

from kit import formats
from kit.doctor.finding import Finding
from kit.errors import KitError, MissingTool
from kit.registry import (
    ALGORITHM_NAMES,
    CORRECTION_NAMES,
    FORMAT_NAMES,
    MODEL_NAMES,
    TASK_NAMES,
    Names,
)

KINDS = (FORMAT_NAMES, TASK_NAMES, MODEL_NAMES, ALGORITHM_NAMES, CORRECTION_NAMES)


def examine_packages() -> Iterator[Finding]:
    """Yield a finding for each format, and for each package that extends kit."""
    for kind in KINDS:
        yield from _examine_plugins(kind)
    for name in _list_formats():
        yield _examine_format(name)


def _list_formats() -> tuple[str, ...]:
    try:
        return formats.list_formats()
    except KitError:  # of a plug-in, which is a finding already
        return FORMAT_NAMES.list_own()


def _examine_format(name: str) -> Finding:
    try:
        format_ = formats.get_format(name)
        format_.check_packages()
    except MissingTool as exc:
        # What kit itself needs has no extra; a plug-in's format is its package's concern.
        optional = name not in FORMAT_NAMES.list_own() or formats.get_format(name).extra
        return Finding("package.format", "note" if optional else "problem", exc.message, exc.hint)
    versions = ", ".join(f"{package} {metadata.version(package)}" for package in format_.packages)
    return Finding("package.format", "ok", f"{name}: {versions}")


def _examine_plugins(kind: Names) -> Iterator[Finding]:
    try:
        points = kind.find_plugins()
    except KitError as exc:
        yield Finding("package.plugin", "problem", exc.message, exc.hint)
        return
    for name, point in points.items():
        load: Callable[[], object] = point.load
        origin = point.dist.name if point.dist is not None else point.value
        try:
            load()
        except Exception as exc:  # noqa: BLE001 - foreign code may raise any type
            text = f"the {kind.kind} {name} of {origin} cannot be imported: {type(exc).__name__}"
            yield Finding("package.plugin", "problem", text, f"pip install --upgrade {origin}")
        else:
            yield Finding("package.plugin", "ok", f"{kind.kind} {name} of {origin}")
