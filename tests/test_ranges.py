"""Activation ranges: observers, and the search by effect on the answers."""

from types import SimpleNamespace

import pytest

from kit.errors import UnknownName
from kit.quantize import range_search
from kit.quantize.observers import (
    NAMES,
    choose_activation_observer,
    compute_mse_range,
    compute_percentile_range,
)

torch = pytest.importorskip("torch")
nn = torch.nn


def histogram(values, bins=2048):
    low, high = values.min(), values.max()
    return torch.histc(values, bins, float(low), float(high)), low, high


def test_percentile_excludes_its_share():
    torch.manual_seed(0)
    values = torch.randn(200_000)
    low, high = compute_percentile_range(*histogram(values))
    outside = float(((values < low) | (values > high)).float().mean())
    assert 1e-4 < outside < 3e-4


def test_mse_clips_a_single_outlier_and_keeps_uniform_values():
    torch.manual_seed(0)
    values = torch.cat([torch.rand(100_000), torch.tensor([40.0])])
    low, high = compute_mse_range(*histogram(values, 100_000))
    assert high < 40
    low, high = compute_mse_range(*histogram(torch.rand(100_000) * 2 - 1))
    assert (float(low), float(high)) == pytest.approx((-1, 1), abs=0.02)


@pytest.mark.parametrize("package", ["torch.ao.quantization.observer", "torchao.quantization.pt2e"])
@pytest.mark.parametrize("name", NAMES)
def test_every_observer_of_both_packages_gives_a_range_around_zero(name, package):
    import importlib

    observer = choose_activation_observer(name, importlib.import_module(package))(
        dtype=torch.quint8
    )
    torch.manual_seed(0)
    for _ in range(3):
        observer(torch.randn(2, 50))
    scale, zero = observer.calculate_qparams()
    assert 0 < float(scale) < 0.1
    assert 0 < int(zero) < 255


def test_unknown_observer():
    with pytest.raises(UnknownName, match="no observer called 'percentil'"):
        choose_activation_observer("percentil", torch)


class Tailed(nn.Module):
    """One value in some thousand is large, and only it determines the answer."""

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
    from kit.quantize.graph import fold
    from kit.quantize.simulation import Simulation

    torch.manual_seed(0)
    images = torch.rand(8, 1, 64, 64)
    # 0.006 % of the values, so that the percentile cuts them off
    for image in images[::4]:
        image[0, 0, 0] = 1.8
    simulation = Simulation(fold(Tailed()), "per-channel", "search")
    simulation.calibrate(images, 1.0)
    before = simulation.activations["act"].high
    result = {r.name: r for r in range_search.search(simulation, images)}
    assert before < 1.1
    assert result["act"].factor > 1
    assert result["act"].high == pytest.approx(before * result["act"].factor)
    assert simulation.activations["act"].high == result["act"].high


def test_no_range_exceeds_the_clip_of_its_tensor():
    """The range of a fused clip is the clip: 8 would pass values that ReLU6 clips."""
    from kit.quantize.graph import fold
    from kit.quantize.simulation import Simulation

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
    result = {r.name: r for r in range_search.search(simulation, images)}
    assert result["act"].factor > 1
    assert result["act"].high == 6


@pytest.mark.parametrize(
    ("errors", "factor"),
    [
        ({1.0: 1.09, 1.4: 1.12, 2.0: 1.6}, 1.4),
        ({1.0: 1.0, 1.4: 0.5, 2.0: 0.4, 2.8: 0.45}, 2.8),
        ({1.0: 1.0, 1.4: 1.1, 2.0: 1.2}, 1.4),
        ({1.0: 1.0, 1.4: 1.2, 0.7: 0.95}, 1.0),
        ({1.0: 1.0, 1.4: 1.2, 0.7: 0.8}, 0.7),
        ({1.0: 1.0, 1.4: 0.5, 0.7: 0.1}, 1.4),
        ({1.0: 1.0, 0.7: 0.8, 0.5: 0.75}, 0.7),
        ({1.0: 1.0, 0.7: 0.8, 0.5: 0.6}, 0.5),
        ({1.0: 0.0, 1.4: 0.0, 0.7: 0.0}, 1.0),
    ],
    ids=[
        *("alike", "up", "alike-to-the-lowest", "hardly-down", "down", "clipped", "at-its-clip"),
        "down-twice",
        "no-effect",
    ],
)
def test_the_wider_of_two_similar_ranges_is_chosen(errors, factor):
    assert range_search.choose_factor(errors) == factor


@pytest.mark.parametrize(
    ("clip", "ends"),
    [
        (9.0, {1.0: 1.0, 1.4: 1.4, 2.0: 2.0, 2.8: 2.8, 0.7: 0.7, 0.5: 0.5}),
        (1.3, {1.0: 1.0, 1.4: 1.3, 0.7: 0.7, 0.5: 0.5}),
        (1.0, {1.0: 1.0, 0.7: 0.7, 0.5: 0.5}),
    ],
)
def test_the_effect_of_a_range_is_gradient_times_rounding_error(clip, ends):
    """Squared and summed over the tensor, for each distinct clipped range."""
    torch.manual_seed(0)
    value, gradient = 1.5 * torch.rand(2, 3, 5), torch.randn(2, 3, 5)
    gradient[0, 0, 0] = float("nan")
    trials = range_search.RangeTrials(SimpleNamespace(low=0.0, high=1.0, clip=clip))
    trials(value, gradient)
    trials(value, gradient)
    assert set(trials.errors) == set(ends)
    for factor, high in ends.items():
        levels = torch.linspace(0, high, 256)
        nearest = levels[(value[..., None] - levels).abs().argmin(-1)]
        moved = (gradient * (nearest - value)).flatten()[1:].square().sum()
        assert trials.errors[factor] == pytest.approx(2 * float(moved), rel=1e-3)


@pytest.mark.parametrize(("largest", "narrower"), [(0.9, False), (1.1, True)])
def test_only_pictures_that_reach_a_range_may_narrow_it(largest, narrower):
    trials = range_search.RangeTrials(SimpleNamespace(low=-1.0, high=1.0, clip=9.0))
    trials(torch.tensor([-1.2, 0.3]), torch.ones(2))
    trials(torch.tensor([0.1, largest]), torch.ones(2))
    assert set(trials.comparable()) - {0.7, 0.5} == {1.0, 1.4, 2.0, 2.8}
    assert ({0.7, 0.5} <= set(trials.comparable())) == narrower


def test_gradients_cover_all_logits():
    """Averaged over signs, the squared gradient is the sum of those of the logits."""
    from kit.quantize.graph import fold
    from kit.quantize.simulation import Simulation

    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(1, 2, 3), nn.ReLU(inplace=True), nn.Flatten(), nn.Linear(8, 6))
    folded = fold(model.eval())
    image = torch.randn(1, 1, 4, 4)
    hidden = model[:2](image).detach().requires_grad_(True)
    rows = [torch.autograd.grad(model[2:](hidden)[0, i], hidden)[0] for i in range(6)]
    expected = torch.stack(rows).square().sum(0)
    simulation = Simulation(folded, "per-channel", "search")
    simulation.calibrate(torch.randn(4, 1, 4, 4), 1.0)
    seen = []
    for seed in range(400):
        simulation.differentiate((image,), {"1": lambda value, g: seen.append((value, g))}, seed)
    assert len(seen) == 400
    torch.testing.assert_close(seen[0][0], hidden.detach())
    mean = torch.stack([g for _, g in seen]).square().mean(0)
    torch.testing.assert_close(mean, expected, rtol=0.35, atol=0.02)
    assert {float(f.low) for f in simulation.activations.values()} != {0.0}
    assert all(f.watcher is None for f in simulation.activations.values())


def test_an_operator_without_a_gradient_keeps_the_ranges():
    from kit.quantize.graph import fold
    from kit.quantize.simulation import Simulation

    class Counting(Tailed):
        def forward(self, x):
            return torch.histc(super().forward(x), 4)[None]

    simulation = Simulation(fold(Counting()), "per-channel", "search")
    images = torch.rand(4, 1, 64, 64)
    simulation.calibrate(images, 1.0)
    before = {name: fake.high for name, fake in simulation.activations.items()}
    result = range_search.search(simulation, images)
    assert {r.name: (r.factor, r.high) for r in result} == {n: (1.0, h) for n, h in before.items()}
