"""The garbage collector is paused during imports, and restored afterwards."""

from __future__ import annotations

import gc
import subprocess
import sys

import pytest

from kit.garbage import pause_collection


@pytest.mark.parametrize("enabled", [True, False])
def test_the_collector_is_restored_after_imports(enabled):
    try:
        (gc.enable if enabled else gc.disable)()
        with pytest.raises(ZeroDivisionError), pause_collection():
            assert not gc.isenabled()
            raise ZeroDivisionError
        assert gc.isenabled() == enabled
    finally:
        gc.enable()


WATCH = """
import gc, sys, types
sys.modules["torch"] = types.ModuleType("torch")
sys.argv[1:] = ["list"]
from kit import cli
import atexit
atexit.register(lambda: print(gc.get_freeze_count() > 1000, gc.isenabled(), file=sys.stderr))
cli.run_command()
"""


def test_a_command_that_imported_torch_ends_without_a_search_of_all_objects():
    done = subprocess.run([sys.executable, "-c", WATCH], capture_output=True, text=True, check=True)
    assert done.stderr == "True True\n"
    assert "mobilenet_v2" in done.stdout
