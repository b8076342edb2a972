"""Contents of wheel and sdist, and kit installed from a wheel."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import sysconfig
import tarfile
import tomllib
import zipfile
from pathlib import Path

import pytest
import yaml

import kit
from kit.app import compiling

ROOT = Path(__file__).parents[1]
UV = shutil.which("uv") or shutil.which("uv", path=str(Path(sys.executable).parent))


def git_files(*folders: str) -> set[str]:
    listed = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard", *folders]
    done = subprocess.run(listed, cwd=ROOT, capture_output=True, text=True)
    if done.returncode:
        pytest.skip("this is no checkout of git")
    return {name for name in done.stdout.split("\0") if (ROOT / name).is_file()}


@pytest.fixture(scope="module")
def built(once) -> Path:
    """Return a folder with wheel and sdist, the wheel built from the sdist as pip does."""

    if UV is None:
        pytest.skip("uv, which builds the wheel, is not installed")

    def build(folder: Path) -> None:
        copy = folder / "source"
        for name in git_files():
            (copy / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, copy / name)
        (copy / "android_app/target/classes").mkdir(parents=True)
        (copy / "android_app/target/classes/Made.class").write_bytes(b"made")
        words = [UV, "build", "--offline", "--no-build-isolation", "--no-config", "--quiet"]
        words += ["--python", sys.executable, "--out-dir", str(folder / "dist"), str(copy)]
        subprocess.run(words, check=True, env={**os.environ, "UV_CACHE_DIR": str(folder / "uv")})

    return once("packages", build) / "dist"


@pytest.fixture(scope="module")
def wheel(built) -> Path:
    (file,) = built.glob("*.whl")
    return file


@pytest.fixture(scope="module")
def installed(wheel, tmp_path_factory) -> Path:
    """Return the folder of programs of an environment with kit from its wheel.

    It finds kit's dependencies in the environment of the tests, but not its kit.
    """
    venv = tmp_path_factory.mktemp("environment") / "venv"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(venv)], check=True)
    python = venv / "bin/python"
    words = [UV, "pip", "install", "--offline", "--no-config", "--quiet", "--no-deps"]
    subprocess.run([*words, "--python", str(python), str(wheel)], check=True)
    (packages,) = venv.glob("lib/python*/site-packages")
    # Of that folder the path alone: its own .pth files, one of which names this checkout, are
    # not read.
    (packages / "tests.pth").write_text(sysconfig.get_paths()["purelib"] + "\n")
    return venv / "bin"


def run(installed: Path, *words: str, **variables: str) -> str:
    hidden = {"PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV"}
    environment = {name: value for name, value in os.environ.items() if name not in hidden}
    done = subprocess.run(
        [str(installed / words[0]), *words[1:]],
        cwd=installed,
        env={**environment, **variables},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.slow
def test_wheel_has_each_file_of_the_package_and_of_the_app(wheel):
    with zipfile.ZipFile(wheel) as archive:
        held = {name for name in archive.namelist() if ".dist-info/" not in name}
    app = {name for name in git_files("android_app") if not Path(name).name.startswith(".")}
    expected = git_files("kit") | {f"kit/_{name}" for name in app}
    assert held == expected
    assert "kit/_android_app/src/main/AndroidManifest.xml" in held
    assert "kit/formats/litert/litert_api.h" in held


@pytest.mark.slow
def test_sdist_has_each_file_of_the_repository(built):
    (file,) = built.glob("*.tar.gz")
    with tarfile.open(file) as archive:
        held = {m.name.partition("/")[2] for m in archive.getmembers() if m.isfile()}
    made = {"PKG-INFO", "setup.cfg"}
    held = {name for name in held - made if ".egg-info/" not in name}
    # Files for git, an editor or a repository host are useless in an sdist.
    assert {name for name in git_files() - held if not name.startswith((".git", ".dev"))} == set()
    assert held <= git_files()


@pytest.mark.slow
def test_an_installed_kit_has_all_files_that_it_builds_from(installed, tmp_path):
    where = run(installed, "python", "-c", "import kit; print(kit.__file__)").strip()
    assert Path(where).is_relative_to(installed.parent)
    assert "mobilenet_v2" in run(installed, "kit", "list")
    assert "--app-id" in run(installed, "kit", "app", "build", "--help")
    look = (
        "from kit.app import sources, contract\n"
        "from kit.runners.native import _backends\n"
        "print(sources.find_folder(), len(sources.list_java(['onnx'])))\n"
        "print(sources.find_resources().is_dir())\n"
        "print(len(sources.make_manifest(contract.APP_ID)) > 1000, _backends.SOURCES)\n"
        "print(sources.prepare_project() == sources.prepare_project(), sources.prepare_project())\n"
    )
    output = run(installed, "python", "-c", look, XDG_CACHE_HOME=str(tmp_path)).split()
    assert Path(output[0]) == Path(where).parent / "_android_app"
    assert int(output[1]) == len(list((ROOT / "android_app/src/main/java").rglob("*.java"))) + 1
    assert output[2:4] == ["True", "True"]
    assert (Path(output[4]) / "main.cpp").is_file()
    assert output[5] == "True"
    # Maven writes beside the sources, which is not done in an installed package.
    assert Path(output[6]).parent == tmp_path / "kit/app"
    assert (Path(output[6]) / "pom.xml").is_file()


def test_all_files_name_the_same_version():
    citation = (ROOT / "CITATION.cff").read_text(encoding="utf-8")
    gradle = (ROOT / "android_app/build.gradle.kts").read_text(encoding="utf-8")
    changes = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    assert f"\nversion: {kit.__version__}\n" in citation
    assert f'versionName = "{kit.__version__}"' in gradle
    assert f"versionCode = {compiling.compute_version_code()}\n" in gradle
    (released,) = re.findall(r'^date-released: "(.*)"$', citation, re.MULTILINE)
    assert f"\n## [{kit.__version__}] - {released}\n" in changes


def test_the_extra_all_has_every_extra_except_dev():
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"][
        "optional-dependencies"
    ]
    (everything,) = extras["all"]
    others = sorted(extras.keys() - {"all", "dev"})
    assert everything == f"mobile-deployment-kit[{','.join(others)}]"


def test_files_for_hosts_and_editors_can_be_read():
    forms = [f for f in (ROOT / ".github/ISSUE_TEMPLATE").iterdir() if f.stem != "config"]
    assert len(forms) == 3
    for form in forms:
        fields = yaml.safe_load(form.read_text(encoding="utf-8"))
        assert {"name", "description", "body"} <= fields.keys()
        ids = [field["id"] for field in fields["body"]]
        assert len(ids) == len(set(ids))
    steps = yaml.safe_load((ROOT / ".github/workflows/ci.yml").read_text())["jobs"]["test"]["steps"]
    assert steps[-1] == {"run": "scripts/test"}
    json.loads((ROOT / ".devcontainer/devcontainer.json").read_text())
    assert yaml.safe_load((ROOT / "CITATION.cff").read_text())["cff-version"] == "1.2.0"
