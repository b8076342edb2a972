"""An environment of its own for each peer: made once with uv, kept in the user's cache.

Nothing here names a package index: uv takes the one that it is configured for.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from kit.errors import BuildError, MissingTool

SCRIPTS = Path(__file__).parents[1] / "peers"
MINUTES = 30  # a peer that hangs gives up its row, not the run

# What the packages below would report or fetch by themselves. NNCF and OpenVINO have no such
# switch: their reporter, openvino-telemetry, is left out of the environment.
QUIET = {
    "DO_NOT_TRACK": "1",
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "HF_HUB_OFFLINE": "1",
    "ORT_DISABLE_TELEMETRY": "1",
}
_OURS = ("PYTHONHOME", "PYTHONPATH", "VIRTUAL_ENV")  # would mix the environments


def folder() -> Path:
    """Return where the environments are kept: below ``$KIT_CACHE`` or the user's cache folder."""
    import platformdirs

    named = os.environ.get("KIT_CACHE")
    # The dot: whatever else is in $KIT_CACHE counts as a bundle, and old ones are removed.
    return Path(named, ".peers") if named else platformdirs.user_cache_path("kit") / "peers"


def python(script: str, root: Path | None = None) -> Path:
    """Return the interpreter that runs a peer's script, making its environment if necessary.

    Args:
        script: stem of the file in scripts/peers.
        root: folder of the environments; None takes `folder()`.

    Raises:
        MissingTool: uv is not installed, or the environment cannot be made.
    """
    pins = SCRIPTS / f"{script}.txt"
    if not pins.exists():
        return Path(sys.executable)
    home = (root or folder()) / script
    fingerprint = hashlib.sha256(pins.read_bytes() + sys.version.encode()).hexdigest()
    stamp, interpreter = home / ".stamp", home / "bin" / "python"
    with _lock(home):
        if stamp.exists() and stamp.read_text() == fingerprint and interpreter.exists():
            return interpreter
        uv = _uv()
        _run_uv(script, uv, "venv", "--clear", "--python", sys.executable, str(home))
        install = ("pip", "install", "--no-deps", "--python", str(interpreter), "-r", str(pins))
        _run_uv(script, uv, *install)
        stamp.write_text(fingerprint)
    return interpreter


@contextmanager
def _lock(home: Path) -> Iterator[None]:
    """Wait while another run makes the same environment."""
    try:
        home.parent.mkdir(parents=True, exist_ok=True)
        lock = home.with_name(f"{home.name}.lock").open("w")
    except OSError as exc:
        raise MissingTool(
            f"cannot make an environment in {home.parent}: {exc.strerror}",
            "set KIT_CACHE to a folder that is writable and has space",
        ) from exc
    with lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _uv() -> str:
    beside = Path(sys.executable).with_name("uv")
    path = str(beside) if beside.exists() else shutil.which("uv")
    if path is None:
        raise MissingTool("uv is not installed", "pip install uv")
    return path


def _run_uv(script: str, uv: str, *arguments: str) -> None:
    command = [uv, "--quiet", "--no-progress", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, env=environment())
    if done.returncode:
        raise MissingTool(
            f"the environment of {script} cannot be made: {reason(done.stderr)}",
            "uv has to reach a package index; the pins are in scripts/peers",
        )


def environment() -> dict[str, str]:
    """Return the variables that peers and uv are started with."""
    kept = {name: value for name, value in os.environ.items() if name not in _OURS}
    return {**kept, **QUIET}


def reason(text: str) -> str:
    """Return the last line with text, without addresses."""
    lines = [line.strip(" │╰─▶×") for line in text.splitlines() if line.strip(" │╰─▶×^~")]
    return _without_addresses(lines[-1]) if lines else "no output"


def _without_addresses(text: str) -> str:
    return re.sub(r"[a-z]+://\S+", "(an address)", text)


def start(script: str, name: str, interpreter: Path, work: Path) -> None:
    """Run a peer's script on a work folder; its output goes to ``WORK/NAME.log``.

    Raises:
        BuildError: it failed, or took longer than `MINUTES`.
    """
    home, log = work / name, work / f"{name}.log"
    home.mkdir()
    command = [str(interpreter), str(SCRIPTS / f"{script}.py"), str(work), name]
    with log.open("w", encoding="utf-8") as output:
        try:
            code = subprocess.run(
                command,
                stdout=output,
                stderr=output,
                cwd=home,
                env=environment(),
                timeout=60 * MINUTES,
            ).returncode
        except subprocess.TimeoutExpired as exc:
            raise BuildError(f"{name} took more than {MINUTES} minutes", "use --limit") from exc
    if code:
        text = log.read_text(encoding="utf-8", errors="replace")
        print(_without_addresses("\n".join(text.splitlines()[-15:])), file=sys.stderr)
        raise BuildError(f"{name} ended with exit code {code}: {reason(text)}", "see its log")
