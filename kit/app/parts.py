"""Choose and download the runtimes of an app."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from kit.app import aar, maven, packing
from kit.app.aar import Aar
from kit.app.artifacts import list_runtimes
from kit.app.contract import APP_ID
from kit.app.packing import Packed
from kit.bundles.bundle import Bundle
from kit.errors import MissingTool, UsageError
from kit.progress import ReportStatus


@dataclass(frozen=True)
class AppPart:
    """A packed runtime: its archives, further jars, and its name."""

    format: str
    name: str
    version: str
    archives: tuple[Aar, ...]
    jars: tuple[Path, ...]
    files: dict[str, Path] = field(default_factory=dict)  # by coordinates, or the name of a file


@dataclass(frozen=True)
class PartChoice:
    """The contents of an app.

    Attributes:
        packed: the files of each bundle that the runtimes can run.
        parts: the runtimes.
        notes: sentences about automatic decisions.
    """

    packed: tuple[Packed, ...]
    parts: tuple[AppPart, ...]
    notes: tuple[str, ...]


def choose(
    bundles: Sequence[Bundle],
    formats: Sequence[str] | None,
    archives: Sequence[Path],
    report_status: ReportStatus,
) -> PartChoice:
    """Choose the runtimes of an app and download them.

    Args:
        bundles: at least one.
        formats: whose runtimes are packed. None takes those of the bundles that are compatible and
            available; the notes list the others, and how to build an app with them.
        archives: files to use instead of Maven's, by the runtime detected in each.
        report_status: callback; takes messages about downloads.

    Raises:
        UnknownName: the app has no runtime for a format.
        UsageError: two runtimes exclude each other, or an archive is of none that is packed.
        BuildError: a model file, or an archive, is of a version that cannot be used.
        InputError: an archive is damaged.
        MissingTool: a requested runtime, or every runtime, is not available.
    """
    archive_of = aar.index_archives(archives)
    if formats is None:
        parts, left_out = _choose_default(packing.find_formats(bundles), archive_of, report_status)
        packed = packing.choose(bundles, list(parts))
    else:
        packed = packing.choose(bundles, formats)
        names = packing.list_formats(packed)
        _check_given(archive_of, names)
        parts, left_out = (
            {name: _find(name, archive_of.get(name), report_status) for name in names},
            [],
        )
    dropped = (
        f"<{tag}> of the manifest in {archive.file.name} is left out: it is for the library's tests"
        for part in parts.values()
        for archive in part.archives
        for tag in archive.left_out
    )
    return PartChoice(tuple(packed), tuple(parts.values()), (*left_out, *dropped))


def _choose_default(
    formats: Sequence[str], archive_of: Mapping[str, Path], report_status: ReportStatus
) -> tuple[dict[str, AppPart], list[str]]:
    """Return the parts of compatible, available runtimes, and notes on the others."""
    _check_given(archive_of, formats)
    parts: dict[str, AppPart] = {}
    notes = []
    errors = []
    # Given archives come first, as requested; then conflicting runtimes by preference.
    runtimes = list_runtimes()
    for name in sorted(formats, key=lambda one: (one not in archive_of, runtimes[one].preference)):
        rival = packing.find_rival(name, parts)
        if rival is not None:
            notes.append(
                f"{name} is left out, because it and {rival} exclude each other in one app; for "
                f"an app with it beside this one: --runtime {name} --app-id {APP_ID}.{name}"
            )
            continue
        try:
            parts[name] = _find(name, archive_of.get(name), report_status)
        except MissingTool as exc:
            if name in archive_of:
                raise
            errors.append(exc)
            reason = exc.message.removeprefix(f"runtime {name}: ")
            notes.append(f"{name} is left out: {reason}; --aar FILE takes its AAR from a file")
    if errors and not parts:
        raise errors[0]
    return {name: parts[name] for name in runtimes if name in parts}, notes


def _check_given(archive_of: Mapping[str, Path], formats: Sequence[str]) -> None:
    for name, file in archive_of.items():
        if name not in formats:
            raise UsageError(
                f"{file} is for {name}, which is not packed",
                f"leave it out, or add {name} to --runtime and to a bundle",
            )
    packing.check_rivals(list(archive_of))


def _find(name: str, archive: Path | None, report_status: ReportStatus) -> AppPart:
    """Download a runtime, or use the archive that is given for it."""
    runtime = list_runtimes()[name]
    try:
        main = archive or maven.resolve([runtime.aar], report_status)[0]
        beside = maven.resolve(runtime.beside, report_status)
    except MissingTool as exc:
        raise MissingTool(
            f"runtime {name}: {exc.message}",
            f"{exc.hint}; or give its AAR with --aar FILE, or leave the runtime out with --runtime",
        ) from exc
    version = runtime.aar.version if archive is None else f"file {maven.hash_file(archive)[:12]}"
    own = archive.name if archive else runtime.aar.coordinates
    files = {own: main, **dict(zip((a.coordinates for a in runtime.beside), beside, strict=True))}
    return AppPart(
        name,
        runtime.aar.name,
        version,
        tuple(aar.read(f) for f in (main, *beside) if f == main or f.suffix == ".aar"),
        tuple(f for f in beside if f.suffix != ".aar"),
        files,
    )


def unpack_classes(parts: Sequence[AppPart], folder: Path) -> list[Path]:
    """Unpack the classes of all runtimes into a folder; return their jars.

    Raises:
        InputError: an archive is damaged.
    """
    jars = [archive.classes(folder) for part in parts for archive in part.archives]
    return [jar for jar in jars if jar] + [jar for part in parts for jar in part.jars]


def unpack_libraries(
    parts: Sequence[AppPart], abis: Sequence[str], folder: Path
) -> dict[str, Path]:
    """Unpack the native libraries of all runtimes; return them by their path in the APK.

    Raises:
        UsageError: two runtimes have different files of one name.
        InputError: an archive is damaged.
    """
    libraries: dict[str, Path] = {}
    for part in parts:
        for number, archive in enumerate(part.archives):
            for abi in abis:
                for file in archive.libraries(abi, folder / f"{part.format}-{number}" / abi):
                    name = f"lib/{abi}/{file.name}"
                    if name in libraries and maven.hash_file(libraries[name]) != maven.hash_file(
                        file
                    ):
                        raise UsageError(
                            f"{name} of {part.name} is another file than that of a second runtime",
                            "build an app for each, with --runtime and --app-id",
                        )
                    libraries.setdefault(name, file)
    return libraries
