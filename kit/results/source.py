"""Read the checked-out commit of the user's project with git, without running its code.

A repository can configure programs that git starts: hooks, the file system monitor, filters,
transports. All of them are disabled here, so that an untrusted folder is safe.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path

from pydantic import ValidationError

from kit.results.context import SourceRef

TIMEOUT_SECONDS = 10.0  # of each command; `git status` takes seconds with 100 000 files

# https://git-scm.com/docs/git-config, https://git-scm.com/docs/git#_environment_variables
_OFF = {"core.fsmonitor": "false", "core.hooksPath": os.devnull}
_CEILING = "GIT_CEILING_DIRECTORIES"  # other variables may name another repository
_QUIET = {
    "GIT_OPTIONAL_LOCKS": "0",  # the index is not written, so its hook has no reason to run
    "GIT_NO_LAZY_FETCH": "1",
    "GIT_ALLOW_PROTOCOL": "",  # of versions that do not know the line above
    "GIT_TERMINAL_PROMPT": "0",
}


def read_source(folder: Path) -> SourceRef | None:
    """Return the checked-out commit of a folder's repository, and whether it was changed.

    Untracked files and changes inside of submodules do not count.

    Args:
        folder: in a working tree, or not.

    Returns:
        None without git, repository or commit, or if the repository is another user's.
    """
    revision = _ask_git(folder, ["rev-parse", "--verify", "HEAD^{commit}"], _OFF)
    if revision is None:
        return None
    changes = _ask_git(
        folder,
        ["status", "--porcelain", "--untracked-files=no", "--ignore-submodules=dirty"],
        {**_OFF, **_no_filters(folder)},
    )
    dirty = None if changes is None else bool(changes.strip())
    try:
        return SourceRef(revision=revision.strip(), dirty=dirty)
    except ValidationError:
        return None


def _no_filters(folder: Path) -> dict[str, str]:
    """Return settings that disable the filters in the configuration."""
    names = _ask_git(folder, ["config", "--name-only", "-z", "--get-regexp", r"^filter\."], _OFF)
    off = {"clean": "", "smudge": "", "process": "", "required": "false"}
    settings = (name.rpartition(".") for name in (names or "").split("\0"))
    return {f"{driver}.{key}": off[key] for driver, _, key in settings if key in off}


def _ask_git(folder: Path, arguments: list[str], settings: Mapping[str, str]) -> str | None:
    """Return what git prints, None if it fails."""
    git = shutil.which("git")
    if git is None:
        return None
    kept = {k: v for k, v in os.environ.items() if not k.startswith("GIT_") or k == _CEILING}
    configured = {"GIT_CONFIG_COUNT": str(len(settings))}
    for index, (name, value) in enumerate(settings.items()):
        configured[f"GIT_CONFIG_KEY_{index}"] = name
        configured[f"GIT_CONFIG_VALUE_{index}"] = value
    try:
        done = subprocess.run(
            [git, *arguments],
            cwd=folder,
            env={**kept, **_QUIET, **configured},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=TIMEOUT_SECONDS,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.decode(errors="replace") if done.returncode == 0 else None
