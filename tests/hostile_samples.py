"""Adb servers and daemons with malformed or malicious answers, which no real one gives.

Both run on threads of the test. A function that takes the socket determines what they send.
"""

from __future__ import annotations

import os
import resource
import socket
import struct
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

SERIAL = "FAKE1"
OUT, ERR, EXIT = 1, 2, 3
GIB = 1 << 30
Send = Callable[[socket.socket], None]


def packet(kind: int, data: bytes) -> bytes:
    """Return a packet of the shell_v2 protocol."""
    return struct.pack("<BI", kind, len(data)) + data


def answer(text: str) -> Send:
    """Return a function that sends a command's complete answer."""
    data = text.encode(errors="surrogateescape")

    def send(link: socket.socket) -> None:
        for at in range(0, len(data), 65536):
            link.sendall(packet(OUT, data[at : at + 65536]))
        link.sendall(packet(EXIT, b"\0"))

    return send


NOTHING = answer("")


def endless(data: bytes) -> Send:
    """Return a function that sends the same bytes repeatedly until the connection closes."""

    def send(link: socket.socket) -> None:
        while True:
            link.sendall(data)

    return send


def facts(**output: str) -> Send:
    """Return the answer to the script of `kit.devices.facts`; a good phone except for `output`."""
    from kit.devices import facts

    good = {
        "props": "[ro.product.model]: [Phone]\n[ro.build.version.sdk]: [34]\n"
        "[ro.product.cpu.abilist]: [x86_64]",
        "present": "0-1",
        "online": "0-1",
        "getconf": "4096",
    }
    pieces = {**good, **output}.items()
    return answer("".join(f"\n{facts.MARK}{name}\n{text}\n" for name, text in pieces))


@contextmanager
def listening(handle: Send) -> Iterator[int]:
    """Serve each connection on a thread; yield the port."""
    kept: list[socket.socket] = []

    def one(link: socket.socket) -> None:
        with suppress(OSError, EOFError), link:
            handle(link)

    def accept(listener: socket.socket) -> None:
        with suppress(OSError):
            while True:
                kept.append(listener.accept()[0])
                threading.Thread(target=one, args=(kept[-1],), daemon=True).start()

    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(50)
        threading.Thread(target=accept, args=(listener,), daemon=True).start()
        yield int(listener.getsockname()[1])
        listener.shutdown(socket.SHUT_RDWR)
        for link in kept:
            with suppress(OSError):
                link.shutdown(socket.SHUT_RDWR)


def exactly(link: socket.socket, size: int) -> bytes:
    data = b""
    while len(data) < size:
        piece = link.recv(size - len(data))
        if not piece:
            raise EOFError
        data += piece
    return data


@contextmanager
def adb_server(
    shell: Send = NOTHING,
    sync: Send = NOTHING,
    devices: str = f"{SERIAL}\tdevice\n",
) -> Iterator[int]:
    """Run an adb server with one device; yield its port."""

    def block(text: str) -> bytes:
        data = text.encode(errors="surrogateescape")
        return b"OKAY%04x" % len(data) + data

    def handle(link: socket.socket) -> None:
        while True:
            request = exactly(link, int(exactly(link, 4), 16)).decode(errors="replace")
            if request == "host:version":
                return link.sendall(block("0029"))
            if request == "host:devices":
                return link.sendall(block(devices))
            if request.endswith(":features"):
                return link.sendall(block("shell_v2,cmd"))
            if request.startswith("host:transport:"):
                link.sendall(b"OKAY")
                continue
            service = {"shell": shell, "sync:": sync}.get(request.partition(",")[0])
            if service is None:
                return link.sendall(b"FAIL0006closed")
            link.sendall(b"OKAY")
            return service(link)

    with listening(handle) as port:
        yield port


def message(name: bytes, one: int, two: int, data: bytes = b"") -> bytes:
    """Return a packet of the protocol between a host and a daemon."""
    word = int.from_bytes(name, "little")
    return struct.pack("<6I", word, one, two, len(data), sum(data), word ^ 0xFFFFFFFF) + data


@contextmanager
def daemon(after_open: Callable[[socket.socket, int], None]) -> Iterator[int]:
    """Run an adb daemon that accepts every host; `after_open` gets the first stream's number."""

    def handle(link: socket.socket) -> None:
        while True:
            word, one, _, size, _, _ = struct.unpack("<6I", exactly(link, 24))
            exactly(link, size)
            name = word.to_bytes(4, "little")
            if name == b"CNXN":
                about = b"device::ro.product.name=x;features=shell_v2,cmd"
                link.sendall(message(b"CNXN", 0x01000001, 1 << 20, about))
            elif name == b"OPEN":
                after_open(link, one)

    with listening(handle) as port:
        yield port


def limited(*words: str, port: int | None = None) -> subprocess.CompletedProcess[str]:
    """Run Python with 1 GiB of address space and 60 s of processor time.

    A successful attack would exceed these limits.
    """

    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_AS, (GIB, GIB))
        resource.setrlimit(resource.RLIMIT_CPU, (60, 60))

    names = {} if port is None else {"ANDROID_ADB_SERVER_PORT": str(port)}
    one_thread = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}  # threads reserve memory
    return subprocess.run(
        [sys.executable, *words],
        capture_output=True,
        text=True,
        errors="replace",
        preexec_fn=limit,
        env={**os.environ, **one_thread, **names},
        timeout=300,
    )
