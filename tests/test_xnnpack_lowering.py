"""The fast lowering to XNNPACK gives the stock path's bytes and restores everything."""

from __future__ import annotations

from functools import cache
from typing import Any

import pytest
from executorch_samples import SMALL, mobilenet_v2, small

from kit.formats.executorch import xnnpack_lowering as lowering

# Models whose lowering fails or changes without this pass.
NEEDED = {
    "conv1d": "Conv1dUnsqueezePass",
    "quantized conv1d": "Conv1dUnsqueezePass",
    "batch norm alone": "DecomposeBatchNorm",
    "conv and batch norm": "FuseBatchNormPass",
    "cat of six": "DecomposeConcatenate",
    "relu6": "FuseActivationPass",
    "clone": "XNNPACKRemoveCloneOpsTransform",
    "channels last": "DimOrderOpsRevertPass",
}


def exported(model, example):
    import torch

    return torch.export.export(model, (example,))


@cache
def program_of(name: str):
    """Return a small model's program; lowering leaves it as it is."""
    return exported(*small(name))


@cache
def stock(name: str) -> bytes:
    """Return a small model lowered by the stock path."""
    return lowering.lower_stock(program_of(name))


@cache
def fast(name: str) -> bytes:
    """Return a small model lowered by the fast path."""
    return lowering.lower(program_of(name)).program


@pytest.mark.slow
def test_fast_and_stock_bytes_are_equal(monkeypatch):
    """All small models in one program, each as partitions of its own.

    XNNPACK does not take the operators between them, so no partition spans two models.
    """
    import torch

    class All(torch.nn.Module):
        def __init__(self, models):
            super().__init__()
            self.models = torch.nn.ModuleList(models)

        def forward(self, *examples):
            outputs, before = [], None
            for net, x in zip(self.models, examples, strict=True):
                outputs.append(net(x if before is None else x + before))
                before = torch.cumsum(outputs[-1], -1).amax()
            return tuple(outputs)

    calls: list[str] = []
    may_act = lowering.may_act
    monkeypatch.setattr(lowering, "may_act", lambda step, g: calls.append(step) or may_act(step, g))
    models, examples = zip(*map(small, SMALL), strict=True)
    program = torch.export.export(All(models), examples)
    lowered = lowering.lower(program)
    assert (lowered.path, lowered.reason) == ("fast", "")
    assert calls.count("FuseActivationPass") >= len(SMALL)
    if lowered.program != lowering.lower_stock(program):
        assert [name for name in SMALL if fast(name) != stock(name)] == []
        pytest.fail("only the program of all models differs")


@pytest.fixture(scope="module")
def static():
    """MobileNetV2 in int8, its fast lowering, and whether each pass may act."""
    applied: dict[str, bool] = {}
    may_act = lowering.may_act
    program = exported(*mobilenet_v2("static"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            lowering, "may_act", lambda step, g: applied.setdefault(step, may_act(step, g))
        )
        return program, lowering.lower(program), applied


@pytest.mark.slow
def test_fast_and_stock_bytes_are_equal_for_mobilenet_v2(static):
    program, lowered, _ = static
    assert (lowered.path, lowered.reason) == ("fast", "")
    assert lowered.program == lowering.lower_stock(program)


@pytest.mark.slow
def test_fast_and_stock_bytes_are_equal_for_float_mobilenet_v2():
    program = exported(*mobilenet_v2("none", fold=False))
    lowered = lowering.lower(program)
    assert (lowered.path, lowered.reason) == ("fast", "")
    assert lowered.program == lowering.lower_stock(program)


@pytest.mark.slow
@pytest.mark.parametrize("name", NEEDED)
def test_dropping_a_needed_pass_changes_the_output(monkeypatch, name):
    """Otherwise equal bytes could mean that no model needs the pass."""
    program, right = program_of(name), fast(name)
    may_act = lowering.may_act
    wrong = NEEDED[name]
    monkeypatch.setattr(lowering, "may_act", lambda step, g: step != wrong and may_act(step, g))
    lowered = lowering.lower(program)
    assert lowered.path == "stock" or lowered.program != right


@pytest.mark.slow
def test_passes_without_effect_are_dropped(static):
    _, _, applied = static
    assert list(applied) == list(lowering.PASSES)
    acting = [step for step, acts in applied.items() if acts]
    assert acting == [
        "ConvertToLinearPass",
        "ChannelsLastTaggedReshapePass",
        "RemoveRedundantCopyPass",
    ]


@pytest.mark.slow
def test_patterns_have_the_requested_operators():
    from executorch.backends.xnnpack.partition.graphs import bilinear_2d, sdpa

    for step, patterns in {
        "ConvertToUpsampleBilinear2d": bilinear_2d.get_graphs(),
        "ConvertToSDPAPass": sdpa.get_graphs(),
    }.items():
        assert patterns
        for pattern in patterns:
            assert lowering.PASSES[step] <= lowering.list_operators(pattern.graph)


def internals() -> list[Any]:
    """Return the internals that the fast path replaces."""
    from executorch.backends.xnnpack import xnnpack_preprocess
    from torch.export import ExportedProgram
    from torch.fx.traceback import NodeSource

    return [
        xnnpack_preprocess.XNNPACKPassManager,
        vars(ExportedProgram)["run_decompositions"],
        vars(NodeSource).get("__deepcopy__"),
    ]


@pytest.mark.slow
def test_replaced_internals_are_restored():
    before = internals()
    with lowering.patch_lowering():
        during = internals()
    assert all(a is not b for a, b in zip(before, during, strict=True))
    assert internals() == before
    with pytest.raises(KeyboardInterrupt), lowering.patch_lowering():
        raise KeyboardInterrupt
    assert internals() == before


def rename_a_pass(monkeypatch):
    from executorch.backends.xnnpack import _passes

    renamed = type("ConvertToAttention", (_passes.ConvertToSDPAPass,), {})
    monkeypatch.setattr(_passes, "ConvertToSDPAPass", renamed)


def rename_a_helper(monkeypatch):
    from executorch.exir import graph_module

    monkeypatch.delattr(graph_module, "contains_any_call_fn_target_op")


def newer_executorch(monkeypatch):
    monkeypatch.setitem(lowering.KNOWN, "executorch", "0.7.0")


def fail_half_way(monkeypatch):
    def fail(step: str, graph: Any) -> bool:
        raise KeyError(step)

    monkeypatch.setattr(lowering, "may_act", fail)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("change", "error_text"),
    [
        (rename_a_pass, "ConvertToAttention"),
        (rename_a_helper, "contains_any_call_fn_target_op"),
        (newer_executorch, "the fast path needs 0.7.0"),
        (fail_half_way, "the fast path failed: "),
    ],
)
def test_different_internals_select_the_stock_path(monkeypatch, caplog, change, error_text):
    program = program_of("relu6")
    expected, before = stock("relu6"), internals()
    change(monkeypatch)
    with caplog.at_level("WARNING", lowering.__name__):
        lowered = lowering.lower(program)
    assert lowered.path == "stock"
    assert error_text in lowered.reason
    assert any(lowered.reason in message for message in caplog.messages)
    assert lowered.program == expected
    assert internals() == before
