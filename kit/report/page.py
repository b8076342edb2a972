"""The content of a report's page, in order, for both HTML and Markdown."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from kit.report import (
    changes,
    headline,
    measurements,
    model,
    notices,
    plots,
    processors,
    tables,
    text,
    words,
)
from kit.report.contexts import Setting, assume_utc, format_range
from kit.report.headline import Headline
from kit.report.notices import Remark
from kit.report.rows import Report
from kit.report.svg import Drawing
from kit.report.tables import Table
from kit.results.kinds import AnyResult
from kit.results.latency import LatencyResult, Plan

_KINDS = {
    "phone": "Phone",
    "local": "Local machine",
    "emulator": "Emulator, not a phone",
    "virtual": "Virtual device, not a phone",
}


@dataclass(frozen=True)
class Section:
    """One setting: its table, plots, and facts as pairs of name and value.

    Attributes:
        letter: of the setting; empty if the report has only one.
    """

    letter: str
    kind: str
    title: str
    virtual: bool
    table: Table
    pictures: tuple[Drawing, ...]
    facts: tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class ProcessorsSection:
    """Answers on processors, most of them emulated."""

    heading: str
    note: str
    table: Table


@dataclass(frozen=True)
class Page:
    """A whole report.

    Attributes:
        when: the dates of the results.
        untimed: table of evaluations without timing, None if there are none.
        processors: answers on other processors, None if there are none.
        pictures: plots over all settings.
        details: non-empty tables with all numbers.
    """

    headline: Headline
    when: str
    models: str
    notices: tuple[Remark, ...]
    sections: tuple[Section, ...]
    untimed: Table | None
    processors: ProcessorsSection | None
    pictures: tuple[Drawing, ...]
    details: tuple[Table, ...]
    reading: tuple[tuple[str, str], ...] = words.READING


def compose(results: Sequence[AnyResult]) -> Page:
    """Return the page of results, independent of their order.

    Raises:
        ResultError: there is no measurement in them.
    """
    report = model.build(results)
    drawn = plots.draw(report)
    makers = (
        changes.tabulate,
        tables.tabulate_latency,
        tables.tabulate_accuracy,
        tables.tabulate_outputs,
        tables.tabulate_parity,
        tables.tabulate_files,
    )
    details = [make(report) for make in makers]
    details.insert(3, processors.tabulate_details(report.processors))
    details.append(measurements.tabulate(report.results))
    return Page(
        headline=headline.write(report),
        when=_days(report),
        models=_models(report),
        notices=tuple(notices.collect(report)),
        sections=tuple(_section(setting, report, drawn) for setting in report.settings),
        untimed=tables.tabulate_untimed(report) if report.untimed else None,
        pictures=tuple(p for p in drawn if _letter(p) is None),
        processors=_processors(report),
        details=tuple(table for table in details if table.lines),
    )


def _processors(report: Report) -> ProcessorsSection | None:
    results = report.processors
    if not results:
        return None
    return ProcessorsSection(
        processors.write_heading(results),
        processors.write_note(results),
        processors.tabulate_overview(results),
    )


def write_caption(picture: Drawing) -> str:
    """Return the explanation of a picture."""
    return words.CAPTIONS[picture.key.split("-")[0]]


def _days(report: Report) -> str:
    """Return the day, or the first and last day, of the results."""
    days = sorted({f"{moment:%Y-%m-%d}" for moment in report.created})
    return days[0] if len(days) == 1 else f"{days[0]} to {days[-1]}"


def _models(report: Report) -> str:
    models = {f"{b.model} at {b.size} px" for b in report.bundles}
    return ", ".join(sorted(models))


def _letter(picture: Drawing) -> str | None:
    kind, _, letter = picture.key.partition("-")
    return letter if kind in ("latency", "pairs") else None


def _section(setting: Setting, report: Report, drawn: Sequence[Drawing]) -> Section:
    return Section(
        letter=setting.letter if len(report.settings) > 1 else "",
        kind=_KINDS[setting.device.kind],
        title=setting.title,
        virtual=setting.virtual,
        table=tables.tabulate_overview(setting, report),
        pictures=tuple(p for p in drawn if _letter(p) == setting.letter.lower()),
        facts=tuple((name, value) for name, value in _facts(setting) if value),
    )


def _facts(setting: Setting) -> list[tuple[str, str]]:
    runs = [run for _, run in setting.members]
    contexts = [run.context for run in runs]
    loads = [load for c in contexts for load in (c.load_before, c.load_after)]
    busy = [c.others for c in contexts if c.others is not None]
    clocks = [mhz for c in contexts for mhz in c.mhz]
    return [
        ("Device", f"{setting.device.name} ({setting.device.kind})"),
        ("Serial", setting.device.serial or ""),
        *((f"{name[0].upper()}{name[1:]}", v) for name, v in setting.fingerprint.items()),
        *((name.capitalize() if name.islower() else name, v) for name, v in setting.facts.items()),
        ("Memory", format_range([c.memory_total / 1e9 for c in contexts], "{:.1f}") + " GB"),
        ("Load average", format_range(loads, "{:.2f}")),
        ("Other programs", format_range(busy, "{:.2f}") + " cores busy" if busy else ""),
        ("Clock", format_range(clocks, "{:.0f}") + " MHz" if clocks else "not known"),
        ("Versions", _listed(setting.versions)),
        ("Environment", _listed(setting.environment)),
        ("Plan", "; ".join(dict.fromkeys(_plan(run.plan) for run in runs))),
        (
            "Processes",
            format_range([len(run.processes) for run in runs], "{:.0f}") + " of each file",
        ),
        ("Measured", "; ".join(dict.fromkeys(_moment(r) for r, _ in setting.members))),
    ]


def _listed(values: dict[str, str]) -> str:
    return ", ".join(f"{name} {value}" for name, value in values.items())


def _moment(result: LatencyResult) -> str:
    moment = assume_utc(result.created).isoformat(sep=" ", timespec="minutes")
    return f"{moment} ({result.identity.measurement[:8]})" if result.identity else moment


def _plan(plan: Plan) -> str:
    return (
        f"{plan.name}: warm-up of {plan.warmup_runs} runs and {plan.warmup_seconds:g} s, then "
        f"{plan.runs} samples and {plan.seconds:g} s in each of {_write_processes(plan)}"
    )


def _write_processes(plan: Plan) -> str:
    maximum = max(plan.repeats, plan.max_repeats or 0, plan.max_pairs or 0)
    if maximum > plan.repeats:
        return f"{plan.repeats} to {maximum} fresh processes"
    return text.format_count(plan.repeats, "fresh process", "fresh processes")
