"""ExecuTorch: the fast lowering gives the stock path's bytes; files are read safely."""

from __future__ import annotations

import gc
import random
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from kit import family
from kit.errors import BuildError, BundleError, RunError
from kit.formats import _pte, executorch
from kit.formats import _xnnpack_lowering as lowering

NET = Callable[[Any, Any], Any]


def module(forward: NET, *parts: Any):
    """Return a module in eval mode that calls `forward(parts, x)`."""
    from torch import nn

    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.parts = nn.ModuleList(parts)

        def forward(self, x):
            return forward(self.parts, x)

    return Net().eval()


def quantized(model, example):
    """Return the PT2E graph of a model, per-channel int8."""
    import torch
    from executorch.backends.xnnpack.quantizer.xnnpack_quantizer import (
        XNNPACKQuantizer,
        get_symmetric_quantization_config,
    )
    from torchao.quantization.pt2e.quantize_pt2e import convert_pt2e, prepare_pt2e

    config = get_symmetric_quantization_config(is_per_channel=True)
    quantizer = XNNPACKQuantizer().set_global(config)
    prepared = prepare_pt2e(torch.export.export(model, (example,)).module(), quantizer)
    prepared(example)
    return convert_pt2e(prepared)


def mobilenet_v2(method: str, fold: bool = True):
    """Return MobileNetV2 0.35 at 96 px as the kit lowers it, and an example."""
    import torch

    from kit.quantize._contract import Options
    from kit.quantize._graph import fold as folded

    torch.manual_seed(0)
    model = family.load("models", "mobilenet_v2").build(0.35, 1000)
    images = torch.randn(2, 3, 96, 96)
    if fold:
        options = Options(granularity="per-channel", output_margin=1.0)
        model = (
            family.load("quantize", method)
            .quantize(folded(model), executorch.INFO.flow, images, options)
            .graph
        )
    return model, images[:1]


def small(name: str):
    """Return a small model that has what one of XNNPACK's optional passes looks for."""
    import torch
    from torch import nn
    from torch.nn import functional as F

    torch.manual_seed(0)
    flat, square, long = torch.randn(1, 4, 16), torch.randn(1, 4, 8, 8), torch.randn(1, 256)
    conv = nn.Conv2d(4, 4, 3, padding=1)
    other = nn.Conv2d(4, 4, 3)
    conv_1d, bn = nn.Conv1d(4, 4, 3, padding=1), nn.BatchNorm2d(4)
    up = {"scale_factor": 2.0, "mode": "bilinear"}
    if name.startswith("quantized"):
        plain = {
            "quantized conv1d": (lambda p, x: F.relu(p[0](x)), flat, conv_1d),
            "quantized pad": (lambda p, x: p[1](F.pad(p[0](x), (1, 1, 1, 1))), square, conv, other),
            "quantized add": (lambda p, x: F.relu(p[0](x) + x), square, conv),
        }[name]
        return quantized(module(plain[0], *plain[2:]), plain[1]), plain[1]
    forward, example, *parts = {
        "prelu": (lambda p, x: p[1](p[0](x)), square, conv, nn.PReLU(4)),
        "prelu of one weight": (lambda p, x: p[1](p[0](x)), square, conv, nn.PReLU(1)),
        "conv1d": (lambda p, x: F.relu(p[0](x)), flat, conv_1d),
        "batch norm alone": (lambda p, x: p[0](x) + 1, square, bn),
        "conv and batch norm": (lambda p, x: p[1](p[0](x)), square, conv, bn),
        "cat of six": (lambda p, x: torch.cat([x, x + 1, x * 2, x - 3, x * x, x + 4], 1), square),
        "upsample": (lambda p, x: F.interpolate(p[0](x), **up), square, conv),
        "sdpa": (lambda p, x: F.scaled_dot_product_attention(x, x + 1, x * 2), square),
        "relu6": (lambda p, x: F.relu6(p[0](x)), square, conv),
        "max pool": (lambda p, x: F.max_pool2d(p[0](x), 2), square, conv),
        "linear": (lambda p, x: p[0](x), long, nn.Linear(256, 3)),
        "matmul": (lambda p, x: torch.mm(x, p[0].weight.t()) + 1, long, nn.Linear(256, 3)),
        "clone": (lambda p, x: p[0](x).clone() + 1, square, conv),
        "channels last": (
            lambda p, x: p[0](x).to(memory_format=torch.channels_last) + 1,
            square,
            conv,
        ),
        "constant": (lambda p, x: x * torch.ones(4, 1, 1) + torch.arange(8.0), square),
        "not delegated": (lambda p, x: p[1](torch.cumsum(p[0](x), 1)), square, conv, other),
    }[name]
    return module(forward, *parts), example


SMALL = [
    "prelu",
    "prelu of one weight",
    "conv1d",
    "batch norm alone",
    "conv and batch norm",
    "cat of six",
    "upsample",
    "sdpa",
    "relu6",
    "max pool",
    "linear",
    "matmul",
    "clone",
    "channels last",
    "constant",
    "not delegated",
    "quantized conv1d",
    "quantized pad",
    "quantized add",
]

# Models whose lowering fails, or comes out differently, without this pass.
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


def assert_same_bytes(program) -> None:
    lowered = lowering.lower(program)
    assert (lowered.path, lowered.reason) == ("fast", "")
    assert lowered.program == lowering.lower_stock(program)


@pytest.fixture(scope="session")
def net(tmp_path_factory) -> Path:
    """Return the file of a small model with one operator that XNNPACK does not take."""
    path = tmp_path_factory.mktemp("executorch") / "net.pte"
    executorch.export(*small("not delegated"), path)
    return path


@pytest.mark.slow
@pytest.mark.parametrize("name", SMALL)
def test_fast_bytes_are_the_stock_bytes(name):
    assert_same_bytes(exported(*small(name)))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("method", "fold"), [("static", True), ("none", True), ("none", False)], ids=str
)
def test_fast_bytes_are_the_stock_bytes_for_mobilenet_v2(method, fold):
    assert_same_bytes(exported(*mobilenet_v2(method, fold)))


@pytest.mark.slow
@pytest.mark.parametrize("name", NEEDED)
def test_these_models_tell_a_wrongly_dropped_pass(monkeypatch, name):
    """Without this, equal bytes could just mean that no model has anything to drop."""
    program = exported(*small(name))
    may_act = lowering.may_act
    wrong = NEEDED[name]
    monkeypatch.setattr(lowering, "may_act", lambda step, g: step != wrong and may_act(step, g))
    lowered = lowering.lower(program)
    assert lowered.path == "stock" or lowered.program != lowering.lower_stock(program)


@pytest.mark.slow
def test_passes_are_dropped(monkeypatch):
    asked: dict[str, bool] = {}
    may_act = lowering.may_act
    monkeypatch.setattr(
        lowering, "may_act", lambda step, g: asked.setdefault(step, may_act(step, g))
    )
    lowering.lower(exported(*mobilenet_v2("static")))
    assert list(asked) == list(lowering.PASSES)
    acting = [step for step, acts in asked.items() if acts]
    assert acting == [
        "ConvertToLinearPass",
        "ChannelsLastTaggedReshapePass",
        "RemoveRedundantCopyPass",
    ]


@pytest.mark.slow
def test_patterns_have_the_operators_that_are_asked_for():
    from executorch.backends.xnnpack.partition.graphs import bilinear_2d, sdpa

    for step, patterns in {
        "ConvertToUpsampleBilinear2d": bilinear_2d.get_graphs(),
        "ConvertToSDPAPass": sdpa.get_graphs(),
    }.items():
        assert patterns
        for pattern in patterns:
            assert lowering.PASSES[step] <= lowering._operators(pattern.graph)


def internals() -> list[Any]:
    """Return what the fast path replaces."""
    from executorch.backends.xnnpack import xnnpack_preprocess
    from torch.export import ExportedProgram
    from torch.fx.traceback import NodeSource

    return [
        xnnpack_preprocess.XNNPACKPassManager,
        vars(ExportedProgram)["run_decompositions"],
        vars(NodeSource).get("__deepcopy__"),
        gc.isenabled(),
    ]


@pytest.mark.slow
def test_everything_is_put_back():
    before = internals()
    with lowering._shortcuts():
        during = internals()
    assert all(a is not b for a, b in zip(before, during, strict=True))
    assert internals() == before
    with pytest.raises(KeyboardInterrupt), lowering._shortcuts():
        raise KeyboardInterrupt
    assert internals() == before


@pytest.mark.slow
def test_a_collector_that_was_off_stays_off():
    gc.disable()
    try:
        with lowering._shortcuts():
            pass
        assert not gc.isenabled()
    finally:
        gc.enable()


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
    ("change", "says"),
    [
        (rename_a_pass, "ConvertToAttention"),
        (rename_a_helper, "contains_any_call_fn_target_op"),
        (newer_executorch, "the fast path knows 0.7.0"),
        (fail_half_way, "the fast path failed: "),
    ],
)
def test_stock_path_when_internals_differ(monkeypatch, caplog, change, says):
    program = exported(*small("relu6"))
    expected, before = lowering.lower_stock(program), internals()
    change(monkeypatch)
    with caplog.at_level("WARNING", lowering.__name__):
        lowered = lowering.lower(program)
    assert lowered.path == "stock"
    assert says in lowered.reason
    assert any(lowered.reason in message for message in caplog.messages)
    assert lowered.program == expected
    assert internals() == before


@pytest.mark.slow
def test_a_model_that_cannot_be_lowered_is_a_build_error(tmp_path):
    import torch

    model = module(lambda p, x: x if x.sum() > 0 else -x)
    with pytest.raises(BuildError, match="ExecuTorch cannot lower Net"):
        executorch.export(model, torch.randn(1, 4), tmp_path / "net.pte")
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
def test_describe(net):
    found = executorch.describe(net)
    assert found.format_version == "ET12 program 0"
    assert found.not_delegated == {"aten::cumsum.out": 1}
    assert found.operators["executorch_call_delegate"] == 2
    assert found.operators["xnnpack::Conv2d"] == 2
    taken = {k: v for k, v in found.operators.items() if k.startswith("xnnpack::")}
    assert found.delegates == {"XnnpackBackend": sum(taken.values())}
    assert list(found.operators) == sorted(found.operators)


@pytest.mark.slow
def test_describe_agrees_with_executorchs_own_reader(net):
    from executorch.exir._serialize._program import deserialize_pte_binary

    (plan,) = deserialize_pte_binary(net.read_bytes()).program.execution_plan
    kinds = [type(i.instr_args).__name__ for chain in plan.chains for i in chain.instructions]
    found = _pte.read(net)
    assert found.calls.total() == kinds.count("DelegateCall")
    assert found.kernels.total() == kinds.count("KernelCall")
    assert set(found.kernels) == {f"{o.name}.{o.overload}" for o in plan.operators}


@pytest.mark.parametrize(
    "content",
    [b"", b"PK", b"text that is long enough to have an identifier", bytes(100)]
    + [b"\x08\0\0\0ET12" + bytes(n) for n in (0, 4, 60)]
    + [b"\x0c\0\0\0ET12\x04\0\x04\0\x04\0\0\0"],  # whole, but empty
    ids=range(8),
)
def test_what_is_not_a_program_is_refused(tmp_path, content):
    path = tmp_path / "model.pte"
    path.write_bytes(content)
    with pytest.raises(BundleError, match=r"model\.pte is not an ExecuTorch program"):
        executorch.describe(path)
    with pytest.raises(BundleError, match=r"model\.pte is not an ExecuTorch program"):
        executorch.load(path, 1)


def test_missing_file(tmp_path):
    with pytest.raises(BundleError, match="No such file"):
        executorch.describe(tmp_path / "model.pte")


def damage(data: bytes, seed: int) -> bytes:
    """Cut the end off, or flip some bits, half of the time in the program and its header."""
    rng = random.Random(seed)
    if seed % 4 == 0:
        return data[: rng.randrange(len(data))]
    changed = bytearray(data)
    end = len(data) if seed % 4 < 3 else 64
    for _ in range(rng.choice([1, 1, 4, 16])):
        changed[rng.randrange(end)] ^= 1 << rng.randrange(8)
    return bytes(changed)


@pytest.mark.slow
def test_describe_survives_damage(net, tmp_path):
    path, refused = tmp_path / "damaged.pte", 0
    for seed in range(400):
        path.write_bytes(damage(net.read_bytes(), seed))
        try:
            executorch.describe(path)
        except BundleError:
            refused += 1
    assert 100 < refused < 400  # a cut file is always refused; a flipped weight cannot be told


# Forks a child for each damaged file, as only a child may crash; prints what became of each.
LOAD_EACH = """
import os, sys
from pathlib import Path
import numpy as np
from kit.errors import BundleError
from kit.formats import executorch
executorch.prepare(1)
for name in sys.argv[1:]:
    child = os.fork()
    if child == 0:
        code = 0
        try:
            session = executorch.load(Path(name), 1)
            session.bind(np.zeros((1, 4, 8, 8), np.float32))()
        except BundleError:
            code = 1
        except RuntimeError:  # the runtime's own error when it runs
            code = 2
        os._exit(code)
    print(name, os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(__import__("os"), "fork"), reason="needs fork")
def test_a_damaged_file_does_not_end_the_process(net, tmp_path):
    files = []
    for seed in range(200):
        files.append(tmp_path / f"{seed}.pte")
        files[-1].write_bytes(damage(net.read_bytes(), seed))
    command = [sys.executable, "-c", LOAD_EACH, *map(str, files)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    codes = {line.split()[0]: int(line.split()[1]) for line in done.stdout.splitlines()}
    assert len(codes) == len(files)
    assert {f: c for f, c in codes.items() if c not in (0, 1, 2)} == {}
    assert sum(code == 1 for code in codes.values()) > 50


@pytest.mark.slow
def test_answers_and_inputs_are_copies(net):
    session = executorch.load(net, 1)
    rng = np.random.default_rng(0)
    one, two = (rng.standard_normal((1, 4, 8, 8), np.float32) for _ in range(2))
    given = one.copy()
    call = session.bind(given)
    first = session.numpy(call())
    kept = first.copy()
    given[:] = 0
    other = session.numpy(session.bind(two)())
    np.testing.assert_array_equal(first, kept)
    np.testing.assert_array_equal(session.numpy(call()), kept)
    assert not np.array_equal(other, kept)


@pytest.mark.slow
def test_runtime_computes_what_the_model_computes(net):
    import torch

    model, example = small("not delegated")
    session = executorch.load(net, 1)
    answer = session.numpy(session.bind(example.numpy())())
    with torch.inference_mode():
        np.testing.assert_allclose(answer, model(example).numpy(), atol=1e-5)


@pytest.mark.slow
def test_call_outlives_the_session(net):
    call = executorch.load(net, 1).bind(np.zeros((1, 4, 8, 8), np.float32))
    gc.collect()
    assert len(call()) == 1
    with pytest.raises(RunError, match="uses 1 threads in this process, 2 were asked for"):
        executorch.load(net, 2)


@pytest.mark.slow
def test_threads_can_change_when_nothing_is_loaded(net):
    gc.collect()
    for threads in (1, 2, 1, 3):
        assert executorch.prepare(threads) == threads
        session = executorch.load(net, threads)
        session.bind(np.zeros((1, 4, 8, 8), np.float32))()
        del session
    assert executorch.prepare(1) == 1


@pytest.mark.slow
def test_loading_says_nothing_and_leaves_the_exporter_alone(net):
    code = (
        "import sys; from pathlib import Path; from kit.formats import executorch;"
        "s = executorch.load(Path(sys.argv[1]), 1); assert 'executorch.exir' not in sys.modules;"
        "from executorch.exir import to_edge_transform_and_lower"
    )
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", code, str(net)], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    noise = [line for line in done.stderr.splitlines() if "cpuinfo" in line or "threadpool" in line]
    assert noise == []
    assert done.stdout == ""
