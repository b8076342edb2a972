"""Lowering to XNNPACK in two fifths of ExecuTorch's own time, to the same bytes.

Most of the stock path repeats work that cannot change the outcome. Each pass over the
graph traces it again with fake tensors, whether the pass matched or not. For
MobileNetV2 three cuts take 18 CPU seconds to 8 (`scripts/bench build`, `docs/speed.md`):

1. XNNPACK's passes: one whose operators do not occur in this graph is left out. The graph
   is examined before each pass, so that operators made by earlier passes count.
2. Provenance: nodes remember what they were made from, and every trace deep-copies that
   ever longer chain. Its records are never changed, so the copies may share them.
3. Decomposition: running the table again over a graph that it was already run over, and
   that has none of its operators left, changes nothing.

All checks that the stock path makes are made. The cuts replace internals of ExecuTorch and
torch for the time of one call. They are written against the versions in `KNOWN`; with any
others, with internals that look different, or if something fails, the stock path is taken.
`tests/test_xnnpack_lowering.py` holds the bytes of both paths equal. Not for threads: a process
lowers one model at a time.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from importlib.metadata import version
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from executorch.backends.xnnpack._passes import XNNPACKPassManager
    from torch.export import ExportedProgram
    from torch.fx import Graph

    # A class or function of ExecuTorch's, whose package has no types, or of torch's.
    Replacement = tuple[object, str, Callable[..., Any]]

KNOWN = {"executorch": "1.5.1", "torch": "2.14.1"}

_BATCH_NORM = {
    "aten.native_batch_norm.default",
    "aten._native_batch_norm_legit_no_training.default",
}
_LINEAR = {"aten.linear.default", "aten.mm.default", "aten.addmm.default", "aten.bmm.default"}
_DIM_ORDER = {
    "dim_order_ops._clone_dim_order.default",
    "dim_order_ops._empty_dim_order.default",
    "dim_order_ops._to_dim_order_copy.default",
}

# XNNPACK's passes in their order, and the operators of which a graph must have at least one
# for the pass to change it. None: it is examined differently (`_EXAMINED`), or always runs.
PASSES: dict[str, set[str] | None] = {
    "XNNPACKRemoveCloneOpsTransform": {"aten.clone.default", *_DIM_ORDER},
    "DimOrderOpsRevertPass": _DIM_ORDER,
    "ConvertToUpsampleBilinear2d": {"aten.upsample_bilinear2d.vec"},
    "ConvertToLinearPass": None,
    "PropagateCustomMetaPass": None,
    "ConvertToSDPAPass": {"aten._softmax.default"},
    "ConstPropPass": None,
    "FuseBatchNormPass": _BATCH_NORM,
    "DecomposeBatchNorm": _BATCH_NORM,
    "FuseActivationPass": {"aten.relu.default", "aten.hardtanh.default"},
    "DecomposeConcatenate": {"aten.cat.default"},
    "RemoveGetItemPass": {"aten.max_pool2d_with_indices.default", "aten.max.dim"},
    "InsertPadQDQPass": {"aten.constant_pad_nd.default"},
    "Conv1dUnsqueezePass": None,
    "PReLUReshapePass": {"aten._prelu_kernel.default"},
    "ChannelsLastTaggedReshapePass": None,
    "RemoveRedundantCopyPass": {"aten._to_copy.default"},
}

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class LoweredProgram:
    """A lowered program.

    Attributes:
        program: content of the `.pte` file.
        path: ``fast``, or ``stock`` for ExecuTorch's own, unchanged.
        reason: why the stock path was taken; empty for the fast one.
    """

    program: bytes
    path: Literal["fast", "stock"]
    reason: str = ""


def lower(program: ExportedProgram) -> LoweredProgram:
    """Lower an exported program to XNNPACK.

    Which path was taken is in the answer; what made it the stock one goes to the log too.

    Raises:
        Exception: ExecuTorch cannot lower the model.
    """
    reason = describe_differences()
    if not reason:
        try:
            with patch_lowering():
                return LoweredProgram(lower_stock(program), "fast")
        except Exception as exc:  # noqa: BLE001 - the stock path decides whether it fails
            reason = f"the fast path failed: {type(exc).__name__}: {exc}"
    _log.warning("lowering to XNNPACK by the stock path, which is slower: %s", reason)
    return LoweredProgram(lower_stock(program), "stock", reason)


def lower_stock(program: ExportedProgram) -> bytes:
    """Lower an exported program as ExecuTorch's documentation says."""
    from executorch.backends.xnnpack.partition.xnnpack_partitioner import XnnpackPartitioner
    from executorch.exir import to_edge_transform_and_lower

    edge = to_edge_transform_and_lower(program, partitioner=[XnnpackPartitioner()])
    return bytes(edge.to_executorch().buffer)


def describe_differences() -> str:
    """Return how the installed internals differ from the expected ones; empty if they do not."""
    for name, expected in KNOWN.items():
        if (installed := version(name).partition("+")[0]) != expected:
            return f"{name} is {installed}, the fast path needs {expected}"
    try:
        replaced = _replacements()
        manager = next(value for _, name, value in replaced if name == "XNNPACKPassManager")
        found_passes = [step.__name__ for step in manager(None).passes]
    except (ImportError, AttributeError, TypeError, KeyError) as exc:
        return f"{type(exc).__name__}: {exc}"
    if found_passes != list(PASSES):
        changed = sorted(set(found_passes).symmetric_difference(PASSES))
        return f"XNNPACK's passes differ: {', '.join(changed) or 'another order'}"
    return ""


@contextmanager
def patch_lowering() -> Iterator[None]:
    """Replace the internals during the block, and restore them however it ends."""
    with ExitStack() as stack:
        for owner, name, value in _replacements():
            stack.enter_context(_replaced(owner, name, value))
        yield


@contextmanager
def _replaced(owner: object, name: str, value: object) -> Iterator[None]:
    before = vars(owner).get(name)  # its own, not what it inherits
    setattr(owner, name, value)
    try:
        yield
    finally:
        if before is None:
            delattr(owner, name)
        else:
            setattr(owner, name, before)


def _replacements() -> list[Replacement]:
    """Return what to put where: owner, attribute, value.

    Raises:
        ImportError, AttributeError, KeyError: an internal is not where it was.
    """
    from executorch.backends.xnnpack import xnnpack_preprocess
    from torch.export import ExportedProgram
    from torch.fx.traceback import NodeSource

    manager = vars(xnnpack_preprocess)["XNNPACKPassManager"]
    decompose = vars(ExportedProgram)["run_decompositions"]
    return [
        (xnnpack_preprocess, "XNNPACKPassManager", _selective(manager)),
        (ExportedProgram, "run_decompositions", _decomposing_once(decompose)),
        (NodeSource, "__deepcopy__", lambda record, memo: record),
    ]


def _selective(stock: type[XNNPACKPassManager]) -> type[XNNPACKPassManager]:
    """Return the pass manager with a `transform` that leaves out what cannot match."""

    class SelectivePassManager(stock):  # type: ignore[misc]  # has no types
        def transform(self) -> ExportedProgram:
            program: ExportedProgram = self.exported_program
            for step in self.passes:
                if may_act(step.__name__, program.graph):
                    program = stock(program, [step]).transform()
            return program

    return SelectivePassManager


def _decomposing_once(stock: Callable[..., ExportedProgram]) -> Callable[..., ExportedProgram]:
    """Return `ExportedProgram.run_decompositions`, idle where it was run and nothing is left.

    The condition is the one under which ExecuTorch itself skips a decomposition for
    partitioners of the newer kind.
    """
    from executorch.exir.graph_module import contains_any_call_fn_target_op

    done: list[ExportedProgram] = []

    def run_decompositions(
        program: ExportedProgram, decomp_table: object = None, **options: object
    ) -> ExportedProgram:
        again = any(program is one for one in done) and decomp_table is not None
        if again and not contains_any_call_fn_target_op(program.graph_module, decomp_table):
            return program
        result: ExportedProgram = stock(program, decomp_table, **options)
        done.append(result)
        return result

    return run_decompositions


def may_act(name: str, graph: Graph) -> bool:
    """Return whether a pass may change a graph; a pass that is not known always may."""
    examine = _EXAMINED.get(name)
    if examine is not None:
        return examine(graph)
    operators = PASSES.get(name)
    return operators is None or not operators.isdisjoint(list_operators(graph))


def list_operators(graph: Graph) -> set[str]:
    """Return the names of the operators that a graph calls."""
    return {node.target.__name__ for node in graph.nodes if node.op == "call_function"}


def _linear_or_dead(graph: Graph) -> bool:
    """ConvertToLinearPass also removes dead nodes."""
    calls = [node for node in graph.nodes if node.op == "call_function"]
    return not _LINEAR.isdisjoint(list_operators(graph)) or any(not node.users for node in calls)


def _custom_meta(graph: Graph) -> bool:
    return any("custom" in node.meta for node in graph.nodes)


def _constant(graph: Graph) -> bool:
    """ConstPropPass computes what depends on no input: attributes, and calls without inputs."""
    return any(
        node.op == "get_attr" or (node.op == "call_function" and not node.all_input_nodes)
        for node in graph.nodes
    )


def _convolution_1d(graph: Graph) -> bool:
    return any(
        getattr(node.target, "__name__", "") == "aten.convolution.default"
        and ("val" not in node.meta or node.meta["val"].dim() != 4)
        for node in graph.nodes
    )


_EXAMINED: dict[str, Callable[[Graph], bool]] = {
    "ConvertToLinearPass": _linear_or_dead,
    "PropagateCustomMetaPass": _custom_meta,
    "ConstPropPass": _constant,
    "Conv1dUnsqueezePass": _convolution_1d,
}
