"""When Python's cyclic garbage collector runs.

Importing torch and torchvision makes about a million objects that live as long as the process.
The collector searches them repeatedly while they are made, and once more when the process ends,
which takes 1 to 3 of 6 CPU seconds (docs/speed.md).
"""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def pause_collection() -> Iterator[None]:
    """Pause the collector, while large packages are imported or in a process that ends soon."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


def skip_last_collection() -> None:
    """Leave all objects out of the collection at the end of this process."""
    gc.freeze()
