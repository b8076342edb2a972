"""The cache: the same bundle under the names that its sources have now."""

from __future__ import annotations

import pytest
from conftest import rewrite

from kit import bundle, cache, recipe
from kit.manifest import Calibration, Manifest, Source, Training

KEY = "0" * 64


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("KIT_CACHE", str(tmp_path / "cache"))


def sources(name: str) -> recipe.Recipe:
    """Return a recipe whose files are all called `name`."""
    fields = {"weights": f"/a/{name}.pth", "calibrate": f"/a/{name}-set", "train": f"/b/{name}"}
    return recipe.make("mobilenet_v2", quantize="qat", labels=f"/{name}.txt", **fields)


@pytest.fixture
def kept(tiny_bundle, tmp_path) -> Manifest:
    """Keep a bundle that was trained, from files called alpha."""
    made = sources("alpha")

    def change(fields) -> None:
        fields["recipe"], fields["recipe_hash"] = made, made.hash
        fields["weights"] = Source(source="file alpha.pth", sha256="1")
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


def test_what_is_taken_has_the_names_of_this_build(kept, tmp_path):
    made = sources("beta")
    assert cache.find(KEY, tmp_path / "new", made, "beta-set")
    found = bundle.load(tmp_path / "new").manifest
    assert (found.recipe, found.recipe_hash) == (made, made.hash)
    assert found.weights == Source(source="file beta.pth", sha256="1")
    assert "alpha" not in found.model_dump_json()
    same = {"recipe", "recipe_hash", "weights", "calibration", "training"}
    assert found.model_dump(exclude=same) == kept.model_dump(exclude=same)
    assert found.calibration.model_dump(exclude={"source"}) == kept.calibration.model_dump(
        exclude={"source"}
    )


def test_an_own_model_has_the_name_of_this_build(kept, tmp_path):
    (tmp_path / "net.py").touch()
    name = f"{tmp_path / 'net.py'}:make"
    made = recipe.make(name, calibrate="/a/beta-set")
    assert cache.find(KEY, tmp_path / "new", made, "beta-set")
    found = bundle.load(tmp_path / "new").manifest
    assert found.weights == Source(source=f"own model {name}", sha256="1")


def test_training_on_the_calibration_set_has_its_name(kept, tmp_path):
    made = sources("beta").model_copy(update={"train": None})
    assert cache.find(KEY, tmp_path / "new", made, "beta-set")
    assert bundle.load(tmp_path / "new").manifest.training.source == "beta-set"


def test_the_same_build_is_taken_byte_for_byte(kept, tmp_path):
    assert cache.find(KEY, tmp_path / "new", sources("alpha"), "alpha-set")
    assert bundle.load(tmp_path / "new").hash == bundle.load(tmp_path / "built").hash


def test_a_damaged_bundle_is_not_there_and_removed(kept, tmp_path):
    (cache.folder() / KEY / "model.onnx").write_bytes(b"x")
    assert not cache.find(KEY, tmp_path / "new", sources("alpha"), "alpha-set")
    assert not (cache.folder() / KEY).exists()
    assert not cache.find(KEY, tmp_path / "new", sources("alpha"), "alpha-set")
