"""The checked-out commit, read without running any program that the repository names."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from kit.results import source
from kit.results.context import SourceRef

pytestmark = pytest.mark.skipif(shutil.which("git") is None, reason="git is not installed")


def git(folder: Path, *arguments: str) -> str:
    who = {f"GIT_{role}_{field}": "x" for role in ("AUTHOR", "COMMITTER")
           for field in ("NAME", "EMAIL")}  # fmt: skip
    environment = {**os.environ, **who, "GIT_CONFIG_GLOBAL": os.devnull}
    command = ["git", "-C", str(folder), *arguments]
    return subprocess.run(
        command, env=environment, check=True, capture_output=True, text=True
    ).stdout


@pytest.fixture
def project(tmp_path: Path) -> Path:
    folder = tmp_path / "project"
    (folder / "src").mkdir(parents=True)
    (folder / "src/model.py").write_text("one\n")
    git(folder, "init", "--quiet")
    git(folder, "add", ".")
    git(folder, "commit", "--quiet", "--message", "x")
    return folder


def test_commit_and_changed_files_are_detected(project: Path) -> None:
    head = git(project, "rev-parse", "HEAD").strip()
    assert source.read_source(project / "src") == SourceRef(revision=head, dirty=False)
    (project / "notes.txt").write_text("not tracked")
    assert source.read_source(project) == SourceRef(revision=head, dirty=False)
    (project / "src/model.py").write_text("two\n")
    assert source.read_source(project / "src") == SourceRef(revision=head, dirty=True)
    git(project, "add", ".")
    assert source.read_source(project) == SourceRef(revision=head, dirty=True)


def test_git_variables_of_another_repository_are_ignored(
    project: Path, tmp_path, monkeypatch
) -> None:
    (tmp_path / "other").mkdir()
    git(tmp_path / "other", "init", "--quiet")
    monkeypatch.setenv("GIT_DIR", str(tmp_path / "other/.git"))
    result = source.read_source(project)
    assert result is not None
    monkeypatch.delenv("GIT_DIR")
    assert result.revision == git(project, "rev-parse", "HEAD").strip()


def test_without_repository_commit_or_git_the_source_is_none(tmp_path: Path, monkeypatch) -> None:
    (tmp_path / "plain").mkdir()
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path))
    assert source.read_source(tmp_path / "plain") is None
    git(tmp_path / "plain", "init", "--quiet")
    assert source.read_source(tmp_path / "plain") is None
    assert source.read_source(tmp_path / "missing") is None
    monkeypatch.setenv("PATH", str(tmp_path))
    assert source.read_source(tmp_path / "plain") is None


def test_a_hanging_git_times_out(project: Path, tmp_path: Path, monkeypatch) -> None:
    (tmp_path / "bin").mkdir()
    fake = tmp_path / "bin/git"
    fake.write_text(
        f'#!/bin/sh\ncase "$*" in *status*) exec sleep 60;; esac\nexec {shutil.which("git")} "$@"\n'
    )
    fake.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:{os.environ['PATH']}")
    monkeypatch.setattr(source, "TIMEOUT_SECONDS", 1.0)
    result = source.read_source(project)
    assert result is not None
    assert result.dirty is None


@pytest.mark.parametrize(
    "key",
    ["core.fsmonitor", "core.hooksPath", "filter.evil.clean", "filter.a.B=c.clean"],
)
def test_no_program_named_by_the_repository_is_run(project: Path, tmp_path: Path, key: str) -> None:
    ran = tmp_path / "ran"
    script = tmp_path / "hooks/post-index-change"
    script.parent.mkdir()
    script.write_text(f"#!/bin/sh\ntouch {ran}\ncat\n")
    script.chmod(0o755)
    driver = key.removeprefix("filter.").removesuffix(".clean")
    (project / ".gitattributes").write_text(f"*.py filter={driver}\n")
    git(project, "add", ".")
    git(project, "commit", "--quiet", "--message", "y")
    git(project, "config", key, str(script.parent if key == "core.hooksPath" else script))
    os.utime(project / "src/model.py", (1, 1))  # git has to look into the file
    result = source.read_source(project)
    assert result is not None
    assert result.dirty is False
    assert not ran.exists()
    git(project, "status")
    assert ran.exists(), "the test would prove nothing: git by itself does not run it either"
