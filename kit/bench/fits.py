"""Whether a runtime can read a file, told before anything is pushed."""

from __future__ import annotations

import re
from collections.abc import Sequence

from kit.bench.targets import names_of
from kit.bundle import REFERENCE, Bundle
from kit.errors import BundleError

# The versions of the Lite Interpreter's bytecode that torch 1.12 to 2.14 read.
# https://github.com/pytorch/pytorch, caffe2/serialize/versions.h
BYTECODES = range(4, 10)
PROGRAM = "ET12"  # the schema of ExecuTorch's programs since 0.1
_LITE, _EXECUTORCH = re.compile(r"bytecode (\d+)"), re.compile(r"(ET\d+)")


def check(loaded: Sequence[Bundle], formats: Sequence[str] | None) -> None:
    """Compare the version of each file that is to be measured with what its runtime reads.

    ONNX Runtime reads every opset up to its own and says so itself where one is newer.

    Raises:
        BundleError: a file is of a version that its runtime does not read.
    """
    for bundle in loaded:
        for name in names_of(bundle, formats):
            if name != REFERENCE:
                _check(bundle, name, bundle.manifest.artifact(name).format_version)


def _check(bundle: Bundle, name: str, version: str) -> None:
    if name == "lite" and (found := _LITE.match(version)) and int(found[1]) not in BYTECODES:
        raise _unread(bundle, name, version, f"bytecode {BYTECODES[0]} to {BYTECODES[-1]}")
    if name == "executorch" and (found := _EXECUTORCH.match(version)) and found[1] != PROGRAM:
        raise _unread(bundle, name, version, PROGRAM)


def _unread(bundle: Bundle, name: str, version: str, reads: str) -> BundleError:
    return BundleError(
        f"{name} in {bundle.path} is of the version {version}; its runtime reads {reads}",
        "build the bundle with the versions that kit pins",
    )
