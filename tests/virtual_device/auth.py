"""A phone's side of adb's authorisation: Debian's daemon has it compiled out.

Messages: six little-endian words (command, two arguments, length and sum of the payload,
the command's complement), then the payload; AOSP packages/modules/adb/protocol.txt.
"""

from __future__ import annotations

import base64
import os
import socket
import struct
import time
from pathlib import Path

CNXN, AUTH = 0x4E584E43, 0x48545541
TOKEN, SIGNATURE, PUBLIC_KEY = 1, 2, 3
# DigestInfo of SHA-1 (RFC 8017, 9.2); adb hands over the token as if it were the digest.
SHA1 = bytes.fromhex("3021300906052b0e03021a05000414")
Key = tuple[int, int]  # modulus and exponent


def public_key(file: Path) -> Key:
    """Read the key of an adbkey.pub: the words of the modulus, least significant first."""
    return _key(file.read_bytes())


def _key(text: bytes) -> Key:
    raw = base64.b64decode(text.split()[0])
    size = 4 * struct.unpack_from("<I", raw)[0]
    modulus = int.from_bytes(raw[8 : 8 + size], "little")
    return modulus, struct.unpack_from("<I", raw, 8 + 2 * size)[0]


def handshake(client: socket.socket, allowed: list[Key], offered: list[bytes]) -> bytes:
    """Ask a client to sign until an allowed key did; return its first message.

    Args:
        client: an accepted connection.
        allowed: grows while a client waits: it is let in as soon as its key is there.
        offered: gets the public keys that were not allowed.

    Raises:
        EOFError: the client went away.
    """
    first = _receive(client)
    while True:
        token = os.urandom(20)
        client.sendall(_message(AUTH, TOKEN, token))
        command, kind, payload = _parts(_receive(client))
        if command != AUTH:
            raise EOFError("the client does not authorise itself")
        if kind == SIGNATURE and any(_signed(payload, token, key) for key in allowed):
            return first
        if kind == PUBLIC_KEY:
            offered.append(payload.split(b"\0")[0])
            _wait_for_consent(client, offered[-1], allowed)
            return first


def _wait_for_consent(client: socket.socket, offered: bytes, allowed: list[Key]) -> None:
    wanted = _key(offered)
    client.settimeout(0.05)
    while wanted not in allowed:
        try:
            if not client.recv(1, socket.MSG_PEEK):
                raise EOFError("the client gave up waiting")
            time.sleep(0.05)
        except TimeoutError:
            continue
    client.settimeout(None)


def _signed(signature: bytes, token: bytes, key: Key) -> bool:
    modulus, exponent = key
    size = (modulus.bit_length() + 7) // 8
    result = pow(int.from_bytes(signature, "big"), exponent, modulus).to_bytes(size, "big")
    info = SHA1 + token
    return result == b"\0\x01" + b"\xff" * (size - 3 - len(info)) + b"\0" + info


def _message(command: int, argument: int, payload: bytes) -> bytes:
    words = (command, argument, 0, len(payload), sum(payload), command ^ 0xFFFFFFFF)
    return struct.pack("<6I", *words) + payload


def _receive(client: socket.socket) -> bytes:
    head = _exactly(client, 24)
    return head + _exactly(client, struct.unpack("<6I", head)[3])


def _parts(message: bytes) -> tuple[int, int, bytes]:
    command, argument = struct.unpack_from("<2I", message)
    return command, argument, message[24:]


def _exactly(client: socket.socket, size: int) -> bytes:
    data = b""
    while len(data) < size:
        got = client.recv(size - len(data))
        if not got:
            raise EOFError("the client closed the connection")
        data += got
    return data
