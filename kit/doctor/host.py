"""This machine: Python, space, processor, and programs that some commands need."""

from __future__ import annotations

import platform
import shutil
import sys
from collections.abc import Callable, Collection, Iterator
from functools import partial
from pathlib import Path

from kit.app import tools
from kit.bench.gates import examine_machine
from kit.devices import hostinfo, local
from kit.doctor.finding import Finding, from_notice, judge_amount
from kit.errors import MissingTool
from kit.files import temporary
from kit.results.latency import Plan
from kit.runners import emulation, toolchain

# A build of MobileNetV2 in three formats writes some 0.3 GB and takes some 3 GB of memory.
MIN_DISK, ENOUGH_DISK = 500_000_000, 3_000_000_000
MIN_MEMORY, ENOUGH_MEMORY = 1_000_000_000, 4_000_000_000
MIN_PYTHON = (3, 11)
_MACHINES = ("x86_64", "aarch64", "arm64", "AMD64")
_BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
# By package manager: how it installs a package that has this name on Debian.
_BREW = {"maven": "maven", tools.JDK: "openjdk@17", "adb": "android-platform-tools"}


def examine_host() -> Iterator[Finding]:
    """Yield the findings about this machine; nothing is changed or fetched."""
    yield judge_python(sys.version_info[:3])
    yield judge_system(platform.system(), platform.machine())
    yield from _examine_disk()
    yield _examine_memory()
    cpuinfo = hostinfo.read_text(Path("/proc/cpuinfo"))
    name = hostinfo.parse_cpu_model(cpuinfo) or platform.processor() or platform.machine()
    features = hostinfo.parse_int8_features(cpuinfo)
    yield judge_processor("host.processor", name, platform.machine(), features)
    context = local.open(None).context({})
    for notice in examine_machine(context, Plan()):
        fix = "sudo cpupower frequency-set -g performance" if "governor" in notice.code else ""
        yield from_notice(notice, fix)
    yield from _examine_programs()


def judge_python(version: tuple[int, ...]) -> Finding:
    """Judge the version of Python."""
    text = f"Python {'.'.join(map(str, version))}"
    if version[:2] < MIN_PYTHON:
        fix = "install Python 3.11 or newer, and kit with it"
        return Finding("host.python", "problem", f"{text}; kit needs 3.11", fix)
    return Finding("host.python", "ok", text)


def judge_system(system: str, machine: str) -> Finding:
    """Judge the operating system: kit is developed and tested on Linux on x86_64."""
    text = f"{system} on {machine}"
    if system == "Windows":
        fix = "use the Windows Subsystem for Linux: wsl --install"
        return Finding("host.system", "problem", f"{text}, on which kit does not run", fix)
    if machine not in _MACHINES:
        fix = "use a machine with x86_64 or Arm64"
        return Finding("host.system", "problem", f"{text}: runtimes have no packages for it", fix)
    if system != "Linux":
        text += ": native runners, the app and emulated processors need Linux"
        return Finding("host.system", "note", text, "use Linux for these, in a container too")
    return Finding("host.system", "ok", text)


def _examine_disk() -> Iterator[Finding]:
    seen: set[int] = set()
    for folder, fix in (
        (Path.cwd(), "df -h ."),
        (temporary.find_root(), "export TMPDIR=/a/folder/with/space"),
    ):
        device = folder.stat().st_dev
        if device not in seen:
            free = shutil.disk_usage(folder).free
            what = f"free in {folder}"
            yield judge_amount("host.disk", what, free, MIN_DISK, ENOUGH_DISK, fix)
        seen.add(device)


def _examine_memory() -> Finding:
    import psutil

    free = psutil.virtual_memory().available
    fix = "close other programs: ps aux --sort=-rss | head"
    what = "of memory are free"
    return judge_amount("host.memory", what, free, MIN_MEMORY, ENOUGH_MEMORY, fix)


def judge_processor(code: str, name: str, machine: str, features: Collection[str]) -> Finding:
    """Judge the instructions of a processor for int8 products, and what follows for formats.

    Args:
        code: of the finding.
        name: of the processor.
        machine: architecture, as the kernel calls it.
        features: see `kit.devices.hostinfo.parse_int8_features`.
    """
    text = f"{name}: {', '.join(sorted(features)) or 'no int8 instructions are reported'}"
    if machine.startswith(("arm", "aarch64")):
        if "asimddp" in features or "i8mm" in features:
            return Finding(code, "ok", f"{text}; int8 kernels use its dot products")
        text += "; without dot products int8 gains less over float"
        return Finding(code, "note", text, "kit build MODEL --precision fp32,int8")
    if {"avx512_vnni", "avx_vnni", "amx_int8"} & set(features):
        return Finding(code, "ok", f"{text}; int8 products are exact and fast")
    if "avx2" in features:
        text += "; without VNNI int8 ONNX files run with exact and slower kernels"
        return Finding(code, "note", text, "kit bench BUNDLE --device auto")
    text += "; without AVX2 all formats are slow, so that times mean little"
    return Finding(code, "warning", text, "kit bench BUNDLE --device auto")


def _examine_programs() -> Iterator[Finding]:
    for abi in toolchain.ABIS.values():
        package = "g++" if abi.native else abi.package
        yield _look("host.compiler", f"runners for {abi.name}", package, partial(_compiler, abi))
    yield _look("host.jdk", "the app", tools.JDK, lambda: f"JDK {tools.read_java_version()}")
    yield _look("host.maven", "the app", "maven", lambda: tools.find("mvn"))
    yield _look(
        "host.adb",
        "sharing devices; kit reaches them itself",
        "adb",
        lambda: _which("adb"),
    )
    yield _look("host.qemu", "kit verify on other processors", "qemu-user-static", _qemu)
    yield _look("host.browser", "reports as pictures", "chromium", lambda: _which(*_BROWSERS))


def _look(code: str, purpose: str, package: str, find: Callable[[], str]) -> Finding:
    """Return the finding for a program that some command needs."""
    try:
        return Finding(code, "ok", find())
    except MissingTool as exc:
        return Finding(code, "note", f"{exc.message} (for {purpose})", write_install(package))


def _compiler(abi: toolchain.Abi) -> str:
    installed = toolchain.find(abi)
    return f"{installed.compiler} {installed.version} for {abi.name}"


def _qemu() -> str:
    emulators = [emulation.find_emulator(abi) for abi in emulation.PROGRAMS]
    return " and ".join(dict.fromkeys(emulator.name for emulator in emulators))


def _which(*names: str) -> str:
    program = next(filter(None, map(shutil.which, names)), None)
    if program is None:
        raise MissingTool(f"there is no {names[0]}", "")
    return program


def write_install(package: str) -> str:
    """Return the command that installs a package, which has this name on Debian."""
    if shutil.which("apt-get"):
        return f"sudo apt-get install {package}"
    if shutil.which("brew") and package in _BREW:
        return f"brew install {_BREW[package]}"
    return f"install {package} (its name on Debian)"
