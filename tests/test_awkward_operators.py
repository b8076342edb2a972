"""Operators that one runtime takes in a form of its own only, in built files."""

from __future__ import annotations

from importlib.util import find_spec

import pytest

import kit

pytestmark = pytest.mark.slow

NETWORKS = """
import torch
from torch import nn


class Clamped(nn.Module):
    # The bounds are whole numbers, as most people write them.
    def __init__(self):
        super().__init__()
        self.first, self.last = nn.Conv2d(3, 8, 3, padding=1), nn.Linear(8, 5)

    def forward(self, x):
        return self.last(self.first(x).clamp(-1, 1).mean((2, 3)))


class Attentive(Clamped):
    # Of 1024 positions, so that each has a small share.
    def forward(self, x):
        values = self.first(x).flatten(2)
        return self.last((values.softmax(-1) * values).sum(-1))


class Line(Clamped):
    # All biases of a layer are equal, as those of a detector's classes before training.
    def __init__(self):
        super().__init__()
        self.middle = nn.Conv1d(8, 8, 3)
        self.middle.bias.data.fill_(-2.0)

    def forward(self, x):
        return self.last(self.middle(self.first(x).flatten(2)).mean(2))
"""


@pytest.mark.parametrize(
    ("network", "name"),
    [("Clamped", "torchscript"), ("Attentive", "litert"), ("Line", "litert")],
)
def test_float_and_int8_files_compute_what_the_network_does(network, name, tmp_path) -> None:
    if name == "litert" and find_spec("litert_torch") is None:
        pytest.skip("the extra litert is not installed")
    (tmp_path / "net.py").write_text(NETWORKS)
    recipe = kit.make_recipe(
        f"{tmp_path}/net.py:{network}", weights="random", resolution=32, formats=(name,),
        precisions=("fp32", "int8"),
    )  # fmt: skip
    bundle = kit.build(recipe, tmp_path / "b", use_cache=False)
    names = [artifact.name for artifact in bundle.manifest.artifacts]
    assert names == [f"{name}-fp32", f"{name}-int8"]
    for artifact in bundle.manifest.artifacts:
        assert all(c.sqnr_db is None or c.sqnr_db > 25 for c in artifact.parity)
