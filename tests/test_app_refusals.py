"""What `kit app` says where a tool is missing, Maven refuses, or an option is wrong."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from kit import cli
from kit.app import build, maven, testing, tools
from kit.errors import MissingTool
from kit.formats.runtimes import MavenArtifact

REFUSED = """[INFO] Scanning for projects...
[ERROR] Failed to execute goal org.apache.maven.plugins:maven-dependency-plugin:3.8.1:copy \
(default-cli) on project standalone-pom: Unable to find/resolve artifact. \
Could not find artifact com.example:thing:aar:1.0 in central -> [Help 1]
[ERROR] Re-run Maven using the -X switch to enable full debug logging.
"""


def silent(_: str) -> None:
    """Hear nothing of the stages."""


# Tools that are missing, and Maven's refusals


@pytest.mark.parametrize(("name", "package"), [("javac", tools.JDK), ("mvn", "maven")])
def test_a_missing_tool_is_named_with_its_package(monkeypatch, tmp_path, name, package):
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("JAVA_HOME", raising=False)
    with pytest.raises(MissingTool, match=name) as caught:
        tools.find(name)
    assert f"apt-get install {package}" in caught.value.hint


def test_the_command_says_what_is_missing(monkeypatch, tmp_path, lite_bundle, capsys):
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("JAVA_HOME", raising=False)
    code = cli.run(["app", "build", str(lite_bundle.path), "--runtime", "lite"])
    output = capsys.readouterr().err
    assert code == 8
    assert f"apt-get install {tools.JDK}" in output


def program(folder: Path, name: str, script: str) -> None:
    """Write a program that only a test needs: Maven's refusals cannot be had otherwise."""
    file = folder / name
    file.write_text(f"#!/bin/sh\n{script}\n")
    file.chmod(0o755)


@pytest.fixture
def fake_maven(monkeypatch, tmp_path):
    def write(script: str) -> None:
        program(tmp_path, "mvn", script)

    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return write


def test_mavens_jvm_has_our_options_and_then_the_users(fake_maven, monkeypatch, tmp_path):
    monkeypatch.setenv("MAVEN_OPTS", "-Xmx9g")
    fake_maven(f'echo "$MAVEN_OPTS" >{tmp_path}/options; exit 1')
    with pytest.raises(MissingTool):
        maven.resolve([MavenArtifact("com.example", "thing", "1.0", "aar")], silent)
    assert (tmp_path / "options").read_text().split() == [*tools.JVM, "-Xmx9g"]


def test_a_refused_artifact_is_named(fake_maven, tmp_path):
    (tmp_path / "said").write_text(REFUSED)
    fake_maven(f"cat {tmp_path}/said; exit 1")
    thing = MavenArtifact("com.example", "thing", "1.0", "aar")
    with pytest.raises(MissingTool, match=r"com\.example:thing:1\.0:aar") as caught:
        maven.resolve([thing], silent)
    assert "Could not find artifact" in caught.value.message
    assert "Help 1" not in caught.value.message
    assert not list((tmp_path / "cache/kit/app").rglob("*thing*"))


@pytest.mark.slow
def test_a_refused_runtime_says_what_else_to_do(fake_maven, tmp_path, lite_bundle, capsys):
    (tmp_path / "said").write_text(REFUSED)
    fake_maven(f"cat {tmp_path}/said; exit 1")
    if shutil.which("javac") is None:
        pytest.skip(f"javac is not installed: apt-get install {tools.JDK}")
    code = cli.run(["app", "build", str(lite_bundle.path), "-o", str(tmp_path / "out")])
    output = capsys.readouterr().err
    assert code == 8
    assert "runtime onnx: Maven did not serve" in output
    assert "--aar FILE" in output
    assert not (tmp_path / "out").exists()


def test_a_file_that_maven_brings_is_kept(fake_maven, tmp_path):
    fake_maven(
        'for w in "$@"; do case $w in -DoutputDirectory=*) '
        'echo x >"${w#*=}/thing-1.0.jar";; esac; done'
    )
    thing = MavenArtifact("com.example", "thing", "1.0")
    (file,) = maven.resolve([thing], silent)
    fake_maven("exit 1")
    assert maven.resolve([thing], silent) == [file]
    assert file.read_text() == "x\n"


def test_maven_that_brings_nothing_is_not_believed(fake_maven):
    fake_maven("exit 0")
    with pytest.raises(MissingTool, match="it reported no error"):
        maven.resolve([MavenArtifact("com.example", "thing", "1.0")], silent)


def test_summaries_of_maven_are_read():
    output = "Tests run: 3, Failures: 0, Errors: 0, Skipped: 0, Time elapsed: 1 s -- in A\n"
    assert testing.parse_counts(output) == {"run": 0, "failed": 0, "skipped": 0}
    output += "[WARNING] Tests run: 9, Failures: 1, Errors: 2, Skipped: 4\n"
    assert testing.parse_counts(output) == {"run": 9, "failed": 3, "skipped": 4}


# Bad options


@pytest.mark.parametrize(
    ("words", "code", "output"),
    [
        (["/nowhere"], 4, "is not a bundle"),
        (["{bundle}", "--runtime", "onxx"], 2, "did you mean onnx?"),
        (["{bundle}", "--runtime", ","], 2, "--runtime names nothing"),
        (["{bundle}", "--abi", "mips"], 2, "no ABI called 'mips'"),
        (["{bundle}", "--abi", ","], 2, "--abi names nothing"),
        (["{bundle}", "--picture", __file__], 2, "is no JPEG file"),
        (["{bundle}", "--picture", "/nowhere.jpg"], 2, "cannot read /nowhere.jpg"),
        (["{bundle}", "--release"], 2, "needs --keystore"),
        (["{bundle}", "--keystore", "/x"], 2, "is for --release"),
    ],
)
def test_bad_options_are_reported(lite_bundle, capsys, monkeypatch, words, code, output):
    """Before a tool is looked for."""
    monkeypatch.setattr(build.tools, "read_java_version", lambda: pytest.fail("too late"))
    words = [word.format(bundle=lite_bundle.path) for word in words]
    assert cli.run(["app", "build", *words]) == code
    assert output in capsys.readouterr().err
