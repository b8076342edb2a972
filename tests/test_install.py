"""The wheel, installed by the programs that people use, each into an environment of its own.

Dependencies are those of the tests' environment: gigabytes that are not fetched again. So the
wheel is installed without the names of its dependencies, which `tests/test_packaging.py` reads.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import sysconfig
import zipfile
from pathlib import Path

import pytest
from test_packaging import UV, built, wheel  # noqa: F401 - fixtures

import kit

HIDDEN = {"PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV", "PIP_REQUIRE_VIRTUALENV", "KIT_DEBUG"}


@pytest.fixture(scope="module")
def alone(wheel, tmp_path_factory) -> Path:  # noqa: F811 - a fixture
    """Return the wheel without dependencies."""
    target = tmp_path_factory.mktemp("alone") / wheel.name
    with zipfile.ZipFile(wheel) as old, zipfile.ZipFile(target, "w") as new:
        for member in old.infolist():
            data = old.read(member)
            if member.filename.endswith(".dist-info/METADATA"):
                lines = data.decode().splitlines(keepends=True)
                assert any(line.startswith("Requires-Dist: torch") for line in lines)
                data = "".join(one for one in lines if not one.startswith("Requires-Dist")).encode()
            if not member.filename.endswith(".dist-info/RECORD"):  # whose digests would differ
                new.writestr(member, data)
            else:
                rows = old.read(member).decode().splitlines()
                new.writestr(member, "".join(f"{row.split(',')[0]},,\n" for row in rows))
    return target


def call(*words: str, folder: Path, ends: tuple[int, ...] = (0,), **variables: str) -> str:
    environment = {name: value for name, value in os.environ.items() if name not in HIDDEN}
    environment |= {"HOME": str(folder), "XDG_CACHE_HOME": str(folder / "cache"), **variables}
    done = subprocess.run(words, cwd=folder, env=environment, capture_output=True, text=True)
    assert done.returncode in ends, f"{words}: {done.stdout}{done.stderr}"
    return done.stdout


def install_with_pip(file: Path, folder: Path) -> tuple[Path, Path]:
    call(sys.executable, "-m", "venv", str(folder / "env"), folder=folder)
    pip = [str(folder / "env/bin/python"), "-m", "pip", "install", "--quiet"]
    call(*pip, "--no-index", "--disable-pip-version-check", str(file), folder=folder)
    return folder / "env/bin/kit", folder / "env"


def install_with_uv(file: Path, folder: Path) -> tuple[Path, Path]:
    if UV is None:
        pytest.skip("uv is not installed")
    places = {"UV_TOOL_DIR": str(folder / "tools"), "UV_TOOL_BIN_DIR": str(folder / "bin")}
    words = [UV, "tool", "install", "--offline", "--no-config", "--quiet"]
    call(*words, "--python", sys.executable, str(file), folder=folder, **places)
    return folder / "bin/kit", folder / "tools/mobile-deployment-kit"


def install_with_pipx(file: Path, folder: Path) -> tuple[Path, Path]:
    pipx = shutil.which("pipx")
    if pipx is None:
        pytest.skip("pipx is not installed")
    places = {"PIPX_HOME": str(folder / "pipx"), "PIPX_BIN_DIR": str(folder / "bin")}
    offline = {"PIP_NO_INDEX": "1", "PIP_DISABLE_PIP_VERSION_CHECK": "1"}
    words = [pipx, "install", "--python", sys.executable, str(file)]
    call(*words, folder=folder, **places, **offline)
    return folder / "bin/kit", folder / "pipx/venvs/mobile-deployment-kit"


@pytest.mark.slow
@pytest.mark.parametrize(
    "install", [install_with_pip, install_with_uv, install_with_pipx], ids=["pip", "uv", "pipx"]
)
def test_kit_runs_where_it_was_installed(install, alone, tmp_path):
    program, environment = install(alone, tmp_path)
    (packages,) = environment.glob("lib/python*/site-packages")
    assert (packages / "kit/cli.py").is_file()
    (packages / "tests.pth").write_text(sysconfig.get_paths()["purelib"] + "\n")
    output = call(str(program), "--version", folder=tmp_path)
    assert output == f"kit, version {kit.__version__}\n"
    assert "mobilenet_v2" in call(str(program), "list", folder=tmp_path)
    if install is install_with_uv:
        findings = call(str(program), "doctor", folder=tmp_path, ends=(0, 11))
        assert re.search(r"Python 3\.\d+", findings)
