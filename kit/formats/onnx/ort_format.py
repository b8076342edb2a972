"""ONNX Runtime's own format (`.ort`): a graph that is optimized already, for reduced builds.

https://onnxruntime.ai/docs/performance/model-optimizations/ort-format-models.html - a build of
ONNX Runtime that has only the operators of such files, and no ONNX parser, is a fraction of the
size of a whole one.
"""

from __future__ import annotations

import contextlib
import io
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from kit.error_text import get_first_line
from kit.errors import BuildError
from kit.files import temporary, untrusted
from kit.formats.interface import Backend

if TYPE_CHECKING:
    from torch import Tensor
    from torch.fx import GraphModule


class OrtFormat(Backend):
    """The file that ONNX Runtime's converter makes of an ONNX file, for Arm processors.

    The optimizations are those of ONNX Runtime's CPU kernels, so that other execution providers
    find fused operators which they do not have.
    """

    name = "ort"
    summary = "ONNX Runtime's own format (.ort), for builds that are reduced to its operators"
    flow = "pt2e-u8"
    precisions = ("fp32", "fp16", "int8")
    suffix = ".ort"

    def export(self, model: GraphModule, example: tuple[Tensor, ...], path: Path) -> None:
        """Write an ONNX file and convert it.

        Raises:
            BuildError: torch or ONNX Runtime cannot convert the model.
        """
        from kit.formats.onnx.export import export_model

        with temporary.make_folder() as folder:
            source = folder / "model.onnx"
            export_model(model, example, source)
            convert_file(source, path)


def convert_file(source: Path, target: Path) -> None:
    """Convert an ONNX file with ONNX Runtime's converter, which prints what it does.

    Raises:
        BuildError: ONNX Runtime cannot convert the file.
    """
    from onnxruntime.tools import convert_onnx_models_to_ort as converter

    from kit.formats.onnx.session import prepare_runtime

    prepare_runtime()
    with temporary.make_folder() as folder:
        try:
            with contextlib.redirect_stdout(io.StringIO()), _without_log():
                converter.convert_onnx_models_to_ort(
                    source,
                    output_dir=folder,
                    # The style Runtime fails on quantized models (1.32.0).
                    optimization_styles=[converter.OptimizationStyle.Fixed],
                    # Without blocked layouts, which only some x86 processors have.
                    target_platform="arm",
                )
        except Exception as exc:  # its error classes have no public base
            raise BuildError(
                f"ONNX Runtime cannot convert the model to its own format: {get_first_line(exc)}",
                "use --format onnx",
            ) from exc
        untrusted.copy_contents(folder / f"{source.stem}.ort", target)


@contextlib.contextmanager
def _without_log() -> Iterator[None]:
    """Keep the converter from logging that it is done."""
    before = logging.root.manager.disable
    logging.disable(logging.INFO)
    try:
        yield
    finally:
        logging.disable(before)
