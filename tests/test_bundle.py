"""Bundles: whole or not there, and every byte of them checked."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from kit import bundle
from kit.errors import BundleError, OutputError


@pytest.fixture
def copy(tiny_bundle, tmp_path):
    import shutil

    return Path(shutil.copytree(tiny_bundle.path, tmp_path / "copy"))


def test_it_describes_itself(tiny_bundle):
    found = bundle.load(tiny_bundle.path)
    manifest = found.manifest
    listed = {p.relative_to(found.path).as_posix() for p in found.path.rglob("*") if p.is_file()}
    assert listed == set(manifest.files) | {"bundle.json"}
    assert all(found.file(a.format).is_file() for a in manifest.artifacts)
    assert found.file("reference").is_file()


def test_flipped_byte_in_every_file(copy):
    for name in bundle.load(copy).manifest.files:
        file = copy / name
        good = file.read_bytes()
        middle = len(good) // 2
        file.write_bytes(good[:middle] + bytes([good[middle] ^ 1]) + good[middle + 1 :])
        with pytest.raises(BundleError, match=f"{name} in .* was altered"):
            bundle.load(copy)
        file.write_bytes(good)
    bundle.load(copy)


def test_missing_file(copy):
    name = bundle.load(copy).manifest.artifacts[0].file
    (copy / name).unlink()
    with pytest.raises(BundleError, match=f"lacks {name}"):
        bundle.load(copy)


def edit(folder, **changes):
    path = folder / "bundle.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def test_newer_schema_says_so(copy):
    edit(copy, schema_version=99, something_new=True)
    with pytest.raises(BundleError, match="schema 99; this kit reads up to 1"):
        bundle.load(copy)


def test_unknown_field_is_refused(copy):
    edit(copy, surprise=1)
    with pytest.raises(BundleError, match="not a valid bundle description"):
        bundle.load(copy)


@pytest.mark.parametrize("name", ["../outside", "/etc/hostname", "a/../../b"])
def test_a_bundle_cannot_name_files_outside_itself(copy, name):
    edit(copy, files={name: {"size": 1, "sha256": "00"}})
    with pytest.raises(BundleError, match="outside itself"):
        bundle.load(copy)


@pytest.mark.parametrize("text", ["", "{", "[]", "null", "1", '{"schema_version": "x"}', "\xff"])
def test_not_a_manifest(tmp_path, text):
    (tmp_path / "bundle.json").write_bytes(text.encode("latin-1"))
    with pytest.raises(BundleError):
        bundle.load(tmp_path)


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
        bundle.load(target)


def test_an_interrupted_write_leaves_the_old_bundle(copy):
    before = bundle.load(copy).hash
    with pytest.raises(KeyboardInterrupt), bundle.staged(copy) as work:
        (work / "bundle.json").write_text("half")
        raise KeyboardInterrupt
    assert bundle.load(copy).hash == before
    assert [p.name for p in copy.parent.iterdir()] == ["copy"]


def test_something_else_is_never_overwritten(tmp_path):
    target = tmp_path / "mine"
    target.mkdir()
    (target / "thesis.txt").write_text("years of work")
    with pytest.raises(OutputError, match="exists and is not a bundle"), bundle.staged(target):
        pass
    assert (target / "thesis.txt").read_text() == "years of work"


def test_empty_folder_may_be_filled(tmp_path):
    target = tmp_path / "empty"
    target.mkdir()
    with bundle.staged(target) as work:
        (work / "x").write_text("1")
    assert (target / "x").read_text() == "1"


def test_file_in_the_way_of_a_folder(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="cannot write"), bundle.staged(tmp_path / "file" / "b"):
        pass


WRITE = """
import sys
from pathlib import Path
from kit import bundle
with bundle.staged(Path(sys.argv[1]) / "b") as work:
    (work / "big").write_bytes(bytes(4_000_000))
"""


def test_full_disk(tmp_path):
    """A real one: a file system of 1 MB, mounted in a namespace of its own."""
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
    assert done.stdout.strip() == "", "something half-written was left behind"


def test_unwritable_place():
    """Nobody can make a folder in /proc, root included."""
    with pytest.raises(OutputError, match="cannot write"), bundle.staged(Path("/proc/kit/b")):
        pass
