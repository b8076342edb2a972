"""kit is killed at random moments: nothing is lost, and the next run leaves nothing behind.

`KIT_KILLS=100` kills that often; the default keeps the suite short. Only the process that was
started is killed, with SIGKILL: what it started has to end by itself.
"""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest
from bundle_samples import SMALL_NET, draw_labelled

from kit.bundles import loading

pytestmark = pytest.mark.slow

KILLS = int(os.environ.get("KIT_KILLS", "3"))
SETTLE_SECONDS = 60.0  # in which children of a killed kit end


class Place:
    """Folders of their own for all that kit writes."""

    def __init__(self, root: Path) -> None:
        self.root = root
        for name in ("tmp", "cache", "out"):
            (root / name).mkdir()
        self.pictures = draw_labelled(root / "pictures")
        self.environment = {
            **os.environ,
            "TMPDIR": str(root / "tmp"),
            "KIT_CACHE": str(root / "cache"),
            "PYTHONPATH": str(Path(__file__).parents[1]),
            "OMP_NUM_THREADS": "1",
        }

    def start(self, words: list[str]) -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            [sys.executable, "-m", "kit", *words],
            env=self.environment,
            cwd=self.root,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
        )

    def run(self, words: list[str]) -> float:
        """Run to the end; return the seconds."""
        began = time.monotonic()
        process = self.start(words)
        _, err = process.communicate()
        assert process.returncode == 0, f"{words}: {err.decode()[-2000:]}"
        return time.monotonic() - began

    def kill(self, words: list[str], after: float) -> None:
        process = self.start(words)
        try:
            process.wait(after)
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGKILL)
        process.communicate()
        self.settle()

    def settle(self) -> None:
        """Wait until nothing that kit started here is alive."""
        deadline = time.monotonic() + SETTLE_SECONDS
        while alive := [p for p in psutil.process_iter(["environ"]) if self.is_ours(p)]:
            assert time.monotonic() < deadline, f"still alive: {alive}"
            time.sleep(0.2)

    def is_ours(self, process: psutil.Process) -> bool:
        environment = process.info["environ"] or {}
        return environment.get("KIT_CACHE") == str(self.root / "cache")

    def leftovers(self) -> list[str]:
        """Return what no finished run leaves: temporary files, and hidden names of kit's."""
        result = [
            p for p in (self.root / "tmp").iterdir() if not p.name.startswith("torchinductor")
        ]
        result += [p for p in self.root.rglob(".*") if p.name != ".training"]
        return sorted(str(p.relative_to(self.root)) for p in result)


def commands(place: Place) -> dict[str, list[str]]:
    pictures = str(place.pictures)
    build = ["build", SMALL_NET, "--input", "32", "--calibrate", pictures, "--no-cache"]
    build += ["--observer", "percentile", "--format", "lite"]  # the quickest there are
    return {
        "build": [*build, "-o", "out/static"],
        "bench": ["bench", "out/static", "--quick", "-o", "out/latency.json"],
        "qat": [*build, "--quantize", "qat", "--train-steps", "4", "--train-batch", "4",
                "-o", "out/qat"],
        "eval": ["eval", "out/static", "--images", pictures, "-o", "out/accuracy.json"],
        "report": ["report", "out/accuracy.json", "out/latency.json", "-o", "out/report"],
    }  # fmt: skip


def test_kills_at_random_moments_lose_nothing_and_leave_nothing(tmp_path):
    place = Place(tmp_path)
    all_words = commands(place)
    seconds = {name: place.run(words) for name, words in all_words.items()}
    assert place.leftovers() == []
    results = {"eval": "out/accuracy.json", "bench": "out/latency.json"}
    chance = random.Random(KILLS)
    for number in range(KILLS):
        name = list(all_words)[number % len(all_words)]
        place.kill(all_words[name], chance.uniform(0.2, seconds[name] + 0.5))
        for target in ("out/static", "out/qat"):
            loading.load_bundle(tmp_path / target)  # the old one, or a new one, whole
        for file in results.values():
            assert (tmp_path / file).stat().st_size > 0
        for file in ("report.html", "report.md"):
            assert (tmp_path / "out/report" / file).stat().st_size > 0
        if number % 10 >= 5 or number >= KILLS - len(all_words):
            place.run(all_words[name])
            assert place.leftovers() == [], f"after {name} was killed and ran again"
