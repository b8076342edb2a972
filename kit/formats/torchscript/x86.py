"""TorchScript with oneDNN's int8 kernels, for x86 processors with VNNI."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import TYPE_CHECKING

from kit.errors import BuildError
from kit.formats.interface import Backend
from kit.formats.properties import Thresholds
from kit.formats.torchscript.compiling import compile_module
from kit.formats.torchscript.engine import MEMBER, ONEDNN, use_engine

if TYPE_CHECKING:
    from torch import Tensor, nn
    from torch.fx import GraphModule


class X86Engine(Backend):
    """The same levels as in qnnpack's file, multiplied by kernels for desktops and servers."""

    name = "x86"
    summary = "TorchScript for x86 with VNNI, int8 kernels of oneDNN"
    flow = "torch-ao"
    precisions = ("int8", "int8-dynamic")
    # It rounds elsewhere than qnnpack, by which the graph is run.
    thresholds = Thresholds(agreement=0.75, sqnr_db=12.0)

    def export(self, model: GraphModule, example: tuple[Tensor, ...], path: Path) -> None:
        """Pack the weights for the engine, trace, freeze and save.

        Raises:
            BuildError: the model has a recurrent layer, whose weights cannot be packed again.
            RunError: the engine does not compute right here.
        """
        import torch

        with use_engine(ONEDNN):
            script, _ = compile_module(pack_again(model), example)
            torch.jit.save(script, str(path), _extra_files={MEMBER: ONEDNN})


def pack_again(model: GraphModule) -> GraphModule:
    """Return a copy of a quantized model with its weights packed for the engine that is set.

    Raises:
        BuildError: it has a recurrent layer.
    """
    packed = copy.deepcopy(model)
    for name, module in packed.named_modules():
        _pack(name, module)
    return packed


def _pack(name: str, module: nn.Module) -> None:
    from torch.ao.nn.quantized import dynamic

    if isinstance(module, dynamic.modules.rnn.RNNBase):
        raise BuildError(
            f"the weights of the recurrent layer {name} cannot be packed for oneDNN",
            "use --format torchscript",
        )
    unpack, pack = (getattr(module, n, None) for n in ("_weight_bias", "set_weight_bias"))
    if callable(unpack) and callable(pack):
        pack(*unpack())
