"""Where a training that was killed goes on.

A checkpoint is its SHA-256 and what `torch.save` writes. It lies in the cache under the
build's key, which names recipe, weights, pictures, tools and kit's own source, so that no
other build can take it for its own.
"""

from __future__ import annotations

import hashlib
import io
import pickle
import shutil
from contextlib import suppress
from typing import TYPE_CHECKING

from kit import cache, files

if TYPE_CHECKING:
    from kit.quantize.training import State

KEEP = 4  # interrupted trainings; the oldest go first
FILE = "checkpoint"
_DIGEST = hashlib.sha256().digest_size


class Checkpoints:
    """The checkpoint of one build.

    Args:
        key: of the build.
    """

    def __init__(self, key: str) -> None:
        self.folder = cache.folder() / ".training" / key

    def save(self, state: State) -> None:
        """Replace the checkpoint. One that cannot be written is no failure of the build."""
        import torch

        buffer = io.BytesIO()
        torch.save(state, buffer)
        payload = buffer.getvalue()
        with suppress(OSError):
            files.write(self.folder / FILE, hashlib.sha256(payload).digest() + payload)
        self._prune()

    def load(self) -> tuple[State | None, str]:
        """Return where training stopped, or None; and a note if there is a damaged file."""
        import torch

        try:
            data = (self.folder / FILE).read_bytes()
        except FileNotFoundError:
            return None, ""
        except OSError as exc:
            return None, f"the checkpoint cannot be read ({exc.strerror})"
        payload = data[_DIGEST:]
        try:
            if hashlib.sha256(payload).digest() != data[:_DIGEST]:
                raise ValueError("its digest is another")
            state: State = torch.load(io.BytesIO(payload), weights_only=True)
        except (ValueError, RuntimeError, EOFError, pickle.UnpicklingError):
            return None, "the checkpoint is damaged"
        return state, ""

    def remove(self) -> None:
        """Remove the checkpoint."""
        shutil.rmtree(self.folder, ignore_errors=True)

    def _prune(self) -> None:
        try:
            entries = sorted(self.folder.parent.iterdir(), key=lambda e: e.stat().st_mtime)
        except OSError:
            return  # another build removes them at this moment
        for old in entries[:-KEEP]:
            shutil.rmtree(old, ignore_errors=True)
