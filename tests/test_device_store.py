"""Files on a device: what travels, what is noticed, and what is left."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from device_samples import connected, opened
from transport_samples import FOLDER, NAMES

from kit.devices import adb, storage
from kit.devices.storage import BLOBS, CHECKED, Store, ask
from kit.errors import DeviceError

pytestmark = pytest.mark.usefixtures("direct")


@pytest.fixture
def device(clean_device):
    return clean_device


@pytest.fixture
def files(tmp_path):
    """Two files of this machine as blobs, by name."""
    result = {}
    for name, size in {"a b.bin": 300_000, "$(id)\n-ü": 7}.items():
        file = tmp_path / name
        file.write_bytes(os.urandom(size))
        result[name] = storage.make_blob(file)
    return result


def large(tmp_path: Path, size: int) -> dict[str, storage.Blob]:
    file = tmp_path / "large"
    file.write_bytes(os.urandom(size))
    return {"large": storage.make_blob(file)}


def inside(device) -> dict[str, int]:
    return {Path(name).name: size for name, size in device.files().items()}


def test_a_file_travels_once(device, files):
    with connected(device.serial) as transport:
        reports = []
        store = Store(transport, lambda done, of: reports.append((done, of)))
        store.put(files)
        assert store.pushed == 300_007
        assert reports[-1] == (300_007, 300_007)
        assert inside(device) == {blob.sha256: blob.size for blob in files.values()}
        for blob in files.values():
            assert device.read(store.path(blob)) == blob.file.read_bytes()
        again = Store(transport)
        again.put(files)
        store.put(files)
        assert (again.pushed, store.pushed) == (0, 300_007)


@pytest.mark.parametrize("old", [False, True])  # Android without `fsync`
def test_files_are_on_the_storage_before_they_have_their_names(device, files, old):
    def record(name, code):
        program = device.folder / "system/bin" / name
        program.unlink()
        program.write_text(
            f"#!/system/bin/sh\necho {name} $(ls -A {BLOBS}) >>{FOLDER}/synced; exit {code}\n"
        )
        program.chmod(0o755)

    record("fsync", int(old))
    record("sync", 0)
    with connected(device.serial) as transport:
        Store(transport).put(files)
        parts = " ".join(f".{digest}.part" for digest in sorted(b.sha256 for b in files.values()))
        rows = device.read("synced").decode().splitlines()
        assert rows == [f"fsync {parts}", f"sync {parts}"][: 1 + old]
        store = Store(transport)
        store.put(files)
        assert store.pushed == 0
        assert device.read("synced").decode().splitlines() == rows  # nothing more to wait for


@pytest.mark.parametrize("change", [lambda old: old[:-1], lambda old: b"x" + old[1:]])
def test_a_file_that_changed_there_travels_again(device, files, change):
    with connected(device.serial) as transport:
        Store(transport).put(files)
        blob = files["a b.bin"]
        device.write(f"{BLOBS}/{blob.sha256}", change(blob.file.read_bytes()))
        store = Store(transport)
        store.put(files)
        assert store.pushed == blob.size
        assert device.read(store.path(blob)) == blob.file.read_bytes()


def test_an_audit_finds_what_size_and_time_do_not_tell(device, files):
    with opened(device.serial) as one, one.folder() as folder:
        blob = files["a b.bin"]
        place = folder.put(blob.file)
        assert folder.audit() == []
        device.write(place, b"x" + blob.file.read_bytes()[1:])
        os.utime(device.storage / place.removeprefix("/data/local/tmp/"), (CHECKED, CHECKED))
        before = one.pushed
        assert folder.put(blob.file) == place
        assert one.pushed == before
        assert folder.audit() == ["a b.bin"]
        assert device.read(place) == blob.file.read_bytes()
        assert one.pushed == before + blob.size


def test_too_little_space_is_reported_before_anything_travels(device, tmp_path):
    device.free(40)
    with connected(device.serial) as transport:
        store = Store(transport)
        with pytest.raises(DeviceError, match=r"has \d+ MB free .* 5\d MB are needed") as caught:
            store.put(large(tmp_path, 20_000_000))
        assert "kit clean" in caught.value.hint
        assert (store.pushed, device.files()) == (0, {})


def test_a_device_that_fills_up_meanwhile_keeps_no_part(device, tmp_path):
    with connected(device.serial) as transport:
        blobs = large(tmp_path, 8_000_000)
        with pytest.raises(DeviceError, match="No space left"):
            Store(transport, lambda *_: device.free(0.1)).put(blobs)
        assert device.files() == {}
        device.free(None)
        Store(transport).put(blobs)
        assert inside(device) == {blobs["large"].sha256: 8_000_000}


def test_a_storage_that_cannot_be_written_to_is_reported(device, files):
    device.read_only()
    with connected(device.serial) as transport:
        with pytest.raises(DeviceError, match="Read-only file system") as caught:
            Store(transport).put(files)
        assert "can be written to" in caught.value.hint
    refused = pytest.raises(DeviceError, match="Read-only file system")
    with opened(device.serial) as one, refused, one.folder():
        pytest.fail("it was taken")
    device.read_only(False)
    assert device.files() == {}


class Altering:
    """A connection that damages a number of files on their way."""

    def __init__(self, inner, times):
        self.inner, self.serial, self.times = inner, inner.serial, times

    def shell(self, command, timeout=20.0):
        return self.inner.shell(command, timeout)

    def push(self, file, target, *rest):
        self.inner.push(file, target, *rest)
        if self.times:
            self.times -= 1
            self.inner.shell(f"printf x >>{target}")


@pytest.mark.parametrize("times", [1, 2])
def test_a_file_that_arrives_altered_is_sent_once_more(device, files, times):
    blob = {"a b.bin": files["a b.bin"]}
    with connected(device.serial) as transport:
        store = Store(Altering(transport, times))
        if times == 1:
            store.put(blob)
            assert inside(device) == {b.sha256: b.size for b in blob.values()}
        else:
            with pytest.raises(DeviceError, match=r"a b\.bin arrives altered"):
                store.put(blob)
            assert (store.pushed, device.files()) == (0, {})


def test_what_was_half_pushed_goes_at_the_next_look(device, files):
    with connected(device.serial) as transport:
        ask(transport, f"mkdir -p {BLOBS} && echo half >{BLOBS}/.{'0' * 64}.part")
        Store(transport).put(files)
        assert len(inside(device)) == 2


def test_a_set_of_links_is_made_whole_again(device, tmp_path):
    names = [name for name in NAMES if "\n" not in name and "\\" not in name]
    blobs = {}
    for name in names:
        (tmp_path / name).write_text(name)
        blobs[name] = storage.make_blob(tmp_path / name)
    with connected(device.serial) as transport:
        store = Store(transport)
        store.put(blobs)
        folder = store.link(blobs)
        assert store.link(dict(reversed(blobs.items()))) == folder
        link = device.storage / folder.removeprefix("/data/local/tmp/") / "it's"
        link.unlink()
        assert store.link(blobs) == folder
        script = f'cd {folder} && for f in *; do cat "./$f"; echo; done'
        assert sorted(ask(transport, script).splitlines()) == sorted(names)


def test_clean_leaves_nothing(device, files):
    with opened(device.serial, keep=True) as one:
        with one.folder() as folder:
            folder.install(files["a b.bin"].file.parent, {n: b.sha256 for n, b in files.items()})
            folder.write("kept", b"1")
        assert any(name.endswith("/kept") for name in device.files())
    with connected(device.serial) as transport:
        assert adb.clean(transport) > 300_000
        assert list(device.storage.iterdir()) == []
        assert adb.clean(transport) == 0


def test_a_shell_that_greets_is_understood(device, files):
    device.state.banner("Welcome!\n==kit:store== is not the mark\nno line end")
    with opened(device.serial) as one, one.folder() as folder:
        folder.put(files["a b.bin"].file)
        folder.put(files["a b.bin"].file)
        assert one.pushed == 300_000
        assert one.condition().battery == 80
