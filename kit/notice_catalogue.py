"""The catalogue of notices: severity, text, hint and kinds of values of each code.

The meaning of a code, and the names and types of its values, never change; a new meaning is a new
code. No text names an option of the command line: `kit.commands` adds the options.
"""

from __future__ import annotations

from collections.abc import Mapping

from kit.measurement_notices import MEASUREMENT_NOTICES
from kit.notice_values import COUNT, DECIBELS, TWO_DIGITS, WORD, WORDS, CatalogueEntry

TEXT = "text"  # code of the sentences that results before schema 6 and manifests before 4 stored
CATALOGUE: Mapping[str, CatalogueEntry] = {
    TEXT: CatalogueEntry("warning", "{text}", "", {"text": WORD}),
    **MEASUREMENT_NOTICES,
    "weights.random": CatalogueEntry(
        "warning",
        "the weights are random, so sizes and speed are meaningful and answers are not",
    ),
    "artifact.not-run": CatalogueEntry(
        "note",
        "{file} was lowered and not run, because nothing here runs it; its answers are those of "
        "its graph",
        "",
        {"file": WORD},
    ),
    "int8.inaccurate": CatalogueEntry(
        "warning",
        "{file} differs much from the float model on the golden inputs: SQNR {sqnr}",
        "measure it on your own samples, which these may be unlike; if it is low there too, find "
        "the layers that int8 hurts, and keep them in float",
        {"file": WORD, "sqnr": DECIBELS},
    ),
    "float.kept": CatalogueEntry(
        "note",
        "{layers}: kept in float; the simulated int8 network has {after}, and {before} with "
        "everything in int8",
        "everything can be quantized all the same",
        {"layers": WORDS, "before": DECIBELS, "after": DECIBELS},
    ),
    "float.disregarded": CatalogueEntry(
        "warning",
        "{files}: what is to stay in float ({layers}) does not apply, as the method quantizes "
        "every layer that it can",
        "",
        {"files": WORDS, "layers": WORDS},
    ),
    "gate.not-run": CatalogueEntry(
        "warning",
        "{files}: no accuracy gate, because nothing here runs what was lowered for devices",
        "",
        {"files": WORDS},
    ),
    "format.ended": CatalogueEntry(
        "note",
        "upstream no longer develops the format {format}: {reason}",
        "new apps use {successor}",
        {"format": WORD, "reason": WORD, "successor": WORD},
    ),
    "weights.source": CatalogueEntry(
        "warning",
        "a source of the official weights was skipped: {reason}",
        "",
        {"reason": WORD},
    ),
    "weights.several": CatalogueEntry(
        "warning",
        "the file of weights holds several networks: {key} is used, and not {others}",
        "choose another by its key",
        {"key": WORD, "others": WORDS},
    ),
    "preprocessing.approximate": CatalogueEntry(
        "warning",
        "{model} was made for another preprocessing ({what}); the bundle prepares "
        "pictures in the nearest way that it can describe",
        "measure its accuracy on pictures of yours",
        {"model": WORD, "what": WORD},
    ),
    "calibration.photos": CatalogueEntry(
        "warning",
        "calibrated with {source}",
        "real pictures give better answers",
        {"source": WORD},
    ),
    "calibration.unread": CatalogueEntry(
        "warning", "{source}: {files}", "", {"source": WORD, "files": WORD}
    ),
    "calibration.fewer": CatalogueEntry(
        "warning",
        "{source} has {count} pictures, fewer than the {asked} requested for calibration",
        "",
        {"source": WORD, "count": COUNT, "asked": COUNT},
    ),
    "calibration.thin": CatalogueEntry(
        "warning",
        "thin calibration: {share} of the values of '{layer}' on {samples} would be clipped",
        "use more {sample}s, unless the model is for {sample}s of another kind",
        {"share": TWO_DIGITS, "layer": WORD, "samples": WORD, "sample": WORD},
    ),
    "training.restarted": CatalogueEntry(
        "warning", "training started again: {reason}", "", {"reason": WORD}
    ),
    "training.not-kept": CatalogueEntry(
        "warning",
        "the trained weights were discarded, the model is the one before training: {reason}",
        "",
        {"reason": WORD},
    ),
    "accuracy.batch": CatalogueEntry(
        "note",
        "files took {samples} samples in each inference, and the float model one, which images per "
        "second depend on",
        "",
        {"samples": COUNT},
    ),
    "pictures.unread": CatalogueEntry("warning", "{files}", "", {"files": WORD}),
    "labels.source": CatalogueEntry("note", "labels: {source}", "", {"source": WORD}),
    "labels.order": CatalogueEntry(
        "warning",
        "folder {folder} is class {folder} here; a network that was trained with torchvision's "
        "ImageFolder has it as class {place}, because that sorts names as text",
        "then build with a list of labels, or name the folders by category",
        {"folder": WORD, "place": COUNT},
    ),
}
