"""Every code block of the pages is of a kind that a test covers, and is valid.

`test_docs_commands.py` runs what can run here; these tests check every block, in seconds.
"""

from __future__ import annotations

import importlib.util
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
from doc_blocks import (
    COMMANDS,
    PROJECT,
    ROOT,
    Block,
    Command,
    list_blocks,
    list_commands,
    list_language,
    read_blocks,
)

from kit import cli, formats, precisions
from kit.artifact_key import REFERENCE, ArtifactKey
from kit.commands.common import completion
from kit.errors import KitError

# Output, drawings and lists of files have no rules; Swift has no compiler here.
UNCHECKED = {"text", "swift"}
NOTES = re.compile(r"parsed only, \w.+")
# Programs that readers have without kit.
SYSTEM = {"cat", "cp", "echo", "git", "mkdir", "source", "tail"}


def list_programs(*programs: str) -> list[Command]:
    commands = [one for block in list_blocks() for one in list_commands(block)]
    return [one for one in commands if one.words[0] in programs]


def test_every_block_has_a_language_that_is_tested():
    known = {COMMANDS, "console", "python", "toml", "json", "java", "kotlin", *UNCHECKED}
    unknown = [f"{block}: ```{block.language}" for block in list_blocks()]
    assert [one for one in unknown if one.partition("```")[2] not in known] == []
    assert len(list_blocks()) > 150


def test_every_note_is_on_a_block_and_has_a_reason():
    notes = [block.note for block in list_blocks() if block.note]
    assert [note for note in notes if not NOTES.fullmatch(note)] == []
    texts = [(ROOT / page).read_text("utf-8") for page in {block.page for block in list_blocks()}]
    assert len(notes) == sum(len(re.findall("^<!-- test: ", text, re.M)) for text in texts)


def test_blocks_are_read_as_markdown():
    page = (
        "Text\n\n    kit a  # x\n    kit b\n\n1. Item\n\n        kit c\n\n    More of it.\n\n"
        "    ```toml\n    x = 1\n    ```\n\nEnd\n\n<!-- test: parsed only, a reason -->\n\n"
        "    kit d | kit e --f 'g h' && kit i\n\n```text\nkit is here\n```\n"
    )
    first, second, third, fourth, fifth = read_blocks("page.md", page)
    assert (first.line, first.text, second.text) == (3, "kit a  # x\nkit b\n", "kit c\n")
    assert (third.language, third.text, third.note) == ("toml", "x = 1\n", "")
    assert (fourth.note, fifth.note) == ("parsed only, a reason", "")
    assert [one.words for one in list_commands(first)] == [("kit", "a"), ("kit", "b")]
    d, e, i = list_commands(fourth)
    assert (e.words, e.source, i.source) == (("kit", "e", "--f", "g h"), d.words, ())
    assert not [*list_commands(third), *list_commands(fifth)]


# Commands


def parse_command(words: tuple[str, ...]) -> click.Context:
    """Return the context of a command of kit, with its options converted.

    Raises:
        KitError, click.UsageError: there is no such command, option or choice.
    """
    command: click.Command = cli.main
    context, rest = click.Context(command, info_name="kit"), list(words[1:])
    while isinstance(command, click.Group):
        name, found, rest = command.resolve_command(context, rest)
        assert found is not None
        command, context = found, click.Context(found, context, name)
    return command.make_context(context.info_name, rest, parent=context.parent)


def is_format(word: str, of_files: bool) -> bool:
    """Return whether a word names a format or, where it may, a file such as onnx-ort-int8."""
    name = word.partition("/")[0].partition("-")[0]
    if name not in formats.list_formats():
        return of_files and word == REFERENCE
    backends = [None, *(one.name for one in formats.get_format(name).backends)]
    if not of_files:
        return word in [f"{name}/{one}" if one else name for one in backends]
    keys = [ArtifactKey(name, p, b) for p in precisions.list_precisions() for b in backends]
    return any(key.is_named(word) for key in keys)


def list_declared(page: str) -> set[str]:
    """Return the names that the plug-in of a page declares."""
    points = [
        tomllib.loads(block.text).get("project", {}).get("entry-points", {})
        for block in list_language("toml")
        if block.page == page
    ]
    return {name for one in points for names in one.values() for name in names}


def find_unknown_names(context: click.Context) -> Iterator[str]:
    """Yield values that an option or argument does not accept; kit checks most names later."""
    for parameter in context.command.params:
        value = context.params.get(parameter.name or "")
        option = next((one for one in parameter.opts if one in completion._OPTIONS), "")
        if parameter.name == "kinds":
            yield from (set(value) - set(completion._kinds("")))
        if not isinstance(value, str) or option in ("", "--device", "--weights"):
            continue
        for word in value.split(","):
            if option == "--format":
                if not is_format(word, of_files=context.info_name not in ("build", "run")):
                    yield word
            elif word not in completion._OPTIONS[option](""):
                yield word


def test_every_kit_command_of_a_page_is_valid():
    faults, commands = [], list_programs("kit")
    for command in commands:
        try:
            found = find_unknown_names(parse_command(command.words))
            unknown = sorted({*found} - list_declared(command.block.page))
        except (KitError, click.UsageError) as exc:
            unknown = [exc.message]
        faults += [f"{command.block}: {command.line}: {one}" for one in unknown]
    assert faults == []
    assert len(commands) > 200


@pytest.mark.parametrize(
    ("line", "fault"),
    [
        ("kit evaluat out/v2", "'evaluat'"),
        ("kit app bulid out/v2", "'bulid'"),
        ("kit eval out/v2 --image pictures/", "--image"),
        ("kit bench out/v2 --sweep cores", "'cores'"),
        ("kit bench out/v2 --threads many", "'many'"),
        ("kit show out/v2 --format onnx-int9", "onnx-int9"),
        ("kit build mobilenet_v2 --format onnx-int8", "onnx-int8"),
        ("kit build mobilenet_v2 --quantize statik", "statik"),
        ("kit cache clear runner", "runner"),
    ],
)
def test_a_mistake_in_a_command_is_found(line, fault):
    (command,) = list_commands(Block("page.md", 1, COMMANDS, f"{line}\n"))
    try:
        found = [*find_unknown_names(parse_command(command.words))]
    except (KitError, click.UsageError) as exc:
        found = [exc.message]
    assert fault in " ".join(found)


def read_sources(script: Path) -> str:
    """Return the source of a script and of the folders that it takes its commands from."""
    name = script.name.replace("-", "_")
    beside = [*script.parent.glob(f"{name}_*/*.py"), *ROOT.glob(f"tests/{name}/*.py")]
    return "".join(file.read_text(encoding="utf-8") for file in (script, *beside))


def find_fault(words: tuple[str, ...]) -> str | None:
    """Return what is wrong with a command that is not kit's: a file or option that is missing."""
    program, *rest = words
    if program in SYSTEM:
        return None
    if program in ("pip", "uv"):
        (extra,) = re.findall(r"^(?:\.|mobile-deployment-kit)\[(\w+)\]$", rest[-1])
        return None if extra in PROJECT["optional-dependencies"] else f"no extra {extra}"
    if program == "python" and rest[0] == "-m":
        is_module = importlib.util.find_spec(rest[1]) is not None
        return None if is_module and (ROOT / rest[2]).exists() else "no such module or file"
    script = ROOT / (rest.pop(0) if program in ("bash", "python") else program)
    if not script.is_file():
        return f"no program or script {program}"
    text = read_sources(script)
    options = [word for word in rest if word.startswith("--")]
    return next((f"{word} is not in {script.name}" for word in options if word not in text), None)


def test_every_other_command_of_a_page_has_its_script_and_options():
    commands = [one for block in list_blocks() for one in list_commands(block)]
    others = [one for one in commands if one.words[0] != "kit"]
    faults = [(f"{one.block}: {one.line}", find_fault(one.words)) for one in others]
    assert [pair for pair in faults if pair[1] is not None] == []
    assert find_fault(("scripts/bench", "formats", "--modle", "x")) == "--modle is not in bench"
    assert find_fault(("scripts/chekc",)) == find_fault(("kti", "build")).replace(
        "kti", "scripts/chekc"
    )
