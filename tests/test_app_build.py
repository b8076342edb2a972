"""`kit app build`: an APK from end to end.

These tests need a JDK, Maven and, once, a network; without one of them they skip.
"""

from __future__ import annotations

import hashlib
import json
import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from app_samples import archive

from kit import cli
from kit.app import aapt2, apk, build, contract, maven, signing, tools
from kit.app.artifacts import APKSIG, list_runtimes
from kit.app.build import AppOptions
from kit.errors import MissingTool, OutputError, UsageError
from kit.formats.runtimes import MavenArtifact
from kit.json_outputs import read_output

pytestmark = pytest.mark.slow


def silent(_: str) -> None:
    """Hear nothing of the stages."""


@pytest.fixture(scope="module", autouse=True)
def own_keys(tmp_path_factory):
    """Keep the user's key for debug builds out of it."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_DATA_HOME", str(tmp_path_factory.mktemp("data")))
        yield


@pytest.fixture(scope="module")
def built(own_keys, lite_bundle, tmp_path_factory):
    out = tmp_path_factory.mktemp("apk")
    try:
        return build.build([lite_bundle.path], out, AppOptions(("lite",)), silent)
    except MissingTool as exc:
        pytest.skip(f"{exc.message}: {exc.hint}")


def test_apk_has_what_its_record_says(built, lite_bundle):
    text = (built.file.parent / build.RECORD).read_text()
    read_output("app-build", text)
    record = json.loads(text)
    assert record == built.record
    data = built.file.read_bytes()
    assert record["apk"] == {"size": len(data), "sha256": hashlib.sha256(data).hexdigest()}
    with zipfile.ZipFile(built.file) as archive:
        result = {
            i.filename: hashlib.sha256(archive.read(i)).hexdigest() for i in archive.infolist()
        }
        model = archive.read("assets/bundles/tiny-app/model-fp32.ptl")
        dex = archive.read("classes.dex")
    assert result == {name: entry["sha256"] for name, entry in record["files"].items()}
    assert model == lite_bundle.file("lite").read_bytes()
    assert b"Lorg/mobilekit/lite/LiteRuntime;" in dex
    assert b"Lcom/facebook/jni/HybridData;" in dex
    assert b"Lorg/mobilekit/onnx/OnnxRuntime;" not in dex
    assert record["bundles"] == [
        {"name": "tiny-app", "hash": lite_bundle.hash, "artifacts": ["lite-fp32"]}
    ]
    assert {p.name for p in built.file.parent.iterdir()} == {build.APK, build.RECORD}
    assert record["target_sdk"] == 36  # which stores ask for
    assert record["notes"] == []


def test_apk_is_laid_out_for_large_pages(built):
    entries = apk.read(built.file)
    apk.check(entries)
    libraries = [e for e in entries if e.library]
    assert [e.name.rpartition("/")[2] for e in libraries] == [
        "libc++_shared.so",
        "libfbjni.so",
        "libpytorch_jni_lite.so",
    ]
    assert all(e.stored and e.offset % 16384 == 0 for e in libraries)
    # PyTorch's own libraries are made for 4 KB, and the record has to say so.
    assert built.record["not_fit_for_16k_pages"] == [e.name for e in libraries]
    assert built.record["fit_for_16k_pages"] is False


def test_the_same_input_gives_the_same_bytes(built, lite_bundle, tmp_path):
    """Also by the command, over a release in the same folder, whose mapping is not its own."""
    (tmp_path / build.MAPPING).write_text("of a release")
    words = ["app", "build", str(lite_bundle.path), "--runtime", "lite", "-o", str(tmp_path)]
    assert cli.run(words) == 0
    assert {p.name for p in tmp_path.iterdir()} == {build.APK, build.RECORD}
    for name in (build.APK, build.RECORD):
        assert (tmp_path / name).read_bytes() == (built.file.parent / name).read_bytes(), name


APP_ID = "org.example.lite_2"


@pytest.fixture(scope="module")
def built_default(built, default_bundle, tmp_path_factory):
    """The folder of an app of another id with what Maven serves here, and what the command says."""
    out = tmp_path_factory.mktemp("default-apk")
    words = ["app", "build", str(default_bundle.path), "--app-id", APP_ID, "-o", str(out)]
    done = subprocess.run([sys.executable, "-m", "kit", *words], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return out, done


def test_an_app_of_another_id_is_another_app(built, built_default):
    out, done = built_default
    assert f"id: {APP_ID}" in done.stdout
    assert {p.name for p in out.iterdir()} == {build.APK, build.RECORD}
    assert json.loads((out / build.RECORD).read_text())["package"] == APP_ID
    assert apk.read_app_id(out / build.APK) == APP_ID
    assert apk.read_app_id(built.file) == contract.APP_ID
    program = str(aapt2.find(silent))
    dump = [program, "dump", "xmltree", "--file", "AndroidManifest.xml", str(out / build.APK)]
    tree = tools.run(dump, "aapt2")
    assert f'"{APP_ID}.camera"' in tree
    assert '"Mobile Kit lite_2"' in tree
    # The classes keep their names, whatever the id.
    with zipfile.ZipFile(out / build.APK) as archive:
        assert b"Lorg/mobilekit/demo/R$layout;" in archive.read("classes.dex")


def test_a_default_bundle_becomes_an_app_and_says_what_is_in_it(built_default):
    """With what Maven serves here; `test_app_parts` has the choice itself."""
    out, done = built_default
    record = json.loads((out / build.RECORD).read_text())
    assert set(record["runtimes"]) in ({"onnx", "executorch"}, {"onnx", "lite"}, {"lite"})
    left_out = {"onnx", "lite", "executorch"} - set(record["runtimes"])
    for name in left_out:
        assert f"note: {name} is left out" in done.stderr
    (packed,) = record["bundles"]
    order = [name for name in ("lite", "onnx", "executorch") if name in record["runtimes"]]
    assert packed["artifacts"] == [f"{name}-fp32" for name in order]


def test_android_reads_the_manifest(built):
    program = str(aapt2.find(silent))
    badging = tools.run([program, "dump", "badging", str(built.file)], "aapt2")
    assert f"package: name='{contract.APP_ID}'" in badging
    assert f"sdkVersion:'{contract.MINIMUM_SDK}'" in badging
    assert f"targetSdkVersion:'{contract.TARGET_SDK}'" in badging
    assert f"launchable-activity: name='{contract.DEMO}'" in badging
    assert "application-debuggable" in badging
    assert "native-code: 'arm64-v8a'" in badging
    assert "uses-permission" not in badging
    tree = tools.run(
        [program, "dump", "xmltree", "--file", "AndroidManifest.xml", str(built.file)], "aapt2"
    )
    (bench,) = [part for part in tree.split("E: ") if contract.BENCH in part]
    assert contract.PERMISSION in bench
    assert tree.count("exported(0x01010010)=true") == 2  # the launcher's activity, and this one
    assert "extractNativeLibs(0x010104ea)=false" in tree
    assert "enableOnBackInvokedCallback(0x0101066c)=true" in tree


@pytest.mark.parametrize(
    "words", [("apksigner", "verify", "-v"), ("aapt", "dump", "badging"), ("zipalign", "-c", "4")]
)
def test_debians_tools_agree(built, words):
    if shutil.which(words[0]) is None:
        pytest.skip(f"{words[0]} is not installed: apt-get install {words[0]}")
    done = subprocess.run([*words, str(built.file)], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    if words[0] == "apksigner":
        assert "v2 scheme (APK Signature Scheme v2): true" in done.stdout
        assert "v3 scheme (APK Signature Scheme v3): true" in done.stdout


def test_an_altered_apk_does_not_verify(built, tmp_path):
    data = bytearray(built.file.read_bytes())
    data[len(data) // 2] ^= 1
    (tmp_path / "altered.apk").write_bytes(data)
    (apksig,) = maven.resolve([APKSIG], silent)
    (tmp_path / "V.java").write_text(
        "public class V { public static void main(String[] a) throws Exception {"
        " System.out.println(new com.android.apksig.ApkVerifier.Builder(new java.io.File(a[0]))"
        ".setMinCheckedPlatformVersion(26).build().verify().isVerified()); } }"
    )
    output = [
        tools.run(
            [tools.find("java"), "-cp", str(apksig), str(tmp_path / "V.java"), str(file)], "V"
        )
        for file in (built.file, tmp_path / "altered.apk")
    ]
    assert [text.strip() for text in output] == ["true", "false"]


@pytest.fixture(scope="module")
def keystore(tmp_path_factory):
    file = tmp_path_factory.mktemp("keys") / "mine.p12"
    for alias in ("one", "two"):
        words = [tools.find("keytool"), "-genkeypair", "-keystore", str(file), "-alias", alias]
        words += ["-storetype", "PKCS12", "-storepass", "secret1", "-keyalg", "EC"]
        tools.run([*words, "-dname", "CN=Mine"], "keytool")
    return file


def test_a_release_is_shrunk_and_signed_with_the_users_key(
    built, lite_bundle, keystore, tmp_path, monkeypatch, capsys
):
    monkeypatch.setenv(signing.PASSWORD, "secret1")
    words = ["app", "build", str(lite_bundle.path), "--runtime", "lite", "--release"]
    words += ["--keystore", str(keystore), "--key-alias", "two", "-o", str(tmp_path), "--json"]
    assert cli.run(words) == 0
    record = json.loads(capsys.readouterr().out)
    assert record["debug"] is False
    mapping = (tmp_path / build.MAPPING).read_text()
    (line,) = re.findall(r"^org\.mobilekit\.Classifier -> (\S+):$", mapping, re.M)
    assert line != "org.mobilekit.Classifier"  # which a stack trace would have
    assert record["certificate_sha256"] != built.record["certificate_sha256"]
    assert record["files"]["classes.dex"]["size"] < built.record["files"]["classes.dex"]["size"]
    with zipfile.ZipFile(tmp_path / build.APK) as archive:
        dex = archive.read("classes.dex")
    for kept in (
        "org/mobilekit/lite/LiteRuntime",
        "com/facebook/jni/HybridData",
        "org/pytorch/IValue",
    ):
        assert f"L{kept};".encode() in dex


@pytest.mark.parametrize(
    ("password", "alias", "words"),
    [("wrong12", "one", "password was incorrect"), ("secret1", "", "has the keys [one, two]")],
)
def test_a_key_that_cannot_be_used_is_reported_at_once(
    built, lite_bundle, keystore, tmp_path, monkeypatch, capsys, password, alias, words
):
    monkeypatch.setenv(signing.PASSWORD, password)
    given = ["app", "build", str(lite_bundle.path), "--runtime", "lite", "--release"]
    given += ["--keystore", str(keystore), "--key-alias", alias, "-o", str(tmp_path / "out")]
    assert cli.run(given) == 3
    output = capsys.readouterr().err
    assert words in output
    assert "compiling" not in output
    assert not (tmp_path / "out").exists()


def test_an_archive_given_by_hand_is_packed(built, lite_bundle, tmp_path, capsys):
    """Of ONNX Runtime's desktop jar, which has the same classes, and a library of our own."""
    compiler = shutil.which("aarch64-linux-gnu-gcc")
    if compiler is None:
        pytest.skip("aarch64-linux-gnu-gcc is not installed: apt-get install g++-aarch64-linux-gnu")
    try:
        (desktop,) = maven.resolve(
            [MavenArtifact("com.microsoft.onnxruntime", "onnxruntime", "1.29.0")], silent
        )
    except MissingTool as exc:
        pytest.skip(exc.message)
    (tmp_path / "x.c").write_text("int x(void) { return 1; }\n")
    words = [compiler, "-shared", "-Wl,-z,max-page-size=16384", "-o", str(tmp_path / "x.so")]
    subprocess.run([*words, str(tmp_path / "x.c")], check=True)
    with zipfile.ZipFile(desktop) as source, zipfile.ZipFile(tmp_path / "classes.jar", "w") as out:
        for name in source.namelist():
            if name.endswith(".class") and not name.startswith("META-INF/"):
                out.writestr(name, source.read(name))
    members = {
        "classes.jar": (tmp_path / "classes.jar").read_bytes(),
        "jni/arm64-v8a/libonnxruntime4j_jni.so": (tmp_path / "x.so").read_bytes(),
    }
    file = archive(tmp_path / "mine.aar", members)
    words = ["app", "build", str(lite_bundle.path), "--runtime", "onnx", "--aar", str(file)]
    assert cli.run([*words, "-o", str(tmp_path / "out"), "--json"]) == 0
    record = json.loads(capsys.readouterr().out)
    assert record["runtimes"]["onnx"]["version"] == f"file {maven.hash_file(file)[:12]}"
    assert record["artifacts"]["mine.aar"] == maven.hash_file(file)
    assert record["fit_for_16k_pages"] is True
    assert "assets/bundles/tiny-app/model-fp32.onnx" in record["files"]
    assert "assets/bundles/tiny-app/model-fp32.ptl" not in record["files"]


def test_an_archive_that_is_not_packed_is_reported(built, lite_bundle):
    (file,) = maven.resolve([list_runtimes()["lite"].aar], silent)
    with pytest.raises(UsageError, match="for lite, which is not packed"):
        build.build(
            [lite_bundle.path], Path("/nowhere"), AppOptions(("onnx",), archives=(file,)), silent
        )


def test_a_folder_that_cannot_be_written_to(built, lite_bundle, tmp_path):
    """Found before anything is compiled, and also if it cannot be written to only by then."""
    (tmp_path / "file").write_text("in the way")
    stages: list[str] = []
    with pytest.raises(OutputError, match="cannot write to"):
        build.build([lite_bundle.path], tmp_path / "file", AppOptions(("lite",)), stages.append)
    assert not any("compiling" in stage for stage in stages)
    with pytest.raises(OutputError, match="cannot write to"):
        build.move_apk(built.file, built.record, None, tmp_path / "file")
    assert (tmp_path / "file").read_text() == "in the way"
