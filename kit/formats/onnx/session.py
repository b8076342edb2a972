"""Sessions of ONNX Runtime."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from kit.errors import BundleError, RunError
from kit.formats.interface import Output
from kit.formats.onnx import ort_structure, saturation
from kit.signature import Tensors

if TYPE_CHECKING:
    from onnxruntime import InferenceSession


def read_version() -> str:
    """Return the version of ONNX Runtime."""
    import onnxruntime

    return str(onnxruntime.__version__)


class OrtSession:
    """A session of ONNX Runtime."""

    def __init__(self, session: InferenceSession) -> None:
        self._session = session
        self._names = [value.name for value in session.get_inputs()]

    def bind(self, inputs: Tensors) -> Callable[[], Output]:
        """Return a call that runs one inference.

        Raises:
            RunError: the file takes another number of inputs.
        """
        if len(inputs) != len(self._names):
            raise RunError(
                f"the file takes {len(self._names)} inputs, not {len(inputs)}", "build it again"
            )
        feed = {name: value.copy() for name, value in zip(self._names, inputs, strict=True)}
        run = self._session.run
        return lambda: run(None, feed)

    def read(self, output: Output) -> Tensors:
        """Return the outputs in the file's order."""
        return tuple(output)

    def end_profile(self) -> str:
        """Return ONNX Runtime's profile, for a session loaded with `profile`."""
        return str(self._session.end_profiling())


def prepare_runtime() -> None:
    """Import ONNX Runtime and test its kernels; threads are set when a file is opened."""
    # Disables the telemetry of its wheels.
    os.environ["ORT_DISABLE_TELEMETRY"] = "1"
    saturation.saturates()


def load_session(path: Path, threads: int, profile: Path | None = None) -> OrtSession:
    """Open the file with `threads` intra-op threads that do not spin between runs.

    With `profile`, ONNX Runtime records the time of each operator in a file next to it.

    Raises:
        BundleError: ONNX Runtime refuses the file.
    """
    return OrtSession(_session(path, threads, profile=profile))


def load_float_session(path: Path, threads: int) -> OrtSession:
    """Open the file to compute its QDQ graph in float, node by node.

    It is slow, but does not use the kernels and fusions that differ between processors: it is
    the file's exact meaning.

    Raises:
        BundleError: ONNX Runtime refuses the file.
    """
    return OrtSession(_session(path, threads, optimize=False))


def optimize_file(path: Path, target: Path) -> None:
    """Write the optimized graph that ONNX Runtime runs on this machine for a file.

    Raises:
        BundleError: ONNX Runtime refuses the file.
    """
    _session(path, threads=1, optimized=target)


def _session(
    path: Path,
    threads: int,
    optimized: Path | None = None,
    profile: Path | None = None,
    optimize: bool = True,
) -> InferenceSession:
    """Open a file; ONNX Runtime writes its optimized graph to `optimized`.

    Raises:
        BundleError: ONNX Runtime refuses the file.
        RunError: it is int8 in ONNX Runtime's own format, and this processor's kernels saturate.
    """
    prepare_runtime()
    import onnxruntime as ort

    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.log_severity_level = 4  # errors are raised, and a machine-specific graph is intended
    if not optimize:
        options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    elif saturation.saturates():
        if ort_structure.is_quantized(path):
            raise RunError(
                f"{path} cannot be run exactly on this processor, whose int8 kernels saturate: "
                "ONNX Runtime converts no weights of a file in its own format",
                "use --format onnx here; Arm processors, and x86 with VNNI, run it exactly",
            )
        options.add_session_config_entry(*saturation.SETTING)
    if optimized is not None:
        options.optimized_model_filepath = str(optimized)
    if profile is not None:
        options.enable_profiling = True
        options.profile_file_prefix = f"{profile}.part"  # it appends a timestamp
    try:
        session = ort.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    except Exception as exc:  # its error classes have no public base
        if saturation.REFUSAL in str(exc):
            raise BundleError(
                f"{path} cannot be run exactly on this processor, whose int8 kernels saturate: "
                "an older kit made it",
                "build it again, or use a processor with VNNI",
            ) from exc
        raise BundleError(f"ONNX Runtime cannot load {path}: {exc}", "build it again") from exc
    return session
