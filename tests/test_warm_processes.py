"""A warm process behaves like any other: see `warm_processes`."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest
import warm_processes

REPORT = """
import json, os, sys
print(json.dumps({
    "argv": sys.argv[1:], "cwd": os.getcwd(), "value": os.environ.get("VALUE"),
    "input": sys.stdin.read(), "leader": os.getsid(0) == os.getpid(), "parent": os.getppid(),
    "torch": "torch" in sys.modules, "path": sys.path[0], "name": __name__,
}))
print("to stderr", file=sys.stderr)
if "nested" in sys.argv:
    import subprocess
    words = [sys.executable, "-P", "-m", "kit.inner"]
    print(subprocess.run(words, stdout=subprocess.PIPE, text=True, check=True).stdout, end="")
sys.exit({"text": "a message", "seven": 7}.get(sys.argv[-1], 0))
"""
INNER = "import os, sys\nprint(os.getppid(), 'torch' in sys.modules)\n"


@pytest.fixture
def package(tmp_path, monkeypatch):
    """A package named kit, before the real one on the path."""
    folder = tmp_path / "path" / "kit"
    folder.mkdir(parents=True)
    (folder / "__init__.py").touch()
    (folder / "report.py").write_text(REPORT)
    (folder / "inner.py").write_text(INNER)
    (folder / "sleep.py").write_text("import time\nprint('ready', flush=True)\ntime.sleep(600)\n")
    monkeypatch.setenv("PYTHONPATH", str(folder.parent))
    return folder


def start(*words: str, **options) -> subprocess.Popen[str]:
    command = [sys.executable, "-P", "-m", *words]
    pipe = subprocess.PIPE
    return subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=pipe, text=True, **options)


def report(*words: str, **options) -> tuple[dict[str, object], str, int]:
    with start("kit.report", *words, **options) as process:
        out, err = process.communicate("an input")
    first, *rest = out.splitlines()
    return {**json.loads(first), "rest": rest}, err, process.returncode


@pytest.mark.slow  # the first warm process of a worker waits for the imports
def test_a_warm_process_equals_a_cold_one(package, tmp_path):
    environment = {**os.environ, "VALUE": "ä b"}
    options = {"cwd": tmp_path, "env": environment, "start_new_session": True}
    for words in (("one", "nested"), ("text",), ("seven",)):
        warm_processes.enable(on=True)
        warm = report(*words, **options)
        warm_processes.enable(on=False)
        cold = report(*words, **options)
        assert (warm[0].pop("torch"), cold[0].pop("torch")) == (True, False)
        nested = warm[0].pop("rest"), cold[0].pop("rest")
        assert [line.split()[1] for lines in nested for line in lines] in (["True", "False"], [])
        assert warm == cold
        assert warm[0]["parent"] == os.getpid()


@pytest.mark.slow
def test_a_killed_warm_process_leaves_nothing(package):
    with start("kit.sleep") as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        own = [psutil.Process(process.pid), *psutil.Process(process.pid).children(recursive=True)]
        assert len(own) == 2  # it, and the template of its own
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == -signal.SIGTERM
    deadline = time.monotonic() + 30
    while any(one.is_running() for one in own):
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_variables_read_at_the_start_make_a_process_cold(monkeypatch):
    warm_processes.enable(on=True)
    words = [sys.executable, "-m", "kit", "list"]
    assert warm_processes._request(words, None, None) is not None
    for name in ("OMP_NUM_THREADS", "PYTHONHASHSEED", "LD_LIBRARY_PATH"):
        environment = {**os.environ, name: "7"}
        assert warm_processes._request(words, None, environment) is None
    for other in (["sh", "-c", "x"], [sys.executable, "-c", "x"], [sys.executable, "-m", "pip"]):
        assert warm_processes._request(other, None, None) is None
    assert warm_processes._request([sys.executable, str(Path(__file__))], None, None) is None
