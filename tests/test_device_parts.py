"""The pure parts of measuring on devices: answers to scripts, masks, minutes, pairs."""

from __future__ import annotations

import os
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace

import pytest

from kit.artifact_key import FLOAT_MODEL, ArtifactKey
from kit.bench import cores, gates, paired, sustained, sweep
from kit.commands.common import device_tables
from kit.devices import condition, device_job, locking
from kit.devices.parsing import Cluster
from kit.errors import UsageError
from kit.notices import render
from kit.results import statistics
from kit.results.context import Condition
from kit.results.latency import Plan, Process, Recommendation

ANSWER = """
noise of a shell
==kit:condition uptime
1234.56 99.00
==kit:condition battery
Current Battery Service state:
  level: 66
  temperature: 385
==kit:condition thermal
Thermal Status: 2
==kit:condition clocks
1800000
2400000
==kit:condition end
more noise
"""


@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_a_condition_is_read(end):
    assert condition.parse(ANSWER.replace("\n", end), 1200.0) == Condition(
        seconds=34.56,
        temperature_c=38.5,
        thermal_status="moderate",
        battery=66,
        mhz=(1800.0, 2400.0),
    )


@pytest.mark.parametrize("left_out", ["uptime", "battery", "thermal", "clocks"])
def test_what_is_missing_in_a_condition_is_not_reported(left_out):
    pieces = ANSWER.split("==kit:condition ")
    shorter = "==kit:condition ".join(
        one.splitlines()[0] + "\n" if one.startswith(left_out) else one for one in pieces
    )
    result = condition.parse(shorter)
    assert result is not None
    whole = condition.parse(ANSWER)
    assert whole is not None
    names = {
        "uptime": ("seconds",),
        "battery": ("temperature_c", "battery"),
        "thermal": ("thermal_status",),
        "clocks": ("mhz",),
    }
    for name in Condition.model_fields:
        same = getattr(result, name) == getattr(whole, name)
        assert same == (name not in names[left_out])


@pytest.mark.parametrize("cut", range(0, ANSWER.index("==kit:condition end") + 15, 7))
def test_half_an_answer_is_no_condition(cut):
    assert condition.parse(ANSWER[:cut]) is None


@pytest.mark.parametrize(
    ("temperature", "status", "expected"),
    [
        (38.0, "none", True),
        (38.1, "none", False),
        (30.0, "light", False),
        (None, None, True),
        (None, "severe", False),
        (40.0, None, False),
    ],
)
def test_cool(temperature, status, expected):
    result = Condition(seconds=0, temperature_c=temperature, thermal_status=status)
    assert condition.is_cool(result, 38.0) is expected


# cores ------------------------------------------------------------------------------------

LITTLE, MIDDLE, BIG = (
    Cluster(cpus=(0, 1, 2, 3), max_mhz=1800),
    Cluster(cpus=(4, 5, 6), max_mhz=2400),
    Cluster(cpus=(7,), max_mhz=2900),
)
PHONE = (LITTLE, MIDDLE, BIG)


@pytest.mark.parametrize(
    ("text", "expected"),
    [("", ""), ("all", ""), ("big", "80"), ("little", "f"), ("F0", "f0"), ("0x0f", "f")],
)
def test_a_mask(text, expected):
    assert cores.make_mask(text, PHONE) == expected


@pytest.mark.parametrize("text", ["0", "0x", "0x0", "g", "-1", "1 2", "huge", "1_0", "٣"])
def test_no_mask(text):
    with pytest.raises(UsageError, match="is no mask of cores"):
        cores.make_mask(text, PHONE)


@pytest.mark.parametrize(
    ("text", "words"),
    [("100", "no core 8; there are 0-7"), ("5ff", "no core 8, 10; there are 0-7")],
)
def test_a_mask_of_cores_that_do_not_exist(text, words):
    with pytest.raises(UsageError, match=words) as caught:
        cores.make_mask(text, PHONE)
    assert "like ff for all" in caught.value.hint
    assert cores.make_mask(text, ()) == text  # a device that does not tell its cores


def test_cores_as_text():
    assert cores.list_cores("d07") == (0, 1, 2, 8, 10, 11)
    assert cores.format_spans((11, 0, 1, 2, 8, 10)) == "0-2, 8, 10-11"


@pytest.mark.parametrize(
    ("asked", "given", "words", "mask"),
    [
        ("f0", ["f0", "F0"], None, None),
        ("", ["3", "1"], None, None),
        ("f0", [], None, None),
        ("f0", ["f0", "30"], "of the requested cores 4-7 the kernel allowed only 4-5", "30"),
        ("f0", ["70", "30", "70"], "allowed only 4-6 and 4-5", "30"),
        ("f0", ["70", "b0", "30", "d0"], "allowed only 4-6 and 4-5, 7 and others", "10"),
        ("f0", ["70", "80"], "allowed only 4-6 and 7", "80"),
    ],
)
def test_cores_that_were_not_given_are_a_warning(asked, given, words, mask):
    noticed = list(gates.examine_cores(Plan(cpus=asked), given))
    assert len(noticed) == (words is not None)
    assert all(str(words) in render(notice) for notice in noticed)
    assert [notice.values["mask"] for notice in noticed] == [mask] * len(noticed)


@pytest.mark.parametrize(
    "clusters", [(), (LITTLE,), (LITTLE, Cluster(cpus=(4,), max_mhz=None)), (LITTLE, LITTLE)]
)
def test_one_kind_of_core_has_no_big_ones(clusters):
    with pytest.raises(UsageError, match="only one kind of core"):
        cores.make_mask("big", clusters)


def test_what_a_sweep_tries():
    assert cores.list_choices(PHONE) == {"all": 8, "big": 1}
    assert cores.list_choices((LITTLE,)) == {"all": 4}
    tried = sweep.list_settings(
        SimpleNamespace(clusters=(LITTLE, Cluster(cpus=(4, 5), max_mhz=2000)))
    )
    assert [(one.threads, one.cpus) for one in tried] == [
        (1, "all"),
        (2, "all"),
        (4, "all"),
        (6, "all"),
        (1, "big"),
        (2, "big"),
    ]
    assert [one.label for one in tried][3:5] == ["6 threads", "1 thread on big cores"]


def test_all_settings_of_a_sweep_are_one_measurement(monkeypatch):
    asked = []

    def measure_all(*arguments, measurement):
        asked.append(measurement)
        return []

    monkeypatch.setattr(sweep.measure, "measure_all", measure_all)
    device = SimpleNamespace(clusters=(LITTLE,))
    for given in (None, "0f" * 16):
        asked.clear()
        sweep.sweep([], None, Plan(), device, lambda *_: None, measurement=given)
        assert len(asked) == 3
        assert len(set(asked)) == 1
        assert given in (None, asked[0])
        assert len(asked[0]) == 32


@pytest.mark.parametrize(
    ("medians", "best"),
    [
        ({1: 10.0, 2: 6.0, 4: 5.0}, 4),
        ({1: 10.0, 2: 5.1, 4: 5.0}, 2),  # two more threads gain 2 %
        ({1: 5.0, 2: 5.0, 4: 100.0}, 1),
    ],
)
def test_the_best_setting_is_not_paid_for_in_threads(medians, best):
    tried = [sweep.SweepSetting(threads, "all") for threads in medians]
    results = [
        SimpleNamespace(
            runs=[SimpleNamespace(name="onnx-int8", processes=(process([int(ms * 1e6)] * 3),))]
        )
        for ms in medians.values()
    ]
    assert sweep.choose_best(results, tried, "onnx-int8") == Recommendation(
        threads=best, cpus="all"
    )


# minutes ----------------------------------------------------------------------------------


def process(samples, conditions=()) -> Process:
    return Process(
        load_ns=1, first_ns=1, samples_ns=tuple(samples), cpu_ns=1, conditions=tuple(conditions)
    )


def at(seconds, temperature, mhz=(1000.0, 2000.0), status="none") -> Condition:
    return Condition(seconds=seconds, temperature_c=temperature, mhz=mhz, thermal_status=status)


def test_minutes():
    second = 10**9
    # 60 samples of 1 s, 40 of 1.5 s; sampling began 5 s before the end minus 120 s.
    samples = [second] * 60 + [second * 3 // 2] * 40
    conditions = [
        at(2.0, 60.0, (9000.0,)),  # of the warm-up
        at(10.0, 30.0),
        at(50.0, 33.0, (1000.0, 1000.0)),
        at(80.0, 41.0, (500.0,), "light"),
        at(125.0, 40.0, (700.0,), "moderate"),
    ]
    one, two = sustained.split_minutes(process(samples, conditions))
    assert (one.number, one.count, one.median, one.p90) == (1, 60, 1000.0, 1000.0)
    assert (one.temperature_c, one.mhz, one.thermal_status) == (33.0, 1500.0, "none")
    assert (two.number, two.count, two.median) == (2, 40, 1500.0)
    assert (two.temperature_c, two.mhz, two.thermal_status) == (41.0, 500.0, "light")
    assert (one.whole, two.whole) == (True, True)


@pytest.mark.parametrize(
    ("seconds", "whole"),
    [(119, [True, True]), (110, [True, False]), (59, [True]), (30, [False]), (121, [True] * 2)],
)
def test_a_part_of_a_minute_is_no_minute(seconds, whole):
    result = sustained.split_minutes(process([10**8] * 10 * seconds))
    assert [one.whole for one in result][: len(whole)] == whole
    assert all(not one.whole for one in result[len(whole) :])  # time between samples is not in them


def test_a_minute_without_a_sample_keeps_its_number():
    samples = [10**9, 150 * 10**9, 10**9]
    assert [one.number for one in sustained.split_minutes(process(samples))] == [1, 3]


@pytest.mark.parametrize(
    ("medians", "rest", "words"),
    [
        ([], [50], "too short to tell whether it throttles: measure 2 whole minutes or more"),
        ([100], [], "too short to tell whether it throttles: measure 2 whole minutes or more"),
        ([100], [200], "too short to tell whether it throttles: measure 2 whole minutes or more"),
        ([100, 100, 109], [], "no throttling in 3 minutes"),
        ([100, 100], [300], "no throttling in 2 minutes"),  # what is left of a minute
        ([100, 100, 110], [], "throttles from minute 3 on, 1.10× the time of the first"),
        ([100, 120, 130, 140], [], "throttles from minute 2 on, 1.20× the time of the first"),
        ([100, 150, 100, 130], [], "throttles from minute 2 on, 1.50× the time of the first"),
        (
            [100, 150, 100, 130, 105, 104],
            [],
            "throttles from minute 2 on, 1.50× the time of the first; "
            "from minute 5 on it keeps its first pace again",
        ),
    ],
)
def test_throttling_in_words(medians, rest, words):
    result = [
        sustained.Minute(number, 1, median, median, None, None, None, number <= len(medians))
        for number, median in enumerate([*medians, *rest], 1)
    ]
    assert sustained.describe_throttling(result) == words


# pairs ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("ratio", "interval", "verdict"),
    [
        (0.9, (0.88, 0.92), "faster"),
        (1.1, (1.05, 1.15), "slower"),
        (1.1, (0.95, 1.25), "not known"),  # it may be a quarter slower
        (1.0, (0.94, 1.04), "not known"),
        (1.0, (0.96, 1.06), "not known"),
        (1.0, (0.95, 1.05), "no difference"),
        (1.02, (0.999, 1.04), "no difference"),
        (1.03, (1.02, 1.04), "slower"),  # within the margin, and certain
        (1.005, (1.001, 1.009), "no difference"),  # real, and too small to matter
        (1.1, None, "not known"),
    ],
)
def test_a_verdict(ratio, interval, verdict):
    ends = None if interval is None else statistics.Interval(*interval)
    row = SimpleNamespace()
    assert paired.PairedComparison(row, row, ratio, ends, 3, None).verdict == verdict


@pytest.mark.parametrize(
    ("verdicts", "bundles", "pairs", "reports"),
    [
        ((1.1, 1.0), "01", 10, "; not known: measure with --pairs 128"),
        ((1.1, 1.0), "00", 10, "; not known: measure with --repeats 128"),
        ((1.0, 1.0), "01", 10, ""),
        ((1.1,), "01", 128, ""),
    ],
)
def test_what_is_not_known_comes_with_what_would_tell(verdicts, bundles, pairs, reports):
    rows = [
        SimpleNamespace(
            bundle=SimpleNamespace(hash=bundle, name="v2"),
            run=SimpleNamespace(name="lite-int8"),
            label="lite static",
        )
        for bundle in bundles
    ]
    result = [
        paired.PairedComparison(
            *rows, ratio, statistics.Interval(0.97, 2 * ratio - 0.97), pairs, None
        )
        for ratio in verdicts
    ]
    assert device_tables.explain_comparisons(result).partition("±5 %")[2] == reports


def test_rows_are_compared_with_the_first_of_their_format():
    def row(format, scale, warm, precision="int8"):
        processes = tuple(process([int(scale * k * 1e6)] * 3, [at(k, warm + k)]) for k in (1, 2, 4))
        key = FLOAT_MODEL if format == "reference" else ArtifactKey(format, precision)
        return SimpleNamespace(run=SimpleNamespace(key=key, processes=processes))

    lite, other, slow = row("lite", 10, 30.0), row("onnx", 20, 30.0), row("lite", 11, 31.5)
    reference = row("reference", 1, 20.0)
    result = paired.compare([reference, lite, other, slow])
    assert [(one.baseline, one.row) for one in result] == [(lite, other), (lite, slow)]
    assert [round(one.ratio, 6) for one in result] == [2.0, 1.1]
    assert [one.verdict for one in result] == ["slower", "slower"]
    assert [one.gap_c for one in result] == [0.0, 1.5]
    assert paired.compare([reference, lite]) == []
    float_lite, again = row("lite", 30, 30.0, "fp32"), row("lite", 33, 30.0, "fp32")
    result = paired.compare([lite, float_lite, other, slow, again])
    assert [(one.baseline, one.row) for one in result] == [
        (lite, float_lite),  # the other precision of the format
        (lite, other),
        (lite, slow),
        (float_lite, again),  # the same file of another bundle comes before its format's first
    ]


# locks ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "owner", "age", "token"),
    [
        ("abc me@here, process 7\n100.5\n\n110.5 9\n", "me@here, process 7", 10.0, "abc"),
        ("abc me@here, process 7\r\n100.5\r\n110.5 9\r\n", "me@here, process 7", 10.0, "abc"),
        ("abc me@here\n200\n110.5 9\n", "me@here", -89.5, "abc"),
        ("abc me@here\n\n110.5 9\n", "nobody", -1.0, None),
        ("100.5\n110.5 9\n", "nobody", -1.0, None),
        ("110.5 9\n", "nobody", -1.0, None),
        ("abc me@here\nx\n110.5 9\n", "nobody", -1.0, None),
        ("", "nobody", -1.0, None),
    ],
)
def test_what_a_lock_says(text, owner, age, token):
    assert locking.parse_held(text) == locking.Held(owner, age, token)


# jobs ------------------------------------------------------------------------------------


def asked(script: str, timeout: float = 20.0, **more: str) -> str:
    """Run a script of kit's here, as a device would."""
    words = ["sh", "-c", f"u=1; {script}"]
    environment = {**os.environ, **more}
    done = subprocess.run(words, env=environment, timeout=timeout, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


def started(folder, ask=asked) -> int:
    command = ["sh", "-c", f"echo run >>{folder}.count"]
    return device_job.start_job(ask, "a-device", str(folder), command, {})


@pytest.mark.slow
def test_a_start_that_was_cut_short_is_made_again(tmp_path):
    """A connection that breaks can end the shell before the job has a session of its own."""
    (tmp_path / "setsid").write_text("#!/bin/sh\n")
    (tmp_path / "setsid").chmod(0o755)
    folder = tmp_path / "job-0"

    def cut_short(script: str, timeout: float = 20.0) -> str:
        return asked(script.replace("sleep 0.1", ":"), PATH=f"{tmp_path}:{os.environ['PATH']}")

    with pytest.raises(AssertionError, match="pid"):
        started(folder, cut_short)
    number = started(folder)
    assert number == started(folder)
    until_over(folder)
    assert (tmp_path / "job-0.count").read_text() == "run\n"


def test_of_two_starts_at_once_one_runs(tmp_path):
    folder = tmp_path / "job-0"
    with ThreadPoolExecutor(8) as pool:
        numbers = set(pool.map(lambda _: started(folder), range(8)))
    until_over(folder)
    assert len(numbers) == 1
    assert (tmp_path / "job-0.count").read_text() == "run\n"


def until_over(folder) -> None:
    end = time.monotonic() + 20
    while not (folder / "rc").exists():
        assert time.monotonic() < end
        time.sleep(0.01)
    assert (folder / "rc").read_text().startswith("0\n")
