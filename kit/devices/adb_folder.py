"""The folder of one measurement on a device over adb."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path, PurePosixPath

from kit.devices import storage
from kit.devices.storage import Blob, Store
from kit.devices.transport import Transport
from kit.files import temporary


class AdbFolder:
    """The folder of one measurement, and the files that are kept on the device."""

    def __init__(self, transport: Transport, store: Store, path: str) -> None:
        self._transport, self._store, self._path = transport, store, path
        self._used: dict[str, Blob] = {}

    def put(self, file: Path) -> str:
        """Push a file to the device unless it is there, and return its path."""
        blob = storage.make_blob(file)
        self._store.put({file.name: blob})
        self._used[file.name] = blob
        return self._store.path(blob)

    def install(self, folder: Path, digests: Mapping[str, str]) -> str:
        """Push files that must be in one folder, and return that folder on the device."""
        blobs = {
            name: Blob(folder / name, (folder / name).stat().st_size, digest)
            for name, digest in digests.items()
        }
        self._store.put(blobs)
        self._used.update(blobs)
        return self._store.link(blobs)

    def audit(self) -> list[str]:
        """Hash all files that this measurement uses; push changed ones again.

        Returns:
            The names of the files that had changed.
        """
        changed = self._store.audit(self._used)
        self._store.put({name: self._used[name] for name in changed})
        return changed

    def write(self, name: str, data: bytes) -> str:
        """Write a file into the folder."""
        with temporary.make_folder() as folder:
            file = folder / "data"
            file.write_bytes(data)
            self._transport.push(file, self.path(name))
        return self.path(name)

    def path(self, name: str) -> str:
        """Return the path of a file in the folder."""
        return str(PurePosixPath(self._path) / name)

    def read(self, name: str, limit: int) -> bytes:
        """Return the content of a file in the folder, of up to `limit` bytes."""
        with temporary.make_folder() as folder:
            file = folder / "data"
            self._transport.pull(self.path(name), file, limit)
            return file.read_bytes()
