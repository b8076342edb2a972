"""Disks that are full, for real: file systems of a megabyte, mounted for one process."""

from __future__ import annotations

import os
import resource
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from kit.errors import OutputError

MB = 1 << 20
MOUNT = 'mount -t tmpfs -o size=1m,nr_inodes=200 none "$1" && shift && "$@"; code=$?; exit $code'
FILL = 'head -c "$1" /dev/zero >"$0"/filler 2>/dev/null; shift; exec "$@"'


def on_small_disk(disk: Path, *command: str | Path, filled: int = 0, **variables: str):
    """Run a command while a small file system is mounted on a folder."""
    disk.mkdir(exist_ok=True)
    fill = ["sh", "-c", FILL, str(disk), str(filled)]
    words = ["unshare", "-Urm", "sh", "-c", MOUNT, "sh", str(disk), *fill, *map(str, command)]
    done = subprocess.run(
        words, capture_output=True, text=True, env={**os.environ, **variables}, timeout=300
    )
    if "unshare" in done.stderr or "mount:" in done.stderr:
        pytest.skip(f"this machine allows no user namespaces: {done.stderr.strip()}")
    return done


COPY = """
import sys
from pathlib import Path
from kit import cache, recipe_input
from kit.bundles import writing
from kit.calibration import PictureCalibration
from kit.errors import KitError
made = recipe_input.make_recipe("mobilenet_v2")
try:
    with writing.stage_bundle(Path(sys.argv[1]) / "out" / "b") as work:
        cache.take("0" * 64, work, made, PictureCalibration("set", None, (), 1, 0), None, print)
except KitError as exc:
    sys.exit(f"{exc.exit_code} {exc.message}")
"""


def test_a_copy_of_the_cache_is_one_sentence(tiny_bundle, tmp_path) -> None:
    """Regression: the message was a Python list of tuples."""
    kept = tmp_path / "cache" / ("0" * 64)
    shutil.copytree(tiny_bundle.path, kept)
    (kept / "bundle.json").write_text((kept / "bundle.json").read_text() + " " * 2_000_000)
    disk = tmp_path / "disk"
    done = on_small_disk(disk, sys.executable, "-c", COPY, disk, KIT_CACHE=str(tmp_path / "cache"))
    assert done.stderr == f"7 cannot write {disk}/out/b: No space left on device\n"


def test_numpy_reports_a_disk_that_is_full_while_it_writes(tmp_path) -> None:
    """Regression: the message was "442368 requested and 255968 written"."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, hard))
    try:
        with pytest.raises(OSError, match="requested") as caught:
            np.save(tmp_path / "a.npy", np.zeros(100_000))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    message = OutputError.of(caught.value, tmp_path / "out", "make space").message
    assert message.endswith("/out: no space is left, or files are limited in size")


def kit(*words: str | Path) -> list[str]:
    return [sys.executable, "-m", "kit", *map(str, words)]


@pytest.mark.slow
def test_a_result_is_one_sentence(tiny_bundle, tmp_path) -> None:
    disk = tmp_path / "disk"
    words = kit("bench", tiny_bundle.path, "--quick", "--format", "onnx", "-o", disk / "r.json")
    done = on_small_disk(disk, *words, filled=MB)
    assert done.returncode == 7, done.stderr
    assert "No space left on device" in done.stderr
    assert f"kit: cannot write {disk}" in done.stderr or f"cannot write to {disk}" in done.stderr


@pytest.mark.slow
def test_the_temporary_folder_is_named(tiny_bundle, tmp_path) -> None:
    """A runner's output and its answer go there."""
    disk = tmp_path / "disk"
    words = kit("bench", tiny_bundle.path, "--quick", "--format", "onnx", "--runner", "python")
    done = on_small_disk(disk, *words, filled=MB - 40_000, TMPDIR=str(disk))
    assert done.returncode == 6, done.stderr
    assert str(disk) in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("exc", "shown"),
    [
        (OSError(28, "No space left on device"), "/a/out: No space left on device"),
        (OSError(28, "No space left on device", "/a/.out.part/x"), "/a/out: No space left on"),
        (OSError(28, "No space left on device", "/tmp/x"), "/tmp/x: No space left on device"),
        (OSError(28, "No space left on device", "/c/x", None, "/tmp/y"), "/tmp/y: No space left"),
        (
            shutil.Error([("/c/a", "/a/.out.part/a", "[Errno 28] No space left: '/c/a'")] * 3),
            "/a/out: No space left on device",
        ),
        (shutil.Error([("/c/a", "/d/a", "something else")]), "/d/a: something else"),
        (OSError("no number"), "/a/out: no number"),
        (OSError("44 requested and 25 written"), "/a/out: no space is left, or files are limited"),
        (RuntimeError("a loop of links"), "/a/out: a loop of links"),
    ],
)
def test_what_is_named(exc, shown) -> None:
    message = OutputError.of(exc, Path("/a/out"), "make space").message
    assert message.startswith(f"cannot write {shown}")
    assert "(" not in message
