"""Damaged bundles, models and runner output: never a hang, a traceback or a wrong number."""

from __future__ import annotations

import random
import shutil
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import native_samples
import numpy as np
import pytest
from test_runner_protocol import LINES

from kit import bundle as bundles
from kit.artifact_key import ArtifactKey
from kit.bench import answers
from kit.bundle import MANIFEST, Bundle
from kit.devices import local
from kit.errors import BundleError, KitError, RunError
from kit.runners import drive
from kit.runners.protocol import Request
from kit.runners.transcript import Transcript
from kit.signature import stack

SEED = 5
# Damaged files of each kind; bundle.json and runner output get more, as they cost nothing.
FILES, MODELS, TEXTS = 60, 40, 400


def damaged(data: bytes, count: int, name: str) -> Iterator[tuple[str, bytes]]:
    """Return a number of damaged copies, and what was done to each: flips and truncations."""
    rng = random.Random(f"{SEED} {name}")
    for number in range(count):
        copy = bytearray(data)
        if number % 3 == 2:
            length = rng.randrange(len(data))
            yield f"{name}: first {length} bytes", bytes(copy[:length])
            continue
        places = [rng.randrange(len(data)) for _ in range(rng.choice((1, 1, 2, 8)))]
        for place in places:
            copy[place] ^= 1 << rng.randrange(8)
        if copy != data:
            yield f"{name}: bits of bytes {places}", bytes(copy)


def test_damage_is_the_same_every_time():
    first, second = (list(damaged(b"0123456789", 30, "x")) for _ in range(2))
    assert first == second
    assert len({data for _, data in first}) > 15
    assert all(data != b"0123456789" for _, data in first)


@pytest.mark.parametrize(
    "name", [MANIFEST, "model-fp32.onnx", "model-fp32.ptl", "golden/onnx-fp32.npy"]
)
def test_a_damaged_bundle_is_refused(tiny_bundle, tmp_path, name):
    folder = tmp_path / "bundle"
    shutil.copytree(tiny_bundle.path, folder)
    good = (folder / name).read_bytes()
    files = tiny_bundle.manifest.files
    for what, data in damaged(good, TEXTS if name == MANIFEST else FILES, name):
        (folder / name).write_bytes(data)
        if name != MANIFEST:
            with pytest.raises(BundleError):
                bundles.load(folder)
            continue
        try:
            result = bundles.load(folder)
        except BundleError:
            continue
        # A name or a count may differ: every model and golden file is what it was.
        assert result.manifest.files == files, what
        check_arrays(result, tiny_bundle, what)


def check_arrays(result: Bundle, tiny: Bundle, what: str) -> None:
    for format in ("lite", "onnx"):
        try:
            arrays = answers.load(result, format)
            file = result.file(format)
        except KitError:
            continue
        assert file.name in (tiny.file("lite").name, tiny.file("onnx").name), what
        for one, other in zip(arrays, answers.load(tiny, format), strict=True):
            assert one.pack() == other.pack(), what


def test_damaged_output_of_a_runner_is_never_believed():
    whole = "".join(f"{line}\n" for line in LINES).encode()
    expected = received(whole)
    outcomes = Counter[str]()
    for what, data in damaged(whole, TEXTS, "output"):
        try:
            result = received(data)
        except RunError:
            outcomes["refused"] += 1
            continue
        if result.missing() is not None or result.error is not None:
            outcomes["broken off"] += 1
            continue
        assert result.samples == expected.samples, what
        for name in ("start", "load", "first", "mem", "out", "end", "profile"):
            # A line that is not known any more is noise; only the profile may be missing.
            got = getattr(result, name)
            assert got == getattr(expected, name) or (name == "profile" and got is None), what
        outcomes["believed"] += 1
    assert outcomes["refused"] > 100
    assert outcomes["broken off"] > 100
    assert outcomes["believed"] < 40  # those in a line nobody needs, and in line ends


def received(data: bytes) -> Transcript:
    transcript = Transcript()
    *lines, _ = data.decode(errors="replace").split("\n")
    for line in lines:
        transcript.add(line)
    return transcript


def test_damaged_output_of_a_process():
    """As above, through a process and the loop that listens to it."""
    whole = "".join(f"{line}\n" for line in LINES).encode()
    expected = received(whole).samples
    request = Request("onnx", "m", "i", "float32:1,3,32,32", "o", 2, 0.25, 5, 0.0, 9.5, 2)
    for what, data in damaged(whole, 12, "process"):
        text = "".join(f"\\{byte:03o}" for byte in data)
        runner = ("sh", "-c", f"printf '{text}'")
        try:
            result = drive.run(local.open(None), request, {}, runner, silence=20.0)
        except RunError:
            continue
        assert result.samples == expected, what


@pytest.mark.parametrize("size", [0, 1, 3, 4, 27, 29, 1000])
def test_an_answer_of_another_size_is_refused(size):
    expected = stack("logits", np.arange(7, dtype=np.float32)[None])
    with pytest.raises(RunError, match=f"{size} bytes instead of 28"):
        answers.check(ArtifactKey("onnx", "fp32"), "none", b"\0" * size, expected)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["onnx", "lite", "executorch"])
def test_damaged_models_in_the_native_runner(tiny_bundle, tmp_path, name):
    """A file that is damaged on the device: refused, or it computes what it should."""
    runner = native_samples.runner(name)
    good, expected, image = model_of(name, tiny_bundle, tmp_path)
    request = Request(
        format=name,
        model=str(tmp_path / "model"),
        input=str(tmp_path / "in.bin"),
        inputs=f"float32:{','.join(map(str, image.shape))}",
        out=str(tmp_path / "out.bin"),
        warmup=0,
        warmup_seconds=0.0,
        iters=2,
        min_seconds=0.0,
        max_seconds=10.0,
        threads=1,
    )
    (tmp_path / "in.bin").write_bytes(image.tobytes())
    outcomes = Counter[str]()

    def run(data: bytes) -> np.ndarray:
        (tmp_path / "model").write_bytes(data)
        Path(request.out).unlink(missing_ok=True)
        drive.run(
            local.open(None), request, drive.environment(1), native_samples.here(runner), 30.0
        )
        answer = Path(request.out).read_bytes()
        answers.check(ArtifactKey(name, "fp32"), "none", answer, stack("logits", expected))
        return np.frombuffer(answer, "<f4")

    np.testing.assert_allclose(run(good), expected[0], atol=1e-5)
    for what, data in damaged(good, MODELS, name):
        try:
            got = run(data)
        except RunError:
            outcomes["refused"] += 1
            continue
        # 40 dB is what a float answer is held to.
        noise = float(np.square(got - expected[0]).sum())
        assert noise <= 1.0001e-4 * float(np.square(expected).sum()), what
        outcomes["believed"] += 1
    assert outcomes["refused"] >= MODELS // 3, outcomes


def model_of(
    name: str, tiny_bundle: Bundle, tmp_path: Path
) -> tuple[bytes, np.ndarray, np.ndarray]:
    """Return a model file, its answer [1, classes], and what it is the answer to."""
    inputs, golden = answers.load(tiny_bundle, "onnx")
    (image,), (expected,) = inputs.arrays, golden.arrays
    if name != "executorch":
        return tiny_bundle.file(name).read_bytes(), expected, image.astype("<f4")
    import torch
    from bundle_samples import net

    from kit import formats

    example = torch.zeros(image.shape)
    graph = torch.export.export(net(), (example,)).module()
    file = tmp_path / "model-fp32.pte"
    formats.get_format(name).export(graph, (example,), file)
    return file.read_bytes(), expected, image.astype("<f4")
