"""Public functions are named by what they do: a verb first, then a noun where one is needed."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[1]

# A new function may bring a new verb: add it here, in its place in the alphabet.
_VERBS = """
    abandon abbreviate accept adapt add advise apply arrange ask assemble assess assume attach
    augment bound break build calibrate call cast check choose clean clear collect compare
    compensate compile complete compose compute confirm convert copy correct count create crop
    decode decompose defer dequantize derive describe divert document draw drop dump echo emulate
    encode end enforce escape estimate evaluate examine explain export fetch fill find fingerprint
    fit fix flush fold forget format gather get give group guard hash hold identify ignore import
    index install join judge keep lay leave list load locate lock log lower make map mark match
    measure merge move name narrow number open optimize order pack pair parse patch pause place
    predict prepare print pulse put quantize quote raise rank read recognize recover refer refuse
    remove render repair replace report require reset resize resolve restore round run sample save
    scale scan seal search select send separate set shorten show sign silence skip split spread
    stack stage standardize start store suggest sweep tabulate take thin train translate transpose
    unfold uninstall unpack use verify wait warn widen write
"""
VERBS = frozenset(_VERBS.split())
# Functions that answer yes or no read as a statement about their argument.
_PREDICATES = "can chooses has holds is keeps may needs observes owns saturates shares"
PREDICATES = frozenset(_PREDICATES.split())
# Conversions as Python's own libraries name them, and the entry of a program.
OTHERS = frozenset({"as", "from", "main", "to"})


def list_functions(source: str) -> Iterator[str]:
    """Yield the names of the public functions of a module; click names those of commands."""
    for node in ast.parse(source).body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            decorators = " ".join(map(ast.unparse, node.decorator_list))
            is_command = any(word in decorators for word in ("click.", ".command(", ".group("))
            if not node.name.startswith("_") and not is_command:
                yield node.name


def find_nouns(source: str) -> list[str]:
    """Return the names of public functions that begin with no verb."""
    known = VERBS | PREDICATES | OTHERS
    return [name for name in list_functions(source) if name.split("_")[0] not in known]


def read_sources() -> dict[str, str]:
    files = sorted((ROOT / "kit").rglob("*.py"))
    return {str(file.relative_to(ROOT)): file.read_text(encoding="utf-8") for file in files}


def test_public_functions_begin_with_a_verb():
    found = {
        path: nouns for path, source in read_sources().items() if (nouns := find_nouns(source))
    }
    assert found == {}


def test_no_verb_is_listed_that_no_function_has():
    """So that the list stays one of verbs that kit has chosen, and not a dictionary."""
    names = [name for source in read_sources().values() for name in list_functions(source)]
    assert {name.split("_")[0] for name in names} == VERBS | PREDICATES | OTHERS


def test_a_noun_is_reported():
    source = """
def cosine(one, other): ...
async def median_ms(samples): ...
def compute_cosine(one, other): ...
def is_text(path): ...
def _cosine(one, other): ...
class A:
    def cosine(self): ...
@click.command("list")
def command(): ...
@command.command("clear")
def everything(): ...
"""
    assert find_nouns(source) == ["cosine", "median_ms"]
