"""A device over adb: whether it can be used, and what would disturb a measurement there."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass, field

from kit import formats
from kit.bundle import Bundle
from kit.devices import hostinfo, selection
from kit.devices.adb import MIN_API
from kit.devices.device_settings import JOURNAL
from kit.devices.facts import DeviceFacts, gather
from kit.devices.retry import RetryingTransport
from kit.devices.storage import ask
from kit.devices.transport import Transport
from kit.doctor.finding import Finding, from_notice, judge_amount
from kit.doctor.host import judge_processor
from kit.errors import DeviceError
from kit.notices import new_notice
from kit.runners import native

COOL_C = 38.0  # as `kit bench` waits for
LOW_BATTERY = 20  # percent; many phones slow down below 15
MIN_FREE, ENOUGH_FREE = 150_000_000, 500_000_000  # bytes, beside the bundle: runners take some 100
MIN_MEMORY, ENOUGH_MEMORY = 500_000_000, 1_500_000_000
_MARK = "==kit:setting"
# Settings that disturb, by table and name: the value that does, what it does, and its opposite.
SETTINGS: Mapping[tuple[str, str], tuple[str, str, str]] = {
    ("global", "low_power"): ("1", "the battery saver is on, which lowers the clock", "0"),
    ("global", "always_finish_activities"): (
        "1",
        "activities are not kept, so that an app's measurement ends with its screen",
        "0",
    ),
    ("system", "pointer_location"): ("1", "the location of touches is drawn all the time", "0"),
    ("system", "show_touches"): ("1", "touches are drawn", "0"),
}


@dataclass(frozen=True)
class DeviceState:
    """What a device reports beside its facts.

    Attributes:
        cpuinfo: text of `/proc/cpuinfo`.
        settings: values of `SETTINGS`; those that it does not have are absent.
        leftovers: a journal of settings that were not put back is there.
    """

    cpuinfo: str = ""
    settings: Mapping[tuple[str, str], str] = field(default_factory=dict)
    leftovers: bool = False


def examine_devices(choice: str, bundle: Bundle | None) -> Iterator[Finding]:
    """Yield the findings about devices, which are not changed.

    Args:
        choice: of `kit.devices.selection.serials`; ``auto`` for the only device.
        bundle: that should run there, or None.
    """
    try:
        serials = selection.serials(None if choice == "auto" else choice)
    except DeviceError as exc:
        yield Finding("device.reach", "problem", exc.message, exc.hint)
        return
    for serial in serials:
        yield from _examine_device(serial, bundle)


def _examine_device(serial: str, bundle: Bundle | None) -> Iterator[Finding]:
    try:
        with closing(RetryingTransport(selection.open_transport(serial))) as transport:
            facts, state = gather(transport), read_state(transport)
    except DeviceError as exc:
        yield Finding("device.reach", "problem", exc.message, exc.hint)
        return
    named = f"{serial}: {facts.model or 'unknown model'}, Android {facts.android or '?'}"
    yield Finding("device.reach", "ok", named)
    yield from judge_device(facts, state, bundle)


def read_state(transport: Transport) -> DeviceState:
    """Query what `facts.gather` does not.

    Raises:
        DeviceLost: the connection broke.
        DeviceError: its shell fails.
    """
    lines = [f"echo '{_MARK}'; settings get {table} {name} 2>/dev/null" for table, name in SETTINGS]
    lines += [f"echo '{_MARK}'; [ -s {JOURNAL} ] && echo left"]
    lines += [f"echo '{_MARK}'; cat /proc/cpuinfo 2>/dev/null"]
    script = f"{{ {'; '.join(lines)}; }}; true"
    pieces = [piece.strip() for piece in ask(transport, script).split(_MARK)[1:]]
    pieces += [""] * (len(SETTINGS) + 2 - len(pieces))
    settings = dict(zip(SETTINGS, pieces, strict=False))
    return DeviceState(pieces[len(SETTINGS) + 1], settings, pieces[len(SETTINGS)] == "left")


def judge_device(
    facts: DeviceFacts, state: DeviceState, bundle: Bundle | None
) -> Iterator[Finding]:
    """Yield the findings about a device that answers."""
    serial = shlex.quote(facts.serial)
    yield from _judge_system(facts, bundle)
    yield from _judge_space(facts, bundle)
    yield from _judge_condition(facts)
    features = hostinfo.int8_features(state.cpuinfo)
    abi = facts.abis[0] if facts.abis else ""
    yield judge_processor("device.processor", facts.soc or facts.model, abi, features)
    disturbing = [
        Finding("device.settings", "warning", what, f"adb -s {serial} shell settings put {key}")
        for (table, name), (bad, what, good) in SETTINGS.items()
        if state.settings.get((table, name)) == bad and (key := f"{table} {name} {good}")
    ]
    yield from disturbing or [Finding("device.settings", "ok", "no setting disturbs")]
    if state.leftovers:
        text = "a kit that was killed left settings changed"
        yield Finding("device.leftovers", "warning", text, f"kit clean --device {serial}")
    if facts.kind != "phone":
        text = f"it is {'an emulator' if facts.kind == 'emulator' else 'a virtual device'}"
        yield Finding("device.kind", "note", f"{text}: its times are not a phone's")


def _judge_system(facts: DeviceFacts, bundle: Bundle | None) -> Iterator[Finding]:
    abi = next((one for one in facts.abis if one in native.ABIS), None)
    listed = ", ".join(facts.abis) or "none that it reports"
    if abi is None:
        text = f"it runs {listed}; native runners exist for {' and '.join(native.ABIS)}"
        yield Finding("device.abi", "problem", text, "use a 64-bit device")
    else:
        yield Finding("device.abi", "ok", listed)
    if facts.api is not None and facts.api < MIN_API:
        text = f"API level {facts.api}; kit needs {MIN_API}"
        yield Finding("device.api", "problem", text, "use a device with Android 8 or newer")
    else:
        yield Finding("device.api", "ok", f"API level {facts.api or 'unknown'}")
    names = _formats(bundle)
    without = [name for name in names if formats.get_format(name).native is None]
    if without:
        text = f"{', '.join(without)} has no native runner, and does not run there"
        yield Finding("device.formats", "note", text, "kit bench BUNDLE, on this machine")
    if abi is not None:
        yield from judge_pages(facts.page_size, abi, [n for n in names if n not in without])


def judge_pages(page: int | None, abi: str, names: list[str]) -> Iterator[Finding]:
    """Yield whether the runners of formats can be loaded with the device's memory pages."""
    if page is None or page <= 4096:
        yield Finding("device.pages", "ok", f"pages of {(page or 4096) // 1024} KB")
        return
    for name in names:
        runner = native.find(abi, name)
        size = f"pages of {page // 1024} KB"
        if runner is None:
            text = f"{size}: the runner of {name} is not built yet, so it is not known to fit"
            yield Finding(
                "device.pages", "note", text, f"kit runner build --abi {abi} --format {name}"
            )
        elif runner.page < page:
            text = f"{size}: libraries of {name} are made for {runner.page // 1024} KB"
            yield Finding("device.pages", "warning", text, "use another format there")
        else:
            yield Finding("device.pages", "ok", f"{size}, which the runner of {name} fits")


def _formats(bundle: Bundle | None) -> list[str]:
    if bundle is None:
        return list(native.list_formats())
    known = formats.list_formats()
    return list(dict.fromkeys(a.format for a in bundle.manifest.artifacts if a.format in known))


def _judge_space(facts: DeviceFacts, bundle: Bundle | None) -> Iterator[Finding]:
    files = 0
    if bundle is not None:
        files = sum(bundle.manifest.measure(a.file).size for a in bundle.manifest.artifacts)
    if facts.free_bytes is not None:
        yield judge_amount(
            "device.disk",
            "free on it",
            facts.free_bytes,
            MIN_FREE + files,
            ENOUGH_FREE + files,
            f"kit clean --device {shlex.quote(facts.serial)}",
        )
    if facts.memory is not None:
        fix = "use a smaller model or a larger device"
        what = "of memory"
        yield judge_amount("device.memory", what, facts.memory, MIN_MEMORY, ENOUGH_MEMORY, fix)


def _judge_condition(facts: DeviceFacts) -> Iterator[Finding]:
    battery = facts.battery
    if battery is not None and battery.level is not None:
        text = f"battery at {battery.level} %"
        if battery.level < LOW_BATTERY:
            fix = "charge it"
            yield Finding("device.battery", "warning", f"{text}: phones slow down when low", fix)
        elif not battery.plugged:
            text = f"{text}, not plugged in: its screen may go off, which lowers the clock"
            yield Finding("device.battery", "note", text, "plug it in")
        else:
            yield Finding("device.battery", "ok", f"{text}, plugged in")
    warm = battery.temperature_c if battery is not None else None
    hot = warm is not None and warm > COOL_C
    if warm is not None and hot:
        notice = new_notice("device.warm", temperature=warm, limit=COOL_C)
        yield from_notice(notice, "let it cool down")
    if facts.thermal_status not in (None, "none"):
        notice = new_notice("device.thermal-status", statuses=(str(facts.thermal_status),))
        yield from_notice(notice, "let it cool down")
    elif warm is not None and not hot:
        yield Finding("device.heat", "ok", f"{warm:.1f} °C")
    present = {cpu for cluster in facts.clusters for cpu in cluster.cpus}
    off = sorted(present - set(facts.online))
    if off and facts.online:
        text = f"cores {', '.join(map(str, off))} are switched off"
        yield Finding("device.cores", "note", text, "charge it, and let it cool down")
