"""Text from outside, made fit to be shown.

Names of devices and files, answers of servers, messages of runners and of models: whoever
chooses them could otherwise clear the screen, set the terminal's title, or turn around the
reading order of what stands beside them.
"""

from __future__ import annotations

import re
import unicodedata

REPLACEMENT = "\N{REPLACEMENT CHARACTER}"
# Control characters, lone surrogates, code points without a character, separators of lines; and
# format characters, of which some are invisible and some turn the reading order around.
_UNFIT = {"Cc", "Cs", "Cn", "Cf", "Zl", "Zp"}
# Part of how some languages and emoji are written.
_JOINERS = "\N{ZERO WIDTH JOINER}\N{ZERO WIDTH NON-JOINER}"
_BREAKS = re.compile(r"[^\S\u00a0]+")  # white space that may be broken


def printable(text: str) -> str:
    """Return text with its lines and tabs, and U+FFFD for whatever is no printed character."""
    if text.isprintable():
        return text
    return "".join(_fit(letter) for letter in text)


def one_line(text: str) -> str:
    """Return text on one line, with white space that may be broken as one space."""
    return printable(_BREAKS.sub(" ", text).strip())


def _fit(letter: str) -> str:
    if letter in "\n\t" or letter in _JOINERS:
        return letter
    return REPLACEMENT if unicodedata.category(letter) in _UNFIT else letter
