"""Atomic writes of files, and cleanup after a killed owner."""

from __future__ import annotations

import os
import signal
import stat
import subprocess
import sys
import tempfile
import threading
from pathlib import Path

import pytest

from kit.files import atomic, temporary, untrusted

KILLED = -signal.SIGKILL


def die(code: str, *arguments: object) -> None:
    """Run code in a separate process that kills itself."""
    head = "import os, signal, sys\nfrom pathlib import Path\n"
    head += "from kit.files import atomic, temporary\n"
    head += "die = lambda *_: os.kill(os.getpid(), signal.SIGKILL)\n"
    words = [sys.executable, "-c", head + code, *map(str, arguments)]
    assert subprocess.run(words, cwd=Path(__file__).parents[1]).returncode == KILLED


def names(folder: Path) -> list[str]:
    return sorted(p.name for p in folder.iterdir())


def test_a_file_is_written_whole_and_its_folders_are_made(tmp_path):
    path = tmp_path / "a" / "b.json"
    atomic.write_file(path, "ä\n")
    atomic.write_file(path, b"new")
    assert path.read_bytes() == b"new"
    assert names(path.parent) == ["b.json"]


def test_a_file_stays_as_it_was_when_writing_fails(tmp_path):
    path = tmp_path / "b.json"
    path.write_text("old")
    with pytest.raises(ZeroDivisionError), atomic.replace_file(path) as file:
        file.write(b"half")
        raise ZeroDivisionError
    assert (path.read_text(), names(tmp_path)) == ("old", ["b.json"])


def test_several_files_stay_as_they_were_when_one_cannot_be_written(tmp_path):
    first, second = tmp_path / "a", tmp_path / "file" / "b"
    first.write_text("old")
    (tmp_path / "file").write_text("")
    with pytest.raises(OSError, match="file"):
        atomic.write_files({first: "new", second: "new"})
    assert first.read_text() == "old"
    assert names(tmp_path) == ["a", "file"]


def test_folders_that_were_made_are_removed_after_an_error(tmp_path):
    (tmp_path / "old").mkdir()
    files = {tmp_path / "old/a/b/c.json": "new", tmp_path / "old/a/d.json": "new"}
    blocked = tmp_path / "old/a" / ("e" * 256)
    with pytest.raises(OSError, match="File name too long"):
        atomic.write_files({**files, blocked: "new"})
    with pytest.raises(OSError, match="File name too long"):
        atomic.write_files({blocked: "new", **files})
    with (
        pytest.raises(ZeroDivisionError),
        atomic.replace_folder(blocked.with_name("f"), lambda: None),
    ):
        raise ZeroDivisionError
    assert [names(tmp_path), names(tmp_path / "old")] == [["old"], []]
    with pytest.raises(ZeroDivisionError), atomic.replace_file(tmp_path / "new/a.json"):
        (tmp_path / "new/mine").touch()
        raise ZeroDivisionError
    assert names(tmp_path / "new") == ["mine"]


@pytest.mark.parametrize("make", [os.mkdir, os.mkfifo], ids=["folder", "fifo"])
def test_what_is_no_file_is_not_replaced(tmp_path, make):
    path = tmp_path / "b.json"
    make(path)
    with pytest.raises(OSError, match="not a file"):
        atomic.write_file(path, "x")
    assert names(tmp_path) == ["b.json"]


@pytest.mark.parametrize("umask", [0o022, 0o077, 0o002])
def test_permissions_follow_the_umask(tmp_path, umask):
    before = os.umask(umask)
    try:
        atomic.write_file(tmp_path / "file", "x")
        with atomic.replace_folder(tmp_path / "folder", lambda: None):
            pass
        with temporary.make_folder() as private:
            assert stat.S_IMODE(private.stat().st_mode) == 0o700 & ~umask
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "file").stat().st_mode) == 0o666 & ~umask
    assert stat.S_IMODE((tmp_path / "folder").stat().st_mode) == 0o777 & ~umask


def test_temporary_names_cannot_be_foreseen(tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    with temporary.make_folder() as first, temporary.make_folder() as second:
        assert first != second
        assert first.parent == second.parent == tmp_path
    assert names(tmp_path) == []


def test_a_link_that_was_planted_is_never_followed(tmp_path, monkeypatch):
    """An attacker who guesses the name gets an error, not another file overwritten."""
    victim = tmp_path / "victim"
    victim.write_text("mine")
    monkeypatch.setattr(temporary.secrets, "token_hex", lambda size: "0" * 16)
    (tmp_path / f".b.json.kit-{'0' * 16}.part").symlink_to(victim)
    with pytest.raises(FileExistsError):
        atomic.write_file(tmp_path / "b.json", "theirs")
    assert victim.read_text() == "mine"


def test_a_link_in_place_of_the_target_is_replaced(tmp_path):
    victim, path = tmp_path / "victim", tmp_path / "b.json"
    victim.write_text("mine")
    path.symlink_to(victim)
    atomic.write_file(path, "new")
    assert (victim.read_text(), path.read_text(), path.is_symlink()) == ("mine", "new", False)


@pytest.mark.parametrize(
    "block",
    [
        "atomic.replace_file(Path(sys.argv[1], 'a'))",
        "temporary.make_folder_beside(Path(sys.argv[1], 'a'))",
        "temporary.make_folder()",
    ],
)
def test_files_of_a_killed_owner_are_removed(tmp_path, block):
    die(f"import tempfile; tempfile.tempdir = sys.argv[1]\nwith {block}: die()", tmp_path)
    assert len(names(tmp_path)) == 1
    atomic.write_file(tmp_path / "b", "x")
    assert names(tmp_path) == ["b"]


def test_files_of_a_living_owner_are_kept(tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    with (
        temporary.make_folder() as folder,
        temporary.make_folder_beside(tmp_path / "a") as beside,
        atomic.replace_file(tmp_path / "b") as file,
    ):
        code = "from kit.files import temporary as t\nimport sys, pathlib as p"
        code += "\nt.sweep_folder(p.Path(sys.argv[1]))"
        subprocess.run([sys.executable, "-c", code, tmp_path], check=True)
        assert folder.is_dir()
        assert beside.is_dir()
        file.write(b"x")
    assert (tmp_path / "b").read_bytes() == b"x"


@pytest.mark.parametrize(
    "name", ["kit-0123456789abcdefg", ".a.kit-0123.part", "kit-trial", ".a.part", "a.kit"]
)
def test_files_with_other_names_are_kept(tmp_path, name):
    (tmp_path / name).mkdir()
    temporary.sweep_folder(tmp_path)
    assert names(tmp_path) == [name]


def test_clearing_a_folder_removes_a_link_in_it_and_leaves_its_target(tmp_path):
    (tmp_path / "target").mkdir()
    (tmp_path / "target" / "own.txt").write_text("kept")
    full = tmp_path / "full"
    (full / "inner").mkdir(parents=True)
    (full / "inner" / "file").write_text("")
    (full / "link").symlink_to(tmp_path / "target")
    temporary.clear_folder(full)
    assert (names(full), names(tmp_path / "target")) == ([], ["own.txt"])


def test_a_planted_link_is_not_swept_through(tmp_path):
    kept = tmp_path / "kept"
    kept.mkdir()
    (tmp_path / f"kit-{'0' * 16}").symlink_to(kept)
    (tmp_path / f".a.kit-{'0' * 16}.part").symlink_to(kept)
    os.mkfifo(tmp_path / f".b.kit-{'0' * 16}.part")  # opening it must not block
    temporary.sweep_folder(tmp_path)
    assert kept.is_dir()


SWAP = """
path = Path(sys.argv[1])
rename, count = Path.rename, int(sys.argv[2])
def killing(self, target):
    global count
    count -= 1
    if count < 0:
        die()
    return rename(self, target)
Path.rename = killing
with atomic.replace_folder(path, lambda: None) as work:
    (work / "new").touch()
    if count < 0:
        die()
die()
"""


@pytest.mark.parametrize(("renames", "result"), [(-1, "old"), (0, "old"), (1, "old"), (2, "new")])
@pytest.mark.parametrize(
    "again", [temporary.restore_folder, lambda path: temporary.sweep_folder(path.parent)]
)
def test_a_folder_survives_a_kill_in_the_swap(tmp_path, renames, result, again):
    path = tmp_path / "bundle"
    path.mkdir()
    (path / "old").touch()
    die(SWAP, path, renames)
    again(path)
    assert names(path) == [result]
    temporary.sweep_folder(tmp_path)
    assert names(tmp_path) == ["bundle"]


def test_a_swap_that_fails_puts_the_old_folder_back(tmp_path, monkeypatch):
    path = tmp_path / "bundle"
    path.mkdir()
    (path / "old").touch()
    rename = Path.rename

    def failing(self: Path, target: Path) -> Path:
        if self.name.endswith(".part"):
            raise OSError(28, "No space left on device")
        return rename(self, target)

    monkeypatch.setattr(Path, "rename", failing)
    with pytest.raises(OSError, match="No space"), atomic.replace_folder(path, lambda: None):
        pass
    assert names(path) == ["old"]
    assert names(tmp_path) == ["bundle"]


def test_a_check_that_refuses_leaves_everything(tmp_path):
    path = tmp_path / "bundle"
    path.mkdir()

    def refuse() -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError), atomic.replace_folder(path, refuse):
        pass
    assert names(tmp_path) == ["bundle"]


def test_writers_at_once_leave_one_whole_folder(tmp_path):
    path, errors = tmp_path / "bundle", []

    def write(number: int) -> None:
        try:
            for _ in range(20):
                with atomic.replace_folder(path, lambda: None) as work:
                    (work / "a").write_text(str(number))
                    (work / "b").write_text(str(number))
        except OSError as exc:
            errors.append(exc)

    threads = [threading.Thread(target=write, args=(n,)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    assert (path / "a").read_text() == (path / "b").read_text()
    assert names(tmp_path) == ["bundle"]


def test_nothing_is_restored_if_there_was_no_folder(tmp_path):
    assert not temporary.restore_folder(tmp_path / "bundle")
    assert not temporary.restore_folder(tmp_path / "no" / "bundle")


@pytest.mark.parametrize("path", ["/dev/zero", "/dev", "fifo"])
def test_reading_never_blocks_on_special_files(tmp_path, path):
    os.mkfifo(tmp_path / "fifo")
    with pytest.raises(OSError, match="not a file"):
        untrusted.read_file(tmp_path / path, 100)


def test_reading_stops_at_the_limit(tmp_path):
    (tmp_path / "a").write_bytes(bytes(10))
    assert untrusted.read_file(tmp_path / "a", 10) == bytes(10)
    with pytest.raises(OSError, match="larger than 9 bytes"):
        untrusted.read_file(tmp_path / "a", 9)


def test_size_and_digest(tmp_path):
    (tmp_path / "a").write_bytes(b"abc")
    assert untrusted.measure_file(tmp_path / "a") == (
        3,
        "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad",
    )


OTHER_WAYS = (
    "tempfile",
    "mkstemp",
    "mkdtemp",
    "TemporaryFile",
    "TemporaryDirectory",
    "getpid()}.part",
)


@pytest.mark.parametrize(
    "path", sorted((Path(__file__).parents[1] / "kit").rglob("*.py")), ids=lambda path: path.stem
)
def test_temporary_names_are_made_in_one_place(path):
    text = path.read_text(encoding="utf-8")
    assert path.match("kit/files/temporary.py") or not [way for way in OTHER_WAYS if way in text]
