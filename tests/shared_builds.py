"""Slow builds, made once per session and read by every worker."""

from __future__ import annotations

import fcntl
import os
import shutil
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import kit
from kit import formats, lower, lowering_job, signature, workers
from kit.artifact_key import REFERENCE, ArtifactKey
from kit.bundles import loading, writing
from kit.bundles.bundle import MANIFEST, Bundle
from kit.errors import BuildError, WeightsError
from kit.forks import parent
from kit.formats import isolated
from kit.manifest.schema import Golden, Manifest
from kit.results import store
from kit.results.latency import LatencyResult, Plan
from kit.signature import Samples

SHARED = Path(__file__).parents[2] / "shared" / "data"
# The search for ranges, which the official bundle has, would take half of the time.
_RANDOM = {"weights": "random", "resolution": 96, "observer": "percentile"}
_SEPARABLE = f"{Path(__file__).with_name('small_net.py')}:make_separable"

FAST = Plan(
    name="custom", warmup_runs=1, warmup_seconds=0, runs=20, seconds=0, repeats=2, max_seconds=20
)

Make = Callable[[Path], object]
Once = Callable[[str, Make], Path]


@pytest.fixture(scope="session")
def once(tmp_path_factory: pytest.TempPathFactory) -> Once:
    """Return a function that fills a folder once: the first caller builds, the others wait."""
    root = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        root = root.parent  # which all workers of this session have in common

    def made(name: str, make: Make) -> Path:
        target = root / f"once-{name}"
        with (root / f"once-{name}.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not target.is_dir():
                part = Path(tempfile.mkdtemp(prefix="once-part-", dir=root))
                try:
                    make(part)
                except BaseException:
                    shutil.rmtree(part)
                    raise
                part.rename(target)
        return target

    return made


class Here:
    """Replaces `workers.Pool` by lowering in this process: imports in children are slow."""

    def __init__(self, tasks: Iterable[workers.ChildTask], *_: object) -> None:
        self._tasks = tuple(tasks)

    def __enter__(self) -> Here:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def wait(self, done: Callable[[str], None]) -> dict[str, BuildError]:
        import torch

        quantized, threads = torch.backends.quantized, torch.get_num_threads()
        engine = quantized.engine
        try:
            for task in self._tasks:
                with torch.random.fork_rng():
                    assert lower.main(Path(task.command[-1])) == 0
                done(task.name)
        finally:
            quantized.engine = engine
            torch.set_num_threads(threads)
        return {}


@contextmanager
def lower_here() -> Iterator[None]:
    """Lower in this process while a `with` block runs."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(workers, "Pool", Here)
        patch.setattr(parent, "can_fork", lambda: False)  # else a helper imports for nothing
        yield


@pytest.fixture(scope="module")
def lowered_here() -> Iterator[None]:
    """Lower in this process, for modules that do not test the children of a build."""
    with lower_here():
        yield


class SessionHere(isolated.IsolatedSession):
    """Loads and runs a file in this process: imports in a child take seconds."""

    def __init__(self, key: ArtifactKey, path: Path, threads: int) -> None:
        self.name = key.name
        self._load = cache(lambda: formats.get_format(key.format).load(path, threads))

    def predict(self, samples: Samples) -> tuple[Samples, int]:
        return isolated.predict_rows(self.name, self._load(), samples)


@pytest.fixture
def evaluated_here(monkeypatch: pytest.MonkeyPatch) -> None:
    """Evaluate in this process, for tests that do not cover children."""
    monkeypatch.setattr(
        "kit.accuracy.open_session", lambda *words: nullcontext(SessionHere(*words))
    )


@pytest.fixture
def predicted_here(monkeypatch: pytest.MonkeyPatch) -> None:
    """Run `kit predict` in this process: imports in a child take seconds."""
    monkeypatch.setattr(
        "kit.prediction.open_session", lambda *words: nullcontext(SessionHere(*words))
    )


def negate(job_file: Path) -> None:
    """Change the sign of the answers that a child wrote."""
    job = lowering_job.LoweringJob.model_validate_json(job_file.read_text())
    file = job.shared / lowering_job.RUNTIME.format(name=job.key.name)
    values = signature.load(job.outputs, file)
    negated = tuple(-array for array in values.arrays)
    signature.save(signature.Samples(values.specs, negated), file)


def build_apart(folder: Path, model: str, **fields: object) -> None:
    """Build a model as `bundle` in a folder, independent of the user's cache."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("KIT_CACHE", str(folder / "cache"))
        kit.build(kit.make_recipe(model, **fields), folder / "bundle")


@pytest.fixture(scope="session")
def small_int8(once: Once) -> Bundle:
    """A network of a few layers at 96 px, static int8, in the three formats."""
    folder = once("small", lambda folder: build_apart(folder, _SEPARABLE, **_RANDOM))
    return kit.load_bundle(folder / "bundle")


@pytest.fixture(scope="session")
def random_int8(once: Once) -> Bundle:
    """MobileNetV2 0.35 at 96 px with random weights, static int8, in the three formats."""
    model = {"model": "mobilenet_v2", "width": 0.35, **_RANDOM}
    return kit.load_bundle(once("random", lambda folder: build_apart(folder, **model)) / "bundle")


@pytest.fixture(scope="session")
def official_int8(once: Once) -> Bundle:
    """The official int8 bundle; calibrated with the evaluation pictures if they are present."""
    pictures = SHARED / "imagenet-500.zip"
    given: dict[str, object] = {"calibrate": str(pictures)} if pictures.is_file() else {}
    others = ("litert",) if find_spec("litert_torch") else ()
    given["formats"] = ("lite", "executorch", "onnx", *others)
    try:
        folder = once("official", lambda folder: build_apart(folder, "mobilenet_v2", **given))
    except WeightsError as exc:
        pytest.skip(f"the official weights cannot be fetched here: {exc.message}")
    return kit.load_bundle(folder / "bundle")


@pytest.fixture(scope="session")
def litert_int8(once: Once) -> Bundle:
    """An int8 bundle of an untrained network, LiteRT channels first and channels last."""
    from bundle_samples import SMALL_NET

    def build(folder: Path) -> None:
        labels = folder / "names.txt"
        labels.write_text("\n".join(f"klasse {number} ä" for number in range(7)), encoding="utf-8")
        recipe = kit.make_recipe(
            SMALL_NET,
            resolution=32,
            formats=("litert", "litert/nhwc"),
            observer="percentile",
            corrections="none",
            labels=str(labels),
        )
        with lower_here():
            kit.build(recipe, folder / "bundle", use_cache=False)

    return kit.load_bundle(once("litert", build) / "bundle")


@pytest.fixture(scope="session")
def native_model(once: Once) -> Callable[[str, str], Path]:
    """Return a function: the first blocks of MobileNetV2 as a file, by format and method."""
    from native_samples import export

    def made(name: str, method: str) -> Path:
        folder = once(f"{name}-{method}", lambda folder: export(folder, name, method))
        (file,) = folder.iterdir()
        return file

    return made


def rewrite(
    source: Bundle,
    target: Path,
    files: Mapping[str, np.ndarray | bytes],
    change: Callable[[dict[str, Any]], None] = lambda fields: None,
) -> Bundle:
    """Write a copy of a bundle with changed files and manifest fields, and new hashes."""
    manifest = source.manifest
    fields = {name: getattr(manifest, name) for name in Manifest.model_fields if name != "files"}
    change(fields)
    with writing.stage_bundle(target) as work:
        ignore = shutil.ignore_patterns(MANIFEST)
        shutil.copytree(source.path, work, dirs_exist_ok=True, ignore=ignore)
        for name, content in files.items():
            (work / name).parent.mkdir(parents=True, exist_ok=True)
            if isinstance(content, bytes):
                (work / name).write_bytes(content)
            else:
                np.save(work / name, content)
        writing.write_manifest(work, fields)
    return loading.load_bundle(target)


def make_golden(folder: Path) -> None:
    """Write the bundle `tiny`, with golden inputs and outputs, and `plain`, without."""
    from bundle_samples import answer_images, make, net

    plain = make(folder / "plain", {"lite": net(), "onnx": net()})
    images = np.random.default_rng(3).normal(size=(3, 3, 32, 32))
    actual = {"golden/input.npy": images.astype(np.float32)}
    for name in (REFERENCE, "lite", "onnx"):
        session = formats.get_format(name).load(plain.file(name), 1)
        key = REFERENCE if name == REFERENCE else f"{name}-fp32"
        actual[f"golden/{key}.npy"] = answer_images(session, actual["golden/input.npy"])

    def golden(fields: dict[str, Any]) -> None:
        names = (REFERENCE, "lite-fp32", "onnx-fp32")
        outputs = {name: (f"golden/{name}.npy",) for name in names}
        fields["golden"] = Golden(
            inputs=("golden/input.npy",), images=3, source="noise", outputs=outputs
        )

    rewrite(plain, folder / "tiny", actual, golden)


@pytest.fixture(scope="session")
def tiny_bundle(once: Once) -> Bundle:
    """A float network in Lite and ONNX with golden inputs and outputs, as of `kit build`."""
    return loading.load_bundle(once("tiny", make_golden) / "tiny")


@pytest.fixture(scope="session")
def lite_bundle(tiny_bundle, tmp_path_factory):
    """The tiny bundle with the format versions that `kit build` records."""

    def change(fields) -> None:
        versions = {"lite": "bytecode 8", "onnx": "opset 18, IR 8"}
        fields["artifacts"] = tuple(
            a.model_copy(update={"format_version": versions[a.format]}) for a in fields["artifacts"]
        )

    return rewrite(tiny_bundle, tmp_path_factory.mktemp("app") / "tiny-app", {}, change)


@pytest.fixture(scope="session")
def default_bundle(lite_bundle, tmp_path_factory):
    """The tiny bundle with the three formats of `kit build`; ExecuTorch's file is a placeholder."""

    def change(fields) -> None:
        lite = fields["artifacts"][0]
        new = {"format": "executorch", "file": "model-fp32.pte", "format_version": "0"}
        fields["artifacts"] = (*fields["artifacts"], lite.model_copy(update=new))
        golden = fields["golden"]
        outputs = {**golden.outputs, "executorch-fp32": golden.outputs["lite-fp32"]}
        fields["golden"] = golden.model_copy(update={"outputs": outputs})

    target = tmp_path_factory.mktemp("default") / "tiny-default"
    return rewrite(lite_bundle, target, {"model-fp32.pte": b"program"}, change)


@pytest.fixture(scope="session")
def quantized(tiny_bundle, once: Once) -> Bundle:
    """The tiny bundle under another name, with its ONNX file recorded as quantized."""

    def change(fields) -> None:
        _, onnx = fields["artifacts"]
        update = {"quantize": "static", "precision": "int8"}
        fields["artifacts"] = (onnx.model_copy(update=update),)
        outputs = {"onnx-int8": fields["golden"].outputs["onnx-fp32"]}
        fields["golden"] = fields["golden"].model_copy(update={"outputs": outputs})
        fields["recipe"] = fields["recipe"].model_copy(update={"quantize": "static"})

    made = once("quantized", lambda folder: rewrite(tiny_bundle, folder / "int8", {}, change))
    return loading.load_bundle(made / "int8")


@pytest.fixture(scope="session")
def measured(tiny_bundle, quantized, once: Once) -> tuple[list[LatencyResult], list[str]]:
    """Results of measuring both bundles, and the reported progress."""

    def make(folder: Path) -> None:
        from kit.bench import measure

        labels: list[str] = []
        results = measure.measure_all(
            [tiny_bundle, str(quantized.path)],
            ["onnx"],
            FAST,
            lambda done, total, label: labels.append(f"{done}/{total} {label}"),
            runner="python",  # whether or not a native one was built on this machine
        )
        for number, result in enumerate(results):
            store.write(result, folder / f"{number}.json")
        (folder / "labels").write_text("\n".join(labels))

    folder = once("measured", make)
    results = [store.read(file) for file in sorted(folder.glob("*.json"))]
    assert all(isinstance(result, LatencyResult) for result in results)
    return results, (folder / "labels").read_text().splitlines()


@pytest.fixture(scope="session")
def tensors_bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    """The bundle of the app's own tests: ONNX, six inputs and outputs, no picture."""
    from app_samples import load_program

    folder = tmp_path_factory.mktemp("tensors") / "tensors"
    load_program("tensors").write(folder)
    return loading.load_bundle(folder)
