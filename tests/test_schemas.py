"""`docs/schemas/`: current, and valid for kit's output."""

from __future__ import annotations

import json
from pathlib import Path

import click
import pytest
from pydantic import ValidationError

from kit import cli, json_outputs
from kit.commands.common.settings import list_options
from kit.results import store

ROOT = Path(__file__).parents[1]
SCHEMAS = ROOT / "docs/schemas"


def printed(capsys, *words: str) -> str:
    cli.run([*words, "--json"])
    return capsys.readouterr().out


def test_committed_schemas_are_current(tmp_path):
    json_outputs.write_schemas(tmp_path)
    names = {file.name for file in tmp_path.iterdir()}
    assert {file.name for file in SCHEMAS.iterdir()} == names, "run scripts/schemas"
    for name in names:
        committed = (SCHEMAS / name).read_text(encoding="utf-8")
        assert committed == (tmp_path / name).read_text(encoding="utf-8"), "run scripts/schemas"


def test_an_obsolete_schema_is_removed(tmp_path):
    (tmp_path / "old.json").touch()
    (tmp_path / "notes.md").touch()
    json_outputs.write_schemas(tmp_path)
    assert not (tmp_path / "old.json").exists()
    assert (tmp_path / "notes.md").exists()


def test_a_schema_lists_required_fields():
    schema = json.loads((SCHEMAS / "clean.json").read_text(encoding="utf-8"))
    assert schema["$schema"] == json_outputs.DIALECT
    assert schema["required"] == ["devices"]
    assert schema["additionalProperties"] is False
    assert schema["$defs"]["CleanedDevice"]["required"] == ["serial", "freed", "apps"]


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("list", ("list",)),
        ("build-explain", ("build", "mobilenet_v2", "--explain")),
        ("doctor", ("doctor",)),
        ("config", ("config", "app", "build")),
        ("runners", ("runner", "list")),
        ("cache-list", ("cache", "list")),
        ("cache-size", ("cache", "size")),
        ("cache-clear", ("cache", "clear", "--yes")),
    ],
)
def test_outputs_match_their_schema(name, words, capsys, tmp_path, monkeypatch):
    if "clear" in words:
        monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
        monkeypatch.setenv("KIT_CACHE", str(tmp_path / "bundles"))
    text = printed(capsys, *words)
    json_outputs.read_output(name, text)
    required = set(json_outputs.make_schema(name).get("required", ()))
    assert required <= set(json.loads(text) if required else ())


def test_defaults_of_a_settings_file_match_the_schema(tmp_path, monkeypatch, capsys):
    (tmp_path / "kit.toml").write_text('[build]\nformat = ["onnx", "lite"]\n')
    monkeypatch.chdir(tmp_path)
    json_outputs.read_output("config", printed(capsys, "config"))


def test_bundle_and_results_match_their_schema(tiny_bundle, measured):
    json_outputs.read_output("bundle", (tiny_bundle.path / "bundle.json").read_bytes())
    for result in measured[0]:
        json_outputs.read_output("result", result.model_dump_json())


def test_report_prints_its_paths(measured, tmp_path, capsys):
    store.write(measured[0][0], tmp_path / "latency.json")
    text = printed(capsys, "report", str(tmp_path / "latency.json"), "-o", str(tmp_path / "report"))
    json_outputs.read_output("report", text)
    answer = json.loads(text)
    assert Path(answer["html"]) == tmp_path / "report/report.html"
    assert answer["headline"] in Path(answer["markdown"]).read_text(encoding="utf-8")


def test_output_of_another_shape_is_refused():
    for text in ('{"size": -1}', '{"size": 1, "more": 2}', "{}"):
        with pytest.raises(ValidationError):
            json_outputs.read_output("cache-size", text)


# It prints a script for a shell.
WITHOUT = {"completion"}


def test_every_command_has_json():
    def leaves(command: click.Command, words: tuple[str, ...]):
        if not isinstance(command, click.Group):
            yield " ".join(words), command
            return
        for name in command.list_commands(click.Context(command)):
            child = command.get_command(click.Context(command), name)
            yield from leaves(child, (*words, name))

    without = {words for words, one in leaves(cli.main, ()) if "json" not in list_options(one)}
    assert without == WITHOUT
