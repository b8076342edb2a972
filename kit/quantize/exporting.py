"""`torch.export` with short errors that name a place in the user's code."""

from __future__ import annotations

import io
import logging
import re
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr
from typing import TYPE_CHECKING

from kit.error_text import find_origin, find_user_frame, format_message
from kit.errors import BuildError
from kit.varying import BATCH, Varying, explain_fixed, make_shapes

if TYPE_CHECKING:
    from torch import nn
    from torch.fx import GraphModule

    from kit.quantize.examples import Examples


@contextmanager
def translate_errors(model: nn.Module, varying: Varying = ()) -> Iterator[None]:
    """Translate errors of `torch.export`.

    Args:
        model: that is exported.
        varying: dimensions of its inputs that may vary.

    Raises:
        BuildError: names the cause and the place in the user's code.
    """
    before = logging.root.manager.disable
    logging.disable(logging.CRITICAL)  # it also logs and prints whole graphs
    try:
        with redirect_stderr(io.StringIO()):
            yield
    except OSError:
        raise
    except Exception as exc:  # torch.export's errors have no public base
        if varying and isinstance(exc, BuildError):
            raise
        if varying and (fault := explain_fixed(exc, varying)) is not None:
            raise fault from exc
        position = find_origin(exc)
        raise BuildError(
            f"torch.export cannot follow {type(model).__name__}: {_reason(exc)}"
            + (f" ({position})" if position else ""),
            "decisions may depend on shapes, not on values or on the batch size",
        ) from exc
    finally:
        logging.disable(before)


def _reason(exc: Exception) -> str:
    text = format_message(exc)
    if re.search("data-dependent|_local_scalar_dense", text):
        return "its forward decides by the values of its input"
    line = next((line for line in text.splitlines() if line.strip()), type(exc).__name__)
    return line.strip()[:300]


def export_graph(model: nn.Module, examples: Examples) -> tuple[GraphModule, bool]:
    """Return the functional exported graph of a model, with a dynamic batch if it has one.

    The sizes that vary by the examples do so in the graph, too. The graph's output node always
    has a tuple of values; the second value returned is whether the model returns a tensor alone.

    Args:
        model: in eval mode.
        examples: the first one is used.

    Raises:
        BuildError: `torch.export` cannot follow the model.
    """
    import torch

    call, shapes = examples.first(), None
    sizes = tuple(one for one in examples.varying if one.name != BATCH)
    if sizes:
        shapes = make_shapes(len(call), sizes)
    if examples.at_once:
        call = tuple(torch.cat([value] * 2) for value in call)  # one would be specialized
        batch = torch.export.Dim(BATCH, min=1)
        shapes = tuple({0: batch, **dims} for dims in shapes or ({},) * len(call))
    with translate_errors(model, sizes), torch.no_grad():
        exported = torch.export.export(model, call, dynamic_shapes=shapes)
        module: GraphModule = exported.run_decompositions({}).module()
    return module, bool(exported.call_spec.out_spec.is_leaf())


def name_operator(node: object) -> str:
    """Return ``conv2d`` for ``aten.conv2d.default``, and the name of any other function."""
    target = getattr(node, "target", None)
    packet = getattr(target, "overloadpacket", target)
    return str(getattr(packet, "__name__", ""))


def locate_operator(model: nn.Module, examples: Examples, message: str) -> str:
    """Return the operator that a message names and its place in the user's code, if any.

    Args:
        model: the model as the user wrote it.
        examples: of its inputs.
        message: of the error that a format raised.
    """
    try:
        graph, _ = export_graph(model, examples)
    except BuildError:
        return ""
    for node in graph.graph.nodes:
        name = name_operator(node)
        if node.op != "call_function" or not re.search(rf"\baten[.:]+{name}\b", message):
            continue
        trace = re.findall(r'File "([^"]+)", line (\d+)', node.meta.get("stack_trace") or "")
        position = find_user_frame((file, int(line)) for file, line in trace)
        return f"aten.{name}" + (f" ({position})" if position else "")
    return ""
