"""The RSA key that authorises this machine at devices, shared with `adb`."""

from __future__ import annotations

import base64
import os
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from kit import files
from kit.errors import DeviceError

if TYPE_CHECKING:
    from adb_shell.auth.sign_cryptography import CryptographySigner


def folder() -> Path:
    """Return the folder of adb's key."""
    return Path(os.environ.get("ANDROID_USER_HOME") or Path.home() / ".android")


def signer() -> CryptographySigner:
    """Return adb-shell's signer with the user's key, which is created if there is none.

    Raises:
        DeviceError: the key cannot be read or written.
    """
    path = folder() / "adbkey"
    try:
        if not path.exists():
            _make(path)
        return _signer(path)
    except OSError as exc:
        raise DeviceError(
            f"cannot use the key {exc.filename or path}: {exc.strerror}",
            "check its permissions; ANDROID_USER_HOME can name another folder",
        ) from exc
    except (ValueError, TypeError, AttributeError) as exc:  # of cryptography: no PEM, not RSA …
        raise DeviceError(
            f"{path} is not an RSA key that can be read",
            "rename it; a new one is made, which each device asks about again",
        ) from exc


def _signer(path: Path) -> CryptographySigner:
    from adb_shell.auth.keygen import encode_pubkey, get_user_info
    from adb_shell.auth.sign_cryptography import CryptographySigner
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    class Signer(CryptographySigner):  # type: ignore[misc]  # adb-shell ships no types
        def __init__(self) -> None:
            # Computed rather than read: the file with the public key may be missing.
            text = base64.b64encode(encode_pubkey(str(path))).decode() + get_user_info()
            self.public_key = text.encode()
            self.rsa_key = load_pem_private_key(path.read_bytes(), None)

    return Signer()


def _make(path: Path) -> None:
    """Create a key pair, unless another program does so at the same time."""
    from adb_shell.auth.keygen import keygen

    path.parent.mkdir(mode=0o750, parents=True, exist_ok=True)
    with files.folder_beside(path, private=True) as private:
        new = private / "adbkey"
        keygen(str(new))
        new.chmod(0o600)
        with suppress(FileExistsError):
            path.hardlink_to(new)  # unlike a rename, never overwrites
            with suppress(FileExistsError):
                path.with_suffix(".pub").hardlink_to(new.with_suffix(".pub"))
