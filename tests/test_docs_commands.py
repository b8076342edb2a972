"""Commands and Python of the pages run, each page from top to bottom.

A small network stands in for MobileNetV2, and Lite for most formats (`doc_places.py`): the tests
check that the commands work, in their order, on the files that earlier ones left. Blocks below a
comment `<!-- test: parsed only, REASON -->`, and commands that `explain_skip` lists, do not run.
"""

from __future__ import annotations

import contextlib
import functools
import io
import re
import runpy
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import nullcontext
from itertools import pairwise
from pathlib import Path

import click
import pytest
from doc_blocks import ROOT, Command, list_blocks, list_commands
from doc_places import fill_page, fill_place, stand_in, stand_in_python
from shared_builds import SessionHere, lower_here

import kit
from kit import cli
from kit.bench import plan
from kit.errors import UNFIT
from kit.results.latency import Plan

DOCS = ROOT / "docs"
# Pages whose bundles and results other pages use.
FIRST = ("docs/tutorial.md", "README.md", "docs/text.md")
# test_plugins.py runs these commands with the page's package installed.
PLUG_INS = {"vectors"}
SHORT = Plan(
    name="quick", warmup_runs=1, warmup_seconds=0, runs=9, seconds=0, repeats=1, memory=False
)


def explain_skip(command: Command) -> str | None:
    """Return why a command of kit cannot run here; None if it can."""
    name, *rest = command.words[1:]
    if command.block.note:
        return command.block.note
    if "--device" in rest or name in ("devices", "clean"):
        return "needs a phone"
    if name == "app":
        return "needs a JDK and files of Maven"
    if (name, *rest[:1]) == ("runner", "build"):
        return "compiles for minutes"
    if name == "build" and re.match(r"[a-z]+:", rest[0]):
        return "needs weights of another library"
    if not PLUG_INS.isdisjoint(rest):
        return "needs a plug-in"
    return None


class PageRun:
    """One page from top to bottom, in the current folder."""

    def __init__(self, page: str) -> None:
        self.page = page
        self._blocks = [block for block in list_blocks() if block.page == page]
        self._names: dict[str, object] = {"__name__": "page"}
        self._absent: list[str] = []  # outputs of commands that did not run

    def run(self) -> None:
        fill_page(self.page, self._blocks)
        for block in self._blocks:
            if block.language == "python" and not block.note:
                code = compile(stand_in_python(block.text), str(block), "exec")
                exec(code, self._names)
            for command in list_commands(block):
                self._run_command(command)

    def _run_command(self, command: Command) -> None:
        if command.words[0] in ("cp", "mkdir"):
            subprocess.run(command.words, check=True)
        elif command.words[0] == "python" or (command.words[0] == "kit" and explain_skip(command)):
            for output in list_outputs(command.words):
                self._absent.append(output)
                if command.words[1] == "build":  # of another page, under the same name
                    shutil.rmtree(output, ignore_errors=True)
        elif command.words[0] == "kit" and not self._lacks_input(command.words):
            self._run_kit(command)

    def _lacks_input(self, words: tuple[str, ...]) -> bool:
        missing = {word for word in words if not Path(word.partition("*")[0]).exists()}
        inputs = missing.difference(list_outputs(words))
        return any(f"{word}/".startswith(absent) for word in inputs for absent in self._absent)

    def _run_kit(self, command: Command) -> None:
        words = stand_in(command)
        output, errors = io.StringIO(), io.StringIO()
        with pytest.MonkeyPatch.context() as patch:
            if command.source:
                patch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(read_source(command))))
            with contextlib.redirect_stdout(output), contextlib.redirect_stderr(errors):
                code = cli.run(words)
        allowed = {0, UNFIT} if words[0] == "doctor" else {0}
        assert code in allowed, f"{command.block}: {command.line}\n{words}\n{errors.getvalue()}"
        assert output.getvalue() or errors.getvalue(), command.line


def list_outputs(words: tuple[str, ...]) -> list[str]:
    """Return the folders and files that a command of kit or a script of docs/examples writes."""
    if words[0] == "python":
        return [f"{word}/" for word in words if word.startswith("out/")]
    return [f"{word.rstrip('/')}/" for before, word in pairwise(words) if before == "-o"]


def read_source(command: Command) -> bytes:
    """Return what `cat FILE` or `echo TEXT` pipes into a command."""
    program, word = command.source
    return Path(word).read_bytes() if program == "cat" else f"{word}\n".encode()


@contextlib.contextmanager
def run_here(folder: Path, cache: Path) -> Iterator[None]:
    """Work in a folder, with caches of its own, short measurements and few processes."""
    with pytest.MonkeyPatch.context() as patch, lower_here():
        patch.chdir(folder)
        patch.syspath_prepend(folder)
        patch.setenv("KIT_CACHE", str(cache / "bundles"))
        patch.setenv("XDG_CACHE_HOME", str(cache))  # which a page clears
        patch.setattr(plan, "_PRESETS", dict.fromkeys(plan._PRESETS, SHORT))
        patch.setattr(kit, "measure", functools.partial(kit.measure, plan=SHORT), raising=False)
        for module in ("accuracy", "prediction"):
            patch.setattr(
                f"kit.{module}.open_session", lambda *words: nullcontext(SessionHere(*words))
            )
        yield


@pytest.fixture(scope="module")
def start(tmp_path_factory) -> Path:
    """A folder as the first pages leave it."""
    root = tmp_path_factory.mktemp("pages")
    (root / "start").mkdir()
    fill_place(root / "start")
    with run_here(root / "start", root / "cache"):
        for page in FIRST:
            PageRun(page).run()
            if page == FIRST[0]:  # files of other tools are recognized by content
                for name in ("model.tflite", "any-model.tflite"):
                    shutil.copy("out/v2/model-int8.ptl", name)
    return root / "start"


OTHERS = [page for page in sorted({block.page for block in list_blocks()}) if page not in FIRST]


@pytest.mark.slow
@pytest.mark.parametrize("page", OTHERS)
def test_a_page_runs(page, start, tmp_path):
    shutil.copytree(start, tmp_path / "here")
    cache = tmp_path if page == "docs/cache.md" else start.parent  # which that page clears
    with run_here(tmp_path / "here", cache / "cache"):
        PageRun(page).run()


@pytest.mark.slow
def test_the_example_of_an_own_network_runs(
    tmp_path, monkeypatch, lowered_here, evaluated_here, capsys
):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("KIT_CACHE", str(tmp_path / "cache"))
    main = runpy.run_path(str(DOCS / "examples/own_network.py"))["main"]
    main(tmp_path / "stripes")
    output = capsys.readouterr().out.splitlines()
    assert output[0].startswith("reference: top-1 ")
    reports = (DOCS / "examples/own-network.md").read_text(encoding="utf-8")
    shown = re.search(r"```text\n(.*?)```", reports, re.S)[1].splitlines()
    assert [line.split(":")[0] for line in output[:-1]] == [
        line.split(":")[0] for line in shown[:-1]
    ]
    assert Path(output[-1]) == tmp_path / "stripes/report/report.html"
    assert Path(output[-1]).is_file()


def test_commands_of_the_workflow_are_valid():
    text = (DOCS / "examples/workflow.yml").read_text(encoding="utf-8")
    yaml = pytest.importorskip("yaml", reason="pyyaml, of mkdocs, is not installed")
    steps = yaml.safe_load(text)["jobs"]["int8"]["steps"]
    script = "\n".join(step.get("run", "") for step in steps)
    lines = [line for line in script.splitlines() if line.startswith("kit ")]
    assert len(lines) == 4
    reports = (DOCS / "examples/continuous-integration.md").read_text(encoding="utf-8")
    for line in lines:
        assert f"    {line}\n" in reports
        name, *words = shlex.split(line)[1:]
        command = cli.main.get_command(click.Context(cli.main), name)
        command.make_context(name, words)  # raises a usage error for unknown options
