"""Fixtures and peers of the tests of both ways to a device.

`server` goes through the stock adb server, `direct` is kit's own connection.
"""

from __future__ import annotations

import socket
import threading
from contextlib import closing, contextmanager

import pytest
from virtual_device import ports

FOLDER = "/data/local/tmp"
WAYS = ("server", "direct")
SILENCE = pytest.param("silence", marks=pytest.mark.slow)  # waits for seconds, by nature
NAMES = (
    "a b",
    "it's",
    'say "hi"',
    "$(id)`id`",
    "line\nbreak",
    "Gerät-日本",
    "-n",
    "a,b",
    "back\\n",
)


@pytest.fixture
def no_settings(monkeypatch, adb_keys):
    """No adb server of this machine, no chosen device, and keys that are no user's."""
    for name in ("ANDROID_SERIAL", "ADB_SERVER_SOCKET", "ANDROID_ADB_SERVER_ADDRESS"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("ANDROID_USER_HOME", str(adb_keys))
    with ports.closed() as port:
        monkeypatch.setenv("ANDROID_ADB_SERVER_PORT", str(port))
        yield


@pytest.fixture
def adb_server(adb, no_settings, monkeypatch):
    """The stock adb with a server that kit finds; it forgets its devices after the test."""
    monkeypatch.setenv("ANDROID_ADB_SERVER_PORT", str(adb.port))
    adb("start-server")
    adb("disconnect")  # what tests connected that use `adb` alone
    yield adb
    adb("disconnect")


@pytest.fixture
def reach(request, no_settings):
    """Open a transport to a serial in one of the two ways."""

    from kit.devices import direct_transport, selection, server_transport

    def opened(way: str, serial: str):
        if way == "server":
            request.getfixturevalue("adb_server").connect(serial)
        transport = selection.open_transport(serial)
        kind = {
            "server": server_transport.ServerTransport,
            "direct": direct_transport.DirectTransport,
        }[way]
        assert isinstance(transport, kind)
        return transport

    return opened


@pytest.fixture(params=WAYS)
def transport(request, reach, x86_64_device):
    with closing(reach(request.param, x86_64_device.serial)) as opened:
        yield opened
        opened.shell(f"rm -rf {FOLDER}/kit-test")


@contextmanager
def peer(answer: bytes):
    """Listen on a port, answer what comes with the same bytes, and then say nothing."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(8)
        kept = []

        def serve():
            while True:
                try:
                    kept.append(listener.accept()[0])
                except OSError:
                    return
                if answer:
                    kept[-1].recv(1)
                    kept[-1].sendall(answer)

        threading.Thread(target=serve, daemon=True).start()
        yield int(listener.getsockname()[1])
        listener.shutdown(socket.SHUT_RDWR)
        for one in kept:
            one.close()
