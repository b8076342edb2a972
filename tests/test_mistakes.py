"""Mistakes on the command line, each with its exact error, hint and exit code.

Each runs in this process, before anything that takes long. `WORK` has a bundle, pictures and what
people take for them.
"""

from __future__ import annotations

import re
import shlex
import shutil
from pathlib import Path

import click
import pytest
from bundle_samples import draw, picture

from kit import cli, formats
from kit.bundles.bundle import Bundle
from kit.commands.common.option_words import list_advice
from kit.commands.common.output_checks import choose_file
from kit.registry import ALGORITHM_NAMES, FORMAT_NAMES, PRECISION_NAMES

KNOWN_MODELS = "mobilenet_v1, mobilenet_v2, mobilenet_v3_large, mobilenet_v3_small"

# command line, exit code, error, hint (None if it lists what this version has)
MISTAKES = [
    ("biuld", 2, "there is no command called 'biuld'", "did you mean build?"),
    ("quantize mobilenet_v2", 2, "there is no command called 'quantize'", "did you mean build?"),
    (
        "app instal",
        2,
        "there is no command of kit app called 'instal'",
        "did you mean install or uninstall?",
    ),
    ("build", 3, "no model is named", "for example: kit build mobilenet_v2"),
    (
        "build resnet50",
        2,
        "there is no model called 'resnet50'",
        "did you mean torchvision:resnet50 or timm:resnet50?",
    ),
    (
        "build yolov8n",
        2,
        "there is no model called 'yolov8n'",
        f"known: {KNOWN_MODELS}; `kit list --models WORD` finds those of other libraries; "
        "for a network of your own: FILE.py:FACTORY, with its --weights FILE",
    ),
    (
        "build mobilenetv2",
        2,
        "there is no model called 'mobilenetv2'",
        "did you mean mobilenet_v2?",
    ),
    (
        "build best.pth",
        3,
        "best.pth is a file of weights, and the network that they are for is not named",
        "name it, kit build FILE.py:FACTORY --weights best.pth, or a model of `kit list`",
    ),
    (
        "build model.onnx",
        3,
        "model.onnx is an ONNX model, and kit builds from the network in PyTorch",
        "name the function that returns it: kit build FILE.py:FACTORY --weights FILE",
    ),
    (
        "build model.tflite",
        3,
        "model.tflite is a LiteRT model, and kit builds from the network in PyTorch",
        "name the function that returns it: kit build FILE.py:FACTORY --weights FILE",
    ),
    (
        "build model.pt2",
        3,
        "model.pt2 is an exported program, and kit builds from the network in PyTorch",
        "name the function that returns it: kit build FILE.py:FACTORY --weights FILE",
    ),
    ("build net.py", 3, "net.py names no function", "append it: net.py:FACTORY"),
    ("build missing.py:make", 3, "there is no file missing.py", "check the path"),
    ("build tiny", 3, "tiny is a bundle, not a model", "`kit show` and `kit analyze` take bundles"),
    (
        "build pics",
        3,
        "pics is a folder, not a model",
        "for a network of your own: FILE.py:FACTORY, with its --weights FILE",
    ),
    (
        "build out/typo",
        3,
        "there is nothing at out/typo, and no model of that name",
        "for a network of your own: FILE.py:FACTORY, with its --weights FILE",
    ),
    (
        "build mobilenet_v2 --format tflite",
        2,
        "there is no format called 'tflite'",
        "did you mean litert?",
    ),
    (
        "build mobilenet_v2 --format pte",
        2,
        "there is no format called 'pte'",
        "did you mean executorch?",
    ),
    ("build mobilenet_v2 --format ptl", 2, "there is no format called 'ptl'", "did you mean lite?"),
    (
        "build mobilenet_v2 --format pytorch-mobile",
        2,
        "there is no format called 'pytorch-mobile'",
        "did you mean lite?",
    ),
    (
        "build mobilenet_v2 --format ort",
        2,
        "there is no format called 'ort'",
        "did you mean onnx/ort?",
    ),
    (
        "build mobilenet_v2 --format jit",
        2,
        "there is no format called 'jit'",
        "did you mean torchscript?",
    ),
    (
        "build mobilenet_v2 --format pt",
        2,
        "there is no format called 'pt'",
        "did you mean torchscript?",
    ),
    (
        "build mobilenet_v2 --format vulkan",
        2,
        "there is no format called 'vulkan'",
        "did you mean executorch/vulkan?",
    ),
    (
        "build mobilenet_v2 --format mlmodel",
        2,
        "there is no format called 'mlmodel'",
        "did you mean coreml?",
    ),
    (
        "build mobilenet_v2 --format onnx/vulkan",
        2,
        "there is no backend of onnx called 'vulkan'",
        "known: ort",
    ),
    (
        "build mobilenet_v2 --format executorch/vulkn",
        2,
        "there is no backend of executorch called 'vulkn'",
        "did you mean vulkan?",
    ),
    (
        "build mobilenet_v2 --format fp16",
        2,
        "there is no format called 'fp16', it is a precision",
        "use --precision fp16",
    ),
    (
        "build mobilenet_v2 --format onnx --format onxx",
        2,
        "there is no format called 'onxx'",
        "did you mean onnx?",
    ),
    (
        "build mobilenet_v2 --quantize ptq",
        2,
        "there is no quantization method called 'ptq'",
        "did you mean static?",
    ),
    (
        "build mobilenet_v2 --quantize int8",
        2,
        "there is no quantization method called 'int8'",
        "did you mean static?",
    ),
    (
        "build mobilenet_v2 --quantize float32",
        2,
        "there is no quantization method called 'float32'",
        "did you mean none?",
    ),
    (
        "build mobilenet_v2 --precision float16",
        2,
        "there is no precision called 'float16'",
        "did you mean fp16?",
    ),
    (
        "build mobilenet_v2 --precision half",
        2,
        "there is no precision called 'half'",
        "did you mean fp16?",
    ),
    (
        "build mobilenet_v2 --precision float",
        2,
        "there is no precision called 'float'",
        "did you mean fp32?",
    ),
    (
        "build mobilenet_v2 --precision int4",
        2,
        "there is no precision called 'int4'",
        "did you mean int4-weights?",
    ),
    (
        "build mobilenet_v2 --precision fp16,int8 --format lite",
        3,
        "lite has no fp16 files: its kernels compute in float32 or in integers",
        "it has fp32, int8, int8-dynamic; name formats that have fp16 with --format",
    ),
    (
        "build mobilenet_v2 --granularity per_channel",
        3,
        "granularity = 'per_channel': it must be 'per-channel' or 'per-tensor'",
        "`kit build --help` says what --granularity takes",
    ),
    (
        "build mobilenet_v2 --corrections equalise",
        2,
        "there is no correction called 'equalise'",
        "did you mean equalize?",
    ),
    (
        "build mobilenet_v2 --observer min-max",
        2,
        "there is no observer called 'min-max'",
        "did you mean minmax?",
    ),
    (
        "build mobilenet_v2 --input 160x128 --dynamic batch=8",
        3,
        "dynamic = 'batch=8': it is not NAME=MIN..MAX, or NAME=MIN..MAX/STEP, such as batch=1..8",
        "`kit build --help` says what --dynamic takes",
    ),
    (
        "build mobilenet_v2 --resolution 16",
        3,
        "resolution = 16: it must be 32 or more",
        "use a resolution from 32 to 1024, for example 224",
    ),
    (
        "build mobilenet_v2 --mean 0.5,0.5",
        2,
        "--mean '0.5,0.5' is not three numbers, for red, green and blue, or one for grey",
        "for example: 0.485,0.456,0.406",
    ),
    (
        "build mobilenet_v2 --weights pics",
        3,
        "cannot read the weights pics: it is a folder, not a file",
        "check the path",
    ),
    (
        "build mobilenet_v2 --weights nothing.pth",
        3,
        "cannot read the weights nothing.pth: No such file or directory",
        "check the path",
    ),
    (
        "build mobilenet_v2 --calibrate photo.png",
        3,
        "photo.png is one picture",
        "give a folder or a zip of pictures",
    ),
    (
        "build mobilenet_v2 --calibrate nothing/",
        3,
        "there is no folder or zip nothing",
        "check the path",
    ),
    (
        "build mobilenet_v2 --labels pics",
        3,
        "cannot read the labels pics: it is a folder, not a file",
        "it is a UTF-8 text with the name of one class in each line",
    ),
    (
        "build mobilenet_v2 --labels one.txt",
        3,
        "one.txt names one class, 'cat': there is nothing to tell apart",
        "it is a UTF-8 text with the name of one class in each line",
    ),
    (
        "build mobilenet_v2 --recipe pics",
        3,
        "cannot read the recipe pics: it is a folder, not a file",
        'a recipe is a text like: model = "mobilenet_v2"',
    ),
    ("build --recipe r1.toml", 3, "a recipe has no field format", "did you mean formats?"),
    ("build --recipe r2.toml", 3, "a recipe has no field observr", "did you mean observer?"),
    (
        "build mobilenet_v2 -o photo.png",
        7,
        "photo.png exists and is not a bundle: it is a file, not a folder",
        "choose another folder with -o, or remove it",
    ),
    (
        "build mobilenet_v2 -o pics",
        7,
        "pics exists and is not a bundle: it has no bundle.json",
        "choose another folder with -o, or remove it",
    ),
    (
        "build mobilenet_v2 --format=",
        3,
        "formats = (): name at least one format",
        "`kit build --help` says what --format takes",
    ),
    (
        "eval tiny",
        2,
        "Missing option '--images' / '--samples'.",
        "`kit eval --help` lists what is possible",
    ),
    (
        "eval tiny --images photo.png",
        3,
        "photo.png is one picture",
        "give a folder or a zip of pictures",
    ),
    ("eval tiny --images nothing", 3, "there is no folder or zip nothing", "check the path"),
    (
        "eval tiny --images pics --format tflite",
        2,
        "there is no format called 'tflite'",
        "did you mean litert?",
    ),
    (
        "eval tiny --images pics --format executorch",
        4,
        "the bundle has no executorch file",
        "it has: lite-fp32, onnx-fp32",
    ),
    (
        "eval tinny --images pics",
        4,
        "tinny is not a bundle: there is no such folder",
        "did you mean tiny?",
    ),
    (
        "eval tiny/model-fp32.onnx --images pics",
        4,
        "tiny/model-fp32.onnx is not a bundle: it is a file, not a folder",
        "give its folder: tiny",
    ),
    (
        "eval model.onnx --images pics",
        4,
        "model.onnx is not a bundle: it is a file, not a folder",
        "`kit build` makes one; give its folder",
    ),
    ("eval . --images pics", 4, ". is not a bundle: it holds bundles", "give one: plain, tiny"),
    (
        "eval tiny --images pics --labels photo.png",
        3,
        "photo.png is not a CSV file: it is not text in UTF-8",
        "save it as UTF-8 text",
    ),
    ("eval tiny --images pics --limit 0", 2, "the limit 0 leaves no picture", "use 1 or more"),
    (
        "eval tiny --images pics -o tiny/bundle.json/x",
        7,
        "cannot write tiny/bundle.json/x: a file is where its folder should be",
        "choose a file with -o, in a folder that is writable",
    ),
    ("bench tiny --format ort", 2, "there is no format called 'ort'", "did you mean onnx/ort?"),
    (
        "bench tiny --quick --official",
        2,
        "--quick and --official exclude each other",
        "give one of them",
    ),
    (
        "bench tiny --cpus medium",
        2,
        "--cpus 'medium' is no mask of cores",
        "give big, little, all, or a mask like f0",
    ),
    (
        "bench tiny --runner c++",
        2,
        "Invalid value for '--runner': 'c++' is not one of 'auto', 'python', 'native'.",
        "`kit bench --help` lists what is possible",
    ),
    (
        "bench tiny --threads 0",
        2,
        "Invalid value for '--threads': 0 is not in the range 1<=x<=1024.",
        "`kit bench --help` lists what is possible",
    ),
    (
        "bench tiny --cool hot",
        2,
        "Invalid value for '--cool': 'hot' is not a number.",
        "`kit bench --help` lists what is possible",
    ),
    (
        "bench tiny --format onnx -o photo.png/x.json",
        7,
        "cannot write to photo.png: it is a file, or below one",
        "choose another place with -o; for several bundles or devices it is a folder",
    ),
    (
        "verify tiny --processor pentium",
        2,
        "there is no processor called 'pentium'",
        "known: a64fx, all, cortex-a35, cortex-a53, cortex-a55, cortex-a57, cortex-a710, "
        "cortex-a72, cortex-a76, haswell, host, max, nehalem, neoverse-n1, neoverse-n2, "
        "neoverse-v1",
    ),
    (
        "verify tiny --processor host --format lte",
        2,
        "there is no format called 'lte'",
        "did you mean lite or litert?",
    ),
    (
        "report tiny",
        3,
        "tiny is a bundle, not a result of a measurement",
        "measure it first: kit bench tiny -o out/results/",
    ),
    (
        "report tiny/bundle.json",
        3,
        "tiny is a bundle, not a result of a measurement",
        "measure it first: kit bench tiny -o out/results/",
    ),
    (
        "report x.json",
        3,
        "x.json is not a result file: its kind is 'x'",
        "`kit bench -o FILE` writes one",
    ),
    (
        "report photo.png",
        3,
        "photo.png is not a result file: it is not UTF-8: byte 0 is 0x89",
        "`kit bench -o FILE` writes one",
    ),
    (
        "report x.json -o one.txt",
        7,
        "cannot write to one.txt: it is a file, not a folder",
        "choose a folder with -o that is writable",
    ),
    (
        "report x.json -o one.txt/report",
        7,
        "cannot write to one.txt/report: a file is where its folder should be",
        "choose a folder with -o that is writable",
    ),
    (
        "run mobilenet_v2 -o one.txt",
        7,
        "cannot write to one.txt: it is a file, not a folder",
        "choose a folder with -o that is writable",
    ),
    (
        "app build tiny -o one.txt",
        7,
        "cannot write to one.txt: it is a file, not a folder",
        "choose a folder with -o that is writable",
    ),
    (
        "app test -o one.txt",
        7,
        "cannot write to one.txt: it is a file, not a folder",
        "choose a folder with -o that is writable",
    ),
    (
        "report nothing.json",
        3,
        "cannot read the result nothing.json: No such file or directory",
        "`kit bench -o FILE` writes one",
    ),
    ("report res", 3, "there is no result in res", "`kit bench -o FOLDER` writes some"),
    (
        "analyze out/typo",
        4,
        "out/typo is not a bundle: there is no such folder",
        "`kit build` makes one; give its folder",
    ),
    ("analyze tinny", 4, "tinny is not a bundle: there is no such folder", "did you mean tiny?"),
    (
        "analyze tiny --repair lots",
        2,
        "the target 'lots' is not understood",
        "for example 22dB (SQNR), 97% (agreement), or 1.0 (points of top-1 that may be lost)",
    ),
    ("analyze tiny --top -1", 2, "top = -1 is no number of rows", "use 0 for all rows"),
    (
        "cost resnet50",
        2,
        "there is no model called 'resnet50'",
        "did you mean torchvision:resnet50 or timm:resnet50?",
    ),
    (
        "cost mobilenet_v2 --width 0",
        3,
        "width = 0.0: it must be more than 0",
        "`kit build --help` says what --width takes",
    ),
    ("show tiny --format tflite", 2, "there is no format called 'tflite'", "did you mean litert?"),
    (
        "show photo.png",
        3,
        "photo.png is no model file that kit knows, by its content",
        None,
    ),
    ("runner build --abi x86", 2, "there is no ABI called 'x86'", "did you mean x86_64?"),
    ("runner build --format torchscript", 2, "the format torchscript has no native runner", None),
    ("runner build --abi arm64", 2, "there is no ABI called 'arm64'", "did you mean arm64-v8a?"),
    (
        "app build tiny --runtime tflite",
        2,
        "there is no runtime of the app called 'tflite'",
        "did you mean litert?",
    ),
    ("app build tiny --runtime mlpackage", 2, "the app has no runtime of coreml", None),
    (
        "app build tiny --release",
        2,
        "--release needs --keystore FILE",
        "`keytool -genkeypair` makes one",
    ),
    ("devices --device ,", 2, "--device ',' names no device", "`kit devices` lists them"),
    (
        "build mobilenet_v2 --keep-float",
        2,
        "Option '--keep-float' requires an argument.",
        "`kit build --help` lists what is possible",
    ),
    (
        "build mobilenet_v2 --wieghts x.pth",
        2,
        "No such option '--wieghts'. (Did you mean one of: '--quiet', '--weights', '--width'?)",
        "`kit build --help` lists what is possible",
    ),
    ("bench", 2, "Missing argument 'BUNDLE...'.", "`kit bench --help` lists what is possible"),
    (
        "build mobilenet_v2 --learning-rate fast",
        2,
        "Invalid value for '--learning-rate': 'fast' is not a number.",
        "`kit build --help` lists what is possible",
    ),
    (
        "build mobilenet_v2 --format lite/vulkan",
        2,
        "lite has no backend 'vulkan'",
        "use --format lite",
    ),
    (
        "app bench tiny --app-id 1",
        2,
        "'1' cannot be the id of an app",
        "words of letters, digits and underscores with dots between, such as "
        "org.mobilekit.demo.lite",
    ),
    ("infer tiny photo.png", 2, "there is no command called 'infer'", "did you mean predict?"),
    ("check", 2, "there is no command called 'check'", "did you mean doctor?"),
    (
        "predict tiny nothing.jpg",
        3,
        "there is no picture, folder or zip nothing.jpg",
        "check the path",
    ),
    (
        "predict tiny one.txt",
        3,
        "one.txt is not a picture",
        "JPEG, PNG, WEBP, BMP, GIF, TIFF, PPM, AVIF are read",
    ),
    (
        "predict tiny res",
        3,
        "there are no pictures in res",
        "give a folder or zip of JPEG, PNG, WebP, AVIF, BMP, GIF, TIFF or PPM files",
    ),
    (
        "predict tiny photo.png --format ort",
        2,
        "there is no format called 'ort'",
        "did you mean onnx/ort?",
    ),
    (
        "predict tiny photo.png --save answers.csv",
        2,
        "--save answers.csv is neither .json nor .npz",
        "use for example answers.json",
    ),
    (
        "predict tiny photo.png --top 0",
        2,
        "Invalid value for '--top': 0 is not in the range x>=1.",
        "`kit predict --help` lists what is possible",
    ),
    (
        "predict tinny photo.png",
        4,
        "tinny is not a bundle: there is no such folder",
        "did you mean tiny?",
    ),
    (
        "build mobilenet_v2 --int8",
        2,
        "kit build has no option --int8",
        "use --precision int8",
    ),
    ("build mobilenet_v2 --half", 2, "kit build has no option --half", "use --precision fp16"),
    (
        "build mobilenet_v2 --target lite",
        2,
        "kit build has no option --target",
        "use --format NAME",
    ),
    (
        "build mobilenet_v2 --imgsz=160",
        2,
        "kit build has no option --imgsz",
        "use --input SIDE, such as --input 224",
    ),
    (
        "bench tiny --int8",
        2,
        "kit bench has no option --int8",
        "use --format FILE with a file of the bundle, such as onnx-int8",
    ),
    (
        "bench tiny --warmup 10",
        2,
        "kit bench has no option --warmup",
        "each process warms up by default; --official warms up for longer",
    ),
    (
        "bench tiny --iterations 10",
        2,
        "kit bench has no option --iterations",
        "use --repeats N for more processes, or --official for more samples of each",
    ),
    (
        "bench tiny --pairs 128",
        2,
        "--pairs is for bundles side by side, and there is one",
        "name another, or use --repeats N",
    ),
    ("eval tiny --data pics", 2, "kit eval has no option --data", "use --images DIR_OR_ZIP"),
    (
        "eval tiny pics",
        2,
        "kit eval takes one BUNDLE, and pics is an extra argument",
        "use --images pics",
    ),
    (
        "eval tiny --images pics one.txt",
        2,
        "kit eval takes one BUNDLE, and one.txt is an extra argument",
        "leave it out",
    ),
    (
        "build mobilenet_v2 best.pth",
        2,
        "kit build takes one MODEL, and best.pth is an extra argument",
        "use --weights best.pth, or --calibrate best.pth for pictures",
    ),
    (
        "verify tiny --device S",
        2,
        "kit verify has no option --device",
        "`kit predict` or `kit bench` with --device compares answers on a device",
    ),
    (
        "app bench tiny --warmup 3",
        2,
        "kit app bench has no option --warmup",
        "each process warms up by default; --official warms up for longer",
    ),
    (
        "run mobilenet_v2 --device nosuch -o out",
        9,
        "there is no device 'nosuch'",
        None,
    ),
    (
        "run mobilenet_v2 --device a,b -o out",
        2,
        "--device names 2 devices, and a run measures on one",
        "`kit bench BUNDLE --device A,B` measures on several afterwards",
    ),
]


@pytest.fixture(scope="module")
def work(tiny_bundle: Bundle, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("mistakes")
    shutil.copytree(tiny_bundle.path, folder / "tiny")
    shutil.copytree(tiny_bundle.path, folder / "plain")
    shutil.copyfile(tiny_bundle.file("onnx"), folder / "model.onnx")
    draw(folder / "pics", 3, lambda index: f"{index}.png")
    picture(1).save(folder / "photo.png")
    (folder / "res").mkdir()
    texts = {"x.json": '{"kind":"x"}', "one.txt": "cat\n", "two.txt": "a\nb\n"}
    texts |= {"r1.toml": 'model = "mobilenet_v2"\nformat = ["onnx"]\n'}
    texts |= {"r2.toml": 'model = "mobilenet_v2"\nobservr = "mse"\n'}
    for name, text in texts.items():
        (folder / name).write_text(text)
    return folder


def test_sixty_or_more_mistakes_are_covered() -> None:
    assert len({line for line, *_ in MISTAKES}) == len(MISTAKES) >= 60


@pytest.mark.parametrize(
    ("line", "code", "sentence", "hint"), MISTAKES, ids=[line for line, *_ in MISTAKES]
)
def test_a_mistake_prints_its_error_and_hint(
    line: str,
    code: int,
    sentence: str,
    hint: str | None,
    work: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    before = sorted(work.rglob("*"))
    monkeypatch.chdir(work)
    assert cli.run(shlex.split(line)) == code
    out, err = capsys.readouterr()
    *_, output, advice = err.rstrip("\n").split("\n")
    assert output == f"kit: {sentence}"
    assert advice.startswith("hint: ")
    if hint is not None:
        assert advice == f"hint: {hint}"
    assert out == ""
    assert sorted(work.rglob("*")) == before


@pytest.mark.parametrize("command", [["build"], ["app", "bench"], ["cost"], ["bench"]])
def test_kit_help_equals_the_help_option(
    command: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.run([*command, "--help"]) == 0
    right = capsys.readouterr().out
    assert cli.run(["help", *command]) == 0
    assert capsys.readouterr().out == right
    assert "None]" not in right


def test_help_of_groups_truncates_no_sentence(capsys: pytest.CaptureFixture[str]) -> None:
    for words in (["help"], ["help", "app"], ["app", "help"], ["help", "runner"]):
        assert cli.run(words) == 0
        assert "..." not in capsys.readouterr().out.replace("[ARGS]...", "")


@pytest.mark.parametrize("given", ["--format lite --format onnx", "--format lite,onnx"])
def test_repeated_list_options_accumulate(given: str, tiny_bundle: Bundle, capsys) -> None:
    assert cli.run(["show", str(tiny_bundle.path), *shlex.split(given)]) == 0
    out = capsys.readouterr().out
    assert "lite-fp32: model-fp32.ptl" in out
    assert "onnx-fp32: model-fp32.onnx" in out


def test_words_of_other_tools_get_a_hint() -> None:
    words = FORMAT_NAMES.find_aliases()
    targets = {*formats.list_formats()}
    for name in formats.list_formats():
        targets |= {f"{name}/{backend.name}" for backend in formats.get_format(name).backends}
    assert set(words.values()) <= targets
    assert {"tflite", "pte", "ptl", "ort", "pt", "vulkan"} <= words.keys()
    methods = ALGORITHM_NAMES.find_aliases()
    assert set(methods.values()) <= set(ALGORITHM_NAMES.list_all())
    precisions = PRECISION_NAMES.find_aliases()
    for word in (*words, *methods, *precisions, *cli.ALIASES):
        assert word == word.lower()
    assert set(precisions.values()) <= set(PRECISION_NAMES.list_all())
    assert set(cli.ALIASES.values()) <= set(cli.COMMANDS)
    assert not cli.ALIASES.keys() & cli.COMMANDS.keys()


def test_words_for_options_are_of_none_and_lead_to_one() -> None:
    rows = list(list_advice())
    assert len({(command, word) for command, word, _ in rows}) == len(rows)
    for path, word, advice in rows:
        command: click.Command = cli.main
        for name in path.split():
            assert isinstance(command, click.Group)
            command = command.get_command(click.Context(command), name)
        options = {name for one in command.params for name in one.opts}
        assert word not in options, (path, word)
        if advice.startswith("-"):
            assert advice.split()[0] in options, (path, word, advice)


def test_a_format_that_a_bundle_lacks_has_the_exit_code_of_the_page() -> None:
    text = Path(__file__).parents[1].joinpath("docs/eval.md").read_text(encoding="utf-8")
    rows = dict(re.findall(r"^\| (\d+) \| (.+) \|$", text, re.M))
    assert "no file of the format" in rows["4"]
    assert "bundle" not in rows["2"]


def test_an_output_in_a_folder_is_named_after_the_bundle_and_replaces_nothing(
    tmp_path: Path,
) -> None:
    first = choose_file(f"{tmp_path}/new/", "out/v2", "accuracy")
    assert first == tmp_path / "new" / "v2-accuracy.json"
    (tmp_path / "v2-accuracy.json").touch()
    assert choose_file(str(tmp_path), "out/v2", "accuracy") == tmp_path / "v2-accuracy-2.json"
    assert choose_file(str(tmp_path / "mine.json"), "out/v2", "accuracy") == tmp_path / "mine.json"
    assert choose_file(None, "out/v2", "accuracy") is None
    assert sorted(file.name for file in tmp_path.iterdir()) == ["v2-accuracy.json"]
