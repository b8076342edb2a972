"""ExecuTorch files: description, refused files, and execution."""

from __future__ import annotations

import gc
import os
import random
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from executorch_samples import module, small

from kit.errors import BuildError, BundleError, RunError
from kit.formats.executorch import FORMAT as executorch
from kit.formats.executorch import program


@pytest.fixture(scope="session")
def net(tmp_path_factory) -> Path:
    """Export a small model with one operator that XNNPACK does not support."""
    path = tmp_path_factory.mktemp("executorch") / "net.pte"
    model, example = small("not delegated")
    executorch.export(model, (example,), path)
    return path


@pytest.mark.slow
def test_a_model_that_cannot_be_lowered_is_a_build_error(tmp_path):
    import torch

    model = module(lambda p, x: x if x.sum() > 0 else -x)
    with pytest.raises(BuildError, match=r"ExecuTorch cannot lower Net: .+") as caught:
        executorch.export(model, (torch.randn(1, 4),), tmp_path / "net.pte")
    assert "\n" not in caught.value.message
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
def test_describe(net):
    result = executorch.describe(net)
    assert result.format_version == "ET12 program 0"
    assert result.not_delegated == {"aten::cumsum.out": 1}
    assert result.operators["executorch_call_delegate"] == 2
    assert result.operators["xnnpack::Conv2d"] == 2
    taken = {k: v for k, v in result.operators.items() if k.startswith("xnnpack::")}
    assert result.delegates == {"XnnpackBackend": sum(taken.values())}
    assert list(result.operators) == sorted(result.operators)


@pytest.mark.slow
def test_describe_agrees_with_executorchs_own_reader(net):
    from executorch.exir._serialize._program import deserialize_pte_binary

    (plan,) = deserialize_pte_binary(net.read_bytes()).program.execution_plan
    kinds = [type(i.instr_args).__name__ for chain in plan.chains for i in chain.instructions]
    result = program.read(net)
    assert result.calls.total() == kinds.count("DelegateCall")
    assert result.kernels.total() == kinds.count("KernelCall")
    assert set(result.kernels) == {f"{o.name}.{o.overload}" for o in plan.operators}


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


@pytest.mark.slow
def test_a_constant_missing_from_the_file_is_refused(net, tmp_path):
    """The runtime aborts when such a name is not even text."""
    name = re.search(rb"[0-9a-f]{64}", net.read_bytes())
    assert name is not None
    before, result, after = net.read_bytes().rpartition(name[0])  # the last is in the payload
    assert result
    path = tmp_path / "model.pte"
    path.write_bytes(before + b"z" + result[1:] + after)
    with pytest.raises(BundleError, match=r"it has no constant z[0-9a-f]{63}"):
        executorch.load(path, 1)
    path.write_bytes(before + b"\xff" + result[1:] + after)
    with pytest.raises(BundleError, match="is not an ExecuTorch program, or it is damaged"):
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
from kit.formats.executorch import FORMAT as executorch
executorch.prepare(1)
for name in sys.argv[1:]:
    child = os.fork()
    if child == 0:
        code = 0
        try:
            session = executorch.load(Path(name), 1)
            session.bind((np.zeros((1, 4, 8, 8), np.float32),))()
        except BundleError:
            code = 1
        except RuntimeError:  # the runtime's own error when it runs
            code = 2
        os._exit(code)
    print(name, os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
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
    call = session.bind((given,))
    first = session.read(call())[0]
    kept = first.copy()
    given[:] = 0
    other = session.read(session.bind((two,))())[0]
    np.testing.assert_array_equal(first, kept)
    np.testing.assert_array_equal(session.read(call())[0], kept)
    assert not np.array_equal(other, kept)


@pytest.mark.slow
def test_runtime_computes_what_the_model_computes(net):
    import torch

    model, example = small("not delegated")
    session = executorch.load(net, 1)
    answer = session.read(session.bind((example.numpy(),))())[0]
    with torch.inference_mode():
        np.testing.assert_allclose(answer, model(example).numpy(), atol=1e-5)


@pytest.mark.slow
def test_call_outlives_the_session(net):
    call = executorch.load(net, 1).bind((np.zeros((1, 4, 8, 8), np.float32),))
    gc.collect()
    assert len(call()) == 1
    with pytest.raises(RunError, match="uses 1 threads in this process, 2 were requested"):
        executorch.load(net, 2)


@pytest.mark.slow
def test_threads_can_change_if_no_file_is_loaded(net):
    gc.collect()
    for threads in (1, 2, 1, 3):
        assert executorch.prepare(threads) == threads
        session = executorch.load(net, threads)
        session.bind((np.zeros((1, 4, 8, 8), np.float32),))()
        del session
    assert executorch.prepare(1) == 1


@pytest.mark.slow
def test_loading_prints_nothing_and_does_not_import_the_exporter(net):
    code = (
        "import sys; from pathlib import Path; from kit.formats.executorch import FORMAT;"
        "s = FORMAT.load(Path(sys.argv[1]), 1); assert 'executorch.exir' not in sys.modules;"
        "from executorch.exir import to_edge_transform_and_lower"
    )
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", code, str(net)], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    noise = [line for line in done.stderr.splitlines() if "cpuinfo" in line or "threadpool" in line]
    assert noise == []
    assert done.stdout == ""
