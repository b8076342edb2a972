"""External text is shown without control characters and markup, everywhere."""

from __future__ import annotations

import ast
import io
import json
import os
import re
import subprocess
import sys
import zipfile
from pathlib import Path

import hostile_samples as hostile
import pytest
from report_samples import latency, run
from test_rooms import SOURCES, module_of

from kit import cli, terminal
from kit.bench.fleet import InternalError
from kit.commands.bench import show
from kit.commands.common import measurement, progress_display
from kit.commands.common.measurement import Measured
from kit.errors import DeviceError, KitError, RunError
from kit.notices import read_text
from kit.results.context import DeviceRef
from kit.text import make_one_line, make_printable

pytestmark = pytest.mark.cold_start

EVIL = (
    "\x1b[2J\x1b]0;pwned\x07\x9b31m\u202egnp.exe\u2066\u200f\x7f\x00\r\b[red]x[/] [/nope] :skull:"
)
# Permitted: printable characters, line ends, and rich's own styling sequences.
FORBIDDEN = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u2028-\u202e\u2066-\u2069]")


def safe(shown: str) -> str:
    """Return the text after checking each of its characters."""
    assert FORBIDDEN.search(shown) is None, repr(shown)
    return shown


# text ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("MobileNet é 日本 👩‍🚀 \u0645\u06cc\u200c\u062e", None),
        ("two\nlines\tand a tab", None),
        ("\x1b[2J", "�[2J"),
        ("a\rb\x00\x85\x9b", "a�b���"),
        ("\u202egnp.exe\u2069\u200e\ufeff\xad", "�gnp.exe����"),
        ("\udcff\U000e0041\ufffe", "���"),
        ("\u2028\u2029", "��"),
        ("[bold]x[/]", None),
    ],
)
def test_unprintable_characters_are_replaced(text: str, shown: str | None) -> None:
    assert make_printable(text) == (text if shown is None else shown)


def test_text_for_one_line_has_no_line_ends() -> None:
    assert make_one_line("  a\n b\t\x1bc\u2028d ") == "a b �c d"
    assert make_one_line("5\N{NO-BREAK SPACE}%") == "5\N{NO-BREAK SPACE}%"


def test_every_control_character_of_unicode() -> None:
    every = "".join(map(chr, range(sys.maxunicode + 1)))
    safe(make_printable(every))
    assert make_printable(make_printable(every)) == make_printable(every)


# the only output -------------------------------------------------------------------------

OUTPUT = {"echo", "secho", "echo_via_pager", "prompt", "confirm"}  # of click
PRINTING = (
    "rich.console",
    "rich.progress",
    "rich.live",
    "rich.status",
    "rich.prompt",
    "rich.pretty",
)
ALLOWED = {
    "kit.__main__": "Ctrl-C while the terminal is imported",
    "kit.terminal": "it is the way",
    "kit.streams": "through which the terminal writes",
    "kit.runners.python": "a process of its own, whose stdout is the protocol",
    "kit.formats.isolated": "a process of its own, whose stdout has its answers",
    "kit.forks.server": "a process of its own: answers on stdout, a log on stderr",
    "kit.guard": "what a model of the user prints goes to stderr",
    "kit.logs": "what libraries print goes to a file, and stderr stays kit's",
}


def ways_out(tree: ast.AST) -> list[str]:
    """Return the calls by which a module prints directly."""
    actual = []
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith(PRINTING):
            names = {alias.name for alias in node.names} - {"TaskID"}
            actual += [f"{node.module}.{name}" for name in names]
        elif isinstance(node, ast.ImportFrom) and node.module in ("rich", "click"):
            names = {alias.name for alias in node.names} & {"print", *OUTPUT}
            actual += [f"{node.module}.{name}" for name in names]
        elif isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
            pair = f"{node.value.id}.{node.attr}"
            if pair in {f"click.{n}" for n in OUTPUT} | {"sys.stdout", "sys.stderr"}:
                actual.append(pair)
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
            actual += ["print"] if node.func.id == "print" else []
    return actual


@pytest.mark.parametrize("path", SOURCES, ids=module_of)
def test_only_the_terminal_module_prints(path: Path) -> None:
    module = module_of(path)
    if module not in ALLOWED:
        assert ways_out(ast.parse(path.read_text(encoding="utf-8"))) == []


def test_other_ways_to_print_are_detected() -> None:
    code = (
        "from rich.console import Console\nfrom rich.progress import Progress, TaskID\n"
        "from rich import print\nimport click, sys\nclick.echo(1)\nprint(2)\nsys.stdout.write('')\n"
    )
    assert len(ways_out(ast.parse(code))) == 6


# errors ----------------------------------------------------------------------------------


@pytest.mark.parametrize("error", [KitError, RunError, ValueError, InternalError])
@pytest.mark.parametrize("debug", [False, True])
def test_errors_have_no_control_characters(error, debug, monkeypatch, capsys) -> None:
    def broken(*_: object) -> None:
        raise error(EVIL, EVIL) if issubclass(error, KitError) else error(EVIL)

    monkeypatch.setattr(cli.main, "invoke", broken)
    monkeypatch.setenv("KIT_DEBUG", "1" if debug else "")
    cli.run(["list"])
    out, err = capsys.readouterr()
    assert "[red]x[/] [/nope] :skull:" in safe(err)
    assert out == ""


def test_no_line_of_a_message_imitates_another(monkeypatch, capsys) -> None:
    def broken(*_: object) -> None:
        message = "it failed\nhint: run this\nkit: all is well\n  stderr: hint: so"
        raise DeviceError(message, "plug it in\nhint: or run this")

    monkeypatch.setattr(cli.main, "invoke", broken)
    assert cli.run(["list"]) == 9
    assert capsys.readouterr().err.splitlines() == [
        "kit: it failed",
        "  hint: run this",
        "  kit: all is well",
        "  stderr: hint: so",
        "hint: plug it in hint: or run this",
    ]


@pytest.mark.parametrize("error", [RunError(EVIL, EVIL), InternalError(EVIL)])
def test_errors_of_one_of_several_devices(error, capsys) -> None:
    measurement.print_error(error)
    assert "[red]x[/]" in safe(capsys.readouterr().err)


# tables and bars -------------------------------------------------------------------------


class Tty(io.StringIO):
    """A stream that rich treats as a terminal."""

    def isatty(self) -> bool:
        return True


def unstyled(shown: str) -> str:
    """Return terminal output without rich's styling sequences."""
    return re.sub(r"\x1b\[[0-9;?]*[A-Za-z]|\r", "", shown)


def test_tables_keep_their_columns() -> None:
    from rich.table import Table

    table = Table("name", "x", title=EVIL, caption=EVIL)
    table.add_row(EVIL, "1")
    table.add_row("\x1b" * 3, "2")
    shown = io.StringIO()
    actual = terminal.make_console(width=200)
    actual.file = shown  # type: ignore[assignment]
    actual.print(table)
    lines = safe(shown.getvalue()).splitlines()
    assert len({len(line) for line in lines if line.startswith(("│", "┃", "├", "└", "┏"))}) == 1
    assert "[red]x[/] [/nope] :skull:" in shown.getvalue()


def test_bars_and_spinners(monkeypatch) -> None:
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "200")
    shown = Tty()
    monkeypatch.setattr(sys, "stderr", shown)
    with progress_display.show_steps(auto_refresh=False) as update:
        update(0, 2, EVIL)
        update(1, 2, EVIL)
    with progress_display.show_steps_of([EVIL]) as updates:
        updates[EVIL](1, 2, EVIL)
    with progress_display.show_stages() as report_status:
        report_status(EVIL)
    assert unstyled(shown.getvalue()).count("[red]x[/] [/nope]") >= 4
    safe(unstyled(shown.getvalue()))


@pytest.mark.parametrize("as_json", [False, True])
def test_a_device_of_any_name_is_shown(as_json, capsys) -> None:
    """`Pixel [/b] 9` ended kit after the measurement."""
    name = f"Pixel [/b] 9 {EVIL}"
    device = DeviceRef(kind="phone", name=name, serial=EVIL)
    one = run("onnx", "static", 4, device=device, notices=(read_text(EVIL),))
    result = latency(runs=(one,))
    context = one.context.model_copy(update={"versions": {EVIL: EVIL}, "cpu": EVIL})
    changed = result.model_copy(update={"runs": (one.model_copy(update={"context": context}),)})
    show([Measured(EVIL, [changed])], as_json, False)
    out, err = capsys.readouterr()
    safe(err)
    if as_json:
        assert json.loads(safe(out))["results"][0]["device"] == name
    else:
        assert "Pixel [/b] 9" in safe(out)


# from end to end -------------------------------------------------------------------------


def kit(*words: str | Path, port: int | None = None, text: bool = True):
    env = {**os.environ, "PYTHONUTF8": "1"}
    if port is not None:
        env["ANDROID_ADB_SERVER_PORT"] = str(port)
    return subprocess.run(
        [sys.executable, "-m", "kit", *map(str, words)], capture_output=True, text=text, env=env
    )


@pytest.mark.parametrize("words", [("devices",), ("devices", "--json")])
def test_output_of_a_device_and_a_server_is_cleaned(words, monkeypatch) -> None:
    serial = "\x1b[31mEVIL [/b]"
    props = f"[ro.product.model]: [M{EVIL}]\n[ro.soc.model]: [{EVIL}]"
    listed = f"{serial}\tdevice\n\u202eX\toff\x1bline\n"
    with hostile.adb_server(hostile.facts(props=props), devices=listed) as port:
        done = kit(*words, port=port)
    assert done.returncode == 0, done.stderr
    safe(done.stdout)
    safe(done.stderr)
    if "--json" in words:
        first, second = json.loads(done.stdout)["devices"]
        assert first["serial"] == serial
        assert first["model"].startswith("M\x1b[2J")
        assert second["serial"] == "\u202eX"
    else:
        assert "EVIL [/b]" in done.stdout


@pytest.mark.parametrize(
    "answer",
    [
        hostile.answer(EVIL),
        lambda link: link.sendall(hostile.packet(hostile.ERR, EVIL.encode()) + b"\3\1\0\0\0\1"),
    ],
)
def test_output_of_a_shell_is_cleaned(answer) -> None:
    with hostile.adb_server(answer) as port:
        for words in (("devices", "--device", hostile.SERIAL), ("clean",)):
            done = kit(*words, port=port)
            safe(done.stdout + done.stderr)


@pytest.mark.slow
def test_names_of_pictures_are_cleaned(tiny_bundle, tmp_path) -> None:
    folder = tmp_path / "pictures"
    folder.mkdir()
    (folder / "\x1b[31m[b] evil.png").write_bytes(b"no picture")
    archive = tmp_path / "\x1b[2J.zip"
    with zipfile.ZipFile(archive, "w") as packed:
        packed.writestr("\x1b]0;pwned\x07.png", b"no picture")
    for pictures in (folder, archive):
        done = kit("eval", tiny_bundle.path, "--images", pictures)
        assert done.returncode == 3
        assert "�" in safe(done.stderr)
        safe(done.stdout)


@pytest.mark.slow
def test_exceptions_of_own_models_are_cleaned(tmp_path) -> None:
    model = tmp_path / "own.py"
    model.write_text(f"def make():\n    raise ValueError({EVIL!r})\n")
    done = kit("cost", f"{model}:make")
    assert done.returncode == 3
    assert "ValueError: �[2J" in safe(done.stderr)


# output that cannot be written -----------------------------------------------------------

FULL = Path("/dev/full")
COMMANDS = ["list", "list --json", "--help", "build --help",
            pytest.param("cost mobilenet_v2", marks=pytest.mark.slow), "lisst"]  # fmt: skip


@pytest.mark.parametrize("command", COMMANDS)
def test_a_closed_pipe_is_exit_code_141(command: str) -> None:
    line = f"{sys.executable} -m kit {command} 2>&1 | true; echo ${{PIPESTATUS[0]}}"
    done = subprocess.run(["bash", "-c", line], capture_output=True, text=True)
    assert (done.stdout, done.stderr) == ("141\n", "")


@pytest.mark.parametrize("command", COMMANDS[:-1])
def test_a_full_disk_behind_stdout_is_exit_code_7(command: str) -> None:
    with FULL.open("w") as full:
        done = subprocess.run(
            [sys.executable, "-m", "kit", *command.split()],
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
        )
    assert done.returncode == 7
    assert done.stderr.splitlines() == [
        "kit: cannot write to stdout (/dev/full): No space left on device",
        "hint: make space there, or send the output elsewhere",
    ]


def test_a_full_stderr_keeps_the_exit_code() -> None:
    with FULL.open("w") as full:
        words = [sys.executable, "-m", "kit", "lisst"]
        assert subprocess.run(words, stdout=full, stderr=full).returncode == 7


def test_characters_outside_the_output_encoding_become_question_marks() -> None:
    env = {**os.environ, "PYTHONIOENCODING": "ascii", "PYTHONUTF8": "0"}
    words = [sys.executable, "-m", "kit", "list"]
    done = subprocess.run(words, capture_output=True, text=True, env=env)
    assert done.returncode == 0, done.stderr
    assert "mobilenet_v2" in done.stdout
