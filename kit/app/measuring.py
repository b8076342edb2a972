"""Measure latency in the app, with the same plan as other runners.

`AppDevice` wraps a device of `kit.devices.adb` and accepts a runner's options. It starts
the app's activity with them and returns the events of the result file as a runner's lines, so
that `kit.bench` uses it like a native runner: with fresh, interleaved processes, the check
of the answer, and the memory pass.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from kit.app import contents, contract
from kit.app.contents import Apps
from kit.app.device import check_installed, start_activity
from kit.app.job import AppJob
from kit.app.record import AppRecord
from kit.bench import measure
from kit.bundles import loading
from kit.bundles.bundle import Bundle
from kit.devices.adb import AdbDevice
from kit.devices.adb_folder import AdbFolder
from kit.devices.storage import ask
from kit.devices.transport import quote
from kit.errors import DeviceError, RunError, UsageError
from kit.notices import Notice, make_notice
from kit.progress import Progress
from kit.results.context import Condition, Context
from kit.results.latency import LatencyResult, Plan, Run

SLOWEST_SECONDS = 10.0  # timeout per inference of the warm-up


def measure_all(
    sources: Sequence[Bundle | str | Path],
    formats: Sequence[str] | None,
    plan: Plan,
    progress: Progress,
    device: AdbDevice,
    app_ids: Sequence[str] = (contract.APP_ID,),
) -> list[LatencyResult]:
    """Measure bundles that are in installed apps; see `kit.bench.measure.measure_all`.

    Each file is measured in the first app that has it; the apps' processes are interleaved.

    Args:
        sources: as there.
        formats: as there; None for those of the bundles that the apps have.
        plan: as there.
        progress: as there.
        device: with the apps.
        app_ids: of the apps.

    Raises:
        UsageError: a plan with a mask of cores, bundles of one name, or nothing to measure.
        DeviceError: an app is not installed, or `run-as` denies access.
        RunError: it failed, has another bundle of that name, or gave a wrong answer.
    """
    if plan.cpus:
        raise UsageError("an app cannot choose its cores", "leave --cpus out, or use kit bench")
    loaded = [b if isinstance(b, Bundle) else loading.load_bundle(b) for b in sources]
    for app_id in app_ids:
        check_installed(device.transport, app_id)
    through = AppDevice(device, loaded, contents.read_apps(device.transport, app_ids))
    chosen = through.choose_files() if formats is None else formats
    results = measure.measure_all(loaded, chosen, plan, progress, through, "app")
    return [_add_notices(result, through.notices) for result in results]


def _add_notices(result: LatencyResult, notices: Sequence[Notice]) -> LatencyResult:
    distinct = [notice for index, notice in enumerate(notices) if notice not in notices[:index]]

    def added(run: Run) -> Run:
        return run.model_copy(update={"notices": (*distinct, *run.notices)})

    return result.model_copy(update={"runs": tuple(added(run) for run in result.runs)})


class AppDevice:
    """A device whose runners are its installed apps.

    Args:
        device: to wrap.
        loaded: the bundles to measure; the apps must have the same.
        apps: the installed apps.

    Raises:
        UsageError: two bundles have the same name, or the app does not allow a name.
    """

    def __init__(self, device: AdbDevice, loaded: Sequence[Bundle], apps: Apps) -> None:
        self._device, self._loaded, self._apps = device, loaded, apps
        self.ref, self.abis = device.ref, device.abis
        self.fingerprint = device.fingerprint
        self.clusters, self.page = device.clusters, device.page
        self._names: dict[Path, str] = {}
        self._bundles: dict[str, Bundle] = {}
        for bundle in loaded:
            name = contract.check_name(bundle.path.resolve().name)
            if self._bundles.setdefault(name, bundle).hash != bundle.hash:
                raise UsageError(f"two bundles are called {name!r}", "measure one after the other")
            self._names[bundle.path] = name
        self._folder: AdbFolder | None = None
        self._job: AppJob | None = None
        self.notices: list[Notice] = []

    def choose_files(self) -> list[str] | None:
        """Return the names of files that the apps have of every bundle; None for all.

        Files that are left out are in `notices`.

        Raises:
            UsageError: there are none.
        """
        missing = {name: None for b in self._loaded for name in self._missing(b)}
        if not missing:
            return None
        keys = (key for b in self._loaded for key in b.manifest.select_runnable(None))
        have = dict.fromkeys(key.name for key in keys)
        available = [name for name in have if name not in missing]
        apps = " or ".join(self._apps.ids)
        if not available:
            raise UsageError(
                f"{apps} has no file of every bundle",
                "measure one bundle after the other, or name --format",
            )
        left_out, where = tuple(missing), tuple(self._apps.ids)
        self.notices.append(make_notice("app.format-missing", formats=left_out, apps=where))
        return available

    def _missing(self, bundle: Bundle) -> list[str]:
        return self._apps.missing(bundle, self._names[bundle.path])

    @contextmanager
    def folder(self) -> Iterator[AppFolder]:
        """Prepare the device; stop the apps at the end."""
        transport = self._device.transport
        with self._device.folder() as folder:
            for app_id in self._apps.ids:
                _check_run_as(self._device, app_id)
            self._folder = folder
            # With the screen off, phones run apps on little cores, or not at all.
            ask(transport, "input keyevent KEYCODE_WAKEUP; wm dismiss-keyguard; true")
            try:
                yield AppFolder(folder, self._names)
            finally:
                with suppress(DeviceError):  # a lost device is reported elsewhere
                    for app_id in self._apps.ids:
                        self._device.ask(quote(["am", "force-stop", app_id]))

    def start(self, command: Sequence[str], environment: Mapping[str, str]) -> AppJob:
        """Start a fresh process of an app with the options of a runner."""
        assert self._folder is not None  # `start` is only called inside of `folder`
        options = dict(zip(command[1::2], command[2::2], strict=True))
        name = options["--model"].partition("/")[0]
        app_id = self._apps.find(options["--model"])
        token = f"kit-{secrets.token_hex(6)}"
        values = {
            "contract": contract.VERSION,
            "id": token,
            "bundle": name,
            "artifact": self._find_artifact(options["--model"]),
        }
        values |= {
            extra: options[f"--{extra.replace('_', '-')}"]
            for extra in contract.EXTRAS
            if extra not in values
        }
        self._device.ask(quote(["am", "force-stop", app_id]))
        start_activity(self._device.transport, contract.start_bench(app_id, values))
        limit, look = derive_timeout(options), self._check_record(name)
        size = sum(spec.size for spec in self._bundles[name].manifest.signature.outputs)
        self._job = AppJob(self._device, self._folder, app_id, token, limit, look, size)
        return self._job

    def _find_artifact(self, model: str) -> str:
        """Return the name of the artifact whose file is ``BUNDLE/FILE``."""
        name, _, file = model.partition("/")
        artifacts = self._bundles[name].manifest.artifacts
        return next(one.name for one in artifacts if one.file == file)

    def _check_record(self, name: str) -> Callable[[AppRecord], None]:
        """Return a function that raises if a result is of another bundle."""

        def look(record: AppRecord) -> None:
            if record.bundle_hash not in (None, self._bundles[name].hash):
                raise RunError(
                    f"the app has another bundle called {name}",
                    "build and install it with this one: kit app build, kit app install",
                )
            if record.device.left_foreground:
                self.notices.append(make_notice("app.left-screen"))

        return look

    def settle(self, limit_c: float, wait_seconds: float) -> float:
        """Wait until the device is cool."""
        return self._device.settle(limit_c, wait_seconds)

    def conditions(self) -> tuple[Condition, ...]:
        """Return the conditions during the last process, and the current one."""
        sampled = self._job.conditions if self._job else []
        return (*sampled, self._device.condition())

    def context(self, environment: Mapping[str, str], load_before: float | None = None) -> Context:
        """Describe the device; Android starts the app, without our environment variables."""
        return self._device.context({}, load_before)


def derive_timeout(options: Mapping[str, str]) -> float:
    """Return the timeout of a process in seconds, including its silent warm-up."""
    warming = float(options["--warmup-seconds"]) + SLOWEST_SECONDS * int(options["--warmup"])
    return float(options["--max-seconds"]) + warming


def _check_run_as(device: AdbDevice, app_id: str) -> None:
    done = device.transport.shell(quote(["run-as", app_id, "true"]))
    if done.code != 0:
        raise DeviceError(
            f"{device.ref.name} does not let kit read the app's files: "
            f"{' '.join((done.stderr or done.stdout).split())[-200:]}",
            "a release build cannot be measured: build it without --release, and install that",
        )


class AppFolder:
    """The folder of a measurement; models and inputs are in the app, so nothing is pushed."""

    def __init__(self, folder: AdbFolder, names: Mapping[Path, str]) -> None:
        self._folder, self._names = folder, names

    def put(self, file: Path) -> str:
        """Return ``BUNDLE/FILE``, which is in the app."""
        bundle = next(path for path in self._names if path in file.parents)
        return f"{self._names[bundle]}/{file.relative_to(bundle).as_posix()}"

    def install(self, folder: Path, digests: Mapping[str, str]) -> str:
        """Refuse: the app is the only runner."""
        raise DeviceError(f"the app runs no program of {folder}", "use kit bench")

    def audit(self) -> list[str]:
        """Return nothing: the app checks its files itself, at each start."""
        return []

    def write(self, name: str, data: bytes) -> str:
        """Return the name; the app reads golden input 0 from its own bundle."""
        return name

    def path(self, name: str) -> str:
        """Return the name; the app chooses where it writes."""
        return name

    def read(self, name: str, limit: int) -> bytes:
        """Return the content of a file that came from the app, of up to `limit` bytes."""
        return self._folder.read(name, limit)
