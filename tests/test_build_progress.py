"""Progress messages of long stages of a build, and the wait policy of its threads."""

import pytest

from kit import pipeline, recipe_input
from kit.commands import build
from kit.errors import KitError
from kit.pipeline import build_state


class Clock:
    def __init__(self):
        self.now = 100.0

    def monotonic(self):
        return self.now


@pytest.fixture
def clock(monkeypatch):
    made = Clock()
    monkeypatch.setattr(build_state, "time", made)
    return made


def test_a_long_stage_reports_progress_every_few_seconds(clock):
    work: list[str] = []
    step = build_state.make_reporter(work.append, "rounding")
    for second, done in ((1, 0.1), (4.9, 0.25), (5, 0.5), (9.9, 0.6), (12, 0.75), (30, 1.0)):
        clock.now = 100.0 + second
        step(done)
    assert work == ["rounding: 50%, about 5 s left", "rounding: 75%, about 4 s left"]


@pytest.mark.parametrize("name", ["rounding", "bias"])
def test_corrections_report_the_share_of_layers(name):
    import torch
    from torch import nn

    from kit.corrections import get_correction
    from kit.quantize.graph import fold

    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Conv2d(4, 4, 1), nn.Conv2d(4, 2, 1))
    shares = []
    apply = get_correction(name).apply
    apply(fold(model.eval()), torch.rand(2, 3, 8, 8), "per-channel", step=shares.append)
    assert shares == pytest.approx([0, 1 / 3, 2 / 3])


def test_range_search_reports_the_share_of_pictures():
    import torch
    from torch import nn

    from kit.quantize import range_search
    from kit.quantize.graph import fold
    from kit.quantize.simulation import Simulation

    folded = fold(nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Flatten()).eval())
    images = torch.rand(3, 3, 448, 448)
    simulation = Simulation(folded, "per-channel", "search")
    simulation.calibrate(images, 1.0)
    shares = []
    range_search.search(simulation, images, shares.append)
    assert shares == pytest.approx([1 / 3, 2 / 3, 1])


def test_wait_policy_is_passive_before_a_users_file_runs(monkeypatch, tmp_path):
    """OpenMP reads the policy when the user's file imports torch."""
    monkeypatch.delenv("OMP_WAIT_POLICY", raising=False)
    file = tmp_path / "net.py"
    file.write_text("import os\nraise RuntimeError('waits: ' + os.environ['OMP_WAIT_POLICY'])\n")
    with pytest.raises(KitError, match="waits: passive"):
        pipeline.build(recipe_input.make_recipe(f"{file}:make"), tmp_path / "out")


def test_a_build_says_how_pictures_are_prepared(tiny_bundle, capsys):
    build._show(tiny_bundle)
    steps = tiny_bundle.manifest.preprocessing.describe()
    assert f"pictures: {steps}\n" in capsys.readouterr().err
