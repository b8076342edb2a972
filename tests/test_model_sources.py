"""Models of other libraries by name, ``SOURCE:NAME``; see `kit.models.sourced`."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import kit
from kit import cli, model_source, recipe
from kit.errors import MissingTool, RecipeError, UnknownName, WeightsError
from kit.images.preprocess import to_array
from kit.model_source import find_models, find_source, split_reference, suggest_models
from kit.models import fitting, get_model, weights
from kit.models._hf_preprocessing import convert_settings
from kit.models.interface import HubFile, Official
from kit.recipe_input import make_recipe
from kit.tasks import get_task
from kit.tasks._pictures import describe_preprocessing

torch = pytest.importorskip("torch")

PX = 32
TASK = get_task("image-classification")


@pytest.fixture(autouse=True)
def nothing_cached(tmp_path, monkeypatch):
    monkeypatch.setenv("KIT_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "home"))
    monkeypatch.delenv("TORCH_HOME", raising=False)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))


def picture(width: int = 301, height: int = 223) -> Image.Image:
    """Return noise of several scales, which reveals a shift by one pixel."""
    random = np.random.default_rng(0)
    coarse = Image.fromarray(random.integers(0, 256, (9, 12, 3), np.uint8))
    fine = Image.fromarray(random.integers(0, 256, (height, width, 3), np.uint8))
    return Image.blend(coarse.resize((width, height), Image.Resampling.BICUBIC), fine, 0.3)


# Names


@pytest.mark.parametrize(
    ("model", "parts"),
    [
        ("torchvision:resnet18", ("torchvision", "resnet18")),
        ("timm:resnet18.a1_in1k", ("timm", "resnet18.a1_in1k")),
        ("hf:/a/b:c.py", ("hf", "/a/b:c.py")),
        ("mobilenet_v2", None),
        ("net.py:make", None),
        ("some/net.py:make", None),
    ],
)
def test_only_a_word_before_the_colon_is_a_source(model, parts):
    result = split_reference(model)
    assert (result and (result.source, result.name)) == parts
    assert (recipe.split_own_model(model) is not None) == model.endswith("net.py:make")


@pytest.mark.cold_start
def test_names_equal_those_of_the_libraries_without_an_import():
    import timm
    import torchvision

    listed = torchvision.models.list_models(module=torchvision.models)
    detectors = torchvision.models.list_models(module=torchvision.models.detection)
    listed += [name for name in detectors if name.startswith(("ssd", "retinanet"))]
    assert find_source("torchvision").list_names() == tuple(sorted(listed))
    assert find_source("timm").list_names() == tuple(sorted(timm.list_models()))
    code = (
        "import sys; from kit import cli; assert cli.run(['list', '--models', 'shufflenet']) == 0\n"
        "print([m for m in ('torch', 'torchvision', 'timm', 'transformers') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    *names, imported = done.stdout.splitlines()
    assert "torchvision:shufflenet_v2_x0_5" in names
    assert all("shufflenet" in name for name in names)
    assert imported == "[]"


def test_list_finds_models_by_a_part_of_the_name(capsys):
    assert cli.run(["list", "--models", "MobileNet-V2", "--json"]) == 0
    result = json.loads(capsys.readouterr().out)
    assert result["torchvision"] == ["torchvision:mobilenet_v2"]
    assert "timm:mobilenetv2_100" in result["timm"]
    assert "mobilenet_v2" in result["kit"]
    assert cli.run(["list", "--models"]) == 0
    assert len(capsys.readouterr().out.splitlines()) > 1000
    assert cli.run(["list", "--models", "resnt50"]) == UnknownName.exit_code
    assert "torchvision:resnet50" in capsys.readouterr().err


def test_a_name_without_its_source_is_suggested_with_it():
    assert suggest_models("resnet50") == ("torchvision:resnet50", "timm:resnet50")
    assert suggest_models("MobileNetV2-100") == ("timm:mobilenetv2_100",)
    assert find_models("no such thing") == {"kit": (), "hf": (), "timm": (), "torchvision": ()}


@pytest.mark.parametrize(
    ("model", "fields", "error", "words"),
    [
        ("resnet50", {}, UnknownName, "did you mean torchvision:resnet50 or timm:resnet50"),
        ("mobilenet_v22", {}, UnknownName, "did you mean mobilenet_v2 or"),
        ("qqqq", {}, UnknownName, "known: .*kit list --models WORD"),
        ("net:make", {}, UnknownName, "known: hf, timm, torchvision; .* FILE.py:FACTORY"),
        ("torchvison:resnet18", {}, UnknownName, "did you mean torchvision"),
        ("torchvision:resnt50", {}, UnknownName, "did you mean torchvision:resnet50"),
        ("torchvision:resnet50.V9", {}, UnknownName, "it has IMAGENET1K_V1, IMAGENET1K_V2"),
        ("torchvision:fcn_resnet50", {}, RecipeError, "segmentation.*or a detector.*--task"),
        ("torchvision:raft_small", {}, RecipeError, "optical_flow.*--task"),
        ("torchvision:quantized_resnet18", {}, RecipeError, "build torchvision:resnet18,"),
        ("torchvision:resnet18", {"width": 0.5}, RecipeError, "takes no width"),
        ("torchvision:resnet18", {"weights": "own"}, RecipeError, "comes without weights"),
        ("torchvision:vgg16.IMAGENET1K_FEATURES", {}, UnknownName, "it has IMAGENET1K_V1"),
        ("timm:resnet18.zz", {}, RecipeError, "no weights 'zz'.*a1_in1k"),
        ("timm:resnt18", {}, UnknownName, "did you mean timm:resnet18"),
        ("hf:/no/such", {}, RecipeError, "no folder '/no/such'.*config.json"),
        ("hf:a\0b", {}, RecipeError, "no folder"),
    ],
)
def test_models_that_cannot_be_built_are_refused_with_a_hint(model, fields, error, words):
    with pytest.raises(error) as caught:
        make_recipe(model, **fields)
    assert re.search(words, f"{caught.value.message} {caught.value.hint}")


@pytest.mark.parametrize(
    ("model", "words"),
    [
        ("timm:vit_base_patch16_clip_quickgelu_224.openai", "has no classifier"),
        ("timm:vit_small_patch16_dinov3.lvd1689m", "has no classifier"),
    ],
)
def test_feature_extractors_are_refused(model, words):
    with pytest.raises(RecipeError, match=words):
        get_model(model)


def test_a_source_without_its_library_names_the_extra(monkeypatch):
    monkeypatch.setattr(type(find_source("hf")), "package", "no-such-package")
    with pytest.raises(MissingTool) as caught:
        find_source("hf").check_package()
    assert "mobile-deployment-kit[hf]" in caught.value.hint


def test_names_of_bundles_have_no_folders():
    made = recipe.Recipe(model="hf:/home/me/vit-pets", weights="own")
    assert made.title == "hf-vit-pets"
    assert made.slug.startswith("hf-vit-pets-224")
    assert recipe.Recipe(model="torchvision:resnet18").slug.startswith("torchvision-resnet18-224")


# torchvision


@pytest.mark.parametrize(
    "name",
    ["squeezenet1_1", "resnet50", "inception_v3", "resnet50.IMAGENET1K_V1", "efficientnet_b0"],
)
def test_torchvision_preprocessing_equals_its_transform_pixel_by_pixel(name):
    from torchvision.models import get_model_weights

    builder, _, tag = name.partition(".")
    enum = get_model_weights(builder)
    chosen = enum[tag] if tag else enum.DEFAULT
    made = make_recipe(f"torchvision:{name}", weights="random")
    member = get_model(made.model)
    assert made.resolution == member.side == chosen.transforms().crop_size[0]
    assert member.spec.labels == tuple(chosen.meta["categories"])
    assert not member.deviations
    pre = describe_preprocessing(made, member)
    image = picture(400, 500)
    want = chosen.transforms()(image).numpy()
    assert np.abs(to_array(image, pre) - want).max() < 1e-6
    official = member.spec.weights
    assert isinstance(official, Official)
    assert official.url == chosen.url
    assert f"-{official.sha256}." in official.file


@pytest.mark.parametrize("name", ["googlenet", "densenet121"])
def test_published_files_match_the_names_of_the_network(name):
    """Files may have auxiliary classifiers, used only in training, or names with dots."""
    import torchvision

    member = get_model(f"torchvision:{name}")
    options = {"aux_logits": True, "init_weights": False} if name == "googlenet" else {}
    with torch.device("meta"):
        state = torchvision.models.get_model(name, weights=None, **options).state_dict()
        network = member.build(1.0, 1000)
    if name == "densenet121":
        dotted = re.compile(r"(denselayer\d+\.(?:norm|conv))([12])\.")
        state = {dotted.sub(r"\1.\2.", key): value for key, value in state.items()}
        assert "features.denseblock1.denselayer1.norm.1.weight" in state
    network.load_state_dict(member.rename(state), assign=True)


def test_an_unsupported_input_size_is_refused_with_the_supported_one():
    made = make_recipe("torchvision:vit_b_32", weights="random", resolution=96)
    with pytest.raises(RecipeError) as caught:
        TASK.describe_inputs(made)
    assert "[1, 3, 96, 96]" in caught.value.message
    assert caught.value.hint == "it was made for --input 224"


def test_unavailable_weights_are_reported_in_one_sentence(monkeypatch):
    spec = get_model("torchvision:squeezenet1_1").spec

    def fail(*_: object, **__: object) -> None:
        raise OSError("off")

    monkeypatch.setattr("urllib.request.urlopen", fail)
    with pytest.raises(WeightsError, match=r"squeezenet1_1-b8a52dc0.pth .*reached \(off\)"):
        weights.fetch_official(spec.weights)


@pytest.mark.slow
def test_a_model_of_torchvision_is_built_with_its_labels(lowered_here, tmp_path):
    made = make_recipe(
        "torchvision:squeezenet1_1",
        weights="random",
        resolution=64,
        quantize="none",
        formats=("onnx",),
    )
    built = kit.build(made, tmp_path / "bundle")
    spec = get_model(made.model).spec
    assert built.labels() == list(spec.labels)
    assert built.manifest.preprocessing.resize == round(64 * 256 / 224)
    assert built.manifest.preprocessing.mean == spec.mean
    assert [artifact.parity[0].passed for artifact in built.manifest.artifacts] == [True]
    assert not [n for n in built.manifest.notices if n.code == "preprocessing.approximate"]


# timm


@pytest.mark.parametrize("side", [None, 100])
@pytest.mark.parametrize(
    "name",
    [
        "test_resnet",  # bilinear
        "mobilenetv3_small_100",  # bicubic
        "maxvit_tiny_tf_384",  # squeezed into a square
        "efficientnet_b0",
    ],
)
def test_timm_preprocessing_equals_its_transform_pixel_by_pixel(name, side):
    from timm.data import create_transform, resolve_data_config
    from timm.models import get_pretrained_cfg

    member = get_model(f"timm:{name}")
    assert member.deviations == ()
    data = resolve_data_config(pretrained_cfg=get_pretrained_cfg(name).to_dict())
    fields = {} if side is None else {"resolution": side}
    if side is not None:
        data["input_size"] = (3, side, side)
    image = picture()
    pre = describe_preprocessing(make_recipe(member.name, weights="random", **fields), member)
    want = create_transform(**data, is_training=False)(image).numpy()
    assert np.abs(to_array(image, pre) - want).max() < 1e-6


def test_timms_weights_are_read_from_the_hubs_cache_as_safetensors(tmp_path):
    """The cache has the layout of the hub client after a download."""
    from safetensors.torch import save_file

    member = get_model("timm:test_resnet.r160_in1k")
    hosted = member.spec.weights
    assert isinstance(hosted, HubFile)
    with pytest.raises(WeightsError) as caught:
        weights.fetch_official(hosted)
    assert f"{hosted.repository}/{hosted.file}" in caught.value.message
    assert "--weights model.safetensors" in caught.value.hint
    torch.manual_seed(1)
    trained = member.build(1.0, 1000)
    folder = tmp_path / "hub" / f"models--{hosted.repository.replace('/', '--')}"
    (folder / "refs").mkdir(parents=True)
    (folder / "refs" / "main").write_text("0" * 40)
    (folder / "snapshots" / ("0" * 40)).mkdir(parents=True)
    save_file(trained.state_dict(), folder / "snapshots" / ("0" * 40) / hosted.file)
    fetched = weights.fetch_official(hosted)
    model = member.build(1.0, 1000)
    fitting.load_into(model, member.rename(weights.read_state(fetched.path)), hosted.file)
    assert torch.equal(model.fc.weight, trained.fc.weight)
    assert weights.hash_source("imagenet", hosted, 0).startswith("hub:timm/test_resnet")


@pytest.mark.slow
def test_a_model_of_timm_is_built_with_the_hubs_weights_and_then_cached(lowered_here, tmp_path):
    from safetensors.torch import save_file

    member = get_model("timm:test_resnet")
    torch.manual_seed(1)
    folder = tmp_path / "hub" / "models--timm--test_resnet.r160_in1k"
    (folder / "refs").mkdir(parents=True)
    (folder / "refs" / "main").write_text("0" * 40)
    (folder / "snapshots" / ("0" * 40)).mkdir(parents=True)
    file = folder / "snapshots" / ("0" * 40) / "model.safetensors"
    save_file(member.build(1.0, 1000).state_dict(), file)
    made = make_recipe(member.name, resolution=64, quantize="none", formats=("onnx",))
    reports: list[str] = []
    first = kit.build(made, tmp_path / "first", reports.append)
    assert first.manifest.weights.source.startswith("Hugging Face hub, timm/test_resnet")
    assert len(first.manifest.weights.sha256) == 64
    assert "taken from the cache" not in reports
    again = kit.build(made, tmp_path / "again", reports.append)
    assert reports[-1] == "taken from the cache"
    assert again.manifest.weights == first.manifest.weights


# transformers


@pytest.fixture(scope="module")
def vit(tmp_path_factory) -> Path:
    transformers = pytest.importorskip("transformers", reason="the extra hf is not installed")
    folder = tmp_path_factory.mktemp("hf") / "vit-pets"
    names = {0: "cat", 1: "dog", 2: "owl"}
    config = transformers.ViTConfig(
        **{"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2},
        **{"intermediate_size": 16, "image_size": PX, "patch_size": 8, "num_labels": 3},
        id2label=names,
        label2id={name: number for number, name in names.items()},
    )
    torch.manual_seed(0)
    transformers.ViTForImageClassification(config).save_pretrained(folder)
    transformers.ViTImageProcessor(size={"height": PX, "width": PX}).save_pretrained(folder)
    return folder


def altered(folder: Path, tmp_path: Path, file: str, **fields: object) -> Path:
    copy = tmp_path / "altered"
    if folder != copy:
        shutil.copytree(folder, copy)
    content = json.loads((copy / file).read_text()) | fields
    (copy / file).write_text(json.dumps(content))
    return copy


@pytest.mark.slow
def test_a_folder_of_transformers_is_built_with_its_weights_and_labels(vit, lowered_here, tmp_path):
    from transformers import ViTForImageClassification

    made = make_recipe(f"hf:{vit}", quantize="none", formats=("onnx",))
    assert (made.weights, made.resolution) == ("own", PX)
    built = kit.build(made, tmp_path / "bundle")
    assert built.labels() == ["cat", "dog", "owl"]
    assert not [n for n in built.manifest.notices if n.code == "preprocessing.approximate"]
    assert built.manifest.preprocessing.fit == "stretch"
    network = ViTForImageClassification.from_pretrained(vit).eval()
    inputs = np.load(tmp_path / "bundle" / "golden" / "input.npy")
    with torch.no_grad():
        want = network(torch.from_numpy(inputs)).logits.numpy()
    given = np.load(tmp_path / "bundle" / "golden" / "onnx-fp32.npy")
    assert np.abs(given - want).max() < 1e-4
    labels = tmp_path / "labels.txt"
    labels.write_text("a\nb\n")
    with pytest.raises(RecipeError, match=r"names 2 classes, .* has 3 outputs"):
        TASK.describe_inputs(make_recipe(f"hf:{vit}", labels=str(labels)))


def test_a_pickle_in_a_folder_is_refused_and_read_without_running_it_if_named(vit, tmp_path):
    member = get_model(f"hf:{vit}")
    copy = altered(vit, tmp_path, "config.json")
    (copy / "model.safetensors").unlink()
    state = {key.removeprefix("network."): value for key, value in member.find_own().items()}
    torch.save(state, copy / "pytorch_model.bin")
    other = get_model(f"hf:{copy}")
    with pytest.raises(WeightsError) as caught:
        other.find_own()
    assert "only pickles" in caught.value.message
    assert f"--weights {copy / 'pytorch_model.bin'}" in caught.value.hint
    state = other.rename(weights.read_state(copy / "pytorch_model.bin"))
    fitting.load_into(other.build(1.0, 3), state, "pytorch_model.bin")


def test_code_in_a_folder_is_never_run(vit, tmp_path):
    mark = tmp_path / "ran"
    copy = altered(
        vit,
        tmp_path,
        "config.json",
        architectures=["PetForImageClassification"],
        model_type="pet",
        auto_map={"AutoConfig": "pet.Pet", "AutoModelForImageClassification": "pet.Pet"},
    )
    assert copy == tmp_path / "altered"
    altered(copy, tmp_path, "preprocessor_config.json", auto_map={"AutoImageProcessor": "pet.Pet"})
    (copy / "pet.py").write_text(f"open({str(mark)!r}, 'w')\nclass Pet: pass\n")
    with pytest.raises(RecipeError, match="kit runs no code from a folder"):
        get_model(f"hf:{copy}")
    assert not mark.exists()


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"architectures": ["SegformerForSemanticSegmentation"]}, "no classifier of pictures"),
        ({"architectures": ["BertForSequenceClassification"]}, "no classifier of pictures"),
        ({"architectures": ["ViTModel"]}, "no classifier of pictures"),
        ({"architectures": []}, "names no architecture"),
        ({"architectures": [7]}, "names no architecture"),
        ({"architectures": ["../x"]}, "no classifier of pictures"),
    ],
)
def test_a_folder_without_a_classifier_is_refused(vit, tmp_path, fields, words):
    with pytest.raises(RecipeError, match=words):
        make_recipe(f"hf:{altered(vit, tmp_path, 'config.json', **fields)}")


def test_weights_without_a_classifier_are_refused(vit, tmp_path):
    from safetensors.torch import load_file, save_file

    copy = altered(vit, tmp_path, "config.json")
    state = load_file(copy / "model.safetensors")
    kept = {key: value for key, value in state.items() if not key.startswith("classifier")}
    save_file(kept, copy / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(WeightsError, match="lack 'classifier"):
        get_model(f"hf:{copy}").find_own()


PLAIN = {"image_processor_type": "ViTImageProcessor", "resample": 2, "image_mean": [0.5] * 3}
CROPPED = {"do_center_crop": True, "size": {"shortest_edge": 40}, "crop_size": 32}


@pytest.mark.parametrize(
    ("settings", "side", "resize", "deviations"),
    [
        ({**PLAIN, **CROPPED}, 32, 40, 0),
        ({**PLAIN, **CROPPED, "resample": 3}, 32, 40, 0),
        ({**PLAIN, **CROPPED, "resample": 1}, 32, 40, 1),
        ({**PLAIN, "size": {"height": 32, "width": 32}}, 32, 32, 0),
        ({**PLAIN, **CROPPED, "image_processor_type": "LevitImageProcessor"}, 32, 40, 1),
        ({**PLAIN, **CROPPED, "image_processor_type": None}, 32, 40, 1),
        (
            {**PLAIN, **CROPPED, "image_processor_type": None}
            | {"feature_extractor_type": "ViTFeatureExtractor"},
            *(32, 40, 0),
        ),
        ({**PLAIN, **CROPPED, "do_center_crop": False}, 40, 40, 1),
        (
            {"image_processor_type": "ConvNextImageProcessor", "crop_pct": 0.875}
            | {"size": {"shortest_edge": 224}},
            *(224, 256, 0),
        ),
    ],
)
def test_settings_of_image_processors(settings, side, resize, deviations):
    result = convert_settings("hf:x", settings)
    assert (result.side, round(result.side * result.resize_ratio)) == (side, resize)
    assert len(result.deviations) == deviations
    assert "None" not in "".join(result.deviations)


@pytest.mark.parametrize(
    "settings",
    [
        {**PLAIN, **CROPPED, "do_flip_channel_order": True},
        {**PLAIN, **CROPPED, "rescale_factor": 1 / 127.5},
        {**PLAIN, **CROPPED, "do_rescale": False},
        {**PLAIN, **CROPPED, "do_resize": False},
        {**PLAIN, **CROPPED, "image_mean": [127.0] * 3},
        {**PLAIN, **CROPPED, "image_std": "x"},
        {**PLAIN, "size": {"height": 32, "width": 48}},
        {**PLAIN, "size": {"shortest_edge": "x"}},
        {**PLAIN, **CROPPED, "crop_size": 64},
    ],
)
def test_preprocessing_that_kit_cannot_do_is_refused(settings):
    with pytest.raises(RecipeError, match="hf:x"):
        convert_settings("hf:x", settings)


def test_a_plug_in_cannot_take_the_name_of_a_source():
    assert model_source.SOURCE_NAMES.group == "kit.model_sources"
    assert set(model_source.list_sources()) >= {"hf", "timm", "torchvision"}
