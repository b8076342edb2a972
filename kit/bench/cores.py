"""Affinity masks of cores: from names of clusters, and to text."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from kit.devices.parsing import Cluster
from kit.errors import UsageError


def make_mask(text: str, clusters: Sequence[Cluster]) -> str:
    """Return the mask, in hexadecimal, of an option `--cpus`.

    Args:
        text: ``all`` or nothing for no mask, ``big`` for the cluster with the highest clock,
            ``little`` for the lowest, or a mask in hexadecimal, like ``f0`` or ``0xf0``.
        clusters: of the device.

    Raises:
        UsageError: it is none of these, has cores that do not exist, or the device has only
            one kind of core.
    """
    if text in ("", "all"):
        return ""
    if text in ("big", "little"):
        return _mask(_end(text, clusters).cpus)
    digits = text.lower().removeprefix("0x")
    if not digits or set(digits) - set("0123456789abcdef") or int(digits, 16) == 0:
        raise UsageError(
            f"--cpus {text!r} is no mask of cores", "give big, little, all, or a mask like f0"
        )
    existing = {cpu for cluster in clusters for cpu in cluster.cpus}
    missing = set(list_cores(digits)) - existing
    if existing and missing:  # the kernel accepts such a mask, and silently drops them
        raise UsageError(
            f"--cpus {text}: there is no core {format_spans(missing)}; "
            f"there are {format_spans(existing)}",
            f"give a mask of cores that are there, like {_mask(existing)} for all",
        )
    return f"{int(digits, 16):x}"


def list_cores(mask: str) -> tuple[int, ...]:
    """Return the numbers of the cores in a mask."""
    return tuple(i for i in range(4 * len(mask)) if int(mask, 16) >> i & 1)


def format_spans(cpus: Iterable[int]) -> str:
    """Return numbers of cores as text, like ``0-3, 6``."""
    groups: list[list[int]] = []
    for cpu in sorted(cpus):
        if groups and cpu == groups[-1][-1] + 1:
            groups[-1][1:] = [cpu]
        else:
            groups.append([cpu])
    return ", ".join("-".join(map(str, span)) for span in groups)


def _end(text: str, clusters: Sequence[Cluster]) -> Cluster:
    timed = [cluster for cluster in clusters if cluster.max_mhz is not None]
    clocks = sorted({cluster.max_mhz or 0 for cluster in timed})
    if len(clocks) < 2:
        raise UsageError(
            f"--cpus {text}: the device reports only one kind of core",
            "leave --cpus out, or give a mask like f0",
        )
    clock = clocks[-1] if text == "big" else clocks[0]
    return next(cluster for cluster in timed if cluster.max_mhz == clock)


def _mask(cpus: Iterable[int]) -> str:
    return f"{sum(1 << cpu for cpu in cpus):x}"


def list_choices(clusters: Sequence[Cluster]) -> dict[str, int]:
    """Return the choices of a sweep with their core counts: ``all``, and ``big`` if it differs."""
    cores = sorted({cpu for cluster in clusters for cpu in cluster.cpus})
    counts = {"all": len(cores)}
    clocks = {cluster.max_mhz for cluster in clusters if cluster.max_mhz is not None}
    if len(clocks) > 1:
        counts["big"] = len(_end("big", clusters).cpus)
    return counts
