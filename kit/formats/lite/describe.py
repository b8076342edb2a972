"""Describe a Lite Interpreter file."""

from __future__ import annotations

import re
import zipfile
from collections import Counter
from pathlib import Path

from kit.errors import BundleError
from kit.formats.properties import Description


def describe_file(path: Path) -> Description:
    """Read the bytecode version and the operators from the archive.

    Raises:
        BundleError: it is not a Lite Interpreter file.
    """
    from torch.jit.mobile import (
        _export_operator_list,
        _get_model_bytecode_version,
        _load_for_lite_interpreter,
    )

    try:
        number = _get_model_bytecode_version(str(path))
        names = _export_operator_list(_load_for_lite_interpreter(str(path)))
        counts = _count_calls(path)
    except (RuntimeError, KeyError, zipfile.BadZipFile) as exc:
        raise BundleError(
            f"{path} is not a Lite Interpreter file: {exc}", "build it again"
        ) from exc
    operators = {name: counts.get(name, 1) for name in sorted(names)}
    return Description(format_version=f"bytecode {number}", operators=operators)


def _count_calls(path: Path) -> Counter[str]:
    """Count operator calls in the serialized code, which is text in the archive."""
    calls: Counter[str] = Counter()
    with zipfile.ZipFile(path) as archive:
        for name in archive.namelist():
            if name.endswith(".py"):
                code = archive.read(name).decode()
                calls.update(
                    f"{space}::{op}" for space, op in re.findall(r"\bops\.(\w+)\.(\w+)\(", code)
                )
                calls.update(f"aten::{op}" for op in re.findall(r"\btorch\.(\w+)\(", code))
    return calls
