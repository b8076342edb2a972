"""Which options of a measurement contradict each other."""

from __future__ import annotations

from collections.abc import Mapping

from kit.commands.common.measurement import LOCAL
from kit.commands.common.option_types import Given
from kit.errors import UsageError

MASK_DIGITS = 256  # limit of runners, see `kit.runners.affinity`


def check_options(options: Mapping[str, Given], bundles: int) -> None:
    """Refuse contradicting options of `kit bench`; omitted ones are false or None.

    Args:
        options: by their names.
        bundles: number of bundles.

    Raises:
        UsageError: two options contradict each other.
    """
    chosen = {name for name, value in options.items() if value is not None and value is not False}
    quick, official = "quick" in chosen, "official" in chosen
    sweep, sustained, profile = "sweep" in chosen, "sustained" in chosen, "profile" in chosen
    if quick and official:
        raise UsageError("--quick and --official exclude each other", "give one of them")
    if sweep and sustained:
        raise UsageError("--sweep and --sustained exclude each other", "give one of them")
    if profile and (sweep or sustained):
        raise UsageError("--profile goes with neither --sweep nor --sustained", "leave it out")
    if sweep and (own := sorted({"threads", "cpus"} & chosen)):
        raise UsageError(
            f"--sweep tries threads and cores itself, so --{own[0]} has no place", "leave it out"
        )
    if sustained and (counts := sorted({"quick", "official", "repeats", "pairs"} & chosen)):
        raise UsageError(
            f"--sustained is one process of its own length, so --{counts[0]} has no place",
            "leave it out",
        )
    if "pairs" in chosen and bundles < 2:
        raise UsageError(
            "--pairs is for bundles side by side, and there is one",
            "name another, or use --repeats N",
        )
    if "max_slower" in chosen:
        if bundles < 2:
            raise UsageError(
                "--max-slower compares with the first of several bundles, and there is one",
                "name the older one first: kit bench OLD NEW --max-slower 5",
            )
        if other := sorted({"quick", "sweep", "sustained"} & chosen):
            raise UsageError(
                f"--{other[0]} compares no bundles, so --max-slower has no place",
                "leave one of them out",
            )
    if "pairs" in chosen and sweep:
        raise UsageError("--sweep compares no bundles, so --pairs has no place", "leave it out")
    if "keep" in chosen and options.get("choice") in (None, LOCAL):
        raise UsageError(
            "--keep leaves files on a device, and this measures on this machine",
            "add --device, or leave --keep out",
        )
    if "session" in chosen and (options.get("choice") not in (None, LOCAL) or profile):
        raise UsageError(
            "--session runs files on this machine, without a profile",
            "leave out --device and --profile",
        )
    digits = str(options.get("cpus") or "").lower().removeprefix("0x")
    if len(digits) > MASK_DIGITS:
        raise UsageError(
            f"the mask of --cpus has {len(digits)} digits; {MASK_DIGITS} are the most",
            "give big, little, all, or a mask like f0",
        )
