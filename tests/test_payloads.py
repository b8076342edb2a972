"""No byte of a bundle is unpickled or executed: each file in turn has a payload."""

from __future__ import annotations

import io
import os
import pickle
import shutil
import zipfile
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
from bundle_samples import answer_images, draw, make, net

import kit
from kit import cache, cli, formats
from kit.artifact_key import REFERENCE, ArtifactKey
from kit.bench import answers
from kit.bundles import loading, writing
from kit.bundles.bundle import Bundle
from kit.errors import KitError
from kit.manifest.schema import Golden

FORMATS = ("lite", "executorch", "onnx")
KEYS = {name: ArtifactKey(name, "fp32") for name in FORMATS}
MODELS = {key.name_file(formats.get_format(name).suffix): name for name, key in KEYS.items()}
# Files of golden answers and their format.
ANSWERS = {"golden/reference.npy": REFERENCE} | {
    f"golden/{key.name}.npy": name for name, key in KEYS.items()
}


class Payload:
    """Creates a folder when it is unpickled."""

    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self):
        return os.mkdir, (str(self.marker),)


def plain(marker: Path, old: bytes) -> bytes:
    return pickle.dumps(Payload(marker))


def saved(marker: Path, old: bytes) -> bytes:
    import torch

    buffer = io.BytesIO()
    torch.save(Payload(marker), buffer)
    return buffer.getvalue()


def array(marker: Path, old: bytes) -> bytes:
    """An array of objects, which NumPy would unpickle."""
    buffer = io.BytesIO()
    np.save(buffer, np.array([Payload(marker)], dtype=object), allow_pickle=True)
    return buffer.getvalue()


def inside(marker: Path, old: bytes) -> bytes:
    """The file; in an archive, with a payload in place of each pickle."""
    if not zipfile.is_zipfile(io.BytesIO(old)):
        return old + pickle.dumps(Payload(marker))
    buffer = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(old)) as source, zipfile.ZipFile(buffer, "w") as target:
        for name in source.namelist():
            data = source.read(name)
            if name.endswith((".pkl", ".pt")):
                data = pickle.dumps(Payload(marker), protocol=2)
            target.writestr(name, data)
    return buffer.getvalue()


PAYLOADS = (plain, saved, array, inside)


@pytest.fixture(scope="module")
def whole(tmp_path_factory) -> Bundle:
    """A bundle with every kind of file, and the reference of an older kit."""
    folder = tmp_path_factory.mktemp("payloads")
    labels = [f"class {index}" for index in range(7)]
    made = make(folder / "whole", {name: net() for name in FORMATS}, labels=labels)
    inputs = np.random.default_rng(3).normal(size=(2, 3, 32, 32)).astype(np.float32)
    np.save(made.path / "golden/input.npy", inputs)
    for file, name in ANSWERS.items():
        logits = answer_images(formats.get_format(name).load(made.file(name), 1), inputs)
        np.save(made.path / file, logits)
    outputs = {Path(file).stem: (file,) for file in ANSWERS}
    golden = Golden(
        inputs=("golden/input.npy",),
        images=2,
        source="noise",
        outputs=outputs,
        graphs={name: files for name, files in outputs.items() if name != REFERENCE},
    )
    return hashed(made.path, golden=golden)


def hashed(folder: Path, **changes: object) -> Bundle:
    """Rewrite the hashes of the manifest, as an attacker could."""
    manifest = loading.parse_manifest(folder, (folder / "bundle.json").read_bytes())
    fields = {name: getattr(manifest, name) for name in type(manifest).model_fields}
    del fields["files"]
    writing.write_manifest(folder, {**fields, **changes})
    return loading.load_bundle(folder)


FILES = (
    "reference.safetensors", "reference.pt2", "labels.txt", "golden/input.npy",
    *ANSWERS, *MODELS,
)  # fmt: skip


def use(bundle: Bundle, pictures: Path) -> list[KitError]:
    """Use a bundle in every way; return the errors of refused files."""
    uses = [lambda: kit.evaluate(bundle, pictures, limit=1), bundle.labels]
    for name in (REFERENCE, *FORMATS):
        uses += [
            lambda name=name: formats.get_format(name).load(bundle.file(name), 1),
            lambda name=name: answers.load(bundle, name),
        ]
        if name != REFERENCE:
            uses.append(lambda name=name: formats.get_format(name).describe(bundle.file(name)))
    refused = []
    for one in uses:
        try:
            one()
        except KitError as exc:
            refused.append(exc)
    return refused


@pytest.mark.slow
def test_an_unmodified_bundle_passes_every_step(whole, pictures, evaluated_here):
    """Otherwise a payload below might be in a file that nothing reads."""
    assert use(whole, pictures) == []


@pytest.fixture(scope="module")
def pictures(tmp_path_factory) -> Path:
    return draw(tmp_path_factory.mktemp("pictures"), 3, lambda i: f"{i:04}_{i:03}.png")


@pytest.mark.slow
@pytest.mark.parametrize("payload", PAYLOADS)
@pytest.mark.parametrize("name", FILES)
def test_no_file_of_a_bundle_is_unpickled(whole, pictures, name, payload, tmp_path, evaluated_here):
    import torch

    folder = tmp_path / "bundle"
    shutil.copytree(whole.path, folder)
    marker = tmp_path / "ran"
    if name == "reference.pt2":
        (folder / "reference.safetensors").unlink()
        batch = torch.export.Dim("batch", min=1)
        program = torch.export.export(
            net(), (torch.rand(2, 3, 32, 32),), dynamic_shapes=({0: batch},)
        )
        torch.export.save(program, folder / name)
    (folder / name).write_bytes(payload(marker, (folder / name).read_bytes()))
    try:
        bundle = hashed(folder)
    except KitError:
        assert not marker.exists()
        return
    use(bundle, pictures)
    assert not marker.exists(), f"{name} was unpickled"


def test_payloads_leave_a_marker_when_unpickled(tmp_path):
    for number, payload in enumerate((plain, inside)):
        marker = tmp_path / str(number)
        pickle.loads(payload(marker, b""))
        assert marker.is_dir()


def readers(name: str) -> tuple[str, ...]:
    """Return the formats whose runners read a file; all formats for a shared file."""
    own = {**MODELS, **ANSWERS, "reference.safetensors": REFERENCE}
    return (own[name],) if name in own else (REFERENCE, *FORMATS)


def formats_of(names: Sequence[str]) -> list[str]:
    return ["--format", ",".join(names)]


@pytest.mark.slow
def test_commands_execute_no_byte_of_a_bundle(whole, pictures, tmp_path, capsys):
    """Nor do their child processes."""
    for name in FILES:
        if name == "reference.pt2":
            continue
        folder = tmp_path / name.replace("/", "-")
        shutil.copytree(whole.path, folder)
        marker = tmp_path / "ran"
        (folder / name).write_bytes(inside(marker, (folder / name).read_bytes()))
        with suppress(KitError):  # of what is refused as soon as it is read
            hashed(folder)
        read_by = readers(name)
        native = [one for one in read_by if one != REFERENCE] or ["onnx"]
        for words in (
            ["eval", str(folder), "--images", str(pictures), "--limit", "1", *formats_of(native)],
            ["bench", str(folder), "--quick", *formats_of(read_by)],
            ["verify", str(folder), *formats_of(native)],
        ):
            assert cli.run(words) in (0, 4, 5, 6), f"{name}: {words[0]}"
            assert not marker.exists(), f"{words[0]} ran {name}"
            assert "Traceback" not in capsys.readouterr().err


def test_a_training_checkpoint_is_not_unpickled(tmp_path, monkeypatch):
    import hashlib

    from kit.pipeline.checkpoints import FILE, Checkpoints

    monkeypatch.setenv("KIT_CACHE", str(tmp_path))
    checkpoints, marker = Checkpoints("k"), tmp_path / "ran"
    for payload in (plain, saved):
        data = payload(marker, b"")
        checkpoints.folder.mkdir(parents=True, exist_ok=True)
        (checkpoints.folder / FILE).write_bytes(hashlib.sha256(data).digest() + data)
        state, note = checkpoints.load()
        assert state is None
        assert "damaged" in note
        assert not marker.exists()
    assert cache.get_folder() == tmp_path
