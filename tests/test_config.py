"""`kit.toml`, and `kit config`, which shows what is in it."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from kit import cli
from kit.commands import build, eval
from kit.commands.common.option_types import FilePath
from kit.commands.common.settings import list_leaves, list_options, read_settings

BOTH = """
images = "pictures"
[build]
format = ["onnx", "lite"]
quantize = "none"
no_cache = true
[app.build]
runtime = "onnx"
"""


@pytest.fixture
def here(tmp_path, monkeypatch):
    """Change to an empty folder."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def defaults() -> dict[str, object]:
    settings = read_settings(cli.main)
    assert settings is not None
    return settings.map_defaults()


def test_settings_are_defaults_of_commands_and_general_ones_apply_to_all(here):
    (here / "kit.toml").write_text(BOTH)
    result = defaults()
    assert result["build"] == {"formats": ("onnx", "lite"), "quantize": "none", "no_cache": True}
    assert result["app"] == {"build": {"runtimes": ("onnx",)}}
    assert result["eval"] == {"images": "pictures"}
    assert "devices" not in result


def test_a_commands_setting_overrides_a_general_one(here):
    (here / "kit.toml").write_text('[eval]\nimages = "b"\n')
    text = 'images = "a"\n' + (here / "kit.toml").read_text()
    (here / "kit.toml").write_text(text)
    assert defaults()["eval"] == {"images": "b"}


def test_kit_toml_takes_precedence_over_pyproject(here):
    (here / "pyproject.toml").write_text('[tool.kit.eval]\nimages = "a"\n[project]\nname = "x"\n')
    assert defaults() == {"eval": {"images": "a"}}
    (here / "kit.toml").write_text("[eval]\nlimit = 3\n")
    assert defaults() == {"eval": {"limit": 3}}
    (here / "kit.toml").unlink()
    (here / "pyproject.toml").write_text('[project]\nname = "x"\n')
    assert read_settings(cli.main) is None


def recipe_of(monkeypatch, *words: str):
    """Return the recipe of a `kit build` that builds nothing."""
    chosen = []
    monkeypatch.setattr(build, "_explain", lambda recipe, *_: chosen.append(recipe))
    assert cli.run(["build", "mobilenet_v2", "--explain", *words]) == 0
    return chosen[0]


def test_command_line_overrides_recipe_file_overrides_kit_toml(here, monkeypatch):
    assert recipe_of(monkeypatch).resolution == 224
    (here / "kit.toml").write_text("[build]\nresolution = 96\nseed = 5\nwidth = 0.5\n")
    (here / "recipe.toml").write_text("resolution = 128\nseed = 6\n")
    chosen = recipe_of(monkeypatch, "--recipe", "recipe.toml", "--seed", "7")
    assert (chosen.resolution, chosen.seed, chosen.width) == (128, 7, 0.5)


def test_a_required_option_may_be_set_in_kit_toml(here, monkeypatch, capsys):
    (here / "kit.toml").write_text('images = "pictures"\n')
    calls = []
    monkeypatch.setattr(eval.command, "callback", lambda **options: calls.append(options))
    assert cli.run(["eval", "some/bundle"]) == 0
    assert str(calls[0]["images"]) == "pictures"
    assert cli.run(["eval", "some/bundle", "--images", "others"]) == 0
    assert str(calls[1]["images"]) == "others"


@pytest.mark.parametrize(
    ("text", "output"),
    [
        ("[biuld]\nseed = 1\n", ["no command for 'biuld'", "did you mean build?"]),
        ("[build]\nformats = 'x'\n", ["no option for 'build.formats'", "did you mean format"]),
        ("resolutoin = 3\n", ["no option for 'resolutoin'", "did you mean resolution"]),
        ("[app.biuld]\nx = 1\n", ["no command for 'app.biuld'"]),
        ("[build]\nseed = 'many'\n", ["kit.toml: build.seed = 'many'", "not a valid integer"]),
        ("[build]\nno-cache = 'yes'\n", ["build.no-cache = 'yes' is not true or false"]),
        ("[build]\nseed = true\n", ["build.seed = True is not a text, a number or a list"]),
        ("[eval]\nimages = ''\n", ["eval.images: --samples is empty"]),
        ("[build\n", ["cannot read kit.toml"]),
        ("[show]\nhtml = '/p'\n", ["kit.toml: show.html = '/p' leads out of the folder of this"]),
        (
            "[eval]\noutput = 'a/../../p'\n",
            ["eval.output = 'a/../../p' leads out", "or give --out"],
        ),
        ("[predict]\nsave = 'link/p'\n", ["predict.save = 'link/p' leads out of the folder"]),
        ("log = 'link'\n", ["kit.toml: log = 'link' leads out of the folder"]),
        ("yes = true\n", ["kit.toml: yes = True is not possible: --yes is for the command line"]),
        ("[cache.clear]\nyes = false\n", ["cache.clear.yes = False is not possible"]),
    ],
)
def test_every_command_reports_invalid_settings(here, capsys, text, output):
    (here / "link").symlink_to("/nowhere")
    (here / "kit.toml").write_text(text)
    for words in (["list"], ["config"]):
        assert cli.run(words) == 2
        error = capsys.readouterr().err
        assert all(part in error for part in output), error


def test_what_is_no_file_is_refused_without_a_wait(here, capsys):
    os.mkfifo(here / "pyproject.toml")  # which is not kit's
    assert cli.run(["list", "--json"]) == 0
    for make, kind in ((Path.mkdir, "a folder"), (os.mkfifo, "a FIFO")):
        make(here / "kit.toml")
        assert cli.run(["list"]) == 2
        assert f"cannot read kit.toml: it is {kind}, not a file" in capsys.readouterr().err
        (here / "kit.toml").rename(here / kind)


def test_places_in_the_folder_may_be_written_to(here):
    (here / "kit.toml").write_text('log = "k.log"\n[show]\nhtml = "out/a.html"\n')
    assert defaults()["show"] == {"log": "k.log", "page": "out/a.html"}


def test_no_option_that_writes_is_forgotten():
    """A new option of a path is added to those that are read, or has the type OUTPUT_PATH."""
    read = {
        "aar", "bundle", "images", "keystore", "labels", "picture", "recipe", "results", "samples",
    }  # fmt: skip
    for _, command in list_leaves((), cli.main):
        for name, option in list_options(command).items():
            if isinstance(option.type, FilePath):
                assert option.type.written != (name in read), (command.name, name)


def test_config_shows_settings_with_their_source(here, capsys):
    (here / "kit.toml").write_text(BOTH)
    assert cli.run(["config", "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["file"] == "kit.toml"
    rows = {(row["command"], row["option"]): row["value"] for row in document["settings"]}
    assert rows["build", "--format"] == ["onnx", "lite"]
    assert rows["eval", "--images"] == "pictures"
    assert cli.run(["config", "eval", "--json"]) == 0
    rows = {row["option"]: row for row in json.loads(capsys.readouterr().out)["settings"]}
    assert rows["--images"]["source"] == "kit.toml"
    assert rows["--limit"] == {
        "command": "eval", "option": "--limit", "value": None, "source": "kit",
    }  # fmt: skip
    assert cli.run(["config", "app", "build"]) == 0
    assert "kit.toml" in capsys.readouterr().out
    assert cli.run(["config", "biuld"]) == 2
    assert "did you mean build?" in capsys.readouterr().err


def test_config_without_a_file_reports_it(here, capsys):
    assert cli.run(["config"]) == 0
    shown = capsys.readouterr()
    assert shown.out == ""
    assert "no kit.toml here" in shown.err
