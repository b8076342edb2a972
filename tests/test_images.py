"""Pictures: layouts, unsafe and broken input, and preprocessing against torchvision."""

from __future__ import annotations

import hashlib
import io
import os
import stat
import struct
import subprocess
import sys
import zipfile
import zlib
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from kit.bundle import Preprocessing
from kit.errors import PictureError
from kit.images import (
    Picture,
    PictureSet,
    archive,
    batch,
    decode,
    digest,
    open_set,
    photos,
    sample,
    set_digest,
    to_array,
)
from kit.images.labels import Classes, imagenet_categories, imagenet_synsets

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
SHARED = Path(__file__).parents[2] / "shared" / "data"


def pre(resize: int = 36, crop: int = 32) -> Preprocessing:
    return Preprocessing(resize=resize, crop=crop, mean=MEAN, std=STD)


def noise(width: int, height: int, mode: str = "RGB") -> Image.Image:
    rng = np.random.default_rng(width * 1000 + height)
    return Image.fromarray(rng.integers(0, 256, (height, width, 3), np.uint8)).convert(mode)


def encode(image: Image.Image, kind: str = "PNG", **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


JPEG = encode(noise(40, 30), "JPEG")
PNG = encode(noise(40, 30))


def fill(root: Path, *names: str, data: bytes = JPEG) -> Path:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(data)
    return root


def pack(path: Path, *names: str, data: bytes = JPEG) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
        for name in names:
            file.writestr(name, data)
    return path


def labels_of(pictures: PictureSet) -> dict[str, int | None]:
    return {p.name: p.label for p in pictures}


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


def test_every_imagenet_name_and_synset_is_found():
    classes = Classes()
    assert [classes.find(name) for name in imagenet_categories()] == list(range(1000))
    assert [classes.find(name) for name in imagenet_synsets()] == list(range(1000))


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
    found = open_set(path)
    assert labels_of(found) == {f"{top}0000_b.jpg": 0, f"{top}0001_a.jpg": 1}
    assert found.pictures[0].read() == JPEG


def test_class_folders_below_other_folders(tmp_path):
    path = pack(tmp_path / "cifar.zip", "train/bird/0338.jpg", "test/horse/0338.jpg")
    found = open_set(path, categories=["airplane", "bird", "horse"])
    assert labels_of(found) == {"test/horse/0338.jpg": 2, "train/bird/0338.jpg": 1}


def test_a_folder_that_is_no_class_leaves_its_pictures_without_label(tmp_path):
    fill(tmp_path, "tench/a.jpg", "misc/b.jpg")
    assert labels_of(open_set(tmp_path)) == {"misc/b.jpg": None, "tench/a.jpg": 0}


def test_links_are_followed_and_rings_end(tmp_path):
    fill(tmp_path / "elsewhere", "a.jpg")
    root = fill(tmp_path / "set", "tench/b.jpg")
    (root / "goldfish").symlink_to(tmp_path / "elsewhere")
    (root / "tench" / "ring").symlink_to(root)
    found = labels_of(open_set(root))
    assert found["goldfish/a.jpg"] == 1
    assert found["tench/b.jpg"] == 0
    assert len(found) == 2


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
    found = open_set(pack(tmp_path / "x.zip", "set/a.jpg", "set/sub/b.jpg"), table)
    assert labels_of(found) == {"set/a.jpg": 3, "set/sub/b.jpg": 4}


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("a.jpg,1\nb.jpg,1\n", "line 2 of .* names 'b.jpg', which the set does not hold"),
        ("missing.jpg,nonsense\n", "line 1 of .* names 'missing.jpg'"),
        ("a.jpg,frobnicator\n", "label 'frobnicator', which is not one class"),
        ("a.jpg,1\na.jpg,1\n", "lists 'a.jpg' again"),
        ("a.jpg\n", "has 1 columns, not 2"),
        ("a.jpg,tench, Tinca tinca\n", "has 3 columns, not 2"),
        ("", "no pictures"),
        ("path,label\n", "no pictures"),
    ],
)
def test_a_csv_that_does_not_fit(tmp_path, text, says):
    root = fill(tmp_path / "set", "a.jpg")
    table = tmp_path / "labels.csv"
    table.write_text(text)
    with pytest.raises(PictureError, match=says):
        open_set(root, table)


def test_a_csv_that_is_none(tmp_path):
    root = fill(tmp_path / "set", "a.jpg")
    with pytest.raises(PictureError, match=r"cannot read .*nowhere\.csv"):
        open_set(root, tmp_path / "nowhere.csv")
    with pytest.raises(PictureError, match="is not a CSV file"):
        open_set(root, root / "a.jpg")


# What is not there, or cannot be read


def test_nothing_there(tmp_path):
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
    with pytest.raises(PictureError, match=r"pipe\.jpg is not a file"):
        pipe.read()


def test_a_file_larger_than_any_picture(tmp_path, monkeypatch):
    monkeypatch.setattr("kit.images.sets.MAX_BYTES", len(JPEG) - 1)
    with pytest.raises(PictureError, match=r"a\.jpg is larger than"):
        open_set(fill(tmp_path, "a.jpg")).pictures[0].read()


@pytest.mark.parametrize("data", [b"", b"PK", b"not a zip", JPEG])
def test_not_a_zip(tmp_path, data):
    path = tmp_path / "x.zip"
    path.write_bytes(data)
    with pytest.raises(PictureError, match=r"x\.zip is not a zip file"):
        open_set(path)


# Unsafe zips


@pytest.mark.parametrize(
    "name",
    ["../x.jpg", "a/../../x.jpg", "/etc/x.jpg", "..\\x.jpg", "C:\\x.jpg", "C:x.jpg", "\\\\h\\s\\x"],
)
def test_names_that_point_outside(tmp_path, name):
    path = pack(tmp_path / "x.zip", "good.jpg", name)
    with pytest.raises(PictureError, match=r"x\.zip names a file outside itself"):
        open_set(path)
    assert list(tmp_path.iterdir()) == [path]


def test_a_link_in_a_zip(tmp_path):
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


def test_an_encrypted_picture(tmp_path):
    path = pack(tmp_path / "x.zip", "a.jpg")
    patch_directory(path, 8, "<H", 1)
    with pytest.raises(PictureError, match=r"a\.jpg in x\.zip is encrypted"):
        open_set(path)


def test_an_unusual_compression(tmp_path):
    path = tmp_path / "x.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_BZIP2) as file:
        file.writestr("a.jpg", JPEG)
    with pytest.raises(PictureError, match="compressed by method 12"):
        open_set(path)


def test_a_bomb_that_says_so(tmp_path):
    path = pack(tmp_path / "x.zip", "a.jpg", data=bytes(archive.MAX_BYTES + 1))
    with pytest.raises(PictureError, match=r"a\.jpg in x\.zip is larger than 64 MB"):
        open_set(path)


def test_a_bomb_of_ten_gigabytes(tmp_path):
    path = pack(tmp_path / "x.zip", "a.jpg", data=bytes(1000))
    patch_directory(path, 24, "<I", 2**32 - 2)  # the largest that a plain zip can claim
    with pytest.raises(PictureError, match="is larger than 64 MB"):
        open_set(path)


def test_a_small_bomb_is_known_by_its_ratio(tmp_path):
    path = pack(tmp_path / "x.zip", "a.jpg", data=bytes(8 * 2**20))
    with pytest.raises(PictureError, match="expands to more than 200 times"):
        open_set(path)


def test_a_bomb_that_lies_about_its_size(tmp_path):
    path = pack(tmp_path / "x.zip", "a.jpg", data=bytes(8 * 2**20))
    patch_directory(path, 24, "<I", 1000)
    picture = open_set(path).pictures[0]
    with pytest.raises(PictureError, match=r"a\.jpg in x\.zip is damaged"):
        picture.read()


def test_expanded_bytes_are_counted(tmp_path, monkeypatch):
    picture = open_set(pack(tmp_path / "x.zip", "a.jpg")).pictures[0]
    monkeypatch.setattr(archive, "_check_content", lambda *_: None)  # as if headers had passed
    monkeypatch.setattr(archive, "MAX_BYTES", len(JPEG) - 1)
    with pytest.raises(PictureError, match="is larger than"):
        picture.read()


def test_a_bomb_that_is_not_a_picture_is_never_read(tmp_path):
    path = tmp_path / "x.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr("a.jpg", JPEG)
        file.writestr("bomb.bin", bytes(archive.MAX_BYTES + 1))
    assert [p.name for p in open_set(path)] == ["a.jpg"]


def test_two_files_of_one_name(tmp_path):
    with pytest.warns(UserWarning, match="Duplicate"):
        path = pack(tmp_path / "x.zip", "a.jpg", "a.jpg")
    with pytest.raises(PictureError, match=r"two files named a\.jpg"):
        open_set(path)


def test_a_flipped_byte_in_a_zip(tmp_path):
    path = pack(tmp_path / "x.zip", "a.jpg")
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 0xFF
    path.write_bytes(data)
    with pytest.raises(PictureError, match="is damaged"):
        open_set(path).pictures[0].read()


# Decoding


def colors(image: Image.Image) -> list[list[int]]:
    return np.unique(np.asarray(image).reshape(-1, 3), axis=0).tolist()


def test_grey_alpha_palette_and_cmyk_become_rgb():
    for mode in ("1", "L", "P", "CMYK", "RGB"):
        kind = "TIFF" if mode == "CMYK" else "PNG"
        image = noise(20, 10, mode)
        found = decode(encode(image, kind), mode)
        assert found.mode == "RGB"
        assert np.array_equal(np.asarray(found), np.asarray(image.convert("RGB")))


@pytest.mark.parametrize("mode", ["RGBA", "LA"])
def test_transparency_is_white(mode):
    clear = Image.new("RGBA", (4, 4), (10, 20, 30, 0)).convert(mode)
    assert colors(decode(encode(clear), "x")) == [[255, 255, 255]]
    half = Image.new("RGBA", (4, 4), (0, 0, 0, 128)).convert(mode)
    assert colors(decode(encode(half), "x")) == [[127, 127, 127]]


def test_a_transparent_palette_entry_is_white():
    image = Image.new("P", (4, 4), 0)
    image.putpalette([9, 9, 9, 200, 0, 0])
    data = encode(image, "GIF", transparency=0)
    assert colors(decode(data, "x")) == [[255, 255, 255]]


def test_sixteen_bits_keep_the_upper_eight():
    grey = np.array([[0, 255, 256, 0x7FFF, 0xFFFF]], np.uint16)
    found = decode(encode(Image.fromarray(grey)), "x")
    assert np.asarray(found)[0, :, 0].tolist() == [0, 0, 1, 127, 255]


def test_floating_point_pixels_are_refused():
    data = encode(Image.fromarray(np.zeros((4, 4), np.float32)), "TIFF")
    with pytest.raises(PictureError, match="floating-point"):
        decode(data, "x.tif")


def test_an_animation_is_its_first_frame():
    frames = [Image.new("RGB", (4, 4), color) for color in ("red", "blue")]
    data = encode(frames[0], "GIF", save_all=True, append_images=frames[1:])
    assert decode(data, "x").getpixel((0, 0)) == (255, 0, 0)


def test_a_picture_is_turned_upright():
    exif = Image.Exif()
    exif[0x0112] = 6  # rotated by 90 degrees
    image = Image.new("RGB", (40, 20), "red")
    image.paste("blue", (0, 0, 20, 20))
    found = decode(encode(image, "JPEG", exif=exif, quality=100), "x")
    assert found.size == (20, 40)
    assert found.getpixel((10, 5))[2] > 200  # what was left is on top


@pytest.mark.parametrize("data", [b"", b"hello", b"%!PS-Adobe-3.0 EPSF-3.0\n", PNG[:4]])
def test_not_a_picture(data):
    with pytest.raises(PictureError, match=r"notes\.jpg is not a picture"):
        decode(data, "notes.jpg")


@pytest.mark.parametrize("data", [JPEG, PNG, encode(noise(40, 30), "WEBP")])
@pytest.mark.parametrize("share", [0.5, 0.9])
def test_a_truncated_picture(data, share):
    with pytest.raises(PictureError, match=r"a\.jpg is (damaged|not a picture)"):
        decode(data[: int(len(data) * share)], "a.jpg")


@pytest.mark.parametrize("side", [13400, 30000])  # over our limit; over Pillow's
def test_a_picture_of_too_many_pixels(side):
    header = bytearray(encode(Image.new("1", (8, 8))))
    struct.pack_into(">II", header, 16, side, side)
    crc = zlib.crc32(bytes(header[12:29]))
    struct.pack_into(">I", header, 29, crc)
    with pytest.raises(PictureError, match="more than 178 million pixels"):
        decode(bytes(header), "big.png")


def test_a_picture_that_would_fill_the_memory_when_resized():
    with pytest.raises(PictureError, match=r"line\.png has more than"):
        to_array(Image.new("RGB", (1, 1_000_000)), pre(256, 224), "line.png")


def test_a_failure_names_the_picture(tmp_path):
    found = open_set(fill(tmp_path, "tench/broken.jpg", data=JPEG[:200]))
    with pytest.raises(PictureError, match=r"tench/broken\.jpg"):
        batch(found, pre())


@settings(max_examples=300, deadline=None)
@given(
    st.sampled_from([JPEG, PNG, encode(noise(9, 9), "GIF"), encode(noise(9, 9), "TIFF")]),
    st.lists(st.tuples(st.floats(0, 1), st.integers(0, 255)), min_size=1, max_size=12),
)
def test_broken_pictures_never_raise_anything_else(data, changes):
    broken = bytearray(data)
    for where, value in changes:
        broken[int(where * (len(broken) - 1))] = value
    try:
        image = decode(bytes(broken), "x")
    except PictureError:
        return
    assert image.mode == "RGB"


# Preprocessing


def by_torchvision(image: Image.Image, how: Preprocessing) -> np.ndarray:
    from torchvision import transforms as T

    steps = [
        T.Resize(how.resize, T.InterpolationMode.BILINEAR, antialias=True),
        T.CenterCrop(how.crop),
        T.ToTensor(),
        T.Normalize(how.mean, how.std),
    ]
    return T.Compose(steps)(image).numpy()


@pytest.mark.parametrize(
    "size",
    [
        (640, 427),
        (427, 640),
        (256, 256),
        (300, 299),
        (257, 512),
        (3, 5),
        (1, 1),
        (33, 32),
        (31, 97),
    ],
)
@pytest.mark.parametrize(("resize", "crop"), [(256, 224), (36, 32), (110, 96), (37, 32)])
def test_preprocessing_is_torchvisions(size, resize, crop):
    image, how = noise(*size), pre(resize, crop)
    found = to_array(image, how)
    assert found.dtype == np.float32
    assert found.shape == (3, crop, crop)
    assert np.abs(found - by_torchvision(image, how)).max() <= 1e-6


@pytest.mark.skipif(not SHARED.is_dir(), reason="needs ../shared/data")
def test_preprocessing_of_photos_is_torchvisions():
    found = open_set(SHARED / "imagenet-500.zip")
    assert len(found) == 500
    assert [p.label for p in found] == list(range(0, 1000, 2))
    for picture in sample(found, 10, seed=0):
        image = decode(picture.read(), picture.name)
        expected = by_torchvision(image, pre(256, 224))
        assert np.abs(to_array(image, pre(256, 224)) - expected).max() <= 1e-6


@pytest.mark.skipif(not SHARED.is_dir(), reason="needs ../shared/data")
def test_cifar_10_as_it_comes():
    found = open_set(SHARED / "cifar10-images.zip", categories=["airplane", "automobile", "bird"])
    assert len(found) == 60000
    assert {p.label for p in found if "/bird/" in p.name} == {2}


def test_a_batch_is_in_order_and_reports_progress(tmp_path):
    fill(tmp_path, "b.jpg")
    fill(tmp_path, "a.png", data=PNG)
    steps: list[tuple[int, int]] = []
    found = batch(open_set(tmp_path), pre(), lambda *step: steps.append(step))
    assert found.shape == (2, 3, 32, 32)
    assert np.array_equal(found[0], to_array(decode(PNG, "a"), pre()))
    assert steps == [(1, 2), (2, 2)]


# Samples and digests


def named(*names: str) -> PictureSet:
    return PictureSet("set", tuple(Picture(n, None, n.encode) for n in sorted(names)))


def test_a_sample_is_the_same_everywhere():
    pictures = named(*(f"{i:03}.jpg" for i in range(100)))
    drawn = [p.name for p in sample(pictures, 5, seed=0)]
    assert drawn == ["014.jpg", "020.jpg", "041.jpg", "042.jpg", "081.jpg"]
    assert drawn != [p.name for p in sample(pictures, 5, seed=1)]
    shuffled = PictureSet("set", pictures.pictures[::-1])
    assert [p.name for p in sample(shuffled, 5, seed=0)] == drawn


def test_a_sample_of_a_small_set_is_all_of_it():
    assert [p.name for p in sample(named("b", "a"), 10, seed=0)] == ["a", "b"]


def test_digests_tell_contents_and_labels_apart():
    one = Picture("a.jpg", 1, lambda: b"x")
    assert digest(one) == hashlib.sha256(b"x").hexdigest()
    other = [Picture("renamed.jpg", 1, lambda: b"x")]
    assert set_digest([one]) == set_digest(other) == set_digest([one], [digest(one)])
    assert set_digest([one]) != set_digest([Picture("a.jpg", 2, lambda: b"x")])
    assert set_digest([one]) != set_digest([Picture("a.jpg", 1, lambda: b"y")])


# The photos that every machine has


def test_crops_are_deterministic_and_differ_from_golden_ones():
    first = photos.crops(6, pre(), seed=3)
    assert first.shape == (6, 3, 32, 32)
    assert first.dtype == np.float32
    assert np.array_equal(first, photos.crops(6, pre(), seed=3))
    assert not np.array_equal(first, photos.crops(6, pre(), seed=4))
    golden = photos.golden(6, pre())
    assert np.array_equal(golden, photos.golden(6, pre()))
    assert all(not np.array_equal(a, b) for a in first for b in golden)
    assert all(not np.array_equal(a, b) for i, a in enumerate(golden) for b in golden[:i])


def test_crops_are_pieces_of_the_photos():
    from sklearn.datasets import load_sample_images

    # Natural pictures: neighbours resemble each other, unlike in noise.
    values = photos.crops(8, pre(256, 224), seed=0)
    across = np.corrcoef(values[..., :-1].ravel(), values[..., 1:].ravel())[0, 1]
    assert across > 0.9
    # The photos take turns: even crops are about as bright as the first.
    bright = [float(photo.mean()) for photo in load_sample_images().images]
    found = [float(values[i::2].mean()) for i in (0, 1)]
    assert (bright[0] < bright[1]) == (found[0] < found[1])
