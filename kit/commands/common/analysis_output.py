"""Output of `kit analyze`: tables, or a JSON object."""

from __future__ import annotations

from typing import TYPE_CHECKING

from kit import terminal

if TYPE_CHECKING:
    from kit.analysis.repair import Attempt, Repair
    from kit.analysis.score import Score
    from kit.analysis.sensitivity import LayerRecord, Study


def show_study(study: Study, title: str, top: int) -> None:
    """Print the worst places, all of them if `top` is 0."""
    from rich import box
    from rich.table import Table

    worst = study.worst()
    table = Table(title=title, title_justify="left", box=box.SIMPLE_HEAD)
    table.add_column("layer", overflow="fold")
    table.add_column("type")
    for heading in ("alone dB", "in float +dB", "latency +%", "cost %", "range", "outside %"):
        table.add_column(heading, justify="right", no_wrap=True)
    for record in worst[: top or len(worst)]:
        table.add_row(*_cells(record))
    terminal.print_table(table)
    rest = len(worst) - (top or len(worst))
    if rest > 0:
        terminal.print_note(f"and {rest} more that int8 hurts less; --top 0 shows all")


def _cells(record: LayerRecord) -> tuple[str, ...]:
    gain = "float" if record.kept else _gain(record.gain_db)
    layer = record.layer and not record.kept
    return (
        record.name,
        record.kind,
        format_decibels(record.sqnr_db),
        gain,
        f"{100 * record.latency:.1f}" if layer else "",
        f"{100 * record.share:.1f}" if record.layer else "",
        "" if record.range is None else f"{record.range[0]:.3g} to {record.range[1]:.3g}",
        f"{100 * record.saturated:.2g}",
    )


def _gain(value: float | None) -> str:
    return "" if value is None else "equal" if value == float("inf") else f"{value:+.2f}"


def format_decibels(value: float | None) -> str:
    """Return an SQNR in words; without noise it is ``equal``."""
    return "equal" if value is None or value == float("inf") else f"{value:.1f}"


def describe_score(score: Score) -> str:
    """Return a score in words."""
    text = f"SQNR {format_decibels(score.sqnr_db)} dB, agreement {100 * score.agreement:.1f} %"
    if score.drop is not None:
        text += f", drop {score.drop:.2f} points of top-1"
    return f"{text}, on {score.images} pictures"


def describe_attempt(attempt: Attempt) -> str:
    """Return one attempt of a repair as a line of progress."""
    choice, score = attempt.choice, attempt.score
    text = f"{choice.corrections}, {choice.observer}"
    if choice.kept:
        text += f", {len(choice.kept)} in float (latency about +{100 * attempt.latency:.1f} %)"
    drop = "" if score.drop is None else f", drop {score.drop:.2f}"
    return f"{text}: {format_decibels(score.sqnr_db)} dB, {100 * score.agreement:.1f} %{drop}"


def show_repair(repair: Repair) -> None:
    """Print every attempt, with the best one marked."""
    from rich import box
    from rich.table import Table

    table = Table(title="tried, in this order", title_justify="left", box=box.SIMPLE_HEAD)
    table.add_column("")
    table.add_column("corrections")
    table.add_column("observer")
    table.add_column("in float", overflow="fold")
    for heading in ("latency +%", "SQNR dB", "agree %", "drop"):
        table.add_column(heading, justify="right", no_wrap=True)
    for attempt in repair.tried:
        table.add_row("*" if attempt is repair.best else "", *_attempt_cells(attempt))
    terminal.print_table(table)


def _attempt_cells(attempt: Attempt) -> tuple[str, ...]:
    choice, score = attempt.choice, attempt.score
    return (
        choice.corrections,
        choice.observer,
        ", ".join(choice.kept),
        f"{100 * attempt.latency:.1f}" if choice.kept else "",
        format_decibels(score.sqnr_db),
        f"{100 * score.agreement:.1f}",
        "" if score.drop is None else f"{score.drop:.2f}",
    )


def repair_record(repair: Repair, target: str, line: str) -> dict[str, object]:
    """Return a repair for JSON."""
    return {
        "target": target,
        "met": repair.met,
        "command": line,
        "best": _attempt_record(repair.best),
        "tried": [_attempt_record(attempt) for attempt in repair.tried],
    }


def _attempt_record(attempt: Attempt) -> dict[str, object]:
    return {
        "corrections": attempt.choice.corrections,
        "observer": attempt.choice.observer,
        "keep_float": attempt.choice.kept,
        "added_latency": attempt.latency,
        **attempt.score.record(),
    }
