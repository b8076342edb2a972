"""Files of `kit predict --save`: answers as JSON or arrays, or pictures of them in a folder."""

from __future__ import annotations

import io
import json
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

from kit.commands.common.output_checks import check_file, is_folder
from kit.errors import OutputError, UsageError

if TYPE_CHECKING:
    from kit.signature import Samples

_SUFFIXES = (".json", ".npz")
_HINT = "choose another one with --save"
_REPLACED = str.maketrans({"\\": "_", ":": "_"})  # which separate folders on Windows


def choose_file(save: str, draws: bool, task: str) -> Path | None:
    """Return the file that `--save` names, which can be written; None for a folder of pictures.

    Args:
        save: a file, or a folder as `kit.commands.common.output_checks.is_folder` has it.
        draws: whether the task draws its answers.
        task: for messages.

    Raises:
        UsageError: its suffix is another one, or it is a folder and the task draws nothing.
        OutputError: it cannot be written.
    """
    path = Path(save)
    if is_folder(save):
        if not draws:
            raise UsageError(
                f"--save {save} is a folder for pictures, and the task {task} draws none",
                "use for example answers.json",
            )
        check_file(path / "picture.png")
        return None
    if path.suffix not in _SUFFIXES:
        also = ", or a folder with a slash at its end" if draws else ""
        raise UsageError(
            f"--save {save} is neither .json nor .npz", f"use for example answers.json{also}"
        )
    check_file(path)
    return path


class PictureFolder:
    """A folder of pictures, ``FOLDER/FILE/SAMPLE.png`` and ``FOLDER/FILE-WHAT/SAMPLE.png``."""

    def __init__(self, root: Path, names: Sequence[str], main: str) -> None:
        """Choose the names of the pictures.

        Args:
            root: the folder.
            names: of all samples. Theirs lose the suffix, unless another one would have the same.
            main: what the pictures show that need no ``-WHAT``.
        """
        self._root, self._main = root, main
        self._count = 0
        stems = [_clean(name).with_suffix("") for name in names]
        self._shared = Counter(str(stem).casefold() for stem in stems)

    def write(self, sample: str, file: str, pictures: Mapping[str, bytes]) -> None:
        """Write the pictures of a file's answer to a sample.

        Raises:
            OutputError: one cannot be written.
        """
        from kit.files import atomic

        name = _clean(sample)
        stem = name.with_suffix("")
        place = name if self._shared[str(stem).casefold()] > 1 else stem
        contents = {
            self._root
            / (file if what in ("", self._main) else f"{file}-{what}")
            / f"{place}.png": data
            for what, data in pictures.items()
        }
        try:
            atomic.write_files(contents, self._root)
        except OSError as exc:
            raise OutputError.of(exc, self._root, _HINT) from exc
        self._count += len(contents)

    @property
    def count(self) -> int:
        """Return the number of pictures so far."""
        return self._count


def _clean(name: str) -> PurePosixPath:
    """Return the name of a sample as a path that stays in its folder."""
    parts = PurePosixPath(name.translate(_REPLACED)).parts
    inner = [part for part in parts if part not in ("/", "//", "..")]
    return PurePosixPath(*inner or ["sample"])


def write_answers(
    file: Path,
    record: Mapping[str, Any],  # Any: of JSON
    names: Sequence[str],
    raw: Sequence[Mapping[str, Samples]],
) -> None:
    """Write answers as JSON, or raw outputs as arrays ``FILE/OUTPUT`` [N, …] with their names.

    Args:
        file: ``.json`` or ``.npz``.
        record: what the JSON has.
        names: of the samples.
        raw: answers to each sample, by the name of the file.

    Raises:
        OutputError: the file cannot be written.
    """
    from kit.files import atomic

    text = file.suffix == ".json"
    try:
        atomic.write_file(file, json.dumps(record, indent=1) + "\n" if text else _pack(names, raw))
    except OSError as exc:
        raise OutputError.of(exc, file, "choose another file with --save") from exc


def _pack(names: Sequence[str], raw: Sequence[Mapping[str, Samples]]) -> bytes:
    import numpy as np

    arrays: dict[str, Any] = {"names": np.array(names)}
    # A file that failed midway has answers to some samples only, and is left out.
    complete = [name for name in raw[0] if all(name in one for one in raw)] if raw else []
    for name in complete:
        for position, spec in enumerate(raw[0][name].specs):
            column = [one[name].arrays[position] for one in raw]
            arrays[f"{name}/{spec.name}"] = np.concatenate(column)
    buffer = io.BytesIO()
    np.savez(buffer, **arrays)
    return buffer.getvalue()
