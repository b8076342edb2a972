"""Damaged and malicious zip files."""

from __future__ import annotations

import stat
import struct
import zipfile
from pathlib import Path

import pytest
from picture_samples import JPEG, pack

from kit.errors import PictureError
from kit.images import archive, open_set


@pytest.mark.parametrize("data", [b"", b"PK", b"not a zip", JPEG])
def test_a_file_that_is_not_a_zip_is_refused(tmp_path, data):
    path = tmp_path / "x.zip"
    path.write_bytes(data)
    with pytest.raises(PictureError, match=r"x\.zip is not a zip file"):
        open_set(path)


@pytest.mark.parametrize(
    "name",
    ["../x.jpg", "a/../../x.jpg", "/etc/x.jpg", "..\\x.jpg", "C:\\x.jpg", "C:x.jpg", "\\\\h\\s\\x"],
)
def test_names_outside_the_archive_are_refused(tmp_path, name):
    path = pack(tmp_path / "x.zip", "good.jpg", name)
    with pytest.raises(PictureError, match=r"x\.zip names a file outside itself"):
        open_set(path)
    assert list(tmp_path.iterdir()) == [path]


def test_a_symlink_in_a_zip_is_refused(tmp_path):
    info = zipfile.ZipInfo("link.jpg")
    info.external_attr = (stat.S_IFLNK | 0o777) << 16
    path = tmp_path / "x.zip"
    with zipfile.ZipFile(path, "w") as file:
        file.writestr(info, "/etc/passwd")
    with pytest.raises(PictureError, match="holds a symbolic link"):
        open_set(path)


def patch_directory(path: Path, offset: int, code: str, value: int) -> None:
    """Change a field of the first entry of a zip's central directory."""
    data = bytearray(path.read_bytes())
    struct.pack_into(code, data, data.index(b"PK\x01\x02") + offset, value)
    path.write_bytes(data)


def test_an_encrypted_picture_is_refused(tmp_path):
    path = pack(tmp_path / "x.zip", "a.jpg")
    patch_directory(path, 8, "<H", 1)
    with pytest.raises(PictureError, match=r"a\.jpg in x\.zip is encrypted"):
        open_set(path)


def test_an_unsupported_compression_is_refused(tmp_path):
    path = tmp_path / "x.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_BZIP2) as file:
        file.writestr("a.jpg", JPEG)
    with pytest.raises(PictureError, match="compressed by method 12"):
        open_set(path)


def test_an_entry_with_a_large_declared_size_is_refused(tmp_path):
    path = pack(tmp_path / "x.zip", "a.jpg", data=bytes(archive.MAX_BYTES + 1))
    with pytest.raises(PictureError, match=r"a\.jpg in x\.zip is larger than 64 MB"):
        open_set(path)


def test_an_entry_that_declares_four_gigabytes_is_refused(tmp_path):
    path = pack(tmp_path / "x.zip", "a.jpg", data=bytes(1000))
    patch_directory(path, 24, "<I", 2**32 - 2)  # the largest size of an entry without zip64
    with pytest.raises(PictureError, match="is larger than 64 MB"):
        open_set(path)


def test_a_small_bomb_is_detected_by_its_compression_ratio(tmp_path):
    path = pack(tmp_path / "x.zip", "a.jpg", data=bytes(8 * 2**20))
    with pytest.raises(PictureError, match="expands to more than 200 times"):
        open_set(path)


def test_a_bomb_that_declares_a_small_size_is_damaged(tmp_path):
    path = pack(tmp_path / "x.zip", "a.jpg", data=bytes(8 * 2**20))
    patch_directory(path, 24, "<I", 1000)
    picture = open_set(path).pictures[0]
    with pytest.raises(PictureError, match=r"a\.jpg in x\.zip is damaged"):
        picture.read()


def test_the_limit_applies_to_expanded_bytes(tmp_path, monkeypatch):
    picture = open_set(pack(tmp_path / "x.zip", "a.jpg")).pictures[0]
    monkeypatch.setattr(archive, "check_content", lambda *_: None)  # bypass header checks
    monkeypatch.setattr(archive, "MAX_BYTES", len(JPEG) - 1)
    with pytest.raises(PictureError, match="is larger than"):
        picture.read()


def test_a_bomb_that_is_not_a_picture_is_ignored(tmp_path):
    path = tmp_path / "x.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr("a.jpg", JPEG)
        file.writestr("bomb.bin", bytes(archive.MAX_BYTES + 1))
    assert [p.name for p in open_set(path)] == ["a.jpg"]


def test_duplicate_names_are_refused(tmp_path):
    with pytest.warns(UserWarning, match="Duplicate"):
        path = pack(tmp_path / "x.zip", "a.jpg", "a.jpg")
    with pytest.raises(PictureError, match=r"two files named a\.jpg"):
        open_set(path)


def test_a_flipped_byte_in_a_zip_is_detected(tmp_path):
    path = pack(tmp_path / "x.zip", "a.jpg")
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 0xFF
    path.write_bytes(data)
    with pytest.raises(PictureError, match="is damaged"):
        open_set(path).pictures[0].read()


@pytest.mark.parametrize("flag", [0, 0x800])
def test_a_local_header_that_contradicts_the_directory_is_damaged(tmp_path, flag):
    """Regression: a name that is not UTF-8 was reported as a bug in kit."""
    path = pack(tmp_path / "x.zip", "abc.jpg")
    data = bytearray(path.read_bytes())
    data[30] = 0xFF  # first byte of the name in the local header
    path.write_bytes(data)
    patch_directory(path, 8, "<H", flag)
    with pytest.raises(PictureError, match=r"abc\.jpg in x\.zip is damaged"):
        next(iter(open_set(path))).read()


def test_a_header_offset_beyond_the_end_is_damaged(tmp_path):
    path = pack(tmp_path / "x.zip", "abc.jpg")
    patch_directory(path, 42, "<I", path.stat().st_size - 10)
    with pytest.raises(PictureError, match=r"abc\.jpg in x\.zip is damaged"):
        next(iter(open_set(path))).read()
