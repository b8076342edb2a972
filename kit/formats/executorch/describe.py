"""Describe an ExecuTorch program."""

from __future__ import annotations

from pathlib import Path

from kit.formats.executorch import program
from kit.formats.properties import Description


def describe_file(path: Path) -> Description:
    """Read the program version, the operators and the delegated nodes.

    A node delegated to XNNPACK is listed as ``xnnpack::Conv2d``, a call of a delegate as
    ``executorch_call_delegate``, and everything else by the kernel that the runtime calls.

    Raises:
        BundleError: it is not an ExecuTorch program, or it is damaged.
    """
    contents = program.read(path)
    operators = dict(contents.kernels)
    if contents.calls:
        operators["executorch_call_delegate"] = contents.calls.total()
    for kind, count in contents.delegated.get(program.XNNPACK, {}).items():
        operators[f"xnnpack::{kind}"] = count
    return Description(
        format_version=f"ET12 program {contents.version}",
        operators=dict(sorted(operators.items())),
        # Payloads of other backends cannot be read; their calls are among the operators.
        delegates={
            backend: nodes.total() for backend, nodes in contents.delegated.items() if nodes
        },
        not_delegated=dict(sorted(contents.kernels.items())),
        computed_in_float=_computed_in_float(contents),
    )


def _computed_in_float(contents: program.Contents) -> dict[str, int]:
    """Return XNNPACK's nodes that compute in float, without moves and the final dequantization."""
    moves = {"Convert", "StaticTranspose", "StaticReshape", "StaticSlice", "Concatenate2"}
    return {f"xnnpack::{k}": n for k, n in sorted(contents.floats.items()) if n and k not in moves}
