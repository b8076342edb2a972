"""Two apps of kit on one device: their ids, and formats of both measured in turns.

The APKs have the binary manifests that kit builds, and the names of the files of a real one; the
device records and runs nothing, see `app_samples`.
"""

from __future__ import annotations

import shutil
import zipfile
from pathlib import Path

import pytest
from app_samples import PretendApp, library, starts

from kit import cli
from kit.app import aapt2, compiling, contract, device, job, maven
from kit.app.artifacts import RESOURCES
from kit.errors import MissingTool
from kit.results import store

SECOND = f"{contract.APP_ID}.lite"


def silent(_: str) -> None:
    """Hear nothing of the stages."""


@pytest.fixture(scope="module")
def apks(tmp_path_factory, tiny_bundle):
    """An app with ONNX, and one with Lite under another id, both with the tiny bundle."""
    actual = {}
    for app_id, model in ((contract.APP_ID, "model-fp32.onnx"), (SECOND, "model-fp32.ptl")):
        work = tmp_path_factory.mktemp("app")
        try:
            (table,) = maven.resolve([RESOURCES], silent)
            linked = compiling.compile_resources(aapt2.find(silent), table, work, app_id, True)
        except MissingTool as exc:
            pytest.skip(f"{exc.message}: {exc.hint}")
        actual[app_id] = Path(shutil.copy(linked, work / "app.apk"))
        with zipfile.ZipFile(actual[app_id], "a") as target:
            target.write(library(), "lib/x86_64/libmodel.so")
            target.writestr(f"assets/bundles/{tiny_bundle.path.name}/{model}", b"model")
    return actual


@pytest.fixture
def phone(adb_server, new_device, apks, monkeypatch, capsys):
    """A device with both apps."""
    phone = new_device("x86_64")
    adb_server.connect(phone.serial)
    monkeypatch.setattr(job, "GONE_SECONDS", 60.0)
    for app_id, file in apks.items():
        assert cli.run(["app", "install", str(file), "--device", phone.serial]) == 0
        assert f"{phone.serial}: installed {app_id}" in capsys.readouterr().out
    return phone


def run(phone, *words: str) -> int:
    return cli.run(["app", *words, "--device", phone.serial])


def test_both_are_there_and_each_is_meant_by_its_id(phone, capsys):
    assert sorted(phone.state.packages()) == [contract.APP_ID, SECOND]
    assert run(phone, "run", "--app-id", SECOND) == 0
    assert [words[-1] for words in starts(phone, SECOND)] == [f"{SECOND}/{contract.DEMO}"]
    assert starts(phone) == []
    assert cli.run(["clean", "--device", phone.serial]) == 0
    output = capsys.readouterr().err
    assert "kit app uninstall removes it" in output
    assert f"kit app uninstall --app-id {SECOND} removes it" in output
    assert run(phone, "uninstall", "--app-id", SECOND) == 0
    assert phone.state.packages() == [contract.APP_ID]


def test_an_id_that_is_not_there_is_named_with_those_that_are(phone, capsys):
    for words, code in ((("run", "--app-id", "org.example.no"), 9), (("run", "--app-id", "no"), 2)):
        assert run(phone, *words) == code
    output = " ".join(capsys.readouterr().err.split())
    assert "the app org.example.no is not on" in output
    assert f"--app-id with {contract.APP_ID} or {SECOND}" in output
    assert "'no' cannot be the id of an app" in output


def test_formats_of_two_apps_take_turns(phone, tiny_bundle, tmp_path):
    out = tmp_path / "result.json"
    words = ["bench", str(tiny_bundle.path), "--app-id", f"{contract.APP_ID},{SECOND}"]
    words += ["--repeats", "2", "--precision", "50", "-o", str(out)]
    with (
        PretendApp(phone, tiny_bundle) as first,
        PretendApp(phone, tiny_bundle, app_id=SECOND) as second,
    ):
        assert run(phone, *words) == 0
    assert {extras["artifact"] for extras in first.asked} == {"onnx-fp32"}
    assert {extras["artifact"] for extras in second.asked} == {"lite-fp32"}
    am = [c.arguments for c in phone.state.calls() if c.program == "am"]
    started = [words[3].partition("/")[0] for words in am if words[0] == "start"]
    assert started[:4] in (
        [contract.APP_ID, SECOND, SECOND, contract.APP_ID],
        [SECOND, contract.APP_ID, contract.APP_ID, SECOND],
        [contract.APP_ID, SECOND] * 2,
        [SECOND, contract.APP_ID] * 2,
    )
    assert {app for name, app in am[-2:] if name == "force-stop"} == {contract.APP_ID, SECOND}
    assert sorted(one.format for one in store.read(out).runs) == ["lite", "onnx"]


def test_formats_that_the_app_lacks_are_left_out_and_reported(phone, tiny_bundle, capsys):
    """The default of `kit app bench` fits what the default of `kit app build` packs."""
    with PretendApp(phone, tiny_bundle) as app:
        assert run(phone, "bench", str(tiny_bundle.path), "--quick") == 0
    assert {extras["artifact"] for extras in app.asked} == {"onnx-fp32"}
    output = " ".join("".join(capsys.readouterr()).split())
    assert f"lite-fp32 was not measured, because {contract.APP_ID} does not have it" in output
    assert [name for name in phone.files() if "tail" in name] == []


def test_an_app_whose_apk_cannot_be_read_is_asked_for_all(phone, tiny_bundle, monkeypatch):
    monkeypatch.setattr("kit.app.contents.MAX_TAIL_BYTES", 10)  # no zip ends in so little
    with PretendApp(phone, tiny_bundle) as app:
        assert run(phone, "bench", str(tiny_bundle.path), "--quick") == 0
    assert {extras["artifact"] for extras in app.asked} == {"onnx-fp32", "lite-fp32"}


def test_apps_are_listed_by_their_names(phone, apks):
    from kit.devices import selection

    transport = selection.open_transport(phone.serial)
    assert device.list_apps(transport) == [contract.APP_ID, SECOND]
    assert device.find_apk(transport, "org.example.no") is None
