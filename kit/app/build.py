"""Build a signed APK and `build.json` from bundles; the only file that knows all steps."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import kit
from kit import formats
from kit.app import (
    aapt2,
    aar,
    apk,
    compiling,
    contract,
    framework,
    maven,
    packing,
    parts,
    references,
    signing,
    tools,
)
from kit.app.artifacts import AAPT2, ABIS, list_runtimes
from kit.app.compiling import EPOCH, Dex
from kit.app.maven import AppToolchain
from kit.app.parts import AppPart, PartChoice
from kit.app.signing import Key
from kit.bundles import loading
from kit.errors import OutputError, UnknownName
from kit.files import atomic, temporary
from kit.progress import ReportStatus

JsonObject = dict[str, Any]

APK, RECORD, MAPPING = "app.apk", "build.json", "mapping.txt"
_STORED = (".jpg", ".png", ".so")  # incompressible, or mapped, like model files


@dataclass(frozen=True)
class AppOptions:
    """How to build.

    Attributes:
        runtimes: formats whose runtimes are packed; None for all compatible ones of the
            bundles.
        abis: to build for.
        archives: files to use instead of Maven's, by the runtime detected in each.
        key: of a release, which is shrunk and cannot be measured; None for a debug build.
        picture: a JPEG that the app shows first; None for kit's.
        app_id: Android's application id, which must be unique on a device.
    """

    runtimes: tuple[str, ...] | None = None
    abis: tuple[str, ...] = ("arm64-v8a",)
    archives: tuple[Path, ...] = ()
    key: Key | None = None
    picture: Path | None = None
    app_id: str = contract.APP_ID


@dataclass(frozen=True)
class Built:
    """The built app, and the content of its `build.json`."""

    file: Path
    record: JsonObject


def build(
    folders: Sequence[Path], out: Path, options: AppOptions, report_status: ReportStatus
) -> Built:
    """Build, sign and verify the app; write `app.apk` and `build.json` into a folder.

    A release also writes `mapping.txt` with R8's renamings, to decode stack traces.
    Equal bundles, options and tools give equal bytes.

    Raises:
        UsageError: the bundles or options cannot be combined in one app.
        BundleError: one is no bundle.
        InputError: an archive or a keystore that cannot be used.
        MissingTool: no JDK, no Maven, or a file that Maven does not serve.
        BuildError: a step failed, or its result violates Android's requirements.
        OutputError: the folder cannot be written to.
    """
    for name in options.abis:
        if name not in ABIS:
            raise UnknownName.among("ABI", name, ABIS)
    contract.check_app_id(options.app_id)
    # All checks of arguments come before downloads.
    if options.picture is not None:
        packing.read_jpeg(options.picture)
    loaded = [loading.load_bundle(path) for path in folders]
    packing.check(loaded, options.runtimes)
    java = tools.read_java_version()
    key = options.key or signing.load_debug_key()
    chosen = parts.choose(loaded, options.runtimes, options.archives, report_status)
    aar.check_abis([a for part in chosen.parts for a in part.archives], options.abis)
    _check_folder(out)
    toolchain = AppToolchain.fetch(java, report_status)
    signing.check(key, toolchain.apksig)
    with temporary.make_folder() as work:
        unsigned, dex = _pack(chosen, toolchain, options, work, report_status)
        report_status("signing and verifying")
        signed = work / APK
        certificate = signing.sign(unsigned, signed, key, toolchain.apksig)
        entries = apk.read(signed)
        apk.check(entries)
        references.check(signed, toolchain.framework, toolchain.r8)
        record = {
            **_about(options, chosen, toolchain),
            "certificate_sha256": certificate,
            **_contents(signed, entries),
        }
        return Built(move_apk(signed, record, dex.mapping, out), record)


def _check_folder(out: Path) -> None:
    """Check that the output folder can be written to, without creating it."""
    try:
        place = next(path for path in (out, *out.absolute().parents) if path.exists())
        temporary.check_writable(place)
    except OSError as exc:
        raise _cannot_write(out, exc) from exc


def _cannot_write(out: Path, exc: OSError) -> OutputError:
    return OutputError(
        f"cannot write to {out}: {exc.strerror or exc}", "choose another folder with -o"
    )


def _pack(
    chosen: PartChoice,
    toolchain: AppToolchain,
    options: AppOptions,
    work: Path,
    report_status: ReportStatus,
) -> tuple[Path, Dex]:
    """Compile resources and code; return the unsigned APK, and the code."""
    unsigned = work / "unsigned.apk"
    assets = packing.collect_assets(chosen.packed, _versions(chosen.parts), options.picture)
    report_status("compiling resources")
    program = aapt2.find(report_status)
    debug = options.key is None
    resources = compiling.compile_resources(
        program, toolchain.resources, work, options.app_id, debug
    )
    dex = _dex(chosen.parts, toolchain, debug, work, report_status)
    report_status("packing")
    libraries = parts.unpack_libraries(chosen.parts, options.abis, work)
    _write_zip(unsigned, resources, dex.files, libraries, assets)
    return unsigned, dex


def _versions(packed: Sequence[AppPart]) -> dict[str, tuple[str, str]]:
    return {part.format: (part.name, part.version) for part in packed}


def _dex(
    packed: Sequence[AppPart],
    toolchain: AppToolchain,
    debug: bool,
    work: Path,
    report_status: ReportStatus,
) -> Dex:
    jars = parts.unpack_classes(packed, work)
    report_status("compiling Java")
    # The framework is last, so that it does not shadow a runtime's class.
    android = framework.find_readable(toolchain.framework, toolchain.java)
    app = compiling.compile_classes([part.format for part in packed], [*jars, android], work)
    if debug:
        report_status("translating for Android (D8)")
        return compiling.make_dex(toolchain.r8, toolchain.framework, [app, *jars], work)
    report_status("translating and shrinking for Android (R8)")
    rules = "\n".join(archive.rules for part in packed for archive in part.archives)
    return compiling.make_shrunk_dex(toolchain.r8, toolchain.framework, [app, *jars], rules, work)


def _write_zip(
    target: Path,
    resources: Path,
    dex: Sequence[Path],
    libraries: Mapping[str, Path],
    assets: Mapping[str, bytes | Path],
) -> None:
    suffixes = (
        *_STORED,
        *(s for name in list_runtimes() for s in formats.get_format(name).list_suffixes()),
    )
    with zipfile.ZipFile(target, "w") as archive, zipfile.ZipFile(resources) as linked:
        for info in linked.infolist():
            _add(archive, info.filename, linked.read(info), info.compress_type)
        for file in dex:
            _add(archive, file.name, file.read_bytes(), zipfile.ZIP_DEFLATED)
        for name, source in sorted({**libraries, **_under_assets(assets)}.items()):
            data = source if isinstance(source, bytes) else source.read_bytes()
            stored = name.endswith(suffixes)
            _add(archive, name, data, zipfile.ZIP_STORED if stored else zipfile.ZIP_DEFLATED)


def _under_assets(assets: Mapping[str, bytes | Path]) -> dict[str, bytes | Path]:
    return {f"assets/{name}": source for name, source in assets.items()}


def _add(archive: zipfile.ZipFile, name: str, data: bytes, method: int) -> None:
    info = zipfile.ZipInfo(name, EPOCH)
    info.compress_type = method
    info.external_attr = 0o644 << 16
    archive.writestr(info, data)


def _about(options: AppOptions, chosen: PartChoice, toolchain: AppToolchain) -> JsonObject:
    fetched = toolchain.files | {
        name: file for part in chosen.parts for name, file in part.files.items()
    }
    return {
        "kit": kit.__version__,
        "contract": contract.VERSION,
        "package": options.app_id,
        "version_code": compiling.compute_version_code(),
        "minimum_sdk": contract.MINIMUM_SDK,
        "target_sdk": contract.TARGET_SDK,
        "debug": options.key is None,
        "abis": list(options.abis),
        "runtimes": {p.format: {"name": p.name, "version": p.version} for p in chosen.parts},
        "bundles": [
            {"name": p.name, "hash": p.bundle.hash, "artifacts": [key.name for key in p.keys]}
            for p in chosen.packed
        ],
        "notes": list(chosen.notes),
        "tools": {"javac": toolchain.java, "aapt2": AAPT2.version},
        "artifacts": {name: maven.hash_file(file) for name, file in sorted(fetched.items())},
    }


def _contents(signed: Path, entries: Sequence[apk.ZipEntry]) -> JsonObject:
    narrow = apk.fit_for_16k(list(entries))
    return {
        "apk": {"size": signed.stat().st_size, "sha256": maven.hash_file(signed)},
        "fit_for_16k_pages": not narrow,
        "not_fit_for_16k_pages": narrow,
        "files": {
            e.name: {
                "size": e.size,
                "sha256": e.sha256,
                "stored": e.stored,
                **({"page": e.page} if e.library else {}),
            }
            for e in entries
        },
    }


def move_apk(signed: Path, record: Mapping[str, Any], mapping: Path | None, out: Path) -> Path:
    """Move the built files to their place, each atomically."""
    contents: dict[Path, bytes] = {
        out / APK: signed.read_bytes(),
        out / RECORD: json.dumps(record, indent=1).encode() + b"\n",
    }
    if mapping is not None:
        contents[out / MAPPING] = mapping.read_bytes()
    try:
        atomic.write_files(contents)
        if mapping is None:
            (out / MAPPING).unlink(missing_ok=True)  # of an earlier release
    except OSError as exc:
        raise _cannot_write(out, exc) from exc
    return out / APK
