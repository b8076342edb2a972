"""The contract of `kit.models`, tested for every member; see `kit.models.interface`."""

from __future__ import annotations

import re

import pytest

from kit import recipe
from kit.models import get_model, list_models
from kit.models.interface import Official, Spec

torch = pytest.importorskip("torch")

MEMBERS = list_models()
WIDTHS = (0.25, 0.35)
CLASSES = 7


def make(name: str, width: float = 0.25, seed: int = 0):
    torch.manual_seed(seed)
    return get_model(name).build(width, CLASSES)


def alive(name: str, width: float):
    """Return a network with BatchNorm statistics of pictures, and the pictures."""
    from torch.optim.swa_utils import update_bn

    model = make(name, width)
    images = torch.randn(8, 3, 64, 64)
    update_bn([images], model)
    return model.eval(), images


def test_the_family_has_the_mobilenets():
    expected = {f"mobilenet_{name}" for name in ("v1", "v2", "v3_small", "v3_large")}
    assert expected <= set(MEMBERS)


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("name", MEMBERS)
def test_returns_one_finite_logit_per_class(name, width):
    model, images = alive(name, width)
    with torch.inference_mode():
        logits = model(images)
        assert logits.shape == (8, CLASSES)
        assert logits.isfinite().all()
        torch.testing.assert_close(model(images[:1]), logits[:1], rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("name", MEMBERS)
def test_build_is_in_eval_mode_and_depends_only_on_the_seed(name):
    one, same, other = make(name), make(name), make(name, seed=1)
    assert not any(module.training for module in one.modules())
    states = one.state_dict(), same.state_dict(), other.state_dict()
    assert all(torch.equal(states[0][key], states[1][key]) for key in states[0])
    assert any(not torch.equal(states[0][key], states[2][key]) for key in states[0])


@pytest.mark.parametrize("name", MEMBERS)
def test_width_scales_the_network(name):
    narrow, wide = make(name, 0.25), make(name, 0.5)
    parameters = [sum(p.numel() for p in model.parameters()) for model in (narrow, wide)]
    assert parameters[1] > 1.5 * parameters[0]


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("name", MEMBERS)
def test_folds_to_an_equal_network_without_batchnorm(name, width):
    from kit.quantize.graph import fold

    model, images = alive(name, width)
    folded = fold(model)
    assert not any(isinstance(module, torch.nn.BatchNorm2d) for module in folded.modules())
    with torch.inference_mode():
        want = model(images)
        largest = float(want.abs().max())
        assert want.std(0).max() > 0.1 * largest, "an answer that ignores the picture proves little"
        torch.testing.assert_close(folded(images), want, rtol=1e-3, atol=1e-3 * largest)


@pytest.mark.parametrize("name", MEMBERS)
def test_runs_at_the_smallest_resolution_that_it_names(name):
    spec: Spec = get_model(name).spec
    side = spec.min_resolution
    assert side >= recipe.MIN_RESOLUTION, "no recipe can ask for less"
    with torch.inference_mode():
        assert make(name)(torch.randn(1, 3, side, side)).shape == (1, CLASSES)


@pytest.mark.parametrize("name", MEMBERS)
def test_spec_is_valid(name):
    spec: Spec = get_model(name).spec
    assert 20 < len(spec.summary) < 100
    assert re.search(r"arXiv \d{4}\.\d{4,5}", spec.summary), "the summary names the paper"
    assert all(0 < mean < 1 for mean in spec.mean)
    assert all(0 < std < 1 for std in spec.std)
    assert 1 <= spec.resize_ratio < 1.5
    assert spec.classes == 1000


# Each member's weights enum in torchvision.
ENUMS = {
    "mobilenet_v2": "MobileNet_V2_Weights.IMAGENET1K_V1",
    "mobilenet_v3_small": "MobileNet_V3_Small_Weights.IMAGENET1K_V1",
    "mobilenet_v3_large": "MobileNet_V3_Large_Weights.IMAGENET1K_V2",
}


@pytest.mark.parametrize("name", MEMBERS)
def test_official_weights_are_those_of_torchvision(name):
    spec: Spec = get_model(name).spec
    assert (spec.weights is not None) == (name in ENUMS)
    if spec.weights is None:
        return
    from torchvision.models import get_weight

    enum = get_weight(ENUMS[name])
    assert spec.weights.url == enum.url
    assert spec.weights.file == enum.url.rsplit("/", 1)[1]
    assert spec.weights.accuracy == enum.meta["_metrics"]["ImageNet-1K"]["acc@1"]
    published = re.search(r"-([0-9a-f]{8,})\.", spec.weights.file)
    assert published
    assert spec.weights.sha256.startswith(published[1])
    transform = enum.transforms()
    assert round(224 * spec.resize_ratio) == transform.resize_size[0]
    assert (spec.mean, spec.std) == (tuple(transform.mean), tuple(transform.std))


@pytest.mark.parametrize("name", ENUMS)
def test_state_dict_equals_torchvisions(name):
    """Names and number of weights equal those of an official file."""
    from torchvision.models import get_weight

    with torch.device("meta"):
        model = get_model(name).build(1.0, 1000)
    count = sum(p.numel() for p in model.parameters())
    assert count == get_weight(ENUMS[name]).meta["num_params"]


def test_full_hash_of_mobilenet_v2_is_known():
    assert len(get_model("mobilenet_v2").spec.weights.sha256) == 64


def official(sha256: str) -> Official:
    return Official(file="w.pth", url="https://example.org/w.pth", sha256=sha256, accuracy=1.0)


def test_a_digest_is_compared_with_the_published_prefix():
    result = "047dcff4" + "0" * 56
    assert official("047dcff4").is_digest(result)
    assert official(result).is_digest(result)
    assert not official("047dcff5").is_digest(result)
    assert not official("047dcff4" + "1" * 56).is_digest(result)


@pytest.mark.parametrize("digits", ["", "047dcff", "047DCFF4", "not hex at all", "0" * 65])
def test_a_prefix_of_fewer_than_eight_digits_is_refused(digits):
    with pytest.raises(ValueError, match="8 to 64 hex digits"):
        official(digits)
