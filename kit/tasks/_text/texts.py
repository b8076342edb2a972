"""Files of texts, and sets of them for calibration and evaluation.

sentences.txt      one text in each line
sentences.csv      text,label in each line, or columns that a first line names; also .tsv
"""

from __future__ import annotations

import csv
import hashlib
import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from kit.calibration import ModelInputs
from kit.documents import decode_name, describe_read_failure
from kit.errors import SampleError, format_count
from kit.files import untrusted
from kit.notices import Notice
from kit.signature import Samples
from kit.tasks._text.tokenizing import TextEncoder
from kit.tasks.evaluation import EvaluationSet, GroundTruth

_MAX_BYTES = 512 * 2**20
_HINT = "one text in each line of a .txt, or text,label in each line of a .csv, in UTF-8"
_DELIMITERS = {".csv": ",", ".tsv": "\t"}
_TEXTS = ("text", "sentence")  # names of columns
_LABELS = ("label", "class", "category")


@dataclass(frozen=True)
class LabelledText:
    """One text.

    Attributes:
        text: as it is in the file, without white space around it.
        label: as it is in the file; None if it has none.
        line: of the file, for messages.
    """

    text: str
    label: str | None
    line: int

    def digest(self) -> str:
        """Return the SHA-256 of the text, in hex."""
        return hashlib.sha256(self.text.encode()).hexdigest()


def read_texts(path: Path) -> list[LabelledText]:
    """Return the texts of a file, without blank lines.

    Raises:
        SampleError: it cannot be read, has no texts, or a line has no text or label.
    """
    delimiter = _DELIMITERS.get(path.suffix.lower())
    try:
        content = untrusted.read_file(path, _MAX_BYTES).decode("utf-8-sig")
    except (OSError, ValueError) as exc:
        raise SampleError(f"cannot read {path}: {describe_read_failure(exc)}", _HINT) from exc
    if delimiter is None:
        # Not splitlines: Unicode's other separators are part of a text.
        lines = enumerate(content.replace("\r\n", "\n").split("\n"), 1)
        texts = [LabelledText(line.strip(), None, n) for n, line in lines if line.strip()]
    else:
        texts = _read_table(path, content, delimiter)
    if not texts:
        raise SampleError(f"there are no texts in {path}", _HINT)
    return texts


def _read_table(path: Path, content: str, delimiter: str) -> list[LabelledText]:
    try:
        reader = csv.reader(io.StringIO(content, newline=""), delimiter=delimiter)
        rows = [(reader.line_num, row) for row in reader if any(cell.strip() for cell in row)]
    except csv.Error as exc:
        raise SampleError(f"{path} is not a CSV file: {exc}", _HINT) from exc
    columns = _find_columns([row for _, row in rows])
    texts = []
    for line, row in rows if columns is None else rows[1:]:
        place, label = columns or (0, 1)
        if len(row) <= max(place, label or 0) or not row[place].strip():
            raise SampleError(
                f"line {line} of {path} has {format_count(len(row), 'column')}, or no text",
                "each line is text,label; put a text that has a comma in quotes",
            )
        name = None if label is None else row[label].strip()
        texts.append(LabelledText(row[place].strip(), name, line))
    return texts


def _find_columns(rows: list[list[str]]) -> tuple[int, int | None] | None:
    """Return the columns of texts and labels that the first line names; None if it is a sample.

    A word that the same column has again is a label of a first sample, and no name.
    """
    names = [cell.strip().lower() for cell in rows[0]] if rows else []
    texts = [i for i, name in enumerate(names) if name in _TEXTS]
    labels = [i for i, name in enumerate(names) if name in _LABELS]
    if not texts:
        return None
    place = texts[0]
    again = (row[place].strip().lower() for row in rows[1:] if len(row) > place)
    if not labels and names[place] in again:
        return None
    return place, labels[0] if labels else None


@dataclass(frozen=True)
class TextCalibration:
    """Texts that set activation ranges.

    Attributes:
        source: name of their file.
        chosen: the texts, in the order of the file.
        rest: the other texts of the file.
        digests: SHA-256 of each chosen text, in hex.
    """

    source: str
    chosen: tuple[LabelledText, ...]
    rest: tuple[LabelledText, ...]
    digests: tuple[str, ...]
    output_margin: float = 1.0
    notices: tuple[Notice, ...] = ()

    @property
    def count(self) -> int:
        """Return the number of texts."""
        return len(self.chosen)

    @property
    def sha256(self) -> str:
        """Return the SHA-256 of the set, in hex."""
        return hashlib.sha256("\n".join(self.digests).encode()).hexdigest()

    def load(self, inputs: ModelInputs) -> Samples:
        """Return the tokens of the texts."""
        return encode_texts(self.chosen, inputs, self.source)


def encode_texts(texts: Sequence[LabelledText], inputs: ModelInputs, source: str) -> Samples:
    """Return the inputs of a model for texts.

    Raises:
        MissingTool: the package tokenizers is not installed.
        SampleError: the tokenizer cannot be used, or fails on a text.
    """
    assert inputs.text is not None  # tasks of text have it
    encoder = TextEncoder(inputs.text, inputs.specs, f"the tokenizer of {source}")
    return encoder.encode([one.text for one in texts])


def open_calibration(path: Path, count: int, seed: int) -> TextCalibration:
    """Return up to `count` randomly drawn texts of a file.

    Raises:
        SampleError: the file cannot be used.
    """
    texts = read_texts(path)
    size = min(count, len(texts))
    drawn = np.random.default_rng(seed).choice(len(texts), size, replace=False).tolist()
    chosen = tuple(texts[i] for i in sorted(drawn))
    digests = tuple(one.digest() for one in chosen)
    rest = tuple(one for one in texts if one.digest() not in set(digests))
    return TextCalibration(decode_name(path.resolve().name), chosen, rest, digests)


@dataclass(frozen=True)
class TextSet(EvaluationSet):
    """Texts to evaluate on, all with labels or all without.

    Attributes:
        texts: not yet tokenized.
        targets: of the texts, in the form of the task's tally; None without labels.
        inputs: of the model.
    """

    source: str
    sha256: str
    left_out: int
    notices: tuple[Notice, ...]
    texts: tuple[LabelledText, ...]
    targets: tuple[GroundTruth, ...] | None
    inputs: ModelInputs

    def __len__(self) -> int:
        return len(self.texts)

    @property
    def labelled(self) -> bool:
        """Return whether the texts have labels."""
        return self.targets is not None

    def load(self, start: int, stop: int) -> tuple[Samples, Sequence[GroundTruth]]:
        """Return the tokens of a range of texts, and their labels."""
        part = self.texts[start:stop]
        targets = (None,) * len(part) if self.targets is None else self.targets[start:stop]
        return encode_texts(part, self.inputs, self.source), targets
