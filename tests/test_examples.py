"""The examples of `docs/examples` run from top to bottom, and print what their pages show."""

from __future__ import annotations

import ast
import json
import re
import runpy
import shlex
from pathlib import Path

import pytest

from kit import cli

EXAMPLES = Path(__file__).parents[1] / "docs/examples"
NOTEBOOK = EXAMPLES / "first_build.ipynb"


def read_cells() -> list[dict]:
    document = json.loads(NOTEBOOK.read_text(encoding="utf-8"))
    assert document["nbformat"] == 4
    return [cell for cell in document["cells"] if cell["cell_type"] == "code"]


def execute(source: str, names: dict[str, object]) -> None:
    """Execute a cell; `!kit …` is a command line, run in this process."""
    if source.startswith("!"):
        program, *words = shlex.split(source.removeprefix("!"))
        assert program == "kit"
        assert cli.run(words) == 0, source
        return
    exec(compile(source, NOTEBOOK.name, "exec"), names)


def test_the_notebook_has_no_output_and_each_step():
    cells = read_cells()
    sources = ["".join(cell["source"]) for cell in cells]
    assert all(cell["outputs"] == [] and cell["execution_count"] is None for cell in cells)
    for source in sources:
        if not source.startswith("!"):
            ast.parse(source)
    steps = ("kit.build(", "kit.evaluate(", "!kit analyze", "kit.measure(", "write_report(")
    order = [next(i for i, text in enumerate(sources) if step in text) for step in steps]
    assert order == sorted(order)
    assert len(set(order)) == len(steps)


@pytest.mark.slow
def test_the_notebook_runs(tmp_path, monkeypatch, lowered_here, evaluated_here, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("KIT_CACHE", str(tmp_path / "cache"))
    names: dict[str, object] = {"__name__": "__main__"}
    for cell in read_cells():
        execute("".join(cell["source"]), names)
    output = capsys.readouterr().out
    top1 = [float(share) for share in re.findall(r"top-1 ([\d.]+)%", output)]
    assert len(top1) == 3
    assert min(top1) > 90
    assert re.search(r"onnx-int8 +\d+ samples, about", output)
    page = (tmp_path / "out/first-build/report/report.html").read_text(encoding="utf-8")
    assert "int8 .onnx" in page


@pytest.mark.slow
@pytest.mark.parametrize(
    ("stem", "minimum"), [("segmentation", 75), ("text", 95), ("transfer_learning", 80)]
)
def test_an_example_runs_and_its_page_shows_its_output(
    stem, minimum, tmp_path, monkeypatch, lowered_here, evaluated_here, capsys
):
    if stem == "text":
        pytest.importorskip("tokenizers")
    monkeypatch.setenv("KIT_CACHE", str(tmp_path / "cache"))
    page = (EXAMPLES / f"{stem.replace('_', '-')}.md").read_text(encoding="utf-8")
    (folder,) = re.findall(rf"python docs/examples/{stem}\.py (\S+)", page)
    monkeypatch.chdir(tmp_path)
    runpy.run_path(str(EXAMPLES / f"{stem}.py"))["main"](Path(folder))
    output = capsys.readouterr().out.splitlines()
    (shown,) = re.findall(r"```text\n(.*?)```", page, re.DOTALL)
    # Numbers differ between processors.
    plain = [re.sub(r"\d+(\.\d+)?", "0", line) for line in output]
    assert plain == [re.sub(r"\d+(\.\d+)?", "0", line) for line in shown.splitlines()]
    scores = [
        float(number) for line in output for number in re.findall(r"(?:top-1|IoU) ([\d.]+)", line)
    ]
    assert min(scores) > minimum
