"""The app with ExecuTorch, whose archive is not served everywhere.

Where it is not, an archive of the same API stands in: the classes of `android_app/stubs`, which
are Kotlin as the real ones are, the manifest that upstream publishes, and a library of our own.
So it is built with everything that the real one needs. What no test here does is run it.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import zipfile
from dataclasses import replace
from pathlib import Path

import pytest
from app_samples import MANIFEST, archive

from kit.app import aar, build, framework, maven, reduced, references, sources, tools
from kit.app.artifacts import FRAMEWORK, R8, list_runtimes
from kit.app.build import AppOptions
from kit.app.signing import Key
from kit.errors import BuildError, InputError, MissingTool
from kit.formats.executorch import ExecuTorch

pytestmark = pytest.mark.slow

RUNTIME = list_runtimes()["executorch"]
PUBLISHED = MANIFEST.format(
    "<application></application>"
    '<instrumentation android:name="androidx.test.runner.AndroidJUnitRunner" '
    'android:targetPackage="org.pytorch.executorch" android:label="Tests"/>'
)
# What Kotlin adds for itself and no Java source can have.
HIDDEN = re.compile(r"access\$|DefaultConstructorMarker|\$main|Compiled from")


def silent(_: str) -> None:
    """Hear nothing of the stages."""


@pytest.fixture(scope="module", autouse=True)
def own_keys(tmp_path_factory):
    """Keep the user's key for debug builds out of it."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_DATA_HOME", str(tmp_path_factory.mktemp("data")))
        yield


@pytest.fixture(scope="module")
def beside():
    """What the runtime needs besides, by its name."""
    try:
        files = maven.resolve(RUNTIME.beside, silent)
    except MissingTool as exc:
        pytest.skip(f"{exc.message}: {exc.hint}")
    return {one.name: file for one, file in zip(RUNTIME.beside, files, strict=True)}


@pytest.fixture(scope="module")
def stubs(beside, tmp_path_factory):
    """The classes that stand in for ExecuTorch's, compiled."""
    out = tmp_path_factory.mktemp("stubs")
    java = sorted((sources.find_folder() / "stubs/executorch/java").rglob("*.java"))
    words = [tools.find("javac"), "--release", "11", "-cp", str(beside["kotlin-stdlib"])]
    tools.run([*words, "-d", str(out), *map(str, java)], "javac")
    return out


@pytest.fixture(scope="module")
def stand_in(stubs, tmp_path_factory):
    """An archive as upstream publishes it."""
    compiler = shutil.which("aarch64-linux-gnu-gcc")
    if compiler is None:
        pytest.skip("aarch64-linux-gnu-gcc is not installed: apt-get install g++-aarch64-linux-gnu")
    work = tmp_path_factory.mktemp("aar")
    (work / "x.c").write_text("int x(void) { return 1; }\n")
    flags = ["-shared", "-Wl,-z,max-page-size=16384"]
    subprocess.run([compiler, *flags, "-o", work / "x.so", work / "x.c"], check=True)
    with zipfile.ZipFile(work / "classes.jar", "w") as target:
        for file in sorted(stubs.rglob("*.class")):
            target.write(file, file.relative_to(stubs))
    return archive(
        work / "executorch.aar",
        {
            "classes.jar": (work / "classes.jar").read_bytes(),
            "jni/arm64-v8a/libexecutorch.so": (work / "x.so").read_bytes(),
        },
        PUBLISHED,
    )


@pytest.fixture(scope="module")
def key(tmp_path_factory):
    file = tmp_path_factory.mktemp("keys") / "mine.p12"
    words = [tools.find("keytool"), "-genkeypair", "-keystore", str(file), "-alias", "one"]
    words += ["-storetype", "PKCS12", "-storepass", "secret1", "-keyalg", "EC"]
    tools.run([*words, "-dname", "CN=Mine"], "keytool")
    return Key(file, "one", "secret1")


def options(stand_in: Path, key: Key | None = None) -> AppOptions:
    return AppOptions(("executorch",), archives=(stand_in,), key=key)


@pytest.mark.parametrize("release", [False, True], ids=["debug", "release"])
def test_an_app_has_all_that_executorch_needs(stand_in, default_bundle, key, tmp_path, release):
    built = build.build(
        [default_bundle.path], tmp_path, options(stand_in, key if release else None), silent
    )
    with zipfile.ZipFile(built.file) as apk:
        dex = b"".join(apk.read(name) for name in apk.namelist() if name.endswith(".dex"))
        names = apk.namelist()
    for wanted in ("org/pytorch/executorch/Module", "com/facebook/jni/HybridData"):
        assert f"L{wanted};".encode() in dex
    if not release:  # there R8 gives it another name
        assert b"Lkotlin/NotImplementedError;" in dex
    assert "assets/bundles/tiny-default/model-fp32.pte" in names
    assert {n.rpartition("/")[2] for n in names if n.startswith("lib/")} >= {
        "libexecutorch.so",
        "libfbjni.so",
    }
    assert built.record["fit_for_16k_pages"] is True
    (note,) = built.record["notes"]
    assert note.startswith("<instrumentation> of the manifest in executorch.aar is left out")
    assert set(built.record["artifacts"]) >= {one.coordinates for one in RUNTIME.beside}
    assert (tmp_path / build.MAPPING).is_file() == release


def test_an_app_without_kotlin_is_not_built(stand_in, default_bundle, tmp_path, monkeypatch):
    """It would start on a phone, and end at its first inference."""
    lacking = tuple(one for one in RUNTIME.beside if one.group != "org.jetbrains.kotlin")
    monkeypatch.setattr(ExecuTorch, "android", replace(RUNTIME, beside=lacking))
    with pytest.raises(BuildError, match="refers to classes or members that it lacks") as caught:
        build.build([default_bundle.path], tmp_path / "out", options(stand_in), silent)
    assert "kotlin.NotImplementedError" in caught.value.message
    assert "used by" in caught.value.message
    assert not (tmp_path / "out").exists()


def test_stubs_are_what_upstream_publishes(stubs, tmp_path):
    """Only where Maven serves the archive; elsewhere the stubs were compared by hand."""
    try:
        (file,) = maven.resolve([RUNTIME.aar], silent)
    except MissingTool as exc:
        pytest.skip(exc.message)
    jar = aar.read(file).classes(tmp_path)
    classes = {name: public(stubs, name) for name in names_of(stubs)}
    assert classes == {name: public(jar, name) for name in classes}


def names_of(stubs: Path) -> list[str]:
    names = [f.relative_to(stubs).with_suffix("").as_posix() for f in stubs.rglob("*.class")]
    return [n.replace("/", ".") for n in names if not n.endswith(("/Stub", "$Companion"))]


def public(where: Path, name: str) -> list[str]:
    """Return the public members of a class, as `javap` prints them."""
    text = tools.run([tools.find("javap"), "-public", "-cp", str(where), name], "javap")
    return sorted(line for line in text.splitlines() if not HIDDEN.search(line))


def test_what_a_report_says_is_missing():
    report = """Warning: Missing class a.B (referenced from: void c.D.<init>() and 9 other contexts)
Missing method int a.B.sum(java.lang.Object) (referenced from: void c.D.run())
Missing class javax.annotation.Nullable (referenced from: e.F)
Missing method void java.util.List.shuffle(int[], int) (referenced from: void g.H.i(j.K, int))
Missing field int android.os.Build.NEW (referenced from: void g.H.i(j.K, int))
"""
    assert references.find_missing(report) == {
        "a.B": "void c.D.<init>() and 9 other contexts",
        "void java.util.List.shuffle(int[], int)": "void g.H.i(j.K, int)",
        "int android.os.Build.NEW": "void g.H.i(j.K, int)",
    }


@pytest.mark.parametrize(
    "data",
    [
        b"\0Bandroid/app/Activity\1",  # as in a class file; before it the length's last byte
        b"\x17Landroid/app/Activity;\0",  # as in a dex file
        b"LLandroid/app/Activity;\0",  # where that length is the code of a letter
        b"(IJLa/B;Landroid/app/Activity;)V",
        b"[[Landroid/app/Activity;",
    ],
)
def test_a_name_of_a_class_is_found_wherever_it_is(data):
    assert "android/app/Activity" in set(reduced.find_names(data))


def test_methods_and_classes_that_nobody_has_are_named(tmp_path):
    """By the real tool, of a class that javac took with more than an app will have."""
    try:
        android, r8 = maven.resolve([FRAMEWORK, R8], silent)
    except MissingTool as exc:
        pytest.skip(f"{exc.message}: {exc.hint}")
    (tmp_path / "Gone.java").write_text(
        "public class Gone { public static int sum() { return 1; } }"
    )
    (tmp_path / "User.java").write_text(
        "public class User { int use(android.app.Activity a) {"
        " return Gone.sum() + a.getPackageName().length(); } }"  # of a class two above Activity
    )
    files = [str(tmp_path / f"{name}.java") for name in ("Gone", "User")]
    readable = framework.find_readable(android, tools.read_java_version())
    words = [tools.find("javac"), "--release", "11", "-cp", str(readable), "-d", str(tmp_path)]
    tools.run([*words, *files], "javac")
    for name in ("whole", "lacking"):
        with zipfile.ZipFile(tmp_path / f"{name}.jar", "w") as jar:
            for file in ("User.class",) if name == "lacking" else ("User.class", "Gone.class"):
                jar.write(tmp_path / file, file)
    references.check(tmp_path / "whole.jar", android, r8)
    with pytest.raises(BuildError, match=r"it lacks: Gone; the first is used by int User\.use"):
        references.check(tmp_path / "lacking.jar", android, r8)


def test_javac_reads_a_framework_of_a_newer_java(tmp_path):
    """Only the numbers differ, and a damaged download is named."""
    newer = tmp_path / "android.jar"
    code = b"\xca\xfe\xba\xbe\0\0\0\x41rest"
    with zipfile.ZipFile(newer, "w") as target:
        target.writestr("android/A.class", code)
        target.writestr("com/android/Own.class", code)
        target.writestr("android/old/B.class", code.replace(b"\x41", b"\x34"))
        target.writestr("resources.arsc", b"table")
    for version in ("21.0.1", "25-ea"):
        assert framework.find_readable(newer, version) == newer
    lowered = framework.find_readable(newer, "17.0.15")
    with zipfile.ZipFile(lowered) as result:
        assert result.namelist() == ["android/A.class", "android/old/B.class"]
        assert result.read("android/A.class") == code.replace(b"\x41", b"\x37")
        assert result.read("android/old/B.class") == code.replace(b"\x41", b"\x34")
    broken = tmp_path / "broken.jar"
    broken.write_bytes(newer.read_bytes()[:-30])
    with pytest.raises(InputError, match="is damaged"):
        framework.find_readable(broken, "17.0.15")
    assert sorted(p.name for p in tmp_path.iterdir()) == [
        "android-java11.jar",
        "android.jar",
        "broken.jar",
    ]
