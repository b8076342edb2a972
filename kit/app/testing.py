"""Run the app's own tests with Maven: JUnit, and Robolectric with a real bundle."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import kit
from kit.app import aapt2, sources, tools
from kit.app.lock import hold_maven_lock
from kit.bundles import loading
from kit.bundles.bundle import Bundle
from kit.errors import BuildError, OutputError, UsageError, VerificationFailed
from kit.progress import ReportStatus
from kit.registry import CLASSIFICATION

LOG = "maven.log"
_COUNT = re.compile(r"Tests run: (\d+), Failures: (\d+), Errors: (\d+), Skipped: (\d+)$")


def run(bundle: Path | None, out: Path, report_status: ReportStatus) -> dict[str, int]:
    """Run the tests and save their screenshots.

    Args:
        bundle: a real one; without it the tests that need a model are skipped.
        out: folder for ``screenshots/``, ``samples/`` and Maven's log.
        report_status: callback; takes the current step.

    Returns:
        How many tests were ``run``, ``failed`` and ``skipped``.

    Raises:
        BundleError: it is no bundle.
        UsageError: its model is no classifier.
        MissingTool: no JDK, no Maven, or no aapt2.
        VerificationFailed: a test failed.
        OutputError: the folder cannot be written to.
    """
    loaded = None if bundle is None else loading.load_bundle(bundle)
    if loaded is not None and loaded.manifest.task != CLASSIFICATION:
        raise UsageError(
            f"{bundle} is for the task {loaded.manifest.task}, and the app's tests classify "
            "pictures with it",
            "give them a classifier; they have a model without pictures of their own",
        )
    tools.read_java_version()
    mvn = tools.find("mvn")
    with hold_maven_lock(sources.prepare_project(), report_status):
        return _run(loaded, mvn, out, report_status)


def _run(loaded: Bundle | None, mvn: str, out: Path, report_status: ReportStatus) -> dict[str, int]:
    try:
        out.mkdir(parents=True, exist_ok=True)
        for old in (out / "screenshots").rglob("*.png"):
            old.unlink()  # of an earlier run, perhaps of a removed screen
    except OSError as exc:
        raise OutputError(f"cannot make {out}: {exc.strerror}", "choose another -o") from exc
    settings = {
        "aapt2": aapt2.find(report_status),
        "kit.screenshots": (out / "screenshots").resolve(),
        "kit.sdks": tools.make_cache_folder() / "sdks",
    }
    if loaded is not None:
        report_status("writing samples of the bundle")
        settings["kit.samples"] = _samples(loaded, out)
    report_status("running the tests (Maven)")
    return _maven(mvn, sources.prepare_project() / "pom.xml", settings, out / LOG)


def _samples(bundle: Bundle, out: Path) -> Path:
    target = (out / "samples").resolve()
    program = sources.find_folder() / "samples.py"
    root = str(Path(kit.__file__).parents[1])
    tools.run(
        [sys.executable, str(program), str(bundle.path.resolve()), str(target)],
        "samples.py",
        {"PYTHONPATH": root},
    )
    return target


def _maven(mvn: str, pom: Path, settings: Mapping[str, Path], log: Path) -> dict[str, int]:
    words = [mvn, "-B", "-ntp", "-f", str(pom), "test"]
    words += [f"-D{name}={value}" for name, value in settings.items()]
    done = subprocess.run(
        words,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        stdin=subprocess.DEVNULL,
        text=True,
        errors="replace",
        env={**os.environ, **tools.list_maven_variables(), "TERM": "dumb"},
    )
    log.write_text(done.stdout, encoding="utf-8")
    totals = parse_counts(done.stdout)
    if done.returncode != 0:
        raise _failed(done.stdout, totals, log)
    if not totals["run"]:
        raise BuildError(f"Maven ran no test; see {log}", "check out the whole repository")
    return totals


def parse_counts(output: str) -> dict[str, int]:
    """Return the numbers of Maven's last summary of tests."""
    totals = [m for line in output.splitlines() if (m := _COUNT.search(line.strip()))]
    if not totals:
        return {"run": 0, "failed": 0, "skipped": 0}
    run, failures, errors, skipped = map(int, totals[-1].groups())
    return {"run": run, "failed": failures + errors, "skipped": skipped}


def _failed(output: str, totals: Mapping[str, int], log: Path) -> BuildError:
    faults = [
        line.removeprefix("[ERROR]").strip() for line in output.splitlines() if "[ERROR]" in line
    ]
    first = next((line for line in faults if line and "Tests run" not in line), "no reason")
    if totals["failed"]:
        return VerificationFailed(
            f"{totals['failed']} of {totals['run']} tests of the app failed: {first[:300]}",
            f"{log} has all of it",
        )
    return BuildError(f"Maven failed: {first[:300]}", f"{log} has all of it")
