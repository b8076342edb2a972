"""The catalogue of notices: severity, text, hint and kinds of values of each code.

The meaning of a code, and the names and types of its values, never change; a new meaning is a new
code. No text names an option of the command line: `kit.commands` adds the options.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Annotated, Literal

from pydantic import Field

from kit.documents import Text

Severity = Literal["note", "hint", "warning", "refusal"]
SEVERITIES: Mapping[Severity, str] = {
    "note": "how kit interpreted something; nothing is wrong",
    "hint": "what would improve a result",
    "warning": "a result is less reliable than it looks",
    "refusal": "something was not done",
}
TEXT = "text"  # code of the sentences that results before schema 6 and manifests before 4 stored
_Integer = Annotated[int, Field(strict=True, ge=-(10**15), le=10**15)]
_Number = Annotated[float, Field(strict=True)]
Value = _Integer | _Number | Text | Annotated[tuple[Text, ...], Field(max_length=1000)]


@dataclass(frozen=True)
class ValueKind:
    """How a value is checked, formatted, and merged with others.

    Attributes:
        name: of the kind, for `docs/notices.md`.
        types: of the value.
        form: format string of one value.
        unit: follows the number, or the last number of a range.
        scale: factor of a float before it is formatted.
        merge: notices that differ in the value are merged to the ``range`` of all values or
            the ``max``; those that differ in an ``equal`` value are not merged.
    """

    name: str
    types: tuple[type, ...]
    form: str = "{}"
    unit: str = ""
    scale: float = 1
    merge: Literal["range", "max", "equal"] = "equal"

    def write(self, values: Sequence[Value]) -> str:
        """Return the values of merged notices as text: one value, a range or the maximum."""
        if self.types == (tuple,):
            return ", ".join(str(part) for part in _parts(values[0]))
        if self.merge == "equal":
            return self._write_one(values[0]) + self.unit
        numbers = [value for value in values if isinstance(value, int | float)]
        low, high = self._write_one(min(numbers)), self._write_one(max(numbers))
        if self.merge == "max" or low == high:
            return high + self.unit
        return f"{low} to {high}{self.unit}"

    def _write_one(self, value: Value) -> str:
        scaled = value * self.scale if self.scale != 1 and isinstance(value, float) else value
        return self.form.format(scaled)


def _parts(value: Value) -> tuple[str, ...]:
    return value if isinstance(value, tuple) else ()


_COUNT = ValueKind("count", (int,))
_MAX = ValueKind("count", (int,), merge="max")
_COUNTS = ValueKind("count", (int,), merge="range")
_CORES = ValueKind("number of cores", (int, float), "{:.1f}", merge="range")
_LOAD = ValueKind("load average", (int, float), "{:.1f}", merge="range")
_CELSIUS = ValueKind("temperature in °C", (int, float), "{:.1f}", " °C", merge="range")
_LIMIT_CELSIUS = ValueKind("temperature in °C", (int, float), "{:g}", " °C")
_SHARE = ValueKind("share", (int, float), "{:.0f}", " %", 100, "range")
_FINE_SHARE = ValueKind("share", (int, float), "{:.1f}", " %", 100, "range")
_TWO_DIGITS = ValueKind("share", (int, float), "{:.2g}", " %", 100)
_MS = ValueKind("time in ms", (int, float), "{:.3g}", " ms", merge="range")
_SECONDS = ValueKind("time in s", (int, float), "{:g}", " s")
_RATIO = ValueKind("ratio", (int, float), "{:.1f}", "×")
_MS_FINE = ValueKind("time in ms", (int, float), "{:.2f}")
_DECIBELS = ValueKind("ratio in dB", (int, float), "{:.1f}", " dB")
_WORD = ValueKind("text", (str,))
_WORDS = ValueKind("list of texts", (tuple,))


@dataclass(frozen=True)
class CatalogueEntry:
    """Meaning of a code.

    Attributes:
        severity: see `SEVERITIES`.
        text: the fact; a template with the names of `values`.
        hint: what the user can do about it, as a template; empty if nothing.
        values: kinds by name.
        merged_text: replaces `text` for several notices, if ranges of their values would mislead.
    """

    severity: Severity
    text: str
    hint: str = ""
    values: Mapping[str, ValueKind] = field(default_factory=dict)
    merged_text: str = ""


_OF_INT8 = {"row": _WORD, "other": _WORD, "own": _MS_FINE, "float": _MS_FINE, "ratio": _RATIO}
# A ratio compares the 2nd percentiles of the samples; see `kit.results.pairs`.
_QUIET_MOMENTS = "in quiet moments (medians: {own} and {float} ms)"
_QUIETER = "close other programs and measure again"
CATALOGUE: Mapping[str, CatalogueEntry] = {
    TEXT: CatalogueEntry("warning", "{text}", "", {"text": _WORD}),
    "machine.too-many-threads": CatalogueEntry(
        "warning",
        "{threads} threads share {cores} cores, and wait for each other",
        "measure with {cores} threads or fewer",
        {"threads": _COUNT, "cores": _COUNT},
    ),
    "machine.busy": CatalogueEntry(
        "warning",
        "other programs kept {others} of {cores} cores busy meanwhile",
        _QUIETER,
        {"others": _CORES, "cores": _COUNT},
    ),
    "machine.loaded": CatalogueEntry(
        "warning",
        "the load average was {load} on {cores} cores at the start",
        f"{_QUIETER}; it covers a minute, so wait one after a build",
        {"load": _LOAD, "cores": _COUNT},
    ),
    "machine.slow-governor": CatalogueEntry(
        "warning",
        "the governor {governor} keeps the clock low",
        "choose the governor performance, or plug the charger in",
        {"governor": _WORD},
    ),
    "device.warm": CatalogueEntry(
        "warning",
        "the battery reached {temperature}, above the {limit} below which processes start",
        "let the device cool down, or wait longer for it",
        {"temperature": _CELSIUS, "limit": _LIMIT_CELSIUS},
    ),
    "device.thermal-status": CatalogueEntry(
        "warning",
        "the device reported the thermal status {statuses}, in which it lowers its clock",
        "let it cool down and measure again",
        {"statuses": _WORDS},
    ),
    "device.left": CatalogueEntry(
        "warning",
        "{reason}",
        "{advice}; the next measurement there restores it",
        {"reason": _WORD, "advice": _WORD},
    ),
    "device.same": CatalogueEntry(
        "note",
        "{serial} is the same device as {first}: it is used once",
        "",
        {"serial": _WORD, "first": _WORD},
    ),
    "cores.not-given": CatalogueEntry(
        "warning",
        "of the requested cores {asked} the kernel allowed only {given}",
        "the others are offline or reserved, so measure on those that are allowed",
        {"asked": _WORD, "given": _WORD, "mask": _WORD},
    ),
    "threads.not-obeyed": CatalogueEntry(
        "warning",
        "the runtime used {taken} threads instead of {asked}",
        "compare it with runs of {taken} threads only",
        {"taken": _COUNT, "asked": _COUNT},
    ),
    "threads.exceeded": CatalogueEntry(
        "warning",
        "{used} cores were busy for {asked} threads, so the runtime ignores the limit",
        "compare with care",
        {"used": _CORES, "asked": _COUNT},
    ),
    "samples.two-groups": CatalogueEntry(
        "warning",
        "samples cluster around two times, {low} and {high}, so the median describes neither",
        f"look at the plot, {_QUIETER}",
        {"low": _MS, "high": _MS},
        "the samples of each row cluster around two times, so the medians describe neither",
    ),
    "samples.slower": CatalogueEntry(
        "warning",
        "samples got {change} slower while they were taken, as on a machine that gets hot or busy",
        "let it cool down and measure again",
        {"change": _SHARE},
    ),
    "samples.faster": CatalogueEntry(
        "warning",
        "samples got {change} faster while they were taken, as after a short warm-up",
        f"{_QUIETER}, with a longer warm-up",
        {"change": _SHARE},
    ),
    "samples.cut-short": CatalogueEntry(
        "warning",
        "a process took {taken} of {planned} samples in {seconds}: the model is slow here",
        "read p90 and p99 with care",
        {"taken": _COUNTS, "planned": _COUNT, "seconds": _SECONDS},
    ),
    "samples.few-for-p99": CatalogueEntry(
        "warning",
        "with fewer than {needed} samples p99 is little more than their maximum",
        "take more samples",
        {"needed": _COUNT},
    ),
    "samples.few": CatalogueEntry(
        "warning",
        "there are too few samples for a 95 % interval",
        "take more samples",
    ),
    "samples.more": CatalogueEntry(
        "hint",
        "the processes agree, and each has too few samples",
        "measure longer",
    ),
    "processes.apart": CatalogueEntry(
        "warning",
        "the medians of the processes differ by {spread}, and the next one may differ as much",
        _QUIETER,
        {"spread": _SHARE},
    ),
    "processes.few": CatalogueEntry(
        "warning",
        "only {processes} of the {needed} required processes ran, so the median has no "
        "±, and nothing is called faster",
        "measure {needed} or more",
        {"processes": _COUNTS, "needed": _COUNT},
    ),
    "processes.more": CatalogueEntry(
        "hint",
        "{processes} processes with the spread of these would resolve the median",
        "measure that many",
        {"processes": _MAX},
    ),
    "median.not-resolved": CatalogueEntry(
        "warning",
        "not resolved: the median's ± is {half_width}",
        _QUIETER,
        {"half_width": _FINE_SHARE},
    ),
    "int8.slower": CatalogueEntry(
        "note",
        f"{{row}} is {{ratio}} slower than {{other}} here {_QUIET_MOMENTS}",
        "",
        _OF_INT8,
    ),
    "int8.slower-on-desktop": CatalogueEntry(
        "note",
        f"{{row}} is {{ratio}} slower than {{other}} here {_QUIET_MOMENTS}",
        "int8 kernels made for phones can lose on a desktop processor, so measure on the phone",
        _OF_INT8,
    ),
    "int8.not-faster": CatalogueEntry(
        "note",
        "{row} is not faster than {other} here (medians: {own} and {float} ms)",
        "",
        {"row": _WORD, "other": _WORD, "own": _MS_FINE, "float": _MS_FINE},
    ),
    "int8.few-processes": CatalogueEntry(
        "note",
        f"{{row}} took {{ratio}} the time of {{other}} here {_QUIET_MOMENTS}; fewer than "
        "{needed} processes do not tell whether it is slower",
        "measure {needed} or more",
        {**_OF_INT8, "needed": _COUNT},
    ),
    "app.format-missing": CatalogueEntry(
        "refusal",
        "{formats} was not measured, because {apps} does not have it",
        "build the app with it",
        {"formats": _WORDS, "apps": _WORDS},
    ),
    "app.left-screen": CatalogueEntry(
        "warning",
        "the app left the screen while it measured, and Android may have moved it to slow cores",
        "keep the screen on and do not touch the device",
    ),
    "weights.random": CatalogueEntry(
        "warning",
        "the weights are random, so sizes and speed are meaningful and answers are not",
    ),
    "artifact.not-run": CatalogueEntry(
        "note",
        "{file} was lowered and not run, because nothing here runs it; its answers are those of "
        "its graph",
        "",
        {"file": _WORD},
    ),
    "int8.inaccurate": CatalogueEntry(
        "warning",
        "{file} differs much from the float model on the golden inputs: SQNR {sqnr}",
        "measure it on your own samples, which these may be unlike; if it is low there too, find "
        "the layers that int8 hurts, and keep them in float",
        {"file": _WORD, "sqnr": _DECIBELS},
    ),
    "gate.not-run": CatalogueEntry(
        "warning",
        "{files}: no accuracy gate, because nothing here runs what was lowered for devices",
        "",
        {"files": _WORDS},
    ),
    "format.ended": CatalogueEntry(
        "note",
        "upstream no longer develops the format {format}: {reason}",
        "new apps use {successor}",
        {"format": _WORD, "reason": _WORD, "successor": _WORD},
    ),
    "weights.source": CatalogueEntry(
        "warning",
        "a source of the official weights was skipped: {reason}",
        "",
        {"reason": _WORD},
    ),
    "weights.several": CatalogueEntry(
        "warning",
        "the file of weights holds several networks: {key} is used, and not {others}",
        "choose another by its key",
        {"key": _WORD, "others": _WORDS},
    ),
    "preprocessing.approximate": CatalogueEntry(
        "warning",
        "{model} was made for another preprocessing ({what}); the bundle prepares "
        "pictures in the nearest way that it can describe",
        "measure its accuracy on pictures of yours",
        {"model": _WORD, "what": _WORD},
    ),
    "calibration.photos": CatalogueEntry(
        "warning",
        "calibrated with {source}",
        "real pictures give better answers",
        {"source": _WORD},
    ),
    "calibration.unread": CatalogueEntry(
        "warning", "{source}: {files}", "", {"source": _WORD, "files": _WORD}
    ),
    "calibration.fewer": CatalogueEntry(
        "warning",
        "{source} has {count} pictures, fewer than the {asked} requested for calibration",
        "",
        {"source": _WORD, "count": _COUNT, "asked": _COUNT},
    ),
    "calibration.thin": CatalogueEntry(
        "warning",
        "thin calibration: {share} of the values of '{layer}' on {samples} would be clipped",
        "use more {sample}s, unless the model is for {sample}s of another kind",
        {"share": _TWO_DIGITS, "layer": _WORD, "samples": _WORD, "sample": _WORD},
    ),
    "training.restarted": CatalogueEntry(
        "warning", "training started again: {reason}", "", {"reason": _WORD}
    ),
    "training.not-kept": CatalogueEntry(
        "warning",
        "the trained weights were discarded, the model is the one before training: {reason}",
        "",
        {"reason": _WORD},
    ),
    "accuracy.batch": CatalogueEntry(
        "note",
        "files took {samples} samples in each inference, and the float model one, which images per "
        "second depend on",
        "",
        {"samples": _COUNT},
    ),
    "pictures.unread": CatalogueEntry("warning", "{files}", "", {"files": _WORD}),
    "labels.source": CatalogueEntry("note", "labels: {source}", "", {"source": _WORD}),
    "labels.order": CatalogueEntry(
        "warning",
        "folder {folder} is class {folder} here; a network that was trained with torchvision's "
        "ImageFolder has it as class {place}, because that sorts names as text",
        "then build with a list of labels, or name the folders by category",
        {"folder": _WORD, "place": _COUNT},
    ),
}
