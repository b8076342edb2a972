"""A phone, an emulator or a virtual device over adb."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress

import kit
from kit.devices import condition, device_settings, facts, fingerprint, locking, parsing, storage
from kit.devices.adb_folder import AdbFolder
from kit.devices.device_job import AdbJob, end_jobs
from kit.devices.device_settings import JOURNAL
from kit.devices.facts import DeviceFacts
from kit.devices.retry import RetryingTransport
from kit.devices.selection import open_transport
from kit.devices.storage import ROOT, Store, TransferProgress, ask
from kit.devices.transport import Transport, quote
from kit.errors import DeviceError
from kit.notices import Notice, make_notice
from kit.results.context import Condition, Context, DeviceRef

RUNS = f"{ROOT}/runs"
MIN_API = 26  # Android 8: `sha256sum` and `setsid`
COOL_PAUSE = 5.0  # seconds between polls of a device that cools down


def open(
    serial: str | None,
    stop: threading.Event | None = None,
    keep: bool = False,
    sent: TransferProgress = lambda done, of: None,
) -> AdbDevice:
    """Connect to a device and query its facts.

    Args:
        serial: one of `kit.devices.selection.choose_serials`, None for the only device.
        stop: an event that ends all work on the device, see `kit.devices.retry`.
        keep: leave the files of a measurement on the device.
        sent: called with bytes sent and bytes in all, while files are pushed.

    Raises:
        DeviceError: it cannot be used.
        DeviceLost: it cannot be reached.
    """
    transport = RetryingTransport(open_transport(serial), stop=stop)
    try:
        return AdbDevice(transport, keep, sent)
    except BaseException:
        transport.close()
        raise


class AdbDevice:
    """A device behind a transport that retries.

    Attributes:
        facts: from when it was opened.
        keep: leave the files of a measurement on the device.
        pushed: bytes sent to it.
        notices: about failed clean-ups after complete measurements.
    """

    def __init__(
        self,
        transport: RetryingTransport,
        keep: bool = False,
        sent: TransferProgress = lambda done, of: None,
    ) -> None:
        self._transport = transport
        self.facts = facts.gather(transport)
        self.ref = DeviceRef(
            kind=self.facts.kind, name=self.facts.model or "unknown", serial=transport.serial
        )
        self.abis, self.clusters = self.facts.abis, self.facts.clusters
        self.fingerprint = fingerprint.fingerprint_device(self.facts)
        self.page = self.facts.page_size
        _check_api(self.facts)
        self.keep = keep
        self.notices: list[Notice] = []
        self._store = Store(transport, sent, lambda: self._alive())
        self._token = ""  # of our lock, during a measurement
        self._alive: Callable[[], None] = lambda: None
        self._run = ""  # the folder of the measurement
        self._jobs: list[AdbJob] = []
        self._settings: dict[str, str] = {}
        self._began = 0.0

    @property
    def transport(self) -> Transport:
        """Return the connection, for commands that are not part of a measurement."""
        return self._transport

    @property
    def pushed(self) -> int:
        """Return the bytes sent to the device."""
        return self._store.pushed

    def ask(self, script: str, timeout: float = 20.0) -> str:
        """Run a script; during a measurement, only if we still hold the lock.

        Raises:
            DeviceError: another kit has taken the lock, or the script failed.
        """
        if not self._token:
            return ask(self._transport, script, timeout)
        return locking.ask_if_ours(self._transport, self._token, script, timeout)

    @contextmanager
    def folder(self) -> Iterator[AdbFolder]:
        """Prepare the device for a measurement: lock, settings, an empty folder.

        First it cleans up after an earlier kit. When the block ends, everything is undone; if
        the device is lost, by the next kit that uses it. If the block succeeded and the clean-up
        fails, that is one of `notices`, so that no results are lost.
        """
        self._transport.renew()
        token = locking.take(self._transport)
        self._token, self._alive = token, locking.pulse(self._transport, token)
        try:
            self._prepare(token)
            yield AdbFolder(self._transport, self._store, self._run)
        except BaseException:
            with suppress(DeviceError):  # the first error counts; the next kit cleans up
                self._leave(self._transport.last(), token)
            raise
        else:
            self._leave_whole(token)
        finally:
            self._token, self._alive = "", lambda: None
            locking.forget(token)

    def _prepare(self, token: str) -> None:
        failed = recover(self._transport)
        if failed:  # of an earlier measurement, which must not prevent this one
            self.notices.append(
                _left(device_settings.make_restore_error(self._transport.serial, failed))
            )
        self._run = f"{RUNS}/{token}"
        ask(self._transport, f"mkdir -p {self._run}")
        self._began = _number(ask(self._transport, "cat /proc/uptime"))
        self._settings = device_settings.apply(self._transport)

    def _leave_whole(self, token: str) -> None:
        """Clean up after a successful measurement, whose results no error may discard."""
        try:
            self._leave(self._transport.last(), token)
        except DeviceError as exc:
            self.notices.append(_left(exc))
        except KeyboardInterrupt:
            with suppress(DeviceError):
                self._leave(self._transport.last(), token)
            raise

    def _leave(self, transport: Transport, token: str) -> None:
        """Clean up after the measurement, unless another kit has taken the device.

        Raises:
            DeviceError: settings could not be restored, or the device refuses a command.
        """
        if not locking.holds(transport, token):
            return
        self._jobs.clear()
        removed = [] if self.keep else [quote(["rm", "-rf", self._run])]
        ask(transport, "; ".join([end_jobs(self._run), *removed, storage.SWEEP, "true"]))
        failed = device_settings.restore(transport)
        locking.give_back(transport, token)
        if failed:
            raise device_settings.make_restore_error(transport.serial, failed)

    def start(self, command: Sequence[str], environment: Mapping[str, str]) -> AdbJob:
        """Start a command detached, so that it outlives the connection.

        Raises:
            DeviceError: it cannot be started.
        """
        folder = f"{self._run}/job-{len(self._jobs)}"
        serial = self._transport.serial
        job = AdbJob(self.ask, serial, folder, command, environment, self._began)
        self._jobs.append(job)
        return job

    def settle(self, limit_c: float, wait_seconds: float) -> float:
        """Wait until the device is cool, or the timeout; return the seconds waited."""
        began = time.monotonic()
        while not condition.is_cool(self.condition(), limit_c):
            waited = time.monotonic() - began
            if waited >= wait_seconds:
                return waited
            time.sleep(min(COOL_PAUSE, wait_seconds - waited))
        return time.monotonic() - began

    def condition(self) -> Condition:
        """Return the device's current state; this also renews the lock.

        Raises:
            DeviceError: another kit has taken the device.
            DeviceLost: it was restarted during the measurement.
        """
        text = self.ask(condition.SCRIPT)
        current = condition.parse(text, self._began) or Condition(seconds=0.0)
        condition.check_restart(self._transport.serial, current.seconds, 0.0)
        return current

    def conditions(self) -> tuple[Condition, ...]:
        """Return the conditions during the last job, and the current one."""
        sampled = self._jobs[-1].conditions if self._jobs else []
        return (*sampled, self.condition())

    def context(self, environment: Mapping[str, str], load_before: float | None = None) -> Context:
        """Describe the device now."""
        facts, condition = self.facts, self.condition()
        text = ask(self._transport, f"cat /proc/loadavg; echo; cat {_GOVERNOR} 2>/dev/null; true")
        load, _, governor = text.partition("\n")
        now = _number(load)
        system = f"Android {facts.android or '?'} (API {facts.api or '?'}), {facts.kernel or ''}"
        return Context(
            cpu=facts.soc or facts.model,
            cores=len(facts.online) or facts.cores or 1,
            machine=f"{facts.abis[0] if facts.abis else 'unknown ABI'} {facts.kind}",
            os=system.rstrip(", "),
            governor=governor.strip() or None,
            load_before=now if load_before is None else load_before,
            load_after=now,
            mhz=condition.mhz,
            memory_total=facts.memory or 0,
            versions={"kit": kit.__version__},
            environment=dict(environment),
            settings=dict(self._settings),
        )

    def close(self) -> None:
        """Close the connection."""
        self._transport.close()


_GOVERNOR = "/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor"


def _check_api(facts: DeviceFacts) -> None:
    if facts.api is not None and facts.api < MIN_API:
        raise DeviceError(
            f"{facts.serial!r} has Android {facts.android} (API {facts.api}); kit needs API "
            f"{MIN_API} for the programs it calls there",
            "use a device with Android 8 or newer",
        )


def _left(error: DeviceError) -> Notice:
    return make_notice("device.left", reason=_cut(error.message), advice=_cut(error.hint))


def _cut(text: str) -> str:
    return text.replace("\0", "")[:5000]  # a device's message may be too long for a notice


def recover(transport: Transport) -> tuple[str, ...]:
    """Kill jobs of an earlier kit, and restore its settings; the caller holds the lock.

    Returns:
        Failed commands that restore settings, see `device_settings.restore`.
    """
    ask(transport, f"{end_jobs(f'{RUNS}/*')}; rm -rf {RUNS}")
    return device_settings.restore(transport)


def clean(transport: Transport) -> int:
    """Remove all files of kit from a device, and return the bytes freed.

    Raises:
        DeviceError: another kit is measuring there, or a setting cannot be restored: then only
            the journal stays.
    """
    if ask(transport, f"[ -e {ROOT} ] && echo there; true").strip() != "there":
        return 0
    token = locking.take(transport)
    try:
        failed = recover(transport)
        size = _number(ask(transport, f"du -sk {ROOT}"))
        if failed:
            rest = f'for f in {ROOT}/*; do [ "$f" = {JOURNAL} ] || rm -rf "$f"; done'
            ask(transport, rest, timeout=60)
            raise device_settings.make_restore_error(transport.serial, failed)
        ask(transport, f"rm -rf {ROOT}", timeout=60)
    finally:
        locking.forget(token)
    return int(size) * 1024


def _number(text: str) -> float:
    return parsing.parse_decimal(text) or 0.0
