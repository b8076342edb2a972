"""Models from a user's file: FILE.py:FACTORY."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import kit
from kit import build_inputs, calibration, cli, cost, recipe_input
from kit.commands.common.option_types import Colour, SideOption
from kit.errors import BuildError, RecipeError, UsageError, WeightsError
from kit.models import user_model
from kit.tasks import get_task

HERE = Path(__file__).parent
PX = 32


def describe_inputs(made):
    return get_task(made.task).describe_inputs(made)


@pytest.fixture
def own(tmp_path):
    """Copy the networks into a separate folder; return a function that gives a FILE:FACTORY."""
    folder = tmp_path / "user's own"
    folder.mkdir()
    shutil.copy(HERE / "own_models.py", folder / "nets.py")
    shutil.copy(HERE / "own_parts.py", folder)
    return lambda factory: f"{folder / 'nets.py'}:{factory}"


def line_of(own, text: str) -> str:
    """Return ``FILE:LINE`` of the only line with this text."""
    file = own("x").rpartition(":")[0]
    lines = Path(file).read_text().splitlines()
    (number,) = [i for i, line in enumerate(lines, 1) if text in line]
    return f"{file}:{number}"


def make(name: str, **fields):
    return recipe_input.make_recipe(name, resolution=PX, **fields)


def model_of(name: str):
    import torch

    torch.manual_seed(0)
    model = user_model.load(name).build()
    for module in model.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.running_var.uniform_(0.5, 2)
            module.running_mean.normal_(0, 0.3)
    return model


def pictures(count: int = 4):
    import torch

    return torch.randn(count, 3, PX, PX, generator=torch.Generator().manual_seed(1))


# ---- recipes


def test_own_model_comes_with_its_weights_and_a_safe_name(own):
    made = make(own("Concat"))
    assert made.weights == "own"
    assert made.slug == "nets-Concat-32-static-per-channel"
    assert make(own("Concat"), weights="random").weights == "random"
    with pytest.raises(RecipeError, match="mobilenet_v2 comes without weights"):
        make("mobilenet_v2", weights="own")


@pytest.mark.parametrize(
    ("name", "fields", "message"),
    [
        ("missing.py:f", {}, "there is no file missing.py"),
        ("missing.py", {}, "missing.py names no function"),
        ("nets.txt:f", {}, "'nets.txt:f' is not FILE.py:FACTORY"),
        ("nets.py:f()", {}, r"'nets.py:f\(\)' is not FILE.py:FACTORY"),
        (f"{HERE / 'own_models.py'}:Concat", {"width": 0.5}, "width = 0.5: .* takes no width"),
        ("mobilenet_v2", {"std": (1, 0, 1)}, "std.1 = 0"),
        ("mobilenet_v2", {"mean": (123.7, 0, 0)}, r"mean = \(123.7, 0, 0\)"),
        ("mobilenet_v2", {"weights": ""}, "weights = ''"),
    ],
)
def test_bad_recipes_name_the_value(name, fields, message):
    with pytest.raises(RecipeError, match=message):
        make(name, **fields)


# ---- the user's file


@pytest.mark.parametrize(
    ("factory", "message"),
    [
        ("fails", "fails cannot be called: ValueError: no such thing"),
        ("leaves", "leaves cannot be called: SystemExit: 3"),
        ("number", "number returns int, not a torch.nn.Module"),
        ("network", "network is of type Linear, and not a function"),
        ("convolution", r"for an input of \[1, 3, 32, 32\] gives the shape \[1, 4, 30, 30\]"),
        ("gives_tuple", "gives tuple, not a tensor"),
        ("one_picture", r"for an input of \[2, 3, 32, 32\] gives the shape \[1, 6\]"),
        ("Forgetful", "answers the same picture in two ways"),
        ("half", "half has weights of the type float16"),
        # Without this check, formats and float model are compared on different pictures.
        ("writes_into_its_input", "writes_into_its_input writes into its input"),
        ("looks_at_the_batch", "answers a picture differently beside another one"),
    ],
)
def test_a_network_other_than_a_classifier_is_reported_in_one_sentence(own, factory, message):
    with pytest.raises(RecipeError, match=message) as caught:
        user_model.load(own(factory)).classes(PX)
    assert "\n" not in caught.value.message


@pytest.mark.parametrize(
    ("factory", "message", "hint"),
    [
        ("spectrum", "gives torch.complex64", "torch.cat([y.real, y.imag], 1)"),
        ("winner", "gives torch.int64", "return y.float() instead of y"),
    ],
)
def test_the_hint_about_a_type_of_output_helps(own, factory, message, hint):
    """Regression: it was to call .float() on the network, which changes neither."""
    with pytest.raises(RecipeError, match=message) as caught:
        user_model.load(own(factory)).classes(PX)
    assert hint in caught.value.hint


@pytest.mark.parametrize("factory", ["data_parallel", "compiled"])
def test_a_wrapped_network_is_unwrapped(own, factory):
    """`torch.export` cannot trace DataParallel, which also prefixes the names of weights."""
    model = user_model.load(own(factory))
    assert (
        model.build().state_dict().keys()
        == user_model.load(own("Concat")).build().state_dict().keys()
    )
    assert model.classes(PX) == user_model.load(own("Concat")).classes(PX)


QUANTIZED = """
import torch
from torch import nn
from torch.ao.quantization import convert, get_default_qat_qconfig, get_default_qconfig
from torch.ao.quantization import prepare, prepare_qat

def network():
    net = nn.Sequential(nn.Conv2d(3, 4, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 5))
    net[1].add = nn.quantized.FloatFunctional()  # as in networks that are to be quantized
    return net

def qat():
    net = network().train()
    net.qconfig = get_default_qat_qconfig("qnnpack")
    return prepare_qat(net)

def int8():
    net = network().eval()
    net.qconfig = get_default_qconfig("qnnpack")
    net = prepare(net)
    net(torch.rand(1, 3, 8, 8))
    return convert(net)

def dynamic():
    return torch.ao.quantization.quantize_dynamic(network().eval(), {nn.Linear})
"""


@pytest.mark.filterwarnings("ignore")
def test_quantized_networks_are_refused(tmp_path):
    """`torch.export` fails on them with an error about packed parameters."""
    file = tmp_path / "net.py"
    file.write_text(QUANTIZED)
    for factory, error_text in (
        ("qat", "prepared for quantization: .* is an observer"),
        ("int8", "quantized already: 0 is a quantized Conv2d"),
        ("dynamic", "quantized already: 3 is a quantized Linear"),
    ):
        with pytest.raises(RecipeError, match=error_text) as caught:
            user_model.load(f"{file}:{factory}").build()
        assert "float network" in caught.value.hint
    user_model.load(f"{file}:network").build()


def test_the_same_name_in_another_folder_is_another_model(tmp_path, monkeypatch):
    for number in (1, 2):
        folder = tmp_path / str(number)
        folder.mkdir()
        text = f"from torch import nn\n\n\ndef make():\n    return nn.Linear({number}, 1)\n"
        (folder / "net.py").write_text(text)
        monkeypatch.chdir(folder)
        assert user_model.load("net.py:make").build().in_features == number


def test_place_in_the_users_code_is_named(own):
    with pytest.raises(RecipeError) as caught:
        user_model.load(own("fails")).build()
    assert line_of(own, 'ValueError("no such thing")') in caught.value.message


def test_missing_factory_suggests_similar_names(own):
    with pytest.raises(RecipeError, match="has no 'Conct'") as caught:
        user_model.load(own("Conct"))
    assert "Concat" in caught.value.hint


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("def f(:\n", r"net.py cannot be imported: SyntaxError: .*net.py:1\)"),
        ("import no_such_package\n", "ModuleNotFoundError: No module named 'no_such_package'"),
        ("x = 1\ny = x / 0\n", r"ZeroDivisionError: division by zero \(.*net.py:2\)"),
    ],
)
def test_failed_import_is_reported(tmp_path, text, message):
    (tmp_path / "net.py").write_text(text)
    with pytest.raises(RecipeError, match=message):
        user_model.load(f"{tmp_path / 'net.py'}:f")


def test_prints_of_the_file_do_not_mix_with_results(own, capsys):
    user_model.load(own("Concat")).classes(PX)
    output = capsys.readouterr()
    assert output.out == ""
    assert "a user's file may print" in output.err


def test_nan_weights_are_refused(own):
    with pytest.raises(WeightsError, match=r"NaN or infinity in head\.weight"):
        user_model.check_finite(user_model.load(own("not_a_number")).build())


# ---- labels and identity


def test_description_has_classes_labels_and_preprocessing(own, tmp_path):
    file = tmp_path / "labels.txt"
    file.write_text("\n".join(f"thing {i}" for i in range(10)) + "\n\n", encoding="utf-8")
    result = describe_inputs(
        make(own("Concat"), labels=str(file), mean=(0.5,) * 3, std=(0.25,) * 3)
    )
    assert result.classes == 10
    assert result.labels == tuple(f"thing {i}" for i in range(10))
    assert result.preprocessing.mean == (0.5, 0.5, 0.5)
    assert result.preprocessing.std == (0.25, 0.25, 0.25)
    assert result.preprocessing.crop == PX
    assert describe_inputs(make(own("Concat"))).labels is None


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (b"a\nb\n", "names 2 classes, .*Concat has 10 outputs"),
        (b"a\n\nb\n", "names nothing in line 2"),
        (b"", "names nothing in line 1"),
        (b"a\n", "names one class, 'a': there is nothing to tell apart"),
        (b"\xff\xfe\x00", "cannot read the labels"),
        (None, "cannot read the labels .*: No such file"),
    ],
)
def test_labels_that_do_not_match_are_refused(own, tmp_path, text, message):
    file = tmp_path / "labels.txt"
    if text is not None:
        file.write_bytes(text)
    with pytest.raises(RecipeError, match=message):
        describe_inputs(make(own("Concat"), labels=str(file)))


def test_labels_of_other_encodings_and_with_a_background(own, tmp_path):
    file = tmp_path / "labels.txt"
    names = [f"café {i}" for i in range(10)]
    file.write_bytes("\r\n".join(names).encode("utf-16"))
    assert describe_inputs(make(own("Concat"), labels=str(file))).labels == tuple(names)
    file.write_text("\n".join(["background", *names]), encoding="utf-8")
    with pytest.raises(RecipeError, match="names 11 classes") as caught:
        describe_inputs(make(own("Concat"), labels=str(file)))
    assert "leave out the first one, background" in caught.value.hint


def test_labels_give_a_named_model_its_number_of_classes(tmp_path):
    file = tmp_path / "labels.txt"
    file.write_text("cat\ndog\n")
    result = describe_inputs(
        recipe_input.make_recipe("mobilenet_v1", weights="random", labels=str(file))
    )
    assert (result.classes, result.labels) == (2, ("cat", "dog"))


def test_identity_covers_file_imports_and_weights(own, tmp_path):
    labels, weights = tmp_path / "labels.txt", tmp_path / "w.pt"
    labels.write_text("a\nb\n")
    made = make(own("from_file"), labels=str(labels))
    chosen = calibration.choose(made)
    seen = [build_inputs.identify_inputs(made, chosen)]
    assert build_inputs.identify_inputs(made, chosen) == seen[0]
    folder = Path(own("x")).parent

    def change(file: Path, old: str, new: str) -> None:
        file.write_text(file.read_text().replace(old, new))
        result = build_inputs.identify_inputs(made, chosen)
        assert result not in seen, f"{file.name} does not count"
        seen.append(result)

    change(labels, "b", "c")
    change(folder / "own_parts.py", "ReLU6", "ReLU")
    import torch

    torch.save(
        {k: v + 1 for k, v in user_model.load(made.model).build().state_dict().items()}, weights
    )
    change(folder / "nets.py", "WEIGHTS = None", f"WEIGHTS = {str(weights)!r}")
    source = seen[-1]["own"]["source"]
    torch.save({k: v + 2 for k, v in torch.load(weights).items()}, weights)
    last = build_inputs.identify_inputs(made, chosen)
    assert last not in seen, "weights that the factory reads do not count"
    assert last["own"]["source"] == source


def test_identity_does_not_depend_on_the_folder(own, tmp_path):
    made = make(own("Concat"))
    shutil.copytree(Path(own("x")).parent, tmp_path / "elsewhere")
    moved = make(f"{tmp_path / 'elsewhere' / 'nets.py'}:Concat")
    chosen = calibration.choose(made)
    assert build_inputs.identify_inputs(made, chosen) == build_inputs.identify_inputs(moved, chosen)


# ---- tracing

# Symbolic tracing fails on it, and `torch.export` is slow.
ATTENTION = pytest.param("Attention", marks=pytest.mark.slow)


@pytest.mark.parametrize("factory", ["Gelu", "Concat", ATTENTION, "Functional", "Overwrites"])
def test_folded_graph_computes_what_the_model_computes(own, factory):
    import torch

    from kit.quantize.graph import fold

    model, images = model_of(own(factory)), pictures()
    with torch.no_grad():
        expected = model(images)
        folded = fold(model, images)
        assert torch.allclose(folded(images), expected, atol=1e-5)
        assert torch.allclose(folded(images[:1]), expected[:1], atol=1e-5)
    kinds = [type(m).__name__ for m in folded.modules()]
    assert "BatchNorm2d" not in kinds
    assert "Dropout" not in kinds


@pytest.mark.parametrize(
    ("factory", "layers"),
    [
        pytest.param(
            "Attention",
            {"stem.0", "attn.linear", "attn.out_proj", "head"},
            marks=pytest.mark.slow,
        ),
        ("Functional", {"conv2d", "head"}),
        ("Concat", {"stem.0", "mix", "mix_2", "a.0", "b.0", "head"}),
    ],
)
def test_layers_are_named_wherever_their_weights_are(own, factory, layers):
    from kit.quantize.graph import fold
    from kit.quantize.nodes import list_layer_names

    assert set(list_layer_names(fold(model_of(own(factory)), pictures()))) == layers


@pytest.mark.parametrize("granularity", ["per-channel", "per-tensor"])
@pytest.mark.parametrize("factory", ["Gelu", ATTENTION, "Concat"])
def test_corrections_keep_the_answers(own, factory, granularity):
    import torch

    from kit.corrections import get_correction, plan
    from kit.quantize.graph import fold

    model, images = model_of(own(factory)), pictures(8)
    folded = fold(model, images)
    for name in plan.resolve("best"):
        get_correction(name).apply(folded, images, granularity)
    with torch.no_grad():
        expected = model(images)
        assert (folded(images) - expected).abs().max() < 0.1 * expected.std()


def test_branch_on_values_names_the_line(own):
    from kit.quantize.graph import fold

    with pytest.raises(BuildError, match="decides by the values of its input") as caught:
        fold(model_of(own("Branch")), pictures())
    assert line_of(own, "x.mean() > 0") in caught.value.message


def test_padding_on_one_side_is_refused():
    import torch

    from kit.quantize.graph import fold

    with pytest.raises(BuildError, match="pads its input on one side more"):
        fold(torch.nn.Sequential(torch.nn.Conv2d(3, 4, 2, padding="same")), pictures())


# ---- cost and the command line


@pytest.mark.slow
def test_cost_counts_layers_in_functions_and_closed_modules(own):
    attention = cost.compute_cost(own("Attention"), PX)
    linear = attention.by_kind()["fully connected"]
    assert linear.layers == 3
    assert linear.multiply_adds == 4 * 64 * 16 * 16 + 16 * 10
    functional = cost.compute_cost(own("Functional"), PX)
    assert functional.total.parameters == 8 * 3 * 9 + 8 * 10
    with pytest.raises(RecipeError, match="fails on an input of"):
        cost.compute_cost(own("Attention"), 64)  # its parameter is made for 32


@pytest.mark.parametrize(
    "text", ["160", "160x160", "3x160x160", "3X160X160", "1x3x160x160", "3,160,160"]
)
def test_input_sizes(text):
    assert SideOption().convert(text, None, None) == 160


@pytest.mark.parametrize("text", ["160x256", "3x160x256", "1x3x160x256"])
def test_input_sizes_of_height_and_width(text):
    assert SideOption().convert(text, None, None) == (160, 256)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("1x28x28", "is not one RGB picture"),
        ("4x3x32x32", "is not one RGB picture"),
        ("160x", "'160x' is not an input size"),
        ("big", "'big' is not an input size"),
    ],
)
def test_invalid_input_sizes_are_refused(text, message):
    with pytest.raises(UsageError, match=message):
        SideOption().convert(text, None, None)


def test_colours():
    assert Colour().convert("0.5,0,1", None, None) == (0.5, 0, 1)
    assert Colour().convert("0.5", None, None) == (0.5,)
    for text in ("0.5,1", "a,b,c", "1,2,3,4"):
        with pytest.raises(UsageError, match="is not three numbers"):
            Colour().convert(text, None, None)


def test_command_line_prints_one_sentence_and_a_traceback_with_verbose(own, capsys, monkeypatch):
    assert cli.run(["build", own("fails"), "--input", "3x32x32"]) == RecipeError.exit_code
    *_, sentence, hint = capsys.readouterr().err.splitlines()
    assert sentence.startswith("kit: ")
    assert "no such thing" in sentence
    assert hint == "hint: KIT_DEBUG=1 shows the traceback"
    monkeypatch.setenv("KIT_DEBUG", "1")
    assert cli.run(["build", own("fails"), "--input", "3x32x32"]) == RecipeError.exit_code
    assert "ValueError: no such thing" in capsys.readouterr().err


# ---- bundles


@pytest.fixture(autouse=True)
def own_cache(lowered_here, tmp_path, monkeypatch):
    monkeypatch.setenv("KIT_CACHE", str(tmp_path / "cache"))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("factory", "side"),
    # At 32 px the last layers of a ResNet see one pixel: 8 pictures do not cover the others.
    [("Concat", PX), ("Transformer", PX), ("Functional", PX), ("resnet", 96)],
)
def test_every_format_is_built(own, tmp_path, factory, side):
    count = 8 if side == PX else 32
    made = recipe_input.make_recipe(
        own(factory),
        weights="random",
        resolution=side,
        calibration_images=count,
        observer="percentile",  # a search takes its time, and has its own tests
    )
    built = kit.build(made, tmp_path / "bundle")
    assert [a.format for a in built.manifest.artifacts] == list(made.formats)
    for artifact in built.manifest.artifacts:
        assert artifact.parity[0].passed
        assert artifact.parity[1].sqnr_db is None or artifact.parity[1].sqnr_db > 10
    assert built.manifest.signature.outputs[0].shape == (1, 10)


@pytest.mark.slow
def test_command_line_builds_a_bundle_with_labels_that_can_be_evaluated(own, tmp_path):
    labels, target = tmp_path / "labels.txt", tmp_path / "out"
    labels.write_text("".join(f"thing {i}\n" for i in range(10)))
    for i in range(10):
        (tmp_path / "set" / f"thing {i}").mkdir(parents=True)
        noise = np.random.default_rng(i).integers(0, 255, (40, 50, 3), np.uint8)
        Image.fromarray(noise).save(tmp_path / "set" / f"thing {i}" / "a.png")
    command = [sys.executable, "-m", "kit", "build", own("from_file"), "--input", "3x32x32"]
    command += ["--labels", str(labels), "--mean", "0.5,0.5,0.5", "--std", "0.5,0.5,0.5"]
    command += ["--format", "onnx", "--quantize", "none", "--json", "-o", str(target)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    manifest = json.loads(done.stdout)
    assert manifest["weights"]["source"] == f"own model {own('from_file')}"
    assert len(manifest["weights"]["sha256"]) == 64
    assert manifest["preprocessing"]["mean"] == [0.5, 0.5, 0.5]
    assert kit.load_bundle(target).labels() == [f"thing {i}" for i in range(10)]
    result = kit.evaluate(target, tmp_path / "set")
    assert result.rows[0].images == 10
    assert result.rows[0].top1 is not None
    assert result.rows[1].agreement == 1


@pytest.mark.slow
def test_operator_that_a_format_lacks_is_named_with_its_place(own, tmp_path):
    made = make(own("Bessel"), weights="random", calibration_images=2, formats=("executorch",))
    with pytest.raises(BuildError) as caught:
        kit.build(made, tmp_path / "bundle")
    for part in ("executorch", "bessel_j0", line_of(own, "special.bessel_j0")):
        assert part in caught.value.message
