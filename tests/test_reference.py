"""The float model of a bundle as data: the same answers, and no executable content."""

from __future__ import annotations

import contextlib
import io
import json
import os
import zipfile
from functools import partial
from pathlib import Path

import pytest
from bundle_samples import net

from kit.errors import BuildError, BundleError, RunError
from kit.formats import get_reference
from kit.formats._reference import aten_file, pt2

torch = pytest.importorskip("torch")


class Awkward(torch.nn.Module):
    """Features of exported graphs: sizes, several results, constants, infinities.

    A block in which gradients are switched off is a graph of its own.
    """

    def __init__(self, block=True):
        super().__init__()
        self.block = block
        self.conv = torch.nn.Conv2d(3, 8, 3, stride=2)
        self.norm = torch.nn.BatchNorm2d(8)
        self.first, self.second = torch.nn.Linear(8, 4), torch.nn.Linear(8, 4)
        self.second.weight = self.first.weight  # shared

    def forward(self, image):
        with torch.no_grad() if self.block else contextlib.nullcontext():
            features = torch.nn.functional.relu(self.norm(self.conv(image)), inplace=True)
        left, right = torch.split(features, 4, 1)
        count = image.shape[0]
        masked = (left * right).masked_fill(left > 0.5, float("-inf")).softmax(1)
        rows = masked.to(torch.float64).float().reshape(count * 2, -1)[:count, :4]
        mean = torch.nn.functional.gelu(features.mean((2, 3)), approximate="tanh")
        return self.first(mean) + self.second(mean) + rows + torch.tensor([1.0, 2, 3, 4])


def awkward(block=True):
    torch.manual_seed(3)
    return Awkward(block).eval()


def program(model):
    batch = torch.export.Dim("batch", min=1)
    example = (torch.rand(2, 3, 32, 32),)
    return torch.export.export(model, example, dynamic_shapes=({0: batch},))


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    path = tmp_path_factory.mktemp("reference") / "reference.safetensors"
    get_reference().export(awkward(), (torch.rand(1, 3, 32, 32),), path)
    return path


@pytest.mark.parametrize("count", [1, 2, 7])
def test_answers_equal_eager_pytorch_bit_for_bit(written, count):
    images = torch.rand(count, 3, 32, 32)
    with torch.inference_mode():
        assert torch.equal(get_reference().read_model(written)(images.clone()), awkward()(images))


@pytest.mark.slow
@pytest.mark.parametrize("name", ["mobilenet_v2", "mobilenet_v3_small", "shufflenet_v2_x0_5"])
def test_usual_networks_equal_eager_pytorch_bit_for_bit(name, tmp_path):
    import torchvision

    model = torchvision.models.get_model(name).eval()
    images = torch.rand(1, 3, 96, 96)
    get_reference().export(model, (images,), tmp_path / "reference.safetensors")
    with torch.inference_mode():
        answer = get_reference().read_model(tmp_path / "reference.safetensors")(images)
        assert torch.equal(answer, model(images))


@pytest.mark.parametrize("make", [net, partial(awkward, block=False)], ids=["net", "awkward"])
def test_the_archive_of_an_older_kit_is_read_as_data(make, tmp_path):
    """Its pickle is replaced by one that would create a file."""
    torch.export.save(program(torch.nn.Sequential(make())), tmp_path / "saved.pt2")
    path = poisoned(tmp_path / "saved.pt2", tmp_path / "ran")
    images = torch.rand(3, 3, 32, 32)
    with torch.inference_mode():
        assert torch.equal(get_reference().read_model(path)(images), make()(images))
    assert not (tmp_path / "ran").exists()


def test_unsupported_parts_of_an_old_archive_are_named(tmp_path):
    torch.export.save(program(awkward()), tmp_path / "a.pt2")
    with pytest.raises(BundleError, match="as_graph is a kind of argument that kit does not read"):
        pt2.load(tmp_path / "a.pt2")


class Payload:
    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self):
        return os.mkdir, (str(self.marker),)


def poisoned(source: Path, marker: Path) -> Path:
    target = source.with_name("reference.pt2")
    buffer = io.BytesIO()
    torch.save(Payload(marker), buffer)
    with zipfile.ZipFile(source) as old, zipfile.ZipFile(target, "w") as new:
        for name in old.namelist():
            new.writestr(name, buffer.getvalue() if "sample_inputs" in name else old.read(name))
    return target


def test_a_pickled_weight_is_refused(tmp_path):
    torch.export.save(program(net()), tmp_path / "saved.pt2")
    with zipfile.ZipFile(tmp_path / "saved.pt2") as old:
        members = {name: old.read(name) for name in old.namelist()}
    (config,) = [name for name in members if name.endswith("model_weights_config.json")]
    members[config] = members[config].replace(b'"use_pickle": false', b'"use_pickle": true', 1)
    with zipfile.ZipFile(tmp_path / "a.pt2", "w") as new:
        for name, data in members.items():
            new.writestr(name, data)
    with pytest.raises(BundleError, match="is a pickle, which kit does not read"):
        pt2.load(tmp_path / "a.pt2")


CALL = {"op": "aten.relu.default", "result": "y", "args": [{"ref": "x"}], "kwargs": {}}


def write(path: Path, calls: list[dict], **changes) -> Path:
    from safetensors.torch import save_file

    graph = {"version": 1, "inputs": ["x"], "outputs": ["y"], "calls": calls, **changes}
    save_file({"w": torch.ones(1)}, path, {"kit.aten": json.dumps(graph)})
    return path


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"op": "os.system"}, "'os.system' is no operator of torch"),
        ({"op": "aten.__class__.mro"}, "is no operator of torch"),
        ({"op": "aten.relu"}, "is no operator of torch"),
        ({"op": "aten.relu.other"}, "is no operator of torch"),
        ({"op": "operator.attrgetter"}, "is no operator of torch"),
        ({"op": "prims.relu.default"}, "is no operator of torch"),
        (
            {"op": "aten.from_file.default", "args": ["/etc/hostname", False, 4]},
            "takes no text as filename, here '/etc/hostname'",
        ),
        (
            {"op": "aten.from_file.default", "args": [], "kwargs": {"filename": "/etc/hostname"}},
            "takes no text as filename",
        ),
        ({"args": [["text"]]}, "takes no text as self"),
        ({"args": [{"ref": "nothing"}]}, "nothing defines 'nothing'"),
        ({"args": [{"ref": "y"}]}, "nothing defines 'y'"),
        ({"result": "z"}, "has no output"),
        ({"args": [{"dtype": "load"}]}, "is no value"),
        ({"args": [{"dtype": "float32", "layout": "strided"}]}, "too many values"),
        ({"args": [{"memory_format": "nn"}]}, "is no value"),
        ({"kwargs": []}, "is not the float model of a bundle"),
    ],
)
def test_calls_other_than_tensor_operators_are_refused(change, message, tmp_path):
    with pytest.raises(BundleError, match=message):
        aten_file.load_model(write(tmp_path / "a.safetensors", [{**CALL, **change}]))


@pytest.mark.parametrize("change", [{"version": 2}, {"version": True}, {"outputs": []}])
def test_an_invalid_graph_is_refused(change, tmp_path):
    with pytest.raises(BundleError):
        aten_file.load_model(write(tmp_path / "a.safetensors", [CALL], **change))


@pytest.mark.parametrize("data", [b"", b"PK\3\4", b"\x80\x04.", b"\0" * 100, b'{"a": 1}'])
@pytest.mark.parametrize("load", [aten_file.load_model, pt2.load])
def test_a_foreign_file_is_refused(data, load, tmp_path):
    (tmp_path / "a").write_bytes(data)
    with pytest.raises(BundleError, match="is not the float model of a bundle"):
        load(tmp_path / "a")


def test_an_operator_that_fails_is_named(tmp_path):
    calls = [{**CALL, "op": "aten.reshape.default", "args": [{"ref": "x"}, [7, 7]]}]
    model = aten_file.load_model(write(tmp_path / "a.safetensors", calls))
    with pytest.raises(RunError, match=r"fails at aten\.reshape\.default: shape"):
        model(torch.ones(3))


@pytest.mark.parametrize("value", [[0], {"ref": "w"}])
def test_arithmetic_accepts_only_numbers(value, tmp_path):
    """A list times a number would fill the memory."""
    calls = [{**CALL, "op": "operator.mul", "args": [value, 3]}]
    model = aten_file.load_model(write(tmp_path / "a.safetensors", calls))
    if value == [0]:
        with pytest.raises(RunError, match="are not numbers"):
            model(torch.ones(1))
    else:
        assert model(torch.ones(1)).tolist() == [3.0]


def test_sizes_too_large_for_torch_are_refused(tmp_path):
    """45 squares of a number would take days."""
    calls = [
        {**CALL, "op": "operator.mul", "args": [{"ref": f"n{i}"} if i else 10**9] * 2}
        | {"result": f"n{i + 1}"}
        for i in range(45)
    ]
    model = aten_file.load_model(write(tmp_path / "a.safetensors", [*calls, CALL]))
    with pytest.raises(RunError, match=r"fails at operator\.mul: a size is a number of 120 bits"):
        model(torch.ones(1))


class Deciding(torch.nn.Module):
    def forward(self, image):
        mean = image.mean((2, 3))
        return torch.cond(image.shape[0] > 5, lambda x: x + 1, lambda x: x - 1, (mean,))


def test_a_model_that_cannot_be_written_is_reported(tmp_path):
    with pytest.raises(BuildError, match=r"cannot be written as data: .*cond"):
        get_reference().export(Deciding().eval(), (torch.rand(1, 3, 8, 8),), tmp_path / "a")
    assert list(tmp_path.iterdir()) == []
