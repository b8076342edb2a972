"""Who may start the benchmark: tried on a virtual device, with the manifest that kit builds.

The APK has the binary manifest and resources of `kit app build`, made by the same code, and no
Java. The device's `pm` and `am` read that manifest from the installed APK and decide as Android
does, by the caller's uid; an app's uid is a real one, of a process in the device's namespaces.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import zipfile

import pytest
from app_samples import PretendApp, library, starts
from virtual_device import confine

from kit import cli
from kit.app import aapt2, compiling, contract, maven, sources
from kit.app.artifacts import RESOURCES
from kit.errors import MissingTool

START = f"am start -W -n {contract.APP_ID}/{contract.BENCH} -a {contract.ACTION} --es id 'run 1'"
APP_UID = 10357
confined = pytest.mark.skipif(bool(os.environ.get(confine.PROOT)), reason="proot has one uid")


def silent(_: str) -> None:
    """Hear nothing of the stages."""


@pytest.fixture(scope="module")
def linked(tmp_path_factory):
    """Link manifests as a build does, each into an APK that an x86-64 device takes."""

    def link(name: str, debug: bool = True, app_id: str = contract.APP_ID):
        work = tmp_path_factory.mktemp(name)
        file = work / "app.apk"
        try:
            (table,) = maven.resolve([RESOURCES], silent)
            shutil.copy(
                compiling.compile_resources(aapt2.find(silent), table, work, app_id, debug), file
            )
        except MissingTool as exc:
            pytest.skip(f"{exc.message}: {exc.hint}")
        with zipfile.ZipFile(file, "a") as target:
            target.writestr("classes.dex", b"dex")
            target.write(library(), "lib/x86_64/libmodel.so")
        return file

    return link


@pytest.fixture(scope="module")
def apk(linked):
    return linked("plain")


@pytest.fixture
def phone(adb_server, new_device, adb):
    device = new_device("x86_64")
    adb_server.connect(device.serial)
    adb.connect(device.serial)
    return device


def install(phone, file) -> None:
    assert cli.run(["app", "install", str(file), "--device", phone.serial]) == 0


def as_user(device, uid: int, line: str) -> subprocess.CompletedProcess[str]:
    """Run a line of shell on a device in a process of its own, as the kernel's user `uid`."""
    supervisor, root = device._supervisor().pid, device._config["root"]
    enter = [shutil.which("nsenter"), f"--target={supervisor}", "--user", "--preserve-credentials"]
    enter += ["--mount", "--pid", "--net", "--ipc", "--uts"]
    become = [shutil.which("unshare"), "--user", f"--map-user={uid}", f"--map-group={uid}"]
    command = [*enter, *become, f"--root={root}", "--wd=/", "/system/bin/sh", "-c", line]
    return subprocess.run(command, env={"PATH": "/system/bin"}, capture_output=True, text=True)


@confined
def test_the_shell_may_start_it_and_an_ordinary_app_may_not(phone, apk, adb):
    install(phone, apk)
    assert adb.shell(phone, "echo $USER_ID").stdout == "2000\n"
    assert adb.shell(phone, START).returncode == 0
    assert [words[-1] for words in starts(phone)] == ["run 1"]

    assert as_user(phone, APP_UID, "echo $USER_ID").stdout == f"{APP_UID}\n"
    refused = as_user(phone, APP_UID, START)
    assert refused.returncode == 255
    assert "java.lang.SecurityException: Permission Denial: starting Intent" in refused.stderr
    assert f"uid={APP_UID}) requires android.permission.DUMP" in refused.stderr
    assert len(starts(phone)) == 1
    results = phone.state.values / "packages" / contract.APP_ID / contract.FILES
    assert not results.exists()

    # What it may start is the launcher's activity, so the refusal is the permission's doing.
    demo = f"am start -n {contract.APP_ID}/{contract.DEMO}"
    assert as_user(phone, APP_UID, demo).returncode == 0
    assert len(starts(phone)) == 2


@confined
def test_root_and_the_app_itself_may_start_it(phone, apk):
    install(phone, apk)
    own = (phone.state.values / "known" / contract.APP_ID / "uid").read_text().strip()
    for uid in (0, int(own)):
        assert as_user(phone, uid, START).returncode == 0
    assert len(starts(phone)) == 2


@confined
def test_without_the_permission_in_the_manifest_an_app_could(phone, linked, monkeypatch):
    """The test above would see a manifest that lost its guard."""
    text = sources.make_manifest(contract.APP_ID)
    guard = f'android:permission="{contract.PERMISSION}"'
    assert text.count(guard) == 1
    monkeypatch.setattr(sources, "make_manifest", lambda _: text.replace(guard, ""))
    install(phone, linked("open"))
    assert as_user(phone, APP_UID, START).returncode == 0
    assert len(starts(phone)) == 1


@confined
def test_an_activity_that_is_not_exported_is_for_the_app_alone(phone, linked, monkeypatch, adb):
    text = sources.make_manifest(contract.APP_ID).replace(
        'android:exported="true"', 'android:exported="false"'
    )
    monkeypatch.setattr(sources, "make_manifest", lambda _: text)
    install(phone, linked("closed"))
    for done in (adb.shell(phone, START), as_user(phone, APP_UID, START)):
        assert done.returncode == 255
        assert "not exported from uid 101" in done.stderr
    assert starts(phone) == []


def test_an_activity_that_the_manifest_lacks_does_not_exist(phone, apk, adb):
    install(phone, apk)
    done = adb.shell(phone, f"am start -n {contract.APP_ID}/.Other")
    assert done.returncode == 1
    assert f"Activity class {{{contract.APP_ID}/.Other}} does not exist" in done.stdout


def test_a_shell_without_the_permission_is_reported_in_a_sentence(phone, apk, tiny_bundle, capsys):
    install(phone, apk)
    (phone.state.values / "shell_lacks").write_text(f"{contract.PERMISSION}\n")
    words = [str(tiny_bundle.path), "--quick", "--format", "onnx", "--device", phone.serial]
    with PretendApp(phone, tiny_bundle) as app:
        assert cli.run(["app", "bench", *words]) == 9
    output = " ".join(capsys.readouterr().err.split())
    assert "does not give the shell the permission android.permission.DUMP" in output
    assert "kit bench --device" in output
    assert "SecurityException" not in output
    assert app.asked == []


def test_a_release_is_known_by_its_manifest(phone, linked, tiny_bundle, capsys):
    install(phone, linked("release", debug=False))
    assert cli.run(["app", "bench", str(tiny_bundle.path), "--device", phone.serial]) == 9
    assert "not debuggable" in capsys.readouterr().err
