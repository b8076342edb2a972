"""Describe a Lite Interpreter file."""

from __future__ import annotations

import zipfile
from pathlib import Path

from kit.errors import BundleError
from kit.formats.lite.bytecode import MALFORMED, count_operators
from kit.formats.properties import Description
from kit.formats.torchscript.engine import QNNPACK, use_engine


def describe_file(path: Path) -> Description:
    """Read the bytecode version and the operators from the archive.

    Raises:
        BundleError: it is not a Lite Interpreter file.
    """
    from torch.jit.mobile import _get_model_bytecode_version, _load_for_lite_interpreter

    try:
        number = _get_model_bytecode_version(str(path))
        with use_engine(QNNPACK):  # which its packed weights are for
            _load_for_lite_interpreter(str(path))  # says what is wrong with a damaged file
        operators = count_operators(path)
    except (RuntimeError, zipfile.BadZipFile, *MALFORMED) as exc:
        raise BundleError(
            f"{path} is not a Lite Interpreter file: {exc}", "build it again"
        ) from exc
    return Description(
        format_version=f"bytecode {number}", operators=dict(sorted(operators.items()))
    )
