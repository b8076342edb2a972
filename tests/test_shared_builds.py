"""One worker makes what several read."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest


def test_concurrent_callers_wait_for_the_first(once):
    made = []

    def make(folder: Path) -> None:
        made.append(folder)
        time.sleep(0.2)
        (folder / "whole").touch()

    with ThreadPoolExecutor(3) as pool:
        result = list(pool.map(lambda _: once("waited-for", make), range(3)))
    assert len(made) == 1
    assert len(set(result)) == 1
    assert [p.name for p in result[0].iterdir()] == ["whole"]


def test_a_failed_build_leaves_nothing_and_is_retried(once):
    def fail(folder: Path) -> None:
        (folder / "half").touch()
        raise OSError("no space")

    with pytest.raises(OSError, match="no space"):
        once("tried-again", fail)
    result = once("tried-again", lambda folder: (folder / "whole").touch())
    assert [p.name for p in result.iterdir()] == ["whole"]
