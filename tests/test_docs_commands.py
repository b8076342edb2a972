"""Commands of the pages that are marked ``<!-- test: run -->``, run one after the other.

A small network stands in for MobileNetV2 and ONNX for all formats: what is tested is that the
commands of the pages work, in their order, on what the commands before them left.
"""

from __future__ import annotations

import re
import runpy
import shlex
import shutil
from pathlib import Path

import click
import numpy as np
import pytest
from PIL import Image

from kit import cli

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
PAGES = ("tutorial.md", "eval.md", "predict.md", "report.md", "config.md")
MARKED = re.compile(r"<!-- test: run -->\n\n((?: {4}.+\n)+)")
STAND_INS = {
    "mobilenet_v2": ["small_net.py:make", "--input", "32"],
    "executorch,onnx": ["onnx"],
    "onnx-int8,executorch-int8": ["onnx-int8"],
}


def list_marked(page: str) -> list[str]:
    text = (DOCS / page).read_text(encoding="utf-8")
    assert text.count("<!-- test: run -->") == len(MARKED.findall(text)), page
    return [line.strip() for block in MARKED.findall(text) for line in block.splitlines()]


def stand_in(line: str) -> list[str]:
    program, *words = shlex.split(line, comments=True)
    assert program == "kit", line
    return [new for word in words for new in STAND_INS.get(word, [word])]


@pytest.fixture
def place(tmp_path, monkeypatch) -> Path:
    """A folder as the tutorial asks for: pictures with labels, and a photo."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("KIT_CACHE", str(tmp_path / "cache"))
    shutil.copy(ROOT / "tests/small_net.py", tmp_path)
    random = np.random.default_rng(0)
    (tmp_path / "pictures").mkdir()
    for number in range(40):
        pixels = random.integers(0, 256, (32, 32, 3), np.uint8)
        Image.fromarray(pixels).save(tmp_path / "pictures" / f"{number % 7}_{number}.png")
    Image.fromarray(pixels).save(tmp_path / "photo.jpg")
    return tmp_path


@pytest.mark.slow
def test_marked_commands_run(place, lowered_here, evaluated_here, capsys):
    lines = [line for page in PAGES for line in list_marked(page)]
    assert len(lines) >= 10
    for line in lines:
        code = cli.run(stand_in(line))
        output = capsys.readouterr()
        assert code == 0, f"{line}\n{output.err}"
        assert output.out or output.err, line
    assert (place / "out/report/report.html").is_file()
    assert len(list((place / "out/results").glob("*.json"))) >= 1


@pytest.mark.slow
def test_the_example_of_an_own_network_runs(place, lowered_here, evaluated_here, capsys):
    main = runpy.run_path(str(DOCS / "examples/own_network.py"))["main"]
    main(place / "stripes")
    output = capsys.readouterr().out.splitlines()
    assert output[0].startswith("reference: top-1 ")
    reports = (DOCS / "examples/own-network.md").read_text(encoding="utf-8")
    shown = re.search(r"```text\n(.*?)```", reports, re.S)[1].splitlines()
    assert [line.split(":")[0] for line in output[:-1]] == [
        line.split(":")[0] for line in shown[:-1]
    ]
    assert Path(output[-1]) == place / "stripes/report/report.html"
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
