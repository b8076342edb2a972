"""Fetch wheels by name.

A wheel is fetched with the user's own package client, so that the user's index and certificates
apply. pip is one such client, but environments of uv, conda or pipx lack it. So all clients on
the machine are tried: pip of this Python, uv, other pips, and the pip that Python bundles for
`ensurepip`. Nothing is installed into an environment, and none of the wheel's code runs.
"""

from __future__ import annotations

import importlib.util
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ARM64_LINUX, X86_64_LINUX = "manylinux_2_28_aarch64", "manylinux_2_28_x86_64"  # platforms
PYTHON = "311"  # tag of wheels for one version of Python; only native files of them are used
_TIMEOUT = 1800.0  # seconds; the largest wheel has 100 MB
_UV_PLATFORM = re.compile(r"(manylinux_\w+?)_(x86_64|aarch64)")


@dataclass(frozen=True)
class Pin:
    """A wheel.

    Attributes:
        package: name of the distribution.
        platform: tag of the wheel.
        sha256: of its file, in hex; empty if the caller checks the file inside.
        tag: Python and ABI tags of the wheel.
    """

    package: str
    version: str
    platform: str
    sha256: str
    tag: str = f"cp{PYTHON}-cp{PYTHON}"

    @property
    def module(self) -> str:
        """Return the package's name as its folder and its wheel's file spell it."""
        return self.package.replace("-", "_")

    @property
    def file(self) -> str:
        """Return the name of the wheel's file."""
        return f"{self.module}-{self.version}-{self.tag}-{self.platform}.whl"

    @property
    def requirement(self) -> str:
        """Return the requirement of exactly this version."""
        return f"{self.package}=={self.version}"


class FetchError(Exception):
    """A wheel could not be downloaded; the message has each client's error."""


def fetch_wheel(pin: Pin, folder: Path) -> Path:
    """Fetch a wheel into an empty folder, with the first client that succeeds.

    Returns:
        The wheel's file, whose hash is not yet checked, or a folder with its unpacked files; the
        client has then checked the hash, if the pin has one.

    Raises:
        FetchError: no client succeeds; the message has each client's error.
    """
    failures = []
    for number, client in enumerate(list_clients()):
        place = folder / str(number)
        place.mkdir()
        try:
            return client.fetch(pin, place)
        except FetchError as exc:
            failures.append(f"{client.name}: {exc}")
            shutil.rmtree(place, ignore_errors=True)
    raise FetchError("; ".join(failures) or "there is neither pip nor uv")


@dataclass(frozen=True)
class WheelClient:
    """A program that fetches wheels by name.

    Attributes:
        name: for messages.
        command: runs it.
    """

    name: str
    command: tuple[str, ...]

    def fetch(self, pin: Pin, folder: Path) -> Path:
        """Return the wheel's file, or a folder with its unpacked files.

        Raises:
            FetchError: the client fails.
        """
        if self.name == "uv":
            return self._unpack(pin, folder)
        words = ["download", "--quiet", "--no-deps", "--only-binary=:all:", "--no-input"]
        words += ["--disable-pip-version-check", "--dest", str(folder), *_tags(pin)]
        _run([*self.command, *words, pin.requirement])
        downloaded = list(folder.glob("*.whl"))
        if len(downloaded) != 1 or (pin.sha256 and downloaded[0].name != pin.file):
            raise FetchError("it brought another file")
        return downloaded[0]

    def _unpack(self, pin: Pin, folder: Path) -> Path:
        """Install a wheel into a separate folder with uv, which has no command to download it."""
        content = folder / "content"
        content.mkdir()
        listed = folder / "requirements.txt"
        pinned = f" --hash=sha256:{pin.sha256}" if pin.sha256 else ""
        listed.write_text(f"{pin.requirement}{pinned}\n", encoding="utf-8")
        words = ["pip", "install", "--quiet", "--no-deps", "--only-binary", ":all:"]
        words += ["--link-mode", "copy", "--python", sys.executable, "--target", str(content)]
        words += ["--require-hashes"] if pin.sha256 else []
        if platform := _UV_PLATFORM.fullmatch(pin.platform):
            words += ["--python-platform", f"{platform[2]}-{platform[1]}"]
            words += ["--python-version", f"{PYTHON[0]}.{PYTHON[1:]}"]
        _run([*self.command, *words, "--requirements", str(listed)])
        return content


def list_clients() -> Iterator[WheelClient]:
    """Yield the programs here that can fetch a wheel: each pip and uv, this environment's first."""
    own = Path(sys.executable).parent
    if importlib.util.find_spec("pip") is not None:
        yield WheelClient("pip", (sys.executable, "-m", "pip"))
    uv = shutil.which("uv") or shutil.which("uv", path=str(own))
    if uv is not None:
        yield WheelClient("uv", (uv,))
    for name in ("pip", "pip3"):
        program = shutil.which(name)
        if program is not None and Path(program).parent != own:
            yield WheelClient(program, (program,))
    other = shutil.which("python3")
    if other is not None and Path(other).parent != own:
        yield WheelClient(f"{other} -m pip", (other, "-m", "pip"))
    for wheel in _carried():
        yield WheelClient("the pip of ensurepip", (sys.executable, str(wheel / "pip")))


def _carried() -> list[Path]:
    """Return the wheel of pip that Python bundles; empty on systems without it."""
    spec = importlib.util.find_spec("ensurepip")
    roots = (spec and spec.submodule_search_locations) or ()
    return [wheel for root in roots for wheel in Path(root).glob("_bundled/pip-*.whl")][:1]


def _tags(pin: Pin) -> list[str]:
    if pin.platform == "any":
        return ["--ignore-requires-python"]
    words = ["--implementation", "cp", "--python-version", PYTHON, "--abi", f"cp{PYTHON}"]
    return [*words, "--platform", pin.platform]


def _run(command: list[str]) -> None:
    try:
        done = subprocess.run(
            command,
            capture_output=True,
            text=True,
            errors="replace",
            stdin=subprocess.DEVNULL,
            timeout=_TIMEOUT,
            check=False,
        )
    except subprocess.TimeoutExpired as exc:
        raise FetchError(f"not done after {_TIMEOUT:.0f} s") from exc
    except OSError as exc:
        raise FetchError(f"cannot be run: {exc.strerror}") from exc
    if done.returncode != 0:
        raise FetchError(_reason(done.stderr))


def _reason(stderr: str) -> str:
    """Return a client's error message, on one line."""
    lines = [re.sub(r"[│├╰─▶×\s]+", " ", line).strip() for line in stderr.splitlines()]
    faults = [line.removeprefix("ERROR: ") for line in lines if line.startswith("ERROR: ")]
    text = faults[-1] if faults else " ".join(line for line in lines if line)
    return text[-300:] or "no message"
