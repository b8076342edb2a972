"""`kit doctor`: verdicts on machines, bundles and devices with one problem each."""

from __future__ import annotations

import json
import os
import re
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from conftest import rewrite

from kit import cli
from kit.devices.facts import DeviceFacts
from kit.devices.parsing import Battery, Cluster
from kit.devices.storage import CHECKED, SLACK
from kit.doctor import bundle as bundle_checks
from kit.doctor import device as device_checks
from kit.doctor import host
from kit.doctor.device import DeviceState
from kit.doctor.finding import CODES, VERDICTS, Finding, from_notice, has_problem, judge_amount
from kit.errors import UNFIT
from kit.manifest.artifacts import FailedArtifact
from kit.notice_catalogue import CATALOGUE
from kit.notice_values import SEVERITIES
from kit.notices import Notice, make_notice
from kit.runners import native
from kit.signature import TensorSpec

ROOT = Path(__file__).parents[1]
GOOD = DeviceFacts(
    serial="R58",
    kind="phone",
    state="device",
    model="maker phone",
    soc="SM8550",
    build=None,
    android="14",
    api=34,
    abis=("arm64-v8a",),
    cores=2,
    online=(0, 1),
    clusters=(Cluster((0, 1), 2000),),
    memory=8_000_000_000,
    free_bytes=20_000_000_000,
    page_size=4096,
    battery=Battery(80, 30.0, ("USB",), "charging"),
    thermal_status="none",
    seccomp=2,
    selinux="Enforcing",
    kernel="6.1",
    identity=None,
)
FEATURES = "Features\t: fp asimd asimddp"
STATE = DeviceState(FEATURES)


@dataclass
class BuiltRunner:
    """What the doctor looks at of a native runner."""

    page: int
    files: Mapping[str, tuple[int, str]] = field(default_factory=dict)


def judged(facts: DeviceFacts = GOOD, state: DeviceState = STATE) -> dict[str, Finding]:
    """Return the findings that are not ok, by code."""
    result = list(device_checks.judge_device(facts, state, None))
    return {finding.code: finding for finding in result if finding.verdict != "ok"}


def test_a_good_phone_has_no_findings():
    assert judged() == {}
    assert {"device.abi", "device.pages", "device.heat", "device.settings"} <= {
        finding.code for finding in device_checks.judge_device(GOOD, STATE, None)
    }


@pytest.mark.parametrize(
    ("change", "code", "verdict", "message"),
    [
        ({"abis": ("armeabi-v7a",)}, "device.abi", "problem", "armeabi-v7a; native runners"),
        ({"api": 25}, "device.api", "problem", "API level 25; kit needs 26"),
        (
            {"free_bytes": 50_000_000},
            "device.disk",
            "problem",
            "50 MB free on it; 150 MB",
        ),
        ({"free_bytes": 300_000_000}, "device.disk", "warning", "300 MB free on it"),
        ({"memory": 400_000_000}, "device.memory", "problem", "400 MB of memory"),
        ({"battery": Battery(9, 30.0, ("USB",), None)}, "device.battery", "warning", "at 9 %"),
        ({"battery": Battery(90, 30.0, (), None)}, "device.battery", "note", "not plugged in"),
        ({"battery": Battery(90, 44.5, ("AC",), None)}, "device.warm", "warning", "44.5 °C"),
        ({"thermal_status": "severe"}, "device.thermal-status", "warning", "status severe"),
        ({"online": (0,)}, "device.cores", "note", "cores 1 are switched off"),
        ({"kind": "emulator"}, "device.kind", "note", "an emulator: its times"),
    ],
)
def test_each_problem_has_its_finding(change, code, verdict, message):
    result = judged(replace(GOOD, **change))
    assert list(result) == [code]
    assert result[code].verdict == verdict
    assert message in result[code].text


@pytest.mark.parametrize(
    ("state", "code", "fix"),
    [
        (
            DeviceState(FEATURES, {("global", "low_power"): "1"}),
            "device.settings",
            "adb -s R58 shell settings put global low_power 0",
        ),
        (DeviceState(FEATURES, leftovers=True), "device.leftovers", "kit clean --device R58"),
        (DeviceState("Features\t: fp asimd"), "device.processor", "kit build MODEL --precision"),
    ],
)
def test_disturbances_have_a_command_that_fixes_them(state, code, fix):
    result = judged(state=state)
    assert list(result) == [code]
    assert result[code].fix.startswith(fix)


def test_a_serial_is_quoted_in_a_command():
    result = judged(replace(GOOD, serial="a; rm -rf /"), DeviceState(FEATURES, leftovers=True))
    assert result["device.leftovers"].fix == "kit clean --device 'a; rm -rf /'"


def test_a_device_that_reports_nothing_is_not_refused():
    unknown = replace(
        GOOD,
        api=None,
        memory=None,
        free_bytes=None,
        page_size=None,
        battery=None,
        thermal_status=None,
        clusters=(),
        online=(),
    )
    assert not has_problem(device_checks.judge_device(unknown, DeviceState(), None))


def test_pages_of_16_kb_need_libraries_made_for_them(monkeypatch):
    pages = {"lite": 4096, "onnx": 16384}

    monkeypatch.setattr(
        native, "find", lambda _, name: BuiltRunner(pages[name]) if name in pages else None
    )
    names = ["lite", "onnx", "executorch"]
    result = list(device_checks.judge_pages(16384, "arm64-v8a", names))
    assert [finding.verdict for finding in result] == ["warning", "ok", "note"]
    assert result[2].fix == "kit runner build --abi arm64-v8a --format executorch"
    assert [f.verdict for f in device_checks.judge_pages(4096, "arm64-v8a", names)] == ["ok"]


def test_pages_that_no_runner_fits_are_a_problem(monkeypatch):
    monkeypatch.setattr(native, "find", lambda *_: BuiltRunner(4096))
    result = list(device_checks.judge_pages(16384, "x86_64", ["lite", "onnx"]))
    assert {(finding.verdict, finding.fix) for finding in result} == {
        ("problem", "use a device with pages of 4 KB")
    }


def judged_files(bundle, folder: Path, *changes: dict[str, object]) -> list[tuple[str, ...]]:
    """Return verdict, text and fix about the files of a bundle whose artifacts are changed."""

    def change(fields) -> None:
        pairs = zip(fields["artifacts"], changes, strict=True)
        fields["artifacts"] = tuple(one.model_copy(update=new) for one, new in pairs)

    other = rewrite(bundle, folder, {"x": np.zeros(1)}, change)
    return [(f.verdict, f.text, f.fix) for f in device_checks.judge_files(other)]


def test_the_files_that_run_on_a_device_are_named(tiny_bundle, tmp_path):
    assert judged_files(tiny_bundle, tmp_path / "all", {}, {}) == [
        ("ok", "native runners exist for lite-fp32 and onnx-fp32", "")
    ]
    scripted, lowered = {"format": "torchscript"}, {"executed": False}
    assert judged_files(tiny_bundle, tmp_path / "some", scripted, {}) == [
        ("ok", "native runners exist for onnx-fp32", ""),
        (
            "note",
            "will not run there: torchscript-fp32 has no native runner",
            "kit bench BUNDLE, on this machine",
        ),
    ]
    assert judged_files(tiny_bundle, tmp_path / "lowered", {}, lowered)[1:] == [
        (
            "note",
            "will not run there: onnx-fp32 is for a backend that no runner of kit has",
            "",  # this machine runs it no more than the device does
        )
    ]
    (result,) = judged_files(tiny_bundle, tmp_path / "none", scripted, lowered)
    assert result == (
        "problem",
        "no file of the bundle runs there: torchscript-fp32 has no native runner, and onnx-fp32 "
        "is for a backend that no runner of kit has",
        "kit build MODEL --format executorch,litert",  # not lite, which PyTorch has given up
    )
    assert list(device_checks.judge_files(None)) == []


def test_what_is_on_a_device_already_needs_no_space_again(tiny_bundle, monkeypatch):
    sizes = {name: 30_000_000 + number for number, name in enumerate(("lite", "onnx"))}
    digests = {name: str(number) * 64 for number, name in enumerate(sizes)}
    library = (5_000_000, "c" * 64)  # which both have, and which is pushed once

    def find(_: str, name: str) -> BuiltRunner:
        return BuiltRunner(16384, {"runner": (sizes[name], digests[name]), "lib.so": library})

    monkeypatch.setattr(native, "find", find)
    measured = [tiny_bundle.manifest.measure(one.file) for one in tiny_bundle.manifest.artifacts]
    model = {(one.sha256, one.size) for one in measured}
    runners = {(digests[name], size) for name, size in sizes.items()}
    strangers = {("e" * 64, 900_000_000)}
    altered = {(digests["lite"], 1)}
    everything = sum(size for _, size in {*model, *runners, (library[1], library[0])}) + SLACK
    for kept, needed in (
        (set(), everything),
        (strangers | altered, everything),
        (runners, everything - sum(sizes.values())),
        ({*model, *runners, (library[1], library[0])}, SLACK),
    ):
        for free, verdict in ((needed - 1, "problem"), (needed, "warning")):
            findings = device_checks.judge_device(
                replace(GOOD, free_bytes=free), DeviceState(FEATURES, kept=kept), tiny_bundle
            )
            found = [finding.verdict for finding in findings if finding.code == "device.disk"]
            assert found == [verdict], (kept, free)


def test_the_files_that_a_device_keeps_are_listed_by_content(tmp_path, monkeypatch):
    digest = "a" * 64
    for name, time in ((digest, CHECKED), ("b" * 64, CHECKED + 1)):
        (tmp_path / name).write_bytes(b"123")
        os.utime(tmp_path / name, (time, time))
    monkeypatch.setattr(device_checks, "BLOBS", tmp_path)
    monkeypatch.setattr(device_checks, "JOURNAL", tmp_path / "none")

    def ask(_: object, script: str) -> str:
        return subprocess.run(["sh", "-c", script], capture_output=True, text=True).stdout

    monkeypatch.setattr(device_checks, "ask", ask)
    assert device_checks.read_state(None).kept == {(digest, 3)}
    monkeypatch.setattr(device_checks, "BLOBS", tmp_path / "none")
    assert device_checks.read_state(None).kept == set()


def test_a_large_model_needs_more_memory(tiny_bundle, monkeypatch):
    small = replace(GOOD, memory=3_000_000_000)
    for megabytes, verdict in ((1, "ok"), (1000, "warning"), (3000, "problem")):
        sized = SimpleNamespace(size=megabytes * 1_000_000, sha256="a" * 64)
        monkeypatch.setattr(type(tiny_bundle.manifest), "measure", lambda *_, one=sized: one)
        findings = device_checks.judge_device(small, STATE, tiny_bundle)
        assert [f.verdict for f in findings if f.code == "device.memory"] == [verdict]


@pytest.mark.parametrize(
    ("machine", "features", "verdict", "message"),
    [
        ("x86_64", ("avx2", "avx512_vnni"), "ok", "exact and fast"),
        ("x86_64", ("avx2",), "note", "without VNNI int8 ONNX files run with exact"),
        ("x86_64", (), "warning", "without AVX2"),
        ("aarch64", ("asimd", "asimddp"), "ok", "dot products"),
        ("aarch64", ("asimd",), "note", "without dot products"),
    ],
)
def test_processors(machine, features, verdict, message):
    result = host.judge_processor("host.processor", "Some CPU", machine, features)
    assert (result.verdict, message in result.text) == (verdict, True)
    assert bool(result.fix) == (verdict != "ok")


def test_systems_and_versions_of_python():
    assert host.judge_python((3, 10, 4)).verdict == "problem"
    assert host.judge_python((3, 12, 0)).verdict == "ok"
    pairs = [("Linux", "x86_64"), ("Darwin", "arm64"), ("Windows", "AMD64"), ("Linux", "s390x")]
    verdicts = [host.judge_system(*pair).verdict for pair in pairs]
    assert verdicts == ["ok", "note", "problem", "problem"]


def test_amounts_are_judged_at_their_limits():
    verdicts = [
        judge_amount("host.disk", "free", size, 500, 1000, "df").verdict
        for size in (499, 500, 999, 1000)
    ]
    assert verdicts == ["problem", "warning", "warning", "ok"]


def test_a_program_that_is_missing_comes_with_the_command_that_installs_it(monkeypatch):
    monkeypatch.setattr("shutil.which", lambda name: f"/usr/bin/{name}" if name == "brew" else None)
    monkeypatch.delenv("JAVA_HOME", raising=False)
    host.emulation.find_emulator.cache_clear()
    result = {f.code: f for f in host.examine_host() if f.verdict == "note"}
    host.emulation.find_emulator.cache_clear()
    assert {"host.compiler", "host.jdk", "host.maven", "host.adb", "host.qemu"} <= set(result)
    assert result["host.maven"].fix == "brew install maven"
    assert "g++" in result["host.compiler"].fix
    monkeypatch.setattr("shutil.which", lambda name: f"/usr/bin/{name}")
    assert host.write_install("maven") == "sudo apt-get install maven"


@pytest.mark.parametrize(
    ("spec", "codes"),
    [
        ({"shape": (1, 3, 8, 8)}, []),
        ({"shape": (1, 16), "dtype": "int64"}, ["bundle.types"]),
        ({"shape": (1, 2, 3, 4, 5)}, ["bundle.shapes"]),
        ({"shape": (8, 3, 8, 8)}, ["bundle.shapes"]),
        ({"shape": (1, 3, 2048, 2048)}, ["bundle.shapes"]),
    ],
)
def test_traps_of_dtypes_and_shapes(spec, codes):
    result = bundle_checks.judge_signature((TensorSpec(name="x", **spec),), "input")
    assert [finding.code for finding in result if finding.verdict != "ok"] == codes


def test_what_a_bundle_does_not_hold_or_cannot_run(tiny_bundle, tmp_path):
    def change(fields) -> None:
        lite, onnx = fields["artifacts"]
        new = lite.model_copy(update={"executed": False, "format_version": "bytecode 11"})
        fields["artifacts"] = (new, onnx.model_copy(update={"format": "gone"}))
        failed = FailedArtifact(
            format="executorch", precision="int8", stage="lowering", reason="no", hint="do this"
        )
        fields["failed"] = (failed,)
        fields["tools"] = {"numpy": "0.1", "nothing": "2"}
        fields["notices"] = (make_notice("weights.random"),)

    other = rewrite(tiny_bundle, tmp_path / "other", {"x": np.zeros(1)}, change)
    result = [f for f in bundle_checks.examine_bundle(other) if f.verdict != "ok"]
    assert [(f.code, f.verdict) for f in result] == [
        ("artifact.not-run", "note"),
        ("bundle.artifacts", "warning"),
        ("bundle.version", "problem"),
        ("bundle.version", "problem"),
        ("format.ended", "note"),
        ("bundle.tools", "note"),
        ("weights.random", "warning"),
    ]
    assert result[1].fix == "do this"
    assert "numpy 0.1" in result[5].text
    assert "nothing 2 (missing here)" in result[5].text


def test_what_two_files_share_is_said_once(tiny_bundle, tmp_path):
    def change(fields) -> None:
        lite, onnx = fields["artifacts"]
        fields["artifacts"] = (
            lite,
            onnx.model_copy(update={"format": "lite", "precision": "int8"}),
        )
        fields["notices"] = (make_notice("weights.random"),) * 2

    other = rewrite(tiny_bundle, tmp_path / "other", {"x": np.zeros(1)}, change)
    codes = [f.code for f in bundle_checks.examine_bundle(other)]
    assert codes.count("format.ended") == codes.count("weights.random") == 1
    assert codes.count("bundle.version") == 2


def test_a_bundle_without_a_problem_gives_exit_code_0(lite_bundle, capsys):
    assert cli.run(["doctor", str(lite_bundle.path), "--json"]) == 0
    result = json.loads(capsys.readouterr().out)
    assert sum(result["counts"].values()) == len(result["findings"])
    for finding in result["findings"]:
        assert finding["code"] in {*CODES, *CATALOGUE}
        assert finding["verdict"] in VERDICTS


def test_problems_are_printed_with_an_exit_code(tmp_path, capsys, no_settings):
    assert cli.run(["doctor", str(tmp_path / "gone"), "--device", "127.0.0.1:1"]) == UNFIT
    out, err = capsys.readouterr()
    problems = [line for line in out.splitlines() if line.startswith("problem")]
    assert [line.split()[1] for line in problems] == ["bundle.files:", "device.reach:"]
    assert all(" -> " in line for line in problems)
    assert "2 problems" in err
    assert len(out.splitlines()) == sum(map(int, re.findall(r"(\d+) ", err)))


def test_every_severity_of_a_notice_has_a_verdict():
    verdicts = [from_notice(Notice(code="x", severity=one)).verdict for one in SEVERITIES]
    assert verdicts == ["note", "note", "warning", "problem"]


def test_codes_are_documented_and_used():
    text = (ROOT / "docs/doctor.md").read_text(encoding="utf-8")
    documented = dict(re.findall(r"^\| `([a-z]+\.[a-z]+)` \| (.+) \|$", text, re.M))
    assert documented == CODES
    sources = "".join(file.read_text() for file in (ROOT / "kit/doctor").glob("[!f]*.py"))
    assert [code for code in CODES if f'"{code}"' not in sources] == []
    assert f"{UNFIT}" in text
