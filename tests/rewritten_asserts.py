"""Rewrite the asserts of all tests once, before pytest's workers start.

pytest rewrites a test file when it imports it, and caches the result beside it. In a fresh checkout
all workers of pytest-xdist import all files at the same time, so that each rewrites every file:
15 CPU seconds per worker.
"""

from __future__ import annotations

import multiprocessing
import os
import sys
from pathlib import Path

import pytest
from _pytest.assertion import rewrite


def rewrite_all(config: pytest.Config, files: list[Path]) -> None:
    """Fill the caches of test files, in as many processes as there are cores."""
    if sys.platform == "linux" and not sys.dont_write_bytecode:
        cores = len(os.sched_getaffinity(0))
        # A configuration cannot be pickled; a fork has it.
        with multiprocessing.get_context("fork").Pool(cores, _take, (config,)) as pool:
            pool.map(_rewrite, files, chunksize=1)


_taken: list[pytest.Config] = []


def _take(config: pytest.Config) -> None:
    _taken.append(config)


def _rewrite(file: Path) -> None:
    """Do what `AssertionRewritingHook.exec_module` does, without the execution."""
    folder = rewrite.get_cache_dir(file)
    cached = folder / f"{file.stem}{rewrite.PYC_TAIL}"
    if rewrite.try_makedirs(folder) and rewrite._read_pyc(file, cached) is None:
        source, code = rewrite._rewrite_test(file, _taken[0])
        rewrite._write_pyc(_taken[0].stash[rewrite.assertstate_key], code, source, cached)
