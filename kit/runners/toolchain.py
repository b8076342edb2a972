"""Debian's g++, native or cross: compiles a runner and provides its libc."""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from kit.errors import BuildError, MissingTool, UnknownName


@dataclass(frozen=True)
class Abi:
    """A kind of processor, by Android's name for it.

    https://developer.android.com/ndk/guides/abis

    Attributes:
        name: as Android calls it.
        machine: as the kernel calls it.
        loader: file name of glibc's dynamic loader.
    """

    name: str
    machine: str
    loader: str

    @property
    def triple(self) -> str:
        """Return the prefix of its tools."""
        return f"{self.machine}-linux-gnu"

    @property
    def package(self) -> str:
        """Return Debian's package of its compiler."""
        return f"g++-{self.triple.replace('_', '-')}"

    @property
    def native(self) -> bool:
        """Return whether programs for it run on this machine."""
        return platform.system() == "Linux" and platform.machine() == self.machine


ABIS = {
    abi.name: abi
    for abi in (
        Abi("arm64-v8a", "aarch64", "ld-linux-aarch64.so.1"),
        Abi("x86_64", "x86_64", "ld-linux-x86-64.so.2"),
    )
}


def get_abi(name: str) -> Abi:
    """Return an ABI.

    Raises:
        UnknownName: there are no runners for it.
    """
    if name not in ABIS:
        raise UnknownName.among("ABI", name, ABIS)
    return ABIS[name]


@dataclass(frozen=True)
class Toolchain:
    """A compiler and its C and C++ libraries."""

    compiler: str
    version: str
    strip: str

    def library(self, name: str) -> Path | None:
        """Return a library of the toolchain, None if it has none of that name."""
        answer = Path(_ask(self.compiler, f"-print-file-name={name}"))
        return answer.resolve() if answer.is_absolute() and answer.exists() else None

    def compile(self, words: Sequence[str], what: str) -> None:
        """Run the compiler.

        Raises:
            BuildError: compilation fails; the message has the first error.
        """
        self._run([self.compiler, *words], what)

    def strip_symbols(self, file: Path) -> None:
        """Strip debugging symbols from a library.

        Raises:
            BuildError: strip cannot read it.
        """
        self._run([self.strip, "--strip-unneeded", str(file)], f"strip {file.name}")

    def _run(self, command: Sequence[str], what: str) -> None:
        try:
            done = subprocess.run(
                command,
                capture_output=True,
                text=True,
                errors="replace",
                env={**os.environ, "LC_ALL": "C"},  # `_first_fault` reads English
            )
        except OSError as exc:
            raise MissingTool(
                f"cannot run {command[0]}: {exc.strerror}", "apt-get install binutils"
            ) from exc
        if done.returncode != 0:
            raise BuildError(
                f"cannot build {what}: {_first_fault(done.stderr)}",
                f"{self.compiler} is {self.version}; runners need g++ 11 or later",
            )


def find(target: Abi) -> Toolchain:
    """Return the compiler for an ABI.

    Raises:
        MissingTool: it is not installed.
    """
    names = [f"{target.triple}-g++", *(["g++"] if target.native else [])]
    compiler = next(filter(None, map(shutil.which, names)), None)
    if compiler is None:
        package = "g++" if target.native else target.package
        raise MissingTool(
            f"there is no {names[-1]} to build a runner for {target.name} with",
            f"on Debian or Ubuntu: apt-get install {package}",
        )
    return Toolchain(
        compiler=compiler,
        version=_ask(compiler, "-dumpfullversion"),
        strip=_ask(compiler, "-print-prog-name=strip"),
    )


def _ask(compiler: str, question: str) -> str:
    try:
        done = subprocess.run([compiler, question], capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError) as exc:
        raise MissingTool(f"{compiler} does not answer {question}: {exc}", "install g++") from exc
    return done.stdout.strip()


def _first_fault(stderr: str) -> str:
    lines = [line for line in stderr.splitlines() if line.strip()]
    faults = [line for line in lines if "error" in line or "undefined reference" in line]
    return (faults or lines or ["it printed nothing"])[0][:400]
