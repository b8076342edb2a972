"""Make untrusted text safe to print.

Names of devices and files, answers of servers, messages of runners and models: with control
characters they could clear the screen, set the terminal's title, or reverse the reading order of
the text beside them.
"""

from __future__ import annotations

import re
import unicodedata

REPLACEMENT = "\N{REPLACEMENT CHARACTER}"
# Control characters, lone surrogates, unassigned code points, line and paragraph separators; and
# format characters, some of which are invisible or reverse the reading order.
_UNSAFE = {"Cc", "Cs", "Cn", "Cf", "Zl", "Zp"}
# Some languages and emoji need these format characters.
_JOINERS = "\N{ZERO WIDTH JOINER}\N{ZERO WIDTH NON-JOINER}"
_BREAKS = re.compile(r"[^\S\u00a0]+")  # white space except the no-break space


def make_printable(text: str) -> str:
    """Replace all characters that are not printable, except line feeds and tabs, by U+FFFD."""
    if text.isprintable():
        return text
    return "".join(_replace_unsafe(char) for char in text)


def make_one_line(text: str) -> str:
    """Return printable text on one line: each run of white space becomes one space."""
    return make_printable(_BREAKS.sub(" ", text).strip())


def _replace_unsafe(char: str) -> str:
    if char in "\n\t" or char in _JOINERS:
        return char
    return REPLACEMENT if unicodedata.category(char) in _UNSAFE else char
