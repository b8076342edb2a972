"""Write what the app's tests need: assets of a bundle, pictures, and the kit's pixels of them.

    python android_app/samples.py BUNDLE OUT
    mvn -f android_app/pom.xml test -Daapt2=PATH -Dkit.samples=OUT

Ten PNG pictures of awkward sizes, for the resize alone, and photos as phones save them: JPEG, with
a colour profile and an orientation. For each the resized and cropped picture as the kit makes it,
uint8 [3, crop, crop], and the input, float32.
"""

from __future__ import annotations

import io
import json
import shutil
import sys
from pathlib import Path

import numpy as np
import profiles
import tensors
import tflite
from PIL import Image, ImageCms

from kit import formats
from kit.bundles import loading
from kit.bundles.bundle import Bundle
from kit.errors import MissingTool
from kit.images.preprocess import decode, to_array
from kit.manifest.preprocessing import Preprocessing

PICTURE, CREDIT = "china.jpg", "Photo: danielbuechele, CC BY 2.0"  # of scikit-learn
CLEAR = 0.05
SIZES = [
    (640, 427), (427, 640), (96, 96), (110, 110), (111, 110), (33, 47), (1, 1), (1200, 17),
    (1999, 1333), (225, 224),
]  # fmt: skip


def main(bundle_path: str, out_path: str) -> None:
    """Write all samples of a bundle; what stood in the folder is removed."""
    bundle = loading.load_bundle(bundle_path)
    out = Path(out_path)
    if out.exists():
        shutil.rmtree(out)
    assets(bundle, out / "assets")
    pictures(bundle.manifest.preprocessing, out / "pictures")
    photos(bundle.manifest.preprocessing, out / "photos")
    resizes(out / "resizes", out / "pictures")
    answer(bundle, out)
    tensors.write(out / "others" / "tensors")  # no asset: the demo opens with a classifier
    try:
        tflite.write(out / "others" / "tflite")
        tflite.write_natives(out / "natives")
    except MissingTool as exc:
        sys.stderr.write(f"no samples of LiteRT: {exc.message}; {exc.hint}\n")


def assets(bundle: Bundle, out: Path) -> None:
    """Write the assets that `kit app build` would pack."""
    from sklearn.datasets import load_sample_image

    manifest = bundle.manifest
    names = ["bundle.json", *manifest.golden.inputs]
    names += [manifest.labels] if manifest.labels else []
    for artifact in manifest.artifacts:
        names += [artifact.file, *manifest.golden.outputs[artifact.name]]
    for name in names:
        target = out / "bundles" / "sample" / name
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(bundle.path / name, target)
    Image.fromarray(load_sample_image(PICTURE)).save(out / "picture.jpg", quality=92)
    (out / "picture.txt").write_text(CREDIT + "\n", encoding="utf-8")
    (out / "runtimes.json").write_text(
        json.dumps({"onnx": {"name": "onnxruntime", "version": "1.29.0"}}), encoding="utf-8"
    )


def answer(bundle: Bundle, out: Path) -> None:
    """Write what the workstation's ONNX Runtime sees in the demo's picture."""
    runtime = formats.get_format("onnx")
    runtime.prepare(1)
    session = runtime.load(bundle.file("onnx"), 1)
    picture = decode((out / "assets" / "picture.jpg").read_bytes(), "picture.jpg")
    image = to_array(picture, bundle.manifest.preprocessing)
    (logits,) = session.read(session.bind((image[None],))())
    shares = np.exp(logits.ravel() - logits.max())
    second, best = (int(i) for i in shares.argsort()[-2:])
    probabilities = shares / shares.sum()
    result = {
        "label": (bundle.labels() or [])[best],
        "probability": float(probabilities[best]),
        # Of a model with random weights it is chance which of a thousand answers is the first.
        "clear": bool(probabilities[best] - probabilities[second] > CLEAR),
    }
    (out / "expected.json").write_text(json.dumps(result), encoding="utf-8")


def pictures(pre: Preprocessing, out: Path) -> None:
    """Write the ten pictures and what the kit makes of them."""
    from sklearn.datasets import load_sample_images

    out.mkdir(parents=True)
    photos = load_sample_images().images
    for i, size in enumerate(SIZES):
        photo = Image.fromarray(photos[i % len(photos)]).resize(size, Image.Resampling.NEAREST)
        file = out / f"{i}.png"
        photo.save(file)
        _write_pixels(file, pre)


def resizes(out: Path, pictures: Path) -> None:
    """Write what the kit makes of the ten pictures by every fit and interpolation."""
    plain = {"mean": (0.0, 0.0, 0.0), "std": (1.0, 1.0, 1.0)}
    ways = {
        "bicubic": Preprocessing(
            resize=110, crop=96, interpolation="bicubic-antialias", **plain
        ),
        "nearest": Preprocessing(resize=110, crop=96, interpolation="nearest", **plain),
        "cover": Preprocessing(
            resize=None, resize_to=(73, 182), fit="cover", crop=64, crop_width=160, **plain
        ),
        "cover-bicubic": Preprocessing(
            resize=None, resize_to=(71, 40), fit="cover", crop=64, crop_width=32,
            interpolation="bicubic-antialias", **plain
        ),
        "stretch": Preprocessing(
            resize=None, resize_to=(64, 96), fit="stretch", crop=64, crop_width=96,
            interpolation="nearest", **plain
        ),
        "stretch-bicubic": Preprocessing(
            resize=None, resize_to=(101, 99), fit="stretch", crop=96,
            interpolation="bicubic-antialias", **plain
        ),
    }  # fmt: skip
    for name, pre in ways.items():
        (out / name).mkdir(parents=True)
        text = json.dumps(pre.model_dump(mode="json"))
        (out / name / "preprocessing.json").write_text(text, encoding="utf-8")
        for file in sorted(pictures.glob("*.png")):
            image = decode(file.read_bytes(), file.name)
            levels = np.rint(to_array(image, pre) * 255).astype(np.uint8)
            (out / name / f"{file.stem}.u8").write_bytes(levels.tobytes())


def photos(pre: Preprocessing, out: Path) -> None:
    """Write photos with profiles and orientations, and what the kit makes of them.

    Those in `converted` have a profile that changes pixels, which two libraries round in their
    own ways; the pixels of those in `same` are equal.
    """
    from sklearn.datasets import load_sample_images

    flower = Image.fromarray(load_sample_images().images[1])
    grey, cmyk = flower.convert("L"), flower.convert("CMYK")
    wide = profiles.rgb(profiles.P3, profiles.srgb_curve())
    srgb = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    converted = {
        "display-p3": (flower, wide),
        "p3-by-power": (flower, profiles.rgb(profiles.P3, profiles.gamma(2.2))),
        "p3-by-table": (flower, profiles.rgb(profiles.P3, profiles.table(2.2))),
        "adobe-rgb": (flower, profiles.rgb(profiles.ADOBE, profiles.gamma(563 / 256))),
        "grey-with-p3": (grey, wide),
        "grey": (grey, profiles.grey(profiles.gamma(1.8))),
    }
    same = {
        "plain": (flower, None),
        "srgb": (flower, srgb),
        "grey": (grey, None),
        "cmyk": (cmyk, None),
        "cmyk-with-p3": (cmyk, wide),
        "rgb-with-grey": (flower, profiles.grey(profiles.gamma(1.8))),
        "broken": (flower, b"no profile" * 20),
        "cut": (flower, wide[:150]),
    }
    for folder, kinds in (("converted", converted), ("same", same)):
        (out / folder).mkdir(parents=True)
        for number, (name, (photo, profile)) in enumerate(kinds.items()):
            file = out / folder / f"{name}.jpg"
            file.write_bytes(_jpeg(photo, profile, orientation=1 + (5 + number) % 8))
            _write_pixels(file, pre)


def _jpeg(photo: Image.Image, profile: bytes | None, orientation: int) -> bytes:
    exif = Image.Exif()
    exif[0x0112] = orientation
    buffer = io.BytesIO()
    photo.save(buffer, "JPEG", quality=92, icc_profile=profile, exif=exif)
    return buffer.getvalue()


def _write_pixels(file: Path, pre: Preprocessing) -> None:
    """Write what the kit makes of a picture beside it."""
    image = decode(file.read_bytes(), file.name)
    zero, one = (0.0, 0.0, 0.0), (1.0, 1.0, 1.0)
    plain = pre.model_copy(update={"mean": zero, "std": one, "color": "RGB", "layout": "NCHW"})
    levels = np.rint(to_array(image, plain) * 255).astype(np.uint8)
    file.with_suffix(".u8").write_bytes(levels.tobytes())
    file.with_suffix(".f32").write_bytes(to_array(image, pre).astype("<f4").tobytes())


if __name__ == "__main__":
    main(*sys.argv[1:])
