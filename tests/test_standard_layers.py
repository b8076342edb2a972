"""Layers whose weights are computed by hooks, and BatchNorm of other classes, become plain ones."""

from __future__ import annotations

import copy
import json
import shutil
from pathlib import Path

import pytest
import torch
from torch import nn
from torch.nn.utils import prune

from kit import cli
from kit.algorithms import get_algorithm
from kit.errors import BuildError
from kit.quantize.graph import fold
from kit.quantize.options import Options

HERE = Path(__file__).parent
PX = 16
LAYERS = ("stem.0", "mid.0", "neck.0", "head")

pytestmark = pytest.mark.filterwarnings("ignore:.*(weight_norm|spectral_norm).*:FutureWarning")


class Net(nn.Module):
    def __init__(self, transposed_groups: int = 0) -> None:
        super().__init__()
        made = transposed_groups or 1
        self.stem = nn.Sequential(nn.Conv2d(3, 8, 3, 2, 1, bias=False), nn.BatchNorm2d(8))
        up = nn.ConvTranspose2d(8, 12, 3, 2, 1, 1, groups=made, bias=made > 1)
        self.up = nn.Sequential(up, nn.BatchNorm2d(12)) if transposed_groups else None
        wide = 12 if transposed_groups else 8
        self.mid = nn.Sequential(nn.Conv2d(wide, 8, 3), nn.BatchNorm2d(8), nn.ReLU6())
        self.neck = nn.Sequential(nn.Linear(8, 8), nn.BatchNorm1d(8), nn.ReLU())
        self.head = nn.Linear(8, 10)

    def forward(self, x):
        x = self.stem(x)
        x = x if self.up is None else self.up(x)
        return self.head(self.neck(self.mid(x).mean((2, 3))))


class Branching(Net):
    """Symbolic tracing cannot follow it."""

    def forward(self, x):
        return super().forward(x if x.shape[-1] > 8 else x * 2)


def settle(net: nn.Module) -> nn.Module:
    net.train()
    with torch.no_grad():
        for module in net.modules():
            if isinstance(module, nn.modules.batchnorm._BatchNorm):
                module.weight.uniform_(0.5, 1.5)
                module.bias.uniform_(-0.3, 0.3)
        net(torch.randn(8, 3, PX, PX))
    return net.eval()


@pytest.fixture
def plain():
    torch.manual_seed(1)
    return settle(Net())


@pytest.fixture
def images():
    return torch.randn(4, 3, PX, PX, generator=torch.Generator().manual_seed(1))


def layers_of(net):
    return [net.get_submodule(name) for name in LAYERS]


def prune_each(net):
    for layer in layers_of(net):
        prune.l1_unstructured(layer, "weight", amount=0.4)


def prune_globally(net):
    prune.global_unstructured(
        [(layer, "weight") for layer in layers_of(net)], prune.L1Unstructured, amount=0.4
    )


def prune_structures(net):
    prune.ln_structured(net.mid[0], "weight", 0.3, 2, 0)
    prune.ln_structured(net.mid[0], "weight", 0.3, 2, 1)  # a second method on the same weight
    prune.random_unstructured(net.head, "bias", 0.5)


def norm_weights(net):
    for layer in layers_of(net):
        nn.utils.weight_norm(layer)
        layer.weight_g.data *= 1.5


def norm_spectra(net):
    for layer in layers_of(net):
        nn.utils.spectral_norm(layer)


def prune_normed_weights(net):
    nn.utils.weight_norm(net.mid[0])
    prune.l1_unstructured(net.mid[0], "weight_v", amount=0.4)
    prune.l1_unstructured(net.mid[0], "bias", amount=0.4)


CHANGES = [
    prune_each,
    prune_globally,
    prune_structures,
    norm_weights,
    norm_spectra,
    prune_normed_weights,
]


def describe(graph) -> list[str]:
    """Return the operation of each node of a graph."""
    kinds = {name: type(module).__name__ for name, module in graph.named_modules()}
    return [kinds.get(str(node.target), str(node.target)) for node in graph.graph.nodes]


@pytest.mark.parametrize("gradients", [True, False])
@pytest.mark.parametrize("change", CHANGES)
def test_computed_weights_are_folded_like_stored_ones(plain, images, change, gradients):
    wanted_graph = describe(fold(copy.deepcopy(plain), images))
    change(plain)
    with torch.set_grad_enabled(gradients):  # decides whether the computed weight is a leaf
        expected = plain.eval()(images).detach()
    names = set(plain.state_dict())
    folded = fold(plain, images)
    assert describe(folded) == wanted_graph
    assert all(p.is_leaf for p in folded.parameters())
    with torch.no_grad():
        assert torch.allclose(folded(images), expected, atol=1e-5 * max(1, expected.abs().max()))
        assert torch.equal(plain(images), expected)  # the user's network is as it was
    assert set(plain.state_dict()) == names


def test_pruned_weights_stay_zero(plain, images):
    prune_each(plain)
    folded = fold(plain, images)
    for name in LAYERS:
        layer, mask = folded.get_submodule(name), plain.get_submodule(name).weight_mask
        assert (layer.weight[mask == 0] == 0).all()
        assert (layer.weight[mask == 1] != 0).all()


def test_a_layer_that_shares_a_pruned_weight_keeps_its_own(plain, images):
    class Tied(nn.Module):
        def __init__(self):
            super().__init__()
            self.net, self.other = plain, nn.Linear(8, 10)
            self.other.weight = plain.head.weight
            prune.l1_unstructured(plain.head, "weight", amount=0.4)

        def forward(self, x):
            return self.net(x) + self.other(x.mean((2, 3)).repeat(1, 3)[:, :8])

    model = Tied().eval()
    with torch.no_grad():
        expected = model(images)
        assert torch.allclose(fold(model, images)(images), expected, atol=1e-5)


class Center:
    """A user's hook that computes the weight."""

    def __call__(self, module, inputs):
        module.weight = module.raw - module.raw.mean((1, 2, 3), keepdim=True)


def center(net):
    layer = net.mid[0]
    layer.raw = nn.Parameter(layer.weight.detach())
    del layer.weight
    layer.register_forward_pre_hook(Center())


def double_input(net):
    net.head.register_forward_pre_hook(lambda module, inputs: (inputs[0] * 2,))


def triple_output(net):
    net.mid[0].register_forward_hook(lambda module, inputs, output: output * 3)


@pytest.mark.slow
@pytest.mark.parametrize("change", [center, double_input, triple_output])
def test_other_hooks_of_layers_are_traced(plain, images, change):
    change(plain)
    with torch.no_grad():
        expected = plain(images)
        folded = fold(plain, images)
        assert torch.allclose(folded(images), expected, atol=1e-5)
    assert {"Conv2d", "Linear"} <= set(describe(folded))  # as layers, which corrections recognize


def test_a_hook_that_branches_on_values_is_refused(plain, images):
    def halve(module, inputs):
        return (inputs[0] / 2,) if inputs[0].sum() > 0 else None

    plain.head.register_forward_pre_hook(halve)
    with pytest.raises(BuildError, match="decides by the values of its input"):
        fold(plain, images)


def freeze(net):
    from torchvision.ops import FrozenBatchNorm2d

    for name, module in list(net.named_modules()):
        if isinstance(module, nn.BatchNorm2d):
            frozen = FrozenBatchNorm2d(module.num_features)
            frozen.load_state_dict(module.state_dict())
            net.set_submodule(name, frozen)
    return net


@pytest.mark.parametrize(
    "change",
    [nn.SyncBatchNorm.convert_sync_batchnorm, pytest.param(freeze, marks=pytest.mark.slow)],
)
@pytest.mark.parametrize("groups", [0, 1, 4])
def test_every_batchnorm_is_folded(images, change, groups):
    torch.manual_seed(1)
    model = settle(Net(groups))
    plain = fold(copy.deepcopy(model), images)
    assert not any("Norm" in kind for kind in describe(plain))
    with torch.no_grad():
        expected = model(images)
        assert torch.allclose(plain(images), expected, atol=1e-5)
        folded = fold(change(copy.deepcopy(model)), images)
        assert describe(folded) == describe(plain)
        for name, value in plain.state_dict().items():
            assert torch.equal(folded.state_dict()[name], value), name


@pytest.mark.slow
@pytest.mark.parametrize("groups", [1, 4])
def test_batchnorm_is_folded_in_exported_graphs(images, groups):
    torch.manual_seed(1)
    model = settle(Branching(groups))
    folded = fold(model, images)
    assert not any("orm" in kind for kind in describe(folded))
    with torch.no_grad():
        assert torch.allclose(folded(images), model(images), atol=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("kind", [Net, Branching])
def test_a_transposed_convolution_computes_in_float_for_lite(images, kind):
    torch.manual_seed(1)
    folded = fold(settle(kind(1)), images)
    static = get_algorithm("static")
    options = Options(granularity="per-channel", output_margin=1.0)
    made = static.quantize(folded, "torch-ao", images, options)
    assert made.computed_in_float["ConvTranspose2d"] == 1
    torch.backends.quantized.engine = "qnnpack"
    with torch.inference_mode():
        got, expected = made.graph(images[:1]), folded(images[:1])
    assert (got - expected).abs().max() < 0.1 * expected.abs().max()


@pytest.mark.slow
def test_a_layer_with_batchnorms_buffers_is_not_folded(plain, images):
    from torchvision.ops import FrozenBatchNorm2d

    class Other(FrozenBatchNorm2d):
        def forward(self, x):
            return super().forward(x).relu()

    other = Other(8)
    other.load_state_dict(plain.stem[1].state_dict())
    plain.stem[1] = other
    with torch.no_grad():
        assert torch.allclose(fold(plain, images)(images), plain(images), atol=1e-5)


def run(capsys, *arguments: str) -> str:
    assert cli.run([str(a) for a in arguments]) == 0
    return capsys.readouterr().out


@pytest.fixture
def own(tmp_path, monkeypatch):
    shutil.copy(HERE / "own_models.py", tmp_path / "nets.py")
    shutil.copy(HERE / "own_parts.py", tmp_path)
    monkeypatch.setenv("KIT_CACHE", str(tmp_path / "cache"))
    return lambda factory: f"{tmp_path / 'nets.py'}:{factory}"


def test_cost_of_a_pruned_network_equals_that_without_hooks(own, capsys):
    result = [
        json.loads(run(capsys, "cost", own(name), "--input", "32", "--json"))
        for name in ("pruned", "pruned_permanently")
    ]
    for one in result:
        one.pop("model")
    assert result[0] == result[1]


@pytest.mark.slow
def test_bundle_of_a_pruned_network_equals_that_without_hooks(lowered_here, own, tmp_path, capsys):
    options = "--input 32 --weights random --format onnx --observer percentile"
    for name in ("pruned", "pruned_permanently"):
        run(
            capsys,
            "build",
            own(name),
            *options.split(),
            "--calibration-images",
            8,
            "-o",
            tmp_path / name,
        )
    for file in ("reference.safetensors", "model-int8.onnx"):
        one, other = ((tmp_path / n / file).read_bytes() for n in ("pruned", "pruned_permanently"))
        assert one == other, file
