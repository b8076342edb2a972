"""`scripts/demo` around `kit run`, which is stood in for: it takes minutes."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from kit.commands.run import command

SCRIPTS = Path(__file__).parents[1] / "scripts"

SETUP = """
cd "$(dirname "${BASH_SOURCE[0]}")/.."
touch set-up
export PATH="$PWD/bin:$PATH"
"""
KIT = """#!/usr/bin/env bash
printf '%s\\n' "$@" >calls
exit "${CODE:-0}"
"""


@pytest.fixture
def place(tmp_path):
    """Make a checkout with the script and an empty set-up script."""
    for folder in ("scripts", "bin"):
        (tmp_path / "checkout" / folder).mkdir(parents=True)
    root = tmp_path / "checkout"
    shutil.copy(SCRIPTS / "demo", root / "scripts")
    (root / "scripts" / "setup.sh").write_text(SETUP)
    (root / "bin" / "kit").write_text(KIT)
    (root / "bin" / "kit").chmod(0o755)
    return root


def demo(root: Path, *arguments: str, cwd: Path | None = None, **environment: str):
    return subprocess.run(
        [root / "scripts" / "demo", *arguments],
        cwd=cwd or root,
        capture_output=True,
        text=True,
        env={"PATH": "/usr/bin:/bin", **environment},
    )


@pytest.mark.parametrize("words", [[], ["--help"], ["-h"]])
def test_help_of_the_virtual_device_sets_nothing_up(place, words):
    shutil.copy(SCRIPTS / "virtual-device", place / "scripts")
    done = subprocess.run(
        [place / "scripts" / "virtual-device", *words], capture_output=True, text=True
    )
    assert done.returncode == 0
    assert done.stdout.startswith("usage: scripts/virtual-device COMMAND")
    assert names(place) == ["bin", "scripts"]


@pytest.mark.parametrize("has_kit", [True, False])
def test_the_virtual_device_takes_an_active_environment_with_kit(place, has_kit):
    shutil.copy(SCRIPTS / "virtual-device", place / "scripts")
    python = place / "bin" / "python"
    python.write_text(f'#!/bin/sh\n[ "$1" = -c ] && exit {int(not has_kit)}\necho "$PWD" "$@"\n')
    python.chmod(0o755)
    environment = {"PATH": f"{place}/bin:/usr/bin:/bin", "VIRTUAL_ENV": "x"}
    done = subprocess.run(
        [place / "scripts" / "virtual-device", "list"],
        cwd=place.parent,
        capture_output=True,
        text=True,
        env=environment,
    )
    assert done.stdout == f"{place} -m virtual_device list\n"
    assert (place / "set-up").exists() != has_kit


def names(folder: Path) -> list[str]:
    return sorted(p.name for p in folder.iterdir())


@pytest.mark.parametrize("option", ["--help", "-h"])
def test_help_changes_nothing(place, option):
    done = demo(place, option)
    assert done.returncode == 0
    assert done.stdout.startswith("usage: scripts/demo [PICTURES] [OPTION…]")
    assert names(place) == ["bin", "scripts"]


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["nowhere"], 3, "there is no readable folder or zip 'nowhere'"),
        (["/dev/null"], 3, "there is no readable folder or zip '/dev/null'"),
        ([".", "b"], 2, "'b' is no option"),
    ],
)
def test_wrong_arguments_are_reported_before_any_work(place, arguments, code, message):
    done = demo(place, *arguments)
    assert (done.returncode, done.stdout) == (code, "")
    assert message in done.stderr
    assert names(place) == ["bin", "scripts"]


def test_pictures_are_those_of_the_folder_where_it_was_typed(place, tmp_path):
    pictures = tmp_path / "here" / "my pictures"
    pictures.mkdir(parents=True)
    done = demo(place, "my pictures", cwd=pictures.parent)
    assert done.returncode == 0, done.stderr
    calls = (place / "calls").read_text().splitlines()
    assert calls == [
        *("run", "mobilenet_v2", "--images", str(pictures), "--calibration-images", "64"),
        *("-o", "out/demo"),
    ]


def test_options_and_the_exit_code_are_those_of_kit_run(place):
    done = demo(place, "--quick", "--format", "onnx", CODE="10")
    assert done.returncode == 10
    calls = (place / "calls").read_text().splitlines()
    assert calls == ["run", "mobilenet_v2", "-o", "out/demo", "--quick", "--format", "onnx"]
    context = command.make_context("run", calls[1:])  # raises what kit run does not understand
    assert context.params["quick"]
