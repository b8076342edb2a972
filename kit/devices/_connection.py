"""Connections of adbutils to an adb server, with three of its behaviours changed.

adbutils starts a server if none runs, applies its timeout to each piece of an answer, and treats
a closed connection as an answer.
"""

from __future__ import annotations

import socket
import time

from adbutils import AdbClient, AdbConnection
from adbutils.errors import AdbConnectionError

from kit.devices.timeouts import SILENCE


class Connection(AdbConnection):  # type: ignore[misc]  # adbutils ships no types
    """A connection to a running server.

    Attributes:
        deadline: of all reads, by `time.monotonic()`.
    """

    deadline = float("inf")

    def _safe_connect(self) -> socket.socket:
        connected: socket.socket = self._create_socket()
        return connected

    def _read_fully(self, n: int) -> bytes:
        data = bytearray()
        while len(data) < n:
            left = self.deadline - time.monotonic()
            if left <= 0:
                raise TimeoutError
            self.conn.settimeout(left)
            try:
                piece = self.conn.recv(n - len(data))
            except ConnectionResetError:
                piece = b""
            if not piece:
                raise AdbConnectionError("the adb server closed the connection")
            data += piece
        return bytes(data)


class Client(AdbClient):  # type: ignore[misc]  # adbutils ships no types
    """A client whose connections have a deadline and start no server."""

    def make_connection(self, timeout: float | None = None) -> AdbConnection:
        """Return a connection whose timeout covers all reads together."""
        connection = Connection(self.host, self.port)
        connection.conn.settimeout(timeout)
        connection.deadline = time.monotonic() + (timeout or SILENCE)
        return connection


def make_client(host: str, port: int) -> AdbClient:
    """Return a client of a server."""
    return Client(host, port)
