"""`kit --help` is fast because it imports little; `scripts/bench startup` times it."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from kit.cli import COMMANDS

DENIED = {
    "PIL",
    "executorch",
    "jinja2",
    "matplotlib",
    "numpy",
    "onnx",
    "onnxruntime",
    "onnxscript",
    "psutil",
    "pydantic",
    "rich",
    "scipy",
    "sklearn",
    "timm",
    "torch",
    "torchao",
    "torchvision",
}
CODE = """
import json, sys
{act}
print(json.dumps(sorted({{name.partition(".")[0] for name in sys.modules}})), file=sys.stderr)
"""


def imported(act: str) -> set[str]:
    """Return the packages in `sys.modules` of a fresh Python that did `act`."""
    command = [sys.executable, "-c", CODE.format(act=act)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    return set(json.loads(done.stderr.splitlines()[-1]))


@pytest.mark.parametrize("command", [None, *COMMANDS])
def test_help_imports_nothing_heavy(command):
    arguments = ["--help"] if command is None else [command, "--help"]
    result = imported(f"from kit.cli import run; assert run({arguments!r}) == 0")
    assert "click" in result
    assert result & DENIED == set()


def test_version_imports_nothing_heavy():
    assert imported("from kit.cli import run; run(['--version'])") & DENIED == set()


def test_package_imports_nothing_heavy():
    assert imported("import kit") & (DENIED | {"click"}) == set()


def test_a_denied_import_is_detected():
    assert "numpy" in imported("import kit.formats.onnx") & DENIED


INTERRUPTED = """
import runpy, sys
class Finder:
    def find_spec(self, name, *rest):
        if name == "click":
            raise KeyboardInterrupt
sys.meta_path.insert(0, Finder())
runpy.run_module("kit", run_name="__main__")
"""


def test_an_interrupt_during_the_imports_is_no_traceback():
    command = [sys.executable, "-c", INTERRUPTED]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert (done.returncode, done.stdout) == (130, "")
    assert done.stderr.startswith("\nkit: interrupted\n")
    assert "Traceback" not in done.stderr


def test_bench_script_times_it():
    script = Path(__file__).parents[1] / "scripts" / "bench"
    command = [sys.executable, str(script), "startup", "--turns", "1"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert "kit --help takes" in done.stdout, done.stderr
    assert done.returncode == (1 if "NOT HELD" in done.stdout else 0)
