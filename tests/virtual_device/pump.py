"""Carries bytes between the clients of a listening socket and a server, in one thread.

One thread, because closing a socket while another thread reads from it neither ends the
read nor resets the connection.
"""

from __future__ import annotations

import os
import selectors
import socket
import struct
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from queue import Empty, SimpleQueue

CHUNK = 1 << 18
READ, WRITE = selectors.EVENT_READ, selectors.EVENT_WRITE


@dataclass(eq=False)
class Flow:
    """One direction of a connection; `waiting` is what the sink has not taken yet."""

    source: socket.socket
    sink: socket.socket
    to_device: bool
    waiting: memoryview = field(default_factory=lambda: memoryview(b""))
    ended: bool = False


@dataclass(eq=False)
class Link:
    """A client's connection and the one behind it; a stalled one carries nothing."""

    client: socket.socket
    server: socket.socket
    flows: tuple[Flow, Flow]
    stalled: bool = False


class Pump:
    """Accepts clients and links each with a new connection to the server.

    Args:
        listener: where clients come; closed by `close`.
        dial: connects to the server; its OSError resets the client.
    """

    def __init__(self, listener: socket.socket, dial: Callable[[], socket.socket]) -> None:
        self.listener, self.dial = listener, dial
        self.links: set[Link] = set()
        self._asked: SimpleQueue[Callable[[], None]] = SimpleQueue()
        self._selector = selectors.DefaultSelector()
        self._woken, self._wake = os.pipe()
        os.set_blocking(self._woken, False)
        self._selector.register(self._woken, READ, self._run_asked)
        self.listen(listener)
        self._thread = threading.Thread(target=self._loop, daemon=True)

    def start(self) -> None:
        self._thread.start()

    def ask(self, action: Callable[[], None]) -> None:
        """Run something in the pump's thread, and wait for it."""
        if threading.current_thread() is self._thread:
            action()
            return
        done = threading.Event()
        self._asked.put(lambda: (action(), done.set()))
        os.write(self._wake, b"x")
        done.wait(10)

    def close(self) -> None:
        """Drop every connection and stop."""
        self.ask(self._stop)
        self._thread.join(10)
        self._selector.close()
        os.close(self._woken)
        os.close(self._wake)

    def listen(self, listener: socket.socket) -> None:
        listener.setblocking(False)
        self.listener = listener
        self._selector.register(listener, READ, self._accept)

    def unlisten(self, close: bool = True) -> None:
        """Take no new clients: they are refused, or with an open port left waiting."""
        if self.listener.fileno() >= 0:
            if self.listener.fileno() in self._selector.get_map():
                self._selector.unregister(self.listener)
            if close:
                self.listener.close()

    def link(self, client: socket.socket, first: bytes = b"") -> None:
        """Link an accepted client; `first` is what was already read from it."""
        try:
            server = self.dial()
        except OSError:
            reset(client)
            return
        up, down = Flow(client, server, to_device=True), Flow(server, client, to_device=False)
        link = Link(client, server, (up, down))
        up.waiting = memoryview(first)
        for one in (client, server):
            one.setblocking(False)
            one.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.links.add(link)
        self.rearm(link)

    def drop(self, link: Link, rst: bool = False) -> None:
        """End both connections of a link, by FIN or by RST."""
        self.links.discard(link)
        for one in (link.client, link.server):
            self._arm(link, one, 0)
            if rst:
                reset(one)
            else:
                one.close()

    def rearm(self, link: Link) -> None:
        """Wait for what a link can do next."""
        for one in (link.client, link.server):
            events = 0
            for flow in () if link.stalled else link.flows:
                if flow.source is one and not flow.waiting and not flow.ended:
                    events |= READ
                if flow.sink is one and flow.waiting:
                    events |= WRITE
            self._arm(link, one, events)

    def _arm(self, link: Link, one: socket.socket, events: int) -> None:
        known = self._selector.get_map().get(one.fileno()) if one.fileno() >= 0 else None
        if known and not events:
            self._selector.unregister(one)
        elif known and known.events != events:
            self._selector.modify(one, events, known.data)
        elif not known and events:
            self._selector.register(one, events, lambda: self._turn(link))

    def _turn(self, link: Link) -> None:
        try:
            for flow in link.flows:
                self._step(link, flow)
        except OSError:
            self.drop(link, rst=True)
            return
        if link not in self.links:
            return
        if all(flow.ended and not flow.waiting for flow in link.flows):
            self.drop(link)
        else:
            self.rearm(link)

    def _step(self, link: Link, flow: Flow) -> None:
        if not self._lives(link):
            return
        if not flow.waiting and not flow.ended:
            with suppress(BlockingIOError):
                data = flow.source.recv(CHUNK)
                flow.ended = not data
                flow.waiting = memoryview(self.passing(link, flow, data))
                if flow.ended:
                    flow.sink.shutdown(socket.SHUT_WR)
        if flow.waiting and self._lives(link):
            with suppress(BlockingIOError):
                flow.waiting = flow.waiting[flow.sink.send(flow.waiting) :]

    def _lives(self, link: Link) -> bool:
        return link in self.links and not link.stalled

    def passing(self, link: Link, flow: Flow, data: bytes) -> bytes:
        """Return what of `data` goes on; a hook for faults."""
        return data

    def accepted(self, client: socket.socket) -> None:
        """Do something with a new client; a hook for authorisation."""
        self.link(client)

    def _accept(self) -> None:
        with suppress(BlockingIOError):
            client, _ = self.listener.accept()
            self.accepted(client)

    def _run_asked(self) -> None:
        with suppress(BlockingIOError):
            os.read(self._woken, 4096)
        with suppress(Empty):
            while True:
                self._asked.get_nowait()()

    def _stop(self) -> None:
        self.unlisten()
        for link in list(self.links):
            self.drop(link)
        self._running = False

    def _loop(self) -> None:
        self._running = True
        while self._running:
            for key, _ in self._selector.select():
                # An earlier action of this round may have unregistered it.
                if self._selector.get_map().get(key.fd) is key:
                    key.data()


def reset(one: socket.socket) -> None:
    """Close a connection by RST."""
    with suppress(OSError):
        one.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    one.close()
