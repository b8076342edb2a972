"""Both ways to a device, on the real adb daemon of the virtual device: commands and files."""

from __future__ import annotations

import os
from contextlib import closing

import pytest
from transport_samples import FOLDER, NAMES, WAYS

from kit.devices import direct_transport, server_transport
from kit.devices.stream_transport import StreamTransport
from kit.devices.transport import quote
from kit.errors import DeviceError, DeviceLost, InputError, OutputError

pytestmark = pytest.mark.usefixtures("no_settings")


@pytest.mark.parametrize(
    ("command", "code", "stdout", "stderr"),
    [
        ("true", 0, "", ""),
        ("echo out; echo err >&2; exit 37", 37, "out\n", "err\n"),
        ("kill -9 $$", 137, "", ""),
        ("printf 'a\\r\\nb\\0c'", 0, "a\r\nb\0c", ""),
        ("printf '\\377'; false", 1, "\N{REPLACEMENT CHARACTER}", ""),
        ("echo x # a comment", 0, "x\n", ""),
    ],
)
def test_exit_code_stdout_and_stderr_are_apart(transport, command, code, stdout, stderr):
    done = transport.shell(command)
    assert (done.code, done.stdout, done.stderr) == (code, stdout, stderr)


def test_missing_command_is_no_lost_device(transport):
    assert transport.shell("no-such-command").code == 127


def test_output_is_complete(transport):
    done = transport.shell("seq 1 200000; seq 1 3 >&2", timeout=60)
    assert done.stdout == "".join(f"{n}\n" for n in range(1, 200001))
    assert done.stderr == "1\n2\n3\n"


def test_words_reach_the_command_as_they_are(transport):
    done = transport.shell("for a in " + quote(NAMES) + "; do printf '%s\\0' \"$a\"; done")
    assert done.stdout.split("\0")[:-1] == list(NAMES)


@pytest.mark.slow
def test_silent_command_may_take_its_time(transport):
    assert transport.shell("sleep 7; echo done", timeout=30).stdout == "done\n"


def test_command_that_does_not_end_is_given_up(transport):
    with pytest.raises(DeviceLost, match="did not end within 1 s"):
        transport.shell("while :; do echo x; sleep 0.1; done", timeout=1)
    with pytest.raises(DeviceLost, match="did not end within 1 s"):
        transport.shell("sleep 100", timeout=1)
    assert transport.shell("echo again").stdout == "again\n"


def test_impossible_commands_are_reported(transport):
    for command in ("echo a\0b", "echo " + "x" * 70000):
        with pytest.raises(DeviceError, match="cannot be sent"):
            transport.shell(command)


@pytest.mark.parametrize(
    "command", ["echo out; exit 37", "printf 'no line end'; exit 37", "echo a # b\nexit 37"]
)
def test_old_shells_have_exit_codes_too(transport, monkeypatch, command):
    monkeypatch.setattr(transport, "_features", lambda: frozenset(["cmd"]))
    done = transport.shell(command)
    assert done.code == 37
    assert done.stdout in ("out\n", "no line end", "a\n")
    assert done.stderr == ""


@pytest.mark.parametrize("size", [0, 1, 65536, 3_000_001])
def test_files_arrive_as_they_were(transport, tmp_path, size):
    source, back, sent = tmp_path / "source", tmp_path / "back", []
    source.write_bytes(os.urandom(size))
    target = f"{FOLDER}/kit-test/file"
    transport.push(source, target, 0o755, sent.append)
    assert sum(sent) == size
    # The daemon gives group and others what the owner has.
    assert transport.shell(f"stat -c '%A %s' {target}").stdout.startswith("-rwx")
    assert transport.shell(f"stat -c %s {target}").stdout == f"{size}\n"
    transport.pull(target, back, 1 << 30)
    assert back.read_bytes() == source.read_bytes()
    assert sorted(p.name for p in tmp_path.iterdir() if p.is_file()) == ["back", "source"]


@pytest.mark.parametrize("name", NAMES)
def test_names_of_files_are_only_names(transport, tmp_path, name):
    source = tmp_path / "source"
    source.write_text("x")
    target = f"{FOLDER}/kit-test/{name}"
    transport.push(source, target)
    listed = transport.shell(f"cd {FOLDER}/kit-test && printf '%s\\0' *").stdout
    assert listed == f"{name}\0"
    transport.pull(target, tmp_path / name, 1 << 30)
    assert (tmp_path / name).read_text() == "x"


def test_refusals_of_files_leave_the_device_usable(transport, tmp_path):
    source = tmp_path / "source"
    source.write_bytes(bytes(2_000_000))
    with pytest.raises(DeviceError, match="/nowhere: open failed: No such file") as caught:
        transport.pull("/nowhere", tmp_path / "got", 1 << 30)
    assert not isinstance(caught.value, DeviceLost)
    with pytest.raises(DeviceError, match="/system/x") as caught:
        transport.push(source, "/system/x")
    assert not isinstance(caught.value, DeviceLost)
    assert [p.name for p in tmp_path.iterdir() if p.is_file()] == ["source"]
    assert transport.shell("echo fine").stdout == "fine\n"


def test_full_device_is_reported(clean_device, reach, tmp_path):
    source = tmp_path / "source"
    source.write_bytes(bytes(20_000_000))
    clean_device.free(8)
    for way in WAYS[::-1]:  # the direct one first: afterwards the server has the device
        with closing(reach(way, clean_device.serial)) as one:
            with pytest.raises(DeviceError, match="No space left on device") as caught:
                one.push(source, f"{FOLDER}/x")
            assert "make space on the device" in caught.value.hint


def test_faults_of_this_machine_are_not_the_devices(transport, tmp_path):
    with pytest.raises(InputError, match="nowhere"):
        transport.push(tmp_path / "nowhere", f"{FOLDER}/x")
    (tmp_path / "file").touch()
    with pytest.raises(OutputError, match="file/x"):
        transport.pull("/proc/meminfo", tmp_path / "file" / "x", 1 << 30)


def test_interrupted_transfer_leaves_a_usable_connection(transport, tmp_path):
    source = tmp_path / "source"
    source.write_bytes(bytes(3_000_000))

    def stop(_: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        transport.push(source, f"{FOLDER}/kit-test/x", sent=stop)
    assert transport.shell("echo fine").stdout == "fine\n"


def test_transports_are_what_the_interface_asks_for():
    for kind in (server_transport.ServerTransport, direct_transport.DirectTransport):
        assert issubclass(kind, StreamTransport)
