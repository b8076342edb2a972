"""Weights files: unsafe, broken, of another architecture."""

from __future__ import annotations

import copy
import hashlib
import pickle
import re
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from kit.errors import WeightsError
from kit.models.fitting import load_into
from kit.models.interface import Official
from kit.models.weights import hash_source, read_nest, read_state, split_key
from kit.pipeline._model import _hint_architecture

OFFICIAL = Official(file="w.pth", url="", sha256="5f" * 32, accuracy=50.0)


# Hashes for cache keys


def test_source_hash(tmp_path):
    file = tmp_path / "w.pth"
    file.write_bytes(b"weights")
    assert hash_source("random", None, 7) == "random:7"
    assert hash_source("imagenet", OFFICIAL, 0) == OFFICIAL.sha256
    assert hash_source(str(file), None, 0) == hashlib.sha256(b"weights").hexdigest()
    with pytest.raises(WeightsError, match="no published weights"):
        hash_source("imagenet", None, 0)
    with pytest.raises(WeightsError, match=r"cannot read the weights .*gone\.pth: No such file"):
        hash_source(str(tmp_path / "gone.pth"), None, 0)


def test_hashes_and_sources_need_no_torch():
    code = (
        "import sys; from kit.models import weights; weights.hash_source('random', None, 0)\n"
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
    pickle.loads(pickle.dumps(value))  # the attack works if loading is permitted
    assert mark.exists()


def test_a_whole_model_is_refused(tmp_path):
    with pytest.raises(WeightsError, match=r"would run torch\.nn\.\S+ when") as caught:
        read_state(save(tmp_path / "w.pth", net()))
    assert "state_dict()" in caught.value.hint


@pytest.mark.parametrize(
    "data", [b"", b"hello", b"PK\x03\x04 no zip", b"\x80\x02}q\x00", bytes(99)]
)
def test_corrupt_files_are_refused(tmp_path, data):
    file = tmp_path / "w.pth"
    file.write_bytes(data)
    with pytest.raises(WeightsError, match=r"w\.pth is corrupt or not a weights file") as caught:
        read_state(file)
    assert len(caught.value.message.rpartition(": ")[2].split()) > 3  # a sentence, no number


@pytest.mark.parametrize("old", [False, True])
def test_a_truncated_file_is_refused(tmp_path, old):
    file = save(tmp_path / "w.pth", net().state_dict(), _use_new_zipfile_serialization=not old)
    data = file.read_bytes()
    for share in (0.1, 0.5, 0.9, 0.999):
        file.write_bytes(data[: int(len(data) * share)])
        # A file cut inside a name may end with an unknown name.
        with pytest.raises(WeightsError, match=r"is corrupt or not a weights|would run torc"):
            read_state(file)


def test_missing_paths_and_folders_are_refused(tmp_path):
    with pytest.raises(WeightsError, match=r"cannot read the weights .*gone\.pth"):
        read_state(tmp_path / "gone.pth")
    with pytest.raises(WeightsError, match="cannot read the weights"):
        read_state(tmp_path)


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ([1, 2], "holds list, not a state dict"),
        ({}, "holds dict, not a state dict"),
        ({"epoch": 3}, "'epoch' is of type int"),
        ({1: 2}, "1 is of type int"),
    ],
)
def test_values_other_than_a_state_dict_are_refused(tmp_path, value, message):
    with pytest.raises(WeightsError, match=message):
        read_state(save(tmp_path / "w.pth", value))


def scripted(path):
    import torch

    torch.jit.script(net()).save(str(path))


def archive(*names):
    def write(path):
        with zipfile.ZipFile(path, "w") as file:
            for name in names:
                file.writestr(name, "")

    return write


@pytest.mark.parametrize(
    ("write", "message", "hint"),
    [
        (scripted, "is TorchScript, not a state dict", r"torch\.jit\.load\(FILE\)\.state_dict"),
        (archive("m/models/model.json"), "is an exported program", "torch.export.load"),
        (
            lambda path: path.write_text("version https://git-lfs.github.com/spec/v1\noid sha256:"),
            "is a pointer of Git LFS",
            "git lfs pull",
        ),
        (lambda path: path.write_text("\n<!DOCTYPE html><html>"), "is a web page", "download"),
    ],
)
def test_intact_files_without_weights_are_named_by_their_kind(tmp_path, write, message, hint):
    """They must not be called corrupt, with the advice to download them again."""
    write(tmp_path / "w.pth")
    with pytest.raises(WeightsError, match=message) as caught:
        read_state(tmp_path / "w.pth")
    assert re.search(hint, caught.value.hint)


@pytest.mark.parametrize("name", ["W.SAFETENSORS", "safetensors.pth"])
def test_safetensors_is_recognized_by_content(tmp_path, name):
    from safetensors.torch import save_file

    state = net().state_dict()
    save_file(state, tmp_path / name)
    assert read_state(tmp_path / name).keys() == state.keys()


# Fitting


def test_weights_of_another_architecture_are_refused():
    import torch

    state = net().state_dict()

    def check(changed: dict[str, torch.Tensor], message: str) -> None:
        target = net()
        before = {key: value.clone() for key, value in target.state_dict().items()}
        pattern = f"of another architecture: first mismatch {message}"
        with pytest.raises(WeightsError, match=pattern):
            load_into(target, changed, "w.pth")
        assert all(torch.equal(v, before[k]) for k, v in target.state_dict().items())

    without = {key: value for key, value in state.items() if key != "2.bias"}
    check(without, r"2\.bias, which is missing")
    check({**state, "9.w": torch.zeros(1)}, r"'9\.w', which the model does not have")
    check({**state, "0.weight": torch.zeros(4, 3, 1, 1)}, r"0\.weight, of shape \[4, 3, 1, 1\]")
    check({**state, "2.bias": torch.zeros(2).int()}, r"2\.bias, of type torch\.int32")


@pytest.mark.parametrize(
    ("model", "hint"),
    [
        ("nets/mine.py:make", "let make in nets/mine.py return the network that they were"),
        ("torchvision:resnet18", "name the model that they were trained with"),
        ("mobilenet_v2", "name the model and the width that they were trained with"),
    ],
)
def test_the_hint_about_an_architecture_names_only_what_a_model_has(model, hint):
    assert _hint_architecture(model).startswith(hint)
    with pytest.raises(WeightsError) as caught:
        load_into(net(), {}, "w.pth", hint=hint)
    assert caught.value.hint == hint


@pytest.mark.parametrize("prefix", ["_orig_mod.", "model.", "module._orig_mod.", "net."])
def test_prefixes_of_wrappers_are_removed(prefix):
    """They must not be taken for another architecture."""
    import torch

    state = {prefix + key: value for key, value in net().state_dict().items()}
    for beside in ({}, {"criterion.weight": torch.ones(10), "n_averaged": torch.tensor(3)}):
        target = net()
        with torch.no_grad():
            target[0].weight.zero_()
        assert load_into(target, {**state, **beside}, "w.pth") == prefix
        assert torch.equal(target[0].weight, state[f"{prefix}0.weight"])


AVERAGED = ("state_dict_ema", "model_ema", "ema_state_dict", "ema", "params_ema")


@pytest.mark.parametrize("key", ["net", "model_state", "params", "ema", "my_weights"])
def test_a_single_nested_state_dict_is_loaded(tmp_path, key):
    """The keys are none of the known ones."""
    import torch

    state = net().state_dict()
    optimizer = torch.optim.Adam(net().parameters())
    optimizer.step()
    beside = {"epoch": 3, "optimizer": optimizer.state_dict(), "loss": torch.ones(1)}
    nest = read_nest(save(tmp_path / "w.pth", {**beside, key: state}))
    assert (nest.key, nest.others, nest.state.keys()) == (key, (), state.keys())


@pytest.mark.parametrize("key", AVERAGED)
def test_of_several_the_trained_one_is_loaded_unless_a_key_selects(tmp_path, key):
    import torch

    state = {"w": torch.zeros(1)}
    averaged = {"module": {"w": torch.ones(1)}, "updates": 7} if key == "ema" else {"w": state["w"]}
    path = save(tmp_path / "w.pth", {key: averaged, "model": state})
    full = "ema.module" if key == "ema" else key
    nest = read_nest(path)
    assert (nest.key, nest.others) == ("model", (full,))
    file, chosen = split_key(f"{path}:{full}")
    assert (file, chosen) == (path, full)
    assert read_nest(file, chosen).state["w"].item() == (key == "ema")
    with pytest.raises(WeightsError, match="has no state dict called 'swa'") as caught:
        read_nest(path, "swa")
    assert "'model'" in caught.value.hint
    assert hash_source(f"{path}:{full}", None, 0) == f"{hash_source(str(path), None, 0)}:{full}"


def test_several_state_dicts_with_unknown_names_need_a_key(tmp_path):
    import torch

    both = {name: {"w": torch.zeros(1)} for name in ("generator", "discriminator")}
    with pytest.raises(WeightsError, match="several state dicts: 'generator', 'disc") as caught:
        read_nest(save(tmp_path / "w.pth", both))
    assert caught.value.hint == f"choose one: --weights {tmp_path / 'w.pth'}:generator"


def test_a_colon_may_be_part_of_a_files_name(tmp_path):
    (tmp_path / "a:b").write_bytes(b"")
    assert split_key(str(tmp_path / "a:b")) == (tmp_path / "a:b", "")
    assert split_key("missing.pth:x") == (Path("missing.pth:x"), "")


@pytest.mark.filterwarnings("ignore")
def test_weights_of_a_quantized_network_are_named(tmp_path):
    import torch

    quantized = torch.quantize_per_tensor(torch.ones(2, 2), 0.1, 0, torch.qint8)
    with pytest.raises(WeightsError, match="holds a network that is quantized already"):
        read_state(save(tmp_path / "w.pth", {"weight": quantized, "bias": None}))


def test_the_state_of_an_optimizer_is_named(tmp_path):
    import torch

    state = torch.optim.SGD(net().parameters(), lr=0.1).state_dict()
    with pytest.raises(WeightsError, match="is the state of an optimizer"):
        read_state(save(tmp_path / "w.pth", state))


def test_arguments_and_numbers_of_numpy_are_ignored(tmp_path):
    """None of them executes code."""
    import argparse

    import numpy as np

    state = net().state_dict()
    beside = {"args": argparse.Namespace(lr=0.1, out=Path("x")), "best": np.float64(71.2)}
    assert read_state(save(tmp_path / "w.pth", {"model": state, **beside})).keys() == state.keys()


@pytest.mark.parametrize("prefix", ["", "model."])
@pytest.mark.parametrize("kind", ["pruned", "hook", "parametrization"])
def test_computed_weights_of_a_file_become_stored_ones(kind, prefix):
    import torch
    from torch.nn.utils import parametrizations, prune, weight_norm

    source = net().eval()
    for layer in (source[0], source[2]):
        if kind == "pruned":
            prune.l1_unstructured(layer, "weight", amount=0.5)
        elif kind == "hook":
            weight_norm(layer)
        else:
            parametrizations.weight_norm(layer)
    with torch.no_grad():
        if kind == "parametrization":
            source[0].parametrizations.weight.original0 *= 2
        source(torch.rand(1, 3, 4, 6))  # the hooks compute
    state = {prefix + name: value for name, value in source.state_dict().items()}
    target = net()
    assert load_into(target, state, "w.pth") == prefix
    torch.testing.assert_close(target[0].weight, source[0].weight)
    torch.testing.assert_close(target[2].weight, source[2].weight)
    again = copy.deepcopy(source) if kind == "parametrization" else source
    load_into(again, source.state_dict(), "w.pth")  # a network that computes them keeps its names


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (("0.lora_A.weight",), r"adapters \(LoRA\)"),
        (("2._packed_params.dtype",), "quantized already"),
        (("0.activation_post_process.min_val",), r"prepared for quantization \(QAT\)"),
        (("0.weight_u", "0.weight_orig"), "with spectral norm"),
    ],
)
def test_names_of_other_networks_are_explained(names, message):
    import torch

    state = net().state_dict()
    del state["0.weight"]
    with pytest.raises(WeightsError, match=message):
        load_into(net(), {**state, **{name: torch.zeros(1) for name in names}}, "w.pth")


def test_two_networks_in_a_file_are_refused():
    state = net().state_dict()
    both = {f"{name}.{key}": value for name in ("model", "ema") for key, value in state.items()}
    with pytest.raises(WeightsError, match="of another architecture"):
        load_into(net(), both, "w.pth")


def test_a_different_number_of_outputs_is_reported_with_both_numbers():
    from torch import nn

    state = {"0.weight": nn.Linear(4, 7).weight, "0.bias": nn.Linear(4, 7).bias}
    with pytest.raises(WeightsError, match=r"w\.pth have 7 outputs, and the model has 5") as caught:
        load_into(nn.Sequential(nn.Linear(4, 5)), state, "w.pth")
    assert "name the 7 classes with --labels" in caught.value.hint
    with pytest.raises(WeightsError, match=r"have 7 outputs, and my\.txt names 5 classes"):
        load_into(nn.Sequential(nn.Linear(4, 5)), state, "w.pth", "my.txt")
    # Where more differs, it is another architecture.
    wide = nn.Sequential(nn.Linear(4, 6), nn.Linear(6, 7)).state_dict()
    with pytest.raises(WeightsError, match="of another architecture"):
        load_into(nn.Sequential(nn.Linear(4, 5), nn.Linear(5, 7)), wide, "w.pth")


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_weights_with_nan_or_infinity_are_refused(value):
    state = net().state_dict()
    state["1.running_var"][2] = value
    with pytest.raises(WeightsError, match=r"hold NaN or infinity in 1\.running_var"):
        load_into(net(), state, "w.pth")


def test_half_precision_and_old_batch_norms_are_accepted():
    import torch

    state = {k: v for k, v in net().state_dict().items() if "num_batches" not in k}
    target = net()
    load_into(target, {k: v.half() for k, v in state.items()}, "w.pth")
    assert target[0].weight.dtype == torch.float32
    assert torch.equal(target[0].weight, state["0.weight"].half().float())
