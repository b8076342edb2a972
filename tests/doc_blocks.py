"""Code blocks of the pages, and the commands in them.

An indented block holds commands and nothing else; `console` has commands after `$` and their
output; everything else is in a fence with its language, `text` for output and drawings.
"""

from __future__ import annotations

import re
import shlex
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
# Written by scripts/reference, scripts/notices and the table of errors.
GENERATED = {"docs/reference/cli.md", "docs/notices.md", "docs/errors.md"}
COMMANDS = "commands"  # language of an indented block

_FENCE = re.compile(r"( *)```(.*)$")
_ITEM = re.compile(r"(?:\d+\.|[-*]) ")
_NOTE = re.compile(r"<!-- test: (.+) -->")
_HEADER = re.compile(r"# (\w+\.py)\n")
# They separate commands, and are not words of a command.
_SEPARATORS = {"|", "||", "&&", ";", "&"}


@dataclass(frozen=True)
class Block:
    """A code block.

    Attributes:
        page: path below the repository's root.
        line: number of its first line in the page.
        language: of its fence, or `COMMANDS`.
        text: with line ends.
        note: of a comment `<!-- test: NOTE -->` above it.
    """

    page: str
    line: int
    language: str
    text: str
    note: str = ""

    def __str__(self) -> str:
        return f"{self.page}:{self.line}"

    @property
    def file(self) -> str | None:
        """The name of the file that the block shows, from a comment in its first line."""
        header = _HEADER.match(self.text)
        return header and header[1]


@dataclass(frozen=True)
class Command:
    """A command of a block: the words of a program, and of the program whose output it reads."""

    block: Block
    line: str
    words: tuple[str, ...]
    source: tuple[str, ...] = field(default=())


@cache
def list_blocks() -> tuple[Block, ...]:
    """Return the code blocks of all pages that are not generated."""
    pages = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]
    named = {page.relative_to(ROOT).as_posix(): page for page in pages}
    return tuple(
        block
        for name, page in named.items()
        if name not in GENERATED
        for block in read_blocks(name, page.read_text(encoding="utf-8"))
    )


def list_language(language: str) -> list[Block]:
    """Return the blocks of a language."""
    return [block for block in list_blocks() if block.language == language]


def read_blocks(page: str, text: str) -> Iterator[Block]:
    """Yield the code blocks of a page."""
    lines = text.splitlines()
    at, base, note = 0, 0, ""  # base: indentation of the list item's text
    while at < len(lines):
        line, start = lines[at], at
        if line and not line.startswith(" "):
            base = 4 if _ITEM.match(line) else 0
        at += 1
        if fence := _FENCE.match(line):
            end = f"{fence[1]}```"
            while lines[at] != end:
                at += 1
            inner, language = lines[start + 1 : at], fence[2]
            at += 1
        elif line.startswith(" " * (base + 4)) and not lines[start - 1].strip():
            while at < len(lines) and lines[at].startswith(" " * (base + 4)):
                at += 1
            inner, language = lines[start:at], COMMANDS
        else:
            found = _NOTE.fullmatch(line)
            note = found[1] if found else note if not line else ""
            continue
        cut = len(fence[1]) if fence else base + 4
        yield Block(page, start + 1, language, "".join(f"{one[cut:]}\n" for one in inner), note)
        note = ""


def list_commands(block: Block) -> Iterator[Command]:
    """Yield the commands of a block; none if its language has no commands."""
    if block.language not in (COMMANDS, "console"):
        return
    for line in block.text.replace("\\\n", " ").splitlines():
        typed = line.removeprefix("$ ")
        if typed == line and block.language == "console":
            continue  # output
        yield from (Command(block, typed, *words) for words in split_line(typed))


def split_line(line: str) -> Iterator[tuple[tuple[str, ...], tuple[str, ...]]]:
    """Yield the words of each program of a line, and of the program whose output it reads.

    If a line has `$(…)`, which keeps or evaluates the output of a command, it is that command.
    """
    inner = re.search(r"\$\((.+)\)", line)
    lexer = shlex.shlex(inner[1] if inner else line, posix=True, punctuation_chars="|&;<>")
    lexer.whitespace_split = True
    words: list[str] = []
    source: tuple[str, ...] = ()
    for word in [*lexer, ";"]:
        if word not in _SEPARATORS:
            words.append(word)
        elif words:
            yield _unwrap(words), source
            source = tuple(words) if word == "|" else ()
            words = []


def _unwrap(words: list[str]) -> tuple[str, ...]:
    """Return the words of the program that torchrun starts, and others unchanged."""
    return tuple(words[words.index("-m") + 1 :] if words[0] == "torchrun" else words)
