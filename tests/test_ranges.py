"""Activation ranges: observers, their search by effect, and how a flow finds its tensors."""

from types import SimpleNamespace

import pytest

from kit.errors import UnknownName
from kit.manifest import Range
from kit.quantize import _ranges
from kit.quantize._observers import NAMES, activation_observer, mse_range, percentile_range

torch = pytest.importorskip("torch")
nn = torch.nn


def range_(seen, low=0.0, high=1.0):
    return Range(name="x", low=low, high=high, factor=1.0, seen=seen)


def test_a_tensor_is_recognized_by_its_values():
    ranges = (range_((0.0, 6.0, 1.0), high=5), range_((0.0, 6.0, 1.004), high=4))
    assert _ranges.find(ranges, (0.0, 6.0, 1.0039)).high == 4
    assert _ranges.find(ranges, (0.0, 6.0, 1.0001)).high == 5
    assert _ranges.find(ranges, (0.0, 6.0, 2.0)) is None
    assert _ranges.find(ranges, (-1.0, 6.0, 1.0)) is None


def histogram(values, bins=2048):
    low, high = values.min(), values.max()
    return torch.histc(values, bins, float(low), float(high)), low, high


def test_percentile_leaves_out_its_share():
    torch.manual_seed(0)
    values = torch.randn(200_000)
    low, high = percentile_range(*histogram(values))
    outside = float(((values < low) | (values > high)).float().mean())
    assert 1e-4 < outside < 3e-4


def test_mse_clips_a_lone_outlier_and_keeps_what_is_even():
    torch.manual_seed(0)
    values = torch.cat([torch.rand(100_000), torch.tensor([40.0])])
    low, high = mse_range(*histogram(values, 100_000))
    assert high < 40
    low, high = mse_range(*histogram(torch.rand(100_000) * 2 - 1))
    assert (float(low), float(high)) == pytest.approx((-1, 1), abs=0.02)


@pytest.mark.parametrize("package", ["torch.ao.quantization.observer", "torchao.quantization.pt2e"])
@pytest.mark.parametrize("name", NAMES)
def test_every_observer_of_both_packages_gives_a_range_around_zero(name, package):
    import importlib

    observer = activation_observer(name, importlib.import_module(package))(dtype=torch.quint8)
    torch.manual_seed(0)
    for _ in range(3):
        observer(torch.randn(2, 50))
    scale, zero = observer.calculate_qparams()
    assert 0 < float(scale) < 0.1
    assert 0 < int(zero) < 255


def test_unknown_observer():
    with pytest.raises(UnknownName, match="no observer called 'percentil'"):
        activation_observer("percentil", torch)


class Tailed(nn.Module):
    """One value in some thousand is large, and the answer is made of it alone."""

    def __init__(self):
        super().__init__()
        self.first = nn.Conv2d(1, 1, 1, bias=False)
        self.act = nn.ReLU()
        self.pool = nn.MaxPool2d(64)
        self.flatten = nn.Flatten()
        nn.init.ones_(self.first.weight)

    def forward(self, x):
        return self.flatten(self.pool(self.act(self.first(x))))


def test_the_search_widens_a_range_whose_tail_is_the_answer():
    from kit.quantize._graph import fold
    from kit.quantize._simulate import Simulation

    torch.manual_seed(0)
    images = torch.rand(8, 1, 64, 64)
    # 0.006 % of the values, so that the percentile cuts them off
    for image in images[::4]:
        image[0, 0, 0] = 1.8
    simulation = Simulation(fold(Tailed()), "per-channel", "search")
    simulation.calibrate(images, 1.0)
    before = simulation.activations["act"].high
    found = {r.name: r for r in _ranges.search(simulation, images)}
    assert before < 1.1
    assert found["act"].factor > 1
    assert found["act"].high == pytest.approx(before * found["act"].factor)
    assert simulation.activations["act"].high == found["act"].high


def test_no_range_goes_beyond_the_clip_that_makes_the_tensor():
    """Fused, the range is the clip: 8 would let through what ReLU6 holds back."""
    from kit.quantize._graph import fold
    from kit.quantize._simulate import Simulation

    class Clipped(Tailed):
        def __init__(self):
            super().__init__()
            self.act = nn.ReLU6()

    torch.manual_seed(0)
    images = 5 * torch.rand(8, 1, 64, 64)
    for image in images[::4]:
        image[0, 0, 0] = 9
    simulation = Simulation(fold(Clipped()), "per-channel", "search")
    simulation.calibrate(images, 1.0)
    found = {r.name: r for r in _ranges.search(simulation, images)}
    assert found["act"].factor > 1
    assert found["act"].high == 6


@pytest.mark.parametrize(
    ("errors", "clip", "factor"),
    [
        ({1.0: 1.09, 1.4: 1.12, 2.0: 1.6}, 9.0, 1.4),
        ({1.0: 1.0, 1.4: 0.5, 2.0: 0.4, 2.8: 0.45}, 9.0, 2.8),
        ({1.0: 1.0, 1.4: 1.1, 2.0: 1.2}, 9.0, 1.4),
        ({1.0: 1.0, 1.4: 1.2, 0.7: 0.95}, 9.0, 1.0),
        ({1.0: 1.0, 1.4: 1.2, 0.7: 0.8}, 9.0, 0.7),
        ({1.0: 1.0, 1.3: 0.5}, 1.3, 1.4),
        ({1.0: 1.0, 0.7: 0.8}, 1.0, 0.7),
    ],
    ids=["alike", "up", "alike-to-the-least", "hardly-down", "down", "clipped", "at-its-clip"],
)
def test_of_two_ranges_that_are_alike_the_wider_is_taken(errors, clip, factor):
    fake = SimpleNamespace(low=0.0, high=1.0, clip=clip)
    trial = SimpleNamespace(error=lambda node: errors[fake.high])
    assert _ranges._best_factor(trial, fake, None) == factor
    assert (fake.low, fake.high) == (0.0, 1.0)


@pytest.mark.parametrize(
    "flow",
    ["torch-ao", *(pytest.param(flow, marks=pytest.mark.slow) for flow in ("pt2e-s8", "pt2e-u8"))],
)
def test_every_flow_finds_the_ranges(flow):
    """All but the few tensors that share an observer with another get what was searched."""
    from kit.quantize import static
    from kit.quantize._contract import Options
    from kit.quantize._graph import fold
    from kit.quantize._simulate import Simulation

    torch.manual_seed(0)
    model = nn.Sequential(
        nn.Conv2d(3, 8, 3, 2, 1),
        nn.ReLU6(),
        nn.Conv2d(8, 8, 3, 1, 1, groups=8),
        nn.ReLU6(),
        nn.Conv2d(8, 4, 1),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(4, 3),
    ).eval()
    images = torch.randn(8, 3, 16, 16)
    folded = fold(model)
    simulation = Simulation(folded, "per-channel", "search")
    simulation.calibrate(images, 1.0)
    ranges = _ranges.search(simulation, images)
    options = Options("per-channel", 1.0, "search", ranges=ranges)
    words = static.quantize(folded, flow, images, options).qconfig["ranges"]
    assert int(words.split()[0]) >= 4  # the input, two fused clips, the projection
