"""Which cores a runner may use: names of clusters to a mask, and back."""

from __future__ import annotations

from collections.abc import Sequence

from kit.devices._parse import Cluster
from kit.errors import UsageError

NAMES = ("all", "big", "little")


def mask(text: str, clusters: Sequence[Cluster]) -> str:
    """Return the mask, in hexadecimal, that an option `--cpus` means.

    Args:
        text: ``all`` or nothing for no mask, ``big`` for the cluster with the highest clock,
            ``little`` for the lowest, or a mask in hexadecimal, like ``f0`` or ``0xf0``.
        clusters: of the device.

    Raises:
        UsageError: it is none of these, or the device has one kind of core only.
    """
    if text in ("", "all"):
        return ""
    if text in ("big", "little"):
        return _of(_end(text, clusters))
    digits = text.lower().removeprefix("0x")
    if not digits or set(digits) - set("0123456789abcdef") or int(digits, 16) == 0:
        raise UsageError(
            f"--cpus {text!r} is no mask of cores", "give big, little, all, or a mask like f0"
        )
    return f"{int(digits, 16):x}"


def _end(text: str, clusters: Sequence[Cluster]) -> Cluster:
    known = [cluster for cluster in clusters if cluster.max_mhz is not None]
    clocks = sorted({cluster.max_mhz or 0 for cluster in known})
    if len(clocks) < 2:
        raise UsageError(
            f"--cpus {text}: the device tells of one kind of core only",
            "leave --cpus out, or give a mask like f0",
        )
    wanted = clocks[-1] if text == "big" else clocks[0]
    return next(cluster for cluster in known if cluster.max_mhz == wanted)


def _of(cluster: Cluster) -> str:
    return f"{sum(1 << cpu for cpu in cluster.cpus):x}"


def choices(clusters: Sequence[Cluster]) -> dict[str, int]:
    """Return what a sweep tries, and how many cores each has: ``all``, and big if it differs."""
    cores = sorted({cpu for cluster in clusters for cpu in cluster.cpus})
    found = {"all": len(cores)}
    clocks = {cluster.max_mhz for cluster in clusters if cluster.max_mhz is not None}
    if len(clocks) > 1:
        found["big"] = len(_end("big", clusters).cpus)
    return found
