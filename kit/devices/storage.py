"""Content-addressed storage on a device, so that each file is pushed once.

    ROOT/blobs/SHA256            a file that was verified after the transfer
    ROOT/sets/KEY/NAME           links to blobs that must be in one folder, like libraries
    ROOT/runs/TOKEN/             one measurement; removed at its end
    ROOT/lock/, ROOT/settings    see `locking` and `device_settings`

A file is pushed under another name, hashed on the device, synced to its storage and then
renamed. Its modification time is `CHECKED`: so one command that lists size and time of all
files shows which are unchanged since. Without the sync, a loss of power could preserve size and
time but not the content.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from kit.devices import parsing
from kit.devices.facts import FOLDER
from kit.devices.transport import Completed, Transport, quote
from kit.errors import DeviceError

ROOT = f"{FOLDER}/kit"
BLOBS = f"{ROOT}/blobs"
SETS = f"{ROOT}/sets"
SWEEP = f"rm -f {BLOBS}/.*.part"  # partial files
LISTING = "stat -c '%n %s %Y' -- * 2>/dev/null"  # in `BLOBS`, for `read_listing`
CHECKED = 1_000_000_000  # seconds since 1970
SLACK = 32 * 1024 * 1024  # bytes to leave free for outputs
_MARK = "==kit:store=="
_BYTES_PER_SECOND = 10e6  # hashed or written by a slow device

TransferProgress = Callable[[int, int], None]  # bytes sent, bytes in all
Alive = Callable[[], None]  # renews the lock if needed, see `locking.pulse`


@dataclass(frozen=True)
class Blob:
    """A file of this machine, by content."""

    file: Path
    size: int
    sha256: str


def make_blob(file: Path) -> Blob:
    """Return a file's blob."""
    with file.open("rb") as source:
        digest = hashlib.file_digest(source, "sha256").hexdigest()
    return Blob(file, file.stat().st_size, digest)


def ask(transport: Transport, script: str, timeout: float = 20.0) -> str:
    """Run a script and return its stdout, without a banner of the shell.

    Raises:
        DeviceError: it failed; the message has the end of stderr.
    """
    done = transport.shell(f"echo; echo {_MARK}; {script}", timeout)
    if done.code != 0:
        raise make_refusal_error(transport, done)
    return done.stdout.replace("\r\n", "\n").partition(f"{_MARK}\n")[2]


def make_refusal_error(transport: Transport, done: Completed) -> DeviceError:
    """Return the error of a failed script."""
    reason = " ".join((done.stderr or done.stdout).split())[-200:] or "no reason"
    return DeviceError(
        f"{transport.serial!r} refused a command with exit code {done.code}: {reason}",
        f"check that {FOLDER} can be written to; `kit clean` frees what kit keeps there",
    )


def read_listing(text: str) -> set[tuple[str, int]]:
    """Return digest and size of each unchanged file in the output of `LISTING`."""
    rows = (line.split() for line in text.splitlines())
    sizes = {
        row[0]: parsing.parse_integer(row[1])
        for row in rows
        if len(row) == 3 and row[2] == str(CHECKED)
    }
    return {(name, size) for name, size in sizes.items() if size is not None}


class Store:
    """The blobs of one device.

    Args:
        transport: to it.
        sent: called with bytes sent and bytes in all.
        alive: called repeatedly during transfers.
    """

    def __init__(
        self,
        transport: Transport,
        sent: TransferProgress = lambda done, of: None,
        alive: Alive = lambda: None,
    ) -> None:
        self._transport, self._sent, self._alive = transport, sent, alive
        self._checked: set[tuple[str, int]] | None = None
        self.pushed = 0

    def put(self, blobs: Mapping[str, Blob]) -> None:
        """Push missing blobs to the device.

        Args:
            blobs: by name for messages.

        Raises:
            DeviceError: too little space, or a transfer altered a file.
            DeviceLost: the device was lost, and did not come back.
        """
        missing = {b.sha256: b for b in blobs.values() if not self._has(b)}
        if not missing:
            return
        self._check_space(sum(b.size for b in missing.values()))
        try:
            self._push(missing)
            altered = self._accept(missing)
            if altered:  # retry: a lost connection can leave a short file
                self._push(altered)
                altered = self._accept(altered)
        except DeviceError:
            with suppress(DeviceError):  # the device may be gone; the next `_look` sweeps then
                ask(self._transport, SWEEP)
            raise
        finally:
            self._checked = None
        if altered:
            first = next(iter(altered.values()))
            raise DeviceError(
                f"{first.file.name} arrives altered on {self._transport.serial!r}",
                "check the cable and the device's storage",
            )
        self.pushed += sum(b.size for b in missing.values())

    def path(self, blob: Blob) -> str:
        """Return the path of a blob on the device."""
        return f"{BLOBS}/{blob.sha256}"

    def link(self, blobs: Mapping[str, Blob]) -> str:
        """Return a folder on the device with links to blobs under these names."""
        listing = "\n".join(f"{name} {b.sha256}" for name, b in sorted(blobs.items()))
        folder = f"{SETS}/{hashlib.sha256(listing.encode()).hexdigest()[:16]}"
        links = "; ".join(
            quote(["ln", "-s", self.path(b), f"{folder}.part/{name}"]) for name, b in blobs.items()
        )
        ask(
            self._transport,
            f'[ "$(ls {folder} 2>/dev/null | wc -l)" -eq {len(blobs)} ] || {{ '
            f"rm -rf {folder} {folder}.part; mkdir -p {folder}.part && {{ {links}; }} "
            f"&& mv {folder}.part {folder}; }}",
        )
        return folder

    def audit(self, blobs: Mapping[str, Blob]) -> list[str]:
        """Hash blobs on the device; remove those that changed, and return their names."""
        real = self._hashes({b.sha256: b for b in blobs.values()}, "")
        changed = {name: b for name, b in blobs.items() if real.get(b.sha256) != b.sha256}
        if changed:
            ask(self._transport, quote(["rm", "-f", *(self.path(b) for b in changed.values())]))
            self._checked = None
        return sorted(changed)

    def _has(self, blob: Blob) -> bool:
        if self._checked is None:
            self._checked = self._look()
        return (blob.sha256, blob.size) in self._checked

    def _look(self) -> set[tuple[str, int]]:
        """Return digest and size of every file that is unchanged since it was verified."""
        text = ask(
            self._transport,
            f"mkdir -p {BLOBS} {SETS} && cd {BLOBS} && {{ {LISTING}; {SWEEP}; true; }}",
        )
        return read_listing(text)

    def _check_space(self, needed: int) -> None:
        free = parsing.parse_free_bytes(ask(self._transport, f"df -k {FOLDER}"))
        if free is not None and free < needed + SLACK:
            raise DeviceError(
                f"{self._transport.serial!r} has {free / 1e6:.0f} MB free in {FOLDER}, and "
                f"{(needed + SLACK) / 1e6:.0f} MB are needed",
                "make space there; `kit clean` removes what kit keeps on a device",
            )

    def _push(self, blobs: Mapping[str, Blob]) -> None:
        total, done = sum(b.size for b in blobs.values()), 0

        def on_sent(count: int) -> None:
            nonlocal done
            done += count
            self._sent(min(done, total), total)
            self._alive()

        for blob in blobs.values():
            part = f"{BLOBS}/.{blob.sha256}.part"
            self._transport.push(blob.file, part, 0o755, on_sent, CHECKED)

    def _accept(self, blobs: Mapping[str, Blob]) -> dict[str, Blob]:
        """Rename files that were transferred intact; remove and return the others."""
        self._alive()
        real = self._hashes(blobs, ".part")
        self._alive()
        good = [digest for digest in blobs if real.get(digest) == digest]
        parts = " ".join(f"{BLOBS}/.{d}.part" for d in good)
        # Old Androids have no `fsync`, and a `sync` that takes no names.
        moves = [f"{{ fsync {parts} 2>/dev/null || sync; true; }}"] if good else []
        moves += [f"mv -f {BLOBS}/.{d}.part {BLOBS}/{d}" for d in good]
        altered = {digest: b for digest, b in blobs.items() if digest not in good}
        moves += [f"rm -f {BLOBS}/.{d}.part" for d in altered]
        ask(self._transport, " && ".join(moves), _blob_timeout(blobs))
        return altered

    def _hashes(self, blobs: Mapping[str, Blob], suffix: str) -> dict[str, str]:
        dot = "." if suffix else ""
        files = " ".join(f"{dot}{digest}{suffix}" for digest in blobs)
        text = ask(
            self._transport,
            f"cd {BLOBS} && {{ sha256sum {files} 2>/dev/null; true; }}",
            _blob_timeout(blobs),
        )
        rows = (line.split() for line in text.splitlines())
        return {r[1].strip(".").removesuffix(".part"): r[0] for r in rows if len(r) == 2}


def _blob_timeout(blobs: Mapping[str, Blob]) -> float:
    """Return the timeout in seconds for a slow device to read or write blobs."""
    return 20 + sum(b.size for b in blobs.values()) / _BYTES_PER_SECOND
