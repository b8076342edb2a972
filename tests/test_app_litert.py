"""The app with LiteRT, whose archive Maven Central has.

The APK is built with it, and the app's Java class runs the bundle's own files with the archive's
classes and native library, those for x86_64 or arm64 as this machine is. `LiteRtTest.java` has
the same in Robolectric, for other types.
"""

from __future__ import annotations

import os
import shutil
import zipfile
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
from app_samples import load_program

from kit.app import aar, build, maven, sources, tools
from kit.app.artifacts import RESOURCES, list_runtimes
from kit.app.build import AppOptions
from kit.errors import MissingTool

if find_spec("litert_torch") is None or find_spec("ai_edge_litert") is None:
    pytest.skip("the extra litert is not installed", allow_module_level=True)

pytestmark = pytest.mark.slow

RUNTIME = list_runtimes()["litert"]
JAVA = "org.mobilekit.litert.LiteRtRuntime"


def silent(_: str) -> None:
    """Hear nothing of the stages."""


@pytest.fixture(scope="module")
def archives() -> list[Path]:
    """The runtime's archive, and that of its interfaces."""
    try:
        return maven.resolve([RUNTIME.aar, *RUNTIME.beside], silent)
    except MissingTool as exc:
        pytest.skip(f"{exc.message}: {exc.hint}")


@pytest.fixture(scope="module")
def natives(archives, tmp_path_factory) -> list[Path]:
    """The archive's native library, with an Android C library for it, in the order of loading."""
    compiler = shutil.which("gcc") or shutil.which("cc")
    if compiler is None:
        pytest.skip("there is no C compiler: apt-get install gcc")
    program = load_program("natives")
    return program.write(archives[0], tmp_path_factory.mktemp("natives"), compiler)


@pytest.fixture(scope="module")
def class_path(archives, tmp_path_factory) -> str:
    """The app's runtime class and what it needs, compiled."""
    out = tmp_path_factory.mktemp("classes")
    (framework,) = maven.resolve([RESOURCES], silent)
    jars = [aar.read(one).classes(out) for one in archives]
    path = os.pathsep.join(map(str, [out, *jars, framework]))
    roots = [sources.find_folder() / "src" / name / "java" for name in ("main", "litert")]
    words = [tools.find("javac"), *(f"-J{flag}" for flag in tools.JVM), "-nowarn", "-cp", path]
    words += ["-sourcepath", os.pathsep.join(map(str, roots)), "-d", str(out)]
    files = [Path(__file__).parent / "RunRuntime.java", roots[1] / f"{JAVA.replace('.', '/')}.java"]
    tools.run([*words, *map(str, files)], "javac")
    return path


def test_the_archives_own_code_answers_as_the_build(litert_int8, natives, class_path, tmp_path):
    """int8 files, channels first and last: the same XNNPACK kernels, of another version."""
    bundle = litert_int8
    given = bundle.read_inputs(4)
    (tmp_path / "in").write_bytes(given.arrays[0].tobytes())
    sides = ",".join(map(str, bundle.manifest.signature.inputs[0].shape))
    words = [tools.find("java"), *tools.JVM, "-cp", class_path, "RunRuntime", JAVA]
    words += [",".join(map(str, natives)), sides, str(tmp_path / "in")]
    names = [artifact.name for artifact in bundle.manifest.artifacts]
    for name in names:
        words += [str(bundle.file(name)), str(tmp_path / name)]
    output = tools.run(words, "java")
    assert "Created TensorFlow Lite XNNPACK delegate" in output
    assert "\n2.16.1" in output
    for name in names:
        result = np.frombuffer((tmp_path / name).read_bytes(), "<f4").reshape(4, -1)
        wanted = np.load(bundle.path / bundle.manifest.golden.outputs[name][0])[:4]
        noise = float(((result - wanted) ** 2).sum())
        assert noise <= 1e-2 * float((wanted**2).sum()), name
    first, last = ((tmp_path / name).read_bytes() for name in names)
    assert first == last


def test_an_app_has_all_that_litert_needs(litert_int8, archives, tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    options = AppOptions(("litert",), abis=("arm64-v8a", "x86_64"))
    built = build.build([litert_int8.path], tmp_path / "out", options, silent)
    with zipfile.ZipFile(built.file) as apk:
        names = apk.namelist()
        dex = b"".join(apk.read(name) for name in names if name.endswith(".dex"))
    for wanted in (JAVA, "org.tensorflow.lite.NativeInterpreterWrapper"):
        assert f"L{wanted.replace('.', '/')};".encode() in dex
    libraries = [name for name in names if name.startswith("lib/")]
    assert libraries == [f"lib/{abi}/libtensorflowlite_jni.so" for abi in ("arm64-v8a", "x86_64")]
    assert built.record["not_fit_for_16k_pages"] == libraries
    assert built.record["bundles"][0]["artifacts"] == ["litert-int8", "litert-nhwc-int8"]
