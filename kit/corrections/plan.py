"""Select corrections and their order."""

from __future__ import annotations

from kit.corrections import get_correction
from kit.errors import RecipeError

BEST = ("equalize", "rounding")  # most accurate for both granularities, as measured


def resolve(text: str) -> tuple[str, ...]:
    """Return the names of the corrections in ``best``, ``none`` or a comma-separated list, sorted.

    Raises:
        UnknownName: no such correction.
        RecipeError: the list is empty, or two steps of it exclude each other.
    """
    if text == "none":
        return ()
    if text == "best":
        return BEST
    names = dict.fromkeys(name.strip() for name in text.split(",") if name.strip())
    if not names:
        raise RecipeError(f"corrections = {text!r} names no step", "use best, none, or steps")
    chosen = [get_correction(name) for name in names]
    for one in chosen:
        if one.excludes is not None and one.excludes[0] in names:
            other, why = one.excludes
            raise RecipeError(f"corrections = {text!r}: {why}", f"leave out {one.name} or {other}")
    return tuple(one.name for one in sorted(chosen, key=lambda one: one.order))
