"""A device, an adb server or a runner can neither hold nor exhaust this machine."""

from __future__ import annotations

import json
import os
import re
import signal
import struct
import subprocess
import sys
import threading
import time
from contextlib import closing
from pathlib import Path

import hostile_samples as hostile
import pytest
from hostile_samples import ERR, OUT, SERIAL, adb_server, endless, facts, packet
from test_runner_protocol import LINES, REQUEST

from kit.devices import direct_transport, local, selection, server_transport, timeouts
from kit.errors import DeviceError, DeviceLost, RunError
from kit.runners import drive, protocol

pytestmark = pytest.mark.usefixtures("no_server")
MIB = 1 << 20


@pytest.fixture
def no_server(monkeypatch: pytest.MonkeyPatch, tmp_path) -> None:
    for name in ("ANDROID_SERIAL", "ADB_SERVER_SOCKET", "ANDROID_ADB_SERVER_ADDRESS"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("ANDROID_USER_HOME", str(tmp_path / "keys"))


@pytest.fixture
def reach(monkeypatch: pytest.MonkeyPatch):
    def opened(port: int) -> server_transport.ServerTransport:
        monkeypatch.setenv("ANDROID_ADB_SERVER_PORT", str(port))
        transport = selection.open_transport(SERIAL)
        assert isinstance(transport, server_transport.ServerTransport)
        return transport

    return opened


# answers ---------------------------------------------------------------------------------

FLOODS = {
    "stdout": endless(packet(OUT, b"x" * 65536) * 16),
    "stderr": endless(packet(ERR, b"x" * 65536) * 16),
    "one packet of 4 GB": lambda link: (
        link.sendall(struct.pack("<BI", OUT, 0xFFFFFFFF)),
        endless(bytes(MIB))(link),
    ),
}


@pytest.mark.parametrize("flood", FLOODS)
def test_an_endless_answer_is_refused(flood: str) -> None:
    with adb_server(FLOODS[flood]) as port:
        done = hostile.limited("-m", "kit", "devices", "--device", SERIAL, port=port)
    assert done.returncode == 9, done.stderr
    assert "answers a command with more than the 8 MiB that kit takes" in done.stderr
    assert "hint: restart the device" in done.stderr
    assert "Traceback" not in done.stderr


def test_other_devices_are_listed_beside_one_that_floods() -> None:
    with adb_server(FLOODS["stdout"]) as port:
        done = hostile.limited("-m", "kit", "devices", "--json", port=port)
    assert done.returncode == 0
    (result,) = json.loads(done.stdout)["devices"]
    assert result["state"] == "refused"


TRICKLES = {
    "a byte now and then": lambda link: [
        (link.sendall(packet(OUT, b"x")), time.sleep(0.05)) for _ in range(10_000)
    ],
    "empty packets": endless(packet(OUT, b"") * 10_000),
    "unknown packets": endless(packet(77, b"x") * 10_000),
}


@pytest.mark.parametrize("trickle", TRICKLES)
def test_what_comes_does_not_move_the_deadline(trickle: str, reach) -> None:
    with adb_server(TRICKLES[trickle]) as port:
        transport = reach(port)
        with pytest.raises(DeviceLost, match="did not end within 1 s"):
            transport.shell("true", timeout=1)


def test_a_server_that_trickles_its_own_answer(reach, monkeypatch) -> None:
    def handle(link) -> None:
        for letter in b"OKAYffff" + bytes(10_000):
            link.sendall(bytes([letter]))
            time.sleep(0.05)

    with hostile.listening(handle) as port:
        server = server_transport.Server("127.0.0.1", port)
        with pytest.raises(Exception, match="adb read timeout"):
            server.ask("host:version", timeout=1)


@pytest.mark.parametrize("answer", [b"", b"OK", b"OKAY00"])
@pytest.mark.parametrize("all_read", [True, False])  # a close before that is a reset
def test_a_server_that_ends_is_not_taken_for_another_program(answer, all_read) -> None:
    """Its answer was "Unknown data: b''", and nobody asked it again."""

    def handle(link) -> None:
        size = int(hostile.exactly(link, 4), 16)
        hostile.exactly(link, size if all_read else 1)
        link.sendall(answer)

    with hostile.listening(handle) as port:
        server = server_transport.Server("127.0.0.1", port)
        with pytest.raises(DeviceLost, match="the adb server closed the connection") as caught:
            server.listed()
        assert "`adb start-server`" in caught.value.hint


def test_a_server_that_lists_thousands_of_devices(monkeypatch) -> None:
    listed = "".join(f"S{number}\tdevice\n" for number in range(5000))
    with adb_server(devices=listed) as port:
        done = hostile.limited("-m", "kit", "devices", port=port)
    assert done.returncode == 9
    assert "the adb server lists 5000 devices, and kit takes up to 256" in done.stderr


@pytest.mark.slow
@pytest.mark.parametrize("size", [1 << 10, 1 << 20])
def test_packets_of_streams_that_nobody_opened_are_dropped(size: int) -> None:
    def flood(link, number: int) -> None:
        link.sendall(hostile.message(b"OKAY", 9, number))
        endless(hostile.message(b"WRTE", 9, number + 1000, b"x" * size))(link)

    script = (
        "import sys\nfrom kit.devices import direct_transport\nfrom kit.errors import DeviceLost\n"
        "one = direct_transport.make_tcp_transport('d', '127.0.0.1', int(sys.argv[1]))\n"
        "try:\n    one.shell('true', timeout=3)\nexcept DeviceLost as exc:\n    print(exc)\n"
    )
    with hostile.daemon(flood) as port:
        done = hostile.limited("-c", script, str(port))
    assert "did not end within 3 s" in done.stdout, done.stderr


def test_a_packet_that_trickles_does_not_move_the_deadline() -> None:
    def trickle(link, number: int) -> None:
        link.sendall(hostile.message(b"OKAY", 9, number))
        link.sendall(hostile.message(b"WRTE", 9, number, b"x" * 100_000)[:-90_000])
        for _ in range(10_000):
            link.sendall(b"x")
            time.sleep(0.05)

    with hostile.daemon(trickle) as port:
        one = direct_transport.make_tcp_transport("d", "127.0.0.1", port)
        with closing(one), pytest.raises(DeviceLost, match="did not end within 1 s"):
            one.shell("true", timeout=1)


def test_ctrl_c_does_not_wait_for_a_device() -> None:
    came = threading.Event()

    def answer(link) -> None:
        came.set()
        TRICKLES["a byte now and then"](link)

    with adb_server(answer) as port:
        words = [sys.executable, "-m", "kit", "devices"]
        env = {**os.environ, "ANDROID_ADB_SERVER_PORT": str(port)}
        kit = subprocess.Popen(words, env=env, stderr=subprocess.PIPE, stdout=subprocess.PIPE)
        assert came.wait(60)
        time.sleep(0.3)
        kit.send_signal(signal.SIGINT)
        assert kit.wait(timeout=20) == 130  # the device would go on for thirty seconds
        kit.communicate()


# files -----------------------------------------------------------------------------------


def sending(announced: int, data: bytes, again: bool = False):
    """Return what announces a file of some size, and sends some bytes of it."""

    def sync(link) -> None:
        name, size = struct.unpack("<4sI", hostile.exactly(link, 8))
        hostile.exactly(link, size)
        assert name == b"STAT"
        link.sendall(struct.pack("<4sIII", b"STAT", 0o100644, announced, 0))
        name, size = struct.unpack("<4sI", hostile.exactly(link, 8))
        hostile.exactly(link, size)
        piece = struct.pack("<4sI", b"DATA", len(data)) + data
        while True:
            link.sendall(piece)
            if not again:
                link.sendall(struct.pack("<4sI", b"DONE", 0))
                return
            time.sleep(0.01)

    return sync


def test_a_file_is_pulled_when_it_is_as_announced(reach, tmp_path) -> None:
    with adb_server(sync=sending(3, b"abc")) as port:
        reach(port).pull("/data/x", tmp_path / "x", 10)
    assert (tmp_path / "x").read_bytes() == b"abc"


@pytest.mark.parametrize(
    ("announced", "data", "words"),
    [
        (11, b"x" * 11, "/data/x on 'FAKE1' has 11 bytes, and at most 10 are expected"),
        (4_000_000_000, b"x", "has 4000000000 bytes"),
        (3, b"abcd", "announced 3 bytes of /data/x, and sends more"),
        (0, b"x" * 65536, "announced 0 bytes of /data/x, and sends more"),
    ],
)
def test_a_file_that_is_too_large_is_refused(announced, data, words, reach, tmp_path) -> None:
    with adb_server(sync=sending(announced, data, again=True)) as port:
        transport = reach(port)
        with pytest.raises(DeviceError, match=words):
            transport.pull("/data/x", tmp_path / "x", 10)
    assert list(tmp_path.iterdir()) == []


def test_a_file_that_trickles_does_not_move_the_deadline(reach, tmp_path, monkeypatch) -> None:
    monkeypatch.setattr("kit.devices.stream_transport.compute_transfer_seconds", lambda size: 1.0)
    with adb_server(sync=sending(1 << 30, b"x", again=True)) as port:
        transport = reach(port)
        with pytest.raises(DeviceLost, match="a transfer did not end within 1 s"):
            transport.pull("/data/x", tmp_path / "x", 1 << 30)
    assert list(tmp_path.iterdir()) == []


def test_a_large_file_has_time_on_a_slow_network() -> None:
    assert timeouts.compute_transfer_seconds(210_000_000) > 210_000_000 / 500_000  # a Lite runner


# parsers ---------------------------------------------------------------------------------

N = 400_000
WORDS = {
    "properties": ["[a\n" * N, "[" * N, "[a]: [" * N, "[a]: [\n" * N, "]: [\n" * N],
    "battery": ["a: b\n" * N, "level: \n" * N, ": " * N, "level: " + "9" * N],
    "thermal_status": [
        "\n" * N,
        "Thermal Status:" + " " * N + "x",
        " " * N,
        "Thermal Status: " * N,
    ],
    "memory": ["MemTotal:" + " " * N, "MemTotal:\n" * N, "MemTotal: " + "9" * N + " kB"],
    "cpus": ["0-9999," * N, "1 " * N, "-" * N, "1-" * N, "9" * N],
    "free_bytes": ["a " * N, " 1" * N, " 1  1%" * N, " 1" + " " * N + "1%", "1 1% " * N],
    "seccomp": ["Seccomp:" + " " * N + "x", "Seccomp:\n" * N, "\n" * N],
    "devices": ["\t" * N, "a\tb\n" * N, "a" * N + "\t"],
    "decimal": [" " * N, "1" * N, "1." + "1" * N, "1." * N],
    "integer": ["1" * N, "-" * N, " " * N],
    "soc": ["Hardware:a" + " " * N + "b", "Hardware" + " " * N, "Hardware : " + " a" * N],
    "clocks": ["0-9999:1\n" * N, "1 " * N + "\n", "1:1\n" * N, "1:\n" * N, ",".join("12" * N)],
    "condition": ["==kit:condition a\n" * N, "==kit:condition " + "a" * N + "!", "1\n" * N],
    "split": ["==kit:7c1f0e:" * N, "==kit:7c1f0e:props\n" * N],
    "held": ["1\n" * N, " " * N, "a " * N + "\n1\n1"],
    "runner line": [
        '{"event":"load"' + ',"crc":' * N,
        ',"crc":1' * N + "}",
        '{"event":"load"}' * N,
    ],
    "app record": [
        '{"events": [' + ",".join("1" * N) + "]}",
        '{"events": [' + "{}," * N + "{}]}",
        "[" * N,
    ],
    "denied": ["Permission Denial: starting Intent " * N],
}
CALLS = {
    "soc": "lambda text: parsing.parse_soc({}, text)",
    "clocks": "lambda text: parsing.parse_clusters(range(8), text, text)",
    "condition": "condition.parse",
    "split": "facts.split",
    "held": "locking.parse_held",
    "runner line": "protocol.parse",
    "denied": "device.find_lacking_permission",
    "app record": "record.read",
}


@pytest.fixture(scope="module")
def parsed() -> tuple[list[str], str]:
    """Which parsers came to their end, and what was said, in one process; see `limited`."""
    script = (
        f"import sys; sys.path.insert(0, {str(Path(__file__).parent)!r})\n"
        "from kit.app import device, record\n"
        "from kit.devices import condition, facts, locking, parsing\n"
        "from kit.runners import protocol\nfrom kit.errors import KitError\n"
        "from test_device_limits import WORDS\n"
    )
    for name in WORDS:
        script += (
            f"parse = {CALLS.get(name, f'parsing.parse_{name}')}\n"
            f"for text in WORDS[{name!r}]:\n    try:\n        parse(text)\n"
            "    except KitError:\n        pass\n"
            f"print({name!r}, flush=True)\n"
        )
    done = hostile.limited("-c", script)
    return done.stdout.splitlines(), done.stderr


@pytest.mark.slow
@pytest.mark.parametrize("name", WORDS)
def test_parsers_are_linear(name: str, parsed) -> None:
    """Megabytes that would take minutes or days where a parser is not; all have 60 s."""
    ended, output = parsed
    assert name in ended, output


def test_every_fact_of_a_device_that_lies_is_one_that_a_result_can_hold() -> None:
    nines = "9" * 18
    output = {
        "props": f"[ro.build.version.sdk]: [{nines}]\n[ro.product.model]: [{'x' * 100_000}]",
        "meminfo": f"MemTotal: {nines} kB",
        "battery": f"level: {nines}\nscale: -0\ntemperature: -{nines}\nstatus: 77\n",
        "present": "0-9999",
        "online": "0-9999,0-9999",
        "policies": "0-9999:999999999999",
        "getconf": "-1",
        "status": "Seccomp: 9",
    }
    with adb_server(facts(**output)) as port:
        done = hostile.limited("-m", "kit", "devices", "--json", port=port)
    (result,) = json.loads(done.stdout)["devices"]
    assert result["state"] == "device"
    assert len(result["model"]) == 300
    assert (result["memory"], result["page_size"], result["seccomp"]) == (None, None, None)
    assert result["cores"] == 1024
    assert result["battery"]["level"] is None
    assert result["battery"]["temperature_c"] is None


# runners ---------------------------------------------------------------------------------

SAY = "say = lambda *l: print(*l, sep='\\n', flush=True)\n"
SCRIPT = f"import os, sys, time, zlib\nlines = {LINES!r}\n{SAY}"
QUICK_NOISE = "say(*lines[:2])\nwhile True: say('noise'); time.sleep(0.05)"
NO_SAMPLES = protocol.dump(protocol.Iter(ns=()))
SEAL = "(lambda t: t[:-1] + ',\"crc\":' + str(zlib.crc32(t[:-1].encode())) + '}')"
WRONG_SAMPLES = SEAL + "('{\"event\":\"iter\",\"ns\":[' + '-1,' * 1_000_000 + '-1]}')"
WRONG_START = SEAL + (
    '(\'{"event":"start","protocol":2,"pid":1,"threads":1,"versions":\''
    " + str({str(i): i for i in range(200_000)}).replace(chr(39), chr(34)) + '}')"
)
LETTERS = "while True: print('x', end='', flush=True); time.sleep(0.05)"
RUNNERS = {
    QUICK_NOISE: r"reported nothing for 3 s after 'load'",
    f"say(*lines[:2])\n{LETTERS}": r"reported nothing for 3 s after 'load'",
    "while True: say('noise' * 100)": "16 MiB of lines that are no events|writes more to stdout",
    "while True: print('x' * 100_000, end='')": r"a line of more than 4 MiB|writes more to stdout",
    "while True: print('x' * 100_000, file=sys.stderr)": "writes more to stderr than kit can read",
    "say(*lines[:4])\nwhile True: say(lines[4])": "more than the 5 samples that were possible",
    f"say(*lines[:4])\nwhile True: say({NO_SAMPLES!r}); time.sleep(0.05)": (
        "took samples for more than 3.5 s after 'iter'"
    ),
    f"say(*lines[:4], {WRONG_SAMPLES})": "iter.ns.0: it must be more than 0",
    f"say({WRONG_START})": "reports 'start' in more than 64 KiB",
    "while True: say(*lines[:1])": "reports 'start' after 'start'",
    "say(*lines)\nwhile True: say('noise'); time.sleep(0.05)": r"reported nothing for 3 s after",
    f"say(*lines[:1], {protocol.dump(protocol.Load(ns=10**15))!r}, *lines[2:])": (
        r"reports 1e\+06 s of work, and ran for"
    ),
}


@pytest.mark.slow
@pytest.mark.parametrize("script", RUNNERS)
def test_a_runner_that_does_not_end_is_ended(script: str) -> None:
    """In a process of its own, whose memory is limited; see `limited`."""
    program = (
        "import sys\nfrom dataclasses import replace\nfrom kit.devices import local\n"
        "from kit.errors import RunError\nfrom kit.runners import drive\n"
        "from kit.runners.protocol import Request\n"
        f"request = replace({REQUEST!r}, max_seconds=0.5)\n"
        f"runner = (sys.executable, '-c', {SCRIPT + script!r})\n"
        "try:\n    drive.run(local.open(None), request, {}, runner, silence=3.0)\n"
        "except RunError as exc:\n    print(exc.message.partition('\\n')[0])\n"
    )
    done = hostile.limited("-c", program)
    assert done.returncode == 0, done.stderr
    assert re.search(RUNNERS[script], done.stdout), done.stdout


def test_a_first_inference_that_took_long_in_words_only_extends_nothing() -> None:
    lines = [*LINES[:2], protocol.dump(protocol.First(ns=10**15))]
    script = f"import time\nprint(*{lines!r}, sep='\\n', flush=True)\ntime.sleep(600)"
    with pytest.raises(RunError, match=r"reported nothing for \S+ s after 'first'"):
        drive.run(local.open(None), REQUEST, {}, (sys.executable, "-c", script), silence=3.0)


def test_all_lines_come_before_the_exit_code() -> None:
    """Also of a runner that printed more than is taken at one look."""
    noise = "sys.stdout.write(('x' * 999 + '\\n') * 9000)\n"
    script = f"{SCRIPT}say(*lines[:4])\n{noise}say(*lines[4:])"
    result = drive.run(local.open(None), REQUEST, {}, (sys.executable, "-c", script), silence=60)
    assert list(result.samples) == [4, 5, 6]


def test_a_long_answer_file_is_not_read(tmp_path) -> None:
    with local.open(None).folder() as folder:
        folder.write("answer", bytes(1000))
        assert len(folder.read("answer", 1000)) == 1000
        with pytest.raises(DeviceError, match="it is larger than 999 bytes"):
            folder.read("answer", 999)
