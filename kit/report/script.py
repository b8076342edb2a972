"""The scripts of pages, which work without one as well.

A page's Content-Security-Policy allows its script by the hash and nothing else, so that markup in
a name cannot run.
"""

from __future__ import annotations

import base64
import hashlib
from dataclasses import dataclass
from importlib import resources


@dataclass(frozen=True)
class Script:
    """A script, and how a Content-Security-Policy names it."""

    text: str
    source: str


def load_script(package: str = "kit.report", name: str = "page.js") -> Script:
    """Return a script from the templates of a package; by default the one that sorts tables."""
    text = resources.files(package).joinpath("templates", name).read_text("utf-8")
    digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
    return Script(text, f"sha256-{digest}")
