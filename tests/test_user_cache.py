"""`kit cache`: which files are counted, removed and kept."""

from __future__ import annotations

import fcntl
import json
import os
import pty
import subprocess
import sys
from pathlib import Path

import pytest

from kit import cache, cli, user_cache
from kit.app import tools
from kit.models import _sources
from kit.runners import native

HASH = "0123456789abcdef"
OWN = {
    "bundles": f"{HASH * 4}/bundle.json",
    "runners": f"arm64-v8a/onnx-{HASH}/runner.json",
    "wheels": f"torch-2.8.0-{HASH[:12]}/torch/lib.so",
    "weights": "mobilenet_v2-b0353104.pth",
    "app": "maven/org.pytorch/thing.aar",
}
FOREIGN = {
    "bundles": "thesis/chapter.tex",
    "runners": "arm64-v8a/notes.txt",
    "wheels": "torch-2.8.0-cp311-cp311-manylinux_2_28_aarch64.whl",
    "weights": "mine.pth",
    "app": "sources/Main.java",
}


@pytest.fixture
def folder(tmp_path, monkeypatch) -> Path:
    """Provide a cache with an entry of each kind, and a foreign file beside each."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.delenv("KIT_CACHE", raising=False)
    for names in (OWN, FOREIGN):
        for kind, name in names.items():
            file = tmp_path / "kit" / kind / name
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(bytes(5000))
    return tmp_path / "kit"


def run_json(capsys, *words: str) -> dict:
    code = cli.run(["cache", *words, "--json"])
    answer = json.loads(capsys.readouterr().out)
    return {"code": code, **answer}


def left(folder: Path) -> set[str]:
    return {str(f.relative_to(folder)) for f in folder.rglob("*") if f.is_file()}


def paths(names: dict[str, str]) -> set[str]:
    return {f"{kind}/{name}" for kind, name in names.items()}


def test_each_room_keeps_its_files_in_the_folder_of_the_table(folder):
    assert cache.get_folder() == folder / "bundles"
    assert native._root() == folder / "runners"
    assert _sources.get_cache_folder() == folder / "weights"
    assert tools.make_cache_folder() == folder / "app"


def test_sizes_are_disk_usage_of_kits_files(folder, capsys):
    kinds = {one["kind"]: one for one in run_json(capsys, "list")["kinds"]}
    assert kinds.keys() == OWN.keys() == user_cache.KINDS.keys()
    for kind, one in kinds.items():
        assert (one["entries"], one["others"]) == (1, 1), kind
        done = subprocess.run(
            ["du", "-s", "-B1", str(folder / kind / OWN[kind].split("/")[0])],
            capture_output=True,
            text=True,
        )
        if kind != "runners":  # its entries are one folder deeper
            assert one["size"] == int(done.stdout.split()[0])
    assert run_json(capsys, "size")["size"] == sum(one["size"] for one in kinds.values())
    assert run_json(capsys, "size", "app")["size"] == kinds["app"]["size"]


def test_foreign_files_are_kept(folder, capsys):
    outside = folder.parent / "outside"
    outside.mkdir()
    (outside / "kept").touch()
    (folder / "bundles" / ("f" * 64)).symlink_to(outside)
    (folder / "runners/x86_64").symlink_to(outside)
    answer = run_json(capsys, "clear", "--yes")
    assert (answer["code"], answer["in_use"]) == (0, [])
    assert [one["entries"] for one in answer["removed"]] == [1] * len(OWN)
    assert left(folder) == paths(FOREIGN)
    assert (outside / "kept").exists()


def test_one_kind_is_removed_without_the_others(folder, capsys):
    assert run_json(capsys, "clear", "runners", "--yes")["code"] == 0
    assert left(folder) == paths(OWN) - {f"runners/{OWN['runners']}"} | paths(FOREIGN)


def test_a_running_kit_keeps_what_it_uses(folder, capsys):
    use = "from kit.runners import native; native.list_runners(); print(1, flush=True); input()"
    with subprocess.Popen(
        [sys.executable, "-c", use], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as running:
        assert running.stdout is not None
        running.stdout.readline()
        answer = run_json(capsys, "clear", "--yes")
        assert (answer["code"], answer["in_use"]) == (7, ["runners"])
        assert f"runners/{OWN['runners']}" in left(folder)
        running.communicate(b"\n")
    assert run_json(capsys, "clear", "runners", "--yes")["code"] == 0
    assert left(folder) == paths(FOREIGN)


def test_temporary_files_of_ended_processes_are_removed(folder, capsys):
    dead, living = (folder / "wheels" / f".x.kit-{digit * 16}.part" for digit in "ab")
    dead.mkdir()
    living.mkdir()
    descriptor = os.open(living, os.O_RDONLY)
    fcntl.flock(descriptor, fcntl.LOCK_EX)
    try:
        assert run_json(capsys, "clear", "wheels", "--yes")["code"] == 0
        assert living.exists()
        assert not dead.exists()
    finally:
        os.close(descriptor)


def test_nothing_is_removed_without_an_answer(folder, capsys, monkeypatch):
    monkeypatch.setattr("sys.stdin", None)
    assert cli.run(["cache", "clear"]) == 2
    assert "--yes" in capsys.readouterr().err
    assert left(folder) == paths(OWN) | paths(FOREIGN)


@pytest.mark.parametrize(("answer", "stays"), [("n", True), ("y", False)])
def test_clear_asks_on_a_terminal(folder, answer, stays):
    ours, theirs = pty.openpty()
    with subprocess.Popen(
        [sys.executable, "-m", "kit", "cache", "clear"],
        stdin=theirs,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as asking:
        os.write(ours, f"{answer}\n".encode())
        out, err = asking.communicate(timeout=60)
    os.close(ours)
    os.close(theirs)
    assert asking.returncode == 0
    assert "remove 1 of bundles, 1 of runners" in err
    assert (left(folder) == paths(OWN) | paths(FOREIGN)) is stays
    assert ("nothing was removed" in err) is stays
    assert ("weights: 1 removed" in out) is not stays


def test_an_unknown_kind_is_refused_with_the_known_ones(folder, capsys):
    assert cli.run(["cache", "clear", "runner", "--yes"]) == 2
    assert "did you mean runners?" in capsys.readouterr().err


def test_a_cache_that_does_not_exist_is_empty(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "none"))
    monkeypatch.setenv("KIT_CACHE", str(tmp_path / "none"))
    assert run_json(capsys, "size")["size"] == 0
    assert run_json(capsys, "clear", "--yes")["code"] == 0
    assert not (tmp_path / "none").exists()
