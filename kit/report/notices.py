"""The remarks above the tables, with warnings about the numbers."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from kit.notices import merge_notices, render
from kit.report import labels
from kit.report.contexts import Setting, list_differences
from kit.report.rows import Report, Row
from kit.report.text import format_count

_STARTS = {
    "note": "Measured with a note",
    "hint": "What would help",
    "warning": "Measured with a warning",
    "refusal": "Not measured",
}

# Above this relative spread of processes' medians there is a warning.
_PROCESS_SPREAD = 0.1


@dataclass(frozen=True)
class Remark:
    """A remark: a bold title, and its explanation."""

    title: str
    text: str


def collect(report: Report) -> list[Remark]:
    """Return the warnings of a report, the most serious first."""
    return [
        *_failed(report),
        *_virtual(report),
        *_measured(report),
        *_apart(report),
        *_settings(report),
        *_repeated(report),
        *_evaluated(report),
        *_verified(report),
        *_without_baseline(report),
        *_pictures(report),
    ]


def _failed(report: Report) -> Iterator[Remark]:
    for bundle in report.bundles:
        for name, reason in bundle.failed.items():
            yield Remark(f"Failed to build: {name} of {bundle.name}", _sentence(reason))


def _virtual(report: Report) -> Iterator[Remark]:
    names = [s.device.name for s in report.settings if s.virtual]
    if names:
        yield Remark(
            f"Not a phone: {', '.join(dict.fromkeys(names))}",
            "Virtual and emulated devices show that the file runs and what it answers. Their "
            "times say nothing about a phone: they stand apart and are never ranked.",
        )


def _measured(report: Report) -> Iterator[Remark]:
    """Return the notices of the benchmark, each once."""
    noticed = (
        (notice, row) for row in report.rows if row.timing for notice in row.timing.run.notices
    )
    for notices, rows in merge_notices(noticed):
        start = _STARTS[notices[0].severity]
        yield Remark(f"{start}: {_named(rows, report)}", _sentence(render(notices)))


def _named(rows: Sequence[Row], report: Report) -> str:
    """Return the names of rows, with the letter of the setting if there are several."""
    if len(rows) > 1 and len(rows) == sum(row.timing is not None for row in report.rows):
        return "every row"
    several = len(report.settings) > 1
    return "; ".join(
        f"{row.label} ({row.timing.setting.letter})" if several and row.timing else row.label
        for row in rows
    )


def _sentence(words: str) -> str:
    """Return a result's text as a sentence of the page."""
    return words[:1].upper() + words[1:] + ("" if words.endswith((".", "!", "?")) else ".")


def _apart(report: Report) -> Iterator[Remark]:
    """Warn of old results without notices like `kit bench` would."""
    for row in report.rows:
        if row.timing is None or row.timing.run.notices:
            continue
        medians = row.timing.processes
        apart = max(medians) / min(medians) - 1
        if apart > _PROCESS_SPREAD:
            yield Remark(
                f"Processes disagree: {_named([row], report)}",
                f"The medians of its {len(medians)} processes differ by {100 * apart:.0f} %, and "
                "the next one may differ as much. Measure again on a quieter machine.",
            )


def _settings(report: Report) -> Iterator[Remark]:
    if len(report.settings) < 2:
        return
    sentences = [
        _describe_setting(s, report.settings[:index]) for index, s in enumerate(report.settings)
    ]
    yield Remark(
        f"Measured in {len(report.settings)} different settings",
        "They stand apart, nothing is averaged, and speed-ups compare within one setting only. "
        f"{'; '.join(sentences)}.",
    )


def _describe_setting(setting: Setting, earlier: Sequence[Setting]) -> str:
    """Return the device of a setting, or the differences from its previous setting."""
    before = next((s for s in earlier if s.device == setting.device), None)
    if before is None:
        return f"{setting.letter} is {setting.title}"
    changes = list_differences(before, setting) or ["something that only one of them records"]
    return f"{setting.letter} differs from {before.letter} in {', '.join(changes)}"


def _repeated(report: Report) -> Iterator[Remark]:
    """Remark that a file was measured several times in one setting, and when."""
    firsts = {r.timing.subject: r.timing for r in report.rows if r.timing}
    for timing in firsts.values():
        rows = report.repeats(timing)
        moments = dict.fromkeys(r.timing.moment for r in rows if r.timing)
        if len(rows) > 1:
            bundles = " and ".join(dict.fromkeys(r.bundle.name for r in rows))
            yield Remark(
                f"Measured {len(rows)} times: {rows[0].name} of {bundles}",
                "Each measurement is a row of its own; their samples are not pooled, and none is "
                f"chosen for being faster. Measured {' and '.join(moments)}.",
            )


def _evaluated(report: Report) -> Iterator[Remark]:
    """Remark which of several evaluations of a file is next to its times, and why."""
    shown = {row.accuracy.subject: row for row in report.rows if row.accuracy}
    groups: dict[tuple[int, str, str], list[str]] = {}
    for subject, row in shown.items():
        same_subject = [a for a in report.accuracy if a.subject == subject]
        if row.accuracy and len(same_subject) > 1:
            same = [a for a in same_subject if a.picture_set == row.accuracy.picture_set]
            is_usual = len(same) < len(same_subject)
            why = ["on the pictures that most files were evaluated on"] * is_usual
            why += ["the newest one"] * (len(same) > 1)
            text = (
                f"Shown is the evaluation of {row.accuracy.moment}, {' and '.join(why)}. All of "
                "them are in the table of accuracy; nothing is averaged."
            )
            groups.setdefault((len(same_subject), row.bundle.name, text), []).append(row.name)
    for (times, bundle, text), names in groups.items():
        yield Remark(f"Evaluated {times} times: {', '.join(names)} of {bundle}", text)


def _verified(report: Report) -> Iterator[Remark]:
    counts = Counter(
        (result.bundle.hash, result.bundle.name, name)
        for result in report.processors
        for name in dict.fromkeys(labels.name_artifact(r.key) for r in result.rows)
    )
    for (_, bundle, name), number in counts.items():
        if number > 1:
            yield Remark(
                f"Verified {number} times: {name} of {bundle}",
                "Each time is a column of its own.",
            )


def _without_baseline(report: Report) -> Iterator[Remark]:
    lonely = [
        row
        for row in report.rows
        if row.quantized and not row.virtual and row.timing and row.timing.vs_fp32 is None
    ]
    if lonely:
        yield Remark(
            f"No fp32 beside {_named(lonely, report)}",
            "The same format in fp32 was not measured in the same setting, so nothing is known "
            "about what quantization gained. Build the model without quantization, measure that "
            "bundle and give its result too.",
        )


def _pictures(report: Report) -> Iterator[Remark]:
    sets = {row.accuracy.picture_set: row.accuracy for row in report.rows if row.accuracy}
    if len(sets) > 1:
        names = ", ".join(
            f"{a.pictures} ({format_count(a.row.images, 'picture')})" for a in sets.values()
        )
        yield Remark(
            "Evaluated on different pictures",
            f"{names}. Compare the drop against each evaluation's own reference, not the top-1.",
        )
