"""`kit run`: all steps in one command, each repeated only if a dependency changed."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from bundle_samples import SMALL_NET, draw_labelled

from kit import cli
from kit.bundles import loading
from kit.commands.build import command as build_command
from kit.commands.run import command, list_next, list_steps
from kit.json_outputs import read_output

FEW = ["--format", "onnx", "--resolution", "32", "--quick"]


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("KIT_CACHE", str(tmp_path / "cache"))


def run(capsys, *words: str) -> tuple[int, dict[str, str], str]:
    """Return the exit code, the outcome of each step, and stderr."""
    code = cli.run(["run", SMALL_NET, *FEW, "--json", *words])
    shown = capsys.readouterr()
    if shown.out:
        read_output("run", shown.out)
    steps = json.loads(shown.out)["steps"] if shown.out else []
    return code, {step["name"]: step["state"] for step in steps}, shown.err


@pytest.mark.slow
@pytest.mark.usefixtures("lowered_here", "evaluated_here")
def test_run_writes_a_report_and_repeats_only_changed_steps(tmp_path, capsys):
    pictures, out = draw_labelled(tmp_path / "pictures"), tmp_path / "out"
    words = ["--images", str(pictures), "-o", str(out)]
    code, steps, err = run(capsys, *words)
    assert code == 0, err
    names = ["build", "accuracy", "processors", "latency here", "report"]
    assert steps == dict.fromkeys(names, "done")
    built = loading.load_bundle(out / "bundle")
    assert [key.name for key in built.manifest.artifact_keys] == ["onnx-fp32", "onnx-int8"]
    page = (out / "report" / "report.html").read_text()
    assert "int8 .onnx" in page
    assert {file.name for file in (out / "results").iterdir()} == {
        *("accuracy.json", "processors.json", "latency.json")
    }
    assert f"kit eval {out / 'bundle'} --images {pictures}" in err

    code, steps, _ = run(capsys, *words)
    assert (code, steps) == (0, {**dict.fromkeys(names, "kept"), "build": "done"})

    (out / "results" / "latency.json").unlink()  # as if it had been interrupted there
    _, steps, _ = run(capsys, *words, "--device", "auto")
    assert steps.pop("latency on the device") == "left out"
    assert [name for name, state in steps.items() if state != "kept"] == [
        *("build", "latency here", "report")
    ]

    next(pictures.rglob("*.png")).touch()
    _, steps, _ = run(capsys, *words)
    assert steps["accuracy"] == "done"
    assert steps["processors"] == "kept"


def test_options_of_the_build_are_passed_on_as_they_are_typed(tmp_path):
    words = ["net.py:make", "--image-size", "160x256", "--mean", "0.5,0.5,0.5", "--std", "1,1,1"]
    words += ["--calibration-images", "8", "--format", "onnx,lite", "--color", "BGR"]
    with command.make_context("run", words) as context:
        options = dict(context.params)
    options.pop("model")
    build, *_ = list_steps("net.py:make", tmp_path, options)
    with build_command.make_context("build", list(build.words[1:])) as context:
        built = context.params
    assert built["resolution"] == (160, 256)
    assert built["mean"] == (0.5, 0.5, 0.5)
    assert (built["calibration_images"], built["formats"], built["color"]) == (
        8,
        "onnx,lite",
        "BGR",
    )


@pytest.mark.parametrize(
    ("words", "ends"),
    [
        ([], ["--precision", "int8"]),
        (["--precision", "fp32,fp16,int8"], ["--precision", "fp16,int8"]),
        (["--precision", "fp32"], ["-o"]),
        (["--quick"], ["host", "-o"]),
    ],
)
def test_emulated_processors_verify_what_is_not_float32(tmp_path, words, ends):
    with command.make_context("run", ["mobilenet_v2", *words]) as context:
        options = dict(context.params)
    _, verify, *_ = list_steps("mobilenet_v2", tmp_path, options)
    assert verify.words[0] == "verify"
    assert ("--precision" in verify.words) == ("--precision" in ends)
    assert [word for word in verify.words if word in ends] == ends


def test_a_failed_build_ends_the_run_and_a_damaged_record_is_named(tmp_path, capsys):
    code, steps, err = run(capsys, "--weights", str(tmp_path / "none.pth"), "-o", str(tmp_path))
    assert (code, steps) == (3, {})
    assert "none.pth" in err
    for text in ("[]", "{", '{"a": 1}'):
        (tmp_path / "run.json").write_text(text)
        code, _, err = run(capsys, "-o", str(tmp_path))
        assert code == 3
        assert f"{tmp_path / 'run.json'} is not the record of a `kit run`" in err


def test_what_comes_next_is_in_columns() -> None:
    lines = list_next(Path("out/a net/bundle"))
    assert len({line.rindex("   ") for line in lines}) == 1
    assert lines[0].startswith("kit predict 'out/a net/bundle' PICTURE   ")
