"""The facts of a whole device, from one answer to one script."""

from __future__ import annotations

from device_texts import BATTERY, NOUGAT_PROPS, THERMAL, UPSIDE_PROPS, VENDOR_BATTERY
from hypothesis import given, settings
from hypothesis import strategies as st

from kit.devices import facts, fingerprint
from kit.devices.parsing import Battery, Cluster
from kit.results.context import Fingerprint


def output(printed: dict[str, str], before: str = "") -> str:
    pieces = (f"\n{facts.MARK}{name}\n{lines}\n" for name, lines in printed.items())
    return before + "".join(pieces)


def test_whole_old_phone_behind_a_banner():
    printed = {
        "props": NOUGAT_PROPS,
        "battery": BATTERY,
        "thermal": "",
        "meminfo": "MemTotal:        3865000 kB",
        "cpuinfo": "Hardware\t: Qualcomm Technologies, Inc MSM8996pro",
        "present": "0-3",
        "online": "0-1",
        "policies": "0 1:1593600\n:",
        "cores": "0:1593600\n1:1593600\n2:\n3:",
        "df": "Filesystem 1K-blocks Used Available Use% Mounted on\n/dev/x 9 4 5 45% /data",
        "getconf": "",
        "smaps": "KernelPageSize:        4 kB",
        "status": "Seccomp:\t0",
        "selinux": "Enforcing",
        "uname": "3.18.31-g1234567 aarch64",
    }
    banner = "** Property of ACME **\r\n[ro.product.model]: [not this]\r\n"
    whole = output(printed, banner).replace("\r\n", "\n").replace("\n", "\r\n")
    result = facts.parse_facts("FA6AB0301234", facts.split(whole))
    assert (result.kind, result.model, result.android, result.api) == (
        "phone",
        "Google Pixel XL",
        "7.1.2",
        25,
    )
    assert result.clusters == (Cluster((0, 1), 1593), Cluster((2, 3), None))
    assert (result.cores, result.online) == (4, (0, 1))
    assert (result.thermal_status, result.page_size, result.free_bytes) == (None, 4096, 5 * 1024)
    assert (result.selinux, result.seccomp) == ("Enforcing", 0)
    assert result.kernel == "3.18.31-g1234567 aarch64"
    assert result.battery == Battery(85, 28.1, ("USB",), "charging")
    assert fingerprint.fingerprint_device(result) == Fingerprint(
        model="Google Pixel XL",
        soc="Qualcomm Technologies, Inc MSM8996pro",
        build="google/marlin/marlin:7.1.2/NZH54D/4146044:user/release-keys",
        abi="arm64-v8a",
        cores=4,
    )


def test_facts_of_a_silent_device_are_none():
    result = facts.parse_facts("x", facts.split(output(dict.fromkeys(facts.COMMANDS, ""))))
    assert (result.soc, result.android, result.api, result.cores) == (None, None, None, None)
    assert (result.memory, result.free_bytes, result.page_size) == (None, None, None)
    assert (result.battery, result.thermal_status, result.seccomp) == (None, None, None)
    assert (result.abis, result.online, result.clusters) == ((), (), ())
    reports = fingerprint.fingerprint_device(result)
    assert reports == Fingerprint(model="unknown", soc=None, build=None, abi=None, cores=None)
    assert result.kind == "phone"


def test_only_marks_of_the_script_separate_answers():
    assert facts.split("a shell's banner\n$ ") == {}
    assert facts.split(f"{facts.MARK}other\nx\n") == {}
    assert set(facts.COMMANDS) == {
        line.strip("'; ").removeprefix(facts.MARK)
        for line in facts.make_script().split("echo ")
        if line.startswith(f"'{facts.MARK}")
        for line in [line.split("'")[1]]
    }


@settings(max_examples=500, deadline=None)
@given(st.data())
def test_damaged_output_never_breaks_the_parsers(data):
    printed = {"props": UPSIDE_PROPS, "battery": VENDOR_BATTERY, "thermal": THERMAL}
    printed |= {"present": "0-7", "policies": "0-3:1800000", "df": "a 1 2 3 4% /data"}
    whole = bytearray(output(printed).encode())
    for _ in range(data.draw(st.integers(1, 5))):
        where = data.draw(st.integers(0, len(whole) - 1))
        whole[where] = data.draw(st.integers(0, 255))
    cut = data.draw(st.integers(0, len(whole)))
    result = facts.parse_facts("x", facts.split(bytes(whole[:cut]).decode(errors="replace")))
    assert result.serial == "x"
