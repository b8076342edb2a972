"""Bundles: atomic writes, and verification of every byte."""

import hashlib
import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import rewrite
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from kit import cli, formats
from kit.bundles import loading, writing
from kit.bundles.bundle import Bundle
from kit.errors import BundleError, OutputError
from kit.manifest.schema import SCHEMA_VERSION, Manifest
from kit.notices import render
from kit.results import store


@pytest.fixture
def copy(tiny_bundle, tmp_path):
    return Path(shutil.copytree(tiny_bundle.path, tmp_path / "copy"))


def test_the_manifest_lists_every_file(tiny_bundle):
    actual = loading.load_bundle(tiny_bundle.path)
    manifest = actual.manifest
    listed = {p.relative_to(actual.path).as_posix() for p in actual.path.rglob("*") if p.is_file()}
    assert listed == set(manifest.files) | {"bundle.json"}
    assert all(actual.file(a.format).is_file() for a in manifest.artifacts)
    assert actual.file("reference").is_file()


def test_a_flipped_byte_in_any_file_is_refused(copy):
    for name in loading.load_bundle(copy).manifest.files:
        file = copy / name
        good = file.read_bytes()
        middle = len(good) // 2
        file.write_bytes(good[:middle] + bytes([good[middle] ^ 1]) + good[middle + 1 :])
        with pytest.raises(BundleError, match=f"{name} in .* was altered"):
            loading.load_bundle(copy)
        file.write_bytes(good)
    loading.load_bundle(copy)


def test_a_missing_file_is_refused(copy):
    name = loading.load_bundle(copy).manifest.artifacts[0].file
    (copy / name).unlink()
    with pytest.raises(BundleError, match=f"has no {name}"):
        loading.load_bundle(copy)


def edit(folder, **changes):
    path = folder / "bundle.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def test_newer_schema_is_refused(copy):
    edit(copy, schema_version=99, something_new=True)
    with pytest.raises(BundleError, match=f"schema 99; this kit reads up to {SCHEMA_VERSION}"):
        loading.load_bundle(copy)


def test_unknown_field_is_refused(copy):
    edit(copy, surprise=1)
    with pytest.raises(BundleError, match="not a valid bundle description"):
        loading.load_bundle(copy)


@pytest.mark.parametrize(
    "name", ["model-fp32.ptl", "reference.safetensors", "golden/input.npy", "labels.txt"]
)
def test_a_file_without_a_hash_is_refused(copy, name):
    """Changes of such a file would not be detected."""
    (copy / "labels.txt").write_text("a\n")
    entries = loading.load_bundle(copy).manifest.model_dump(mode="json")["files"]
    edit(copy, files={n: e for n, e in entries.items() if n != name}, labels="labels.txt")
    with pytest.raises(BundleError, match="gives no hash of"):
        loading.load_bundle(copy)


@pytest.mark.parametrize("name", ["golden/graph.npy", "/etc/hostname", "../a/golden/input.npy"])
def test_golden_graph_answers_outside_the_bundle_are_refused(copy, name):
    """Regression: they were read from any path, without a check of their hash."""
    golden = loading.load_bundle(copy).manifest.model_dump(mode="json")["golden"]
    edit(copy, golden={**golden, "graphs": {"lite": [name]}})
    with pytest.raises(BundleError, match="gives no hash of"):
        loading.load_bundle(copy)


@pytest.mark.parametrize("name", ["golden", "reference.safetensors", "bundle.json"])
def test_links_out_of_a_bundle_are_refused(copy, tmp_path, name):
    (copy / name).rename(tmp_path / "elsewhere")
    (copy / name).symlink_to(tmp_path / "elsewhere")
    with pytest.raises(BundleError, match=rf"{name}.* is outside the bundle: a symbolic link"):
        loading.load_bundle(copy)


def test_links_within_a_bundle_and_to_it_are_followed(copy, tmp_path):
    (copy / "golden").rename(copy / "answers")
    (copy / "golden").symlink_to("answers")
    (tmp_path / "link").symlink_to(copy)
    assert loading.load_bundle(tmp_path / "link").path == tmp_path / "link"


@pytest.mark.parametrize("name", ["../outside", "/etc/hostname", "a/../../b", "a\0b"])
def test_a_bundle_cannot_name_files_outside_itself(copy, name):
    edit(copy, files={name: {"size": 1, "sha256": "0" * 64}})
    with pytest.raises(BundleError, match="outside itself"):
        loading.load_bundle(copy)


@pytest.mark.parametrize("text", ["", "{", "[]", "null", "1", '{"schema_version": "x"}', "\xff"])
def test_invalid_manifests_are_refused(tmp_path, text):
    (tmp_path / "bundle.json").write_bytes(text.encode("latin-1"))
    with pytest.raises(BundleError):
        loading.load_bundle(tmp_path)


@given(st.data())
@settings(
    max_examples=100,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
def test_damaged_manifests_never_load_or_crash(copy, data):
    good = (copy / "bundle.json").read_bytes()
    at = data.draw(st.integers(0, len(good) - 1))
    if data.draw(st.booleans()):
        bad = good[:at]
    else:
        bad = good[:at] + bytes([good[at] ^ data.draw(st.integers(1, 255))]) + good[at + 1 :]
    target = copy.with_name("damaged")
    target.mkdir(exist_ok=True)
    (target / "bundle.json").write_bytes(bad)
    with pytest.raises(BundleError):
        loading.load_bundle(target)


def test_an_interrupted_write_leaves_the_old_bundle(copy):
    before = loading.load_bundle(copy).hash
    with pytest.raises(KeyboardInterrupt), writing.stage_bundle(copy) as work:
        (work / "bundle.json").write_text("half")
        raise KeyboardInterrupt
    assert loading.load_bundle(copy).hash == before
    assert [p.name for p in copy.parent.iterdir()] == ["copy"]


def test_a_folder_that_is_not_a_bundle_is_never_overwritten(tmp_path):
    target = tmp_path / "mine"
    target.mkdir()
    (target / "thesis.txt").write_text("years of work")
    with (
        pytest.raises(OutputError, match="exists and is not a bundle"),
        writing.stage_bundle(target),
    ):
        pass
    assert (target / "thesis.txt").read_text() == "years of work"


def replace_bundle(target: Path) -> None:
    with writing.stage_bundle(target) as work:
        (work / "new").write_text("1")


@pytest.mark.parametrize("text", ["{}", '{"apps": ["com.example"]}', "no JSON", "[]"])
def test_a_folder_with_another_bundle_json_is_never_overwritten(tmp_path, text):
    """Other tools use the file name bundle.json too."""
    target = tmp_path / "mine"
    target.mkdir()
    (target / "bundle.json").write_text(text)
    (target / "thesis.txt").write_text("years of work")
    for act in (writing.check_target, replace_bundle):
        with pytest.raises(OutputError, match="exists and is not a bundle"):
            act(target)
    assert (target / "thesis.txt").read_text() == "years of work"
    assert [p.name for p in tmp_path.iterdir()] == ["mine"]


@pytest.mark.parametrize("name", ["notes.txt", "golden/notes.txt", "deep/er/notes.txt"])
def test_a_bundle_with_user_files_is_never_overwritten(copy, name):
    (copy / name).parent.mkdir(parents=True, exist_ok=True)
    (copy / name).write_text("mine")
    for act in (writing.check_target, replace_bundle):
        with pytest.raises(OutputError, match=f"holds {name}, which is not of the bundle"):
            act(copy)
    assert (copy / name).read_text() == "mine"


def test_a_symlink_in_a_bundle_is_a_user_file(copy, tmp_path):
    (copy / "data").symlink_to(tmp_path)
    with pytest.raises(OutputError, match="holds data,"):
        writing.check_target(copy)


def test_files_created_during_the_build_are_kept(copy):
    with (
        pytest.raises(OutputError, match=r"holds result\.json"),
        writing.stage_bundle(copy) as work,
    ):
        (work / "new").write_text("1")
        (copy / "result.json").write_text("measured meanwhile")
    assert (copy / "result.json").read_text() == "measured meanwhile"
    assert loading.load_bundle(copy)


def test_a_bundle_with_ds_store_is_replaced(copy):
    (copy / ".DS_Store").write_bytes(b"")
    (copy / "model-fp32.onnx").unlink()  # a damaged bundle may be replaced too
    replace_bundle(copy)
    assert [p.name for p in copy.iterdir()] == ["new"]
    assert [p.name for p in copy.parent.iterdir()] == ["copy"]


def test_a_symlink_to_a_bundle_stays_a_symlink(copy, tmp_path):
    link = tmp_path / "latest"
    link.symlink_to(copy)
    replace_bundle(link)
    assert link.is_symlink()
    assert [p.name for p in copy.iterdir()] == ["new"]
    assert sorted(p.name for p in tmp_path.iterdir()) == ["copy", "latest"]


def test_concurrent_builds_into_one_folder_leave_one_bundle(copy, monkeypatch):
    """Another build creates the target between the two renames of this build."""
    other = Path(shutil.copytree(copy, copy.with_name("other")))
    rename, calls = Path.rename, []

    def late(self: Path, target: Path) -> Path:
        calls.append(self.name)
        if self.name.endswith(".part") and len(calls) == 2:
            rename(other, copy)
        return rename(self, target)

    monkeypatch.setattr(Path, "rename", late)
    replace_bundle(copy)
    assert [p.name for p in copy.iterdir()] == ["new"]
    assert [p.name for p in copy.parent.iterdir()] == ["copy"]


def test_an_interruption_between_renames_restores_the_old_bundle(copy, monkeypatch):
    rename = Path.rename

    def stopped(self: Path, target: Path) -> Path:
        if self.name.endswith(".part"):
            raise KeyboardInterrupt
        return rename(self, target)

    monkeypatch.setattr(Path, "rename", stopped)
    with pytest.raises(KeyboardInterrupt):
        replace_bundle(copy)
    assert loading.load_bundle(copy)
    assert [p.name for p in copy.parent.iterdir()] == ["copy"]


def test_empty_folder_may_be_filled(tmp_path):
    target = tmp_path / "empty"
    target.mkdir()
    with writing.stage_bundle(target) as work:
        (work / "x").write_text("1")
    assert (target / "x").read_text() == "1"


def test_file_in_the_way_of_a_folder(tmp_path):
    (tmp_path / "file").write_text("")
    with (
        pytest.raises(OutputError, match="cannot write"),
        writing.stage_bundle(tmp_path / "file" / "b"),
    ):
        pass


WRITE = """
import sys
from pathlib import Path
from kit.bundles import writing
with writing.stage_bundle(Path(sys.argv[1]) / "b") as work:
    (work / "big").write_bytes(bytes(4_000_000))
"""


def test_a_full_disk_leaves_no_partial_file(tmp_path):
    """A real file system of 1 MB, mounted in a separate namespace."""
    script = (
        'mount -t tmpfs -o size=1m none "$1" && "$2" -c "$3" "$1"; code=$?; ls -A "$1"; exit $code'
    )
    done = subprocess.run(
        ["unshare", "-Urm", "sh", "-c", script, "sh", str(tmp_path), sys.executable, WRITE],
        capture_output=True,
        text=True,
    )
    if "unshare" in done.stderr or "mount:" in done.stderr:
        pytest.skip(f"this machine allows no user namespaces: {done.stderr.strip()}")
    assert "OutputError: cannot write" in done.stderr
    assert "No space left on device" in done.stderr
    assert done.stdout.strip() == "", "a partial file was left behind"


def test_unwritable_place():
    """Not even root can create a folder in /proc."""
    with (
        pytest.raises(OutputError, match="cannot write"),
        writing.stage_bundle(Path("/proc/kit/b")),
    ):
        pass


@pytest.fixture
def with_folder(tiny_bundle, tmp_path) -> Bundle:
    """A bundle whose ONNX model is a folder of two files."""

    def change(fields) -> None:
        lite, onnx = fields["artifacts"]
        fields["artifacts"] = (lite, onnx.model_copy(update={"file": "model.mlpackage"}))

    files = {"model.mlpackage/data/weights.bin": b"abc", "model.mlpackage/Manifest.json": b"{}"}
    (tmp_path / "source").mkdir()
    return rewrite(tiny_bundle, tmp_path / "source" / "b", files, change)


class TestModelThatIsAFolder:
    def test_its_digest_is_that_of_names_sizes_and_digests(self, with_folder):
        entry = with_folder.manifest.measure("model.mlpackage")
        lines = [
            f"{name} {len(content)} {hashlib.sha256(content).hexdigest()}\n"
            for name, content in (("Manifest.json", b"{}"), ("data/weights.bin", b"abc"))
        ]
        assert entry.sha256 == hashlib.sha256("".join(lines).encode()).hexdigest()
        assert entry.size == 5
        assert with_folder.file("onnx").name == "model.mlpackage"
        (ref,) = [a for a in store.describe(with_folder).artifacts if a.format == "onnx"]
        assert (ref.size, ref.sha256) == (entry.size, entry.sha256)
        assert store.find_digest(with_folder, "onnx") == entry.sha256

    def test_it_is_copied_with_all_its_files(self, with_folder, tmp_path):
        writing.copy_bundle(with_folder.path, tmp_path / "copy")
        assert loading.load_bundle(tmp_path / "copy").hash == with_folder.hash
        writing.check_target(tmp_path / "copy")  # a bundle that may be replaced

    @pytest.mark.parametrize(
        ("file", "content", "message"),
        [
            ("data/weights.bin", b"abd", "weights.bin in .* was altered"),
            ("data/weights.bin", None, "has no model.mlpackage/data/weights.bin"),
            ("data/other.bin", b"", "holds model.mlpackage/data/other.bin, which is not of"),
        ],
    )
    def test_other_contents_are_refused(self, file, content, message, with_folder):
        path = with_folder.path / "model.mlpackage" / file
        path.unlink() if content is None else path.write_bytes(content)
        with pytest.raises(BundleError, match=message):
            loading.load_bundle(with_folder.path)

    def test_a_link_in_it_is_refused(self, with_folder, tmp_path):
        (with_folder.path / "model.mlpackage" / "more").symlink_to(tmp_path)
        with pytest.raises(BundleError, match=r"holds model.mlpackage/more, which is not of"):
            loading.load_bundle(with_folder.path)

    @pytest.mark.parametrize("name", ["golden", "nothing", "model.mlpackage/data"])
    def test_one_that_is_no_model_ends_commands_in_one_sentence(
        self, name, with_folder, tmp_path, capsys
    ):
        def change(fields) -> None:
            lite, onnx = fields["artifacts"]
            fields["artifacts"] = (lite, onnx.model_copy(update={"file": name}))

        other = tmp_path / "other"
        if name == "nothing":
            with pytest.raises(BundleError, match="gives no hash of nothing"):
                rewrite(with_folder, other, {}, change)
            return
        rewrite(with_folder, other, {}, change)
        assert cli.run(["show", str(other)]) == BundleError.exit_code
        assert "Traceback" not in capsys.readouterr().err
        with pytest.raises(BundleError):
            formats.get_format("onnx").load(other / name, 1)


@pytest.mark.parametrize("version", [5, 6])
def test_a_manifest_of_schema_5_or_6_is_read(tiny_bundle, tmp_path, version):
    """Models of schema 5 were files; pictures of schema 6 were resized by their shorter side."""
    old = rewrite(tiny_bundle, tmp_path / "old", {})
    raw = json.loads((old.path / "bundle.json").read_text())
    raw["schema_version"] = version
    for name in ("fit", "resize_to", "crop_width"):
        del raw["preprocessing"][name]
    for name in ("detection", "state"):
        raw.pop(name, None)
    (old.path / "bundle.json").write_text(json.dumps(raw))
    loaded = loading.load_bundle(old.path).manifest
    assert loaded.model_dump() == tiny_bundle.manifest.model_dump()


def test_a_manifest_of_schema_2_is_read(tiny_bundle, tmp_path):
    """Schema 2 had one input and one output, with one golden file each."""
    old = rewrite(tiny_bundle, tmp_path / "old", {})
    raw = json.loads((old.path / "bundle.json").read_text())
    signature, golden = raw.pop("signature"), raw["golden"]
    del raw["task"], raw["recipe"]["task"]
    raw["schema_version"] = 2
    (raw["input"],), (raw["output"],) = signature["inputs"], signature["outputs"]
    (golden["input"],) = golden.pop("inputs")
    for kind in ("outputs", "graphs"):
        answers = golden[kind].items()
        golden[kind] = {name.removesuffix("-fp32"): file for name, (file,) in answers}
    for artifact in raw["artifacts"]:
        del artifact["backend"], artifact["precision"]
    (old.path / "bundle.json").write_text(json.dumps(raw))
    loaded = loading.load_bundle(old.path).manifest
    assert loaded.model_dump() == tiny_bundle.manifest.model_dump()


def test_a_manifest_of_schema_3_is_read(tiny_bundle, tmp_path):
    """It had one file of each format, in the precision that the recipe's method gives."""
    old = rewrite(tiny_bundle, tmp_path / "old", {})
    raw = json.loads((old.path / "bundle.json").read_text())
    raw["schema_version"] = 3
    raw["recipe"]["quantize"] = "static"
    for artifact in raw["artifacts"]:
        del artifact["backend"], artifact["precision"]
        artifact["quantize"] = "static"
    outputs = raw["golden"]["outputs"].items()
    raw["golden"]["outputs"] = {name.removesuffix("-fp32"): files for name, files in outputs}
    raw["qconfig"] = {"lite": {"engine": "qnnpack"}}
    raw["failed"] = [{"format": "executorch", "stage": "gate", "reason": "r", "hint": "h"}]
    row = {"format": "onnx", "drop": None, "agreement": 99.0, "sqnr_db": None}
    raw["gate"] = {
        **{"pictures": "set", "pictures_sha256": "0" * 64, "images": 2, "rows": [row]},
        **{"max_drop": None, "min_agreement": 90.0},
    }
    del raw["notices"]
    raw["warnings"] = ["the weights are random"]
    (old.path / "bundle.json").write_text(json.dumps(raw))
    loaded = loading.load_bundle(old.path).manifest
    assert loaded.schema_version == SCHEMA_VERSION
    assert [artifact.name for artifact in loaded.artifacts] == ["lite-int8", "onnx-int8"]
    assert loaded.artifact("onnx-int8").file == "model-fp32.onnx"  # files keep their names
    assert list(loaded.golden.outputs) == ["reference", "lite-int8", "onnx-int8"]
    assert list(loaded.qconfig) == ["lite-int8"]
    assert [one.name for one in (*loaded.failed, *loaded.gate.rows)] == [
        *("executorch-int8", "onnx-int8"),
    ]
    assert [render(notice) for notice in loaded.notices] == ["the weights are random"]
    fields = set(Manifest.model_fields) - {"files"}
    writing.write_manifest(old.path, {n: getattr(loaded, n) for n in fields})
    assert (
        loading.load_bundle(old.path).manifest == loaded
    )  # a manifest written in the new schema is not converted again
