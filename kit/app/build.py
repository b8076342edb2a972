"""Bundles in, a signed APK and `build.json` out; the only file that knows all the steps."""

from __future__ import annotations

import json
import os
import tempfile
import zipfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import kit
from kit import bundle as bundles
from kit.app import aapt2, aar, apk, compiling, contract, maven, packing, signing, tools
from kit.app.aar import Aar
from kit.app.artifacts import AAPT2, ABIS, APKSIG, FRAMEWORK, R8, RUNTIMES, Artifact
from kit.app.compiling import EPOCH
from kit.app.packing import Packed
from kit.app.signing import Key
from kit.errors import MissingTool, OutputError, UnknownName, UsageError

Say = Callable[[str], None]
APK, RECORD = "app.apk", "build.json"
_STORED = (".ptl", ".pte", ".onnx", ".jpg", ".png", ".so")  # do not shrink, or must be mapped


@dataclass(frozen=True)
class Options:
    """How to build.

    Attributes:
        runtimes: formats whose runtimes are packed; None for all that the bundles have.
        abis: kinds of processor.
        archives: files to take instead of Maven's, each for the runtime it is recognized as.
        key: of a release, which is shrunk and cannot be measured; None for a debug build.
        picture: a JPEG that the app opens with; None for kit's.
    """

    runtimes: tuple[str, ...] | None = None
    abis: tuple[str, ...] = ("arm64-v8a",)
    archives: tuple[Path, ...] = ()
    key: Key | None = None
    picture: Path | None = None


@dataclass(frozen=True)
class Part:
    """A runtime that is packed: its archives, the jars beside, and what it is called."""

    format: str
    name: str
    version: str
    archives: tuple[Aar, ...]
    jars: tuple[Path, ...]
    files: dict[str, Path] = field(default_factory=dict)  # by coordinates, or the name of a file


@dataclass(frozen=True)
class Built:
    """What was built, and what `build.json` says of it."""

    file: Path
    record: dict[str, Any]


def build(given: Sequence[Path], out: Path, options: Options, say: Say) -> Built:
    """Build, sign and verify the app; write `app.apk` and `build.json` into a folder.

    Equal bundles, options and tools give equal bytes.

    Raises:
        UsageError: something that cannot be in one app.
        BundleError: one is no bundle.
        InputError: an archive or a keystore that cannot be used.
        MissingTool: no JDK, no Maven, or a file that Maven does not serve.
        BuildError: a step failed, or its result is not what Android asks for.
        OutputError: the folder cannot be written to.
    """
    for name in options.abis:
        if name not in ABIS:
            raise UnknownName.among("ABI", name, ABIS)
    if options.picture is not None:
        packing.jpeg(options.picture)  # before anything is fetched
    packed = packing.choose([bundles.load(path) for path in given], options.runtimes)
    formats = packing.formats_of(packed)
    java = tools.java_version()
    key = options.key or signing.debug_key()
    parts = _parts(formats, options.archives, say)
    aar.check_abis([a for part in parts for a in part.archives], options.abis)
    versions = {part.format: (part.name, part.version) for part in parts}
    assets = packing.assets(packed, versions, options.picture)
    framework, r8, apksig = maven.resolve([FRAMEWORK, R8, APKSIG], say)
    signing.check(key, apksig)
    with tempfile.TemporaryDirectory(prefix="kit-app-") as folder:
        work = Path(folder)
        unsigned = _pack(parts, assets, framework, r8, options, work, say)
        say("signing and verifying")
        signed = work / APK
        certificate = signing.sign(unsigned, signed, key, apksig)
        entries = apk.read(signed)
        apk.check(entries)
        record = {
            **_about(options, packed, parts, java),
            "certificate_sha256": certificate,
            **_contents(signed, entries),
        }
        return Built(_deliver(signed, record, out), record)


def _pack(
    parts: Sequence[Part],
    assets: Mapping[str, bytes | Path],
    framework: Path,
    r8: Path,
    options: Options,
    work: Path,
    say: Say,
) -> Path:
    """Compile what is to be compiled, and return the APK before it is signed."""
    unsigned = work / "unsigned.apk"
    say("compiling resources")
    resources = compiling.resources(aapt2.find(say), framework, work, options.key is None)
    dex = _dex(parts, framework, r8, options, work, say)
    say("packing")
    libraries = _libraries(parts, options.abis, work)
    _write_zip(unsigned, resources, dex, libraries, assets)
    return unsigned


def _parts(formats: Sequence[str], archives: Sequence[Path], say: Say) -> list[Part]:
    given = aar.given(archives)
    for name in given:
        if name not in formats:
            raise UsageError(
                f"{given[name]} is for {name}, which is not packed",
                f"leave it out, or add {name} to --runtime and to a bundle",
            )
    return [_part(name, given.get(name), say) for name in formats]


def _part(name: str, given: Path | None, say: Say) -> Part:
    runtime = RUNTIMES[name]
    try:
        main = given or maven.resolve([runtime.aar], say)[0]
        beside = maven.resolve(runtime.beside, say)
    except MissingTool as exc:
        raise MissingTool(
            f"runtime {name}: {exc.message}",
            f"{exc.hint}; or give its AAR with --aar FILE, or leave the runtime out with --runtime",
        ) from exc
    version = runtime.aar.version if given is None else f"file {maven.sha256(given)[:12]}"
    own = given.name if given else runtime.aar.coordinates
    files = {own: main, **dict(zip((a.coordinates for a in runtime.beside), beside, strict=True))}
    return Part(
        name,
        runtime.aar.name,
        version,
        tuple(aar.read(f) for f in (main, *beside) if f == main or f.suffix == ".aar"),
        tuple(f for f in beside if f.suffix != ".aar"),
        files,
    )


def _dex(
    parts: Sequence[Part], framework: Path, r8: Path, options: Options, work: Path, say: Say
) -> list[Path]:
    found = [archive.classes(work) for part in parts for archive in part.archives]
    jars = [jar for jar in found if jar] + [jar for part in parts for jar in part.jars]
    say("compiling Java")
    # The framework comes last, so that it never shadows a class of a runtime.
    app = compiling.classes([part.format for part in parts], [*jars, framework], work)
    if options.key is None:
        say("translating for Android (D8)")
        return compiling.dex(r8, framework, [app, *jars], work)
    say("translating and shrinking for Android (R8)")
    rules = "\n".join(archive.rules for part in parts for archive in part.archives)
    return compiling.shrunk(r8, framework, [app, *jars], rules, work)


def _libraries(parts: Sequence[Part], abis: Sequence[str], work: Path) -> dict[str, Path]:
    """Return the libraries by their path in the APK."""
    found: dict[str, Path] = {}
    for part in parts:
        for number, archive in enumerate(part.archives):
            for abi in abis:
                for file in archive.libraries(abi, work / f"{part.format}-{number}" / abi):
                    name = f"lib/{abi}/{file.name}"
                    if name in found and maven.sha256(found[name]) != maven.sha256(file):
                        _refuse_twice(name, part)
                    found.setdefault(name, file)
    return found


def _refuse_twice(name: str, part: Part) -> None:
    raise UsageError(
        f"{name} of {part.name} is another file than that of a second runtime",
        "build an app for each, with --runtime",
    )


def _write_zip(
    target: Path,
    resources: Path,
    dex: Sequence[Path],
    libraries: Mapping[str, Path],
    assets: Mapping[str, bytes | Path],
) -> None:
    with zipfile.ZipFile(target, "w") as archive, zipfile.ZipFile(resources) as linked:
        for info in linked.infolist():
            _add(archive, info.filename, linked.read(info), info.compress_type)
        for file in dex:
            _add(archive, file.name, file.read_bytes(), zipfile.ZIP_DEFLATED)
        for name, source in sorted({**libraries, **_under_assets(assets)}.items()):
            data = source if isinstance(source, bytes) else source.read_bytes()
            stored = name.endswith(_STORED)
            _add(archive, name, data, zipfile.ZIP_STORED if stored else zipfile.ZIP_DEFLATED)


def _under_assets(assets: Mapping[str, bytes | Path]) -> dict[str, bytes | Path]:
    return {f"assets/{name}": source for name, source in assets.items()}


def _add(archive: zipfile.ZipFile, name: str, data: bytes, method: int) -> None:
    info = zipfile.ZipInfo(name, EPOCH)
    info.compress_type = method
    info.external_attr = 0o644 << 16
    archive.writestr(info, data)


def _about(
    options: Options, packed: Sequence[Packed], parts: Sequence[Part], java: str
) -> dict[str, Any]:
    used: list[Artifact] = [FRAMEWORK, R8, APKSIG]
    fetched = dict(
        zip((a.coordinates for a in used), maven.resolve(used, lambda _: None), strict=True)
    )
    fetched |= {name: file for part in parts for name, file in part.files.items()}
    return {
        "kit": kit.__version__,
        "contract": contract.VERSION,
        "package": contract.PACKAGE,
        "version_code": compiling.version_code(),
        "minimum_sdk": contract.MINIMUM_SDK,
        "target_sdk": contract.TARGET_SDK,
        "debug": options.key is None,
        "abis": list(options.abis),
        "runtimes": {p.format: {"name": p.name, "version": p.version} for p in parts},
        "bundles": [
            {"name": p.name, "hash": p.bundle.hash, "formats": list(p.formats)} for p in packed
        ],
        "tools": {"javac": java, "aapt2": AAPT2.version},
        "artifacts": {name: maven.sha256(file) for name, file in sorted(fetched.items())},
    }


def _contents(signed: Path, entries: Sequence[apk.Entry]) -> dict[str, Any]:
    narrow = apk.fit_for_16k(list(entries))
    return {
        "apk": {"size": signed.stat().st_size, "sha256": maven.sha256(signed)},
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


def _deliver(signed: Path, record: Mapping[str, Any], out: Path) -> Path:
    """Move the APK and its record to their place: both are whole, or were not touched."""
    texts = {APK: signed.read_bytes(), RECORD: json.dumps(record, indent=1).encode() + b"\n"}
    try:
        out.mkdir(parents=True, exist_ok=True)
        parts = {name: out / f".{name}.{os.getpid()}.part" for name in texts}
        try:
            for name, data in texts.items():
                parts[name].write_bytes(data)
            for name, part in parts.items():
                part.replace(out / name)
        finally:
            for part in parts.values():
                part.unlink(missing_ok=True)
    except OSError as exc:
        raise OutputError(
            f"cannot write to {out}: {exc.strerror or exc}", "choose another folder with -o"
        ) from exc
    return out / APK
