"""Which corrections to apply, and in which order."""

from __future__ import annotations

from kit import family
from kit.errors import RecipeError

BEST = ("equalize", "bias")  # measured best for both granularities


def resolve(text: str) -> tuple[str, ...]:
    """Return the steps that ``best``, ``none`` or a comma-separated list names, in order.

    Raises:
        UnknownName: no such correction.
        RecipeError: the list is empty.
    """
    if text == "none":
        return ()
    if text == "best":
        return BEST
    names = dict.fromkeys(name.strip() for name in text.split(",") if name.strip())
    if not names:
        raise RecipeError(f"corrections = {text!r} names no step", "use best, none, or steps")
    order: dict[str, int] = {name: family.load("corrections", name).INFO.order for name in names}
    return tuple(sorted(order, key=lambda name: order[name]))
