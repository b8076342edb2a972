"""Ports for tests that two workers run beside each other."""

from __future__ import annotations

import random
import socket
from collections.abc import Iterator
from contextlib import contextmanager

# Below the range that Linux (32768), other systems and IANA (49152) hand out by themselves.
_ASKED_FOR_ONLY = range(20_000, 32_000)


@contextmanager
def closed() -> Iterator[int]:
    """Hold a port where nothing listens: nobody else is given it meanwhile."""
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        yield int(held.getsockname()[1])


def free() -> int:
    """Return a port to listen on later, which nobody is given in between unless they ask."""
    while True:
        port = random.SystemRandom().choice(_ASKED_FOR_ONLY)
        with socket.socket() as one:
            try:
                one.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
