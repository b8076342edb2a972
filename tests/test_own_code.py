"""Misbehaving user code: kit's state is unchanged, and the error is one sentence."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from kit import guard
from kit.error_text import describe_exception, format_message, shorten_value
from kit.errors import RecipeError

NET = """
import ctypes, os, signal, subprocess, sys, time
import torch
from torch import nn

class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.stem, self.head = nn.Conv2d(3, 8, 3, 2), nn.Linear(8, 4)

    def forward(self, x):
        act()
        return self.head(self.stem(x).mean((2, 3)))

def act():
    pass

def make():
    return Net()
"""

# Side effects of a file, its factory or its forward with which the model still works.
WORK = {
    "prints in the file": "print('hello')\nos.write(1, b'raw')\nctypes.CDLL(None).printf(b'c')",
    "prints in the factory": "def make():\n    print('hello'); return Net()",
    "prints in forward": "def act():\n    print('hello'); sys.stdout.buffer.write(b'bytes')",
    "prints below Python": "def act():\n    os.write(1, b'raw'); subprocess.run(['echo', 'sub'])",
    "prints from C": "def act():\n    ctypes.CDLL(None).printf(b'from c')",
    "removes its folder": "sys.path.remove(os.path.dirname(os.path.abspath(__file__)))",
    "replaces the path": "sys.path = []",
    "replaces the path by nothing": "sys.path = None",
    "empties the path": "def make():\n    sys.path.clear(); return Net()",
    "brings a folder along": (
        "sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), 'lib'))\n"
        "def act():\n    import a_part"
    ),
    "brings a relative folder along": (
        "os.chdir(os.path.dirname(os.path.abspath(__file__))); sys.path.append('lib')\n"
        "def act():\n    import a_part"
    ),
    "imports beside it, late": "def act():\n    import a_sibling",
    "changes the folder": (
        "os.chdir(os.path.dirname(os.path.abspath(__file__)))\n"
        "def make():\n    open('data.txt').close(); return Net()"
    ),
    "goes where nobody is": (
        "os.makedirs('gone', exist_ok=True); os.chdir('gone'); os.rmdir(os.getcwd())"
    ),
    "closes a descriptor": "os.close(1)",
    "closes every descriptor": "os.closerange(3, 50)",
    "closes both descriptors": "def act():\n    os.close(1); os.close(2)",
    "closes stdout": "sys.stdout.close()",
    "closes stdout and stderr in forward": "def act():\n    sys.stdout.close(); sys.stderr.close()",
    "closes the first stdout": "sys.__stdout__.close()",
    "has no stdout": "sys.stdout = sys.stderr = None",
    "has another stdout": "sys.stdout = open(os.devnull, 'w')",
    "ignores Ctrl-C": "signal.signal(signal.SIGINT, signal.SIG_IGN)",
    "computes in another type": "torch.set_default_dtype(torch.float64)\n"
    "def make():\n    return Net().float()",
    "has no gradients": "torch.set_grad_enabled(False)",
}
# Unusable code and its error.
FAIL = {
    "ends in the file": ("sys.exit(0)", "cannot be imported: SystemExit: 0"),
    "ends in the factory": ("def make():\n    sys.exit()", "SystemExit: no message"),
    "ends in forward": ("def act():\n    sys.exit('bye')", "SystemExit: bye"),
    "raises an exception of its own": (
        "class Odd(BaseException): pass\ndef act():\n    raise Odd('no')",
        "fails on an input of [1, 3, 64, 64]: Odd: no",
    ),
    "raises what is none in the file": (
        "class Odd(BaseException): pass\nraise Odd()",
        "cannot be imported: Odd: no message",
    ),
    "pretends Ctrl-C": ("def make():\n    raise KeyboardInterrupt(0)", "KeyboardInterrupt: 0"),
    "pretends it in forward": ("def act():\n    raise KeyboardInterrupt", "KeyboardInterrupt: no"),
    "ends a generator": ("def act():\n    raise GeneratorExit", "GeneratorExit: no message"),
    "stops an iteration": ("def act():\n    raise StopIteration(3)", "StopIteration: 3"),
    "cannot say what is wrong": (
        "class Odd(Exception):\n    def __str__(self): raise ValueError\ndef act():\n    raise Odd",
        "Odd: its message cannot be read",
    ),
    "leaves while it says": (
        "class Odd(Exception):\n    def __str__(self): sys.exit(0)\ndef act():\n    raise Odd",
        "Odd: its message cannot be read",
    ),
    "says very much": ("def act():\n    raise ValueError('x' * 10**6)", "ValueError: xxx"),
    "recurses": ("def act():\n    act()", "RecursionError: maximum recursion depth exceeded"),
    "has a factory that is made on demand": (
        "del make\ndef __getattr__(name):\n    raise OSError('no ' + name)",
        "cannot be imported: OSError: no make",
    ),
    "describes itself badly": (
        "class Net(Net):\n    def __repr__(self): raise ValueError('who am I')",
        "",  # `kit cost` does not use it
    ),
    "fails on two pictures": (
        "class Net(Net):\n    def forward(self, x):\n"
        "        if len(x) > 1: raise ValueError('one at a time')\n"
        "        return super().forward(x)",
        "ValueError: one at a time",
    ),
}

# Runs every file in one process, which must survive all of them.
DRIVER = """
import json, os, signal, sys
from kit import cli
before = os.getcwd(), list(sys.path)
for file in sys.argv[1:]:
    code = cli.run(["cost", f"{file}:make", "--input", "64", "--json"])
    sys.stderr.flush()
    now = os.getcwd(), [p for p in sys.path if p in before[1]]
    same = now == before and signal.getsignal(signal.SIGINT) is signal.default_int_handler
    import torch
    same = same and torch.get_default_dtype() == torch.float32 and torch.is_grad_enabled()
    print(json.dumps({"file": file, "code": code, "same": same}), flush=True)
    print(f"-- {file}", file=sys.stderr, flush=True)
"""


def write(folder: Path, kinds: dict[str, str]) -> list[str]:
    (folder / "lib").mkdir(exist_ok=True)
    (folder / "lib" / "a_part.py").touch()
    (folder / "a_sibling.py").touch()
    (folder / "data.txt").touch()
    result = []
    for number, text in enumerate(kinds.values()):
        file = folder / f"net{number}.py"
        file.write_text(NET + text + "\n")
        result.append(str(file))
    return result


def drive(files: list[str], folder: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", DRIVER, *files]
    environment = {**os.environ, "PYTHONPATH": str(Path(guard.__file__).parents[1])}
    return subprocess.run(
        command, capture_output=True, text=True, cwd=folder, env=environment, timeout=400
    )


@pytest.mark.slow
def test_a_misbehaving_file_still_works_and_stdout_is_json(tmp_path):
    files = write(tmp_path, WORK)
    (tmp_path / "here").mkdir()
    done = drive(files, tmp_path / "here")
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    assert done.returncode == 0, done.stderr
    costs, ends = lines[::2], lines[1::2]
    wrong = [kind for kind, end in zip(WORK, ends, strict=True) if end["code"] or not end["same"]]
    assert wrong == [], done.stderr
    assert all(cost["multiply_adds"] == costs[0]["multiply_adds"] > 0 for cost in costs)
    for printed in ("hello", "raw", "bytes", "sub", "from c"):
        assert printed in done.stderr


@pytest.mark.slow
def test_unusable_code_is_reported_in_one_sentence(tmp_path):
    kinds = {kind: text for kind, (text, error_text) in FAIL.items() if error_text}
    files = write(tmp_path, kinds)
    (tmp_path / "here").mkdir()
    done = drive(files, tmp_path / "here")
    assert done.returncode == 0, done.stderr
    ends = [json.loads(line) for line in done.stdout.splitlines()]
    parts = done.stderr.split("\n-- ")
    for (kind, (_, error_text)), end, part in zip(
        ((k, v) for k, v in FAIL.items() if v[1]), ends, parts, strict=False
    ):
        assert (end["code"], end["same"]) == (3, True), (kind, part)
        (sentence,) = [line for line in part.splitlines() if line.startswith("kit: ")]
        assert error_text in sentence, kind
        assert len(sentence) < 700
        assert "Traceback" not in part
        assert part.splitlines()[-1].startswith("hint: ")


def test_a_failing_fingerprint_is_reported(tmp_path):
    from kit.models import user_model

    (file,) = write(tmp_path, {"": FAIL["describes itself badly"][0]})
    with pytest.raises(RecipeError, match="cannot be described: ValueError: who am I"):
        user_model.load(f"{file}:make").fingerprint(0)


@pytest.mark.parametrize(("requested", "kept"), [(300, 1000), (5000, 5000)])
def test_the_recursion_limit_is_never_lowered(tmp_path, requested, kept):
    """A low limit made kit fail with an internal error; deep networks need a high one."""
    from kit.models import user_model

    (file,) = write(tmp_path, {"": f"sys.setrecursionlimit({requested})"})
    before = sys.getrecursionlimit()
    sys.setrecursionlimit(1000)
    try:
        user_model.load(f"{file}:make")
        assert sys.getrecursionlimit() == kept
    finally:
        sys.setrecursionlimit(before)


@pytest.mark.slow
def test_code_that_closes_everything_does_not_crash_kit(tmp_path):
    """No error is printed, because no stream is open."""
    (file,) = write(tmp_path, {"": "def act():\n    os.closerange(0, 10**4)"})
    command = [sys.executable, "-m", "kit", "cost", f"{file}:make", "--input", "64"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=100)
    assert (done.stdout, done.stderr) == ("", "")
    assert done.returncode != 0


SLOW_CODE = """
def make():
    print('ready', flush=True)
    try:
        time.sleep(60)
    except {caught}:
        print('caught', flush=True)
    return Net()
"""


@pytest.mark.slow
def test_an_interrupt_within_exec_has_the_same_exit_code(tmp_path):
    """PyTorch calls exec during its import."""
    code = 'def make():\n    print("ready", flush=True)\n    exec("time.sleep(60)")'
    (file,) = write(tmp_path, {"": code})
    command = [sys.executable, "-m", "kit", "cost", f"{file}:make", "--input", "64"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as child:
        assert child.stderr is not None
        while b"ready" not in child.stderr.readline():
            assert child.poll() is None
        time.sleep(0.2)  # into the sleep
        child.send_signal(signal.SIGINT)
        _, err = child.communicate(timeout=60)
    assert child.returncode == 130, err


@pytest.mark.slow
@pytest.mark.parametrize("caught", ["ZeroDivisionError", "BaseException"])
@pytest.mark.parametrize(
    ("number", "code"),
    [
        (signal.SIGINT, 130),
        pytest.param(signal.SIGTERM, 143, marks=pytest.mark.slow),
        pytest.param(signal.SIGHUP, 129, marks=pytest.mark.slow),
    ],
)
def test_an_interrupt_signal_ends_kit(tmp_path, caught, number, code):
    (file,) = write(tmp_path, {"": SLOW_CODE.format(caught=caught)})
    command = [sys.executable, "-m", "kit", "cost", f"{file}:make", "--input", "64"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as child:
        assert child.stderr is not None
        while b"ready" not in child.stderr.readline():
            assert child.poll() is None
        time.sleep(0.2)  # into the sleep
        child.send_signal(number)
        out, err = child.communicate(timeout=60)
    assert child.returncode == code, err
    assert b"kit: interrupted" in err
    assert out == b""


# The guard by itself


def test_errors_of_kit_pass_the_guard(tmp_path):
    with pytest.raises(ZeroDivisionError), guard.run_user_code("x", tmp_path, mixed=True):
        _ = 1 / 0
    with (
        pytest.raises(RecipeError, match="x: ZeroDivisionError"),
        guard.run_user_code("x", tmp_path),
    ):
        _ = 1 / 0
    (tmp_path / "f.py").write_text("def f(): raise OSError(28, 'full')")
    space: dict[str, object] = {}
    exec(compile((tmp_path / "f.py").read_text(), str(tmp_path / "f.py"), "exec"), space)
    with (
        pytest.raises(RecipeError, match=r"x: OSError: .*full \(.*f\.py:1\)"),
        guard.run_user_code("x", tmp_path, mixed=True),
    ):
        space["f"]()  # type: ignore[operator]


def test_foreign_values_are_shown_shortened():
    assert shorten_value("x" * 1000).startswith("'xxx")
    assert len(shorten_value("x" * 1000)) < 120
    assert shorten_value(16**5000) == "a number of 20001 bits"
    assert len(shorten_value([[[["x"] * 1000] * 1000] * 1000] * 1000)) <= 200
    assert describe_exception(ValueError()) == "ValueError: no message"
    assert format_message(ValueError("a\nb")) == "a\nb"
    assert describe_exception(ValueError("a\nb")) == "ValueError: a"


# Builds

BUILDS = {
    "prints everywhere": (
        "print('hello')\ndef act():\n    print('hello'); os.write(1, b'raw')",
        0,
        "",
    ),
    "leaves where formats are lowered": (
        "if 'lower' in sys.argv[0]:\n    def act(): sys.exit(3)",
        3,
        "SystemExit: 3",
    ),
    "takes one or two pictures": (
        "class Net(Net):\n    def forward(self, x):\n"
        "        if len(x) > 2: raise ValueError('too many')\n"
        "        return super().forward(x)",
        5,
        "Constraints violated (batch)",
    ),
    "raises what is no exception when it is traced": (
        "class Odd(BaseException): pass\n"
        "class Net(Net):\n    def forward(self, x):\n"
        "        if isinstance(x, torch.fx.Proxy): raise Odd('traced')\n"
        "        return super().forward(x)",
        3,
        "fails: Odd: traced",
    ),
}


@pytest.mark.slow
@pytest.mark.parametrize("kind", BUILDS)
def test_builds(tmp_path, kind, monkeypatch):
    text, code, error_text = BUILDS[kind]
    (file,) = write(tmp_path, {"": text})
    monkeypatch.setenv("KIT_CACHE", str(tmp_path / "cache"))
    command = [sys.executable, "-m", "kit", "build", f"{file}:make", "--input", "64", "--json"]
    command += ["--quantize", "none", "--format", "onnx", "-o", str(tmp_path / "out")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert done.returncode == code, done.stderr
    assert "Traceback" not in done.stderr
    if code == 0:
        assert json.loads(done.stdout)["parameters"] > 0
    else:
        (sentence,) = [line for line in done.stderr.splitlines() if line.startswith("kit: ")]
        assert error_text in sentence
        assert not (tmp_path / "out").exists()
