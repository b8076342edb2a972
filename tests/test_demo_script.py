"""`scripts/demo` around the commands it calls: these are stood in for, they take minutes."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

SCRIPTS = Path(__file__).parents[1] / "scripts"

SETUP = """
cd "$(dirname "${BASH_SOURCE[0]}")/.."
touch set-up
export PATH="$PWD/bin:$PATH"
"""
KIT = """#!/usr/bin/env bash
echo "$@" >>calls
[ "$1" != "${FAILING:-}" ] || exit 5
while [ "$1" != -o ]; do shift; done
case $2 in
  *.json) mkdir -p "$(dirname "$2")" && touch "$2" ;;
  *) mkdir -p "$2" && touch "$2/new" ;;
esac
"""


@pytest.fixture
def place(tmp_path):
    """A checkout with the script, a set-up that sets nothing up, and an older result."""
    for folder in ("scripts", "bin", "out/demo"):
        (tmp_path / "checkout" / folder).mkdir(parents=True)
    root = tmp_path / "checkout"
    shutil.copy(SCRIPTS / "demo", root / "scripts")
    (root / "scripts" / "setup.sh").write_text(SETUP)
    (root / "bin" / "kit").write_text(KIT)
    (root / "bin" / "kit").chmod(0o755)
    (root / "out/demo/older").touch()
    return root


def demo(root: Path, *arguments: str, cwd: Path | None = None, **environment: str):
    return subprocess.run(
        [root / "scripts" / "demo", *arguments],
        cwd=cwd or root,
        capture_output=True,
        text=True,
        env={"PATH": "/usr/bin:/bin", **environment},
    )


def names(folder: Path) -> list[str]:
    return sorted(p.name for p in folder.iterdir())


@pytest.mark.parametrize("option", ["--help", "-h"])
def test_help_touches_nothing(place, option):
    done = demo(place, option)
    assert done.returncode == 0
    assert done.stdout.startswith("usage: scripts/demo [PICTURES]")
    assert names(place) == ["bin", "out", "scripts"]


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (["nowhere"], 3, "there is no readable folder or zip 'nowhere'"),
        (["/dev/null"], 3, "there is no readable folder or zip '/dev/null'"),
        (["a", "b"], 2, "one argument is possible, not 2"),
    ],
)
def test_wrong_arguments_are_told_before_anything_is_done(place, arguments, code, says):
    done = demo(place, *arguments)
    assert (done.returncode, done.stdout) == (code, "")
    assert says in done.stderr
    assert names(place) == ["bin", "out", "scripts"]
    assert names(place / "out/demo") == ["older"]


def test_pictures_are_those_of_the_folder_where_it_was_typed(place, tmp_path):
    pictures = tmp_path / "here" / "my pictures"
    pictures.mkdir(parents=True)
    done = demo(place, "my pictures", cwd=pictures.parent)
    assert done.returncode == 0, done.stderr
    calls = (place / "calls").read_text().splitlines()
    assert [call.split()[0] for call in calls] == ["build", "build", "eval", "bench", "report"]
    assert f"--calibrate {pictures} --calibration-images 64" in calls[1]
    assert f"--images {pictures}" in calls[2]
    assert "step 1 of 5: float bundle, about 12 min left" in done.stderr
    assert "step 5 of 5: report" in done.stderr


def test_the_new_result_replaces_the_old_one_when_it_is_whole(place):
    done = demo(place)
    assert done.returncode == 0, done.stderr
    assert names(place / "out") == ["demo"]
    assert "older" not in names(place / "out/demo")
    assert (place / "out/demo/report/new").is_file()
    assert (place / "out/demo/results/latency/new").is_file()


@pytest.mark.parametrize("step", ["build", "bench", "report"])
def test_a_step_that_fails_leaves_the_old_result(place, step):
    done = demo(place, FAILING=step)
    assert done.returncode == 5
    assert names(place / "out") == ["demo"]
    assert names(place / "out/demo") == ["older"]


def test_what_a_killed_run_left_is_removed(place):
    (place / "out/.demo.0123456789").mkdir()
    assert demo(place).returncode == 0
    assert names(place / "out") == ["demo"]


def test_a_result_that_was_about_to_be_replaced_is_put_back(place):
    (place / "out/.demo.0123456789").mkdir()
    (place / "out/demo").rename(place / "out/.demo.0123456789/demo")
    assert demo(place, FAILING="build").returncode == 5
    assert names(place / "out") == ["demo"]
    assert names(place / "out/demo") == ["older"]
