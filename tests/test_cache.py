"""The cache: entries are copied with the current names of their sources."""

from __future__ import annotations

import errno
import os
import shutil
import stat
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import rewrite

from kit import cache, recipe, recipe_input
from kit.bundles import loading, writing
from kit.calibration import PictureCalibration
from kit.manifest.build_records import Calibration, Source, Training
from kit.manifest.schema import Manifest

KEY = "0" * 64


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("KIT_CACHE", str(tmp_path / "cache"))


def sources(name: str) -> recipe.Recipe:
    """Return a recipe whose files are all called `name`."""
    fields = {"weights": f"/a/{name}.pth", "calibrate": f"/a/{name}-set", "train": f"/b/{name}"}
    return recipe_input.make_recipe("mobilenet_v2", quantize="qat", labels=f"/{name}.txt", **fields)


class Named(PictureCalibration):
    """The calibration set under its current name."""

    sha256 = "2"


def pictures(source: str) -> PictureCalibration:
    return Named(source, None, (), 1, 0)


notices: list[str] = []


def take(target: Path, made: recipe.Recipe, source: str, weights: str | None = "1") -> bool:
    """Take the bundle; `weights` is a prefix of the hash of its weights, 12."""
    notices.clear()
    target.mkdir()
    return cache.take(KEY, target, made, pictures(source), weights, notices.append)


@pytest.fixture
def kept(tiny_bundle, tmp_path) -> Manifest:
    """Cache a trained bundle whose source files are called alpha."""
    made = sources("alpha")

    def change(fields) -> None:
        fields["recipe"], fields["recipe_hash"] = made, made.hash
        fields["tools"] = cache.read_tool_versions(made)
        fields["weights"] = Source(source="file alpha.pth", sha256="12")
        fields["calibration"] = Calibration(
            source="alpha-set", images=1, sha256="2", worst_layer="x", outside=0.1
        )
        fields["training"] = Training(
            source="alpha", objective="distillation", steps=1, batch=1, learning_rate=0.1,
            sqnr_db=(1.0, 2.0), kept=True,
        )  # fmt: skip

    built = rewrite(tiny_bundle, tmp_path / "built", {}, change)
    cache.keep(KEY, built.path)
    return built.manifest


def test_a_cached_bundle_gets_the_names_of_the_current_build(kept, tmp_path):
    made = sources("beta")
    assert take(tmp_path / "new", made, "beta-set")
    result = loading.load_bundle(tmp_path / "new").manifest
    assert (result.recipe, result.recipe_hash) == (made, made.hash)
    assert result.weights == Source(source="file beta.pth", sha256="12")
    assert "alpha" not in result.model_dump_json()
    same = {"recipe", "recipe_hash", "weights", "calibration", "training"}
    assert result.model_dump(exclude=same) == kept.model_dump(exclude=same)
    assert result.calibration.model_dump(exclude={"source"}) == kept.calibration.model_dump(
        exclude={"source"}
    )


def test_a_cached_user_model_gets_the_name_of_the_current_build(tiny_bundle, tmp_path):
    for name in "alpha", "beta":
        (tmp_path / f"{name}.py").touch()
    alpha, beta = (
        recipe_input.make_recipe(f"{tmp_path / name}.py:make", calibrate=f"/a/{name}")
        for name in ("alpha", "beta")
    )

    def change(fields) -> None:
        fields["recipe"], fields["recipe_hash"] = alpha, alpha.hash
        fields["weights"] = Source(source=f"own model {alpha.model}", sha256="1")
        fields["calibration"], fields["tools"] = None, cache.read_tool_versions(alpha)

    cache.keep(KEY, rewrite(tiny_bundle, tmp_path / "built", {}, change).path)
    assert take(tmp_path / "new", beta, "beta", None)
    result = loading.load_bundle(tmp_path / "new").manifest
    assert result.weights == Source(source=f"own model {beta.model}", sha256="1")


def test_training_source_defaults_to_the_calibration_set(kept, tmp_path):
    made = sources("beta").model_copy(update={"train": None})
    assert take(tmp_path / "new", made, "beta-set")
    assert loading.load_bundle(tmp_path / "new").manifest.training.source == "beta-set"


def test_an_identical_build_is_copied_byte_for_byte(kept, tmp_path):
    assert take(tmp_path / "new", sources("alpha"), "alpha-set")
    assert (
        loading.load_bundle(tmp_path / "new").hash == loading.load_bundle(tmp_path / "built").hash
    )


def damage(entry: Path) -> None:
    (entry / "model-fp32.onnx").write_bytes(b"x")


def lose(entry: Path) -> None:
    (entry / "model-fp32.onnx").unlink()


def exchange(entry: Path) -> None:
    """Turn the entry into a valid bundle of another recipe."""
    other = recipe_input.make_recipe("mobilenet_v2", quantize="none")
    fields = dict(loading.load_bundle(entry).manifest)
    writing.write_manifest(
        entry, {**{k: v for k, v in fields.items() if k != "files"}, "recipe": other}
    )


def age(entry: Path) -> None:
    """Turn the entry into a bundle of other tool versions."""
    fields = dict(loading.load_bundle(entry).manifest)
    writing.write_manifest(
        entry, {**{k: v for k, v in fields.items() if k != "files"}, "tools": {"torch": "1"}}
    )


@pytest.mark.parametrize("change", [damage, lose, exchange, age])
def test_an_invalid_entry_is_removed(kept, tmp_path, change):
    change(cache.get_folder() / KEY)
    assert not take(tmp_path / "new", sources("alpha"), "alpha-set")
    assert list((tmp_path / "new").iterdir()) == []
    assert list(cache.get_folder().iterdir()) == []


def test_an_entry_with_other_weights_is_not_taken(kept, tmp_path):
    assert not take(tmp_path / "new", sources("alpha"), "alpha-set", weights="3")


def test_a_file_that_is_not_listed_is_not_copied(kept, tmp_path):
    (cache.get_folder() / KEY / "evil.sh").write_text("rm -rf /")
    assert take(tmp_path / "new", sources("alpha"), "alpha-set")
    assert not (tmp_path / "new" / "evil.sh").exists()


@pytest.mark.parametrize("name", [".", KEY, f"{KEY}/model-fp32.onnx", f"{KEY}/golden"])
def test_entries_writable_by_others_are_ignored_with_a_notice(kept, tmp_path, name):
    path = cache.get_folder() / name
    path.chmod(path.stat().st_mode | stat.S_IWGRP)
    assert not take(tmp_path / "new", sources("alpha"), "alpha-set")
    assert notices == [f"the cache is not used: others can write to {path}"]
    assert (cache.get_folder() / KEY).is_dir(), "an entry that others can write is not removed"


def test_entries_created_with_an_open_umask_are_usable(tiny_bundle, tmp_path):
    before = os.umask(0o002)
    try:
        cache.keep(KEY, tiny_bundle.path)
    finally:
        os.umask(before)
    assert cache.find_writable_by_others(cache.get_folder() / KEY) is None


def test_permissions_of_a_copy_follow_the_umask(kept, tmp_path):
    before = os.umask(0o077)
    try:
        assert take(tmp_path / "new", sources("alpha"), "alpha-set")
    finally:
        os.umask(before)
    modes = {stat.S_IMODE(p.stat().st_mode) for p in (tmp_path / "new").rglob("*")}
    assert modes == {0o600, 0o700}


def test_a_full_disk_raises_and_keeps_the_entry(kept, tmp_path, monkeypatch):
    def full(source: Path, target: Path) -> None:
        raise OSError(errno.ENOSPC, "No space left on device", str(target))

    monkeypatch.setattr(writing, "copy_bundle", full)
    with pytest.raises(OSError, match="No space left on device"):
        take(tmp_path / "new", sources("alpha"), "alpha-set")
    assert (cache.get_folder() / KEY).is_dir()


WRITER = """
import sys
from pathlib import Path
from kit import cache
from kit.files import temporary
for _ in range(int(sys.argv[3])):
    cache.keep(sys.argv[1], Path(sys.argv[2]))
    temporary.remove_folder(cache.get_folder() / sys.argv[1])
"""


@pytest.mark.slow
def test_concurrent_reads_and_writes_give_complete_bundles(kept, tmp_path):
    """With two concurrent writers, every bundle taken is complete."""
    words = [sys.executable, "-c", WRITER, KEY, str(tmp_path / "built"), "60"]
    writers = [subprocess.Popen(words, cwd=Path(__file__).parents[1]) for _ in range(2)]
    taken, whole = 0, loading.load_bundle(tmp_path / "built").hash
    for number in range(300):
        target = tmp_path / f"new{number}"
        if take(target, sources("alpha"), "alpha-set"):
            assert loading.load_bundle(target).hash == whole
            taken += 1
        else:
            assert list(target.iterdir()) == []
        shutil.rmtree(target)
        if all(writer.poll() is not None for writer in writers):
            break
    assert [writer.wait() for writer in writers] == [0, 0]
    assert taken > 0
    assert [p.name for p in cache.get_folder().iterdir() if p.name.startswith(".")] == []
