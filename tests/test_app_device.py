"""The app over adb on a virtual device, which records and runs nothing; see `app_samples`."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path

import pytest
from app_samples import PretendApp, library

from kit import cli, json_outputs
from kit.app import build, contract, job
from kit.report import contexts, model
from kit.results import store

QUICK = ("--quick", "--format", "onnx")


@pytest.fixture
def phone(adb_server, new_device, monkeypatch):
    """A device of the test's own that kit finds by its serial."""
    device = new_device("x86_64")
    adb_server.connect(device.serial)
    monkeypatch.setattr(job, "GONE_SECONDS", 60.0)
    return device


@pytest.fixture
def apk(tmp_path):
    """Write a zip with this library in it, which is no app but travels like one."""

    def make(abi: str = "x86_64", name: str = "app.apk") -> Path:
        file = tmp_path / name
        with zipfile.ZipFile(file, "w") as archive:
            archive.writestr("classes.dex", b"dex")
            archive.write(library(), f"lib/{abi}/libmodel.so")
        return file

    return make


@pytest.fixture
def installed(phone, apk, capsys):
    assert cli.run(["app", "install", str(apk()), "--device", phone.serial]) == 0
    capsys.readouterr()
    return phone


def failing(capsys, *words: str) -> tuple[int, str]:
    code = cli.run(["app", *words])
    return code, capsys.readouterr().err


def test_install_brings_the_file_and_leaves_nothing(phone, apk, capsys):
    file = apk()
    assert cli.run(["app", "install", str(file), "--device", phone.serial]) == 0
    assert f"{phone.serial}: installed {contract.APP_ID}" in capsys.readouterr().out
    assert phone.state.packages() == [contract.APP_ID]
    kept = phone.state.values / "packages" / contract.APP_ID / "base.apk"
    assert kept.read_bytes() == file.read_bytes()
    assert [name for name in phone.files() if "apk" in name or "lock" in name] == []
    (call,) = [c for c in phone.state.calls() if c.program == "pm"]
    assert call.arguments[:3] == ("install", "-r", "-t")


def test_install_takes_the_folder_of_a_build(phone, apk, capsys):
    file = apk(name=build.APK)
    words = ["app", "install", str(file.parent), "--device", phone.serial, "--json"]
    assert cli.run(words) == 0
    text = capsys.readouterr().out
    json_outputs.read_output("app-install", text)
    assert json.loads(text)["devices"][0]["app_id"] == contract.APP_ID
    assert phone.state.packages() == [contract.APP_ID]


def test_install_warns_of_libraries_for_small_pages(phone, apk, capsys):
    phone.state.set(page_size=16384)
    assert cli.run(["app", "install", str(apk()), "--device", phone.serial]) == 0
    output = " ".join(capsys.readouterr().err.split())
    assert "libmodel.so are made for 4096" in output


@pytest.mark.parametrize(
    ("answer", "hint"),
    [
        ("Failure [INSTALL_FAILED_UPDATE_INCOMPATIBLE: other signature]", "kit app uninstall"),
        ("Failure [INSTALL_FAILED_INSUFFICIENT_STORAGE]", "make space"),
        ("Failure [INSTALL_FAILED_USER_RESTRICTED: by policy]", "developer options"),
        ("Failure [SOMETHING_NEW]", "see what it says"),
    ],
)
def test_a_refused_install_says_what_to_do(phone, apk, capsys, answer, hint):
    (phone.state.values / "pm_refuses").write_text(answer + "\n")
    code, output = failing(capsys, "install", str(apk()), "--device", phone.serial)
    assert code == 9
    assert answer in output
    assert hint in output
    assert phone.files() == {}


def test_an_app_for_another_processor_is_not_brought(phone, apk, capsys):
    code, output = failing(capsys, "install", str(apk("arm64-v8a")), "--device", phone.serial)
    assert code == 9
    assert "runs x86_64, and the app is for arm64-v8a" in output
    assert "--abi x86_64" in output
    assert phone.state.packages() == []


def test_what_is_no_apk_is_not_brought(phone, tmp_path, capsys):
    (tmp_path / "x.apk").write_text("no zip")
    for file in ("x.apk", "missing.apk"):
        code, output = failing(capsys, "install", str(tmp_path / file), "--device", phone.serial)
        assert code == 3
        assert file in output


def test_run_starts_the_demo(installed, capsys):
    assert cli.run(["app", "run", "--device", installed.serial, "--json"]) == 0
    json_outputs.read_output("app-run", capsys.readouterr().out)
    starts = [c for c in installed.state.calls() if c.arguments[:1] == ("start",)]
    assert starts[0].arguments == ("start", "-W", "-n", f"{contract.APP_ID}/{contract.DEMO}")


@pytest.mark.parametrize("words", [("run",), ("bench", "{bundle}")])
def test_an_app_that_is_missing_is_named(phone, tiny_bundle, capsys, words):
    words = tuple(word.format(bundle=tiny_bundle.path) for word in words)
    code, output = failing(capsys, *words, "--device", phone.serial)
    assert code == 9
    assert "the app is not on" in output
    assert "kit app install" in output


def test_uninstall_and_clean(installed, capsys):
    assert cli.run(["clean", "--device", installed.serial]) == 0
    assert "kit app uninstall" in capsys.readouterr().err
    assert installed.state.packages() == [contract.APP_ID]
    for words in ("removed", "it was not there"):
        assert cli.run(["app", "uninstall", "--device", installed.serial]) == 0
        assert words in capsys.readouterr().out
    assert installed.state.packages() == []
    assert cli.run(["app", "uninstall", "--device", installed.serial, "--json"]) == 0
    text = capsys.readouterr().out
    json_outputs.read_output("app-uninstall", text)
    assert json.loads(text)["devices"][0]["removed"] is False
    assert cli.run(["clean", "--device", installed.serial]) == 0
    assert "uninstall" not in capsys.readouterr().err
    # One that cannot be cleaned takes nothing from the others.
    assert cli.run(["clean", "--device", f"{installed.serial},none", "--json"]) == 9
    text = capsys.readouterr().out
    json_outputs.read_output("clean", text)
    cleaned, failed = json.loads(text)["devices"]
    assert (cleaned["serial"], cleaned["apps"]) == (installed.serial, [])
    assert (failed["serial"], "error" in failed) == ("none", True)


def test_bench_measures_in_fresh_processes_of_the_app(installed, tiny_bundle, tmp_path, capsys):
    out = tmp_path / "result.json"
    words = [str(tiny_bundle.path), "--device", installed.serial, "--format", "onnx"]
    with PretendApp(installed, tiny_bundle) as app:
        code = cli.run(
            ["app", "bench", *words, "--repeats", "2", "--precision", "50", "-o", str(out)]
        )
        assert code == 0, capsys.readouterr().err
    assert len(app.asked) >= 3  # two processes, and one for memory
    assert len({extras["id"] for extras in app.asked}) == len(app.asked)
    first = app.asked[0]
    assert tuple(first) == tuple(contract.EXTRAS)
    assert (first["bundle"], first["artifact"]) == (tiny_bundle.path.name, "onnx-fp32")
    assert (first["warmup"], first["iters"], first["max_seconds"]) == (10, 100, 60.0)
    result = store.read(out)
    (run,) = result.runs
    assert run.via == "app"
    assert run.device.kind == "virtual"
    assert [len(p.samples_ns) >= 100 for p in run.processes] == [True] * len(run.processes)
    assert all(p.conditions for p in run.processes)
    assert run.golden_max_abs == 0.0
    assert run.peak_rss
    assert run.context.environment == {}
    assert run.context.versions["onnxruntime-android"] == "0"
    am = [c.arguments[0] for c in installed.state.calls() if c.program == "am"]
    assert am[:2] == ["force-stop", "start"]
    assert am[-1] == "force-stop"
    assert [name for name in installed.files() if "runs" in name or "lock" in name] == []


def test_bench_compares_all_outputs_of_a_model_without_pictures(
    installed, tensors_bundle, monkeypatch, capsys
):
    given = (str(tensors_bundle.path), *QUICK, "--device", installed.serial)
    with PretendApp(installed, tensors_bundle):
        assert cli.run(["app", "bench", *given]) == 0, capsys.readouterr().err
    (files,) = tensors_bundle.manifest.golden.outputs.values()
    last = tensors_bundle.read_answers(files, 1).arrays[-1]
    monkeypatch.setattr("app_samples.run", ending(bytes(last.nbytes)))
    with PretendApp(installed, tensors_bundle):
        code, output = failing(capsys, "bench", *given)
    assert code == 6
    assert "golden input 0" in output


def ending(end: bytes):
    """Return a runner whose answers end with these bytes, and are right before."""
    import app_samples

    run = app_samples.run

    def answer(bundle, extras):
        actual, raw = run(bundle, extras)
        return actual, raw[: -len(end)] + end

    return answer


def test_shell_and_app_stand_side_by_side(installed, tiny_bundle, tmp_path):
    out = tmp_path / "app.json"
    words = ["app", "bench", str(tiny_bundle.path), *QUICK, "--device", installed.serial]
    with PretendApp(installed, tiny_bundle):
        assert cli.run([*words, "-o", str(out)]) == 0
    app = store.read(out)
    (run,) = app.runs
    versions = {"kit": run.context.versions["kit"], "onnxruntime": "9.9"}
    environment = {"OMP_NUM_THREADS": "1"}
    context = run.context.model_copy(update={"versions": versions, "environment": environment})
    native = run.model_copy(update={"via": "native", "context": context})
    shell = app.model_copy(update={"runs": (native,)})
    assert len(contexts.group([app, shell])) == 1
    report = model.build([app, shell])
    assert len(report.settings) == 1
    assert sorted(row.label.rpartition(", ")[2] for row in report.rows) == ["app", "native"]


def test_bench_refuses_another_bundle_of_that_name(installed, tiny_bundle, capsys):
    def change(record) -> None:
        record["bundle_hash"] = "0" * 64

    with PretendApp(installed, tiny_bundle, change):
        words = (str(tiny_bundle.path), *QUICK, "--device", installed.serial)
        code, output = failing(capsys, "bench", *words)
    assert code == 6
    assert "the app has another bundle called tiny" in output


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"contract": 1}, "speaks contract 1; this kit speaks 3"),
        ({"result_schema": 7}, "result schema 7"),
        ({"events": "none"}, "cannot be read"),
        (
            {"events": [{"event": "error", "at": "load", "msg": "no such runtime"}]},
            "exit code 3 at load: no such runtime",
        ),
        ({"events": []}, "breaks off"),
        ({"answer": {"file": "x", "sha256": "0" * 64}}, "not the one that its result names"),
    ],
)
def test_what_the_app_says_is_checked(installed, tiny_bundle, capsys, changes, words):
    with PretendApp(installed, tiny_bundle, lambda record: record.update(changes)):
        given = (str(tiny_bundle.path), *QUICK, "--device", installed.serial)
        code, output = failing(capsys, "bench", *given)
    assert code == 6
    assert words in " ".join(output.split())


def test_a_wrong_answer_is_no_result(installed, tiny_bundle, monkeypatch, capsys):
    monkeypatch.setattr("app_samples.run", wrong(tiny_bundle))
    with PretendApp(installed, tiny_bundle):
        given = (str(tiny_bundle.path), *QUICK, "--device", installed.serial)
        code, output = failing(capsys, "bench", *given)
    assert code == 6
    assert "golden input 0" in output


def wrong(bundle):
    import app_samples

    events = app_samples.run

    def answer(bundle, extras):
        actual, raw = events(bundle, extras)
        return actual, bytes(len(raw))

    return answer


def test_leaving_the_screen_is_reported(installed, tiny_bundle, capsys):
    def change(record) -> None:
        record["device"]["left_foreground"] = True

    words = ["app", "bench", str(tiny_bundle.path), *QUICK, "--device", installed.serial, "--json"]
    with PretendApp(installed, tiny_bundle, change):
        assert cli.run(words) == 0
    (row,) = json.loads(capsys.readouterr().out)["results"]
    assert row["notices"][0]["code"] == "app.left-screen"
    assert row["via"] == "app"


def test_a_crash_is_reported_with_the_log(installed, tiny_bundle, monkeypatch, capsys):
    monkeypatch.setattr(job, "GONE_SECONDS", 0.5)
    (installed.state.values / "logcat").write_text("F/libc    (1): Fatal signal 11 (SIGSEGV)\n")
    with PretendApp(installed, tiny_bundle, silent=True):
        given = (str(tiny_bundle.path), *QUICK, "--device", installed.serial)
        code, output = failing(capsys, "bench", *given)
    assert code == 6
    assert f"the app {contract.APP_ID} did not start, and wrote no result" in output
    assert "log: F/libc    (1): Fatal signal 11" in output
    assert "a virtual device runs no apps" in output


def test_a_release_build_cannot_be_measured(installed, tiny_bundle, capsys):
    (installed.state.values / "packages" / contract.APP_ID / "release").touch()
    given = (str(tiny_bundle.path), *QUICK, "--device", installed.serial)
    code, output = failing(capsys, "bench", *given)
    assert code == 9
    assert "not debuggable" in output
    assert "--release" in output


def test_the_reference_does_not_run_in_an_app(installed, tiny_bundle, capsys):
    given = (str(tiny_bundle.path), "--format", "reference", "--device", installed.serial)
    code, output = failing(capsys, "bench", *given)
    assert code == 2
    assert "eager PyTorch" in output
