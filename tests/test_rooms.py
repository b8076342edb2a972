"""The one-way rule of the rooms, and where heavy packages may be imported.

The source is parsed with `ast`, so imports inside functions count too.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]

# A room may import the lines above its own; rooms of one line never import each other.
LEVELS = (
    ("error_text",),
    ("errors", "files", "text", "documents", "garbage", "progress"),
    ("guard", "logs", "notice_values", "streams", "user_cache", "varying", "wheels"),
    ("signature",),
    ("arrays", "artifact_key", "measurement_notices", "network", "registry"),
    ("notice_catalogue",),
    ("notices",),
    ("model_source", "no_bundle"),
    ("model_name",),
    ("detection", "recipe"),
    ("encodings", "manifest"),
    ("bundles", "lowering_job"),
    ("results",),
    ("models", "images", "quantize", "formats", "devices"),
    ("algorithms", "corrections", "runners"),
    ("calibration", "comparison", "precisions", "recipe_input", "workers"),
    ("build_inputs",),
    ("forks", "size_checks", "tasks"),
    (
        "cache",
        "lower",
        "bench",
        "report",
        "accuracy",
        "cost",
        "portability",
    ),
    ("analysis", "app", "prediction", "show", "table"),
    ("doctor", "pipeline"),
    ("json_outputs", "terminal"),
    ("commands",),
    ("cli",),
    ("__main__",),
)
LEVEL = {room: number for number, rooms in enumerate(LEVELS) for room in rooms}

HEAVY = {
    "executorch",
    "matplotlib",
    "onnx",
    "onnxruntime",
    "onnxscript",
    "pycocotools",
    "scipy",
    "sklearn",
    "timm",
    "torch",
    "torchao",
    "torchvision",
    "transformers",
}
# Subclasses of torch classes import torch at the top; such a file is itself heavy.
HEAVY_FILES = {"kit.quantize.fake_quantizers", "kit.quantize.simulation"}
# What `kit --help` and `kit COMMAND --help` import: nothing beyond these at the top.
LIGHT = {"click", "kit"}
LIGHT_ROOMS = {
    *("kit", "cli", "commands", "error_text", "errors", "garbage", "streams", "terminal", "text"),
    "__main__",
}

SOURCES = sorted((ROOT / "kit").rglob("*.py"))
FRONT = ROOT / "kit" / "__init__.py"  # names, for type checkers, what it hands out lazily


def module_of(path: Path) -> str:
    """Return ``kit.formats.runtimes`` for ``kit/formats/runtimes.py``."""
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


MODULES = {module_of(path) for path in SOURCES}


def room_of(module: str) -> str:
    """Return the room of a module; ``kit`` itself, which holds the version, is one."""
    return module.split(".")[1] if "." in module else "kit"


def imports(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """Yield line and module of each import below a node."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            if node.level:
                raise AssertionError(f"line {node.lineno}: a relative import hides its room")
            assert node.module is not None
            for alias in node.names:
                member = f"{node.module}.{alias.name}"
                yield node.lineno, member if member in MODULES else node.module


def broken_rules(module: str, source: str) -> list[str]:
    """Return one line of text for each import that the rule forbids."""
    own = room_of(module)
    result = []
    for line, target in imports(ast.parse(source)):
        room = room_of(target)
        if target.split(".")[0] != "kit" or room in (own, "kit"):
            continue
        where = f"{module.replace('.', '/')}.py:{line} imports {target}"
        if room not in LEVEL:
            result.append(f"{where}: the room {room!r} has no place in LEVELS")
        elif LEVEL[room] == LEVEL[own]:
            result.append(f"{where}: {own} and {room} are siblings, which never import each other")
        elif LEVEL[room] > LEVEL[own]:
            result.append(f"{where}: {room} stands above {own}; imports only go down")
    return result


def private_imports(module: str, source: str) -> list[str]:
    """Return one line of text for each private module of another room that is imported."""
    result = []
    for line, target in imports(ast.parse(source)):
        parts = target.split(".")
        private = [at for at, part in enumerate(parts) if part.startswith("_")]
        if parts[0] != "kit" or target not in MODULES or not private:
            continue
        if not module.startswith(".".join(parts[: private[0]])) and parts[-1] != "__main__":
            result.append(f"{module.replace('.', '/')}.py:{line} imports {target}")
    return result


def top_level(tree: ast.Module) -> Iterator[ast.stmt]:
    """Yield the statements that run when a module is imported."""
    waiting: list[ast.AST] = list(tree.body)
    while waiting:
        node = waiting.pop()
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            waiting += node.orelse
        elif isinstance(node, ast.Import | ast.ImportFrom):
            yield node
        elif not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            blocks = ast.stmt | ast.ExceptHandler | ast.match_case
            waiting += [c for c in ast.iter_child_nodes(node) if isinstance(c, blocks)]


def heavy_at_top(module: str, source: str) -> list[str]:
    """Return one line of text for each package that is imported too early."""
    room = room_of(module)
    result = []
    for node in top_level(ast.parse(source)):
        for line, target in imports(node):
            package = target.split(".")[0]
            where = f"{module.replace('.', '/')}.py:{line} imports {target} at the top"
            if module not in HEAVY_FILES and (package in HEAVY or target in HEAVY_FILES):
                result.append(f"{where}: import it in the function that needs it")
            elif room in LIGHT_ROOMS and not _is_light(target):
                result.append(f"{where}: `kit --help` would load it")
    return result


def _is_light(target: str) -> bool:
    import sys

    package = target.split(".")[0]
    own = package == "kit" and room_of(target) in LIGHT_ROOMS
    return own or package in LIGHT - {"kit"} or package in sys.stdlib_module_names


def test_every_room_has_a_place():
    rooms = {room_of(module) for module in MODULES} - {"kit"}
    assert rooms == set(LEVEL), "kit/ and LEVELS in this file name different rooms"


@pytest.mark.parametrize("path", [p for p in SOURCES if p != FRONT], ids=module_of)
def test_rooms_import_only_lower_rooms(path):
    result = broken_rules(module_of(path), path.read_text(encoding="utf-8"))
    assert not result, "\n" + "\n".join(result)


@pytest.mark.parametrize("path", [p for p in SOURCES if p != FRONT], ids=module_of)
def test_private_modules_stay_in_their_room(path):
    result = private_imports(module_of(path), path.read_text(encoding="utf-8"))
    assert not result, "\n" + "\n".join(result)


def private_names(source: str) -> set[str]:
    """Return the private names of kit that a file uses."""
    tree, modules, names = ast.parse(source), set(), set()
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "kit":
            for alias in node.names:
                full = f"{node.module}.{alias.name}"
                modules.add(alias.asname or alias.name)
                names |= {full} if "._" in full.replace("__", "") else set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
            name = node.attr
            if node.value.id in modules and name.startswith("_") and not name.startswith("__"):
                names.add(f"{node.value.id}.{name}")
    return names


def test_tests_use_few_private_names():
    """A test of a private name breaks on a rewrite with the same behaviour."""
    files = sorted((ROOT / "tests").rglob("*.py"))
    uses = {f.name: names for f in files if (names := private_names(f.read_text("utf-8")))}
    assert len(uses) <= len(files) / 10, uses
    assert private_names("from kit.models import _sources\n_sources.x") == {"kit.models._sources"}
    assert private_names("from kit import cost\ncost._parse") == {"cost._parse"}


def test_the_rule_on_private_modules_is_reported():
    (text,) = private_imports("kit.bench.plan", "from kit.quantize import _match")
    assert "kit/bench/plan.py:1 imports kit.quantize._match" in text
    assert private_imports("kit.quantize.graph", "from kit.quantize import _match") == []


def test_a_public_class_name_exists_once():
    places: dict[str, list[str]] = {}
    for path in SOURCES:
        for node in ast.parse(path.read_text(encoding="utf-8")).body:
            if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                places.setdefault(node.name, []).append(module_of(path))
    assert {name: result for name, result in places.items() if len(result) > 1} == {}


def annotated_as(tree: ast.AST, kind: str) -> Iterator[str]:
    """Yield the names of parameters, fields and variables of a type."""
    for node in ast.walk(tree):
        annotation = getattr(node, "annotation", None)
        if annotation is None or kind not in ast.unparse(annotation).split(" | "):
            continue
        if isinstance(node, ast.arg):
            yield node.arg
        elif isinstance(node, ast.AnnAssign):
            yield ast.unparse(node.target)


def test_recipes_have_one_name_and_are_used_in_few_rooms():
    """These rooms are all that a reader has to follow."""
    names, rooms = set(), set()
    for path in SOURCES:
        result = set(annotated_as(ast.parse(path.read_text(encoding="utf-8")), "Recipe"))
        names |= result
        rooms |= {room_of(module_of(path))} if result else set()
    assert names == {"recipe"}
    assert {"pipeline", "lowering_job", "manifest"} <= rooms
    assert len(rooms) <= 12, sorted(rooms)


@pytest.mark.parametrize("path", SOURCES, ids=module_of)
def test_no_heavy_package_at_the_top(path):
    result = heavy_at_top(module_of(path), path.read_text(encoding="utf-8"))
    assert not result, "\n" + "\n".join(result)


def test_package_imports_nothing_of_kit_when_imported():
    tree = ast.parse(FRONT.read_text(encoding="utf-8"))
    early = [t for node in top_level(tree) for _, t in imports(node) if t.startswith("kit")]
    assert early == []


@pytest.mark.parametrize(
    ("module", "source", "message"),
    [
        (
            "kit.formats.onnx",
            "from kit.quantize import static",
            "formats and quantize are siblings",
        ),
        (
            "kit.bundles.loading",
            "def f():\n    from kit import comparison",
            "loading.py:2 imports kit.comparison",
        ),
        ("kit.errors", "import kit.recipe", "recipe stands above errors"),
        ("kit.cli", "if x:\n    from kit.attic import y", "'attic' has no place"),
    ],
)
def test_rule_is_reported(module, source, message):
    (text,) = broken_rules(module, source)
    assert message in text


def test_rule_refuses_relative_imports():
    with pytest.raises(AssertionError, match="line 1: a relative import"):
        broken_rules("kit.formats.onnx", "from ..quantize import static")


@pytest.mark.parametrize(
    ("module", "source", "count"),
    [
        ("kit.formats.onnx", "import torch.fx", 1),
        ("kit.formats.onnx", "try:\n    from onnx import load\nexcept ImportError:\n    pass", 1),
        ("kit.formats.onnx", "class A:\n    import scipy", 1),
        ("kit.formats.onnx", "def f():\n    import torch", 0),
        ("kit.formats.onnx", "class A:\n    def f(self):\n        import torch", 0),
        ("kit.formats.onnx", "if TYPE_CHECKING:\n    import torch", 0),
        ("kit.formats.onnx", "import numpy", 0),
        ("kit.commands.build", "import numpy", 1),
        ("kit.commands.build", "import click\nimport sys\nfrom kit.errors import KitError", 0),
        ("kit.commands.build", "from kit.bundles.loading import load_bundle", 1),
    ],
)
def test_heavy_imports_are_reported(module, source, count):
    assert len(heavy_at_top(module, source)) == count
