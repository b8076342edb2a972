"""Limits on the size of output from devices, adb servers and runners.

Each is far above what a working one sends. For timeouts see `kit.devices.timeouts`
(transfers) and `kit.runners.drive` (runners).
"""

from __future__ import annotations

MIB = 1 << 20

ANSWER_BYTES = 8 * MIB  # of one command: its stdout and stderr together
LOOK_BYTES = 6 * MIB  # of a job's stdout in one poll
LINE_BYTES = 4 * MIB  # of a job's line; two seconds of samples of the smallest model take 3.3
BACKLOG_BYTES = 64 * MIB  # of a job's unread stdout
STDERR_BYTES = 64 * MIB  # of a job on this machine, where it is kept in the temporary folder
DEVICES = 256  # in an adb server's list
TEXT_LETTERS = 300  # of external text in a message or a record


def shorten(text: str) -> str:
    """Return external text, truncated for a message or a record."""
    return text if len(text) <= TEXT_LETTERS else text[: TEXT_LETTERS - 1] + "…"
