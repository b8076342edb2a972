"""Sizes in graphs are numbers before they are traced for torch's formats."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from kit.formats import get_format
from kit.formats.fixed_sizes import fix_sizes
from kit.quantize.graph import fold


class Placed(nn.Module):
    """Positions by the length of the text, as transformers has them."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.words, self.head = nn.Embedding(20, 8), nn.Linear(8, 3)

    def forward(self, ids):
        if ids.dim() > 2:  # symbolic tracing cannot follow it
            return ids
        positions = torch.arange(ids.shape[0] * ids.shape[1]).reshape(ids.shape[0], -1)
        return self.head(self.words(ids) * positions.unsqueeze(-1)).mean(1)


@pytest.fixture(scope="module")
def folded():
    from kit.quantize.examples import Examples

    ids = torch.randint(0, 20, (4, 5), generator=torch.Generator().manual_seed(0))
    return fold(Placed().eval(), Examples((ids,), ((1, 5),), True)), ids[:1]


@pytest.mark.slow
@pytest.mark.parametrize("name", ["torchscript", "lite"])
def test_positions_by_the_length_are_written(folded, name, tmp_path):
    graph, ids = folded
    with torch.no_grad():
        expected = graph(ids)
    format_ = get_format(name)
    file = tmp_path / f"net{format_.suffix}"
    format_.export(graph, (ids,), file)
    session = format_.load(file, 1)
    answer = torch.from_numpy(session.read(session.bind((ids.numpy(),))())[0])
    assert torch.allclose(answer, expected, atol=1e-6)


@pytest.mark.slow
def test_the_graph_itself_keeps_its_sizes(folded):
    graph, ids = folded
    fixed = fix_sizes(graph, (ids,))
    assert fixed is not graph
    assert not any("size" in str(node.target) for node in fixed.graph.nodes)
    assert any("size" in str(node.target) for node in graph.graph.nodes)
    with torch.no_grad():
        assert torch.equal(fixed(ids), graph(ids))


def test_a_graph_without_sizes_is_returned():
    graph = fold(nn.Sequential(nn.Linear(4, 4)).eval(), torch.randn(2, 4))
    assert fix_sizes(graph, (torch.randn(1, 4),)) is graph
