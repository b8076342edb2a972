"""Measuring on a device: real runners on the x86_64 virtual device, and once on arm64."""

from __future__ import annotations

import json
import os
import shutil
import signal
import threading
import time
from collections.abc import Callable
from pathlib import Path

import native_samples
import numpy as np
import pytest
import virtual_device
from bundle_samples import answer_images
from conftest import rewrite
from device_samples import ENDLESS, QUICK, connected, is_whole, left, opened, running, until

from kit import cli
from kit.artifact_key import REFERENCE
from kit.bench import cores, fleet, measure, sustained, sweep
from kit.bench import runner as bench_runner
from kit.bundles import loading, writing
from kit.bundles.bundle import MANIFEST, Bundle
from kit.devices import adb
from kit.devices.storage import BLOBS, CHECKED
from kit.errors import DeviceError, RunError, UsageError
from kit.manifest.schema import Golden, Manifest
from kit.notices import make_notice
from kit.results import store
from kit.results.latency import LatencyResult
from kit.runners import native, protocol

pytestmark = pytest.mark.usefixtures("direct")
PAIR = QUICK.model_copy(update={"name": "custom", "repeats": 2, "memory": True})


@pytest.fixture(scope="module")
def shared_device(native_onnx):
    """A device for this file; `device` puts back what a test changes."""
    try:
        with virtual_device.running("x86_64", size_mb=1024) as one:
            yield one
    except virtual_device.CannotRun as exc:
        pytest.skip(str(exc))


@pytest.fixture(scope="module")
def native_onnx():
    return native_samples.runner("onnx")


@pytest.fixture
def device(shared_device):
    values = shared_device.state.values
    before = {one: one.read_bytes() for one in values.rglob("*") if one.is_file()}
    yield shared_device
    for one in values.rglob("*"):
        if one.is_file() and one not in before:
            one.unlink()
    for one, content in before.items():
        one.write_bytes(content)
    shared_device.state.set(clock=1_800_000)
    shared_device.state.banner(None)
    assert left(shared_device) == []


def on(device, bundle, plan=QUICK, formats=("onnx",), **options) -> LatencyResult:
    with opened(device.serial) as one:
        (actual,) = measure.measure_all([bundle], list(formats), plan, None, one, **options)
    return actual


def altered(source: Bundle, target: Path, name: str, change: Callable[[bytes], bytes]) -> Bundle:
    """Copy a bundle with another content of one file, hashed anew."""
    manifest = source.manifest
    fields = {key: getattr(manifest, key) for key in Manifest.model_fields if key != "files"}
    with writing.stage_bundle(target) as work:
        shutil.copytree(source.path, work, dirs_exist_ok=True)
        (work / MANIFEST).unlink()
        (work / name).write_bytes(change((work / name).read_bytes()))
        writing.write_manifest(work, fields)
    return loading.load_bundle(target)


# what a result says -----------------------------------------------------------------------


def test_a_result_names_the_device_and_how_it_fared(device, tiny_bundle):
    device.state.set(temperature=31.5, battery=66, clock=1_200_000)
    (run,) = on(device, tiny_bundle, PAIR).runs
    assert (run.device.kind, run.device.serial, run.via) == ("virtual", device.serial, "native")
    assert "vdev" in run.device.name
    assert [len(p.samples_ns) for p in run.processes] == [8, 8]
    assert run.golden_max_abs == pytest.approx(0, abs=1e-5)
    for process in run.processes:
        last = process.conditions[-1]
        assert (last.temperature_c, last.battery, last.thermal_status) == (31.5, 66, "none")
        assert set(last.mhz) == {1200.0}
        assert process.load_ns > 0
        assert process.waited == 0.0
    times = [p.conditions[-1].seconds for p in run.processes]
    assert 0 < times[0] < times[1] < 60
    assert run.peak_rss is not None
    assert run.base_rss is not None
    assert 1e6 < run.base_rss < run.peak_rss
    assert run.context.os.startswith("Android 15 (API 35)")
    assert "virtual" in run.context.machine
    assert run.context.settings == {"stay awake": "while plugged in", "fixed performance": "on"}
    assert run.context.versions["runner"].startswith("native")


def test_the_second_time_nothing_travels(device, tiny_bundle):
    with opened(device.serial) as one:
        measure.measure(tiny_bundle, ["onnx"], QUICK, device=one)
        assert one.pushed >= 0
    before = {n: s for n, s in device.files().items() if "/blobs/" in n}
    assert len(before) > 3
    with opened(device.serial) as one:
        measure.measure(tiny_bundle, ["onnx"], QUICK, device=one)
        assert one.pushed == 0
    assert {n: s for n, s in device.files().items() if "/blobs/" in n} == before


def test_the_wait_for_a_cool_device_is_bounded_and_reported(device, tiny_bundle, monkeypatch):
    monkeypatch.setattr(adb, "COOL_PAUSE", 0.2)
    device.state.set(temperature=45.0)
    plan = QUICK.model_copy(update={"cool_c": 38.0, "cool_seconds": 1.2})
    (run,) = on(device, tiny_bundle, plan).runs
    assert 1.2 <= run.processes[0].waited < 20
    assert run.processes[0].conditions[-1].temperature_c == 45.0
    assert make_notice("device.warm", temperature=45.0, limit=38.0) in run.notices


@pytest.mark.slow
def test_a_device_that_cools_down_is_not_waited_for_longer(device, tiny_bundle, monkeypatch):
    settle = adb.AdbDevice.settle

    def settling(*arguments):  # it cools down once it is waited for, however long files travel
        cooler = {"temperature": 30.0, "thermal_status": 0}
        threading.Timer(1.5, device.state.set, [], cooler).start()
        return settle(*arguments)

    monkeypatch.setattr(adb, "COOL_PAUSE", 0.1)
    monkeypatch.setattr(adb.AdbDevice, "settle", settling)
    device.state.set(temperature=45.0, thermal_status=2)
    plan = QUICK.model_copy(update={"cool_seconds": 600.0})
    (run,) = on(device, tiny_bundle, plan).runs
    assert 1 < run.processes[0].waited < 60
    assert not any(notice.code.startswith("device.") for notice in run.notices)


def test_a_thermal_status_is_a_warning(device, tiny_bundle):
    device.state.set(thermal_status=3)
    plan = QUICK.model_copy(update={"cool_seconds": 0.0})
    (run,) = on(device, tiny_bundle, plan).runs
    assert make_notice("device.thermal-status", statuses=("severe",)) in run.notices


def test_a_device_that_tells_nothing_is_measured(device, tiny_bundle):
    for service in ("battery", "thermalservice", "power"):
        device.state.dumpsys(service, None)
    (run,) = on(device, tiny_bundle).runs
    last = run.processes[0].conditions[-1]
    assert (last.temperature_c, last.battery, last.thermal_status) == (None, None, None)


# cores, operators, sweeps, minutes --------------------------------------------------------


def test_cores_are_read_back(device, tiny_bundle):
    core = max(os.sched_getaffinity(0))
    (run,) = on(device, tiny_bundle, QUICK.model_copy(update={"cpus": f"{1 << core:x}"})).runs
    assert run.cpus == f"{1 << core:x}"


def test_cores_that_the_kernel_leaves_out_are_reported(device, tiny_bundle):
    count = os.cpu_count() or 1
    present = device.folder / "sys/devices/system/cpu/present"
    before = present.read_text()
    present.write_text(f"0-{count + 1}\n")  # two that are switched off
    with opened(device.serial) as one:
        mask = cores.make_mask(f"{(4 << count) - 1:x}", one.clusters)
    present.write_text(before)
    (run,) = on(device, tiny_bundle, QUICK.model_copy(update={"cpus": mask})).runs
    real = f"{(1 << count) - 1:x}"
    assert run.cpus == real
    (notice,) = [notice for notice in run.notices if notice.code == "cores.not-given"]
    assert notice.values["asked"] == f"0-{count + 1}"
    assert str(notice.values["given"]).startswith("0")
    assert notice.values["mask"] == real


def test_a_mask_of_cores_that_do_not_exist_is_refused(device, tiny_bundle, capsys):
    count = os.cpu_count() or 1
    options = ["--device", device.serial, "--quick", "--cpus", f"{2 << count:x}"]
    assert cli.run(["bench", str(tiny_bundle.path), *options]) == 2
    err = capsys.readouterr().err
    assert f"there is no core {count + 1}; there are 0" in err
    assert f"like {(1 << count) - 1:x} for all" in err
    options = ["--runner", "python", "--quick", "--cpus", f"{2 << count:x}"]
    assert cli.run(["bench", str(tiny_bundle.path), *options]) == 2  # here as well


def test_a_core_that_is_not_there_is_reported(device, tiny_bundle):
    with pytest.raises(RunError, match="exit code 7 at affinity") as caught:
        on(device, tiny_bundle, QUICK.model_copy(update={"cpus": f"{1 << 63:x}"}))
    assert "leave --cpus out" in caught.value.hint


def test_operators_of_a_profile(device, tiny_bundle):
    (run,) = on(device, tiny_bundle, profile=True).runs
    assert {"Conv", "Gemm"} <= {one.type.removeprefix("Fused") for one in run.operators}
    assert all(one.calls > 0 and one.total_ns > 0 for one in run.operators)
    assert all(len(p.samples_ns) == 8 for p in run.processes)  # none of the profiled ones


def test_a_sweep_recommends_what_it_measured(device, tiny_bundle):
    with opened(device.serial) as one:
        tried = sweep.list_settings(one)
        (actual,) = sweep.sweep([tiny_bundle], ["onnx"], QUICK, one, lambda *_: None)
    assert [(run.plan.threads, bool(run.plan.cpus)) for run in actual.runs] == [
        (setting.threads, setting.cpus != "all") for setting in tried
    ]
    assert {setting.threads for setting in tried} >= {1}
    best = actual.recommended["onnx-fp32"]
    assert (best.threads, best.cpus) in [(setting.threads, setting.cpus) for setting in tried]


@pytest.mark.slow
def test_minutes_of_a_sustained_run(device, tiny_bundle):
    plan = sustained.make_plan(0.6 / 60, QUICK)
    (run,) = on(device, tiny_bundle, plan).runs
    (process,) = run.processes
    actual = sustained.split_minutes(process, length=0.2)
    assert 2 <= len(actual) <= 3
    assert [one.number for one in actual] == list(range(1, len(actual) + 1))
    assert sum(one.count for one in actual) == len(process.samples_ns)
    assert sum(process.samples_ns) / 1e9 == pytest.approx(0.6, rel=0.3)


# several devices --------------------------------------------------------------------------


@pytest.mark.slow
def test_one_failing_device_does_not_stop_the_other(
    device, clean_device, tiny_bundle, tmp_path, capsys
):
    old = clean_device
    old.state.prop("ro.build.version.sdk", "25")
    serials = f"{old.serial},{device.serial}"
    options = ["--format", "onnx", "--quick", "--json", "-o", str(tmp_path / "out")]
    assert cli.run(["bench", str(tiny_bundle.path), "--device", serials, *options]) == 9
    out, err = capsys.readouterr()
    assert "kit needs API 26" in err
    assert [row["format"] for row in json.loads(out)["results"]] == ["onnx"]
    (file,) = (tmp_path / "out").iterdir()
    assert file.name.endswith("-tiny.json")  # the serial comes first, whoever failed
    actual = store.read(file)
    assert isinstance(actual, LatencyResult)
    assert actual.runs[0].device.serial == device.serial
    assert list(old.storage.iterdir()) == []


@pytest.mark.slow
def test_devices_are_measured_at_once(device, clean_device, tiny_bundle):
    two = [device, clean_device]
    inside = threading.Barrier(2)  # broken unless both are in there together

    def work(serial, stop):
        with opened(serial) as one:
            inside.wait(60)
            return measure.measure(tiny_bundle, ["onnx"], QUICK, device=one)

    outcomes = fleet.run_each([one.serial for one in two], work)
    assert [o.error for o in outcomes] == [None, None]
    assert [o.result.runs[0].device.serial for o in outcomes if o.result] == [
        one.serial for one in two
    ]


# devices and bundles that cannot be measured ----------------------------------------------


@pytest.mark.parametrize(
    ("props", "words"),
    [
        ({"ro.product.cpu.abilist": "armeabi-v7a,armeabi"}, "runs armeabi-v7a, armeabi; native"),
        ({"ro.build.version.sdk": "25", "ro.build.version.release": "7.1"}, "Android 7.1 .API 25"),
    ],
)
def test_a_device_that_cannot_run_it(clean_device, tiny_bundle, props, words):
    for name, value in props.items():
        clean_device.state.prop(name, value)
    with pytest.raises(DeviceError, match=words):
        on(clean_device, tiny_bundle)
    assert list(clean_device.storage.iterdir()) == []  # nothing travelled


def test_pages_that_are_too_large_for_the_libraries(device, tiny_bundle, native_onnx):
    device.state.set(page_size=4 * native_onnx.page)
    with pytest.raises(DeviceError, match=rf"pages of {4 * native_onnx.page} bytes, and libraries"):
        on(device, tiny_bundle)


def test_python_does_not_run_there(device, tiny_bundle):
    with pytest.raises(UsageError, match="no Python on"):
        on(device, tiny_bundle, runner="python")
    with pytest.raises(UsageError, match="eager PyTorch, which does not run on"):
        on(device, tiny_bundle, formats=(REFERENCE,))


def test_a_runner_of_another_kit_is_refused(device, tiny_bundle, native_onnx, monkeypatch):
    monkeypatch.setattr(bench_runner, "choose", lambda *_: {"onnx": native_onnx})
    monkeypatch.setattr(protocol, "VERSION", 99)
    with pytest.raises(RunError, match="speaks protocol 4; this kit speaks 99"):
        on(device, tiny_bundle)


def test_a_model_that_the_runtime_refuses(device, tiny_bundle, tmp_path, capsys, monkeypatch):
    broken = altered(tiny_bundle, tmp_path / "broken", "model-fp32.onnx", lambda data: data[:700])
    options = ["--format", "onnx", "--quick", "--device", device.serial, "-o", "r.json"]
    monkeypatch.chdir(tmp_path)
    assert cli.run(["bench", str(broken.path), *options]) == 6
    err = capsys.readouterr().err
    assert "onnx: the runner ended with exit code 3 at load: " in err
    assert "protobuf" in err.lower()  # the runtime's own words
    assert not (tmp_path / "r.json").exists()


def test_a_device_that_computes_something_else(device, tiny_bundle, tmp_path):
    wrong = altered(
        tiny_bundle,
        tmp_path / "wrong",
        "golden/onnx-fp32.npy",
        lambda data: data[:-84] + b"\x40" * 84,
    )
    with pytest.raises(RunError, match="answer to golden input 0 is not the bundle's"):
        on(device, wrong)


def test_a_file_that_rotted_on_the_device_is_brought_again(device, tiny_bundle):
    on(device, tiny_bundle)
    digest = tiny_bundle.manifest.files["model-fp32.onnx"].sha256
    good = device.read(f"{BLOBS}/{digest}")
    device.write(f"{BLOBS}/{digest}", b"\xff" * len(good))
    os.utime(device.storage / f"kit/blobs/{digest}", (CHECKED, CHECKED))
    with opened(device.serial) as one:
        actual = measure.measure(tiny_bundle, ["onnx"], QUICK, device=one)
        assert one.pushed == len(good)
    assert actual.runs[0].golden_max_abs == pytest.approx(0, abs=1e-5)
    assert device.read(f"{BLOBS}/{digest}") == good


@pytest.mark.slow
@pytest.mark.parametrize(
    ("number", "hint"),  # of the system that lacks memory, and of a runtime that aborts
    [(signal.SIGKILL, "too little memory"), (signal.SIGABRT, "")],
)
def test_a_runner_that_is_ended_by_a_signal(device, tiny_bundle, number, hint):
    def kill() -> None:
        until(lambda: bool(running(device)), 60)
        time.sleep(0.3)
        for pid in running(device):
            os.kill(pid, number)

    killer = threading.Thread(target=kill)
    killer.start()
    with pytest.raises(
        RunError, match=rf"was killed by signal {int(number)} \({number.name}\)"
    ) as caught:
        on(device, tiny_bundle, ENDLESS)
    killer.join()
    assert hint in caught.value.hint


@pytest.mark.parametrize("left_mb", [0.0, 0.01])  # for a job's number, and for its first lines
def test_a_storage_that_is_full_when_a_process_starts(device, tiny_bundle, left_mb):
    def say(done, total, label):
        if label.endswith("time"):
            device.free(left_mb)

    with opened(device.serial) as one:
        try:
            with pytest.raises((DeviceError, RunError)) as caught:
                measure.measure(tiny_bundle, ["onnx"], QUICK, say, one)
        finally:
            device.free(None)
        assert "killed" not in caught.value.message
        printed = f"{caught.value.message} {caught.value.hint}".lower()
        assert "no space left" in printed or "space" in caught.value.hint, printed
        result = measure.measure(tiny_bundle, ["onnx"], QUICK, device=one)
    assert is_whole(result, 8)


def test_a_shell_that_greets(device, tiny_bundle):
    device.state.banner('Welcome to \'vdev\'!\r\n$ {"event":"end"} $(id)\n==kit:job rc 7')
    (run,) = on(device, tiny_bundle).runs
    assert len(run.processes[0].samples_ns) == 8


def test_names_with_everything_in_them(device, tiny_bundle, tmp_path, capsys):
    place = tmp_path / 'a b$(touch ran)`id`\n"it\'s" Gerät-日本,-n\\n'
    shutil.copytree(tiny_bundle.path, place)
    output = tmp_path / "ré sult.json"
    options = ["--format", "onnx", "--quick", "--device", device.serial, "-o", str(output)]
    assert cli.run(["bench", str(place), *options]) == 0
    actual = store.read(output)
    assert isinstance(actual, LatencyResult)
    assert actual.bundle.name == place.name
    assert not [name for name in device.files() if "ran" in name]


@pytest.mark.parametrize("serial", ["a b", "$(id)", "it's", "line\nbreak", "Gerät-日本", "-n"])
def test_serials_with_everything_in_them(tiny_bundle, capsys, serial):
    assert cli.run(["bench", str(tiny_bundle.path), "--quick", f"--device={serial}"]) == 9
    assert f"there is no device {serial!r}" in capsys.readouterr().err


# all formats ------------------------------------------------------------------------------


def in_all_formats(tiny_bundle: Bundle, folder: Path) -> Bundle:
    """Return the tiny bundle with a file in each format that has a native runner."""
    import torch
    from bundle_samples import make, net

    from kit import formats

    example = torch.zeros(1, *tiny_bundle.manifest.signature.inputs[0].sample_shape)
    graph = torch.export.export(net(), (example,)).module()
    exported = {"executorch", "litert"}
    parts = {name: graph if name in exported else net() for name in native.list_installed()}
    return with_golden(make(folder / "plain", parts), folder / "all", formats)


def with_golden(plain: Bundle, target: Path, formats, quantize: str = "none") -> Bundle:
    shape = plain.manifest.signature.inputs[0].sample_shape
    images = np.random.default_rng(3).normal(size=(2, *shape)).astype(np.float32)
    precision = "fp32" if quantize == "none" else "int8"
    arrays, outputs = {}, {}
    for artifact in plain.manifest.artifacts:
        file = f"golden/{artifact.format}-{precision}.npy"
        session = formats.get_format(artifact.format).load(plain.file(artifact.name), 1)
        arrays[file] = answer_images(session, images)
        outputs[f"{artifact.format}-{precision}"] = (file,)

    def change(fields) -> None:
        fields["golden"] = Golden(
            inputs=("golden/input.npy",), images=2, source="noise", outputs=outputs
        )
        fields["artifacts"] = tuple(
            one.model_copy(update={"quantize": quantize, "precision": precision})
            for one in fields["artifacts"]
        )

    return rewrite(plain, target, {"golden/input.npy": images, **arrays}, change)


@pytest.mark.slow
def test_all_formats_on_x86_64(device, tiny_bundle, tmp_path):
    for name in native.list_installed():
        native_samples.runner(name)
    bundle = in_all_formats(tiny_bundle, tmp_path)
    names = tuple(one.format for one in bundle.manifest.artifacts)
    result = on(device, bundle, PAIR, names, profile=True)
    assert [run.format for run in result.runs] == list(names)
    assert set(names) == set(native.list_installed())
    for run in result.runs:
        assert run.golden_max_abs == pytest.approx(0, abs=1e-5)
        assert [len(p.samples_ns) for p in run.processes] == [8, 8]
        assert run.operators
    with opened(device.serial) as one:
        measure.measure(bundle, None, QUICK, device=one)
        assert one.pushed == 0
    with connected(device.serial) as transport:
        assert adb.clean(transport) > 300e6
    assert list(device.storage.iterdir()) == []


@pytest.mark.slow
def test_int8_on_arm64(arm64_device, native_model, tmp_path):
    """Without Lite, whose 200 MB take a minute to hash there.

    Its answers on Arm are tested without a device, in `test_native_runner.py`, and how it gets to
    a device above.
    """
    import torch
    from bundle_samples import PRE, make

    from kit import formats

    names = [name for name in native.list_installed() if name != "lite"]
    for name in names:
        native_samples.arm_runner(name)
    model = native_samples.settled(torch.from_numpy(native_samples.pictures(8)))
    files = {name: native_model(name, "static") for name in names}
    pre = PRE.model_copy(update={"resize": 104, "crop": 96})
    plain = make(tmp_path / "plain", files, reference=model, pre=pre, classes=1000)
    bundle = with_golden(plain, tmp_path / "int8", formats, "static")
    plan = QUICK.model_copy(update={"runs": 2, "warmup_runs": 0})
    result = on(arm64_device, bundle, plan, names)
    assert [run.format for run in result.runs] == list(names)
    for run in result.runs:
        assert run.device.kind == "virtual"
        assert run.quantize == "static"
        assert run.golden_max_abs == 0  # int8: every bit as on this machine
        assert len(run.processes[0].samples_ns) >= 2
    with connected(arm64_device.serial) as transport:
        adb.clean(transport)
    assert list(arm64_device.storage.iterdir()) == []
