"""The pictures of README and docs, and the script that regenerates them."""

from __future__ import annotations

import re
import runpy
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
IMAGES = sorted((ROOT / "docs/images").iterdir())
SCRIPT = ROOT / "scripts/pictures"


@pytest.mark.parametrize("image", IMAGES, ids=lambda image: image.name)
def test_a_picture_is_small_and_on_a_page(image):
    assert image.stat().st_size < 300_000
    pages = [ROOT / "README.md", *(ROOT / "docs").rglob("*.md")]
    assert any(f"images/{image.name}" in page.read_text(encoding="utf-8") for page in pages)


def test_a_terminal_is_drawn_without_another_host():
    record = runpy.run_path(str(SCRIPT))["record"]
    svg = record("kit table out/v2", "\x1b[1mfile\x1b[0m  MB\nonnx-int8  3.99\n")
    assert "onnx-int8" in svg
    assert "kit&#160;table" in svg
    assert re.findall(r"https?://[^\s\"]+", svg) == ["http://www.w3.org/2000/svg"]


def test_app_pictures_are_captioned_as_workstation_times():
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    caption = text[text.index("app-dark.png") :][:300]
    assert "workstation" in caption
