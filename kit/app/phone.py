"""Run a phone's library on this machine: the Lite runtime for arm64, emulated by unidbg.

The real `libpytorch_jni_lite.so` of the Android archive runs a bundle's model on its golden
pictures, and must give the bundle's answers. This tests the library and the file, not ART,
and its times are meaningless. Maven downloads unidbg for this test; it is never packed.
"""

from __future__ import annotations

from pathlib import Path

from kit.app import sources, tools
from kit.app.lock import hold_maven_lock
from kit.bench import answers
from kit.bundles import loading
from kit.bundles.bundle import Bundle
from kit.errors import BuildError, OutputError, RunError, UsageError, VerificationFailed
from kit.manifest.artifacts import Artifact
from kit.progress import ReportStatus
from kit.signature import Samples, Signature, format_specs

FORMAT = "lite"
PICTURES = 3
_LIBRARIES = "target/aar/jni/arm64-v8a"
_MAIN = "org.mobilekit.phone.PhoneRun"


def run(path: Path, out: Path, report_status: ReportStatus) -> list[float]:
    """Run golden inputs; return the largest difference of a number for each.

    Args:
        path: a bundle with Lite files; the first is run.
        out: folder for inputs and answers, raw little-endian float32.
        report_status: callback; takes the current step.

    Raises:
        BundleError: it is no bundle, or has no golden pictures.
        UsageError: it has no Lite file, or not one float32 input and one float32 output.
        MissingTool: no JDK or no Maven.
        BuildError: the emulator cannot be built, or failed.
        VerificationFailed: the phone's library gives other answers.
        OutputError: the folder cannot be written to.
    """
    bundle = loading.load_bundle(path)
    manifest = bundle.manifest
    artifact = find_artifact(bundle)
    images, expected = answers.load(bundle, artifact.name, PICTURES)
    inputs = [out.resolve() / f"input-{number}.f32" for number in range(len(images))]
    answer = out.resolve() / "answers.f32"
    try:
        out.mkdir(parents=True, exist_ok=True)
        for number, file in enumerate(inputs):
            file.write_bytes(images.take([number]).pack())
    except OSError as exc:
        raise OutputError(f"cannot write to {out}: {exc.strerror}", "choose another -o") from exc
    model = bundle.file(artifact.name).resolve()
    emulate_answers(model, manifest.signature.inputs[0].shape, inputs, answer, report_status)
    return _compare(answer, artifact, expected)


def find_artifact(bundle: Bundle) -> Artifact:
    """Return the file of a bundle that is run.

    Raises:
        UsageError: it has no Lite file, or not one float32 input and one float32 output.
    """
    manifest = bundle.manifest
    if FORMAT not in [key.format for key in manifest.artifact_keys]:
        raise UsageError(f"{bundle.path} has no {FORMAT} file", "build it with --format lite")
    _check_signature(bundle.path, manifest.signature)
    return manifest.artifact(manifest.select([FORMAT])[0].name)


def _check_signature(path: Path, signature: Signature) -> None:
    """Check that the emulated Java side supports a model's tensors."""
    dtypes = [[spec.dtype for spec in specs] for specs in (signature.inputs, signature.outputs)]
    if dtypes != [["float32"], ["float32"]]:
        raise UsageError(
            f"{path} takes {format_specs(signature.inputs)} and gives "
            f"{format_specs(signature.outputs)}; the emulator supports one float32 input and one "
            "float32 output",
            "leave --phone out",
        )


def emulate_answers(
    model: Path,
    shape: tuple[int, ...],
    inputs: list[Path],
    answer: Path,
    report_status: ReportStatus,
) -> None:
    """Write the answers that the phone would give, computed on an emulated arm64.

    Args:
        model: an ONNX file.
        shape: of the answers.
        inputs: files of raw float32.
        answer: file to write, raw float32.
        report_status: callback; takes each step that takes long.
    """
    folder = sources.prepare_project() / "phone"
    tools.read_java_version()
    with hold_maven_lock(folder, report_status):
        _build_and_run(
            folder, [str(model), ",".join(map(str, shape))], inputs, answer, report_status
        )


def _build_and_run(
    folder: Path, about: list[str], inputs: list[Path], answer: Path, report_status: ReportStatus
) -> None:
    report_status("preparing the emulator (Maven)")
    tools.run(
        [tools.find("mvn"), "-B", "-ntp", "-q", "-f", f"{folder}/pom.xml", "process-classes"],
        "Maven",
        tools.list_maven_variables(),
    )
    listed = (folder / "target/classpath.txt").read_text(encoding="utf-8").strip()
    report_status("running the phone's library; it takes half a minute")
    answer.unlink(missing_ok=True)
    words = [tools.find("java"), *tools.JVM, "-cp", f"{folder}/target/classes:{listed}", _MAIN]
    words += [str(folder / _LIBRARIES), *about, str(answer), *map(str, inputs)]
    output = tools.run(words, "the emulator", folder=folder)
    if not answer.is_file():
        raise BuildError(
            f"the emulator wrote no answer: {' '.join(output.split())[-200:]}", "please report it"
        )


def _compare(answer: Path, artifact: Artifact, expected: Samples) -> list[float]:
    content = answer.read_bytes()
    size = sum(spec.size for spec in expected.specs)
    if len(content) != size * len(expected):
        raise VerificationFailed(
            f"the phone's library gave {len(content) // 4} numbers instead of "
            f"{size * len(expected) // 4}",
            "the model is of another shape than its bundle says: build it again",
        )
    parts = [content[size * i : size * (i + 1)] for i in range(len(expected))]
    try:
        return [
            answers.check(artifact.key, artifact.quantize, part, expected.take([i]))
            for i, part in enumerate(parts)
        ]
    except RunError as exc:
        raise VerificationFailed(
            f"on a phone's processor, {exc.message}", "look at the model with kit analyze"
        ) from exc
