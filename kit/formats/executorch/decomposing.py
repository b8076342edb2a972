"""Operators that XNNPACK's lowering fails on, or leaves outside, in forms that it takes.

PReLU of a vector: XNNPACK's pass for channels-last layouts converts the input of any PReLU, and
fails on one that is no picture. Attention without a mask: ExecuTorch's own decomposition guards the
softmax against rows that are masked as a whole, with seven operators of which XNNPACK takes none;
without a mask there is no such row.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor
    from torch.export import ExportedProgram
    from torch.fx import Node

_PICTURE_DIMS = 4


def decompose(program: ExportedProgram) -> ExportedProgram:
    """Return a program with these operators decomposed; the program itself if it has none."""
    import torch

    aten = torch.ops.aten
    table = {
        aten.prelu.default: _decompose_prelu,
        aten.scaled_dot_product_attention.default: _decompose_attention,
    }
    targets = {n.target for n in program.graph.nodes if n.target in table and _must_change(n)}
    if not targets:
        return program
    chosen = {op: function for op, function in table.items() if op in targets}
    decomposed: ExportedProgram = program.run_decompositions(chosen)
    return decomposed


def _must_change(node: Node) -> bool:
    import torch

    if node.target is torch.ops.aten.prelu.default:
        return int(node.args[0].meta["val"].dim()) != _PICTURE_DIMS  # type: ignore[union-attr]
    return not _is_masked(*node.args[3:], **node.kwargs)


def _is_masked(
    attn_mask: object = None, dropout_p: object = 0.0, is_causal: object = False, **rest: object
) -> bool:
    return attn_mask is not None or bool(is_causal) or bool(rest.get("enable_gqa"))


def _leave() -> Tensor:
    """Return what tells torch that an operator is not decomposed here."""
    value: Tensor = NotImplemented
    return value


def _decompose_prelu(value: Tensor, slopes: Tensor) -> Tensor:
    if value.dim() == _PICTURE_DIMS:
        return _leave()
    channels = slopes.reshape(-1, *[1] * (value.dim() - 2)) if value.dim() > 1 else slopes
    return value.relu() - channels * (-value).relu()


def _decompose_attention(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attn_mask: Tensor | None = None,
    dropout_p: float = 0.0,
    is_causal: bool = False,
    *,
    scale: float | None = None,
    enable_gqa: bool = False,
) -> Tensor:
    if _is_masked(attn_mask, dropout_p, is_causal, enable_gqa=enable_gqa):
        return _leave()
    factor = query.shape[-1] ** -0.5 if scale is None else scale
    scores = (query * factor) @ key.transpose(-1, -2)
    return scores.softmax(-1) @ value
