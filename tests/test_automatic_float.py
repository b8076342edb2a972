"""Layers and operations that stay float by default, where the int8 network is inaccurate."""

from __future__ import annotations

import numpy as np
import pytest

import kit
from kit import recipe_input
from kit.commands.analyze import build_command_line
from kit.commands.common import study
from kit.commands.common.advice import write_notice
from kit.commands.common.build_line import format_build_line
from kit.errors import RecipeError, UnknownName
from kit.manifest.schema import Manifest
from kit.pipeline import explain

torch = pytest.importorskip("torch")

import inaccurate_nets as nets  # noqa: E402

from kit.algorithms import get_algorithm  # noqa: E402
from kit.analysis.keeping import Keeping, judge_network  # noqa: E402
from kit.comparison import compute_sqnr_db  # noqa: E402
from kit.quantize.examples import Examples  # noqa: E402
from kit.quantize.graph import fold  # noqa: E402
from kit.quantize.options import Options  # noqa: E402
from kit.quantize.simulation import Simulation  # noqa: E402

pytestmark = pytest.mark.usefixtures("lowered_here")
FILE = nets.__file__
FORMATS = ("lite", "executorch", "onnx")


def recipe_of(samples: str, name: str = "uneven", **fields):
    given = {"formats": ("onnx",), "calibration_images": 16, **fields}
    return kit.make_recipe(f"{FILE}:{name}", task="tensors", calibrate=samples, **given)


@pytest.fixture(scope="module")
def samples(tmp_path_factory) -> str:
    return nets.write(tmp_path_factory.mktemp("uneven") / "samples")


@pytest.fixture(scope="module")
def repaired(samples, tmp_path_factory):
    """The bundle of a default build."""
    folder = tmp_path_factory.mktemp("repaired") / "bundle"
    return kit.build(recipe_of(samples, formats=FORMATS), folder, use_cache=False)


def files_of(manifest):
    """Return sizes and digests, but for Lite files: TorchScript counts classes of a process."""
    return {n: f for n, f in manifest.files.items() if not n.endswith(".ptl")}


def notices_of(manifest):
    return {notice.code: notice for notice in manifest.notices}


# Builds


def test_the_layer_that_int8_destroys_stays_float_in_every_format(repaired):
    manifest = repaired.manifest
    assert manifest.recipe.keep_float == ("auto",)
    assert manifest.kept_float == ("stem",)
    assert "stem.weight" not in (repaired.path / "encodings.json").read_text()
    floats = {a.format: a.computed_in_float for a in manifest.artifacts}
    assert floats["lite"]["Conv2d"] == 1
    assert floats["executorch"]["xnnpack::Conv2d"] == 1
    assert floats["onnx"]["Conv"] == 1
    for artifact in manifest.artifacts:
        assert min(one.sqnr_db for one in artifact.parity if one.sqnr_db) > 25


def test_the_notice_has_the_layer_and_what_it_gives(repaired):
    notice = notices_of(repaired.manifest)["float.kept"]
    assert (notice.severity, notice.values["layers"]) == ("note", ("stem",))
    assert notice.values["before"] < 15 < 30 < notice.values["after"]
    text = write_notice([notice])
    assert text.startswith("stem: kept in float; the simulated int8 network has ")
    assert text.endswith("(--keep-float none)")
    assert "int8.inaccurate" not in notices_of(repaired.manifest)


def test_the_manifest_and_the_names_build_the_same_files(repaired, tmp_path):
    recipe = repaired.manifest.recipe
    again = kit.build(recipe, tmp_path / "again", use_cache=False).manifest
    named = recipe.model_copy(update={"keep_float": again.kept_float})
    by_name = kit.build(named, tmp_path / "named", use_cache=False).manifest
    assert again.kept_float == by_name.kept_float == ("stem",)
    assert files_of(again) == files_of(by_name) == files_of(repaired.manifest)
    assert "float.kept" not in notices_of(by_name)


def test_none_quantizes_everything_and_warns(samples, tmp_path):
    recipe = recipe_of(samples, keep_float="none", formats=("lite",))
    manifest = kit.build(recipe, tmp_path / "all", use_cache=False).manifest
    assert manifest.kept_float == ()
    assert "int8.inaccurate" in notices_of(manifest)
    assert "float.kept" not in notices_of(manifest)


def test_an_accurate_network_is_the_one_without_the_word(tmp_path):
    even = nets.write(tmp_path / "even", 1.0)
    made = {}
    for word in ("auto", "none"):
        recipe = recipe_of(even, "even", keep_float=word, formats=("lite",))
        made[word] = kit.build(recipe, tmp_path / word, use_cache=False).manifest
    assert made["auto"].kept_float == ()
    assert "float.kept" not in notices_of(made["auto"])
    assert files_of(made["auto"]) == files_of(made["none"])


def test_a_network_that_nothing_helps_is_quantized(samples, tmp_path):
    made = {}
    for word in ("auto", "none"):
        recipe = recipe_of(samples, "sound", keep_float=word, formats=("lite",))
        made[word] = kit.build(recipe, tmp_path / word, use_cache=False).manifest
    assert "int8.inaccurate" in notices_of(made["auto"])
    assert "float.kept" not in notices_of(made["auto"])
    assert made["auto"].kept_float == ()
    assert files_of(made["auto"]) == files_of(made["none"])


def test_random_weights_are_not_repaired(samples, tmp_path):
    """Answers of an untrained network do not say what int8 costs."""
    recipe = recipe_of(samples, weights="random", formats=("lite",))
    manifest = kit.build(recipe, tmp_path / "random", use_cache=False).manifest
    assert (manifest.recipe.keep_float, manifest.kept_float) == (("auto",), ())


@pytest.mark.parametrize(
    ("fields", "chooses"),
    [
        ({}, True),
        ({"precisions": ("int8", "fp32")}, True),
        ({"keep_float": "none"}, False),
        ({"keep_float": "stem"}, False),
        ({"weights": "random"}, False),
        ({"precisions": ("int8-weights",)}, False),
        ({"precisions": ("int16-activations",)}, False),
        ({"quantize": "none"}, False),
        ({"quantize": "dynamic"}, False),
    ],
)
def test_only_builds_of_static_int8_files_choose(samples, fields, chooses):
    sections = dict(explain(recipe_of(samples, **fields)))
    lines = sections.get("kept in float", [])
    assert any("less than 15 dB" in line for line in lines) is chooses


# The search


def simulate(network, factor: float, count: int = 16):
    """Return a network's float answers, folded graph and calibrated simulation."""
    values = torch.from_numpy(nets.inputs(count, factor))
    examples = Examples((values,), ((1, *values.shape[1:]),))
    folded = fold(network, examples)
    simulation = Simulation(folded, "per-channel", "minmax")
    simulation.calibrate(examples, 1.0)
    judged = judge_network(network, examples)
    assert judged is not None
    return judged, folded, judged.simulate(folded, simulation)


def test_sums_and_products_before_a_root_are_chosen():
    judged, _, model = simulate(nets.Magnitude().eval(), 1.0)
    assert judged.judge(model, ()) < 10
    kept = Keeping(model, judged, {}).choose(20.0)
    assert kept == ("mul", "mul_1", "add")
    assert judged.judge(model, kept) > 20


@pytest.mark.parametrize("flow", ["torch-ao", "pt2e-s8", "pt2e-u8"])
def test_simulated_float_operations_match_each_flow(flow):
    judged, folded, model = simulate(nets.Magnitude().eval(), 1.0)
    kept = ("mul", "mul_1", "add")
    options = Options("per-channel", 1.0, "minmax", kept)
    quantized = get_algorithm("static").quantize(folded, flow, judged.examples, options)
    with torch.no_grad():
        rows = [quantized.graph(*judged.examples.take([i]).first()) for i in range(16)]
    actual = judged.measure(np.concatenate([row.reshape(1, -1).numpy() for row in rows]))
    assert actual == pytest.approx(judged.judge(model, kept), abs=2.0)
    assert actual > 20


def test_never_are_all_layers_chosen():
    judged, _, model = simulate(nets.uneven(), 200.0)
    kept = Keeping(model, judged, {}).choose(1000.0)
    assert 0 < len(kept) < len(model.layers)


def test_each_output_counts_on_its_own():
    """The SQNR is that of the worst output, however small its values are."""
    torch.manual_seed(0)
    network = nets.Two().eval()
    examples = Examples((torch.randn(12, 6), torch.randn(12, 3)), ((1, 6), (1, 3)))
    judged = judge_network(network, examples)
    assert judged is not None
    assert judged.ends == (4, 12)
    other = judged.answers.copy()
    other[:, :4] *= 1.1
    ratios = compute_sqnr_db(judged.answers[:, :4], other[:, :4])
    assert judged.measure(other) == pytest.approx(ratios)
    powers = np.square(judged.answers * judged.scales)
    assert powers[:, :4].mean() == pytest.approx(powers[:, 4:].mean(), rel=1e-3)


def test_replays_of_a_network_with_two_inputs_equal_complete_runs():
    torch.manual_seed(0)
    network = nets.Two().eval()
    examples = Examples((torch.randn(12, 6), torch.randn(12, 3)), ((1, 6), (1, 3)))
    folded = fold(network, examples)
    simulation = Simulation(folded, "per-tensor", "minmax")
    simulation.calibrate(examples, 1.0)
    judged = judge_network(network, examples)
    assert judged is not None
    model = judged.simulate(folded, simulation)
    choices: tuple[tuple[str, ...], ...] = (("a",), ("b",), ("out",))
    _, others = model.replay(examples).run(
        model.all_but(()), [model.all_but(kept) for kept in choices]
    )
    for kept, answers in zip(choices, others, strict=True):
        np.testing.assert_array_equal(answers, model.logits(examples, kept))


def test_a_network_without_float_outputs_is_not_judged():
    examples = Examples((torch.randn(4, 6),), ((1, 6),))
    assert judge_network(lambda x: x.argmax(1), examples) is None


# Recipes


@pytest.mark.parametrize(
    ("given", "made"),
    [
        ("auto", ("auto",)),
        ("none", ()),
        (["none"], ()),
        ((), ()),
        (2, ("2",)),
        ("2", ("2",)),
        ("a.0, b", ("a.0", "b")),
        (["a.0", "b"], ("a.0", "b")),
    ],
)
def test_words_numbers_and_names(given, made, tmp_path):
    assert kit.make_recipe("mobilenet_v2", keep_float=given).keep_float == made
    if isinstance(given, tuple):
        return
    file = tmp_path / "recipe.toml"
    text = str(given) if isinstance(given, int) else repr(given)
    file.write_text(f'model = "mobilenet_v2"\nkeep_float = {text}\n')
    assert recipe_input.make_recipe(**recipe_input.read_recipe(file)).keep_float == made


def test_the_default_is_auto_and_words_stand_alone():
    assert kit.make_recipe("mobilenet_v2").keeps_automatically
    for word in ("auto", "none"):
        with pytest.raises(RecipeError, match=f"keep_float = .*{word} stands alone"):
            kit.make_recipe("mobilenet_v2", keep_float=("features.0.0", word))
    with pytest.raises(RecipeError, match="keep_float = "):
        kit.make_recipe("mobilenet_v2", keep_float=True)


def test_an_unknown_operation_is_named(samples, tmp_path):
    with pytest.raises(UnknownName, match="called 'mul'"):
        kit.build(recipe_of(samples, keep_float="mul"), tmp_path / "never")


def test_older_manifests_quantize_everything(repaired):
    """Before schema 7 there was no word, and a recipe without names kept none."""
    raw = repaired.manifest.model_dump(mode="json")
    del raw["recipe"]["keep_float"]
    old = Manifest.model_validate({**raw, "schema_version": 6})
    assert old.recipe.keep_float == ()
    assert old.recipe.hash != repaired.manifest.recipe.hash


# Analyses


def test_a_bundle_is_analyzed_with_its_layers_and_a_model_without(repaired):
    assert study.resolve_recipe(str(repaired.path), {}).keep_float == ("stem",)
    assert study.resolve_recipe(str(repaired.path), {"keep_float": "none"}).keep_float == ()
    assert study.resolve_recipe("mobilenet_v2", {}).keep_float == ()
    assert study.resolve_recipe("mobilenet_v2", {"keep_float": "auto"}).keeps_automatically


def test_commands_name_what_stays_float():
    recipe = kit.make_recipe("mobilenet_v2")
    assert format_build_line(recipe) == "kit build mobilenet_v2"
    none = recipe.model_copy(update={"keep_float": ()})
    assert format_build_line(none) == "kit build mobilenet_v2 --keep-float none"
    assert build_command_line(none, None) == "kit build mobilenet_v2"
