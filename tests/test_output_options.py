"""`--quiet`, `--verbose` and `--log`, which every command has."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
from types import SimpleNamespace

import click
import pytest
from bundle_samples import SMALL_NET

from kit import cli, terminal
from kit.commands.common import output_options, progress_display
from kit.errors import OutputError, UsageError

STAMP = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}[+-]\d\d:\d\d "

# Prints from C at the start of a command, like a library.
NOISY = """
import os, sys
sys.argv[1:] = {words!r}
from kit import cli, terminal
echo = terminal.echo
def noisy(*args, **kwargs):
    os.write(2, b"noise\\n")
    echo(*args, **kwargs)
terminal.echo = noisy
cli.run_command()
"""


@pytest.fixture(autouse=True)
def place(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.delenv("KIT_DEBUG", raising=False)
    yield tmp_path
    terminal.reset()


def leaves(group: click.Group, context: click.Context):
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        yield from leaves(command, context) if isinstance(command, click.Group) else [command]


def test_every_command_has_the_output_options_once():
    commands = list(leaves(cli.main, click.Context(cli.main)))
    assert len(commands) > 25
    for command in commands:
        names = [p.name for p in command.params if p.name in output_options.NAMES]
        assert sorted(names) == ["log", "quiet", "verbose"], command.name
        used = [word for p in command.params for word in p.opts]
        assert len(used) == len(set(used)), command.name


def test_quiet_keeps_results_and_errors(capsys):
    assert cli.run(["cost", SMALL_NET, "--resolution", "32"]) == 0
    usual = capsys.readouterr()
    assert "multiply-adds" in usual.err
    for words in (["-q", "cost"], ["cost", "-q"]):
        assert cli.run([*words, SMALL_NET, "--resolution", "32"]) == 0
        quiet = capsys.readouterr()
        assert (quiet.out, quiet.err) == (usual.out, "")
    assert cli.run(["run", SMALL_NET, "--weights", "none.pth", "-o", "out", "--quiet"]) == 3
    assert re.fullmatch(r"kit: .*none\.pth.*\nhint: .*\n", capsys.readouterr().err)
    assert terminal.get_verbosity() is terminal.Verbosity.NORMAL


def test_quiet_suppresses_progress_notes_and_hints_but_no_warning(capsys):
    from kit.commands.common.advice import write_notices
    from kit.notices import Notice

    severities = ("note", "hint", "warning", "refusal")
    notices = [Notice(code="text", severity=s, values={"text": s}) for s in severities]
    terminal.set_verbosity(terminal.Verbosity.QUIET)
    with progress_display.show_stages() as stage, progress_display.show_steps() as step:
        stage("lowering")
        step(1, 2, "onnx")
    assert capsys.readouterr().err == ""
    lines = write_notices(((notice, "") for notice in notices), 1)
    assert list(lines) == ["warning: warning", "refusal: refusal"]


def test_verbose_shows_each_step_and_tracebacks(capsys):
    terminal.set_verbosity(terminal.Verbosity.VERBOSE)
    with progress_display.show_steps() as step:
        for done in range(4):
            step(done, 4, "onnx")
    assert len(capsys.readouterr().err.splitlines()) == 4
    terminal.reset()
    assert cli.run(["show", "nothing", "-v"]) == 4
    assert "Traceback" in capsys.readouterr().err
    assert cli.run(["show", "nothing"]) == 4
    assert "Traceback" not in capsys.readouterr().err


def test_lines_of_progress_have_elapsed_and_remaining_time(capsys, monkeypatch):
    now = iter([100.0, 100.0, 110.0, 111.0, 130.0])  # the first is the beginning
    clock = SimpleNamespace(monotonic=lambda: next(now))
    monkeypatch.setattr(progress_display, "time", clock)
    with progress_display.show_steps() as step:
        for done in range(4):  # the third comes too soon after the second to be printed
            step(done, 4, "onnx")
    assert capsys.readouterr().err.splitlines() == [
        "   0.0 s  0/4  onnx",
        "  10.0 s  1/4  onnx, about 30 s left",
        "  30.0 s  3/4  onnx, about 10 s left",
    ]


def test_the_log_has_suppressed_output_and_the_traceback(place, capsys):
    words = ["run", SMALL_NET, "--weights", "none.pth", "-o", "out", "-q", "--log", "logs/kit.log"]
    assert cli.run(words) == 3
    shown = capsys.readouterr().err
    assert "Traceback" not in shown
    lines = (place / "logs/kit.log").read_text().splitlines()
    assert all(re.match(STAMP, line) for line in lines)
    texts = [re.sub(STAMP, "", line) for line in lines]
    assert texts[0] == f"kit run, in {place}"
    assert texts[1] == "== step 1 of 4: build"
    assert "Traceback (most recent call last):" in texts
    assert texts[-2:] == shown.splitlines()
    assert cli.run(["list", "--log", "logs/kit.log"]) == 0  # added to
    assert len((place / "logs/kit.log").read_text().splitlines()) == len(lines) + 1


def test_what_libraries_print_goes_to_the_screen_or_to_the_log(place):
    def run(*words: str) -> str:
        code = NOISY.format(words=["list", "--json", *words])
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        return done.stderr

    assert run("-q") == ""
    assert "noise\n" in run("--verbose")
    assert run("--log", "kit.log") == ""
    assert "noise\n" in (place / "kit.log").read_text()


def test_quiet_and_verbose_conflict_but_override_a_settings_file(place, capsys):
    assert cli.run(["list", "-q", "-v"]) == UsageError.exit_code
    assert "--quiet and --verbose contradict each other" in capsys.readouterr().err
    (place / "kit.toml").write_text('quiet = true\nlog = "all.log"\n')
    assert cli.run(["show", "nothing"]) == 4
    assert "Traceback" in (place / "all.log").read_text()
    assert cli.run(["show", "nothing", "-v"]) == 4
    assert "Traceback" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("path", "message"), [("/dev/full", "No space left"), (".", "Is a directory")]
)
def test_a_failed_write_of_the_log_is_reported(path, message, capsys):
    assert cli.run(["list", "--log", path]) == OutputError.exit_code
    shown = capsys.readouterr().err
    assert message in shown
    assert "--log" in shown


def test_a_long_stage_reports_that_it_is_still_running(monkeypatch, capsys):
    monkeypatch.setattr(progress_display, "_SILENT_SECONDS", 0.05)
    with progress_display.show_stages() as stage:
        stage("lowering to onnx")
        deadline, shown = time.monotonic() + 5, ""
        while "still" not in shown and time.monotonic() < deadline:
            time.sleep(0.02)
            shown += capsys.readouterr().err
    assert re.search(r"^ +0\.\d s  still lowering to onnx$", shown, re.MULTILINE)


def test_output_of_children_goes_to_the_log(place, monkeypatch):
    from kit import logs

    (place / "child.log").write_text("from a child\n")
    screen = os.dup(2)
    try:
        monkeypatch.setattr(logs, "_diverted", True)
        logs.send_to(logs.open_log(place / "kit.log"))
        logs.add_file(place / "child.log")
    finally:
        os.dup2(screen, 2)
        os.close(screen)
    assert (place / "kit.log").read_text() == "from a child\n"
