"""Takes the app's sources, which stand beside the package, into wheels as `kit/_android_app`."""

from __future__ import annotations

import shutil
from pathlib import Path

from setuptools import setup
from setuptools.command.build_py import build_py

APP = Path("android_app")
# What Maven, Gradle and Python leave there.
MADE = shutil.ignore_patterns("target", "build", ".*", "__pycache__", "local.properties")


class BuildWithApp(build_py):
    """Copies the app beside the modules, unless these are used in place (`pip install -e`)."""

    def run(self) -> None:
        """Build the package."""
        super().run()
        if not self.editable_mode:
            target = Path(self.build_lib, "kit", "_android_app")
            shutil.rmtree(target, ignore_errors=True)
            shutil.copytree(APP, target, ignore=MADE)


setup(cmdclass={"build_py": BuildWithApp})
