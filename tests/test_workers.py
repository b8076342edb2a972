"""Children end with the work, whether it succeeds or fails."""

import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import psutil
import pytest

from kit import workers
from kit.errors import BuildError
from kit.pipeline import lowering

OTHERS: set[psutil.Process] = set()


@pytest.fixture(autouse=True)
def earlier():
    """Other tests may have children that live as long as the session."""
    OTHERS.clear()
    OTHERS.update(alive())


def task(tmp_path, name, code):
    return workers.ChildTask(name, [sys.executable, "-c", code], tmp_path / f"{name}.log")


def test_all_children_run_with_the_environment(tmp_path):
    code = "import os; print(os.environ['COLOUR'])"
    done = []
    tasks = [task(tmp_path, n, code) for n in "abc"]
    with workers.Pool(tasks, 2, {"COLOUR": "green"}) as pool:
        pool.wait(done.append)
    assert sorted(done) == ["a", "b", "c"]
    assert (tmp_path / "c.log").read_text().strip() == "green"


@pytest.mark.parametrize(
    ("code", "words"),
    [
        ("raise SystemExit(3)", "exit code 3"),
        ("import os; os.kill(os.getpid(), 9)", "killed by signal 9"),
        ("raise ValueError('no such operator')", "ValueError: no such operator"),
    ],
)
def test_a_failed_child_is_named_and_the_others_continue(tmp_path, code, words):
    done: list[str] = []
    good = task(tmp_path, "good", "import time; time.sleep(0.5)")
    with workers.Pool([good, task(tmp_path, "bad", code)], 2, {}) as pool:
        errors = pool.wait(done.append)
    assert done == ["good"]
    assert list(errors) == ["bad"]
    assert isinstance(errors["bad"], BuildError)
    assert words in errors["bad"].message
    assert not alive()


def test_a_child_ends_when_its_parent_is_killed(tmp_path):
    child = "from kit import workers; import time; workers.end_with_parent(); time.sleep(600)"
    parent = (
        "import sys, os, signal, time; from pathlib import Path; from kit import workers\n"
        f"task = workers.ChildTask('a', [sys.executable, '-c', {child!r}], Path(sys.argv[1]))\n"
        "pool = workers.Pool([task], 1, {}).__enter__()\n"
        "print(pool._running[0][1].pid, flush=True)\n"
        "time.sleep(1); os.kill(os.getpid(), signal.SIGKILL)"
    )
    words = [sys.executable, "-c", parent, str(tmp_path / "log")]
    done = subprocess.run(words, cwd=Path(__file__).parents[1], capture_output=True, text=True)
    assert done.returncode == -signal.SIGKILL
    process = int(done.stdout)
    with suppress(psutil.NoSuchProcess):
        psutil.Process(process).wait(timeout=30)
    assert not psutil.pid_exists(process)


def test_grandchildren_end_too(tmp_path):
    code = (
        "import subprocess, sys, time;"
        "subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)']); time.sleep(600)"
    )
    seen = []
    with (
        pytest.raises(KeyboardInterrupt),
        workers.Pool([task(tmp_path, "parent", code)], 1, {}),
    ):
        wait_for(lambda: len(alive()) == 2)
        seen += alive()
        raise KeyboardInterrupt
    wait_for(lambda: not any(p.is_running() and p.status() != "zombie" for p in seen))


def wait_for(condition):
    deadline = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def alive():
    result = []
    for process in psutil.Process(os.getpid()).children(recursive=True):
        with suppress(psutil.NoSuchProcess):
            if process.status() != psutil.STATUS_ZOMBIE and process not in OTHERS:
                result.append(process)
    return result


def test_width_is_limited_by_cores_and_memory():
    assert workers.choose_width(8, 1) == min(8, len(os.sched_getaffinity(0)))
    assert workers.choose_width(8, 2**60) == 1
    assert workers.choose_width(1, 1) == 1


@pytest.fixture
def one_core():
    """Restrict this process to one core, as a container may."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(before)})
    yield
    os.sched_setaffinity(0, before)


def test_children_share_the_cores_that_this_process_may_use(one_core, tmp_path, monkeypatch):
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    assert workers.count_cores() == 1
    assert lowering.list_environment(tmp_path, 1)["OMP_NUM_THREADS"] == "1"


@pytest.mark.parametrize(("given", "used"), [("3", "3"), ("0", "1"), ("many", "1")])
def test_children_take_the_users_number_of_threads(given, used, one_core, tmp_path, monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", given)
    assert lowering.list_environment(tmp_path, 2)["OMP_NUM_THREADS"] == used
