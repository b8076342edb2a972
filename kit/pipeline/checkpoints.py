"""Checkpoints, from which a killed training resumes.

A checkpoint is a SHA-256 and the output of `torch.save`. It is in the cache under the build's
key, which depends on recipe, weights, pictures, tools and kit's own source, so that no other
build can use it.
"""

from __future__ import annotations

import hashlib
import io
import pickle
import shutil
from contextlib import suppress
from typing import TYPE_CHECKING

from kit import cache
from kit.files import atomic

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
        self.folder = cache.get_folder() / ".training" / key

    def save(self, state: State) -> None:
        """Replace the checkpoint. If it cannot be written, the build continues."""
        import torch

        buffer = io.BytesIO()
        torch.save(state, buffer)
        payload = buffer.getvalue()
        with suppress(OSError):
            atomic.write_file(self.folder / FILE, hashlib.sha256(payload).digest() + payload)
        self._prune()

    def load(self) -> tuple[State | None, str]:
        """Return the state of the checkpoint, or None; and a note if it is damaged."""
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
            return  # another build is removing them
        for old in entries[:-KEEP]:
            shutil.rmtree(old, ignore_errors=True)
