"""`kit app test`: the app's own tests with a real bundle, and the phone's own library.

The slow ones need a JDK and Maven, which fetches what it lacks; without them it skips.
"""

from __future__ import annotations

import hashlib
import json
import os
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Timer
from typing import Any

import pytest
from conftest import rewrite
from PIL import Image

from kit import cli
from kit.app import contract, phone, record, sources, testing, tools
from kit.app.lock import hold_maven_lock
from kit.artifact_key import ArtifactKey
from kit.bench import answers
from kit.bundles.bundle import Bundle
from kit.errors import (
    BuildError,
    MissingTool,
    OutputError,
    UsageError,
    VerificationFailed,
)
from kit.runners.protocol import Out, parse
from kit.signature import format_specs

FAILURE = """[INFO] Running org.mobilekit.BundleTest
[ERROR] Tests run: 5, Failures: 1, Errors: 0, Skipped: 0, Time elapsed: 1 s <<< FAILURE! -- in X
[ERROR] org.mobilekit.BundleTest.refusesAnAlteredModel -- Time elapsed: 0.1 s <<< FAILURE!
[ERROR] Tests run: 5, Failures: 1, Errors: 0, Skipped: 0
"""
SUCCESS = "[INFO] Tests run: 5, Failures: 0, Errors: 0, Skipped: 2\n"


@pytest.fixture
def maven(monkeypatch, tmp_path):
    """A Maven that says what a test wants, for what cannot be had from the real one."""
    try:
        tools.read_java_version()
    except MissingTool as exc:
        pytest.skip(f"{exc.message}: {exc.hint}")
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setattr(testing.aapt2, "find", lambda report_status: Path("/aapt2"))

    def says(text: str, code: int) -> None:
        (tmp_path / "said").write_text(text)
        file = tmp_path / "mvn"
        file.write_text(
            f'#!/bin/sh\necho "$@" >{tmp_path}/words\ncat {tmp_path}/said\nexit {code}\n'
        )
        file.chmod(0o755)

    return says


def test_a_failed_test_is_named_and_the_log_kept(maven, tmp_path):
    maven(FAILURE, 1)
    with pytest.raises(VerificationFailed, match=r"1 of 5 tests.*refusesAnAlteredModel") as caught:
        testing.run(None, tmp_path / "out", lambda _: None)
    assert str(tmp_path / "out" / testing.LOG) in caught.value.hint
    assert (tmp_path / "out" / testing.LOG).read_text() == FAILURE


def test_maven_that_breaks_off_or_tests_nothing(maven, tmp_path):
    maven("[ERROR] Could not resolve dependencies\n", 1)
    with pytest.raises(BuildError, match="Could not resolve dependencies"):
        testing.run(None, tmp_path / "out", lambda _: None)
    maven("[INFO] BUILD SUCCESS\n", 0)
    with pytest.raises(BuildError, match="ran no test"):
        testing.run(None, tmp_path / "out", lambda _: None)


def test_without_a_bundle_no_samples_are_given(maven, tmp_path, capsys):
    maven(SUCCESS, 0)
    assert cli.run(["app", "test", "-o", str(tmp_path / "out"), "--json"]) == 0
    actual = json.loads(capsys.readouterr().out)
    assert (actual["run"], actual["failed"], actual["skipped"]) == (5, 0, 2)
    words = (tmp_path / "words").read_text()
    assert f"-Dkit.screenshots={tmp_path}/out/screenshots" in words
    assert "kit.samples" not in words


ALONE = """#!/bin/sh
mkdir {0}/inside || touch {0}/two_at_once
sleep 0.5
rmdir {0}/inside
cat {0}/said
"""


def test_two_at_once_take_turns_and_the_second_says_so(maven, tmp_path, monkeypatch):
    maven(SUCCESS, 0)
    (tmp_path / "mvn").write_text(ALONE.format(tmp_path))
    monkeypatch.setattr(testing.sources, "prepare_project", lambda: tmp_path)
    output: list[str] = []
    with ThreadPoolExecutor(2) as pool:
        actual = list(
            pool.map(lambda name: testing.run(None, tmp_path / name, output.append), ("one", "two"))
        )
    assert [one["run"] for one in actual] == [5, 5]
    assert not (tmp_path / "two_at_once").exists()
    assert output.count(f"waiting for another kit that uses {tmp_path}") == 1


def test_a_kit_that_was_killed_keeps_nobody_waiting(tmp_path):
    holder = (
        "import sys, time; from pathlib import Path; from kit.app.lock import hold_maven_lock\n"
    )
    holder += (
        "with hold_maven_lock(Path(sys.argv[1]), print): print('held', flush=True); time.sleep(60)"
    )
    words = [sys.executable, "-c", holder, str(tmp_path)]
    output: list[str] = []
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        assert process.stdout.readline() == "held\n"
        Timer(0.3, process.kill).start()
        with hold_maven_lock(tmp_path, output.append):
            assert process.wait(10) == -signal.SIGKILL
    assert output == [f"waiting for another kit that uses {tmp_path}"]


def test_a_checkout_that_cannot_be_written_to(tmp_path):
    with (
        pytest.raises(OutputError, match="cannot write to"),
        hold_maven_lock(tmp_path / "none", print),
    ):
        pass


def test_phone_needs_a_bundle_with_lite(quantized, tmp_path, capsys):
    assert cli.run(["app", "test", "--phone", "-o", str(tmp_path)]) == 2
    assert "--bundle" in capsys.readouterr().err
    with pytest.raises(UsageError, match="has no lite file"):
        phone.run(quantized.path, tmp_path, lambda _: None)


def test_phone_takes_one_float_only(tiny_bundle, tmp_path, capsys):
    def change(fields) -> None:
        signature = fields["signature"]
        (spec,) = signature.outputs
        outputs = (spec.model_copy(update={"dtype": "int64"}),)
        fields["signature"] = signature.model_copy(update={"outputs": outputs})

    other = rewrite(tiny_bundle, tmp_path / "int64", {}, change)
    with pytest.raises(UsageError, match=r"gives int64:1,7; the emulator supports one float32"):
        phone.run(other.path, tmp_path, lambda _: None)


def test_the_apps_tests_need_a_classifier(tensors_bundle, tmp_path):
    with pytest.raises(UsageError, match="for the task tensors, and the app's tests"):
        testing.run(tensors_bundle.path, tmp_path, lambda _: None)


def test_another_answer_of_the_phone_is_an_error(tiny_bundle, tmp_path, monkeypatch):
    def wrong(model, shape, inputs, answer, report_status) -> None:
        answer.write_bytes(bytes(4 * 3 * tiny_bundle.manifest.classes))

    monkeypatch.setattr(phone, "emulate_answers", wrong)
    with pytest.raises(VerificationFailed, match="on a phone's processor, lite"):
        phone.run(tiny_bundle.path, tmp_path, lambda _: None)
    monkeypatch.setattr(phone, "emulate_answers", lambda *given: given[3].write_bytes(b"\0" * 8))
    with pytest.raises(VerificationFailed, match="2 numbers instead of"):
        phone.run(tiny_bundle.path, tmp_path, lambda _: None)


def run_app_tests(bundle: Bundle, out: Path, capsys, *options: str) -> dict[str, Any]:
    """Run `kit app test`, which has to pass and to skip nothing; return what it says."""
    try:
        tools.read_java_version()
        tools.find("mvn")
    except MissingTool as exc:
        pytest.skip(f"{exc.message}: {exc.hint}")
    words = ["app", "test", "--bundle", str(bundle.path), "-o", str(out), *options]
    code = cli.run([*words, "--json"])
    output = capsys.readouterr()
    assert code == 0, output.err
    actual = json.loads(output.out)
    assert (actual["failed"], actual["skipped"]) == (0, 0)
    return actual


@pytest.fixture
def real_bundle(request: pytest.FixtureRequest) -> Bundle:
    """The main job's bundle; where its weights cannot be fetched, one of random weights."""
    try:
        bundle: Bundle = request.getfixturevalue("official_int8")
    except pytest.skip.Exception:
        bundle = request.getfixturevalue("random_int8")
    return bundle


@pytest.mark.slow
def test_the_apps_tests_pass_with_a_real_bundle(
    real_bundle, tensors_bundle, tmp_path, capsys, monkeypatch
):
    """All of them, and the phone's own library.

    With random weights, whose answers agree less: the limits are the bundle's own.
    """
    monkeypatch.setattr(phone, "PICTURES", 1)  # each takes five seconds
    actual = run_app_tests(real_bundle, tmp_path, capsys, "--phone")
    assert actual["run"] >= 50
    assert actual["phone_max_abs"] == [0.0]
    for file in actual["screenshots"]:
        with Image.open(file) as picture:
            assert min(picture.size) >= 200, file  # the icon is the smallest
    assert len(actual["screenshots"]) >= 8
    samples = json.loads((tmp_path / "samples" / "expected.json").read_text())
    random = real_bundle.manifest.weights.source.startswith("random")
    assert random or samples["clear"], "the first answer was not compared"
    check_result("bench", real_bundle)
    answer = check_result("tensors", tensors_bundle)
    files = tensors_bundle.manifest.golden.outputs["onnx-fp32"]
    assert (
        answers.check(
            ArtifactKey("onnx", "fp32"), "none", answer, tensors_bundle.read_answers(files, 1)
        )
        == 0
    )


def check_result(name: str, bundle: Bundle) -> bytes:
    """Read a result that the app's tests left, as a phone's is read; return the answer."""
    kept = sources.find_folder() / "target/results"
    result = record.read((kept / f"{name}.json").read_text())
    answer = (kept / name).with_suffix(Path(contract.ANSWER).suffix).read_bytes()
    assert result.answer is not None
    assert hashlib.sha256(answer).hexdigest() == result.answer.sha256
    (out,) = [e for line in result.lines if isinstance(e := parse(line), Out)]
    assert out.tensors == format_specs(bundle.manifest.signature.outputs)
    assert len(answer) == sum(spec.size for spec in bundle.manifest.signature.outputs)
    return answer
