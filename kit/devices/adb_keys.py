"""The RSA key that authorises this machine at devices, shared with `adb`."""

from __future__ import annotations

import base64
import os
import struct
from contextlib import suppress
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

from kit.errors import DeviceError
from kit.files import temporary

if TYPE_CHECKING:
    from adb_shell.auth.sign_cryptography import CryptographySigner

_BYTES = 256  # of a modulus
_WORD = 1 << 32


def get_folder() -> Path:
    """Return the folder of adb's key."""
    return Path(os.environ.get("ANDROID_USER_HOME") or Path.home() / ".android")


def load_signer() -> CryptographySigner:
    """Return adb-shell's signer with the user's key, which is created if there is none.

    Raises:
        DeviceError: the key cannot be read or written.
    """
    path = get_folder() / "adbkey"
    try:
        if not path.exists():
            _make(path)
        return _read(path.read_bytes())
    except OSError as exc:
        raise DeviceError(
            f"cannot use the key {exc.filename or path}: {exc.strerror}",
            "check its permissions; ANDROID_USER_HOME can name another folder",
        ) from exc
    except (ValueError, TypeError, OverflowError) as exc:  # no PEM, not RSA, too long …
        raise DeviceError(
            f"{path} is not an RSA key that can be read",
            "rename it; a new one is made, which each device asks about again",
        ) from exc


@lru_cache(maxsize=1)
def _read(content: bytes) -> CryptographySigner:
    """Return a signer with the key of a file, which is verified once, not for each connection."""
    from adb_shell.auth.keygen import get_user_info
    from adb_shell.auth.sign_cryptography import CryptographySigner
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    class Signer(CryptographySigner):  # type: ignore[misc]  # adb-shell ships no types
        def __init__(self) -> None:
            key = load_pem_private_key(content, None)
            if not isinstance(key, RSAPrivateKey):
                raise TypeError(f"a key of {type(key).__name__}")
            self.rsa_key = key
            # Computed rather than read: the file with the public key may be missing.
            public = key.public_key().public_numbers()
            text = base64.b64encode(encode_public(public.n, public.e)).decode() + get_user_info()
            self.public_key = text.encode()

    return Signer()


def encode_public(modulus: int, exponent: int) -> bytes:
    """Return a public key of 2048 bits as Android's daemon reads it.

    https://android.googlesource.com/platform/system/core/+/refs/heads/main/libcrypto_utils
    """
    inverse = _WORD - pow(modulus, -1, _WORD)  # with the next, of Montgomery's multiplication
    square = pow(2, 16 * _BYTES, modulus)
    numbers = (number.to_bytes(_BYTES, "little") for number in (modulus, square))
    return struct.pack(f"<II{_BYTES}s{_BYTES}sI", _BYTES // 4, inverse, *numbers, exponent)


def _make(path: Path) -> None:
    """Create a key pair, unless another program does so at the same time."""
    from adb_shell.auth.keygen import keygen

    path.parent.mkdir(mode=0o750, parents=True, exist_ok=True)
    with temporary.make_folder_beside(path, private=True) as private:
        new = private / "adbkey"
        keygen(str(new))
        new.chmod(0o600)
        with suppress(FileExistsError):
            path.hardlink_to(new)  # unlike a rename, never overwrites
            with suppress(FileExistsError):
                path.with_suffix(".pub").hardlink_to(new.with_suffix(".pub"))
