"""The device that tests use in place of a phone does what a phone does, and leaves nothing."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace

import psutil
import pytest
from virtual_device import confine, launch
from virtual_device.__main__ import NAMES, set_one
from virtual_device.roots import CannotRun

HERE = Path(__file__).parent
TMP = "/data/local/tmp"
STATIC = 'int puts(const char *); int main(void) { puts("%s"); return 41; }'


confined = pytest.mark.skipif(bool(os.environ.get(confine.PROOT)), reason="proot confines less")


@pytest.fixture(params=["x86_64", "arm64"])
def device(request, adb):
    result = request.getfixturevalue(f"{request.param}_device")
    adb.connect(result.serial)
    return result


def shell(adb, device, command: str) -> str:
    done = adb.shell(device, command)
    assert done.returncode == 0, done
    return done.stdout


def test_a_command_has_its_own_exit_code_and_two_outputs(adb, device) -> None:
    done = adb.shell(device, "echo out; echo err >&2; exit 37")
    assert (done.returncode, done.stdout, done.stderr) == (37, "out\n", "err\n")
    assert adb.shell(device, "no-such-program").returncode == 127


def test_a_file_comes_back_as_it_went(adb, device, tmp_path) -> None:
    data = os.urandom(20_000_003)
    (tmp_path / "sent").write_bytes(data)
    assert adb("-s", device.serial, "push", str(tmp_path / "sent"), f"{TMP}/f").returncode == 0
    there = shell(adb, device, f"sha256sum {TMP}/f").split()[0]
    assert adb("-s", device.serial, "pull", f"{TMP}/f", str(tmp_path / "back")).returncode == 0
    shell(adb, device, f"rm {TMP}/f")
    assert there == hashlib.sha256(data).hexdigest()
    assert (tmp_path / "back").read_bytes() == data


@confined
def test_the_test_looks_into_the_device_from_outside(adb, device) -> None:
    before = device.files()  # of other tests that share it
    shell(adb, device, f"mkdir {TMP}/d; printf abc >'{TMP}/d/a b'; ln -s x {TMP}/l")
    assert device.files() == before | {"d/a b": 3, "l": 1}
    assert device.read(f"{TMP}/d/a b") == b"abc"
    device.write("d/a b", b"abX")
    assert shell(adb, device, f"cat '{TMP}/d/a b'; rm -r {TMP}/d {TMP}/l") == "abX"
    assert device.files() == before


@confined
def test_it_calls_itself_virtual_everywhere(adb, device) -> None:
    name = f"vdev-{device.arch}"
    props = shell(adb, device, "getprop")
    assert "[ro.kit.virtual]: [1]" in props
    assert "[ro.kernel.qemu]: [1]" in props
    for key in ("ro.product.model", "ro.soc.model"):
        assert shell(adb, device, f"getprop {key}") == f"{name}\n"
    assert shell(adb, device, "hostname").strip() == name
    assert "virtual" in shell(adb, device, "dumpsys battery")
    assert "virtual" in shell(adb, device, "dumpsys thermalservice")
    assert "vdev" in shell(adb, device, "cat /sys/class/thermal/thermal_zone0/type")


def test_what_it_lacks_says_so_like_a_phone(adb, device) -> None:
    assert shell(adb, device, "getprop no.such.property") == "\n"
    assert shell(adb, device, "getprop no.such.property other") == "other\n"
    assert adb.shell(device, "dumpsys SurfaceFlinger").stderr == (
        "Can't find service: SurfaceFlinger\n"
    )
    assert adb.shell(device, "cmd wifi status").returncode == 20
    assert adb.shell(device, "wm size").returncode == 127
    assert adb.shell(device, "logcat").returncode == 127


@confined
def test_its_shell_is_that_of_a_phone(adb, device) -> None:
    """User 2000 without powers, nothing writable but the storage, no network, no libraries."""
    assert shell(adb, device, "id -u").strip() == "2000"
    assert "CapEff:\t0000000000000000" in shell(adb, device, "cat /proc/self/status")
    for target in ("/x", "/system/bin/x", "/sys/x", "/proc/sys/vm/drop_caches"):
        assert adb.shell(device, f"echo 1 >{target}").returncode != 0
    shell(adb, device, f"echo a >{TMP}/kept; chmod 444 {TMP}/kept")
    assert "ermission denied" in adb.shell(device, f"echo b >{TMP}/kept").stderr
    shell(adb, device, f"rm -f {TMP}/kept")
    interfaces = shell(adb, device, "cat /proc/net/dev").splitlines()[2:]
    assert [row.split(":")[0].strip() for row in interfaces] == ["lo"]
    assert adb.shell(device, "ls /lib /usr /proc/1/root/").returncode != 0


def test_settings_stay_and_are_seen_from_outside(adb, new_device) -> None:
    device = new_device()
    adb.connect(device.serial)
    assert shell(adb, device, "settings get global a_key") == "null\n"
    shell(adb, device, "settings put global a_key 'x  \"y\" $z'; settings put system b 2")
    shell(adb, device, "svc power stayon true")
    assert shell(adb, device, "settings get global a_key") == 'x  "y" $z\n'
    assert device.state.settings() == {
        "global": {"a_key": 'x  "y" $z', "stay_on_while_plugged_in": "7"},
        "secure": {},
        "system": {"b": "2"},
    }
    device.restart()
    adb.connect(device.serial)
    assert shell(adb, device, "settings delete system b") == "Deleted 1 rows\n"
    assert device.state.settings()["system"] == {}
    assert adb.shell(device, "settings put nowhere a 1").returncode == 255
    assert adb.shell(device, "settings put global ../x 1").returncode == 255
    calls = [(call.program, *call.arguments) for call in device.state.calls()]
    assert calls[1] == ("settings", "put", "global", "a_key", 'x  "y" $z')
    assert ("svc", "power", "stayon", "true") in calls


def test_fixed_performance_is_kept_or_unsupported(adb, new_device) -> None:
    device = new_device()
    adb.connect(device.serial)
    ask = "cmd power set-fixed-performance-mode-enabled"
    assert adb.shell(device, f"{ask} true").returncode == 0
    assert device.state.fixed_performance == "true"
    assert adb.shell(device, f"{ask} false").returncode == 0
    assert device.state.fixed_performance == "false"
    device.state.set(fixed_performance="unsupported")
    done = adb.shell(device, f"{ask} true")
    assert (done.returncode, done.stdout.split()[0]) == (255, "Failed")
    assert device.state.fixed_performance == "unsupported"


def test_the_test_changes_what_it_reports(adb, new_device) -> None:
    device = new_device("arm64")
    adb.connect(device.serial)
    device.state.set(temperature=41.5, battery=17, battery_status=3, thermal_status=2)
    device.state.set(clock={0: 700_000}, max_clock=2_000_000, online="0", page_size=16384)
    device.state.prop("ro.product.model", "vdev-other")
    device.state.prop("ro.hardware", None)
    battery = shell(adb, device, "dumpsys battery")
    assert {"status: 3", "level: 17", "temperature: 415"} <= {
        line.strip() for line in battery.splitlines()
    }
    thermal = shell(adb, device, "dumpsys thermalservice")
    assert "Thermal Status: 2" in thermal
    assert "mValue=41.5, mType=2" in thermal
    assert shell(adb, device, "cat /sys/class/thermal/thermal_zone0/temp") == "41500\n"
    cpu = "/sys/devices/system/cpu"
    clocks = f"cd {cpu}; cat cpu0/cpufreq/scaling_cur_freq cpu0/cpufreq/cpuinfo_max_freq online"
    assert shell(adb, device, clocks) == "700000\n2000000\n0\n"
    assert shell(adb, device, "getconf PAGESIZE") == "16384\n"
    assert shell(adb, device, "getprop ro.product.model; getprop ro.hardware") == "vdev-other\n\n"
    device.state.dumpsys("thermalservice", None)
    assert "Can't find service" in adb.shell(device, "dumpsys thermalservice").stderr
    device.state.dumpsys("battery", "level: 3\r")
    assert shell(adb, device, "dumpsys battery") == "level: 3\r\n"


@confined
def test_it_fills_up_and_can_be_read_only(adb, new_device, tmp_path) -> None:
    device = new_device(size_mb=64)
    adb.connect(device.serial)
    (tmp_path / "big").write_bytes(bytes(20_000_000))
    push = ("-s", device.serial, "push", str(tmp_path / "big"), TMP)
    device.free(5)
    left = int(shell(adb, device, f"df -k {TMP}").splitlines()[-1].split()[-3])
    assert 4_800 <= left <= 4_883
    full = adb(*push)
    assert full.returncode != 0
    assert "No space left" in full.stdout + full.stderr
    device.free(None)
    assert adb(*push).returncode == 0
    device.read_only()
    assert "Read-only" in adb.shell(device, f"rm {TMP}/big").stderr
    device.read_only(False)
    shell(adb, device, f"rm {TMP}/big")


@confined
@pytest.mark.parametrize("arch", ["x86_64", "arm64"])
def test_the_daemon_dies_and_comes_back_while_the_rest_goes_on(adb, new_device, arch) -> None:
    device = new_device(arch)
    adb.connect(device.serial)
    shell(adb, device, f"setsid sh -c 'sleep 1.5; echo done >{TMP}/f' >/dev/null 2>&1 &")
    with pytest.raises(subprocess.TimeoutExpired):
        adb("-s", device.serial, "shell", "sleep 9", timeout=0.5)
    device.kill_daemon()
    assert not any("/vdev/adbd" in one.arguments for one in device.processes())
    assert adb.shell(device, "true").returncode != 0
    assert any("sleep" in one.arguments for one in device.processes())
    device.restart()
    adb("disconnect", device.serial)
    adb.connect(device.serial)
    assert shell(adb, device, f"sleep 1.5; cat {TMP}/f") == "done\n"
    device.kill_daemon(with_children=True)
    device.restart()


def test_a_shell_may_greet_before_every_command(adb, new_device) -> None:
    device = new_device()
    adb.connect(device.serial)
    device.state.banner("Welcome, $USER")
    done = adb.shell(device, "sh -c 'echo a'; getprop ro.kit.virtual; exit 5")
    assert (done.returncode, done.stdout) == (5, "Welcome, $USER\na\n1\n")
    device.state.banner(None)
    assert shell(adb, device, "echo b") == "b\n"


@confined
def test_packages_are_recorded_and_nothing_is_started(adb, new_device, tmp_path) -> None:
    device = new_device()
    adb.connect(device.serial)
    (tmp_path / "org.kit.app.apk").write_bytes(b"PK\x03\x04")
    adb("-s", device.serial, "push", str(tmp_path / "org.kit.app.apk"), TMP)
    assert shell(adb, device, f"pm install -r {TMP}/org.kit.app.apk") == "Success\n"
    assert shell(adb, device, "pm list packages") == "package:org.kit.app\n"
    assert shell(adb, device, "run-as org.kit.app ls") == "base.apk\n"
    assert "nothing happens" in adb.shell(device, "am start -n org.kit.app/.Main").stderr
    assert adb.shell(device, "run-as org.other ls").returncode == 1
    assert shell(adb, device, "pm uninstall org.kit.app") == "Success\n"
    assert device.state.packages() == []


def compiled(tmp_path: Path, compiler: str, *flags: str) -> Path:
    if shutil.which(compiler) is None:
        pytest.skip(f"{compiler} is not installed")
    (tmp_path / "x.c").write_text(STATIC % compiler)
    command = [compiler, "-O1", "-o", str(tmp_path / "x"), str(tmp_path / "x.c"), *flags]
    subprocess.run(command, check=True)
    return tmp_path / "x"


def test_the_arm_device_runs_arm_programs(adb, arm64_device, tmp_path) -> None:
    program = compiled(tmp_path, "aarch64-linux-gnu-gcc", "-static")
    adb.connect(arm64_device.serial)
    adb("-s", arm64_device.serial, "push", str(program), f"{TMP}/x")
    done = adb.shell(arm64_device, f"{TMP}/x; echo $?; rm {TMP}/x; uname -m; cat /proc/cpuinfo")
    output, code, machine, *cpuinfo = done.stdout.splitlines()
    assert (output, code, machine) == ("aarch64-linux-gnu-gcc", "41", "aarch64")
    assert "CPU implementer\t: 0x41" in cpuinfo


def test_a_program_runs_with_its_own_loader_and_libraries_only(adb, device, tmp_path) -> None:
    compilers = {"x86_64": "gcc", "arm64": "aarch64-linux-gnu-gcc"}
    loaders = {"x86_64": "ld-linux-x86-64.so.2", "arm64": "ld-linux-aarch64.so.1"}
    compiler, loader = compilers[device.arch], loaders[device.arch]
    program = compiled(tmp_path, compiler)
    adb("-s", device.serial, "push", str(program), f"{TMP}/b/x")
    for library in (loader, "libc.so.6"):
        command = [compiler, f"-print-file-name={library}"]
        result = subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
        adb("-s", device.serial, "push", result, f"{TMP}/b/{library}")
    assert adb.shell(device, f"{TMP}/b/x").returncode not in (0, 41)
    done = adb.shell(device, f"cd {TMP}/b && chmod 755 {loader} && ./{loader} --library-path . ./x")
    assert (done.returncode, done.stdout) == (41, f"{compiler}\n")
    shell(adb, device, f"rm {TMP}/b/libc.so.6")
    without = adb.shell(device, f"cd {TMP}/b && ./{loader} --library-path . ./x")
    assert "libc.so.6" in without.stdout + without.stderr
    shell(adb, device, f"rm -r {TMP}/b")


def test_eight_run_at_once_each_on_its_own(adb, new_device) -> None:
    new_device()  # skips here, where none runs
    with ThreadPoolExecutor(8) as pool:
        eight = [new_device() for _ in range(8)]
        assert len({one.serial for one in eight}) == 8
        list(pool.map(lambda one: adb.connect(one.serial), eight))
        for number, one in enumerate(eight):
            one.state.set(battery=number + 1)
        ask = f"dumpsys battery | grep level; echo {TMP} >{TMP}/f; sleep 1; ls {TMP}"
        output = list(pool.map(lambda one: shell(adb, one, ask).split(), eight))
    assert output == [["level:", str(number + 1), "f"] for number in range(8)]


def traces(folder: Path, port: int) -> list[str]:
    """Name what is left of a device on this machine."""
    result = [str(folder)] if folder.exists() else []
    lines = [" ".join(one.info["cmdline"] or []) for one in psutil.process_iter(["cmdline"])]
    result += [line for line in lines if str(folder) in line]
    result += [row for row in Path("/proc/mounts").read_text().splitlines() if str(folder) in row]
    with socket.socket() as probe:
        result += [f"port {port}"] if probe.connect_ex(("127.0.0.1", port)) == 0 else []
    return result


@confined
def test_a_stopped_device_leaves_nothing(adb, new_device) -> None:
    device = new_device("arm64")
    adb.connect(device.serial)
    shell(adb, device, f"setsid sleep 60 >/dev/null 2>&1 & echo x >{TMP}/f")
    assert len(traces(device.folder, device.port)) == 4  # folder, launcher, process 1, port
    pids = [one.pid for one in device.processes()]
    assert len(pids) >= 2  # the daemon and the sleep
    device.stop()
    assert traces(device.folder, device.port) == []
    assert not any(psutil.pid_exists(pid) for pid in pids)
    assert device.serial not in [one.serial for one in launch.devices()]


OWNER = """
import sys, virtual_device
with virtual_device.running("x86_64") as device:
    print(device.folder, device.port, flush=True)
    sys.stdin.read()
"""


@confined
@pytest.mark.parametrize("victim", ["owner", "launcher", "supervisor"])
def test_a_device_ends_with_whoever_is_killed(new_device, victim: str) -> None:
    new_device()  # skips here, where none runs
    owner = subprocess.Popen(
        [sys.executable, "-c", OWNER],
        env={**os.environ, "PYTHONPATH": str(HERE)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert owner.stdout is not None
        folder, port = owner.stdout.readline().split()
        launcher = psutil.Process(int(Path(folder, "pid").read_text()))
        victims = {"owner": owner.pid, "launcher": launcher.pid}
        victims["supervisor"] = launcher.children()[0].pid
        family = [one.pid for one in launcher.children(recursive=True)]
        assert len(family) == 2
        assert len(traces(Path(folder), int(port))) == 4
        os.kill(victims[victim], signal.SIGKILL)
        deadline = time.monotonic() + 10
        left = ["everything"]
        while time.monotonic() < deadline and left:
            time.sleep(0.05)
            launch.sweep()  # what the next start does
            left = traces(Path(folder), int(port))
            left += [f"process {pid}" for pid in family if psutil.pid_exists(pid)]
        assert left == []
    finally:
        owner.kill()
        owner.communicate()


def test_each_value_that_can_be_set_is_documented_and_a_wrong_one_names_them() -> None:
    page = (HERE.parent / "docs/emulators.md").read_text(encoding="utf-8")
    assert [name for name in (*NAMES, "free_mb") if f"`{name}`" not in page] == []
    with pytest.raises(CannotRun, match=r"no value called 'battery_level'; known: free_mb, .*batt"):
        set_one(SimpleNamespace(), "battery_level", "5")


@confined
@pytest.mark.slow
def test_the_command_starts_changes_lists_and_stops(adb, new_device) -> None:
    new_device()  # skips here, where none runs
    script = str(HERE.parent / "scripts/virtual-device")

    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run([script, *arguments], capture_output=True, text=True, timeout=120)

    started = run("start", "x86_64")
    assert started.returncode == 0, started.stderr
    serial = started.stdout.splitlines()[-1]
    try:
        assert re.fullmatch(r"127\.0\.0\.1:\d+", serial)
        assert f"{serial} x86_64" in run("list").stdout.splitlines()
        changed = run("set", serial, "temperature=39.9", "free_mb=3", "ro.x=a b")
        assert changed.returncode == 0, changed.stderr
        adb.connect(serial)
        output = adb("-s", serial, "shell", "dumpsys battery; getprop ro.x").stdout
        assert "temperature: 399" in output
        assert output.endswith("a b\n")
        wrong = run("set", serial, "colour=red")
        assert wrong.returncode == 1
        assert "there is no value called 'colour'; known: free_mb, temperature" in wrong.stderr
        taken = run("start", "x86_64", "--port", serial.split(":")[1])
        assert taken.returncode == 1
        assert "taken" in taken.stderr
    finally:
        assert run("stop", serial).returncode == 0
    assert serial not in run("list").stdout
    assert run("stop", serial).returncode == 1
