"""Direct connections to devices over TCP or USB, for devices that no adb server holds.

adb-shell implements protocol, authorisation and USB, see `kit.devices._wire`.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from itertools import count

from adb_shell import constants
from adb_shell.adb_message import AdbMessage
from adb_shell.exceptions import (
    AdbTimeoutError,
    TcpTimeoutException,
    UsbReadFailedError,
)
from adb_shell.hidden_helpers import _AdbTransactionInfo
from adb_shell.transport.base_transport import BaseTransport

from kit.devices import _usb, adb_keys, foreign_errors
from kit.devices._wire import Tcp, Wire
from kit.devices.stream_transport import Stream, StreamTransport
from kit.devices.timeouts import SILENCE, SLICE, Deadline, StreamTimeouts
from kit.errors import DeviceLost

_NO_SERVICE = b"kit-are-you-there\0"  # unknown to every daemon, which just answers CLSE
_AUTH_SECONDS = 10.0  # for the user to accept the key on the device's screen
# Larger packets leave one side idle while the other works; smaller ones have more overhead.
_PACKET = 256 * 1024
_GREETINGS = 3  # packets that a device sends in a handshake before it prompts its user
_AGAIN_SECONDS = 0.2  # a daemon may reset one of two simultaneous connections


def make_tcp_transport(serial: str, host: str, port: int) -> DirectTransport:
    """Return a transport to a daemon that listens on the network."""
    return DirectTransport(serial, lambda: Tcp(host, port))


def make_usb_transport(serial: str) -> DirectTransport:
    """Return a transport to a device on USB that no adb server holds."""
    return DirectTransport(serial, lambda: _usb.find_transport(serial))


class DirectTransport(StreamTransport):
    """A direct connection, opened on first use; a lock serializes calls.

    Args:
        serial: the user's name for the device.
        plug: opens the socket or USB interface.
        auth_seconds: timeout for the user to accept a key that is new to the device.
    """

    def __init__(
        self, serial: str, plug: Callable[[], BaseTransport], auth_seconds: float = _AUTH_SECONDS
    ) -> None:
        self.serial = serial
        self._plug, self._auth_seconds = plug, auth_seconds
        self._wire: Wire | None = None
        self._turn = threading.RLock()
        self._ids = count(1)

    def close(self) -> None:
        """Close the connection."""
        wire, self._wire = self._wire, None
        if wire is not None:
            with suppress(OSError):  # the connection is discarded in any case
                wire.close()

    def connect(self) -> None:
        """Connect now instead of on the first call.

        Raises:
            DeviceLost: the device cannot be reached.
            DeviceError: it does not accept the key of this machine.
        """
        with self._guard():
            self._connected()

    @contextmanager
    def _guard(self) -> Iterator[None]:
        with self._turn, foreign_errors.translate_errors(self.serial):
            try:
                yield
            except BaseException:
                self.close()  # a packet may be half sent, also at Ctrl-C
                raise

    def _features(self) -> frozenset[str]:
        about = self._connected().banner.decode(errors="replace").rstrip("\0").partition("::")[2]
        named = (f.partition("=")[2] for f in about.split(";") if f.startswith("features="))
        return frozenset(next(named, "").split(","))

    def _open(self, service: str, deadline: Deadline, transfer: bool = False) -> Stream:
        wire = self._connected()
        data = service.encode(errors="surrogateescape") + b"\0"
        return DirectStream(
            wire, next(self._ids), data, self._make_timeouts(wire, deadline, transfer)
        )

    def _make_timeouts(self, wire: Wire, deadline: Deadline, transfer: bool) -> StreamTimeouts:
        begun = time.monotonic()  # earlier silence does not count: nothing was requested

        def alive() -> None:
            if time.monotonic() - max(wire.last_received, begun) > SILENCE:
                raise TimeoutError(f"it has been silent for {SILENCE:.0f} s")
            info = _info(next(self._ids), SILENCE)
            wire.send(AdbMessage(constants.OPEN, info.local_id, 0, _NO_SERVICE), info)

        return StreamTimeouts(deadline, alive, transfer)

    def _connected(self) -> Wire:
        if self._wire is None:
            try:
                self._wire = self._dial()
            except (OSError, EOFError):
                time.sleep(_AGAIN_SECONDS)
                self._wire = self._dial_again()
        return self._wire

    def _dial_again(self) -> Wire:
        try:
            return self._dial()
        except OSError as exc:
            raise DeviceLost(
                f"cannot reach device {self.serial!r}: {exc.strerror or exc}",
                "check the address and the network; a phone listens after `adb tcpip 5555` over "
                "USB, an emulator by itself",
            ) from exc

    def _dial(self) -> Wire:
        wire = Wire(self._plug())
        try:
            self._greet(wire)
        except BaseException:
            with suppress(OSError):
                wire.close()
            raise
        state = wire.banner.decode(errors="replace").partition("::")[0]
        if state not in ("device", "host"):
            raise foreign_errors.make_unusable_error(self.serial, state)
        return wire

    def _greet(self, wire: Wire) -> None:
        """Perform the handshake; a device that does not know our key prompts its user."""

        def on_key_sent(_: object) -> None:
            wire.key_sent = True

        try:
            info = _info(None, SILENCE)
            keys = [adb_keys.load_signer()]
            wire.deadline = time.monotonic() + _GREETINGS * SILENCE + self._auth_seconds
            wire.connect(b"features=shell_v2,cmd", keys, self._auth_seconds, on_key_sent, info)
        except (OSError, EOFError, AdbTimeoutError, TcpTimeoutException, UsbReadFailedError) as e:
            if wire.key_sent:
                raise foreign_errors.make_unusable_error(self.serial, "unauthorized") from e
            raise


class DirectStream:
    """A service of a device on a direct connection."""

    def __init__(self, wire: Wire, number: int, service: bytes, timeouts: StreamTimeouts) -> None:
        self._wire, self._timeouts = wire, timeouts
        self._info = _info(number, SLICE)
        self._ready, self._waiting = bytearray(), bytearray()
        self._open, self._unconfirmed = True, False
        self._max_packet = min(wire.maxdata, _PACKET)
        wire.streams.add(number)
        self._send(constants.OPEN, service)
        name, self._info.remote_id, _ = self._packet(constants.OKAY, constants.CLSE)
        if name == constants.CLSE:
            raise DeviceLost(*_refused_service(service))

    def read(self, size: int) -> bytes:
        """Return exactly `size` bytes."""
        self._flush()
        while len(self._ready) < size:
            if not self._open:
                raise EOFError("the device ended the service")
            self._receive()
        return self._take(size)

    def read_some(self) -> bytes:
        """Return received bytes, at least one; none when the service ended."""
        self._flush()
        while self._open and not self._ready:
            self._receive()
        return self._take(len(self._ready))

    def write(self, data: bytes | bytearray) -> None:
        """Send bytes in packets of the maximum size."""
        self._waiting += data
        while len(self._waiting) >= self._max_packet:
            self._send_some()

    def close(self) -> None:
        """End the service."""
        self._wire.streams.discard(self._info.local_id)
        if self._open:
            self._open = False
            self._send(constants.CLSE)

    def _flush(self) -> None:
        while self._waiting:
            self._send_some()

    def _send_some(self) -> None:
        """Send a packet once the previous one is confirmed; read while the device writes."""
        while self._unconfirmed:
            if not self._open:
                raise EOFError("the device ended the service")
            self._receive()
        data = bytes(memoryview(self._waiting)[: self._max_packet])
        del self._waiting[: self._max_packet]
        self._unconfirmed = True
        self._send(constants.WRTE, data)

    def _receive(self) -> None:
        name, _, data = self._packet(constants.OKAY, constants.WRTE, constants.CLSE)
        if name == constants.WRTE:
            self._ready += data
            self._send(constants.OKAY)
        elif name == constants.CLSE:
            self._open = False
        else:
            self._unconfirmed = False

    def _packet(self, *names: bytes) -> tuple[bytes, int, bytes]:
        while True:
            self._info.transport_timeout_s = self._info.read_timeout_s = self._timeouts.slice()
            self._wire.deadline = self._timeouts.deadline.at
            try:
                name, remote, _, data = self._wire.read(list(names), self._info)
            except (TcpTimeoutException, AdbTimeoutError):
                self._wait()
            except UsbReadFailedError as exc:
                if type(exc.usb_error).__name__ != "USBErrorTimeout":
                    raise
                self._wait()
            else:
                self._timeouts.moved()
                return name, remote, data

    def _wait(self) -> None:
        try:
            self._timeouts.waited()
        except BaseException:
            self._open = False  # there is no peer to send CLSE to
            raise

    def _send(self, name: bytes, data: bytes = b"") -> None:
        local, remote = self._info.local_id, self._info.remote_id or 0
        try:
            self._wire.send(AdbMessage(name, local, remote, data), _info(local, SILENCE))
        except BaseException:
            self._open = False
            raise

    def _take(self, size: int) -> bytes:
        data = bytes(memoryview(self._ready)[:size])
        del self._ready[:size]
        return data


def _info(local: int | None, seconds: float) -> _AdbTransactionInfo:
    return _AdbTransactionInfo(local, None, seconds, seconds, None)


def _refused_service(service: bytes) -> tuple[str, str]:
    name = service.partition(b":")[0].decode(errors="replace")
    return f"the device closed the service {name!r}", "try again; `kit devices` shows the device"
