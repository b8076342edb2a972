"""Formats of other packages: loaded by entry point, and refused if broken."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest
from bundle_samples import SMALL_NET, draw_labelled, make, net

from kit import formats
from kit.artifact_key import ArtifactKey
from kit.errors import (
    BuildError,
    MissingTool,
    PluginError,
    UnknownName,
    VerificationFailed,
    make_error,
    name_kind,
)
from kit.formats.isolated import open_session
from kit.signature import TensorSpec, join

DOCS = Path(__file__).parents[1] / "docs"


def wheel(folder: Path, module: str, code: str, points: str) -> Path:
    """Write a wheel of one module with entry points."""
    folder.mkdir(exist_ok=True)
    file = folder / f"{module}-1.0-py3-none-any.whl"
    info = f"{module}-1.0.dist-info"
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr(f"{module}.py", code)
        name = module.replace("_", "-")
        archive.writestr(f"{info}/METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
        archive.writestr(
            f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        )
        archive.writestr(f"{info}/entry_points.txt", points)
        archive.writestr(f"{info}/RECORD", "")
    return file


def block(page: str, language: str) -> str:
    """Return the first code block of a language in a page."""
    _, rest, *_ = (DOCS / page).read_text(encoding="utf-8").split(f"```{language}\n")
    return rest.split("```")[0]


def page_wheel(folder: Path, page: str, kind: str, name: str) -> Path:
    """Write the wheel that a page describes."""
    (line,) = [x for x in block(page, "toml").splitlines() if x.startswith(f"{name} = ")]
    points = f"[kit.{kind}]\n{line.replace(chr(34), '')}\n"
    return wheel(folder, f"kit_{name}", block(page, "python"), points)


@pytest.mark.slow
def test_the_format_and_the_task_of_the_pages_go_through_every_command(tmp_path):
    """Like a reader: install the packages, then build, measure, evaluate, report."""
    files = [
        page_wheel(tmp_path / "wheels", "write-a-format.md", "formats", "jit"),
        page_wheel(tmp_path / "wheels", "write-a-task.md", "tasks", "vectors"),
    ]
    site = tmp_path / "site"
    install = [sys.executable, "-m", "pip", "install", "-q", "--no-index", "--no-deps"]
    subprocess.run([*install, "--target", str(site), *map(str, files)], check=True)
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join([str(site), *filter(None, [os.environ.get("PYTHONPATH")])]),
    }

    def kit(*words: str) -> str:
        done = subprocess.run(
            [sys.executable, "-m", "kit", *words],
            capture_output=True,
            text=True,
            env=environment,
            cwd=Path(__file__).parents[1],
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    bundle, results = str(tmp_path / "bundle"), tmp_path / "results"
    assert json.loads(kit("list", "--json"))["formats"]["jit"].startswith("a traced module")
    assert json.loads(kit("list", "--json"))["tasks"]["vectors"] == "a picture in, a vector out"
    network = [SMALL_NET, "--task", "vectors", "--resolution", "64"]
    quick = ["--observer", "percentile", "--corrections", "none", "--no-cache"]
    kit("build", *network, *quick, "--format", "jit", "-o", bundle)
    manifest = json.loads((tmp_path / "bundle" / "bundle.json").read_text())
    (artifact,) = manifest["artifacts"]
    assert (artifact["format"], artifact["file"]) == ("jit", "model-int8.jit")
    (graph,) = [one for one in artifact["parity"] if one["against"] == "quantized graph"]
    assert graph["max_abs"] == 0.0
    assert manifest["tools"]["kit-jit"] == "1.0"
    measured = json.loads(kit("bench", bundle, "--quick", "--json", "-o", f"{results}/"))
    assert [row["format"] for row in measured["results"]] == ["jit"]
    draw_labelled(tmp_path / "pictures")
    scored = kit("eval", bundle, "--images", str(tmp_path / "pictures"), "--json", "-o",
                 f"{results}/eval.json")  # fmt: skip
    reference, jit = json.loads(scored)["results"]
    assert (reference["format"], jit["format"]) == ("reference", "jit")
    assert reference["metrics"] == [{"name": "cosine distance", "value": 0.0, "unit": ""}]
    assert 0 < jit["metrics"][0]["value"] < 0.5
    kit("report", str(results), "-o", str(tmp_path / "page"))
    page = (tmp_path / "page" / "report.md").read_text()
    assert "int8 .jit" in page
    assert "cosine distance" in page


GOOD = "from kit.formats.lite import Lite\nclass Mine(Lite):\n    name = 'mine'\nFORMAT = Mine()\n"


@pytest.fixture
def installed(tmp_path, monkeypatch):
    """Install a module with one entry point into a folder on the path."""

    def install(module: str, code: str, point: str) -> None:
        with zipfile.ZipFile(
            wheel(tmp_path, module, code, f"[kit.formats]\n{point} = {module}:FORMAT\n")
        ) as archive:
            archive.extractall(tmp_path / module)
        monkeypatch.syspath_prepend(tmp_path / module)
        monkeypatch.delitem(sys.modules, module, raising=False)

    return install


def test_a_plugin_is_a_format(installed):
    installed("good_plugin", GOOD, "mine")
    assert formats.list_formats() == tuple(sorted(("mine", "executorch", "lite", "onnx", *extra())))
    assert formats.get_format("mine").suffix == ".ptl"
    assert formats.list_packages(["mine"])[-1] == "good-plugin"


def extra() -> set[str]:
    """Return kit's formats that this file does not name."""
    return set(formats.list_formats()) - {"mine", "executorch", "lite", "onnx"}


@pytest.mark.parametrize(
    ("code", "point", "message"),
    [
        ("import no_such_module", "mine", "cannot be imported: ModuleNotFoundError"),
        ("raise SystemError('x')", "mine", "cannot be imported: SystemError: x"),
        ("OTHER = 1", "mine", "cannot be imported: AttributeError"),
        ("FORMAT = 3", "mine", "is 3, not an instance of kit's Format"),
        (GOOD, "other", "with that name"),
    ],
)
def test_a_broken_plugin_is_one_sentence(code, point, message, installed):
    installed("broken_plugin", code, point)
    with pytest.raises(PluginError, match=message) as caught:
        formats.get_format(point)
    assert "broken-plugin" in caught.value.message
    assert "uninstall broken-plugin" in caught.value.hint
    assert caught.value.exit_code == 8
    formats.get_format("onnx")  # the others are not harmed


def test_a_duplicate_name_is_refused(installed):
    installed("greedy_plugin", GOOD, "onnx")
    with pytest.raises(PluginError, match="greedy-plugin provides a format called 'onnx'"):
        formats.list_formats()
    with pytest.raises(PluginError, match="a name that is taken"):
        formats.get_format("no-such-format")


def test_an_unknown_format_names_plugins_too(installed):
    installed("good_plugin", GOOD, "mine")
    with pytest.raises(UnknownName, match="mina") as caught:
        formats.get_format("mina")
    assert "mine" in caught.value.hint


CRASHING = """
import os, signal
import numpy as np
from kit.formats.onnx import Onnx

class Session:
    def bind(self, inputs):
        return lambda: os.kill(os.getpid(), signal.SIGFPE)

class Crashing(Onnx):
    name = "crashing"
    def load(self, path, threads):
        if os.environ.get("CRASH_AT") == "load":
            os.abort()
        return Session()

FORMAT = Crashing()
"""


@pytest.mark.slow
@pytest.mark.parametrize(
    ("at", "message"),
    [
        ("load", "crashing-fp32 ends its process as the file is loaded by signal 6 (SIGABRT)"),
        ("run", "crashing-fp32 ends its process on an input by signal 8 (SIGFPE)"),
    ],
)
def test_a_runtime_that_crashes_in_an_evaluation_is_one_sentence(at, message, tmp_path):
    """A damaged Lite file divided by zero and ended `kit eval` without an error message."""
    with zipfile.ZipFile(
        wheel(tmp_path, "crashing", CRASHING, "[kit.formats]\ncrashing = crashing:FORMAT\n")
    ) as archive:
        archive.extractall(tmp_path / "site")
    bundle = make(tmp_path / "b", {"onnx": net()})
    text = (bundle.path / "bundle.json").read_text()
    (bundle.path / "bundle.json").write_text(
        text.replace('"format": "onnx"', '"format": "crashing"')
    )
    pictures = draw_labelled(tmp_path / "pictures")
    path = os.pathsep.join([str(tmp_path / "site"), os.environ.get("PYTHONPATH", "")])
    done = subprocess.run(
        [sys.executable, "-m", "kit", "eval", str(bundle.path), "--images", str(pictures)],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": path, "CRASH_AT": at},
        cwd=Path(__file__).parents[1],
    )
    assert done.returncode == 6, done.stderr
    assert message in done.stderr
    assert "Traceback" not in done.stderr


REFUSING = """
from kit.errors import MissingTool
from kit.formats.onnx import Onnx

class NoLicense(MissingTool):
    pass

class Refusing(Onnx):
    name = "refusing"
    def load(self, path, threads):
        raise NoLicense("there is no license", "buy one")

FORMAT = Refusing()
"""


def test_an_error_of_a_plugins_own_class_is_reported(tmp_path, monkeypatch):
    with zipfile.ZipFile(
        wheel(tmp_path, "refusing", REFUSING, "[kit.formats]\nrefusing = refusing:FORMAT\n")
    ) as archive:
        archive.extractall(tmp_path / "site")
    path = os.pathsep.join([str(tmp_path / "site"), os.environ.get("PYTHONPATH", "")])
    monkeypatch.setenv("PYTHONPATH", path)
    specs = (TensorSpec(name="x", shape=(1, 2)),)
    with (
        open_session(ArtifactKey("refusing", "fp32"), tmp_path / "x.onnx", 1) as session,
        pytest.raises(MissingTool, match="there is no license") as caught,
    ):
        session.predict(join(specs, [(np.zeros((1, 2), np.float32),)]))
    assert caught.value.hint == "buy one"


def test_an_error_is_reported_as_its_nearest_class_of_kit():
    class Own(VerificationFailed):
        pass

    assert name_kind(Own("a", "b")) == "VerificationFailed"
    assert name_kind(BuildError("a", "b")) == "BuildError"
    made = make_error("BuildError", "a", "b")
    assert (type(made), made.message, made.hint) == (BuildError, "a", "b")
