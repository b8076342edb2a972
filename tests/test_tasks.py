"""Every registered task keeps what `kit.tasks.interface.Task` promises."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest

from kit import tasks
from kit.errors import UnknownName
from kit.signature import Samples, Signature, TensorSpec
from kit.tasks.interface import Task

KNOWN = {"agreement", "sqnr_db", "max_abs", "cosine"}
NAMES = tasks.list_tasks()
SPEC = TensorSpec(name="y", shape=(1, 4))


def answers(*rows: list[float]) -> Samples:
    return Samples((SPEC,), (np.array(rows, np.float32),))


RIGHT = answers([4, 1, 0, 0], [0, 3, 1, 0])


@pytest.mark.parametrize("name", NAMES)
def test_a_task_has_a_description(name):
    task = tasks.get_task(name)
    assert isinstance(task, Task)
    assert task.name == name
    assert task.summary
    assert not task.summary.endswith(".")
    assert task.sample.isalpha()
    assert task.threshold_names <= KNOWN
    assert "sqnr_db" in task.threshold_names


@pytest.mark.parametrize("name", NAMES)
def test_equal_answers_pass_and_others_do_not(name):
    task = tasks.get_task(name)
    (equal,) = task.compare("float reference", RIGHT, RIGHT, {"sqnr_db": 200.0, "max_abs": 0.0})
    assert equal.passed
    assert (equal.sqnr_db, equal.max_abs, equal.images) == (None, 0, 2)
    other = answers([0, 1, 4, 0], [0, 3, 1, 0])
    (far,) = task.compare("float reference", RIGHT, other, {"sqnr_db": 20.0})
    assert not far.passed
    (unlimited,) = task.compare("float reference", RIGHT, other, {})
    assert unlimited.passed
    (broken,) = task.compare("float reference", RIGHT, answers([np.nan] * 4, [0, 3, 1, 0]), {})
    assert not broken.passed
    assert task.describe_answers(RIGHT)


@pytest.mark.parametrize("name", NAMES)
def test_a_tally_does_not_depend_on_chunks(name):
    task = tasks.get_task(name)
    signature = Signature(inputs=(SPEC,), outputs=(SPEC,))
    other = answers([3, 1, 0, 0], [0, 3, 2, 0])
    whole, parts = (task.start_tally(signature) for _ in range(2))
    whole.add(other, RIGHT, [None, None])
    for index in range(2):
        parts.add(other.take([index]), RIGHT.take([index]), [None])
    assert whole.measure() == parts.measure()
    wide = RIGHT.arrays[0].astype(np.float64)
    noise = ((wide - other.arrays[0]) ** 2).sum()
    ratio = 10 * np.log10((wide**2).sum() / noise)
    assert whole.measure()["sqnr_db"] == pytest.approx(ratio)
    same = task.start_tally(signature)
    same.add(RIGHT, RIGHT, [None, None])
    assert same.measure()["sqnr_db"] is None


def test_an_unknown_task_is_refused():
    with pytest.raises(UnknownName, match="no task called 'image_classification'") as caught:
        tasks.get_task("image_classification")
    assert "image-classification" in caught.value.hint


def test_naming_tasks_imports_no_runtime():
    code = (
        "import sys; from kit import tasks;"
        "print([tasks.get_task(n).summary for n in tasks.list_tasks()]);"
        "assert not {'torch', 'onnx', 'onnxruntime', 'PIL'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)
