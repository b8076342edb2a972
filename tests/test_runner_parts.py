"""Parts of native runners: libraries, compilers and wheels."""

from __future__ import annotations

import hashlib
import re
import shutil
import subprocess
import sys
import zipfile
from dataclasses import replace
from pathlib import Path

import pytest

from kit import formats
from kit.errors import BuildError, KitError, MissingTool, OutputError, UnknownName
from kit.runners import affinity, elf, library_wheels, native, protocol, toolchain

ARM, X86 = toolchain.get_abi("arm64-v8a"), toolchain.get_abi("x86_64")
HERE = next((abi for abi in (ARM, X86) if abi.native), None)
needs_linux = pytest.mark.skipif(HERE is None, reason="reads libraries of Linux")


def libraries() -> list[Path]:
    """Return installed libraries of several vendors."""
    import numpy as np
    import onnxruntime

    roots = [Path(p.__file__ or "").parent for p in (np, onnxruntime)]
    result = [file for root in roots for file in sorted(root.rglob("*.so*"))[:4]]
    return [file for file in result if elf.is_elf(file)]


# libraries -------------------------------------------------------------------------------


@needs_linux
def test_library_symbols_equal_those_of_readelf() -> None:
    if shutil.which("readelf") is None:
        pytest.skip("readelf is not installed")
    for file in libraries():
        result, text = elf.read_elf(file), readelf("-d", file)
        assert list(result.needed) == re.findall(r"\(NEEDED\).*\[(.*)\]", text)
        assert [result.soname] == (re.findall(r"\(SONAME\).*\[(.*)\]", text) or [None])
        aligned = re.findall(r"^ +LOAD .* (0x[0-9a-f]+)$", readelf("-l", file), re.M)
        assert result.alignment == min(int(number, 16) for number in aligned)
        versions = re.findall(r"Name: GLIBC_(\d+)\.(\d+)", readelf("-V", file))
        assert result.glibc == max(((int(a), int(b)) for a, b in versions), default=(0, 0))
        taken = re.findall(r"UND (\w+)@(\S+)", readelf("--dyn-syms", file))
        expected = {
            pair for pairs in elf.read_needed_symbols(file).values() for pair in pairs.items()
        }
        assert {(n, v) for n, v in taken} == {(n, v) for n, v in expected}


def readelf(option: str, file: Path) -> str:
    words = ["readelf", "-W", option, str(file)]
    return subprocess.run(words, capture_output=True, text=True, check=True).stdout


@needs_linux
def test_a_damaged_library_is_an_error(tmp_path) -> None:
    whole = libraries()[0].read_bytes()
    for length in (0, 3, 64, 100, len(whole) // 2):
        (tmp_path / "lib.so").write_bytes(whole[:length])
        with pytest.raises(BuildError, match=r"lib\.so is no library that can be read"):
            elf.read_elf(tmp_path / "lib.so")
    (tmp_path / "lib.so").write_text("INPUT(libm.so.6)")
    assert not elf.is_elf(tmp_path / "lib.so")


# compilers -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("abi", "package"), [(ARM, "g++-aarch64-linux-gnu"), (X86, "g++-x86-64-linux-gnu")]
)
def test_a_missing_compiler_is_named_with_its_package(abi, package, monkeypatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(MissingTool, match=f"runner for {abi.name}") as caught:
        toolchain.find(abi)
    assert f"apt-get install {'g++' if abi.native else package}" in caught.value.hint


def test_no_wheel_is_fetched_without_a_compiler(monkeypatch, tmp_path) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    with pytest.raises(MissingTool, match="to build a runner"):
        native.build("arm64-v8a", ["onnx"])
    assert list(tmp_path.iterdir()) == []


@needs_linux
def test_a_fault_of_the_compiler_is_reported_in_a_line(tmp_path) -> None:
    assert HERE is not None
    if shutil.which("g++") is None:
        pytest.skip("g++ is not installed")
    tools = toolchain.find(HERE)
    source = tmp_path / "bad.cpp"
    source.write_text("int main() { return nothing; }\n")
    with pytest.raises(BuildError, match=r"cannot build it: .*error.*nothing") as caught:
        tools.compile([str(source), "-o", str(tmp_path / "bad")], "it")
    assert "\n" not in caught.value.message
    assert tools.library("libstdc++.so.6") is not None
    assert tools.library("libnowhere.so.1") is None


# wheels ----------------------------------------------------------------------------------


@pytest.fixture
def pin(tmp_path) -> library_wheels.Pin:
    """A wheel that is already in the folder of wheels."""
    pin = library_wheels.Pin("nothing", "1.0", "any", "")
    with zipfile.ZipFile(tmp_path / pin.file, "w") as archive:
        for name in ("lib/liba.so.1", "lib/libb.so", "include/a.h", "code.py", "data.bin"):
            archive.writestr(f"nothing/{name}", name)
    digest = hashlib.sha256((tmp_path / pin.file).read_bytes()).hexdigest()
    return replace(pin, sha256=digest)


def test_a_wheel_is_unpacked_once(pin, tmp_path) -> None:
    output: list[str] = []
    source = library_wheels.WheelSource(pin, pin.version, None)
    root = library_wheels.fetch(source, tmp_path, output.append)
    files = sorted(str(p.relative_to(root)) for p in root.rglob("*") if p.is_file())
    assert files == ["include/a.h", "lib/liba.so.1", "lib/libb.so"]
    assert output == [f"unpacking {pin.file}"]
    assert [p.name for p in tmp_path.iterdir()] == [root.parent.name]
    assert library_wheels.fetch(source, tmp_path, output.append) == root
    assert len(output) == 1


def test_a_wheel_of_another_hash_is_refused(pin, tmp_path) -> None:
    other = replace(pin, sha256="0" * 64)
    with pytest.raises(MissingTool, match=f"{pin.sha256}, not the 0000"):
        library_wheels.fetch(library_wheels.WheelSource(other, "1.0", None), tmp_path, print)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_a_wheel_that_cannot_be_fetched_is_one_sentence(monkeypatch, tmp_path) -> None:
    monkeypatch.setenv("PIP_NO_INDEX", "1")  # as without a network, and at once
    monkeypatch.setenv("UV_OFFLINE", "1")
    monkeypatch.setenv("UV_CACHE_DIR", str(tmp_path.parent / "uv"))
    pin = formats.get_format("onnx").native.pins["arm64-v8a"]
    with pytest.raises(MissingTool, match=f"cannot fetch {pin.file}: .*onnxruntime") as caught:
        library_wheels.fetch(
            library_wheels.WheelSource(pin, pin.version, None), tmp_path, lambda _: None
        )
    assert "\n" not in caught.value.message
    assert str(tmp_path) in caught.value.hint
    assert list(tmp_path.iterdir()) == []


def test_a_cache_that_cannot_be_written_is_an_output_error(pin, tmp_path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="cannot unpack"):
        library_wheels.fetch(library_wheels.WheelSource(pin, "1.0", None), tmp_path / "file", print)


def test_every_runner_has_a_pinned_wheel() -> None:
    assert native.list_formats() == ("executorch", "lite", "litert", "onnx")
    for name in native.list_formats():
        pins = formats.get_format(name).native.pins
        assert set(pins) == set(native.ABIS)
        assert all(re.fullmatch("[0-9a-f]{64}", pin.sha256) for pin in pins.values())


def test_the_pins_are_the_versions_that_kit_asks_for() -> None:
    project = (Path(__file__).parents[1] / "pyproject.toml").read_text()
    for name in native.list_formats():
        for abi, pin in formats.get_format(name).native.pins.items():
            expected = re.search(rf'"{pin.package}==([^"]+)"', project)
            assert expected
            if (abi, name) != ("arm64-v8a", "lite"):  # see the note in its native.py
                assert pin.version == expected[1]


# names, and the two sides of the protocol --------------------------------------------------


def test_an_unknown_name_is_a_usage_error() -> None:
    with pytest.raises(UnknownName, match="ABI called 'arm64'") as caught:
        native.find("arm64", "onnx")
    assert "arm64-v8a" in caught.value.hint
    with pytest.raises(UnknownName, match="the format reference has no native runner"):
        native.build("x86_64", ["reference"])


def test_both_sides_have_the_same_version_and_stages() -> None:
    sources = Path(native.__file__).parent
    main, header = ((sources / name).read_text() for name in ("main.cpp", "runner.h"))
    assert f"kProtocol = {protocol.VERSION};" in main
    stages = re.search(r"enum class Stage \{ usage = 2, (.*) \}", header)
    assert stages
    codes = [code.name.lower() for code in protocol.Exit if code != protocol.Exit.OK]
    assert ["usage", *stages[1].split(", ")] == codes


@pytest.mark.parametrize("mask", ["f0", "F0", "1", "0" * 255 + "1"])
def test_a_mask_is_taken(mask) -> None:
    assert affinity.check(mask) == mask


@pytest.mark.parametrize("mask", ["0", "0x1", "g", "-1", " 1", "f" * 257])
def test_an_invalid_mask_is_refused(mask) -> None:
    with pytest.raises(KitError, match="--cpus"):
        affinity.check(mask)


@pytest.mark.parametrize(
    ("words", "code", "output"),
    [
        (["build", "--abi", "mips"], 2, "no ABI called 'mips'"),
        (["build", "--format", "onxx"], 2, "did you mean onnx?"),
        (["build", "--format", "torchscript"], 2, "torchscript has no native runner"),
        (["biuld"], 2, "did you mean build?"),
    ],
)
def test_the_command_refuses_unknown_names(words, code, output) -> None:
    done = kit("runner", *words)
    assert done.returncode == code
    assert output in done.stderr
    assert "Traceback" not in done.stderr


def test_an_empty_list_suggests_building(monkeypatch, tmp_path) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert kit("runner", "list", "--json").stdout.strip() == "[]"
    assert "kit runner build" in kit("runner", "list").stderr


def kit(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "kit", *words], capture_output=True, text=True, check=False
    )
