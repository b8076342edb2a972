"""Damaged bundles and runner output: never a hang, a traceback or a wrong number."""

from __future__ import annotations

import random
import shutil
from collections import Counter
from collections.abc import Iterator

import numpy as np
import pytest
from test_runner_protocol import LINES

from kit.artifact_key import ArtifactKey
from kit.bench import answers
from kit.bundles import loading
from kit.bundles.bundle import MANIFEST, Bundle
from kit.devices import local
from kit.errors import BundleError, KitError, RunError
from kit.runners import drive
from kit.runners.protocol import Request
from kit.runners.transcript import Transcript
from kit.signature import stack

SEED = 5
# Damaged files of each kind; bundle.json and runner output get more, as they cost nothing.
FILES, TEXTS = 60, 400


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
                loading.load_bundle(folder)
            continue
        try:
            result = loading.load_bundle(folder)
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
