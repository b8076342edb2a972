"""Quantization-aware training: small networks, real processes."""

import copy
import os
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from bundle_samples import SMALL_NET
from picture_samples import encode, fill, noise
from virtual_device import ports

import kit
from kit.bundles import loading
from kit.calibration import choose
from kit.errors import PictureError, RecipeError, UsageError
from kit.notices import render
from kit.pipeline import checkpoints, training, training_data, training_set
from kit.pipeline.build_state import Work
from kit.pipeline.checkpoints import Checkpoints
from kit.pipeline.training_score import HeldOutEvaluation, TrainingScore, explain_rejection
from kit.quantize import distributed
from kit.quantize.distributed import Group
from kit.quantize.examples import from_samples
from kit.quantize.training import Batch, TrainingPlan
from kit.tasks import get_task

torch = pytest.importorskip("torch")

CLASSES = 20
SMALL = {"weights": "random", "width": 0.35, "resolution": 32, "quantize": "qat"}
QUICK = {"train_steps": 6, "train_batch": 8, "calibration_images": 64, "learning_rate": 1e-4}


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("KIT_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("WORLD_SIZE", raising=False)
    monkeypatch.delenv("RANK", raising=False)


def work_of(tmp_path: Path, **fields) -> Work:
    recipe = kit.make_recipe("mobilenet_v2", **{**SMALL, **QUICK, **fields})
    task = get_task(recipe.task)
    labels = tuple(str(i) for i in range(CLASSES))
    inputs = replace(task.describe_inputs(recipe), classes=CLASSES, labels=labels)
    return Work(
        recipe=recipe,
        cache_key="a-key",
        folder=tmp_path,
        shared=tmp_path,
        task=task,
        pictures=choose(recipe),
        progress=[].append,
        inputs=inputs,
    )


@pytest.fixture(scope="module")
def network():
    """A small float model with a residual, and its folded copy."""
    from torch import nn

    from kit.quantize.graph import fold

    torch.manual_seed(0)

    def layer(*sizes: int, **options: int) -> nn.Sequential:
        convolution = nn.Conv2d(*sizes, bias=False, **options)
        return nn.Sequential(convolution, nn.BatchNorm2d(sizes[1]), nn.ReLU6())

    class Block(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inside = nn.Sequential(
                layer(8, 24, 1), layer(24, 24, 3, padding=1, groups=24), nn.Conv2d(24, 8, 1)
            )

        def forward(self, x):
            return x + self.inside(x)

    pool = [nn.AdaptiveAvgPool2d(1), nn.Flatten()]
    model = nn.Sequential(
        layer(3, 8, 3, stride=2), Block(), Block(), layer(8, 64, 1), *pool, nn.Linear(64, CLASSES)
    )
    model.train()
    with torch.no_grad():
        for _ in range(20):
            model(torch.randn(16, 3, 32, 32))
    return model.eval(), fold(model.eval())


@pytest.mark.slow
def test_simulation_and_user_layers_have_distinct_names():
    """A layer with the name of a part of the simulation keeps its weights."""
    from collections import OrderedDict

    from torch import nn

    from kit.quantize.graph import fold
    from kit.quantize.simulation import Simulation

    layers = {"fake_1": nn.Conv2d(3, 4, 1), "fake_2": nn.ReLU(), "pool": nn.AdaptiveAvgPool2d(1)}
    layers |= {"flat": nn.Flatten(), "observer": nn.Linear(4, 4), "fake_head": nn.Linear(4, 2)}
    folded = fold(nn.Sequential(OrderedDict(layers)).eval())
    simulation = Simulation(folded, "per-channel", "minmax")
    simulation.calibrate(torch.randn(4, 3, 8, 8), 1.0)
    simulation.quantize(())
    images = torch.randn(2, 3, 8, 8)
    torch.testing.assert_close(simulation.logits(images), folded(images))
    state = simulation.float_state()
    assert equal(folded.state_dict(), state)
    folded.load_state_dict(state)


def trained(work: Work, network) -> dict[str, torch.Tensor]:
    """Train a copy of the network; return its state."""
    teacher, folded = network
    folded = copy.deepcopy(folded)
    images = from_samples(work.pictures.load(work.inputs), at_once=True)
    training.train(work, teacher, folded, images)
    return folded.state_dict()


def equal(one, other) -> bool:
    return all(torch.equal(one[name], other[name]) for name in one)


@pytest.mark.slow
def test_training_reduces_the_error_and_is_recorded(tmp_path, network):
    work = work_of(tmp_path, train_steps=20, train_batch=16)
    before = network[1].state_dict()
    after = trained(work, network)
    record = work.training
    assert record.kept
    assert record.note == ""
    assert record.sqnr_db[1] > record.sqnr_db[0] + 0.2
    assert record.steps == 20
    assert record.objective == "distillation"
    assert work.notices == []
    assert not equal(before, after)
    assert [name for name in after if "bn" in name or "running" in name] == []
    lines = work.progress.__self__
    assert "training 2/20, loss" in "\n".join(lines)
    assert lines[-2].startswith("training 20/20")


@pytest.mark.slow
def test_equal_seeds_give_equal_weights(tmp_path, network):
    long = {"train_steps": 20, "train_batch": 16}
    first, again, other = (trained(work_of(tmp_path, seed=s, **long), network) for s in (3, 3, 4))
    assert equal(first, again)
    assert not equal(first, other)


class Stop(Exception):
    pass


@pytest.mark.slow
def test_a_resumed_training_ends_with_the_same_weights(tmp_path, network, monkeypatch):
    whole = trained(work_of(tmp_path), network)
    real, rounds = Checkpoints.save, []

    def stopping(self, state):
        real(self, state)
        rounds.append(state["step"])
        if len(rounds) == 3:
            raise Stop

    with monkeypatch.context() as patch:
        patch.setattr(Checkpoints, "save", stopping)
        with pytest.raises(Stop):
            trained(work_of(tmp_path), network)
    work = work_of(tmp_path)
    assert equal(trained(work, network), whole)
    text = "\n".join(work.progress.__self__)
    assert "going on after step 3 of a build that was stopped" in text
    assert "training 3/6" not in text
    assert not Checkpoints(work.cache_key).folder.exists()


@pytest.mark.slow
def test_a_damaged_checkpoint_is_noted_and_training_starts_again(tmp_path, network):
    whole = trained(work_of(tmp_path), network)
    kept = Checkpoints("a-key")
    kept.save({"step": 2})
    file = kept.folder / checkpoints.FILE
    data = bytearray(file.read_bytes())
    data[-5] ^= 1
    file.write_bytes(data)
    work = work_of(tmp_path)
    assert equal(trained(work, network), whole)
    notice = work.notices[0]
    assert render(notice) == "training started again: the checkpoint is damaged"


def test_a_failed_checkpoint_does_not_end_the_training(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("no folder")
    monkeypatch.setenv("KIT_CACHE", str(tmp_path / "file"))
    kept = Checkpoints("a-key")
    kept.save({"step": 2})
    assert kept.load()[0] is None


def test_few_checkpoints_of_abandoned_builds_are_kept():
    for number in range(7):
        kept = Checkpoints(str(number))
        kept.save({"step": number})
        os.utime(kept.folder, (number, number))
    result = sorted(p.name for p in kept.folder.parent.iterdir())
    assert result == ["3", "4", "5", "6"]
    assert kept.load() == ({"step": 6}, "")


def test_a_diverging_training_stops_and_keeps_the_initial_weights(tmp_path, network):
    work = work_of(tmp_path, learning_rate=1.0)
    assert equal(trained(work, network), network[1].state_dict())
    record = work.training
    assert not record.kept
    assert record.steps < 6
    assert "it diverged: the loss went from" in record.note
    assert record.sqnr_db[0] == record.sqnr_db[1]
    (notice,) = work.notices
    assert notice.code == "training.not-kept"
    assert "the model is the one before training: at step " in render(notice)


def test_a_worse_result_is_discarded(tmp_path, network):
    """The learning rate is too high for this network, but the loss does not diverge."""
    work = work_of(tmp_path, learning_rate=1e-3, train_steps=20)
    assert equal(trained(work, network), network[1].state_dict())
    record = work.training
    assert not record.kept
    assert record.steps == 20
    assert record.sqnr_db[1] < record.sqnr_db[0] - 1
    assert record.note.startswith("on 16 pictures the loss went from")


def test_a_result_is_judged_by_loss_and_first_answers():
    def made(loss, wrong, noisy=50, of=100):
        noise = tuple(loss + (i < noisy) for i in range(of))
        return TrainingScore(loss, tuple(2 * (i >= wrong) for i in range(of)), 10.0, noise)

    assert explain_rejection(made(0.2, 5), made(0.1, 5)) == ""
    output = explain_rejection(made(0.2, 5), made(0.1, 5, noisy=95))
    assert "of 100 pictures only 55 have less noise" in output, "a few are much better"
    assert "the loss went from 0.2 to 0.2" in explain_rejection(made(0.2, 5), made(0.2, 5))
    assert "the loss went from 0.2 to nan" in explain_rejection(made(0.2, 5), made(float("nan"), 5))
    assert explain_rejection(made(0.2, 0), made(0.1, 2)) == "", (
        "two answers of a hundred change by chance"
    )
    output = explain_rejection(made(0.2, 0), made(0.1, 4))
    assert "the first answers of 4 of 100 pictures became worse, of 0 better" in output


def test_both_views_of_a_picture_count_once():
    """Less noise in all four views of two pictures, which four pictures would prove."""
    pixels = torch.arange(4.0).view(4, 1, 1, 1)  # each picture is the number of its row
    expected = torch.eye(4)[:, :3]
    evaluation = HeldOutEvaluation(Batch(pixels, torch.tensor([0, 1, 0, 1])), expected)
    plan = TrainingPlan(1, 1, 1e-3, evaluation.power)

    def score(error):
        return evaluation.score(lambda part: expected[part.flatten().long()] + error, plan)

    start, end = score(0.3), score(0.1)
    assert start.noise == pytest.approx((3 * 0.3**2,) * 2)
    assert (start.right, end.right) == ((1, 1), (1, 1))
    assert "of 2 pictures only 2 have less noise" in explain_rejection(start, end)


def test_two_processes_share_the_pictures_of_one(tmp_path):
    work = work_of(tmp_path)
    images = from_samples(work.pictures.load(work.inputs), at_once=True)
    data = training_set.open_data(work, images)
    whole = data.step(3, 5, slice(0, 5)).images
    parts = [data.step(3, 5, Group(rank, 2).part(5)).images for rank in (0, 1)]
    assert [len(part) for part in parts] == [2, 3]
    assert torch.equal(torch.cat(parts), whole)


def test_held_out_pictures_and_order_of_the_others(tmp_path):
    work = work_of(tmp_path, calibration_images=12)
    images = from_samples(work.pictures.load(work.inputs), at_once=True)
    data = training_set.open_data(work, images)
    assert (len(data.held), len(data.seen)) == (3, 9)
    assert sorted(data.held + data.seen) == list(range(12))
    read, seen = data.read, []
    object.__setattr__(data, "read", lambda index: seen.append(index) or read(index))
    for step in range(9):
        data.step(step, 4, slice(0, 4))
    assert sorted(seen) == sorted(data.seen * 4)
    judge = data.held_out_batch().images
    assert len(judge) == 6
    assert all(torch.equal(judge[i], images.tensors[0][h]) for i, h in enumerate(data.held))
    assert training_data.split(11, 0) == ((), tuple(range(11)))


def test_a_view_is_a_crop_of_the_picture():
    ramp = torch.linspace(0, 1, 32).expand(3, 32, 32)
    left = training_data.augment_picture(ramp, [0.0, 0.5, 0.0, 0.0, 0.9])
    right = training_data.augment_picture(ramp, [0.0, 0.5, 0.0, 1.0, 0.9])
    mirrored = training_data.augment_picture(ramp, [0.0, 0.5, 0.0, 0.0, 0.1])
    assert left.shape == (3, 32, 32)
    assert float(left.max()) < 0.9
    assert float(right.min()) > 0.1
    assert torch.equal(mirrored, left.flip(2))
    assert torch.equal(training_data.augment_picture(ramp, [1.0, 0.5, 0.0, 0.0, 0.9]), ramp)


def test_labels_add_cross_entropy(tmp_path, network):
    root = fill(tmp_path / "set", *(f"{i:04d}_{i}.png" for i in range(12)))
    work = work_of(tmp_path, train=str(root))
    trained(work, network)
    assert work.training.objective == "cross-entropy"
    assert work.training.source == "set"
    assert len(work.training.pictures) == 12


def test_pictures_without_labels_are_distilled(tmp_path, network):
    root = fill(tmp_path / "set", *(f"{name}.png" for name in "abcdefghij"))
    work = work_of(tmp_path, train=str(root))
    trained(work, network)
    assert work.training.objective == "distillation"


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (["0001_a.png", "b.png"], "1 of the 2 training pictures has no label: 'b.png'"),
        (["0001_a.png", "0020_b.png"], "0020_b.png has the label 20, but the model has"),
    ],
)
def test_unusable_labels_are_named(names, message, tmp_path, network):
    work = work_of(tmp_path, train=str(fill(tmp_path / "set", *names)))
    with pytest.raises(PictureError, match=message):
        trained(work, network)


def test_a_training_set_is_identified_by_its_content(tmp_path):
    one = fill(tmp_path / "one", "a.png", "b.png")
    same = fill(tmp_path / "same", "a.png", "b.png")
    other = fill(tmp_path / "other", "a.png")
    fill(other, "b.png", data=encode(noise(20, 20)))
    made = [
        training_set.hash_set(kit.make_recipe("mobilenet_v2", train=str(root)))
        for root in (one, same, other)
    ]
    assert made[0] == made[1] != made[2]
    assert training_set.hash_set(kit.make_recipe("mobilenet_v2")) == ""


def test_a_batch_has_a_picture_for_each_process(tmp_path, network, monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "5")
    monkeypatch.setenv("RANK", "1")
    with pytest.raises(RecipeError, match="5 processes cannot share a batch of 4 pictures"):
        trained(work_of(tmp_path, train_batch=4), network)


@pytest.mark.parametrize(("rank", "size"), [("two", "2"), ("2", "2"), ("-1", "2"), ("0", "0")])
def test_an_invalid_rank_is_refused(rank, size, monkeypatch):
    monkeypatch.setenv("RANK", rank)
    monkeypatch.setenv("WORLD_SIZE", size)
    with pytest.raises(UsageError, match=f"RANK={rank} and WORLD_SIZE={size} are not a place"):
        distributed.from_environment()


# Whole builds of a small network in separate processes.

RECIPE = """
resolution = 32
quantize = "qat"
observer = "percentile"
formats = ["lite"]
train_steps = 100
train_batch = 4
learning_rate = 1e-4
"""


def command(tmp_path: Path, target: Path, *before: str) -> list[str]:
    recipe = tmp_path / "recipe.toml"
    recipe.write_text(RECIPE)
    return [
        sys.executable,
        "-m",
        *before,
        "kit",
        "build",
        SMALL_NET,
        "--recipe",
        str(recipe),
        "--no-cache",
        "-o",
        str(target),
    ]


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """The bundle that one process builds without interruption."""
    folder = tmp_path_factory.mktemp("whole")
    environment = {**os.environ, "KIT_CACHE": str(folder / "cache")}
    subprocess.run(
        command(folder, folder / "bundle"), check=True, capture_output=True, env=environment
    )
    return folder / "bundle"


@pytest.mark.slow
def test_a_killed_build_resumes_to_the_same_bundle(tmp_path, whole):
    target = tmp_path / "target"
    process = subprocess.Popen(command(tmp_path, target), stderr=subprocess.PIPE, text=True)
    for line in process.stderr:
        if "training 40/100" in line:
            process.send_signal(signal.SIGKILL)
            break
    process.wait()
    process.stderr.close()
    assert not target.exists()
    done = subprocess.run(command(tmp_path, target), check=True, capture_output=True, text=True)
    assert "of a build that was stopped" in done.stderr
    assert "training 10/100" not in done.stderr
    one, other = loading.load_bundle(whole), loading.load_bundle(target)
    assert one.manifest.training == other.manifest.training
    assert one.file("lite").read_bytes() == other.file("lite").read_bytes()
    np.testing.assert_array_equal(
        np.load(whole / "golden/lite-int8.npy"), np.load(target / "golden/lite-int8.npy")
    )


@pytest.mark.slow
def test_two_processes_build_the_bundle_of_one(tmp_path, whole):
    target = tmp_path / "together"
    torchrun = ["torch.distributed.run", "--nproc-per-node", "2", "-m"]
    done = subprocess.run(command(tmp_path, target, *torchrun), capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    one, two = (
        loading.load_bundle(whole).manifest.training,
        loading.load_bundle(target).manifest.training,
    )
    assert (one.processes, two.processes) == (1, 2)
    # The start is the same model; sums of gradients in another order lead elsewhere from there,
    # by 0.33 dB on one processor and less on others.
    assert two.sqnr_db[0] == pytest.approx(one.sqnr_db[0], abs=0.01)
    assert two.sqnr_db[1] == pytest.approx(one.sqnr_db[1], abs=1.0)
    assert two.kept == (two.sqnr_db[1] > two.sqnr_db[0])
    assert [p.name for p in tmp_path.iterdir() if p.name.endswith(".part")] == []


@pytest.mark.slow
def test_other_processes_end_when_the_first_fails(tmp_path):
    target = tmp_path / "taken"
    target.mkdir()
    (target / "notes.txt").write_text("mine")
    torchrun = ["torch.distributed.run", "--nproc-per-node", "2", "-m"]
    done = subprocess.run(
        command(tmp_path, target, *torchrun), capture_output=True, text=True, timeout=120
    )
    assert done.returncode != 0
    assert "exists and is not a bundle" in done.stderr


FOLLOW = """
import os, sys
from kit.quantize import distributed
with distributed.join_process_group() as group:
    assert group.broadcast("hello" if group.is_rank0 else None) == "hello"
    if group.is_rank0:
        os._exit(3)
    try:
        group.broadcast(None)
    except Exception as exc:
        print(type(exc).__name__, exc)
"""


@pytest.mark.slow
def test_a_process_reports_that_the_first_has_ended():
    place = {"WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(ports.free())}
    first, second = (
        subprocess.Popen(
            [sys.executable, "-c", FOLLOW],
            env={**os.environ, **place, "RANK": rank},
            stdout=subprocess.PIPE,
            text=True,
        )
        for rank in "01"
    )
    output, _ = second.communicate(timeout=120)
    first.communicate(timeout=120)
    assert first.returncode == 3
    assert output.startswith("BuildError a process of this build cannot be reached: ")
