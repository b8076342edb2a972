"""What takes long to make, made once in a session and read by every worker."""

from __future__ import annotations

import fcntl
import os
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest

import kit
from kit.bundle import Bundle
from kit.errors import WeightsError

SHARED = Path(__file__).parents[2] / "shared" / "data"
# The search for ranges, which the official bundle has, would take half of the time.
SMALL = {"weights": "random", "width": 0.35, "resolution": 96, "observer": "percentile"}

Make = Callable[[Path], object]
Once = Callable[[str, Make], Path]


@pytest.fixture(scope="session")
def once(tmp_path_factory: pytest.TempPathFactory) -> Once:
    """Return a function that fills a folder once: who asks first does it, the others wait."""
    root = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        root = root.parent  # which all workers of this session have in common

    def made(name: str, make: Make) -> Path:
        target = root / f"once-{name}"
        with (root / f"once-{name}.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not target.is_dir():
                part = Path(tempfile.mkdtemp(prefix="once-part-", dir=root))
                try:
                    make(part)
                except BaseException:
                    shutil.rmtree(part)
                    raise
                part.rename(target)
        return target

    return made


def build_cached(recipe: dict[str, object], folder: Path) -> None:
    """Build a MobileNetV2 as `bundle` in a folder, with the cache that it leaves as `cache`."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("KIT_CACHE", str(folder / "cache"))
        kit.build(kit.make_recipe("mobilenet_v2", **recipe), folder / "bundle")


@pytest.fixture(scope="session")
def small_build(once: Once) -> Path:
    """A folder with a small int8 `bundle` in the three formats, and the `cache` that has it."""
    return once("small", lambda folder: build_cached(SMALL, folder))


@pytest.fixture(scope="session")
def small_int8(small_build: Path) -> Bundle:
    """MobileNetV2 0.35 at 96 px with random weights, static int8, in the three formats."""
    return kit.load_bundle(small_build / "bundle")


@pytest.fixture(scope="session")
def official_int8(once: Once) -> Bundle:
    """The main job's int8 bundle; calibrated with the evaluation pictures where they are."""
    pictures = SHARED / "imagenet-500.zip"
    recipe = {"calibrate": str(pictures)} if pictures.is_file() else {}
    try:
        folder = once("official", lambda folder: build_cached(recipe, folder))
    except WeightsError as exc:
        pytest.skip(f"the official weights cannot be fetched here: {exc.message}")
    return kit.load_bundle(folder / "bundle")


@pytest.fixture(scope="session")
def native_model(once: Once) -> Callable[[str, str], Path]:
    """Return a function: MobileNetV2 0.35 at 96 px as a file, by format and method."""
    from native_samples import export

    def made(name: str, method: str) -> Path:
        folder = once(f"{name}-{method}", lambda folder: export(folder, name, method))
        (file,) = folder.iterdir()
        return file

    return made
