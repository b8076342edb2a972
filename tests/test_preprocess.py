"""From bytes to the input: broken pictures, and numbers against torchvision."""

from __future__ import annotations

import struct
import zlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from picture_samples import JPEG, PNG, SHARED, encode, fill, noise, pre
from PIL import Image

from kit.errors import MissingTool, PictureError
from kit.images import decode, make_batch, open_set, photos, sample_pictures, to_array
from kit.manifest.preprocessing import IMAGENET_MEAN, IMAGENET_STD, Preprocessing

# Decoding


def colors(image: Image.Image) -> list[list[int]]:
    return np.unique(np.asarray(image).reshape(-1, 3), axis=0).tolist()


def test_grey_alpha_palette_and_cmyk_become_rgb():
    for mode in ("1", "L", "P", "CMYK", "RGB"):
        kind = "TIFF" if mode == "CMYK" else "PNG"
        image = noise(20, 10, mode)
        result = decode(encode(image, kind), mode)
        assert result.mode == "RGB"
        assert np.array_equal(np.asarray(result), np.asarray(image.convert("RGB")))


@pytest.mark.parametrize("mode", ["RGBA", "LA"])
def test_transparent_pixels_become_white(mode):
    clear = Image.new("RGBA", (4, 4), (10, 20, 30, 0)).convert(mode)
    assert colors(decode(encode(clear), "x")) == [[255, 255, 255]]
    half = Image.new("RGBA", (4, 4), (0, 0, 0, 128)).convert(mode)
    assert colors(decode(encode(half), "x")) == [[127, 127, 127]]


def test_a_transparent_palette_entry_becomes_white():
    image = Image.new("P", (4, 4), 0)
    image.putpalette([9, 9, 9, 200, 0, 0])
    data = encode(image, "GIF", transparency=0)
    assert colors(decode(data, "x")) == [[255, 255, 255]]


def test_sixteen_bits_keep_the_upper_eight():
    grey = np.array([[0, 255, 256, 0x7FFF, 0xFFFF]], np.uint16)
    result = decode(encode(Image.fromarray(grey)), "x")
    assert np.asarray(result)[0, :, 0].tolist() == [0, 0, 1, 127, 255]


def test_floating_point_pixels_are_refused():
    data = encode(Image.fromarray(np.zeros((4, 4), np.float32)), "TIFF")
    with pytest.raises(PictureError, match="floating-point"):
        decode(data, "x.tif")


def test_grey_of_32_bits_is_refused():
    """Values of 0 to 255 would become black, larger ones white."""
    data = encode(Image.fromarray(np.full((4, 4), 200, np.int32)), "TIFF")
    with pytest.raises(PictureError, match=r"x\.tif has 32 bits per pixel"):
        decode(data, "x.tif")


def test_avif_is_read():
    image = Image.new("RGB", (40, 30), (200, 20, 90))
    exif = Image.Exif()
    exif[0x0112] = 6
    result = decode(encode(image, "AVIF", quality=95, exif=exif), "x.avif")
    assert (result.mode, result.size) == ("RGB", (30, 40))
    assert np.abs(np.asarray(result).astype(int) - (200, 20, 90)).max() <= 3


def test_an_animation_is_its_first_frame():
    frames = [Image.new("RGB", (4, 4), color) for color in ("red", "blue")]
    data = encode(frames[0], "GIF", save_all=True, append_images=frames[1:])
    assert decode(data, "x").getpixel((0, 0)) == (255, 0, 0)


def test_a_picture_is_turned_upright():
    exif = Image.Exif()
    exif[0x0112] = 6  # rotated by 90 degrees
    image = Image.new("RGB", (40, 20), "red")
    image.paste("blue", (0, 0, 20, 20))
    result = decode(encode(image, "JPEG", exif=exif, quality=100), "x")
    assert result.size == (20, 40)
    assert result.getpixel((10, 5))[2] > 200  # what was left is on top


@pytest.mark.parametrize("data", [b"", b"hello", b"%!PS-Adobe-3.0 EPSF-3.0\n", PNG[:4]])
def test_a_file_that_is_no_picture_is_refused(data):
    with pytest.raises(PictureError, match=r"notes\.jpg is not a picture"):
        decode(data, "notes.jpg")


@pytest.mark.parametrize("data", [JPEG, PNG, encode(noise(40, 30), "WEBP")])
@pytest.mark.parametrize("share", [0.5, 0.9])
def test_a_truncated_picture_is_refused(data, share):
    with pytest.raises(PictureError, match=r"a\.jpg is (damaged|not a picture)"):
        decode(data[: int(len(data) * share)], "a.jpg")


@pytest.mark.parametrize("side", [13400, 30000])  # over our limit; over Pillow's
def test_a_picture_with_too_many_pixels_is_refused(side):
    header = bytearray(encode(Image.new("1", (8, 8))))
    struct.pack_into(">II", header, 16, side, side)
    crc = zlib.crc32(bytes(header[12:29]))
    struct.pack_into(">I", header, 29, crc)
    with pytest.raises(PictureError, match=r"more than (50|178) million"):
        decode(bytes(header), "big.png")


def test_a_large_jpeg_is_decoded_at_a_fraction_of_its_size():
    """Phones have sensors of 200 million pixels."""
    left = Image.new("RGB", (5000, 6000), "red")
    picture = Image.new("RGB", (10_000, 6000), "blue")
    picture.paste(left, (0, 0))
    result = decode(encode(picture, "JPEG"), "phone.jpg")
    assert result.size == (5000, 3000)
    whole = to_array(Image.blend(picture, picture, 0), pre(256, 224))
    assert np.abs(to_array(result, pre(256, 224)) - whole).max() < 0.1
    exif = Image.Exif()
    exif[0x0112] = 6
    assert decode(encode(picture, "JPEG", exif=exif), "x").size == (3000, 5000)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("kind", "options"), [("PNG", {}), ("JPEG", {"progressive": True}), ("WEBP", {})]
)
def test_other_large_pictures_are_refused(kind, options):
    data = encode(Image.new("RGB", (10_000, 6000)), kind, **options)
    with pytest.raises(PictureError, match="big has 10000x6000 pixels, more than 50 million"):
        decode(data, "big")


def test_a_picture_too_large_after_resizing_is_refused():
    with pytest.raises(
        PictureError, match=r"line\.png has 256x256000000 pixels, more than 50 million"
    ):
        to_array(Image.new("RGB", (1, 1_000_000)), pre(256, 224), "line.png")


def test_a_failure_names_the_picture(tmp_path):
    result = open_set(fill(tmp_path, "tench/broken.jpg", data=JPEG[:200]))
    with pytest.raises(PictureError, match=r"tench/broken\.jpg"):
        make_batch(result, pre())


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
def test_preprocessing_equals_torchvisions(size, resize, crop):
    image, how = noise(*size), pre(resize, crop)
    result = to_array(image, how)
    assert result.dtype == np.float32
    assert result.shape == (3, crop, crop)
    assert np.abs(result - by_torchvision(image, how)).max() <= 1e-6


@pytest.mark.skipif(not SHARED.is_dir(), reason="needs ../shared/data")
def test_preprocessing_of_photos_equals_torchvisions():
    result = open_set(SHARED / "imagenet-500.zip")
    assert len(result) == 500
    assert [p.label for p in result] == list(range(0, 1000, 2))
    for picture in sample_pictures(result, 10, seed=0):
        image = decode(picture.read(), picture.name)
        expected = by_torchvision(image, pre(256, 224))
        assert np.abs(to_array(image, pre(256, 224)) - expected).max() <= 1e-6


def test_a_batch_is_in_order_and_reports_progress(tmp_path):
    fill(tmp_path, "b.jpg")
    fill(tmp_path, "a.png", data=PNG)
    steps: list[tuple[int, int]] = []
    result = make_batch(open_set(tmp_path), pre(), lambda *step: steps.append(step))
    assert result.shape == (2, 3, 32, 32)
    assert np.array_equal(result[0], to_array(decode(PNG, "a"), pre()))
    assert steps == [(1, 2), (2, 2)]


# The photos of installed packages


def test_crops_are_deterministic_and_differ_from_golden_ones():
    first = photos.make_crops(6, pre(), seed=3)
    assert first.shape == (6, 3, 32, 32)
    assert first.dtype == np.float32
    assert np.array_equal(first, photos.make_crops(6, pre(), seed=3))
    assert not np.array_equal(first, photos.make_crops(6, pre(), seed=4))
    golden = photos.make_golden(6, pre())
    assert np.array_equal(golden, photos.make_golden(6, pre()))
    assert all(not np.array_equal(a, b) for a in first for b in golden)
    assert all(not np.array_equal(a, b) for i, a in enumerate(golden) for b in golden[:i])


def test_crops_are_natural_pictures():
    values = photos.make_crops(6, pre(256, 224), seed=0)
    across = np.corrcoef(values[..., :-1].ravel(), values[..., 1:].ravel())[0, 1]
    assert across > 0.9  # neighbours resemble each other, unlike in noise


def test_the_photos_equal_those_of_their_packages():
    import matplotlib.cbook
    from sklearn.datasets import load_sample_images

    portrait = matplotlib.cbook.get_sample_data("grace_hopper.jpg", asfileobj=False)
    originals = [*load_sample_images().images, np.asarray(Image.open(portrait).convert("RGB"))]
    result = photos.read_photos()
    assert len(result) == len(originals)
    assert all(np.array_equal(a, b) for a, b in zip(result, originals, strict=True))


@pytest.mark.parametrize("package", ["sklearn", "kit_has_no_such_package"])
def test_a_missing_photo_is_named(package, monkeypatch):
    monkeypatch.setattr(photos, "FILES", ((package, "datasets/images/none.jpg"),))
    with pytest.raises(
        MissingTool, match=f"the sample photo datasets/images/none.jpg of {package}"
    ):
        photos.make_crops(1, pre(), seed=0)


def test_crops_alternate_between_photos(monkeypatch):
    plain = [Image.new("RGB", (60, 40), color) for color in ("red", "lime", "blue")]
    monkeypatch.setattr(photos, "read_photos", lambda: plain)
    brightest = photos.make_crops(6, pre(), seed=0).mean((2, 3)).argmax(1)
    assert brightest.tolist() == [0, 1, 2, 0, 1, 2]


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({}, "shorter side to 37 px, centre crop 32 x 32, ImageNet mean and std"),
        (
            {"resize": None, "resize_to": (37, 55), "fit": "cover", "crop_width": 48},
            "resized to cover 37 x 55, centre crop 32 x 48, ImageNet mean and std",
        ),
        (
            {"resize": None, "resize_to": (32, 32), "fit": "stretch", "color": "BGR"},
            "stretched to 32 x 32, BGR, ImageNet mean and std",
        ),
        (
            {"resize": None, "resize_to": (32, 32), "fit": "letterbox", "color": "grey"}
            | {"mean": (0.5,), "std": (0.25,)},
            "resized to fit into 32 x 32, padded with grey, grey, mean 0.5, std 0.25",
        ),
    ],
)
def test_preprocessing_in_words(fields, words):
    default = {"resize": 37, "crop": 32, "mean": IMAGENET_MEAN, "std": IMAGENET_STD}
    assert Preprocessing(**(default | fields)).describe() == words
