"""The shell_v2 and sync protocols over streams of a device.

A stream comes from a running server (`kit.devices.server_transport`) or from our own connection
(`kit.devices.direct_transport`); the bytes are the same.

Source: https://android.googlesource.com/platform/packages/modules/adb/+/refs/heads/main,
shell_protocol.h, docs/dev/sync.md
"""

from __future__ import annotations

import os
import secrets
import struct
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, closing, contextmanager
from pathlib import Path
from typing import IO, Protocol

from kit.devices import foreign_errors
from kit.devices._limits import ANSWER_BYTES, MIB, shorten
from kit.devices.timeouts import Deadline, compute_transfer_seconds
from kit.devices.transport import Completed, Sent
from kit.errors import DeviceError, InputError, OutputError
from kit.files import atomic

CHUNK = 64 * 1024  # the largest that sync allows
_REGULAR = 0o100000
_STDOUT, _STDERR, _EXIT = 1, 2, 3
# The request is a string of at most 0xffff bytes for the server, and of one packet for adbd.
_MAX_COMMAND = 60_000


class Stream(Protocol):
    """An open service of the device.

    Every method raises if the peer is gone, or does not respond to probes.
    """

    def read(self, size: int) -> bytes:
        """Return exactly `size` bytes."""

    def read_some(self) -> bytes:
        """Return received bytes, at least one; none when the service ended."""

    def write(self, data: bytes | bytearray) -> None:
        """Send bytes."""

    def close(self) -> None:
        """End the service."""


class StreamTransport(ABC):
    """A `Transport` that uses streams."""

    serial: str

    @abstractmethod
    def _open(self, service: str, deadline: Deadline, transfer: bool = False) -> Stream:
        """Open a service of the device that must end before `deadline`."""

    @abstractmethod
    def _features(self) -> frozenset[str]:
        """Return the features that the device announced."""

    @abstractmethod
    def _guard(self) -> AbstractContextManager[None]:
        """Translate errors of libraries, and discard a broken connection."""

    @abstractmethod
    def close(self) -> None:
        """Close the connection; do nothing if it is closed."""

    def shell(self, command: str, timeout: float = 20.0) -> Completed:
        """Run a line of shell and wait up to `timeout` seconds for its end."""
        if "\0" in command or len(command.encode(errors="surrogateescape")) > _MAX_COMMAND:
            raise DeviceError(
                f"a command of {len(command)} characters cannot be sent to {self.serial!r}",
                "this is a bug in kit unless a path is longer than 4096 bytes or holds a NUL",
            )
        deadline = Deadline(timeout)
        with self._guard():
            if "shell_v2" in self._features():
                with closing(self._open(f"shell,v2,raw:{command}", deadline)) as stream:
                    return self._shell_v2(stream)
            return self._shell_v1(command, deadline)

    def _shell_v1(self, command: str, deadline: Deadline) -> Completed:
        """Run a command where shells have no exit code: before Android 7."""
        mark = f"__kit_{secrets.token_hex(8)}="
        wrapped = f"( {command}\n); echo {mark}$?"
        with closing(self._open(f"shell:{wrapped}", deadline)) as stream:
            output = self._read_to_end(stream)
        # A pseudo-terminal writes CR LF.
        text = output.replace(b"\r\n", b"\n").decode(errors="replace")
        before, separator, code = text.rpartition(mark)
        if not separator or not code.strip().isdigit():
            raise foreign_errors.make_lost_error(
                self.serial, "a command ended without an exit code"
            )
        return Completed(int(code), before, "")

    def _shell_v2(self, stream: Stream) -> Completed:
        """Collect the packets of shell_v2 until the one with the exit code."""
        output = {_STDOUT: bytearray(), _STDERR: bytearray()}
        while True:
            kind, size = struct.unpack("<BI", stream.read(5))
            if size + sum(map(len, output.values())) > ANSWER_BYTES:
                raise self._answers_too_much()
            data = stream.read(size)
            if kind == _EXIT and size:
                stdout, stderr = (bytes(b).decode(errors="replace") for b in output.values())
                return Completed(data[0], stdout, stderr)
            if kind in output:
                output[kind] += data

    def _read_to_end(self, stream: Stream) -> bytes:
        output = bytearray()
        while data := stream.read_some():
            output += data
            if len(output) > ANSWER_BYTES:
                raise self._answers_too_much()
        return bytes(output)

    def _answers_too_much(self) -> DeviceError:
        return DeviceError(
            f"{self.serial!r} answers a command with more than the {ANSWER_BYTES // MIB} MiB that "
            "kit takes",
            "restart the device; a working one answers with far less",
        )

    def push(
        self,
        file: Path,
        target: str,
        mode: int = 0o644,
        sent: Sent | None = None,
        modified: int | None = None,
    ) -> None:
        """Write a file on the device.

        Raises:
            InputError: the file cannot be read.
        """
        with (
            _opened(file) as source,
            self._guard(),
            closing(self._sync(_size(source, file))) as stream,
        ):
            head = _encoded(f"{target},{_REGULAR | mode}")
            stream.write(_packet(b"SEND", head))
            for data in _chunks(source, file):
                stream.write(_packet(b"DATA", data))
                if sent is not None:
                    sent(len(data))
            stream.write(
                struct.pack("<4sI", b"DONE", int(time.time()) if modified is None else modified)
            )
            self._answer(stream, target)

    def pull(self, source: str, file: Path, limit: int) -> None:
        """Fetch a file of the device, of up to `limit` bytes.

        Raises:
            DeviceError: it is larger, or the device sends more than it announced.
            OutputError: it cannot be written here.
        """
        with _written(file) as write, self._guard(), closing(self._sync(limit)) as stream:
            announced = self._announced(stream, source)
            if announced > limit:
                raise DeviceError(
                    f"{source} on {self.serial!r} has {announced} bytes, and at most {limit} are "
                    "expected",
                    "measure again; if it happens again, please report it",
                )
            stream.write(_packet(b"RECV", _encoded(source)))
            left = announced
            while data := self._data(stream, source):
                left -= len(data)
                if left < 0:
                    raise DeviceError(
                        f"{self.serial!r} announced {announced} bytes of {source}, and sends more",
                        "measure again; restart the device if it happens again",
                    )
                write(data)

    def _announced(self, stream: Stream, source: str) -> int:
        """Return the size of a file on the device; 0 if it does not exist."""
        stream.write(_packet(b"STAT", _encoded(source)))
        kind, _, size, _ = struct.unpack("<4sIII", stream.read(16))
        if kind != b"STAT":
            raise ValueError(f"{kind!r} instead of a file's size")
        return int(size)

    def _sync(self, size: int) -> Stream:
        """Open a transfer of a file of up to `size` bytes."""
        return self._open("sync:", Deadline(compute_transfer_seconds(size)), transfer=True)

    def _data(self, stream: Stream, source: str) -> bytes:
        """Return the next chunk of a pulled file; empty at its end."""
        kind, size = struct.unpack("<4sI", stream.read(8))
        if kind == b"DONE":
            return b""
        if kind != b"DATA" or size > CHUNK:
            self._refuse(stream, kind, size, source)
        return stream.read(size)

    def _answer(self, stream: Stream, target: str) -> None:
        kind, size = struct.unpack("<4sI", stream.read(8))
        if kind != b"OKAY":
            self._refuse(stream, kind, size, target)

    def _refuse(self, stream: Stream, kind: bytes, size: int, path: str) -> None:
        if kind != b"FAIL" or size > CHUNK:
            raise ValueError(f"{kind!r} of {size} bytes in a transfer")
        why = stream.read(size).decode(errors="replace")
        raise foreign_errors.make_refusal_error(self.serial, f"{path}: {shorten(why)}")


def _encoded(path: str) -> bytes:
    return path.encode(errors="surrogateescape")


def _packet(kind: bytes, data: bytes) -> bytes:
    return struct.pack("<4sI", kind, len(data)) + data


def _opened(file: Path) -> IO[bytes]:
    try:
        return file.open("rb")
    except OSError as exc:
        raise _unreadable(file, exc) from exc


def _size(source: IO[bytes], file: Path) -> int:
    try:
        return os.fstat(source.fileno()).st_size
    except OSError as exc:
        raise _unreadable(file, exc) from exc


def _chunks(source: IO[bytes], file: Path) -> Iterator[bytes]:
    while True:
        try:
            data = source.read(CHUNK)
        except OSError as exc:
            raise _unreadable(file, exc) from exc
        if not data:
            return
        yield data


def _unreadable(file: Path, exc: OSError) -> InputError:
    return InputError(f"cannot read {file}: {exc.strerror}", "check the path and its permissions")


@contextmanager
def _written(file: Path) -> Iterator[Callable[[bytes], None]]:
    """Yield a function that writes to a file, which is replaced if the block succeeds.

    Raises:
        OutputError: it cannot be written.
    """
    with ExitStack() as stack:
        with _mapped(file):
            opened = stack.enter_context(atomic.replace_file(file))

        def write(data: bytes) -> None:
            with _mapped(file):
                opened.write(data)

        yield write
        with _mapped(file):
            stack.close()


@contextmanager
def _mapped(file: Path) -> Iterator[None]:
    try:
        yield
    except OSError as exc:
        raise OutputError.of(exc, file, "make space, or choose another folder") from exc
