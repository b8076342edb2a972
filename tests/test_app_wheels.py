"""What a pinned wheel may hold: real zip files, in the cache folder as fetched ones are."""

from __future__ import annotations

import hashlib
import shutil
import stat
import zipfile
from pathlib import Path

import pytest

from kit.errors import MissingTool, OutputError
from kit.runners import library_wheels
from kit.runners.library_wheels import Pin, WheelSource
from kit.wheels import reading

GOOD = "thing/lib/libthing.so"


def silent(_: str) -> None:
    """Hear nothing of the stages."""


def member(name: str, mode: int = stat.S_IFREG | 0o644) -> zipfile.ZipInfo:
    info = zipfile.ZipInfo("x")
    info.filename = name  # as it is: the constructor would cut it at a NUL
    info.external_attr = mode << 16
    return info


def wheel(folder: Path, *members: zipfile.ZipInfo) -> WheelSource:
    """Write a wheel where a download would have put it, and return its source."""
    file = folder / "cache" / Pin("thing", "1.0", "any", "").file
    file.parent.mkdir(exist_ok=True)
    with zipfile.ZipFile(file, "w") as archive:
        for info in (member(GOOD), *members):
            archive.writestr(info, b"../../planted")
    sha256 = hashlib.sha256(file.read_bytes()).hexdigest()
    return WheelSource(Pin("thing", "1.0", "any", sha256), "1.0", None)


def everything(folder: Path) -> list[str]:
    return sorted(str(p.relative_to(folder)) for p in folder.rglob("*") if not p.is_dir())


def test_libraries_and_headers_are_kept_and_the_wheel_is_not(tmp_path):
    others = ("thing/api.h", "thing/libc.so.6", "thing/code.py", "thing-1.0.dist-info/RECORD")
    source = wheel(tmp_path, *map(member, others))
    root = library_wheels.fetch(source, tmp_path / "cache", silent)
    assert everything(root) == ["api.h", "lib/libthing.so", "libc.so.6"]
    assert not (tmp_path / "cache" / source.pin.file).exists()
    assert library_wheels.fetch(source, tmp_path / "cache", silent) == root


@pytest.mark.parametrize(
    "name",
    [
        "../planted.so",
        "thing/../../planted.so",
        "/tmp/planted.so",
        "//host/share/planted.so",
        "..\\planted.so",
        "thing\\..\\..\\planted.h",
        "C:/planted.so",
        "thing/a.so\0.h",
        "../planted\0.so",
        "thing/a\n.so",
        "thing/\x1b[2J.so",
    ],
)
def test_a_name_that_leads_elsewhere_is_refused(tmp_path, name):
    source = wheel(tmp_path, member(name))
    cache = tmp_path / "cache"
    with pytest.raises(MissingTool, match="unsafe name") as caught:
        library_wheels.fetch(source, cache, silent)
    assert repr(name) in caught.value.message
    assert everything(tmp_path) == [f"cache/{source.pin.file}"]


def test_a_link_is_refused(tmp_path):
    source = wheel(tmp_path, member("thing/liblink.so", stat.S_IFLNK | 0o777))
    with pytest.raises(MissingTool, match=r"unsafe name 'thing/liblink\.so'"):
        library_wheels.fetch(source, tmp_path / "cache", silent)


def test_a_name_that_comes_twice_is_refused(tmp_path):
    with pytest.warns(UserWarning, match="Duplicate name"):
        source = wheel(tmp_path, member(GOOD))
    with pytest.raises(MissingTool, match="unsafe name"):
        library_wheels.fetch(source, tmp_path / "cache", silent)


def test_a_wheel_of_another_hash_is_removed(tmp_path):
    source = wheel(tmp_path)
    file = tmp_path / "cache" / source.pin.file
    file.write_bytes(file.read_bytes() + b"\0")
    with pytest.raises(MissingTool, match="has the SHA-256"):
        library_wheels.fetch(source, tmp_path / "cache", silent)
    assert everything(tmp_path) == []


def test_who_comes_second_takes_what_the_first_one_unpacked(tmp_path, monkeypatch):
    """Two kits at once: the first removes the wheel while the second is about to open it."""
    source = wheel(tmp_path)
    cache = tmp_path / "cache"
    check = reading.check_digest

    def late(file, pin):
        check(file, pin)
        monkeypatch.setattr(reading, "check_digest", check)
        library_wheels.fetch(source, cache, silent)  # the other kit

    monkeypatch.setattr(reading, "check_digest", late)
    assert everything(library_wheels.fetch(source, cache, silent)) == ["lib/libthing.so"]


def test_a_wheel_that_cannot_be_unpacked_is_printed(tmp_path, monkeypatch):
    source = wheel(tmp_path)

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(shutil, "copyfileobj", full)
    with pytest.raises(OutputError, match="No space left"):
        library_wheels.fetch(source, tmp_path / "cache", silent)
