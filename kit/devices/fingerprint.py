"""The identity of a measurement that every result has: device, host and source revision."""

from __future__ import annotations

import os
import platform
import uuid
from pathlib import Path

from kit.devices import hostinfo
from kit.devices.facts import DeviceFacts
from kit.devices.hostinfo import Host
from kit.results.context import Fingerprint, HostRef, Identity
from kit.results.source import read_source


def make_measurement_id() -> str:
    """Return a random id for a measurement: 32 hexadecimal digits."""
    return uuid.uuid4().hex


def identify(device: Fingerprint, measurement: str | None = None) -> Identity:
    """Return the identity of a new measurement.

    Args:
        device: that is measured.
        measurement: its id, if it is part of a larger one; None for a new id.
    """
    host = hostinfo.read()
    return Identity(
        measurement=measurement or make_measurement_id(),
        device=device,
        host=HostRef(name=platform.node(), cpu=host.cpu, machine=host.machine, os=host.os),
        source=read_source(Path()),
    )


def fingerprint_host(host: Host, abi: str) -> Fingerprint:
    """Return the fingerprint of this machine.

    Args:
        host: see `kit.devices.hostinfo.read`.
        abi: as Android names it.
    """
    product = hostinfo.read_text(Path("/sys/class/dmi/id/product_name"))
    return Fingerprint(
        model=" ".join(product.split())[:100] or None,
        soc=host.cpu,
        build=host.os,
        abi=abi,
        cores=os.cpu_count(),
    )


def fingerprint_device(facts: DeviceFacts) -> Fingerprint:
    """Return the fingerprint of a device over adb."""
    return Fingerprint(
        model=facts.model or None,
        soc=facts.soc,
        build=facts.build,
        abi=facts.abis[0] if facts.abis else None,
        cores=facts.cores,
    )
