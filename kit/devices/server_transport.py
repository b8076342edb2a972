"""Transport over a running adb server: phones on USB, emulators, and `adb connect`'s devices.

kit never starts a server.
"""

from __future__ import annotations

import os
import re
import select
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import cached_property
from typing import TYPE_CHECKING

from kit.devices import foreign_errors, parsing
from kit.devices._limits import DEVICES
from kit.devices.stream_transport import Stream, StreamTransport
from kit.devices.timeouts import SILENCE, Deadline, StreamTimeouts
from kit.errors import DeviceError, DeviceLost, UsageError

if TYPE_CHECKING:
    from adbutils import AdbClient, AdbConnection

_NO_SERVICE = "kit-are-you-there"  # unknown to every daemon, which just answers "closed"
_PIECE = 256 * 1024
_BACK_SECONDS = 3.0  # timeout for the server to reconnect to a lost device
_LOOK_PAUSE = 0.2


def choose_address() -> tuple[str, int]:
    """Return host and port of the adb server, chosen like the `adb` program does.

    Raises:
        UsageError: a variable has no TCP address.
    """
    text = os.environ.get("ADB_SERVER_SOCKET")
    host = os.environ.get("ANDROID_ADB_SERVER_ADDRESS") or "127.0.0.1"
    if text:
        name = "ADB_SERVER_SOCKET"
        kind, _, rest = text.partition(":")
        named_host, _, port = rest.rpartition(":")
        host = named_host.removeprefix("[").removesuffix("]") or host  # IPv6: tcp:[::1]:5037
    else:
        name, kind = "ANDROID_ADB_SERVER_PORT", "tcp"
        text = port = os.environ.get(name) or "5037"
    if kind != "tcp" or not port.isascii() or not port.isdigit() or not 0 < int(port) < 65536:
        raise UsageError(
            f"{name} = {text!r} is not a TCP address",
            "unset it, or give it like 5037 (ANDROID_ADB_SERVER_PORT) or "
            "tcp:localhost:5037 (ADB_SERVER_SOCKET)",
        )
    return host, int(port)


def find_server() -> Server | None:
    """Return the running server, None if there is none.

    Raises:
        DeviceError: another program listens on its port.
    """
    host, port = choose_address()
    try:
        socket.create_connection((host, port), timeout=2).close()
    except OSError:
        return None
    server = Server(host, port)
    with foreign_errors.translate_errors(f"adb server at {host}:{port}"):
        server.ask("host:version")
    return server


class Server:
    """A running adb server."""

    def __init__(self, host: str, port: int) -> None:
        self._address = host, port

    def ask(self, request: str, timeout: float = SILENCE) -> str:
        """Return the server's answer to a request: up to 64 KiB, within `timeout` seconds."""
        connection = self.open(request, timeout=timeout)
        try:
            return str(connection.read_string_block())
        finally:
            connection.conn.close()

    def open(self, *requests: str, timeout: float = SILENCE) -> AdbConnection:
        """Send requests one after another on one connection, and return it.

        Args:
            requests: of the server's protocol.
            timeout: seconds for all reads through the library together.
        """
        connection = self._client.make_connection(timeout=timeout)
        try:
            for request in requests:
                data = request.encode(errors="surrogateescape")
                connection.conn.sendall(b"%04x" % len(data) + data)
                connection.check_okay()
        except BaseException:
            connection.conn.close()
            raise
        return connection

    def listed(self) -> list[tuple[str, str]]:
        """Return serial and state of every device that the server knows."""
        with foreign_errors.translate_errors("adb server"):
            devices = parsing.parse_devices(self.ask("host:devices"))
        if len(devices) > DEVICES:
            raise DeviceError(
                f"the adb server lists {len(devices)} devices, and kit takes up to {DEVICES}",
                "restart it: `adb kill-server`, then `adb start-server`",
            )
        return devices

    @cached_property
    def _client(self) -> AdbClient:
        from kit.devices import _connection

        return _connection.make_client(*self._address)


class ServerTransport(StreamTransport):
    """A device behind an adb server.

    Args:
        server: which knows the device.
        serial: as the server lists it.
    """

    def __init__(self, server: Server, serial: str) -> None:
        self.serial = serial
        self._server = server
        self._known: frozenset[str] | None = None
        self._stale = False

    def close(self) -> None:
        """Do nothing: each call has a connection of its own."""

    @contextmanager
    def _guard(self) -> Iterator[None]:
        try:
            with foreign_errors.translate_errors(self.serial):
                yield
        except DeviceLost:
            self._stale = True
            raise

    def _features(self) -> frozenset[str]:
        if self._known is None:
            with self._request(f"host-serial:{self.serial}:features") as connection:
                self._known = frozenset(connection.read_string_block().split(","))
        return self._known

    def _open(self, service: str, deadline: Deadline, transfer: bool = False) -> Stream:
        connection = self._request(f"host:transport:{self.serial}", service)
        return ServerStream(connection.conn, StreamTimeouts(deadline, self._alive, transfer))

    def _request(self, *requests: str) -> AdbConnection:
        """Send requests; if the server lost the device, retry while it reconnects."""
        from adbutils.errors import AdbError, AdbTimeout

        if not self._stale:
            try:
                return self._server.open(*requests)
            except AdbTimeout:  # this call has waited long enough
                raise
            except AdbError as exc:
                if not isinstance(foreign_errors.translate(exc, self.serial), DeviceLost):
                    raise
        connection = self._retry_request(*requests)
        self._stale = False
        return connection

    def _retry_request(self, *requests: str) -> AdbConnection:
        """Send requests until the device is back; the server reports it offline meanwhile."""
        from adbutils.errors import AdbError

        until = time.monotonic() + _BACK_SECONDS
        look = True
        while True:
            if look:
                self._look_again()
            try:
                return self._server.open(*requests)
            except AdbError as exc:
                if not foreign_errors.is_transient(exc) or time.monotonic() >= until:
                    raise
                look = "not found" in str(exc)
            time.sleep(_LOOK_PAUSE)

    def _look_again(self) -> None:
        """Make the server reconnect: it does so by itself for USB, not always for TCP."""
        if parse_network_address(self.serial) is None:
            return
        from adbutils.errors import AdbError

        with suppress(AdbError):  # it may have forgotten the device
            self._server.ask(f"host:disconnect:{self.serial}")
        self._server.ask(f"host:connect:{self.serial}")

    def _alive(self) -> None:
        """Probe the device: request a service that none has, whose refusal is a sign of life."""
        from adbutils.errors import AdbError

        try:
            self._server.open(f"host:transport:{self.serial}", _NO_SERVICE).conn.close()
        except AdbError as exc:
            if str(exc) != "closed":
                raise


class ServerStream:
    """A service of a device through a server."""

    def __init__(self, connection: socket.socket, timeouts: StreamTimeouts) -> None:
        self._socket, self._timeouts = connection, timeouts
        self._ready = bytearray()
        connection.setblocking(False)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def read(self, size: int) -> bytes:
        """Return exactly `size` bytes."""
        while len(self._ready) < size:
            data = self._receive()
            if not data:
                raise EOFError("the connection was closed")
            self._ready += data
        return self._take(size)

    def read_some(self) -> bytes:
        """Return received bytes, at least one; none when the service ended."""
        return self._take(len(self._ready)) or self._receive()

    def write(self, data: bytes | bytearray) -> None:
        """Send bytes."""
        rest = memoryview(data)
        while rest:
            self._wait(select.POLLOUT)
            rest = rest[self._socket.send(rest) :]

    def close(self) -> None:
        """Close the connection, which ends the service."""
        self._socket.close()

    def _take(self, size: int) -> bytes:
        data = bytes(memoryview(self._ready)[:size])
        del self._ready[:size]
        return data

    def _receive(self) -> bytes:
        self._wait(select.POLLIN)
        return self._socket.recv(_PIECE)

    def _wait(self, event: int) -> None:
        """Wait until the socket can be read or written.

        A refusal that arrives while a file is being sent is read afterwards: the sync protocol
        requires that the file is sent to its end.
        """
        ready = select.poll()
        ready.register(self._socket, event)
        while not ready.poll(1000 * self._timeouts.slice()):
            self._timeouts.waited()
        self._timeouts.moved()


def parse_network_address(serial: str) -> tuple[str, int] | None:
    """Return host and port of a serial like ``192.168.0.7:5555`` or ``[::1]:5555``."""
    match = re.fullmatch(r"(?:\[([0-9a-fA-F:.%\w]+)\]|([^\s:\[\]/]+)):(\d{1,5})", serial)
    if match is None or not 0 < int(match[3]) < 65536:
        return None
    return match[1] or match[2], int(match[3])
