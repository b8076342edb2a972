"""Parsers of the output of device commands."""

from __future__ import annotations

import pytest
from device_texts import (
    BATTERY,
    NOUGAT_PROPS,
    SERVICE_MISSING,
    THERMAL,
    UPSIDE_PROPS,
    VENDOR_BATTERY,
)

from kit.devices import parsing
from kit.devices.parsing import Battery, Cluster


def test_properties_with_every_line_end():
    result = parsing.parse_properties(NOUGAT_PROPS)
    assert result["ro.build.version.release"] == "7.1.2"
    assert result["ro.serialno"] == ""
    assert parsing.parse_api(result) == 25
    assert parsing.parse_abis(result) == ("arm64-v8a", "armeabi-v7a", "armeabi")


def test_properties_of_several_lines():
    result = parsing.parse_properties(UPSIDE_PROPS)
    assert result["persist.vendor.note"] == "first line\nsecond [line]: with brackets"
    assert result["ro.soc.model"] == "SM8550"
    assert len(result) == 10


@pytest.mark.parametrize(
    ("props", "model"),
    [
        ({"ro.product.manufacturer": "OnePlus", "ro.product.model": "OnePlus 11"}, "OnePlus 11"),
        (
            {"ro.product.manufacturer": "samsung", "ro.product.model": "SM-G991B"},
            "samsung SM-G991B",
        ),
        ({"ro.product.model": "A  phone"}, "A phone"),
        ({}, "unknown"),
    ],
)
def test_model_names_its_maker_once(props, model):
    assert parsing.parse_model(props) == model


@pytest.mark.parametrize(
    ("props", "cpuinfo", "soc"),
    [
        ({"ro.soc.manufacturer": "QTI", "ro.soc.model": "SM8550"}, "", "QTI SM8550"),
        ({"ro.soc.manufacturer": "unknown", "ro.soc.model": "T606"}, "", "T606"),
        (
            {"ro.soc.model": "unknown", "ro.board.platform": "msm8996"},
            "processor\t: 0\r\nHardware\t: Qualcomm Technologies, Inc MSM8996pro\r\n",
            "Qualcomm Technologies, Inc MSM8996pro",
        ),
        ({"ro.board.platform": "exynos5"}, "processor : 0\n", "exynos5"),
        ({"ro.hardware": "mt6765"}, "", "mt6765"),
        ({}, "", None),
    ],
)
def test_soc_by_the_best_that_is_reported(props, cpuinfo, soc):
    assert parsing.parse_soc(props, cpuinfo) == soc


@pytest.mark.parametrize(
    ("output", "result"),
    [
        (BATTERY, Battery(85, 28.1, ("USB",), "charging")),
        (BATTERY.replace("\n", "\r\n"), Battery(85, 28.1, ("USB",), "charging")),
        (VENDOR_BATTERY, Battery(100, -1.5, ("AC", "Wireless"), "full")),
        (BATTERY.replace("status: 2", "status: 9"), Battery(85, 28.1, ("USB",), "unknown")),
        (BATTERY.replace("temperature: 281", "temp: 1"), Battery(85, None, ("USB",), "charging")),
        (BATTERY.replace("present: true", "present: false"), None),
        ("Can't find service: battery\n", None),
        ("cmd: Failure calling service battery: Broken pipe (32)", None),
        ("", None),
    ],
)
def test_battery(output, result):
    assert parsing.parse_battery(output) == result


@pytest.mark.parametrize(
    ("output", "result"),
    [
        (THERMAL, "moderate"),
        (THERMAL.replace("\n", "\r\n").replace("Status: 2", "Status: 0"), "none"),
        (THERMAL.replace("Status: 2", "Status: 6"), "shutdown"),
        (THERMAL.replace("Status: 2", "Status: 17"), None),
        (SERVICE_MISSING, None),
        ("", None),
    ],
)
def test_thermal_status(output, result):
    assert parsing.parse_thermal_status(output) == result


@pytest.mark.parametrize(
    ("output", "result"),
    [
        ("0-7\n", (0, 1, 2, 3, 4, 5, 6, 7)),
        ("0-3,6,8-9\r\n", (0, 1, 2, 3, 6, 8, 9)),
        ("0", (0,)),
        ("", ()),
        ("\n", ()),
        ("0 1 2 3", (0, 1, 2, 3)),
        ("0-999999999999", ()),  # damaged: a list of so many would fill the memory
    ],
)
def test_lists_of_cores(output, result):
    assert parsing.parse_cpus(output) == result


@pytest.mark.parametrize(
    ("present", "policies", "cores", "result"),
    [
        pytest.param(
            range(8),
            "0 1 2 3:1803000\n4 5:2253000\n6 7:2802000\n",
            "0:1803000\n7:2802000",
            (Cluster((0, 1, 2, 3), 1803), Cluster((4, 5), 2253), Cluster((6, 7), 2802)),
            id="big.LITTLE by policies",
        ),
        pytest.param(
            range(8),
            "0 1 2:2016000\r\n3 4 5 6:2803200\r\n7:3187200\r\n",
            "",
            (Cluster((0, 1, 2), 2016), Cluster((3, 4, 5, 6), 2803), Cluster((7,), 3187)),
            id="CR line ends",
        ),
        pytest.param(
            range(4),
            ":\n",
            "0:1593600\n1:1593600\n2:\n3:\n",
            (Cluster((0, 1), 1593), Cluster((2, 3), None)),
            id="old kernel, big cores off",
        ),
        pytest.param(
            range(4),
            "0 1:2150400\n",
            "0:2150400\n1:2150400\n2:2342400\n3:2342400",
            (Cluster((0, 1), 2150), Cluster((2, 3), 2342)),
            id="a policy that is missing",
        ),
        pytest.param(
            range(4),
            "0 1:2000000\n2 3:2000000",
            "",
            (Cluster((0, 1), 2000), Cluster((2, 3), 2000)),
            id="equal clocks, two policies",
        ),
        pytest.param((0, 1), "", "", (Cluster((0, 1), None),), id="no cpufreq"),
        pytest.param((0, 1), "0 1:0", "0:0", (Cluster((0, 1), None),), id="zero is no clock"),
        pytest.param((), "", "", (), id="nothing"),
    ],
)
def test_clusters(present, policies, cores, result):
    assert parsing.parse_clusters(present, policies, cores) == result


@pytest.mark.parametrize(
    ("output", "result"),
    [
        (
            "Filesystem      1K-blocks     Used Available Use% Mounted on\n"
            "/dev/block/dm-5 111000000 42000000  69000000  38% /data\n",
            69000000 * 1024,
        ),
        (
            "Filesystem     1K-blocks    Used Available Use% Mounted on\r\n"
            "/dev/block/dm-0  26000000 1000000  25000000   4% /data\r\n",
            25000000 * 1024,
        ),
        (
            "Filesystem           1K-blocks      Used Available Use% Mounted on\n"
            "/dev/block/platform/soc/7464900.sdhci/by-name/userdata\n"
            "                      10000000   9999999         1 100% /data\n",
            1024,
        ),
        ("df: /data/local/tmp: Permission denied\n", None),
        ("", None),
    ],
)
def test_free_space(output, result):
    assert parsing.parse_free_bytes(output) == result


@pytest.mark.parametrize(
    ("getconf", "smaps", "result"),
    [
        ("4096\n", "", 4096),
        ("16384\r\n", "KernelPageSize:       16 kB", 16384),
        ("", "KernelPageSize:        4 kB\r\n", 4096),
        ("undefined", "KernelPageSize:       16 kB\n", 16384),
        ("", "", None),
    ],
)
def test_page_size(getconf, smaps, result):
    assert parsing.parse_page_size(getconf, smaps) == result


def test_memory_and_seccomp():
    assert (
        parsing.parse_memory("MemTotal:        7654321 kB\r\nMemFree: 1 kB\r\n") == 7654321 * 1024
    )
    assert parsing.parse_memory("") is None
    assert parsing.parse_seccomp("Name:\tcat\nSeccomp:\t2\nSeccomp_filters:\t1\n") == 2
    assert parsing.parse_seccomp("Name:\tcat\r\nSeccomp:\t0\r\n") == 0
    assert parsing.parse_seccomp("Name:\tcat\n") is None


@pytest.mark.parametrize(
    ("props", "serial", "kind"),
    [
        ({"ro.kernel.qemu": "1"}, "127.0.0.1:5555", "emulator"),
        ({"ro.boot.qemu": "1"}, "x", "emulator"),
        ({"ro.hardware": "ranchu"}, "x", "emulator"),
        ({}, "emulator-5554", "emulator"),
        ({"ro.kit.virtual": "1", "ro.kernel.qemu": "1"}, "x", "virtual"),
        ({"ro.kernel.qemu": "0", "ro.hardware": "qcom"}, "R58M123", "phone"),
        ({}, "R58M123", "phone"),
    ],
)
def test_kind(props, serial, kind):
    assert parsing.parse_kind(props, serial) == kind


@pytest.mark.parametrize(
    ("output", "result"),
    [
        ("", []),
        (
            "R58M123\tdevice\nemulator-5554\toffline\n",
            [("R58M123", "device"), ("emulator-5554", "offline")],
        ),
        ("with space\tunauthorized\r\n", [("with space", "unauthorized")]),
        (
            "????????????\tno permissions (user in plugdev group; are your udev rules wrong?); "
            "see [http://developer.android.com/tools/device.html]\n",
            [("????????????", "no permissions")],
        ),
        ("adb-39-x._adb-tls-connect._tcp\tdevice", [("adb-39-x._adb-tls-connect._tcp", "device")]),
    ],
)
def test_devices_of_a_server(output, result):
    assert parsing.parse_devices(output) == result


@pytest.mark.parametrize("digits", ["9" * 25, "9" * 5000])
def test_absurd_numbers_are_not_reported(digits):
    assert parsing.parse_memory(f"MemTotal: {digits} kB") is None
    assert parsing.parse_free_bytes(f"a 1 2 {digits} 4% /data") is None
    assert parsing.parse_page_size(digits, f"KernelPageSize: {digits} kB") is None
    assert parsing.parse_clusters((0,), f"0:{digits}", f"0:{digits}") == (Cluster((0,), None),)
    assert parsing.parse_thermal_status(f"Thermal Status: {digits}") is None
    assert parsing.parse_battery(f"  level: {digits}") is None
