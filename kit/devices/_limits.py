"""How much kit takes of a device, an adb server or a runner, which may send without end.

Each limit is far above what a working one sends. Times have limits of their own: see
`kit.devices._patience` for transfers and `kit.runners.drive` for runners.
"""

from __future__ import annotations

MIB = 1 << 20

ANSWER_BYTES = 8 * MIB  # of one command: its stdout and stderr together
LOOK_BYTES = 6 * MIB  # of a job's stdout that is taken at one look
LINE_BYTES = 4 * MIB  # of a job's line; two seconds of samples of the smallest model take 3.3
BACKLOG_BYTES = 64 * MIB  # of a job's stdout that may wait to be read
STDERR_BYTES = 64 * MIB  # of a job on this machine, where it fills the temporary folder
DEVICES = 256  # that an adb server may list
TEXT_LETTERS = 300  # of a text from outside, in a message or a record


def shorten(text: str) -> str:
    """Return a text from outside, cut to what a message or a record has room for."""
    return text if len(text) <= TEXT_LETTERS else text[: TEXT_LETTERS - 1] + "…"
