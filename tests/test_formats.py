"""Every registered format keeps the contract of `kit.formats.interface`.

The tests do not name formats: one that is added, by a folder or by a plug-in, is tested.
"""

from __future__ import annotations

import re
import subprocess
import sys
from collections import Counter
from importlib.metadata import PackageNotFoundError, version

import numpy as np
import pytest
from bundle_samples import SMALL_NET, answer_images, draw_labelled
from conftest import FAST

import kit
from kit import cache, formats
from kit.artifact_key import REFERENCE, ArtifactKey
from kit.bench.measure import measure_all
from kit.errors import BundleError, RunError
from kit.formats.interface import Format
from kit.report import write as report


def find_missing(name: str) -> str | None:
    """Return a package of a format that is not installed: some are extras."""
    for package in formats.get_format(name).packages:
        try:
            version(package)
        except PackageNotFoundError:
            return package
    return None


INSTALLED = tuple(name for name in formats.list_formats() if find_missing(name) is None)
RUN = tuple(name for name in INSTALLED if formats.get_format(name).runs_here)
NAMES = [
    pytest.param(
        name, marks=pytest.mark.skipif(name not in INSTALLED, reason=f"{name}'s extra is missing")
    )
    for name in formats.list_formats()
]
EVERY = (*NAMES, REFERENCE)


@pytest.fixture(scope="module")
def built(lowered_here, tmp_path_factory):
    """Return an int8 bundle of an untrained network in every format."""
    recipe = kit.make_recipe(
        SMALL_NET,
        resolution=32,
        formats=INSTALLED,
        observer="percentile",
        corrections="none",
    )
    return kit.build(recipe, tmp_path_factory.mktemp("formats") / "every", use_cache=False)


@pytest.mark.parametrize("name", EVERY)
def test_it_is_what_the_registry_says(name):
    format_ = formats.get_format(name)
    assert isinstance(format_, Format)
    assert format_.name == name
    assert re.fullmatch(r"\.[a-z0-9]+", format_.suffix)
    assert format_.summary
    assert not format_.summary.endswith(".")
    assert version(format_.runtime)
    assert set(format_.packages) <= set(formats.list_packages([] if name == REFERENCE else [name]))


def name_file(name: str) -> str:
    """Return the name of a format's float file."""
    return formats.get_format(name).name_file(ArtifactKey(name, "fp32"))


@pytest.mark.parametrize("name", [n for n in formats.list_formats() if formats.get_format(n).ended])
def test_an_ended_format_names_one_that_has_not_ended(name):
    ended = formats.get_format(name).ended
    assert not ended.reason.endswith(".")
    assert formats.get_format(ended.successor).ended is None


def test_no_two_files_of_a_bundle_have_one_name():
    names = Counter(name_file(name) for name in (*formats.list_formats(), REFERENCE))
    assert names.most_common(1)[0][1] == 1


@pytest.mark.parametrize("name", EVERY)
def test_a_file_of_something_else_is_refused_in_one_sentence(name, tmp_path):
    format_ = formats.get_format(name)
    other = tmp_path / name_file(name)
    for content in (b"", b"no model", bytes(range(256)) * 8):
        other.write_bytes(content)
        for use in (format_.describe, lambda path: format_.load(path, 1)):
            with pytest.raises(BundleError) as caught:
                use(other)
            assert str(other) in caught.value.message
            assert "\n" not in caught.value.message


def test_naming_formats_imports_no_runtime():
    code = (
        "import sys; from kit import formats;"
        "print([formats.get_format(n).summary for n in (*formats.list_formats(), 'reference')]);"
        "assert not {'torch', 'onnx', 'onnxruntime', 'executorch'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_a_built_file_computes_its_golden_answers(name, built):
    artifact = built.manifest.artifact(name)
    format_ = formats.get_format(name)
    assert artifact.file == format_.name_file(artifact.key)
    assert artifact.runtime.name == format_.runtime
    assert artifact.runtime.version == format_.read_version()
    described = format_.describe(built.file(name))
    assert described.operators == artifact.operators
    assert sum(described.operators.values()) >= 5
    assert format_.reads is None or format_.reads.includes(artifact.format_version)
    assert artifact.executed == format_.runs_here
    if not format_.runs_here:
        with pytest.raises(RunError, match="cannot be run here"):
            format_.load(built.file(name), 1)
        return
    inputs = np.load(built.path / "golden" / "input.npy")
    answers = answer_images(format_.load(built.file(name), 1), inputs)
    assert answers.dtype == np.float32
    golden = np.load(built.path / "golden" / f"{artifact.name}.npy")
    np.testing.assert_allclose(answers, golden, atol=1e-5)
    in_float = format_.load_float(built.file(name), 1)
    if in_float is not None:
        assert answer_images(in_float, inputs).shape == answers.shape


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_the_structure_of_a_built_file_can_be_shown(name, built):
    key = ArtifactKey(name, "int8")
    structure = formats.get_format(name).read_structure(built.file(key.name))
    if structure is None:
        pytest.skip(f"{name} does not say what is in its files")
    assert structure.metadata
    assert structure.code or any(graph.nodes for graph in structure.graphs)
    file = built.file(key.name)
    assert [one for one in INSTALLED if formats.get_format(one).recognizes(file)] == [name]


@pytest.mark.slow
def test_the_reference_is_the_float_network(built):
    answers = answer_images(
        formats.get_reference().load(built.file(REFERENCE), 1),
        np.load(built.path / "golden" / "input.npy"),
    )
    golden = np.load(built.path / "golden" / "reference.npy")
    np.testing.assert_allclose(answers, golden, atol=1e-4)
    described = formats.get_reference().describe(built.file(REFERENCE))
    assert described.operators["aten.conv2d.default"] == 3


@pytest.mark.slow
def test_every_format_is_measured_evaluated_and_reported(built, tmp_path):
    once = FAST.model_copy(update={"repeats": 1, "memory": False})
    every = (*RUN, REFERENCE)
    (measured,) = measure_all([built], every, once, runner="python")
    assert {run.format for run in measured.runs} == set(every)
    scored = kit.evaluate(built, draw_labelled(tmp_path / "pictures"), limit=2)
    assert {row.format for row in scored.rows} == set(every)
    text = report.write([measured, scored], tmp_path / "page").markdown.read_text()
    for name in INSTALLED:
        assert f"int8 {formats.get_format(name).suffix}" in text


@pytest.mark.slow
def test_the_cache_key_knows_what_shapes_the_files(built):
    tools = cache.read_tool_versions(built.manifest.recipe)
    assert built.manifest.tools == tools
    for name in INSTALLED:
        for package in formats.get_format(name).packages:
            assert tools[package] == version(package)
