"""Encodings: their file, how every flow places them by name, and builds with given ones."""

import json
from pathlib import Path

import pytest
from bundle_samples import SMALL_NET

import kit
from kit import encodings
from kit.bundles import loading, writing
from kit.encodings import Encoding, Encodings
from kit.errors import BuildError, RecipeError

torch = pytest.importorskip("torch")
nn = torch.nn

FLOWS = (
    "torch-ao",
    *(pytest.param(flow, marks=pytest.mark.slow) for flow in ("pt2e-s8", "pt2e-u8")),
)
EXAMPLE = Encodings(
    activations=(Encoding(name="x", scales=(0.1,), offsets=(-3,)),),
    weights=(Encoding(name="0.weight", scales=(0.25, 0.5), offsets=(-128, -128), symmetric=True),),
)
OLD = {  # version 0.6.1
    "version": "0.6.1",
    "quantizer_args": {"quant_scheme": "min_max"},
    "activation_encodings": {
        "x": [
            {
                **{"bitwidth": 8, "dtype": "int", "is_symmetric": "False"},
                **{"min": -0.3, "max": 25.2, "scale": 0.1, "offset": -3},
            }
        ]
    },
    "param_encodings": {
        "0.weight": [
            {
                **{"bitwidth": 8, "dtype": "int", "is_symmetric": "True"},
                **{"min": -128 * s, "max": 127 * s, "scale": s, "offset": -128},
            }
            for s in (0.25, 0.5)
        ]
    },
}


class Net(nn.Module):
    """Network with operators that flows treat differently: clips, pooling, a join, a sum."""

    def __init__(self):
        super().__init__()
        self.first = nn.Conv2d(3, 8, 3, 2, 1)
        self.clip = nn.ReLU6()
        self.second = nn.Conv2d(8, 8, 3, 1, 1, padding_mode="reflect")
        self.third = nn.Conv2d(16, 8, 1)
        self.after = nn.ReLU6()
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.last = nn.Linear(8, 5)

    def forward(self, x):
        x = self.clip(self.first(x))
        y = torch.relu(self.second(x)) * 0.5
        z = self.third(torch.cat([x, y], 1))
        return self.last(self.pool(self.after(x + z)).flatten(1))


@pytest.fixture(scope="module")
def images():
    return torch.randn(6, 3, 16, 16, generator=torch.Generator().manual_seed(0))


@pytest.fixture(scope="module")
def folded(images):
    from kit.quantize.graph import fold

    torch.manual_seed(0)
    return fold(Net().eval(), images)


@pytest.fixture(scope="module")
def chosen(folded, images):
    from kit.quantize.encoding_choice import choose_encodings
    from kit.quantize.examples import as_examples
    from kit.quantize.options import Options

    return choose_encodings(folded, as_examples(images), Options("per-channel", 1.5))


def quantize(folded, images, flow, given):
    from kit.algorithms import static
    from kit.quantize.options import Options

    return static.quantize(folded, flow, images, Options("per-channel", 1.5, encodings=given))


def without(given, name):
    rest = tuple(one for one in given.activations if one.name != name)
    return given.model_copy(update={"activations": rest})


def with_more(given, *names):
    more = tuple(Encoding(name=name, scales=(0.1,), offsets=(0,)) for name in names)
    return given.model_copy(update={"activations": (*given.activations, *more)})


def test_a_written_file_is_read_back_unchanged():
    text = encodings.format_file(EXAMPLE, "0.1")
    assert encodings.parse(text.encode()) == EXAMPLE
    content = json.loads(text)
    assert content["version"] == "1.0.0"
    assert content["param_encodings"] == [
        {
            **{"name": "0.weight", "dtype": "INT", "enc_type": "PER_CHANNEL", "bw": 8},
            **{"is_sym": True, "scale": [0.25, 0.5], "offset": [-128, -128]},
        }
    ]


def test_the_older_version_is_read():
    assert encodings.parse(json.dumps(OLD).encode()) == EXAMPLE


def test_minimum_and_maximum_serve_without_scales():
    old = json.loads(json.dumps(OLD))
    (entry,) = old["activation_encodings"]["x"]
    del entry["scale"], entry["offset"]
    (result,) = encodings.parse(json.dumps(old).encode()).activations
    assert result.scales == (pytest.approx(0.1),)
    assert result.offsets == (-3,)


def entry(**changes):
    plain = {"name": "x", "dtype": "INT", "bw": 8, "is_sym": False, "scale": [0.1], "offset": [-3]}
    return {**plain, **changes}


@pytest.mark.parametrize(
    ("activations", "weights", "printed"),
    [
        ([entry(bw=16)], [], "x is INT of 16 bits"),
        ([entry(dtype="FLOAT", bw=16)], [], "x is FLOAT of 16 bits"),
        ([entry(scale=[0.1, 0.2], offset=[0, 0])], [], "x has 2 scales; an activation has one"),
        ([entry(offset=[])], [], "x has 1 scales and 0 offsets"),
        ([entry(offset=[4])], [], "activation_encodings.0.offset.0: "),
        ([entry(scale=[0])], [], "activation_encodings.0.scale.0: "),
        ([entry(), entry()], [], "it has two encodings of x"),
        ([], [entry(name="0.weight")], "0.weight is not symmetric"),
        ([entry(scale=[], offset=[], min=[1.0], max=[2.0])], [], "the range of x does not hold"),
        ({"x": []}, [], "'x' has no list of encodings"),
        ({"x": [7]}, [], "'x' has no list of encodings"),
        (7, [], "activation_encodings: "),
    ],
)
def test_a_file_that_kit_cannot_use_is_refused_in_one_sentence(activations, weights, printed):
    content = {"version": "1.0.0", "activation_encodings": activations, "param_encodings": weights}
    with pytest.raises(ValueError, match=printed) as caught:
        encodings.parse(json.dumps(content).encode())
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "printed"),
    [
        (None, "No such file"),
        ("{", "Expecting"),
        ("[]", "valid dictionary"),
        ('{"version": "2.0.0", "activation_encodings": []}', "its version is '2.0.0'"),
        ('{"version": "1.0.0"}', "activation_encodings: "),
    ],
)
def test_an_invalid_file_is_an_error_of_the_recipe(tmp_path, text, printed):
    path = tmp_path / "given.json"
    if text is not None:
        path.write_text(text)
    with pytest.raises(RecipeError, match=printed) as caught:
        encodings.read(path)
    assert str(path) in caught.value.message


def test_a_range_gives_the_scale_that_observers_compute():
    """Bit for bit: the same range in a child gave the same file."""
    from torch.ao.quantization.observer import MinMaxObserver

    from kit.quantize.encoding_choice import EPS, encode_range

    generator = torch.Generator().manual_seed(1)
    for _ in range(200):
        low, high = (3 * torch.randn(2, generator=generator)).sort().values.tolist()
        observer = MinMaxObserver(dtype=torch.quint8, eps=EPS)
        observer(torch.tensor([low, high]))
        scale, zero = observer.calculate_qparams()
        result = encode_range("x", low, high)
        assert (result.scales, result.offsets) == ((float(scale),), (-int(zero),))


@pytest.mark.parametrize("granularity", ["per-channel", "per-tensor"])
def test_weights_have_the_scales_that_observers_compute(granularity):
    import torch.ao.quantization.observer as observers

    from kit.quantize.encoding_choice import WEIGHT_EPS, encode_weight
    from kit.quantize.observers import choose_weight_observer

    weight = torch.randn(64, 3, 3, 3, generator=torch.Generator().manual_seed(2))
    weight[5] = 0
    kind, qscheme = choose_weight_observer(granularity, observers)
    observer = kind(
        dtype=torch.qint8, qscheme=qscheme, quant_min=-127, quant_max=127, eps=WEIGHT_EPS
    )
    observer(weight)
    result = encode_weight("0.weight", weight, granularity)
    assert result.scales == tuple(observer.calculate_qparams()[0].flatten().tolist())


def test_pooling_and_joins_have_no_separate_encoding(chosen):
    names = [one.name for one in chosen.activations]
    assert names == ["x", "clip", "second", "relu", "mul", "third", "after", "last"]
    assert [one.name for one in chosen.weights] == [
        f"{name}.weight" for name in ("first", "second", "third", "last")
    ]


@pytest.mark.parametrize("flow", FLOWS)
def test_every_flow_places_the_encodings(folded, images, chosen, flow):
    """Those of the input, of fused clips, of the layers and of the output, as they are."""
    marked = Encodings(
        activations=tuple(
            one.model_copy(update={"scales": (one.scales[0] * (1 + i / 64),)})
            for i, one in enumerate(chosen.activations)
        ),
        weights=tuple(
            one.model_copy(update={"scales": tuple(s * 1.5 for s in one.scales)})
            for one in chosen.weights
        ),
    )
    made = quantize(folded, images, flow, marked)
    scales, weights = scales_of(made.graph)
    float32 = torch.tensor([one.scales[0] for one in marked.activations]).tolist()
    by_name = dict(zip((one.name for one in marked.activations), float32, strict=True))
    for name in ("x", "clip", "relu", "third", "after", "last"):
        assert by_name[name] in scales, name
    for one in marked.weights:
        assert torch.tensor(one.scales).tolist() in weights, one.name
    with torch.no_grad():
        expected, actual = (graph(images[:1]) for graph in (folded, made.graph))
    assert (actual - expected).square().sum() < expected.square().sum() / 100


def scales_of(graph) -> tuple[list[float], list[list[float]]]:
    """Return the scales of a quantized graph's activations, and those of its weights."""
    scales, weights = [], []
    for node in graph.graph.nodes:
        if node.op == "get_attr" and "scale" in str(node.target):
            value = getattr(graph, str(node.target))
            (scales.append(float(value)) if value.numel() == 1 else weights.append(value.tolist()))
        if "quantize_per_tensor" in str(node.target) and isinstance(node.args[1], float):
            scales.append(node.args[1])
    for module in graph.modules():
        if hasattr(module, "scale") and hasattr(module, "weight"):
            scales.append(float(module.scale))
            weight = module.weight()
            weights.append(weight.q_per_channel_scales().float().tolist())
    return scales, weights


@pytest.mark.parametrize("flow", FLOWS)
@pytest.mark.parametrize("name", ["x", "clip", "third", "after", "last"])
def test_a_tensor_without_an_encoding_fails_the_build(folded, images, chosen, flow, name):
    with pytest.raises(BuildError, match=r"(\w+) is quantized and has no encoding") as caught:
        quantize(folded, images, flow, without(chosen, name))
    reports = {"clip": ("clip", "first"), "after": ("after", "add")}.get(name, (name,))
    assert caught.value.message.split()[0] in reports


@pytest.mark.parametrize("flow", FLOWS)
@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("nowhere", "the graph has no such tensor"),
        ("first", "the format does not quantize this tensor"),  # it is fused with its clip
    ],
)
def test_an_encoding_without_a_place_fails_the_build(folded, images, chosen, flow, name, why):
    with pytest.raises(BuildError, match=f"the encoding of {name} finds no place: {why}"):
        quantize(folded, images, flow, with_more(chosen, name))


@pytest.mark.parametrize("flow", FLOWS)
def test_weights_with_another_number_of_scales_fail_the_build(folded, images, chosen, flow):
    first = chosen.weights[0]
    one = first.model_copy(update={"scales": first.scales[:1], "offsets": first.offsets[:1]})
    with pytest.raises(BuildError, match=r"first.weight finds no place: it has 1 scales"):
        quantize(folded, images, flow, Encodings(activations=chosen.activations, weights=(one,)))
    alone = chosen.model_copy(update={"weights": ()})
    assert quantize(folded, images, flow, alone).qconfig["encodings"]


@pytest.mark.slow
@pytest.mark.parametrize("flow", ["pt2e-s8", "pt2e-u8"])
def test_decomposed_operators_are_float_inside(images, flow):
    """Local response normalization becomes ten operators; the model's graph has one."""
    from kit.quantize.graph import fold

    torch.manual_seed(0)
    model = nn.Sequential(
        nn.Conv2d(3, 4, 3), nn.ReLU(), nn.LocalResponseNorm(2), nn.Conv2d(4, 2, 3), nn.Flatten()
    )
    made = quantize(fold(model.eval(), images), images, flow, None)
    (pool,) = (n for n in made.graph.graph.nodes if "avg_pool" in str(n.target))
    assert not any("quantize" in str(n.target) for n in pool.all_input_nodes)
    assert made.qconfig["encodings"] == "4 placed"


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """A bundle of the small network in three formats, without the cache."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("KIT_CACHE", str(tmp_path_factory.mktemp("cache")))
        target = tmp_path_factory.mktemp("built") / "bundle"
        yield kit.build(recipe(), target)


def recipe(**fields):
    return kit.make_recipe(SMALL_NET, resolution=32, calibration_images=8, **fields)


@pytest.mark.slow
def test_a_bundle_has_the_encodings_that_built_it(built):
    result = encodings.read(built.path / "encodings.json")
    names = [one.name for one in result.activations]
    assert names == ["input_1", "2", "4", "6", "9"]
    assert [len(one.scales) for one in result.weights] == [8, 8, 16, 7]
    assert "encodings.json" in built.manifest.files
    assert built.manifest.encodings == "encodings.json"
    for words in built.manifest.qconfig.values():
        assert words["encodings"] == "5 placed"


@pytest.mark.slow
def test_the_encodings_of_a_bundle_build_the_same_files(built, tmp_path):
    given = str(built.path / "encodings.json")
    again = kit.build(recipe(encodings=given), tmp_path / "again")
    assert again.manifest.recipe.encodings == given
    for artifact in built.manifest.artifacts:
        golden = built.manifest.golden
        one, other = (result.path / artifact.file for result in (built, again))
        assert one.read_bytes() == other.read_bytes(), artifact.name
        for file in (*golden.outputs[artifact.name], *golden.graphs[artifact.name]):
            assert (built.path / file).read_bytes() == (again.path / file).read_bytes()
    assert Path(given).read_bytes() == (again.path / "encodings.json").read_bytes()


@pytest.mark.slow
def test_other_encodings_give_another_bundle_and_cache_key(built, tmp_path):
    content = json.loads((built.path / "encodings.json").read_text())
    for one in content["activation_encodings"]:
        one["scale"] = [2 * one["scale"][0]]
    given = tmp_path / "given.json"
    given.write_text(json.dumps(content))
    made = [
        kit.build(recipe(encodings=str(given), formats=("lite",)), tmp_path / name)
        for name in ("one", "two")
    ]
    files = [(result.path / "model-int8.ptl").read_bytes() for result in (built, *made)]
    assert files[0] != files[1] == files[2]
    assert encodings.read(made[0].path / "encodings.json") == encodings.read(given)


@pytest.mark.slow
def test_an_unknown_name_is_reported_with_similar_names(built, tmp_path):
    content = json.loads((built.path / "encodings.json").read_text())
    content["activation_encodings"][0]["name"] = "input"
    given = tmp_path / "given.json"
    given.write_text(json.dumps(content))
    with pytest.raises(RecipeError, match="the model has no tensor 'input' to encode") as caught:
        kit.build(recipe(encodings=str(given), formats=("lite",)), tmp_path / "made")
    assert "input_1" in caught.value.hint


@pytest.mark.parametrize("method", ["none", "dynamic", "qat"])
def test_methods_that_choose_their_own_take_no_encodings(method, tmp_path):
    with pytest.raises(RecipeError, match=f"cannot be used with {method}"):
        kit.build(recipe(encodings="x.json", quantize=method), tmp_path / "made")


@pytest.mark.parametrize(
    "precisions", [("int8-weights",), ("fp32", "fp16"), ("int16-activations", "int8-dynamic")]
)
def test_files_without_activation_ranges_take_no_encodings(precisions, tmp_path):
    """Regression: they were silently ignored."""
    with pytest.raises(RecipeError, match=r"encodings = 'x\.json' does nothing: none"):
        kit.build(
            recipe(encodings="x.json", precisions=precisions, formats=("onnx",)), tmp_path / "made"
        )


@pytest.mark.slow
def test_bundles_of_older_schemas_are_read(built, tmp_path):
    """Schema 2 had no file of encodings, and told tensors apart by their values."""
    old = tmp_path / "old"
    writing.copy_bundle(built.path, old)
    raw = json.loads((old / "bundle.json").read_text())
    raw["schema_version"] = 2
    del raw["encodings"], raw["recipe"]["encodings"], raw["files"]["encodings.json"]
    (old / "encodings.json").unlink()
    for one in raw["ranges"]:
        one["seen"] = [0.0, 1.0, 0.5]
    (old / "bundle.json").write_text(json.dumps(raw))
    result = loading.load_bundle(old).manifest
    assert result.encodings is None
    assert result.ranges[0].seen == (0.0, 1.0, 0.5)
    assert result.recipe.hash == built.manifest.recipe_hash


def test_statistics_of_one_graph_share_a_pass(folded, images):
    from kit.quantize.examples import as_examples
    from kit.quantize.statistics import Extremes, Outside, collect

    passes = []
    handle = folded.first.register_forward_hook(lambda *_: passes.append(1))
    first, again = Extremes(), Extremes()
    collect(folded, as_examples(images).split(2), (first, again))
    handle.remove()
    assert len(passes) == 3
    assert first.ends == again.ends
    assert first.ends["x"] == (float(images.min()), float(images.max()))
    outside = Outside({name: (low, low) for name, (low, _) in first.ends.items()})
    collect(folded, as_examples(images).split(6), (outside,))
    assert outside.beyond["x"] == outside.total["x"] - 1 == images.numel() - 1


def test_one_calibration_serves_all_flows(folded, images, chosen, monkeypatch):
    """With encodings at hand no flow runs the calibration pictures."""
    from kit.quantize import simulation

    monkeypatch.setattr(simulation.Simulation, "calibrate", None)
    nowhere = torch.full_like(images, float("nan"))
    made = quantize(folded, nowhere, "torch-ao", chosen)
    with torch.no_grad():
        assert made.graph(images[:1]).isfinite().all()


@pytest.mark.parametrize("flow", ["torch-ao", "pt2e-s8", "pt2e-u8"])
def test_a_layer_that_does_nothing_stands_between_no_layer_and_its_clip(flow, images):
    """timm puts one between BatchNorm and its activation; the encoding before found no place."""
    from kit.quantize.graph import fold

    torch.manual_seed(0)
    layers = [nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.Identity(), nn.ReLU(), nn.Conv2d(8, 4, 1)]
    folded = fold(nn.Sequential(*layers).eval(), images)
    assert not any(isinstance(module, nn.Identity) for module in folded.modules())
    made = quantize(folded, images, flow, None)
    with torch.no_grad():
        expected, actual = (graph(images[:1]) for graph in (folded, made.graph))
    assert (actual - expected).square().sum() < expected.square().sum() / 100


@pytest.mark.parametrize("engine", ["qnnpack", "x86", "fbgemm"])
def test_a_clip_beyond_the_range_of_its_input_leaves_the_answers(engine, folded, images, chosen):
    """qnnpack's clamp to 6, of a sum that reaches 2.1, wrapped round: every value became 0."""
    if engine not in torch.backends.quantized.supported_engines:
        pytest.skip(f"torch has no {engine} on this processor")
    before = torch.backends.quantized.engine
    try:
        torch.backends.quantized.engine = engine
        made = quantize(folded, images, "torch-ao", chosen)
        with torch.no_grad():
            expected, actual = (graph(images[:1]) for graph in (folded, made.graph))
    finally:
        torch.backends.quantized.engine = before
    assert (actual - expected).square().sum() < expected.square().sum() / 100
