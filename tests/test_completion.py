"""Tab in the shell: click's script in a real bash, and its answers."""

from __future__ import annotations

import os
import shlex
import shutil
import socketserver
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import click
import pytest
from virtual_device import ports

from kit import cli
from kit.commands.common import completion

ROOT = Path(__file__).parents[1]
# Readline's part: the words up to the cursor, then the function that the script registered.
TAB = """
eval "$(kit completion bash)"
COMP_WORDS=({words}) COMP_CWORD={at}
function=$(complete -p kit) && function=${{function#*-F }} && function=${{function%% *}}
"$function" kit "${{COMP_WORDS[$COMP_CWORD]}}" 2>&1
printf '%s\\n' "${{COMPREPLY[@]}}"
"""


@pytest.fixture
def folder(tmp_path, monkeypatch) -> Path:
    """Enter a folder with bundles and results; no adb server runs."""
    (tmp_path / "bin").mkdir()
    kit = tmp_path / "bin/kit"
    python = f"PYTHONPATH={shlex.quote(str(ROOT))} exec {shlex.quote(sys.executable)}"
    kit.write_text(f'#!/bin/sh\n{python} -m kit "$@"\n')
    kit.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:{os.environ['PATH']}")
    work = tmp_path / "work"
    for name in ("out/v2", "out/deep/er/v3", "out/a/b/c/d/too-deep", "net"):
        (work / name).mkdir(parents=True)
        (work / name / "bundle.json").touch()
    (work / "out/empty").mkdir()
    (work / ".hidden/v4").mkdir(parents=True)
    (work / ".hidden/v4/bundle.json").touch()
    (work / "out/latency.json").write_text('{"schema_version": 9, "kind": "latency"}')
    (work / "out/other.json").write_text('{"schema_version": 9}')
    os.mkfifo(work / "out/fifo.json")
    monkeypatch.chdir(work)
    return work


@pytest.fixture(autouse=True)
def no_server(monkeypatch) -> Iterator[None]:
    monkeypatch.delenv("ADB_SERVER_SOCKET", raising=False)
    with ports.closed() as port:
        monkeypatch.setenv("ANDROID_ADB_SERVER_PORT", str(port))
        yield


@pytest.fixture(autouse=True)
def own_types() -> Iterator[None]:
    """Restore the types of options, which completion changes."""
    commands = [cli.main]
    for command in commands:
        if isinstance(command, click.Group):
            context = click.Context(command)
            names = command.list_commands(context)
            commands += filter(None, (command.get_command(context, name) for name in names))
    types = [(option, option.type) for command in commands for option in command.params]
    yield
    for option, own in types:
        option.type = own


def offered(monkeypatch, *words: str) -> list[str]:
    """Return the completions of the last word, without a shell."""
    monkeypatch.setenv(
        "COMP_WORDS", shlex.join(["kit", *words]) if words[-1] else shlex.join(["kit", *words[:-1]])
    )
    monkeypatch.setenv("COMP_CWORD", str(len(words)))
    lines = completion.complete(cli.main, "bash_complete").splitlines()
    assert all(line.startswith("plain,") for line in lines), lines
    return [line.removeprefix("plain,") for line in lines]


@pytest.mark.cold_start
@pytest.mark.skipif(shutil.which("bash") is None, reason="there is no bash")
@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("ben", ["bench"]),
        ("build mobilenet_v2 --format lite,on", ["lite,onnx"]),
        ("bench out/", ["out/deep/er/v3", "out/v2"]),
        ("report out/", ["out/latency.json"]),
    ],
)
def test_bash_completes(folder, line, expected):
    words = line.split()
    script = TAB.format(words=shlex.join(["kit", *words]), at=len(words))
    done = subprocess.run(
        ["bash", "--norc", "-c", script], capture_output=True, text=True, timeout=60
    )
    assert (done.stdout.split(), done.stderr) == (expected, "")


@pytest.mark.parametrize("shell", completion.SHELLS)
def test_script_is_printed(shell, capsys):
    assert cli.run(["completion", shell]) == 0
    script = capsys.readouterr().out
    assert f"{completion.VARIABLE}={shell}_complete" in script
    if shutil.which(shell):
        subprocess.run([shell, "-n"], input=script, text=True, check=True)


def test_an_unsupported_shell_is_refused(capsys):
    assert cli.run(["completion", "csh"]) == 2
    assert "csh" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["build", "mobilenet_v3"], ["mobilenet_v3_large", "mobilenet_v3_small"]),
        (["build", "--format", "executorch/c"], ["executorch/coreml"]),
        (["build", "--format", "onnx,onn"], []),  # it is in the list already
        (["build", "--quantize", "st"], ["static"]),
        (["build", "--task", "tens"], ["tensors"]),
        (["build", "--precision", "fp32,fp"], ["fp32,fp16"]),
        (["build", "--corrections", "b"], ["best", "bias"]),
        (["build", "--weights", "ran"], ["random"]),
        (["runner", "build", "--abi", "x"], ["x86_64"]),
        (["verify", "--processor", "hasw"], ["haswell"]),
        (["cache", "clear", "w"], ["wheels", "weights"]),
        (["app", "in"], ["install"]),
        (["help", "dev"], ["devices"]),
        (["analyze", "mobilenet_v1"], ["mobilenet_v1"]),
        (["analyze", "n"], ["net"]),
        (["no-such", "x"], []),
        (["clean", "--device", "R"], []),
    ],
)
def test_values_are_completed(folder, monkeypatch, words, expected):
    assert offered(monkeypatch, *words) == expected


def test_every_bundle_within_reach_is_offered(folder, monkeypatch):
    assert offered(monkeypatch, "bench", "") == ["net", "out/deep/er/v3", "out/v2"]
    absolute = str(folder / "out/v")
    assert offered(monkeypatch, "bench", absolute) == [f"{absolute}2"]


def test_paths_are_completed_as_files(folder, monkeypatch):
    for words in (
        ["build", "path/to"],
        ["build", "--weights", "w"],
        ["build", "--recipe", "rec"],
        ["eval", "--images", "x"],
    ):
        monkeypatch.setenv("COMP_WORDS", shlex.join(["kit", *words]))
        monkeypatch.setenv("COMP_CWORD", str(len(words)))
        assert completion.complete(cli.main, "bash_complete") == f"file,{words[-1]}"


def test_devices_of_a_server_are_offered(monkeypatch):
    with server(threading.Event(), answers=True) as port:
        monkeypatch.setenv("ANDROID_ADB_SERVER_PORT", str(port))
        assert offered(monkeypatch, "bench", "out", "--device", "R58M1") == ["R58M1"]
        assert offered(monkeypatch, "bench", "out", "--device", "") == ["R58M1", "R58M2", "all"]


def test_a_silent_server_does_not_block_completion(monkeypatch):
    requested = threading.Event()
    with server(requested, answers=False) as port:
        monkeypatch.setenv("ANDROID_ADB_SERVER_PORT", str(port))
        assert offered(monkeypatch, "bench", "out", "--device", "") == []
        assert requested.is_set()


@contextmanager
def server(requested: threading.Event, answers: bool) -> Iterator[int]:
    """Serve adb's list of devices, or send nothing until the block ends."""
    ended = threading.Event()
    texts = {"host:version": "0029", "host:devices": "R58M1\tdevice\nR58M2\tunauthorized\n"}

    class Handler(socketserver.StreamRequestHandler):
        def handle(self) -> None:
            while head := self.rfile.read(4):
                requested.set()
                request = self.rfile.read(int(head, 16)).decode()
                if not answers:
                    ended.wait(30)
                    return
                text = next(t for name, t in texts.items() if request.startswith(name))
                self.wfile.write(f"OKAY{len(text):04x}{text}".encode())
                return

    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Handler) as listener:
        threading.Thread(target=listener.serve_forever, daemon=True).start()
        try:
            yield listener.server_address[1]
        finally:
            ended.set()
            listener.shutdown()
