"""A device over adb: whether it can be used, and what would disturb a measurement there."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Mapping, Sequence, Set
from contextlib import closing
from dataclasses import dataclass, field

from kit import formats
from kit.bundles.bundle import Bundle
from kit.devices import hostinfo, selection
from kit.devices.adb import MIN_API
from kit.devices.device_settings import JOURNAL
from kit.devices.facts import DeviceFacts, gather
from kit.devices.retry import RetryingTransport
from kit.devices.storage import BLOBS, LISTING, SLACK, ask, read_listing
from kit.devices.transport import Transport
from kit.doctor.finding import Finding, from_notice, judge_amount
from kit.doctor.host import judge_processor
from kit.errors import DeviceError
from kit.notices import make_notice
from kit.runners import native

COOL_C = 38.0  # as `kit bench` waits for
LOW_BATTERY = 20  # percent; many phones slow down below 15
# Bytes beside the bundle, of runners whose size is not known: most take less than 100 MB.
MIN_FREE, ENOUGH_FREE = 150_000_000, 500_000_000
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
        kept: digest and size of each file that kit keeps there, of any bundle.
    """

    cpuinfo: str = ""
    settings: Mapping[tuple[str, str], str] = field(default_factory=dict)
    leftovers: bool = False
    kept: Set[tuple[str, int]] = frozenset()


def examine_devices(choice: str, bundle: Bundle | None) -> Iterator[Finding]:
    """Yield the findings about devices, which are not changed.

    Args:
        choice: of `kit.devices.selection.choose_serials`; ``auto`` for the only device.
        bundle: that should run there, or None.
    """
    try:
        serials = selection.choose_serials(None if choice == "auto" else choice)
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
    lines += [f"echo '{_MARK}'; (cd {BLOBS} 2>/dev/null && {LISTING})"]
    lines += [f"echo '{_MARK}'; cat /proc/cpuinfo 2>/dev/null"]
    script = f"{{ {'; '.join(lines)}; }}; true"
    pieces = [piece.strip() for piece in ask(transport, script).split(_MARK)[1:]]
    pieces += [""] * (len(SETTINGS) + 3 - len(pieces))
    settings = dict(zip(SETTINGS, pieces, strict=False))
    journal, store, cpuinfo = pieces[len(SETTINGS) :][:3]
    return DeviceState(cpuinfo, settings, journal == "left", read_listing(store))


def judge_device(
    facts: DeviceFacts, state: DeviceState, bundle: Bundle | None
) -> Iterator[Finding]:
    """Yield the findings about a device that answers."""
    serial = shlex.quote(facts.serial)
    yield from _judge_system(facts, bundle)
    yield from _judge_space(facts, state, bundle)
    yield from _judge_condition(facts)
    features = hostinfo.parse_int8_features(state.cpuinfo)
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
    yield from judge_files(bundle)
    if abi is not None:
        yield from judge_pages(facts.page_size, abi, _formats(bundle))


def judge_files(bundle: Bundle | None) -> Iterator[Finding]:
    """Yield which files of a bundle run on a device, and which not; nothing without a bundle."""
    if bundle is None:
        return
    listed = native.list_formats()
    artifacts = bundle.manifest.artifacts
    runs = [one.name for one in artifacts if one.executed and one.format in listed]
    without = [one.name for one in artifacts if one.executed and one.format not in listed]
    lowered = [one.name for one in artifacts if not one.executed]
    reasons = [
        f"{_join(names)} {why[0] if len(names) == 1 else why[1]}"
        for names, why in (
            (without, ("has no native runner", "have no native runner")),
            (lowered, ("is for a backend", "are for backends")),
        )
        if names
    ]
    if lowered:
        reasons[-1] += " that no runner of kit has"
    why = ", and ".join(reasons)
    if not runs:
        text = f"no file of the bundle runs there: {why or 'it has none'}"
        current = [name for name in listed if formats.get_format(name).ended is None]
        fix = f"kit build MODEL --format {','.join(current[:2])}"
        yield Finding("device.formats", "problem", text, fix)
        return
    yield Finding("device.formats", "ok", f"native runners exist for {_join(runs)}")
    if reasons:
        fix = "kit bench BUNDLE, on this machine" if without else ""
        yield Finding("device.formats", "note", f"will not run there: {why}", fix)


def _join(names: Sequence[str]) -> str:
    """Return ``a, b and c``."""
    return " and ".join(filter(None, (", ".join(names[:-1]), *names[-1:])))


def judge_pages(page: int | None, abi: str, names: Sequence[str]) -> Iterator[Finding]:
    """Yield whether the runners of formats can be loaded with the device's memory pages."""
    if page is None or page <= 4096:
        yield Finding("device.pages", "ok", f"pages of {(page or 4096) // 1024} KB")
        return
    size = f"pages of {page // 1024} KB"
    runners = {name: native.find(abi, name) for name in names}
    loads = any(runner is None or runner.page >= page for runner in runners.values())
    for name, runner in runners.items():
        if runner is None:
            text = f"{size}: the runner of {name} is not built yet, so it is not known to fit"
            yield Finding(
                "device.pages", "note", text, f"kit runner build --abi {abi} --format {name}"
            )
        elif runner.page < page:
            text = f"{size}: libraries of {name} are made for {runner.page // 1024} KB"
            fix = "use another format there" if loads else "use a device with pages of 4 KB"
            yield Finding("device.pages", "warning" if loads else "problem", text, fix)
        else:
            yield Finding("device.pages", "ok", f"{size}, which the runner of {name} fits")


def _formats(bundle: Bundle | None) -> list[str]:
    """Return the formats with a native runner, of a bundle those of its files that run."""
    listed = native.list_formats()
    if bundle is None:
        return list(listed)
    found = (one.format for one in bundle.manifest.artifacts if one.executed)
    return [name for name in dict.fromkeys(found) if name in listed]


def _judge_space(
    facts: DeviceFacts, state: DeviceState, bundle: Bundle | None
) -> Iterator[Finding]:
    sizes = [0]
    if bundle is not None:
        sizes += [bundle.manifest.measure(a.file).size for a in bundle.manifest.artifacts]
    if facts.free_bytes is not None:
        needed = _measure_missing(facts, state, bundle)
        yield judge_amount(
            "device.disk",
            "free on it",
            facts.free_bytes,
            needed,
            ENOUGH_FREE + needed,
            f"kit clean --device {shlex.quote(facts.serial)}",
        )
    if facts.memory is not None:
        yield judge_amount(
            "device.memory",
            "of memory",
            facts.memory,
            MIN_MEMORY + max(sizes),
            ENOUGH_MEMORY + 2 * max(sizes),
            "use a smaller model or a larger device",
        )


def _measure_missing(facts: DeviceFacts, state: DeviceState, bundle: Bundle | None) -> int:
    """Return the bytes that `kit bench` pushes and leaves free; an estimate if a runner is missing.

    Each file is counted once, and only if the device does not have it, as in `kit.devices.storage`.
    """
    if bundle is None:
        return MIN_FREE
    names = _formats(bundle)
    files = [
        bundle.manifest.measure(one.file)
        for one in bundle.manifest.artifacts
        if one.executed and one.format in names
    ]
    wanted = {(file.sha256, file.size) for file in files}
    abi = next((one for one in facts.abis if one in native.ABIS), None)
    runners = [native.find(abi, name) for name in names] if abi is not None else [None]
    for runner in runners:
        if runner is not None:
            wanted |= {(digest, size) for size, digest in runner.files.values()}
    missing = sum(size for _, size in wanted - state.kept) + SLACK
    # The libraries of a runner that is not built yet are not known.
    return missing + MIN_FREE if None in runners else missing


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
        notice = make_notice("device.warm", temperature=warm, limit=COOL_C)
        yield from_notice(notice, "let it cool down")
    if facts.thermal_status not in (None, "none"):
        notice = make_notice("device.thermal-status", statuses=(str(facts.thermal_status),))
        yield from_notice(notice, "let it cool down")
    elif warm is not None and not hot:
        yield Finding("device.heat", "ok", f"{warm:.1f} °C")
    present = {cpu for cluster in facts.clusters for cpu in cluster.cpus}
    off = sorted(present - set(facts.online))
    if off and facts.online:
        text = f"cores {', '.join(map(str, off))} are switched off"
        yield Finding("device.cores", "note", text, "charge it, and let it cool down")
