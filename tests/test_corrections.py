"""Corrections of the float model: their contract and their effect."""

import copy

import pytest

from kit.corrections import get_correction, list_corrections, plan
from kit.errors import RecipeError, UnknownName

torch = pytest.importorskip("torch")
nn = torch.nn

STEPS = list_corrections()


def network(uneven: bool = True) -> nn.Module:
    """Expand, depthwise and projection with ReLU6, some channels a hundred times smaller."""
    torch.manual_seed(0)
    model = nn.Sequential(
        nn.Conv2d(3, 16, 3, 2, 1),
        nn.ReLU6(),
        nn.Conv2d(16, 16, 3, 1, 1, groups=16),
        nn.ReLU6(),
        nn.Conv2d(16, 8, 1),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(8, 5),
    )
    if uneven:
        with torch.no_grad():
            model[0].weight[:8] /= 100
            model[0].bias[:8] /= 100
            model[2].weight[:8] *= 100
    return model.eval()


@pytest.fixture(scope="module")
def images():
    torch.manual_seed(1)
    return torch.randn(16, 3, 24, 24)


@pytest.fixture
def folded():
    from kit.quantize.graph import fold

    return fold(network())


def sqnr_db(reference, other):
    return float(10 * torch.log10(reference.square().sum() / (reference - other).square().sum()))


def simulated(model, images, granularity):
    """Return the simulated int8 answers."""
    from kit.quantize.simulation import Simulation

    simulation = Simulation(model, granularity, "minmax")
    simulation.calibrate(images, 1.0)
    return simulation.logits(images)


@pytest.mark.parametrize("granularity", ["per-channel", "per-tensor"])
@pytest.mark.parametrize("name", STEPS)
def test_every_correction_keeps_its_contract(name, granularity, folded, images):
    step = get_correction(name)
    before = {k: v.shape for k, v in folded.state_dict().items()}
    graph = str(folded.graph)
    step.apply(folded, images, granularity)
    assert step.summary
    assert {k: v.shape for k, v in folded.state_dict().items()} == before
    assert str(folded.graph) == graph
    assert all(torch.isfinite(v).all() for v in folded.state_dict().values())


@pytest.mark.parametrize("name", ["cle", "equalize"])
def test_equalization_does_not_change_what_is_computed(name, folded, images):
    with torch.inference_mode():
        target = folded(images)
        get_correction(name).apply(folded, images, "per-channel")
        torch.testing.assert_close(folded(images), target, rtol=1e-4, atol=1e-5)
    assert not torch.equal(folded.get_submodule("0").weight, network()[0].weight)


@pytest.mark.parametrize(
    ("name", "granularity"),
    [("equalize", "per-channel"), ("cle", "per-tensor"), ("rounding", "per-tensor")],
)
def test_equalization_reduces_the_error_of_uneven_channels(name, granularity, folded, images):
    with torch.inference_mode():
        target = folded(images)
    corrected = copy.deepcopy(folded)
    get_correction(name).apply(corrected, images, granularity)
    before = sqnr_db(target, simulated(folded, images, granularity))
    after = sqnr_db(target, simulated(corrected, images, granularity))
    assert after > before + 1


def test_channels_that_reach_relu6_are_not_scaled(images):
    """Channels that reach the clip stay as they are, or the clip would mean something else."""
    from kit.quantize.graph import fold

    model = network(uneven=False)
    with torch.no_grad():
        model[0].bias[:4] += 20
    folded = fold(model)
    for name in ("cle", "equalize"):
        changed = copy.deepcopy(folded)
        get_correction(name).apply(changed, images, "per-channel")
        for tensor in ("weight", "bias"):
            old, new = (getattr(m.get_submodule("0"), tensor)[:4] for m in (folded, changed))
            torch.testing.assert_close(new, old)


@pytest.mark.parametrize("name", ["bias", "rounding"])
def test_the_mean_of_every_channel_is_restored(name, folded, images):
    """With rounded weights and float activations, means are those of the float model."""
    from kit.quantize.simulation import Simulation

    with torch.inference_mode():
        target = folded(images)
    get_correction(name).apply(folded, images, "per-tensor")
    simulation = Simulation(folded, "per-tensor", "minmax")
    simulation.calibrate(images, 1.0)
    for fake in simulation.activations.values():
        fake.mode = "off"
    torch.testing.assert_close(simulation.logits(images).mean(0), target.mean(0))


@pytest.mark.parametrize("name", ["bias", "rounding"])
def test_a_layer_that_stays_float_is_not_rounded(name, folded, images):
    """Its weights stay, and its bias takes up what the layers before it shifted."""
    from kit.quantize.simulation import Simulation

    kept = ("2", "7")
    before = {n: folded.get_submodule(n).weight.clone() for n in ("0", "2", "4", "7")}
    with torch.inference_mode():
        target = folded(images)
    get_correction(name).apply(folded, images, "per-tensor", kept)
    for layer in kept:
        assert torch.equal(folded.get_submodule(layer).weight, before[layer])
    if name == "rounding":
        assert not torch.equal(folded.get_submodule("0").weight, before["0"])
    simulation = Simulation(folded, "per-tensor", "minmax")
    simulation.calibrate(images, 1.0)
    for fake in simulation.activations.values():
        fake.mode = "off"
    for layer in kept:
        simulation.weights[layer].enabled = False
    torch.testing.assert_close(simulation.logits(images).mean(0), target.mean(0))


def pair(depthwise_first: bool = False):
    """Two 1x1 layers of five channels with ReLU6 between; the larger weights are 1."""
    from kit.corrections._layers import Pair

    first, second = nn.Conv2d(5, 5, 1, bias=False), nn.Conv2d(5, 5, 1, bias=False, groups=5)
    if depthwise_first:
        first, second = second, first
    for layer in (first, second):
        nn.init.ones_(layer.weight)
    return Pair(first, 6.0, None, second)


LARGEST = (1e-9, 0.03, 1.0, 2.9, 5.0)  # of each channel


def test_channels_are_scaled_to_half_of_the_clip_and_not_without_end():
    """Half, because other pictures reach higher; nothing is scaled down."""
    from kit.corrections import equalize

    largest = torch.tensor(LARGEST)
    target = torch.tensor([64.0, 64.0, 3.0, 3 / 2.9, 1.0])
    torch.testing.assert_close(equalize.compute_factor(pair(), largest), target)
    torch.testing.assert_close(equalize.compute_factor(pair(True), largest), target.sqrt())


def test_weight_ranges_are_evened_out_to_half_of_the_clip_and_not_without_end():
    from kit.corrections import cle

    result = pair()
    with torch.no_grad():
        result.second.weight.fill_(1e6)
    target = torch.tensor([64.0, 64.0, 3.0, 3 / 2.9, 1.0])
    torch.testing.assert_close(cle.compute_factor(result, torch.tensor(LARGEST)), target)
    with torch.no_grad():
        result.second.weight.fill_(1e-6)
    minimum = cle.compute_factor(result, torch.tensor(LARGEST))
    torch.testing.assert_close(minimum[:4], torch.full((4,), 1 / 64))
    assert minimum[4] == 1, "a channel that may reach the clip is left alone"


@pytest.mark.parametrize("active", [0, 3])
@pytest.mark.parametrize("name", ["equalize", "cle"])
def test_a_channel_that_calibration_hardly_activates_keeps_its_scale(name, active):
    """Its largest value is not known: scaled up, it would reach the clip with other pictures."""
    from kit.quantize.graph import fold

    torch.manual_seed(0)
    net = nn.Sequential(nn.Conv2d(1, 2, 1), nn.ReLU6(), nn.Conv2d(2, 2, 3, groups=2)).eval()
    with torch.no_grad():
        net[0].weight.copy_(torch.tensor([1.0, 1.0]).view(2, 1, 1, 1))
        net[0].bias.copy_(torch.tensor([0.0, -1.0]))  # the second needs a pixel above 1
        net[2].weight.mul_(1000)  # so that CLE scales the first layer up
    images = torch.rand(40, 1, 5, 5)
    images[:active] *= 1.01 / images[:active].amax((1, 2, 3), keepdim=True)
    folded = fold(net, images)
    get_correction(name).apply(folded, images, "per-channel")
    bright = 5 * torch.rand(4, 1, 5, 5)
    torch.testing.assert_close(folded(bright)[:, 1], net(bright)[:, 1])


def test_compensated_rounding_is_nearer_than_rounding_to_nearest():
    from kit.corrections.rounding import compensate

    torch.manual_seed(0)
    mixing = torch.randn(24, 24)
    inputs = mixing @ torch.randn(24, 500)  # inputs that go together
    weight = torch.randn(1, 8, 24)
    step = weight.abs().amax(2, keepdim=True) / 7
    moments = (inputs @ inputs.T)[None]
    grid = compensate(weight, step, moments)
    nearest = (weight / step).round() * step
    torch.testing.assert_close(grid / step, (grid / step).round(), rtol=0, atol=1e-4)

    def error(rounded):
        return float(((rounded - weight)[0] @ inputs).square().sum())

    assert error(grid) < 0.7 * error(nearest)


def surgeon(weight, step, moments):
    """Optimal brain surgeon as published: one input at a time, by the inverse of the moments.

    Frantar et al., arXiv 2210.17323, section 3.2: the inverse is updated after each input. Slow.
    """
    from kit.corrections.rounding import DAMPING

    order = moments.diagonal().argsort(descending=True)
    damped = moments.double() + DAMPING * moments.diagonal().mean() * torch.eye(len(moments))
    inverse = torch.linalg.inv(damped)
    left, rounded = weight.double().clone(), torch.zeros_like(weight)
    for i in order.tolist():
        rounded[:, i] = ((left[:, i] / step).round().clamp(-127, 127) * step).float()
        error = (left[:, i] - rounded[:, i]) / inverse[i, i]
        left -= error[:, None] * inverse[i]
        inverse = inverse - inverse[:, i : i + 1] * inverse[i : i + 1] / inverse[i, i]
        inverse[i] = inverse[:, i] = 0
    return rounded


@pytest.mark.parametrize(("groups", "outputs", "inputs"), [(1, 6, 300), (3, 4, 130), (9, 1, 9)])
def test_blocks_round_as_one_input_at_a_time_would(groups, outputs, inputs):
    """Inputs that do not fill a block, several groups, and weights that the grid clips."""
    from kit.corrections.rounding import compensate

    torch.manual_seed(0)
    mixing = torch.randn(groups, inputs, inputs)
    values = mixing @ torch.randn(groups, inputs, 4 * inputs)
    weight = torch.randn(groups, outputs, inputs)
    step = weight.abs().amax(2, keepdim=True) / 100
    weight[:, :, 0] *= 2
    moments = values @ values.transpose(1, 2)
    rounded = compensate(weight, step, moments)
    for group in range(groups):
        target = surgeon(weight[group], step[group, :, 0], moments[group])
        apart = ((rounded[group] - target) / step[group]).abs() > 0.5
        assert float(apart.float().mean()) < 0.01  # ties, which float sums decide


@pytest.mark.parametrize(
    "layer",
    [
        nn.Conv2d(4, 6, 3, 2, 1),
        nn.Conv2d(4, 4, 3, 1, 1, groups=4),
        nn.Conv2d(4, 6, (1, 3), 1, (0, 1), 2, groups=2),
        nn.Conv2d(4, 6, 1),
        nn.Conv2d(4, 6, 1, 2),
        nn.Linear(4, 6),
    ],
    ids=["strided", "depthwise", "dilated-groups", "pointwise", "pointwise-strided", "linear"],
)
def test_moments_are_of_what_the_weights_multiply(layer):
    """The quadratic form of a weight row is the energy of the outputs that it makes."""
    from kit.corrections.rounding import compute_moments

    torch.manual_seed(0)
    convolution = isinstance(layer, nn.Conv2d)
    value = torch.randn(11, 4, 7, 9) if convolution else torch.randn(11, 4)
    groups = layer.groups if convolution else 1
    moments = compute_moments(layer, value, groups)
    rows = layer.weight.detach().reshape(groups, -1, layer.weight[0].numel())
    result = torch.einsum("goi,gij,goj->go", rows, moments, rows).flatten()
    nn.init.zeros_(layer.bias)
    outputs = layer(value).detach()
    target = outputs.square().sum((0, 2, 3) if convolution else 0)
    torch.testing.assert_close(result, target, rtol=1e-4, atol=1e-4)


def test_moments_of_some_positions_are_like_those_of_all(monkeypatch):
    """Up to their number, and not of the border, where zeros stand for what is not there."""
    from kit.corrections import rounding

    torch.manual_seed(0)
    layer = nn.Conv2d(2, 3, 3, 1, 1)
    value = nn.functional.avg_pool2d(torch.randn(8, 2, 98, 98) + 1, 3, 1)
    monkeypatch.setattr(rounding, "POSITIONS", 2**30)
    whole = rounding.compute_moments(layer, value, 1)
    monkeypatch.setattr(rounding, "POSITIONS", 2**10)
    assert rounding.choose_stride(layer, value) == 8
    part = rounding.compute_moments(layer, value, 1)
    torch.testing.assert_close(part * 64, whole, rtol=0.1, atol=0.0)  # the border alone: 0.14


def test_an_input_that_is_always_zero_is_handled():
    from kit.corrections.rounding import compensate

    weight = torch.randn(1, 4, 6)
    grid = compensate(weight, weight.abs().amax(2, keepdim=True) / 127, torch.zeros(1, 6, 6))
    assert torch.isfinite(grid).all()


@pytest.mark.parametrize(
    ("text", "steps"),
    [
        ("none", ()),
        ("best", ("equalize", "rounding")),
        ("bias, equalize", ("equalize", "bias")),
        ("cle,rounding,cle", ("cle", "rounding")),
    ],
)
def test_steps_are_put_in_order(text, steps):
    assert plan.resolve(text) == steps


@pytest.mark.parametrize(
    ("text", "error", "message"),
    [
        (" , ", RecipeError, "names no step"),
        ("bias,rounding", RecipeError, "rounding corrects the biases itself"),
        ("equalize,cle", RecipeError, "the second undoes the first"),
        ("equalise", UnknownName, "no correction called 'equalise'"),
    ],
)
def test_invalid_lists_are_refused(text, error, message):
    with pytest.raises(error, match=message):
        plan.resolve(text)
