"""Steps that pad with zeros become paddings of the convolutions behind them."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import nn
from torch.nn import functional

from kit.quantize.examples import as_examples
from kit.quantize.graph import fold

IMAGES = torch.randn(2, 3, 12, 10, generator=torch.Generator().manual_seed(0))


class Padded(nn.Module):
    """A step, then a convolution that pads (1, 0) itself."""

    def __init__(self, step: Callable[[torch.Tensor], torch.Tensor], **options: object) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.step = step
        self.convolution = nn.Conv2d(3, 4, 3, padding=(1, 0), **options)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.convolution(input=self.step(x))


def pad_sizes(x: torch.Tensor) -> torch.Tensor:
    """Pad by numbers that the shape decides, as timm does, which only `torch.export` traces."""
    return functional.pad(x, (2, 2, 3, 3)) if x.shape[2] > x.shape[3] else x


def list_steps(graph: torch.fx.GraphModule) -> list[str]:
    return [node.name for node in graph.graph.nodes if node.op.startswith("call")]


@pytest.mark.parametrize("traced", [False, True])
@pytest.mark.parametrize(
    ("step", "padding"),
    [
        (nn.ZeroPad2d(2), (3, 2)),
        (nn.ZeroPad2d((1, 1, 3, 3)), (4, 1)),
        (nn.ConstantPad2d(1, 0.0), (2, 1)),
        (lambda x: functional.pad(x, (2, 2, 1, 1)), (2, 2)),
        (lambda x: functional.pad(input=x, pad=(2, 2, 1, 1), mode="constant", value=0.0), (2, 2)),
    ],
)
def test_zeros_on_both_sides_become_the_padding(step, padding, traced):
    model = Padded(step).eval()
    result = fold(model, as_examples(IMAGES) if traced else None)
    assert list_steps(result) == ["convolution"]
    assert result.convolution.padding == padding
    torch.testing.assert_close(result(IMAGES), model(IMAGES))
    assert model.convolution.padding == (1, 0)  # the caller's own


def test_zeros_that_the_shape_decides_become_the_padding():
    model = Padded(pad_sizes).eval()
    result = fold(model, as_examples(IMAGES))
    assert list_steps(result) == ["convolution"]
    assert result.convolution.padding == (4, 2)
    torch.testing.assert_close(result(IMAGES), model(IMAGES))


class Shared(Padded):
    """The padded picture has a second user."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        padded = self.step(x)
        return self.convolution(padded).sum() + padded.sum()


@pytest.mark.parametrize(
    "model",
    [
        Padded(nn.ZeroPad2d((0, 1, 0, 1))),
        Padded(nn.ZeroPad2d((-1, -1, 1, 1))),
        Padded(nn.ConstantPad2d(1, 0.5)),
        Padded(nn.ReflectionPad2d(1)),
        Padded(lambda x: functional.pad(x, (1, 1, 1, 1), mode="reflect")),
        Padded(lambda x: functional.pad(x, (1, 1))),
        Padded(nn.ZeroPad2d(1), padding_mode="reflect"),
        Shared(nn.ZeroPad2d(1)),
    ],
    ids=["one side", "crop", "value", "module", "mode", "width", "convolution", "two users"],
)
def test_other_paddings_stay(model):
    result = fold(model.eval(), as_examples(IMAGES))
    assert len(list_steps(result)) > 1
    torch.testing.assert_close(result(IMAGES), model(IMAGES))


def test_a_convolution_that_is_called_twice_pads_each_call_on_its_own():
    class Twice(Padded):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.convolution(self.step(x)).mean() + self.convolution(x).mean()

    model = Twice(nn.ZeroPad2d(1)).eval()
    result = fold(model)
    assert torch.allclose(result(IMAGES), model(IMAGES))
    assert {m.padding for m in result.modules() if isinstance(m, nn.Conv2d)} == {(2, 1), (1, 0)}
