"""The parts of `kit app build`: what is packed, archives, layout, tools that are missing."""

from __future__ import annotations

import hashlib
import json
import struct
import zipfile
from contextlib import suppress
from pathlib import Path

import pytest
from app_samples import MANIFEST, PLAIN, archive, jar, library
from hypothesis import given, settings
from hypothesis import strategies as st

from kit.app import aar, apk, axml, measuring, packing, parts
from kit.app.artifacts import list_runtimes
from kit.errors import BuildError, InputError, MissingTool, UnknownName, UsageError

# What ExecuTorch's archive declares besides: its own tests.
TESTED = MANIFEST.format(
    "<application></application>"
    '<instrumentation android:name="androidx.test.runner.AndroidJUnitRunner" '
    'android:targetPackage="org.pytorch.executorch"/>'
)


def silent(_: str) -> None:
    """Hear nothing of the stages."""


# What is packed


def test_only_what_the_runtimes_need_is_packed(lite_bundle):
    (packed,) = packing.choose([lite_bundle], ["lite"])
    assert packed.name == "tiny-app"
    assert packed.files == [
        "bundle.json",
        "golden/input.npy",
        "golden/lite-fp32.npy",
        "model-fp32.ptl",
    ]
    assets = packing.collect_assets([packed], {"lite": ("l", "1")}, None)
    assert json.loads(assets["runtimes.json"]) == {"lite": {"name": "l", "version": "1"}}
    assert assets["picture.jpg"][:3] == b"\xff\xd8\xff"
    assert b"CC BY 2.0" in assets["picture.txt"]
    assert "bundles/tiny-app/model-fp32.ptl" in assets


def test_a_picture_of_ones_own_has_no_credit(lite_bundle, tmp_path):
    (tmp_path / "a.jpg").write_bytes(b"\xff\xd8\xff more")
    (tmp_path / "a.png").write_bytes(b"\x89PNG")
    packed = packing.choose([lite_bundle], ["lite"])
    assert "picture.txt" not in packing.collect_assets(packed, {}, tmp_path / "a.jpg")
    for name in ("a.png", "missing.jpg"):
        with pytest.raises(UsageError, match=name):
            packing.collect_assets(packed, {}, tmp_path / name)


@pytest.mark.parametrize("version", ["bytecode 3", "bytecode 10", "unknown"])
def test_a_model_that_the_runtime_cannot_read_is_refused(lite_bundle, version):
    artifact = lite_bundle.manifest.artifact("lite").model_copy(update={"format_version": version})
    with pytest.raises(BuildError, match=f"{version}.*reads 4 to 9"):
        packing.check_version(artifact, list_runtimes()["lite"], Path("b"))


@pytest.mark.parametrize("version", ["bytecode 4", "bytecode 9"])
def test_a_model_at_the_ends_of_the_range_is_taken(lite_bundle, version):
    artifact = lite_bundle.manifest.artifact("lite").model_copy(update={"format_version": version})
    packing.check_version(artifact, list_runtimes()["lite"], Path("b"))


def test_choices_that_cannot_be_one_app(lite_bundle, default_bundle):
    with pytest.raises(UnknownName, match="onxx"):
        packing.check([lite_bundle], ["onxx"])
    with pytest.raises(UsageError, match="nothing for executorch"):
        packing.check([lite_bundle], ["executorch"])
    with pytest.raises(UsageError, match="two bundles are called 'tiny-app'"):
        packing.check([lite_bundle, lite_bundle], None)
    with pytest.raises(UsageError, match="different versions of fbjni") as caught:
        packing.check([default_bundle], ["lite", "executorch"])
    assert "--app-id org.mobilekit.demo.lite" in caught.value.hint
    packing.check([default_bundle], None)


# Which runtimes


@pytest.fixture
def served(monkeypatch, tmp_path):
    """A Maven that serves the runtimes of some formats, each with nothing beside."""

    def serve(*formats: str) -> None:
        archives = {
            runtime.aar: archive(
                tmp_path / f"{name}.aar",
                {"classes.jar": jar(tmp_path / "c.jar", runtime.marker)},
                TESTED if name == "executorch" else PLAIN,
            )
            for name, runtime in list_runtimes().items()
            if name in formats
        }
        beside = [one for runtime in list_runtimes().values() for one in runtime.beside]
        files = {**archives, **{one: archive(tmp_path / one.file, {}) for one in beside}}

        def resolve(wanted, report_status):
            for one in wanted:
                if one not in files:
                    raise MissingTool(f"Maven did not serve {one.coordinates}: gone", "try again")
            return [files[one] for one in wanted]

        monkeypatch.setattr(parts.maven, "resolve", resolve)

    return serve


@pytest.mark.parametrize(
    ("formats", "packed", "notes"),
    [
        (
            ("onnx", "lite", "executorch"),
            ["onnx", "executorch"],
            ["lite is left out, because it and executorch exclude", "<instrumentation>"],
        ),
        (
            ("onnx", "lite"),
            ["onnx", "lite"],
            ["executorch is left out: Maven did not serve org.pytorch:executorch-android"],
        ),
        (
            ("lite",),
            ["lite"],
            ["onnx is left out: Maven did not", "executorch is left out: Maven did not"],
        ),
    ],
)
def test_a_default_bundle_gets_what_goes_together_and_can_be_had(
    default_bundle, served, formats, packed, notes
):
    served(*formats)
    chosen = parts.choose([default_bundle], None, (), silent)
    assert [part.format for part in chosen.parts] == packed
    assert [set(one.formats) for one in chosen.packed] == [set(packed)]
    assert len(chosen.notes) == len(notes)
    for note, words in zip(chosen.notes, notes, strict=True):
        assert words in note
    for note in chosen.notes:
        if "exclude" in note:
            assert "--runtime lite --app-id org.mobilekit.demo.lite" in note


def test_without_any_runtime_there_is_no_app(default_bundle, served):
    served()
    with pytest.raises(MissingTool, match=r"runtime onnx: Maven did not serve.*onnxruntime"):
        parts.choose([default_bundle], None, (), silent)


def test_what_is_asked_for_must_be_had(default_bundle, served):
    served("lite")
    with pytest.raises(MissingTool, match="runtime onnx") as caught:
        parts.choose([default_bundle], ["onnx", "lite"], (), silent)
    assert "--aar FILE" in caught.value.hint


def test_an_archive_by_hand_decides_between_rivals(default_bundle, served, tmp_path):
    served("onnx", "lite", "executorch")
    given = {
        name: archive(
            tmp_path / f"mine-{name}.aar",
            {"classes.jar": jar(tmp_path / "c.jar", list_runtimes()[name].marker)},
        )
        for name in ("executorch", "lite")
    }
    chosen = parts.choose([default_bundle], None, [given["lite"]], silent)
    assert [part.format for part in chosen.parts] == ["onnx", "lite"]
    assert chosen.parts[1].version.startswith("file ")
    with pytest.raises(UsageError, match="cannot be in one app"):
        parts.choose([default_bundle], None, list(given.values()), silent)


def test_a_bundle_without_the_chosen_rival_is_named(default_bundle, lite_bundle, served):
    served("executorch", "lite")
    with pytest.raises(
        UsageError, match="tiny-app has lite-fp32, onnx-fp32, and nothing for executorch"
    ):
        parts.choose([default_bundle, lite_bundle], None, (), silent)


# Android archives


def test_an_archive_is_known_by_its_classes(tmp_path):
    for name, runtime in list_runtimes().items():
        classes = jar(tmp_path / "c.jar", runtime.marker)
        file = archive(tmp_path / "any-name.aar", {"classes.jar": classes})
        assert aar.recognize(file) == name
    other = archive(tmp_path / "o.aar", {"classes.jar": jar(tmp_path / "c.jar", "a/B.class")})
    with pytest.raises(UsageError, match="none of the runtimes"):
        aar.recognize(other)
    twice = archive(
        tmp_path / "2.aar", {"classes.jar": jar(tmp_path / "c.jar", list_runtimes()["lite"].marker)}
    )
    with pytest.raises(UsageError, match="both for lite"):
        aar.index_archives([twice, twice])


def test_what_is_no_archive_is_named(tmp_path):
    (tmp_path / "text.aar").write_text("no zip")
    empty = tmp_path / "empty.aar"
    with zipfile.ZipFile(empty, "w"):
        pass
    damaged = archive(tmp_path / "cut.aar", {"classes.jar": b"no zip either"})
    for file in (tmp_path / "text.aar", empty, damaged, tmp_path / "missing.aar"):
        with pytest.raises(InputError, match=file.name):
            aar.recognize(file)


def encrypted(file: Path) -> Path:
    """Mark every file in a zip as encrypted."""
    data = bytearray(file.read_bytes())
    for mark, flags in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        at = data.find(mark)
        while at >= 0:
            data[at + flags] |= 1
            at = data.find(mark, at + 4)
    file.write_bytes(data)
    return file


def test_a_damaged_library_or_a_password_is_reported(tmp_path):
    file = archive(tmp_path / "x.aar", {"classes.jar": b"jar", "jni/x86_64/liba.so": b"elf" * 99})
    sound = aar.read(file)
    file.write_bytes(file.read_bytes().replace(b"elf" * 99, b"efl" * 99))
    with pytest.raises(InputError, match=r"x\.aar is not a sound Android archive: Bad CRC"):
        sound.libraries("x86_64", tmp_path / "libs")
    file.write_bytes(file.read_bytes().replace(b"classes.jarjar", b"classes.jarraj"))
    with pytest.raises(InputError, match=r"x\.aar is not a sound Android archive"):
        sound.classes(tmp_path)
    encrypted(file)
    for act in (aar.read, aar.recognize):
        with pytest.raises(InputError, match="encrypted"):
            act(file)
    with pytest.raises(InputError, match="encrypted"):
        apk.read(encrypted(packed_apk(tmp_path / "a.apk", zipfile.ZIP_STORED, 0)))


@pytest.mark.parametrize(
    ("inner", "words"),
    [
        ('<uses-sdk android:minSdkVersion="31"/>', "needs Android API 31"),
        ('<uses-permission android:name="INTERNET"/>', "has <uses-permission>"),
        ("<application><service/></application>", "has <application>"),
    ],
)
def test_what_only_gradle_could_merge_is_refused(tmp_path, inner, words):
    file = archive(tmp_path / "x.aar", {}, MANIFEST.format(inner))
    with pytest.raises(BuildError, match=words):
        aar.read(file)


def test_what_an_app_can_do_without_is_left_out(tmp_path):
    assert aar.read(archive(tmp_path / "x.aar", {}, TESTED)).left_out == ("instrumentation",)
    assert aar.read(archive(tmp_path / "y.aar", {})).left_out == ()


def test_an_archive_without_an_abi_is_refused(tmp_path):
    file = archive(tmp_path / "x.aar", {"jni/arm64-v8a/liba.so": b"elf"})
    aar.check_abis([aar.read(file)], ["arm64-v8a"])
    with pytest.raises(UsageError, match="no libraries for x86_64"):
        aar.check_abis([aar.read(file)], ["arm64-v8a", "x86_64"])


def test_a_process_has_time_for_its_warm_up():
    """Fifty inferences of a slow model on a slow phone, of which nothing is heard."""
    given = {"--max-seconds": "900", "--warmup-seconds": "5", "--warmup": "50"}
    assert measuring.derive_timeout(given) == 900 + 5 + 50 * measuring.SLOWEST_SECONDS


# An APK read back


def binary_manifest(package: str | None, utf8: bool = False) -> bytes:
    """Return what aapt2 would make of a manifest without content."""
    words = ["manifest", "package", package or ""]
    if utf8:
        pool = [bytes([len(w), len(w.encode())]) + w.encode() + b"\0" for w in words]
    else:
        pool = [struct.pack("<H", len(w)) + (w + "\0").encode("utf-16-le") for w in words]
    offsets, data = [], b""
    for one in pool:
        offsets.append(len(data))
        data += one
    data += bytes(-len(data) % 4)
    start = 28 + 4 * len(words)
    head = struct.pack("<IIIII", len(words), 0, 256 if utf8 else 0, start, 0)
    body = head + struct.pack(f"<{len(words)}I", *offsets) + data
    strings = struct.pack("<HHI", 1, 28, 8 + len(body)) + body
    count = 0 if package is None else 1
    attributes = struct.pack("<IIIHBBI", 0xFFFFFFFF, 1, 2, 8, 0, 3, 2) * count
    node = struct.pack("<II", 1, 0xFFFFFFFF) + struct.pack("<II", 0xFFFFFFFF, 0)
    node += struct.pack("<HHHHHH", 20, 20, count, 0, 0, 0) + attributes
    element = struct.pack("<HHI", 0x102, 16, 8 + len(node)) + node
    return struct.pack("<HHI", 3, 8, 8 + len(strings) + len(element)) + strings + element


@pytest.mark.parametrize("utf8", [False, True])
def test_the_id_is_read_from_the_manifest(tmp_path, utf8):
    assert axml.read_app_id(binary_manifest("org.example.two", utf8)) == "org.example.two"
    assert axml.read_app_id(binary_manifest(None, utf8)) is None
    for name, package in (("two", "org.example.two"), ("bad", "../../x"), ("none", None)):
        with zipfile.ZipFile(tmp_path / f"{name}.apk", "w") as target:
            target.writestr("AndroidManifest.xml", binary_manifest(package, utf8))
    assert apk.read_app_id(tmp_path / "two.apk") == "org.example.two"
    for name in ("bad", "none"):
        with pytest.raises(InputError, match=f"{name}.apk names no app"):
            apk.read_app_id(tmp_path / f"{name}.apk")


@settings(max_examples=300, deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, 199), st.integers(0, 255)), max_size=6), st.integers(0, 200)
)
def test_no_manifest_breaks_the_reader(changes, length):
    data = bytearray(binary_manifest("org.example.two"))
    for place, value in changes:
        data[place % len(data)] = value
    with suppress(ValueError):
        axml.read_app_id(bytes(data[: max(length, 1)]))


def packed_apk(file: Path, method: int, shift: int) -> Path:
    """Write a zip whose library begins `shift` bytes behind a page."""
    with zipfile.ZipFile(file, "w") as target:
        for name in ("AndroidManifest.xml", "classes.dex", "resources.arsc"):
            info = zipfile.ZipInfo(name)
            info.extra = b"\0" * (-(target.start_dir + 30 + len(name)) % 4)
            target.writestr(info, b"data")
        info = zipfile.ZipInfo("lib/x86_64/libmodel.so")
        info.compress_type = method
        begin = target.start_dir + 30 + len(info.filename)
        pad = (shift - begin) % apk.PAGE
        info.extra = (b"\xff\xff" + (pad - 4).to_bytes(2, "little")).ljust(pad, b"\0")
        target.writestr(info, library().read_bytes())
    return file


def test_layout_of_an_apk_is_checked(tmp_path):
    good = apk.read(packed_apk(tmp_path / "good.apk", zipfile.ZIP_STORED, 0))
    apk.check(good)
    assert good[-1].offset % apk.PAGE == 0
    for name, method, shift in (
        ("off", zipfile.ZIP_STORED, 4096),
        ("small", zipfile.ZIP_DEFLATED, 0),
    ):
        with pytest.raises(BuildError, match=r"libmodel\.so is not stored at a multiple of 16384"):
            apk.check(apk.read(packed_apk(tmp_path / name, method, shift)))
    with pytest.raises(BuildError, match=r"no AndroidManifest\.xml"):
        apk.check(good[1:])


def test_pages_of_libraries_are_read(tmp_path):
    entries = apk.read(packed_apk(tmp_path / "a.apk", zipfile.ZIP_STORED, 0))
    assert apk.list_abis(entries) == ["x86_64"]
    assert entries[-1].page == 4096
    assert apk.fit_for_16k(entries) == ["lib/x86_64/libmodel.so"]
    assert entries[-1].sha256 == hashlib.sha256(library().read_bytes()).hexdigest()


def test_a_library_that_is_none_is_refused(tmp_path):
    with zipfile.ZipFile(tmp_path / "a.apk", "w") as target:
        target.writestr("lib/x86_64/libx.so", b"text")
    with pytest.raises(BuildError, match="no library that can be read"):
        apk.read(tmp_path / "a.apk")
