"""A connection to a device that breaks when a test says so.

with Relay(device.port) as relay:
    relay.cut("rst", after=8_000_000, direction="to_device")
    ...push to relay.serial...

fin       both ends are closed, as by a device that is switched off in order
rst       both ends are reset, as by one that restarted and knows nothing of the connection
silence   nothing passes any more and nothing is said, as on a network that is gone
"""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from virtual_device import auth
from virtual_device.pump import Flow, Link, Pump, reset

How = Literal["fin", "rst", "silence"]
Direction = Literal["to_device", "from_device", "either"]


@dataclass
class Fault:
    """A cut that is still to come, when `left` more bytes have passed."""

    how: How
    left: int
    direction: Direction
    back: bool


class Relay:
    """Stands before a device; its `serial` is what a client connects to.

    Args:
        port: of the device, on 127.0.0.1.
        keys: files of the public keys that may connect; others are asked to sign, and wait
            as they wait for the dialog on a phone. None lets everyone through unasked.
    """

    def __init__(self, port: int, keys: Iterable[Path] | None = None) -> None:
        listener = _listen(0)
        self.port: int = listener.getsockname()[1]
        self.happened = threading.Event()  # set when a cut was made
        self.passed = {"to_device": 0, "from_device": 0}
        self.offered: list[bytes] = []  # public keys of those that were not let in
        self._allowed = None if keys is None else [auth.public_key(key) for key in keys]
        self._asked: set[socket.socket] = set()  # clients whose key is not accepted yet
        self._fault: Fault | None = None
        self._pump = _FaultyPump(listener, port, self)
        self._pump.start()

    @property
    def serial(self) -> str:
        return f"127.0.0.1:{self.port}"

    @property
    def connections(self) -> int:
        """How many clients are connected now."""
        return len(self._pump.links)

    def cut(
        self, how: How, *, after: int = 0, direction: Direction = "either", back: bool = True
    ) -> None:
        """Break every connection, now or when so many more bytes have passed.

        Args:
            how: fin, rst or silence.
            after: bytes that still pass, exactly; 0 is now.
            direction: which bytes count.
            back: whether new clients are served afterwards. If not, they find the port
                closed, after silence an open one where nobody answers.
        """
        fault = Fault(how, after, direction, back)
        self.happened.clear()

        def plan() -> None:
            self._fault = fault
            if after <= 0:
                self.fire()

        self._pump.ask(plan)

    def restore(self) -> None:
        """Serve clients again; connections that were silent go on where they stopped."""
        self._pump.ask(self._restore)

    def allow(self, key: Path) -> None:
        """Let a public key in, those that wait with it too: Allow was tapped on the phone."""
        assert self._allowed is not None, "this relay asks for no keys"
        self._allowed.append(auth.public_key(key))

    def close(self) -> None:
        """Drop every connection; the port is free again."""
        self._pump.close()
        for client in list(self._asked):
            with suppress(OSError):
                client.shutdown(socket.SHUT_RDWR)  # ends its thread's wait

    def __enter__(self) -> Relay:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def fire(self) -> None:
        """Make the planned cut; only in the pump's thread."""
        fault, self._fault = self._fault, None
        assert fault is not None
        for link in list(self._pump.links):
            if fault.how == "silence":
                link.stalled = True
                self._pump.rearm(link)
            else:
                self._pump.drop(link, rst=fault.how == "rst")
        if not fault.back:
            self._pump.unlisten(close=fault.how != "silence")
        self.happened.set()

    def _restore(self) -> None:
        self._pump.unlisten()
        self._pump.listen(_listen(self.port))
        for link in list(self._pump.links):
            link.stalled = False
            self._pump.rearm(link)

    def passing(self, flow: Flow, data: bytes) -> bytes:
        """Count bytes; at a planned cut deliver exactly those before it."""
        name: Direction = "to_device" if flow.to_device else "from_device"
        fault = self._fault
        if fault is None or fault.direction not in (name, "either") or len(data) < fault.left:
            if fault is not None and fault.direction in (name, "either"):
                fault.left -= len(data)
            self.passed[name] += len(data)
            return data
        before, rest = data[: fault.left], data[fault.left :]
        self.passed[name] += len(before)
        with suppress(OSError):
            flow.sink.settimeout(5)
            flow.sink.sendall(before)
        flow.sink.setblocking(False)
        self.fire()
        return rest if fault.how == "silence" else b""

    def admit(self, client: socket.socket) -> None:
        """Let a client through, after its key was checked where keys are asked for."""
        if self._allowed is None:
            self._pump.link(client)
            return
        arguments = (client, self._allowed)
        threading.Thread(target=self._check, args=arguments, daemon=True).start()

    def _check(self, client: socket.socket, allowed: list[auth.Key]) -> None:
        self._asked.add(client)
        try:
            first = auth.handshake(client, allowed, self.offered)
        except (OSError, EOFError):
            reset(client)
        else:
            self._pump.ask(lambda: self._pump.link(client, first))
        finally:
            self._asked.discard(client)


class _FaultyPump(Pump):
    def __init__(self, listener: socket.socket, port: int, relay: Relay) -> None:
        super().__init__(listener, lambda: socket.create_connection(("127.0.0.1", port), timeout=5))
        self._relay = relay

    def passing(self, link: Link, flow: Flow, data: bytes) -> bytes:
        return self._relay.passing(flow, data) if data else data

    def accepted(self, client: socket.socket) -> None:
        self._relay.admit(client)


def _listen(port: int) -> socket.socket:
    listener = socket.socket()
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind(("127.0.0.1", port))
    listener.listen(64)
    return listener
