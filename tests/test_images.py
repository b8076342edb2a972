"""Sets of pictures: layouts, labels, and what is not there."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import zipfile

import pytest
from picture_samples import JPEG, SHARED, fill, labels_of, pack

from kit.errors import PictureError
from kit.images import (
    Picture,
    PictureSet,
    hash_picture,
    hash_pictures,
    open_set,
    optional_formats,
    sample_pictures,
)
from kit.images.labels import Classes, list_imagenet_categories, list_imagenet_synsets

# Layouts


@pytest.mark.parametrize("folder", ["1", "0001", "n01443537", "goldfish", "Goldfish", "GOLDFISH"])
def test_a_folder_is_a_class(tmp_path, folder):
    fill(tmp_path, f"{folder}/a.jpg", "n01440764/b.jpeg")
    assert labels_of(open_set(tmp_path)) == {f"{folder}/a.jpg": 1, "n01440764/b.jpeg": 0}


@pytest.mark.parametrize(
    ("text", "index"),
    [
        ("great white shark", 2),
        ("great_white_shark", 2),
        ("Great-White-Shark", 2),
        ("tench, Tinca tinca", 0),
        ("jack-o'-lantern", 607),
        ("jack_o_lantern", 607),
        ("Cardigan", 264),  # a dog, and
        ("cardigan", 474),  # a jacket: only the exact spelling tells
        ("CARDIGAN", None),
        ("n99999999", None),
        ("pictures", None),
        ("", None),
        ("-1", None),
        ("²", None),
    ],
)
def test_a_text_means_a_class(text, index):
    assert Classes().find(text) == index


def test_every_imagenet_name_and_synset_is_recognized():
    classes = Classes()
    assert [classes.find(name) for name in list_imagenet_categories()] == list(range(1000))
    assert [classes.find(name) for name in list_imagenet_synsets()] == list(range(1000))


def test_own_categories_have_no_wordnet_ids_and_win_over_indices():
    assert Classes(["cat", "dog"]).find("n01440764") is None
    assert Classes(["cat", "dog"]).find("Dog") == 1
    assert Classes(["1", "0"]).find("1") == 0
    assert Classes(["crane", "crane"]).find("crane") is None
    assert Classes(["tench, Tinca tinca"]).find("tench") == 0
    assert Classes(()).find("tench") is None


def test_class_lists_are_read_without_importing_their_packages():
    code = (
        "import sys; from kit.images.labels import Classes; import kit.images\n"
        "assert Classes().find('n01440764') == 0\n"
        "print([m for m in ('torch', 'torchvision', 'timm', 'PIL', 'sklearn') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_names_that_begin_with_the_index(tmp_path):
    names = ["0000_n01440764_tench.jpg", "0999_toilet tissue.png", "n01443537_12.JPEG"]
    assert list(labels_of(open_set(fill(tmp_path, *names))).values()) == [0, 999, 1]


def test_phone_pictures_have_no_labels(tmp_path):
    fill(tmp_path, "20260131_120000.jpg", "IMG_0001.jpg", "0338.jpg")
    assert set(labels_of(open_set(tmp_path)).values()) == {None}


def test_order_is_by_name_and_litter_is_ignored(tmp_path):
    fill(tmp_path, "b.jpg", "a.jpg", "sub/c.jpg", ".hidden.jpg", ".git/x.jpg", "notes.txt")
    fill(tmp_path, "__MACOSX/a.jpg", ".DS_Store", "Thumbs.db", "desktop.ini")
    assert [p.name for p in open_set(tmp_path)] == ["a.jpg", "b.jpg", "sub/c.jpg"]


def test_a_set_does_not_know_where_it_lies(tmp_path):
    fill(tmp_path / "my set", "a.jpg")
    assert open_set(tmp_path / "my set").source == "my set"
    assert open_set(pack(tmp_path / "my.zip", "a.jpg")).source == "my.zip"


@pytest.mark.parametrize("top", ["", "set/"])
def test_a_zip_holds_the_same_layouts(tmp_path, top):
    path = pack(tmp_path / "x.zip", f"{top}0001_a.jpg", f"{top}0000_b.jpg", f"{top}__MACOSX/c.jpg")
    result = open_set(path)
    assert labels_of(result) == {f"{top}0000_b.jpg": 0, f"{top}0001_a.jpg": 1}
    assert result.pictures[0].read() == JPEG


def test_class_folders_below_other_folders(tmp_path):
    path = pack(tmp_path / "cifar.zip", "train/bird/0338.jpg", "test/horse/0338.jpg")
    result = open_set(path, categories=["airplane", "bird", "horse"])
    assert labels_of(result) == {"test/horse/0338.jpg": 2, "train/bird/0338.jpg": 1}


def test_a_folder_that_is_no_class_leaves_its_pictures_without_label(tmp_path):
    fill(tmp_path, "tench/a.jpg", "misc/b.jpg")
    assert labels_of(open_set(tmp_path)) == {"misc/b.jpg": None, "tench/a.jpg": 0}


def test_links_are_followed_and_rings_end(tmp_path):
    fill(tmp_path / "elsewhere", "a.jpg")
    root = fill(tmp_path / "set", "tench/b.jpg")
    (root / "goldfish").symlink_to(tmp_path / "elsewhere")
    (root / "tench" / "ring").symlink_to(root)
    result = labels_of(open_set(root))
    assert result["goldfish/a.jpg"] == 1
    assert result["tench/b.jpg"] == 0
    assert len(result) == 2


@pytest.mark.slow
@pytest.mark.skipif(not SHARED.is_dir(), reason="needs ../shared/data")
def test_cifar_10_as_it_comes():
    result = open_set(SHARED / "cifar10-images.zip", categories=["airplane", "automobile", "bird"])
    assert len(result) == 60000
    assert {p.label for p in result if "/bird/" in p.name} == {2}


# CSV


@pytest.mark.parametrize("header", ["", "path,label\n", "file,class\n", "\ufeffpath,label\n"])
def test_a_csv_gives_labels(tmp_path, header):
    root = fill(tmp_path / "set", "a.jpg", "sub/b.jpg", "unlisted.jpg")
    table = tmp_path / "labels.csv"
    table.write_text(header + 'sub/b.jpg,n01443537\n\n./a.jpg,"tench, Tinca tinca"\n', "utf-8")
    assert labels_of(open_set(root, table)) == {"a.jpg": 0, "sub/b.jpg": 1}


def test_a_csv_labels_a_zip_with_one_top_folder(tmp_path):
    table = tmp_path / "labels.csv"
    table.write_text("a.jpg,3\nsub\\b.jpg,4\n")
    result = open_set(pack(tmp_path / "x.zip", "set/a.jpg", "set/sub/b.jpg"), table)
    assert labels_of(result) == {"set/a.jpg": 3, "set/sub/b.jpg": 4}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a.jpg,1\nb.jpg,1\n", "line 2 of .* names 'b.jpg', which the set does not hold"),
        ("missing.jpg,nonsense\n", "line 1 of .* names 'missing.jpg'"),
        ("a.jpg,frobnicator\n", "label 'frobnicator', which is not one class"),
        ("a.jpg,1\na.jpg,1\n", "lists 'a.jpg' again"),
        ("a.jpg\n", "has 1 column, not 2"),
        ("a.jpg,tench, Tinca tinca\n", "has 3 columns, not 2"),
        ("", "no pictures"),
        ("path,label\n", "no pictures"),
    ],
)
def test_a_mismatched_csv_is_refused(tmp_path, text, message):
    root = fill(tmp_path / "set", "a.jpg")
    table = tmp_path / "labels.csv"
    table.write_text(text)
    with pytest.raises(PictureError, match=message):
        open_set(root, table)


def test_an_invalid_csv_is_refused(tmp_path):
    root = fill(tmp_path / "set", "a.jpg")
    with pytest.raises(PictureError, match=r"cannot read .*nowhere\.csv"):
        open_set(root, tmp_path / "nowhere.csv")
    with pytest.raises(PictureError, match="is not a CSV file"):
        open_set(root, root / "a.jpg")


def test_names_with_accents_are_those_of_macos_too(tmp_path):
    """Regression: macOS decomposes accented characters, and such names did not match."""
    composed, apart = "caf\u00e9", "cafe\u0301"
    root = fill(tmp_path / "set", f"{apart}/{apart}.jpg")
    assert labels_of(open_set(root, None, ("tea", composed))) == {f"{apart}/{apart}.jpg": 1}
    table = tmp_path / "labels.csv"
    table.write_text(f"{composed}/{composed}.jpg,{composed}\n", "utf-8")
    assert labels_of(open_set(root, table, ("tea", apart))) == {f"{apart}/{apart}.jpg": 1}


def test_backslashes_in_a_zip_are_folders(tmp_path):
    """Regression: they were part of the name, and no picture had a label."""
    file = tmp_path / "x.zip"
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("set\\", "")
        archive.writestr("set\\tench\\a.jpg", JPEG)
    assert labels_of(open_set(file)) == {"set/tench/a.jpg": 0}


def test_pictures_by_the_suffixes_that_phones_and_browsers_give(tmp_path, monkeypatch):
    names = ("a.JFIF", "b.jpe", "c.avif", "d.heic", "images", "e.jpg_large")
    root = fill(tmp_path / "set", *names)
    result = open_set(root)
    assert [picture.name for picture in result] == ["a.JFIF", "b.jpe", "c.avif"]
    assert result.unread.startswith("3 of 6 files are not read: 1 .heic, 1 .jpg_large")
    monkeypatch.setattr(optional_formats, "list_optional_formats", lambda: ("AVIF", "HEIF"))
    assert "d.heic" in labels_of(open_set(root))


# What is not there, or cannot be read


def test_missing_or_empty_sets_are_refused(tmp_path):
    with pytest.raises(PictureError, match=r"no folder or zip .*nowhere"):
        open_set(tmp_path / "nowhere")
    with pytest.raises(PictureError, match="no pictures in"):
        open_set(fill(tmp_path / "texts", "notes.txt"))
    with pytest.raises(PictureError, match="no pictures in"):
        open_set(pack(tmp_path / "empty.zip"))


def test_unreadable_pictures_are_named(tmp_path):
    (tmp_path / "gone.jpg").symlink_to(tmp_path / "nowhere")
    os.mkfifo(tmp_path / "pipe.jpg")
    gone, pipe = open_set(tmp_path)
    with pytest.raises(PictureError, match=r"cannot read gone\.jpg: No such file"):
        gone.read()
    with pytest.raises(PictureError, match=r"cannot read pipe\.jpg: it is a FIFO, not a file"):
        pipe.read()


def test_a_file_larger_than_any_picture(tmp_path, monkeypatch):
    monkeypatch.setattr("kit.images.sets.MAX_BYTES", len(JPEG) - 1)
    with pytest.raises(PictureError, match=r"a\.jpg is larger than"):
        open_set(fill(tmp_path, "a.jpg")).pictures[0].read()


# Samples and digests


def named(*names: str) -> PictureSet:
    return PictureSet("set", tuple(Picture(n, None, n.encode) for n in sorted(names)))


def test_a_sample_is_the_same_everywhere():
    pictures = named(*(f"{i:03}.jpg" for i in range(100)))
    drawn = [p.name for p in sample_pictures(pictures, 5, seed=0)]
    assert drawn == ["014.jpg", "020.jpg", "041.jpg", "042.jpg", "081.jpg"]
    assert drawn != [p.name for p in sample_pictures(pictures, 5, seed=1)]
    shuffled = PictureSet("set", pictures.pictures[::-1])
    assert [p.name for p in sample_pictures(shuffled, 5, seed=0)] == drawn


def test_a_sample_of_a_small_set_is_all_of_it():
    assert [p.name for p in sample_pictures(named("b", "a"), 10, seed=0)] == ["a", "b"]


def test_digests_depend_on_contents_and_labels():
    one = Picture("a.jpg", 1, lambda: b"x")
    assert hash_picture(one) == hashlib.sha256(b"x").hexdigest()
    other = [Picture("renamed.jpg", 1, lambda: b"x")]
    assert hash_pictures([one]) == hash_pictures(other) == hash_pictures([one], [hash_picture(one)])
    assert hash_pictures([one]) != hash_pictures([Picture("a.jpg", 2, lambda: b"x")])
    assert hash_pictures([one]) != hash_pictures([Picture("a.jpg", 1, lambda: b"y")])
