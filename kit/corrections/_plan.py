"""Which corrections to apply, and in which order."""

from __future__ import annotations

from kit import family
from kit.errors import RecipeError

BEST = ("equalize", "rounding")  # measured best for both granularities

CONFLICTS = (
    ("bias", "rounding", "rounding corrects the biases itself, in the same pass"),
    ("cle", "equalize", "both scale the same pairs of layers, and the later undoes the earlier"),
)


def resolve(text: str) -> tuple[str, ...]:
    """Return the steps that ``best``, ``none`` or a comma-separated list names, in order.

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
    order: dict[str, int] = {name: family.load("corrections", name).INFO.order for name in names}
    for one, other, why in CONFLICTS:
        if one in names and other in names:
            raise RecipeError(f"corrections = {text!r}: {why}", f"leave out {one} or {other}")
    return tuple(sorted(order, key=lambda name: order[name]))
