"""Padding of transposed convolutions, as a crop of their outputs.

LiteRT's TRANSPOSE_CONV has the paddings SAME and VALID only, and its converter refuses others, such
as the kernel of 3 with stride 2 and padding 1 that decoders often have. The padding of a transposed
convolution removes that many values from each side of its output, so one without padding and a
slice compute the same.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch.fx import GraphModule


# Of input, weight, bias, stride, padding and output_padding.
_DEFAULTS = (None, None, None, (1, 1), (0, 0), (0, 0))


def crop_outputs(graph: GraphModule) -> None:
    """Replace paddings that LiteRT does not have, in an exported graph, in place.

    Where ``output_padding`` is larger than the padding, the values beyond the output would have to
    be made; these layers stay as they are.
    """
    import torch

    aten = torch.ops.aten
    for node in list(graph.graph.nodes):
        if node.target is not aten.conv_transpose2d.input:
            continue
        arguments = (*node.args, *_DEFAULTS[len(node.args) :])
        stride, padding, added = (_read_pair(argument) for argument in arguments[3:6])
        kernel = node.args[1].meta["val"].shape[2:]
        if not any(padding) or any(extra > cut for cut, extra in zip(padding, added, strict=True)):
            continue
        sides = zip(kernel, stride, padding, added, strict=True)
        if all(k - s == 2 * cut and not extra for k, s, cut, extra in sides):  # it is SAME
            continue
        shape = node.meta["val"].shape
        node.args = (*arguments[:4], (0, 0), (0, 0), *arguments[6:])
        users, cropped = list(node.users), node
        for side, cut in enumerate(padding):
            axis = 2 + side
            with graph.graph.inserting_after(cropped):
                cropped = graph.graph.call_function(
                    aten.slice.Tensor, (cropped, axis, cut, cut + shape[axis])
                )
        for user in users:
            user.replace_input_with(node, cropped)
    graph.graph.lint()
    graph.recompile()


def _read_pair(argument: object) -> tuple[int, ...]:
    assert isinstance(argument, Sequence)
    numbers = tuple(int(one) for one in argument)
    return numbers if len(numbers) > 1 else numbers * 2
