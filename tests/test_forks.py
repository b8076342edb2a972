"""A helper imports once and forks; failures stay isolated, and no process is left behind."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import psutil
import pytest

import kit
from kit import formats, workers
from kit.forks import parent
from kit.pipeline import lowering

pytestmark = pytest.mark.cold_start

ROOT = Path(__file__).parents[1]


@pytest.fixture
def place(tmp_path, monkeypatch):
    """A folder whose modules children can import."""
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(ROOT), str(tmp_path)]))
    return tmp_path


def task(place, name, code):
    """Return a task that runs a module with this content."""
    (place / f"{name}.py").write_text(code)
    return workers.ChildTask(name, [sys.executable, "-m", name, "word"], place / f"{name}.log")


def run(place, tasks, modules=("shared",), environment=None):
    """Run tasks by a helper that imports `shared`; return who ended well, and the errors."""
    (place / "shared.py").write_text(
        "import os; NUMBER = 7; PID = os.getpid(); print('imported', PID, flush=True)"
    )
    done: list[str] = []
    with (
        parent.Helper(modules, place / "helper.log", {}) as helper,
        workers.Pool(tasks, 2, environment or {}, helper.start) as pool,
    ):
        errors = pool.wait(done.append)
    assert not list_processes(place)
    return sorted(done), {name: error.message for name, error in errors.items()}


def list_processes(place):
    """Return the processes that use this folder."""
    result = []
    for process in psutil.process_iter():
        with suppress(psutil.Error):
            if (
                process.pid != os.getpid()
                and process.status() != psutil.STATUS_ZOMBIE
                and str(place) in process.environ().get("PYTHONPATH", "")
            ):
                result.append(process)
    return result


def wait_for(condition):
    deadline = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


SAYS = """
import os, shared, sys
print(sys.argv[1], os.environ["COLOUR"], os.getpid() != shared.PID, __name__, os.getpgid(0))
os.system("echo grandchild")
shared.NUMBER += 1
print(shared.NUMBER)
"""


def test_forks_share_what_is_imported_and_nothing_else(place):
    tasks = [task(place, name, SAYS) for name in ("a", "b", "c")]
    assert run(place, tasks, environment={"COLOUR": "green"}) == (["a", "b", "c"], {})
    groups = set()
    for one in tasks:
        first, second, third = one.log.read_text().splitlines()
        assert first.startswith("word green True __main__ ")
        assert second in ("grandchild", "8")
        assert {second, third} == {"grandchild", "8"}
        groups.add(first.split()[-1])
    assert len(groups) == 3
    (line,) = (place / "helper.log").read_text().splitlines()
    assert line.startswith("imported ")


@pytest.mark.parametrize(
    ("code", "words"),
    [
        ("raise SystemExit(3)", "ended with exit code 3"),
        ("import sys; sys.exit('in words')", "ended with exit code 1: in words"),
        ("import os; os.abort()", "was killed by signal 6"),
        ("import os; os.kill(os.getpid(), 11)", "was killed by signal 11"),
        ("import os; os.kill(os.getpid(), 9)", "was killed by signal 9"),
        ("raise ValueError('no such operator')", "code 1: ValueError: no such operator"),
    ],
)
def test_a_fork_that_fails_is_named_and_the_others_go_on(place, code, words):
    tasks = [task(place, "good", "import time; time.sleep(0.5)"), task(place, "bad", code)]
    tasks.append(task(place, "later", "import shared; assert shared.NUMBER == 7"))
    done, errors = run(place, tasks)
    assert done == ["good", "later"]
    assert errors.keys() == {"bad"}
    assert errors["bad"].startswith("lowering to bad ")
    assert words in errors["bad"]


THREAD = "import threading as t, time; t.Thread(target=time.sleep, args=(9,), daemon=True).start()"


@pytest.mark.parametrize(
    ("content", "text"),
    [
        ("import os; os.abort()", ""),
        ("raise ImportError('no such library')", "no such library"),
        (THREAD, "started a thread"),
    ],
)
def test_without_a_helper_every_task_is_a_process_that_imports_by_itself(place, content, text):
    (place / "broken.py").write_text(content)
    tasks = [task(place, name, "import shared, os; assert shared.PID == os.getpid()")
             for name in ("a", "b")]  # fmt: skip
    assert run(place, tasks, ["broken"]) == (["a", "b"], {})
    assert text in (place / "helper.log").read_text()


def test_a_system_that_cannot_fork_has_no_helper(place, monkeypatch):
    monkeypatch.delattr(os, "fork")
    one = task(place, "a", "import shared, os; assert shared.PID == os.getpid()")
    assert run(place, [one]) == (["a"], {})
    assert not (place / "helper.log").exists()


def test_killing_the_helper_ends_its_forks_and_waiting_tasks_still_run(place):
    waits = "import time; from kit import workers; workers.end_with_parent(); time.sleep(600)"
    one, other, later = (task(place, *words) for words in (("a", waits), ("b", waits), ("c", "")))
    with (
        parent.Helper([], place / "helper.log", {}) as helper,
        workers.Pool([one, other, later], 2, {}, helper.start) as pool,
    ):
        wait_for(lambda: len(list_processes(place)) == 3)
        (process,) = (p for p in list_processes(place) if p.ppid() == os.getpid())
        process.kill()
        done: list[str] = []
        errors = pool.wait(done.append)
        assert not list_processes(place)
    assert done == ["c"]
    messages = [str(errors[name].message) for name in ("a", "b")]
    assert messages == [f"lowering to {name} was killed by signal 9" for name in ("a", "b")]


SLEEPS = """
import subprocess, sys, time
subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
time.sleep(600)
"""


def test_leaving_the_block_ends_forks_and_what_they_started(place):
    tasks = [task(place, name, SLEEPS) for name in ("a", "b")]
    with (
        pytest.raises(KeyboardInterrupt),
        parent.Helper([], place / "helper.log", {}) as helper,
        workers.Pool(tasks, 2, {}, helper.start),
    ):
        wait_for(lambda: len(list_processes(place)) == 5)
        raise KeyboardInterrupt
    wait_for(lambda: not list_processes(place))


def test_leaving_the_block_ends_a_helper_that_imports(place):
    (place / "slow.py").write_text("import time; time.sleep(600)")
    began = time.monotonic()
    with parent.Helper(["slow"], place / "helper.log", {}):
        wait_for(lambda: list_processes(place))
    assert not list_processes(place)
    assert time.monotonic() - began < parent.END_SECONDS


PARENT = """
import sys, time
from pathlib import Path
from kit import workers
from kit.forks import parent
place = Path(sys.argv[1])
tasks = [workers.ChildTask(n, [sys.executable, "-m", n], place / n) for n in sys.argv[3:]]
helper = parent.Helper([sys.argv[2]], place / "helper.log", {})
workers.Pool(tasks, 2, {}, helper.start).__enter__()
time.sleep(600)
"""
IMPORTS = "import time, importlib\nfor _ in range(6000):\n  time.sleep(0.1)\n"
IMPORTS += "  try: import no_such_module\n  except ImportError: pass\n"


@pytest.mark.parametrize(("imported", "processes"), [("json", 5), ("imports", 1)])
def test_a_parent_that_is_killed_leaves_nothing_behind(place, imported, processes):
    (place / "imports.py").write_text(IMPORTS)
    for name in ("a", "b"):
        task(place, name, SLEEPS)
    parent = subprocess.Popen([sys.executable, "-c", PARENT, str(place), imported, "a", "b"])
    wait_for(lambda: len(list_processes(place)) == 1 + processes)
    time.sleep(0.5)
    parent.send_signal(signal.SIGKILL)
    parent.wait()
    wait_for(lambda: not list_processes(place))


@pytest.mark.slow
def test_what_children_import_starts_no_thread_where_there_are_many_cores(place):
    """Otherwise every build would silently run without a helper."""
    recipe = kit.make_recipe("mobilenet_v2", formats=formats.list_formats())
    environment = {**lowering.list_environment(place, 1), "OMP_NUM_THREADS": "8"}
    log = place / "helper.log"
    with parent.Helper(lowering.list_imports(recipe), log, environment) as helper:
        number = helper.request(task(place, "a", "import sys; assert 'torch' in sys.modules"), {})
        while (code := helper.poll(number)) is None:
            time.sleep(0.1)
        assert helper.ready, log.read_text()
    assert code == 0
