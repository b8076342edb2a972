"""Python, TOML, JSON, Gradle and Java of the pages match kit and its library."""

from __future__ import annotations

import ast
import importlib.util
import inspect
import json
import re
import tomllib
from pathlib import Path

from doc_blocks import PROJECT, ROOT, list_language

import kit
from kit import cli, formats, registry
from kit.artifact_key import REFERENCE
from kit.commands.common.settings import read_settings
from kit.encodings import parse as parse_encodings
from kit.recipe_input import make_recipe, read_recipe


def test_python_blocks_import_existing_modules_and_call_kit_correctly():
    for block in list_language("python"):
        tree = ast.parse(block.text, str(block))
        for node in ast.walk(tree):
            modules = []
            if isinstance(node, ast.Import):
                modules = [one.name for one in node.names]
            elif isinstance(node, ast.ImportFrom):
                modules = [node.module or ""]
            for module in modules:
                own = f"from {module} " in block.text and "its own folder" in block.text
                package = module.partition(".")[0]  # find_spec would import that of a submodule
                assert own or importlib.util.find_spec(package), f"{block}: {module}"
            if isinstance(node, ast.Call) and ast.unparse(node.func).startswith("kit."):
                function = getattr(kit, ast.unparse(node.func).removeprefix("kit."))
                named = {one.arg: None for one in node.keywords}
                inspect.signature(function).bind(*node.args, **named)


def test_toml_blocks_can_be_read_by_kit(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    read: list[str] = []
    for block in list_language("toml"):
        document = tomllib.loads(block.text)
        if "project" in document:
            assert document["project"]["dependencies"] == [PROJECT["name"]], block
            groups = {one.group for one in vars(registry).values() if hasattr(one, "group")}
            assert groups.issuperset(document["project"]["entry-points"]), block
        elif block.page == "docs/config.md":
            Path("kit.toml").write_text(block.text, encoding="utf-8")
            settings = read_settings(cli.main)
            assert settings is not None
            assert len(settings.settings) > len(document), block
        else:
            Path("recipe.toml").write_text(block.text, encoding="utf-8")
            make_recipe(**read_recipe(Path("recipe.toml")))
        read.append(block.page)
    assert {"docs/build.md", "docs/config.md"} < set(read)


def list_json_names(text: str) -> set[str]:
    """Return the names of the fields of JSON in which values may be left out."""
    texts = re.sub(r': ?"[^"]*"|(?<=\[)"[^"]*"(?:, "[^"]*")*(?=\])', "", text)
    return set(re.findall(r'"(\w+)"', texts))


def test_json_blocks_have_the_fields_of_their_schemas():
    # The schema allows answers of a task and values of a notice in any form.
    sources = [*(ROOT / "kit/tasks").rglob("*.py"), *(ROOT / "kit").glob("*_notices.py")]
    sources.append(ROOT / "kit/notice_catalogue.py")
    free = "".join(file.read_text(encoding="utf-8") for file in sources)
    for block in list_language("json"):
        schema = ROOT / "docs/schemas" / f"{Path(block.page).stem}.json"
        if not schema.is_file():
            parse_encodings(block.text.encode())
            continue
        text = schema.read_text(encoding="utf-8")
        if "…" not in block.text:
            json.loads(block.text)
        known = text + (free if '"JsonValue"' in text else "")
        missing = [
            name for name in list_json_names(block.text) - {REFERENCE} if f'"{name}"' not in known
        ]
        assert missing == [], block


def test_gradle_blocks_name_the_archives_that_kit_packs():
    packed = {
        f"{one.group}:{one.name}:{one.version}"
        for name in formats.list_formats()
        if (android := formats.get_format(name).android)
        for one in [android.aar]
    }
    named = [
        archive
        for block in list_language("kotlin")
        for archive in re.findall(r'implementation\("(.+)"\)', block.text)
    ]
    assert len(named) > 3
    assert set(named) <= packed


def test_java_blocks_name_classes_and_methods_of_the_library():
    """`EmbeddingPageTest` compiles them; this is what is known without Java."""
    for block in list_language("java"):
        classes = re.findall(r"^import org\.mobilekit\.(\w+);", block.text, re.M)
        assert classes, block
        for name in classes:
            source = ROOT / f"android_app/src/main/java/org/mobilekit/{name}.java"
            assert source.is_file(), f"{block}: {name}"
            text = source.read_text(encoding="utf-8")
            objects = re.findall(rf"\b{name} (\w+)(?: =|[;,)])", block.text)
            for variable in (name, *objects):
                for method in re.findall(rf"\b{variable}\.(\w+)\(", block.text):
                    assert re.search(rf"\b{method}\(", text), f"{block}: {variable}.{method}"
