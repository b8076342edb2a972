"""The documentation site: complete, without broken links, and without external resources."""

from __future__ import annotations

import importlib.util
import os
import re
import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import pytest

import kit

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"


def build_site(root: Path, target: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "mkdocs", "build", "--site-dir", target]
    environment = {**os.environ, "NO_MKDOCS_2_WARNING": "1"}
    return subprocess.run(command, cwd=root, env=environment, capture_output=True, text=True)


@pytest.fixture(scope="module")
def site(tmp_path_factory) -> Path:
    """Built in strict mode: a broken link, anchor or a page outside of the navigation ends it.

    Not with --quiet, which would keep mkdocs from counting warnings.
    """
    folder = tmp_path_factory.mktemp("site")
    done = build_site(ROOT, folder)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "WARNING" not in done.stderr
    return folder


@pytest.mark.parametrize(
    ("page", "text", "output"),
    [
        ("stray.md", "# Stray", "not included in the"),
        ("index.md", "[x](missing.md)", "missing.md"),
        ("index.md", "[x](faq.md#missing)", "does not contain an anchor"),
    ],
)
def test_a_broken_site_fails_the_build(tmp_path, page, text, output):
    """A site of two pages with the project's own rules."""
    rules = (ROOT / "mkdocs.yml").read_text(encoding="utf-8")
    rules, nav = rules[: rules.index("\nplugins:")], rules[rules.index("\nvalidation:") :]
    validation = nav[: nav.index("\nnav:")]
    pages = "\nplugins: []\nnav: [index.md, faq.md]\n"
    (tmp_path / "mkdocs.yml").write_text(rules + validation + pages, encoding="utf-8")
    (tmp_path / "docs").mkdir()
    for name in ("index.md", "faq.md"):
        (tmp_path / "docs" / name).write_text("# Page\n", encoding="utf-8")
    assert build_site(tmp_path, tmp_path / "whole").returncode == 0
    (tmp_path / "docs" / page).write_text(text + "\n", encoding="utf-8")
    done = build_site(tmp_path, tmp_path / "broken")
    assert done.returncode != 0
    assert output in done.stderr


def test_every_page_is_in_the_site(site):
    pages = {p.relative_to(DOCS).with_suffix(".html") for p in DOCS.rglob("*.md")}
    assert pages <= {p.relative_to(site) for p in site.rglob("*.html")}


def test_nothing_is_loaded_from_another_host(site):
    loading = re.compile(r"<(?:script|link|img|iframe|source)\b[^>]*\b(?:src|href)=\"?([^\s\">]+)")
    for page in site.rglob("*.html"):
        addresses = loading.findall(page.read_text(encoding="utf-8"))
        assert addresses
        assert [a for a in addresses if "//" in a and not a.startswith("data:")] == [], page.name
    for sheet in site.rglob("*.css"):
        assert not re.search(r"(?:@import|url\()\s*[\"']?(?:https?:)?//", sheet.read_text())


def test_the_python_page_shows_every_public_function(site):
    text = (site / "reference/python.html").read_text(encoding="utf-8")
    for name in kit.__all__:
        assert f'id="kit.{name}"' in text
        page = (DOCS / "reference/python.md").read_text(encoding="utf-8")
        assert f"::: kit.{name}\n" in page
    assert "Raises" in text


def test_the_page_of_commands_is_up_to_date():
    reports = (DOCS / "reference/cli.md").read_text(encoding="utf-8")
    # In a separate process: completion changes the types of options in this one.
    words = [sys.executable, str(DOCS.parent / "scripts" / "reference")]
    written = subprocess.run(words, capture_output=True, text=True, check=True).stdout
    assert reports == written, "run scripts/reference > docs/reference/cli.md"


def test_links_of_the_readme_exist():
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    links = re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)|src=\"([^\"]+)\"", text)
    assert links
    for link in (one or other for one, other in links):
        assert (ROOT / link).exists(), link


IMPORTS = re.compile(r"from (kit(?:\.\w+)*) import (\w+(?:, \w+)*)")


def test_everything_that_the_docs_import_from_kit_exists():
    pages = [*DOCS.rglob("*.md"), *DOCS.rglob("*.py"), *DOCS.rglob("*.ipynb"), ROOT / "README.md"]
    imports = {
        (page.name, module, name)
        for page in pages
        for module, names in IMPORTS.findall(page.read_text(encoding="utf-8"))
        for name in names.split(", ")
    }
    assert ("write-a-task.md", "kit.results.accuracy", "Metric") in imports
    for page, module, name in sorted(imports):
        defined = hasattr(importlib.import_module(module), name)
        assert defined or importlib.util.find_spec(f"{module}.{name}"), f"{page}: {module}.{name}"


COMMANDS = re.compile(r"^(?: {4}|\$ )?kit (.+)$", re.M)
NO_BUNDLE = {"-o", "--html", "--markdown", "--save", "--results"}  # options before other paths
TAKING = {"analyze", "bench", "doctor", "eval", "predict", "show", "verify"}


def test_every_bundle_that_a_page_names_is_one_that_a_page_builds():
    pages = [ROOT / "README.md", *DOCS.rglob("*.md")]
    texts = {page: page.read_text(encoding="utf-8").replace("\\\n", " ") for page in pages}
    lines = [(page, line) for page, text in texts.items() for line in COMMANDS.findall(text)]
    built = {
        result
        for _, line in lines
        if line.startswith("build")
        for result in re.findall(r"-o (out/[\w-]+)", line)
    }
    assert "out/v2" in built
    by_scripts = {
        f"{folder}/"
        for text in texts.values()
        for folder in re.findall(r"python docs/examples/\w+\.py (out/[\w-]+)", text)
    }
    for page, line in lines:
        command, *words = line.split("#")[0].split()
        if command in TAKING or line.startswith("app build"):
            others = {after for word, after in pairwise(words) if word in NO_BUNDLE}
            for word in words:
                if word.startswith(tuple(by_scripts)):
                    continue
                if word.startswith("out/") and word not in others:
                    assert word in built, f"{page.name}: kit {line}"


def test_the_readme_takes_one_minute():
    text = (ROOT / "README.md").read_text(encoding="utf-8").partition("\n## More\n")[0]
    assert len(text.split()) < 600
    assert "scripts/demo" in text
    assert "scripts/test" in text
