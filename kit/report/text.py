"""Format numbers for reports; units are in the column heads."""

from __future__ import annotations

from kit.results.statistics import MARGIN, Speedup

NONE = "–"
EQUAL = "no difference"  # all of the interval is within `MARGIN`
UNKNOWN = "not known"
_SAME = 1.005  # smaller ratios are shown as 1.00×
MINUS = "\N{MINUS SIGN}"
NBSP = "\N{NO-BREAK SPACE}"


def format_significant(value: float) -> str:
    """Return three significant digits, without an exponent for usual times."""
    if value >= 100 or value == 0:
        return f"{value:.0f}"
    if value >= 10:
        return f"{value:.1f}"
    return f"{value:.2f}" if value >= 1 else f"{value:#.3g}"


def format_megabytes(size: int) -> str:
    """Return bytes in units of 10**6, with two decimals below 100."""
    value = size / 1e6
    return f"{value:.2f}" if value < 100 else f"{value:.0f}"


def format_percent(share: float | None) -> str:
    """Return a share as a percentage with one decimal; only all of it is 100."""
    if share is None:
        return NONE
    text = f"{100 * share:.1f}"
    return "99.9" if text == "100.0" and share < 1 else text


def format_signed(value: float) -> str:
    """Return one decimal with a typographic minus sign, and never minus zero."""
    text = f"{abs(value):.1f}"
    return f"{MINUS}{text}" if value < 0 and text != "0.0" else text


def format_ratio(ratio: float) -> str:
    """Return ``5.2×``; with two decimals near 1."""
    if ratio >= 10:
        return f"{ratio:.0f}×"
    return f"{ratio:.1f}×" if ratio >= 1.2 else f"{ratio:.2f}×"


def format_ratio_end(ratio: float) -> str:
    """Return the end of a ratio's interval, one digit finer than `format_ratio`."""
    return f"{ratio:.2f}" if ratio < 10 else f"{ratio:.1f}"


def describe_comparison(speedup: Speedup, other: str) -> str:
    """Return ``5.2× faster than`` the other, ``1.3× slower``, or that it is unknown."""
    if speedup.interval is None:
        return f"not distinguishable from {other} with so few processes"
    words = describe_speedup(speedup)
    if words == EQUAL:
        return f"as fast as {other}, within {100 * MARGIN:.0f}{NBSP}%"
    if words == UNKNOWN:
        return f"not clearly faster or slower than {other}"
    return f"{words} than {other}"


def describe_speedup(speedup: Speedup) -> str:
    """Return ``5.2× faster`` or ``1.3× slower``, `EQUAL` or `UNKNOWN`, like `kit bench`."""
    faster = max(speedup.ratio, 1 / speedup.ratio)
    if speedup.clear and faster >= _SAME:
        return f"{format_ratio(faster)} {'faster' if speedup.ratio > 1 else 'slower'}"
    return EQUAL if speedup.interval and speedup.interval.near_one else UNKNOWN


def format_decibels(value: float | None) -> str:
    """Return an SQNR; None means no noise."""
    return "equal" if value is None else f"{value:.1f}"


def format_count(number: int, noun: str, plural: str = "") -> str:
    """Return ``1 picture`` or ``468 pictures``."""
    return f"{number} {noun}" if number == 1 else f"{number} {plural or f'{noun}s'}"
