"""Getting a runtime ready before the clock starts: import it, and set its threads.

Returned is the number of threads that the runtime itself reports, where it can be asked;
`Process.cpu_ns` shows what it really used.
"""

from __future__ import annotations

import importlib
import importlib.util
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType


def prepare(runtime: str, threads: int) -> int | None:
    """Import a runtime and limit it to `threads`.

    Args:
        runtime: name of the distribution, see `kit.formats._contract.Info`.
        threads: at most so many at work.

    Returns:
        What the runtime reports, None if it has no such call.

    Raises:
        ImportError: it is not installed.
    """
    if runtime == "torch":
        return _torch(threads)
    if runtime == "executorch":
        return _executorch(threads)
    if runtime != "onnxruntime":  # that one takes the number when the file is opened
        _limit_cores(threads)
    importlib.import_module(runtime.replace("-", "_"))
    return None


def _torch(threads: int) -> int:
    import torch
    import torch.export
    import torch.jit.mobile

    torch.set_num_threads(threads)
    return int(torch.get_num_threads())


def _executorch(threads: int) -> int:
    """Make the thread pool anew: the first one has a thread for each core."""
    import torch

    torch.set_num_threads(threads)
    with _without_exporter():
        import executorch.runtime  # noqa: F401
        from executorch.extension.pybindings import portable_lib

    portable_lib._unsafe_reset_threadpool(threads)
    return int(portable_lib._threadpool_get_thread_count())


@contextmanager
def _without_exporter() -> Iterator[None]:
    """Spare the import of `executorch.exir`, which is 9 of 12 seconds.

    The runtime imports the whole exporter for one class of warnings. A stand-in package
    lets it find that one file, and is gone afterwards.
    """
    name = "executorch.exir"
    spec = importlib.util.find_spec("executorch")
    if name in sys.modules or spec is None:
        yield
        return
    stand_in = ModuleType(name)
    stand_in.__path__ = [str(Path(p, "exir")) for p in spec.submodule_search_locations or ()]
    sys.modules[name] = stand_in
    try:
        yield
    finally:
        sys.modules.pop(name, None)
        sys.modules.pop(f"{name}._warnings", None)


def _limit_cores(threads: int) -> None:
    """Leave so many cores to this process; whatever the runtime starts inherits it."""
    if hasattr(os, "sched_setaffinity"):
        allowed = sorted(os.sched_getaffinity(0))
        os.sched_setaffinity(0, allowed[:threads])
