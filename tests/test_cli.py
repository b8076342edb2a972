"""The front door: names, exit codes, help, and the documents that repeat them."""

import json
import re
import subprocess
import sys
from pathlib import Path

import click
import pytest

from kit import cli, errors, formats
from kit.algorithms import list_algorithms
from kit.commands.common.output_options import NAMES as COMMON
from kit.commands.common.output_options import make_options
from kit.corrections import list_corrections
from kit.models import list_models
from kit.tasks import list_tasks

pytestmark = pytest.mark.cold_start

ROOT = Path(__file__).parents[1]


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "kit", *arguments], capture_output=True, text=True, check=False
    )


def test_module_and_help_list_every_command():
    done = run("--help")
    assert done.returncode == 0
    for name, (_, summary) in cli.COMMANDS.items():
        assert re.search(rf"^  {name} +{re.escape(summary[:20])}", done.stdout, re.M), name


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["biuld"], 2, "did you mean build?"),
        (["build"], 3, "no model is named"),
        (["build", "mobilenet_v9"], 2, "did you mean mobilenet_v"),
        (["build", "mobilenet_v2", "--format", "onxx"], 2, "did you mean onnx?"),
        (["build", "mobilenet_v2", "--format", ","], 3, "at least one format"),
        (["build", "mobilenet_v2", "--quantize", "sttic"], 2, "did you mean static?"),
        (["build", "mobilenet_v2", "--granularity", "per-layer"], 3, "granularity = 'per-layer'"),
        (["build", "mobilenet_v2", "--resolution", "0"], 3, "resolution = 0"),
        (["build", "mobilenet_v2", "--resolution", "31"], 3, "resolution = 31"),
        (["build", "mobilenet_v2", "--resolution", "10001"], 3, "resolution = 10001"),
        (["build", "mobilenet_v2", "--resolution", "big"], 2, "'big' is not an input size"),
        (["build", "mobilenet_v2", "--width", "0"], 3, "width = 0.0"),
        (["build", "mobilenet_v2", "--learning-rate", "nan"], 2, "not a finite number"),
        (["build", "mobilenet_v2", "--max-drop", "nan"], 2, "not a finite number"),
        (["build", "mobilenet_v2", "--min-agreement", "inf"], 2, "not a finite number"),
        (["build", "mobilenet_v2", "--calibration-images", "0"], 3, "calibration_images = 0"),
        (["build", "mobilenet_v2", "--seed", "-1"], 3, "seed = -1"),
        (["build", "mobilenet_v2", "--wieghts", "x"], 2, "--weights"),
        (["build", "mobilenet_v2", "--weights", "/nowhere.pth"], 3, "/nowhere.pth"),
        (["build", "mobilenet_v2", "--calibrate", "/nowhere"], 3, "/nowhere"),
        (["build", "--recipe", "/nowhere.toml"], 3, "/nowhere.toml"),
        (["eval", "/nowhere", "--images", "/nowhere"], 4, "is not a bundle"),
        (["bench", "/nowhere"], 4, "is not a bundle"),
        (["runner", "build", "--abi", ","], 2, "--abi ',' names none"),
        (["report", "/nowhere.json", "-o", "/tmp/never"], 3, "/nowhere.json"),
    ],
)
def test_bad_input_gives_one_sentence_a_hint_and_an_exit_code(arguments, code, words, capsys):
    assert cli.run(arguments) == code
    out, err = capsys.readouterr()
    assert words in err
    assert "Traceback" not in err
    lines = err.strip().splitlines()
    assert lines[-2].startswith("kit: ")
    assert lines[-1].startswith("hint: ")
    assert out == ""


def test_exit_code_is_that_of_the_process():
    done = run("build", "mobilenet_v2", "--resolution", "31")
    assert done.returncode == 3
    assert done.stderr.startswith("kit: resolution = 31")


def test_list_shows_every_member():
    result = json.loads(run("list", "--json").stdout)
    targets = []
    for format_ in map(formats.get_format, formats.list_formats()):
        targets += [format_.name, *(f"{format_.name}/{one.name}" for one in format_.backends)]
    assert list(result["formats"]) == targets
    assert "executorch/vulkan" in targets
    listed = {
        **{"models": list_models, "tasks": list_tasks},
        **{"quantize": list_algorithms, "corrections": list_corrections},
    }
    for kind in listed:
        assert list(result[kind]) == list(listed[kind]())
        assert all(result[kind].values())
    text = run("list").stdout
    assert all(name in text for name in result["formats"])


def test_options_of_all_commands_are_documented():
    text = (ROOT / "docs/errors.md").read_text(encoding="utf-8")
    options = make_options()
    assert {option.name for option in options} == COMMON
    assert all(f"`{word}" in text for option in options for word in option.opts)


@pytest.mark.parametrize("name", cli.COMMANDS)
def test_every_command_and_option_is_documented(name):
    command = cli.main.get_command(click.Context(cli.main), name)
    assert command.help
    page = ROOT / "docs" / f"{name}.md"
    text = page.read_text(encoding="utf-8")
    parameters = [
        p for own in with_subcommands(command) for p in own.params if p.name not in COMMON
    ]
    for parameter in parameters:
        if isinstance(parameter, click.Option):
            assert parameter.help, f"kit {name} {parameter.opts[-1]} has no help"
            for option in parameter.opts + parameter.secondary_opts:
                assert f"`{option}" in text or f" {option}" in text, f"{page.name} lacks {option}"
    for option in set(re.findall(r"`(--[a-z-]+)", text)):
        known = {o for p in parameters for o in (*p.opts, *p.secondary_opts)}
        known |= {"--help", "--version"}
        assert option in known, f"{page.name} names {option}, which kit {name} does not have"


def with_subcommands(command: click.Command):
    yield command
    for name, own in getattr(command, "commands", {}).items():
        assert own.help, f"kit {command.name} {name} has no help"
        yield own


def classes(root: type[errors.KitError]):
    yield root
    for child in root.__subclasses__():
        yield from classes(child)


def test_exit_codes_are_documented():
    table = dict(
        re.findall(r"^\| `(\w+)` \| (\d+) \|", (ROOT / "docs/errors.md").read_text(), re.M)
    )
    assert table == {c.__name__: str(c.exit_code) for c in classes(errors.KitError)}
    drawn = re.findall(r"([A-Z]\w+) +(\d+)  ", errors.__doc__ or "")
    assert dict(drawn) == table


def test_unexpected_errors_are_reported_as_bugs(monkeypatch, capsys):
    def broken(*_: object, **__: object) -> None:
        raise ZeroDivisionError("a bug")

    monkeypatch.setattr(cli.main, "invoke", broken)
    monkeypatch.delenv("KIT_DEBUG", raising=False)
    assert cli.run(["list"]) == errors.UNFORESEEN
    err = capsys.readouterr().err
    assert err.startswith("kit: ZeroDivisionError: a bug\nhint: this is a bug in kit")
    monkeypatch.setenv("KIT_DEBUG", "1")
    assert cli.run(["list"]) == errors.UNFORESEEN
    err = capsys.readouterr().err
    assert err.startswith("Traceback (most recent call last):\n")
    assert "kit: ZeroDivisionError: a bug\n" in err


def test_closed_pipe_is_quiet():
    done = subprocess.run(
        f"{sys.executable} -m kit list | true", shell=True, capture_output=True, text=True
    )
    assert done.stderr == ""
