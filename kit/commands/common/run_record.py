"""What each step of `kit run` depended on when it ran, in `run.json` beside its results."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from kit.errors import InputError


@dataclass
class RunRecord:
    """Digests of what the steps depended on, by their names.

    Attributes:
        path: of the file.
        states: as in the file.
    """

    path: Path
    states: dict[str, str] = field(default_factory=dict)

    @classmethod
    def open(cls, path: Path, forget: bool) -> RunRecord:
        """Return the record of an earlier run; an empty one if there is none, or to forget it.

        Raises:
            InputError: the file is not a record.
        """
        from kit import documents
        from kit.files import untrusted

        if forget or not path.exists():
            return cls(path)
        try:
            document = documents.parse_json(untrusted.read_file(path, 1 << 20))
            if not isinstance(document, dict) or not all(
                isinstance(value, str) for value in document.values()
            ):
                raise ValueError("it is not a table of texts")
        except (OSError, ValueError) as exc:
            raise InputError(
                f"{path} is not the record of a `kit run`: {documents.describe_read_failure(exc)}",
                "remove it, or name another folder with -o",
            ) from exc
        return cls(path, document)

    def get(self, step: str) -> str | None:
        """Return what a step depended on when it last ended well."""
        return self.states.get(step)

    def keep(self, step: str, state: str) -> None:
        """Note that a step ended well."""
        from kit.files import atomic

        self.states[step] = state
        atomic.write_file(self.path, json.dumps(self.states, indent=1) + "\n")

    @staticmethod
    def describe(words: Sequence[str], inputs: Iterable[Path], bundle: Path) -> str:
        """Return a digest of what a step depends on.

        Args:
            words: of its command.
            inputs: files and folders; they count by names, sizes and times of change.
            bundle: that it reads.
        """
        from kit.bundles import loading

        digest = hashlib.sha256(json.dumps([*words, loading.load_bundle(bundle).hash]).encode())
        for path in inputs:
            for file in sorted(path.rglob("*")) if path.is_dir() else [path]:
                if file.is_file():
                    facts = file.stat()
                    digest.update(os.fsencode(f"{file}\0{facts.st_size}\0{facts.st_mtime_ns}\0"))
        return digest.hexdigest()
