"""Packets of the adb protocol, on top of adb-shell's connection and authorisation.

This fixes defects of adb-shell 0.4.4: it loses the part of a packet that it received before a
timeout, ignores that a socket accepted only a part of a packet, waits for its timeout after the
peer closed, hides the device's features, and spends most of a transfer's time on checksums that
devices have not required since Android 9.

Source: https://android.googlesource.com/platform/packages/modules/adb/+/refs/heads/main,
docs/dev/protocol.md (the packets), adb.h (the versions)
"""

from __future__ import annotations

import math
import socket
import struct
import time

import numpy as np
from adb_shell import constants
from adb_shell.adb_device import _AdbIOManager
from adb_shell.adb_message import AdbMessage
from adb_shell.exceptions import AdbTimeoutError, InvalidChecksumError, InvalidCommandError
from adb_shell.hidden_helpers import _AdbPacketStore, _AdbTransactionInfo
from adb_shell.transport.base_transport import BaseTransport
from adb_shell.transport.tcp_transport import TcpTransport

from kit.errors import DeviceError

_NO_CHECKSUMS = 0x01000001  # the first version of the protocol without them
_STLS = int.from_bytes(b"STLS", "little")
_MAX_QUEUED = 8  # packets of one stream


class Tcp(TcpTransport):  # type: ignore[misc]  # adb-shell ships no types
    """A socket that sends all bytes and detects that the peer closed the connection."""

    def connect(self, transport_timeout_s: float | None) -> None:
        """Connect without Nagle's algorithm, so that small packets are sent at once."""
        super().connect(transport_timeout_s)
        self._connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def bulk_read(self, numbytes: int, transport_timeout_s: float | None) -> bytes:
        """Return up to `numbytes` bytes.

        Raises:
            EOFError: the peer closed the connection.
        """
        data: bytes = super().bulk_read(numbytes, transport_timeout_s)
        if not data:
            raise EOFError("the device closed the connection")
        return data

    def bulk_write(self, data: bytes, transport_timeout_s: float | None) -> int:
        """Send all of `data`."""
        rest = memoryview(data)
        while rest:
            rest = rest[super().bulk_write(rest, transport_timeout_s) :]
        return len(data)


class Wire(_AdbIOManager):  # type: ignore[misc]  # adb-shell ships no types
    """A connection to one adb daemon.

    Attributes:
        banner: the daemon's description of itself, ``device::name=value;…``.
        maxdata: bytes that fit into one packet.
        last_received: `time.monotonic()` of the last received bytes.
        key_sent: whether the daemon did not know our key, and got it to prompt its user.
        deadline: of every packet, by `time.monotonic()`.
        streams: our ids of open streams; packets for others are dropped.
    """

    def __init__(self, transport: BaseTransport) -> None:
        super().__init__(transport)
        self.banner = b""
        self.maxdata = constants.MAX_LEGACY_ADB_DATA
        self.last_received = time.monotonic()
        self.key_sent = False
        self.deadline = math.inf
        self.streams: set[int] = set()
        self._packet_store = _Waiting(self.streams)
        self._version = constants.VERSION
        self._received = bytearray()

    def _send(self, msg: AdbMessage, adb_info: _AdbTransactionInfo) -> None:
        if msg.command == constants.ID_TO_WIRE[constants.CNXN]:
            msg.arg0 = _NO_CHECKSUMS
        head = struct.pack(
            constants.MESSAGE_FORMAT,
            msg.command,
            msg.arg0,
            msg.arg1,
            len(msg.data),
            0 if self._version >= _NO_CHECKSUMS else _checksum(msg.data),
            msg.magic,
        )
        # Two writes: over USB the daemon reads header and data as two transfers.
        self._transport.bulk_write(head, adb_info.transport_timeout_s)
        if msg.data:
            self._transport.bulk_write(msg.data, adb_info.transport_timeout_s)

    def _read_packet_from_device(
        self, adb_info: _AdbTransactionInfo
    ) -> tuple[bytes, int, int, bytes]:
        self._fill(constants.MESSAGE_SIZE, adb_info)
        head = struct.unpack_from(constants.MESSAGE_FORMAT, self._received)
        word, arg0, arg1, size, checksum, magic = head
        name = constants.WIRE_TO_ID.get(word)
        if word == _STLS:
            raise _wants_tls()
        if name is None or word ^ magic != 0xFFFFFFFF or size > constants.MAX_ADB_DATA:
            if not self.banner and isinstance(self._transport, Tcp):  # USB may hold an older packet
                raise _is_not_adb(bytes(self._received))
            raise InvalidCommandError(f"packet {bytes(self._received[:24])!r}")
        self._fill(constants.MESSAGE_SIZE + size, adb_info)
        data = bytes(memoryview(self._received)[constants.MESSAGE_SIZE :][:size])
        del self._received[: constants.MESSAGE_SIZE + size]
        if name == constants.CNXN:
            self._version, self.banner = min(arg0, _NO_CHECKSUMS), data
            self.maxdata = min(arg1, constants.MAX_ADB_DATA)
        elif self._version < _NO_CHECKSUMS and checksum != _checksum(data):
            raise InvalidChecksumError(f"of a packet of {size} bytes")
        return name, arg0, arg1, data

    def _fill(self, size: int, adb_info: _AdbTransactionInfo) -> None:
        """Read until `size` bytes of the packet are there; a timeout keeps received bytes."""
        while len(self._received) < size:
            if time.monotonic() >= self.deadline:
                raise AdbTimeoutError("a packet was not whole in time")
            self._received += self._transport.bulk_read(
                size - len(self._received), adb_info.transport_timeout_s
            )
            self.last_received = time.monotonic()


class _Waiting(_AdbPacketStore):  # type: ignore[misc]  # adb-shell ships no types
    """A queue of packets for open streams that are not being read.

    A stream gets one packet at a time and confirms it, so the queue is short. The library's own
    has no limit, and takes packets of streams that were never opened.
    """

    def __init__(self, streams: set[int]) -> None:
        super().__init__()
        self._streams = streams

    def put(self, arg0: int, arg1: int, cmd: bytes, data: bytes) -> None:
        """Queue a packet of an open stream."""
        if arg1 not in self._streams:
            return
        if sum(queue.qsize() for queue in self._dict.get(arg1, {}).values()) >= _MAX_QUEUED:
            raise InvalidCommandError("more packets than were confirmed")
        super().put(arg0, arg1, cmd, data)


def _checksum(data: bytes) -> int:
    return int(np.frombuffer(data, np.uint8).sum(dtype=np.uint64)) & 0xFFFFFFFF


def _is_not_adb(answer: bytes) -> DeviceError:
    what = "an HTTP server or proxy" if answer.startswith(b"HTTP/") else "another program"
    return DeviceError(
        f"{what} answers there, not adb: {answer[:24]!r}",
        "check host and port; `adb tcpip 5555` makes a phone listen",
    )


def _wants_tls() -> DeviceError:
    return DeviceError(
        "the device uses wireless debugging with pairing, which only an adb server speaks",
        "pair it with `adb pair HOST:PORT`, then `adb connect HOST:PORT`, and try again",
    )
