"""A model of the user's own, from ``FILE.py:FACTORY``: imported by path, checked, fingerprinted.

The file is run like any program: only build models that you trust. Whatever goes wrong in it
is one sentence with the place in the user's code.
"""

from __future__ import annotations

import hashlib
import importlib.util
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from difflib import get_close_matches
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

from kit import guard
from kit.errors import RecipeError, WeightsError
from kit.models.interface import Spec
from kit.recipe import own

if TYPE_CHECKING:
    from torch import Tensor, nn


@dataclass
class UserModel:
    """A factory of the user's.

    Attributes:
        name: ``FILE.py:FACTORY``.
        make: takes nothing and returns the network.
        sources: the file, and what it imported from its own folder.
        digest: of the sources, when they were read.
    """

    name: str
    make: Callable[[], object]
    sources: tuple[Path, ...]
    digest: str
    spec: Spec = field(default=Spec(summary="a model of the user's own"))

    def build(self, width: float = 1.0, classes: int = 0) -> nn.Module:
        """Return the factory's network, on the CPU and in eval mode.

        Raises:
            RecipeError: the factory fails, or returns something else.
        """
        import torch
        from torch import nn

        with self.running("cannot be called"):
            model = self.make()
            if isinstance(model, nn.Module):
                model = _unwrapped(model).cpu().eval()
        if isinstance(model, torch.jit.ScriptModule):
            raise RecipeError(
                f"{self.name} returns TorchScript, which cannot be quantized any more",
                "return the Python module that it was scripted from",
            )
        if not isinstance(model, nn.Module):
            raise RecipeError(
                f"{self.name} returns {type(model).__name__}, not a torch.nn.Module",
                "FACTORY is a function, or a class, that returns the network",
            )
        if (kind := _odd_type(model)) is not None:
            raise RecipeError(f"{self.name} has weights of the type {kind}", _FLOAT)
        return model

    def running(self, what: str = "fails", mixed: bool = False) -> AbstractContextManager[None]:
        """Return the context in which code of this model may run; see `kit.guard.running`."""
        return _running(f"{self.name} {what}", self.sources[0].parent, mixed)

    def classes(self, resolution: int) -> int:
        """Return the number of outputs, found by running the network on noise.

        Raises:
            RecipeError: it fails on a picture of this size, or does not give logits.
        """
        import torch

        model = self.build()
        noise = torch.Generator().manual_seed(0)
        pair = torch.rand(2, 3, resolution, resolution, generator=noise)
        pair[1] *= 0.2  # far from the first one, for whatever looks at the whole batch
        one, again, two = (self._run(model, part) for part in (pair[:1], pair[:1], pair))
        if not torch.equal(one, again) and not one.isnan().any():
            raise RecipeError(
                f"{self.name} answers the same picture in two ways, in eval mode",
                "is there a dropout without training=self.training?",
            )
        if two.shape[1:] != one.shape[1:]:
            raise RecipeError(f"{self.name} gives {list(two.shape)} for two pictures", _LOGITS)
        apart, scale = float((two[:1] - one).abs().max()), float(one.abs().max())
        if apart > _BESIDE * scale:
            raise RecipeError(
                f"{self.name} answers a picture differently beside another one: its logits of up "
                f"to {scale:.3g} differ by up to {apart:.3g}",
                "is there a BatchNorm without running statistics, or something else that looks "
                "at the whole batch?",
            )
        return int(one.shape[1])

    def _run(self, model: nn.Module, images: Tensor) -> Tensor:
        import torch

        given = f"{self.name} for an input of {list(images.shape)}"
        with self.running(f"fails on an input of {list(images.shape)}"), torch.no_grad():
            output = model(own_copy := images.clone())
        if not torch.equal(own_copy, images):
            raise RecipeError(
                f"{self.name} writes into its input",
                "in forward, write x = x * 2 instead of x *= 2 or x.mul_(2)",
            )
        if not isinstance(output, torch.Tensor):
            raise RecipeError(f"{given} gives {type(output).__name__}, not a tensor", _LOGITS)
        if output.dim() != 2 or len(output) != len(images) or output.shape[1] < 2:
            raise RecipeError(f"{given} gives the shape {list(output.shape)}", _LOGITS)
        if output.dtype != torch.float32:
            raise RecipeError(f"{given} gives {output.dtype}", _FLOAT)
        return output

    def fingerprint(self, seed: int) -> dict[str, str]:
        """Return what identifies a model: source text, structure and numbers.

        The numbers are read off the built network, because a factory may load files.
        """
        import torch

        torch.manual_seed(seed)
        model = self.build()
        with self.running("cannot be described"):
            structure, state = repr(model), state_hash(model)
        return {"source": self.digest, "structure": structure, "state": state}


_FLOAT = "call .float() on the network"
_BESIDE = 0.01  # of the largest logit: kernels for one picture and for two differ by rounding
_LOGITS = "it must return logits [N, classes] with two classes or more; wrap it if it has others"


def _unwrapped(model: nn.Module) -> nn.Module:
    """Return the network inside of what trains or compiles one."""
    from torch import nn

    wrappers = (nn.DataParallel, nn.parallel.DistributedDataParallel)
    while True:
        if isinstance(model, wrappers):
            model = model.module
        elif type(model).__name__ == "OptimizedModule":  # of torch.compile
            model = getattr(model, "_orig_mod")  # noqa: B009 - a Module gives Tensor or Module
        else:
            return model


def _odd_type(model: nn.Module) -> str | None:
    """Return the type of weights that are no float32, which pictures are."""
    for value in model.parameters():
        if value.is_floating_point() and str(value.dtype) != "torch.float32":
            return str(value.dtype).removeprefix("torch.")
    return None


def check_finite(model: nn.Module) -> None:
    """Raise `WeightsError` if a number of the state dict is NaN or infinite."""
    for name, value in model.state_dict().items():
        if value.is_floating_point() and not value.isfinite().all():
            raise WeightsError(f"the model holds NaN or infinity in {name}", "train it again")


def state_hash(model: nn.Module) -> str:
    """Return the SHA-256 of names, types, shapes and numbers of a state dict."""
    import torch

    digest = hashlib.sha256()
    for name, value in sorted(model.state_dict().items()):
        if not isinstance(value, torch.Tensor):
            digest.update(f"{name} {value!r}\n".encode())
            continue
        digest.update(f"{name} {value.dtype} {list(value.shape)}\n".encode())
        digest.update(value.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()


_loaded: dict[str, UserModel] = {}
_imported: set[str] = set()  # names of the modules that the last file brought along


def load(name: str) -> UserModel:
    """Return the model that ``FILE.py:FACTORY`` names; its file is run if it changed.

    Raises:
        RecipeError: the file is missing or fails, or has no such function.
    """
    known = _loaded.get(name)
    if known is None or known.digest != _digest(known.sources):
        known = _loaded[name] = _load(name)
    return known


def _load(name: str) -> UserModel:
    found = own(name)
    if found is None or not found[0].is_file():
        raise RecipeError(f"there is no file {found[0] if found else name}", "check the path")
    file, attribute = found[0].resolve(), found[1]
    for key in _imported:  # they may have changed since, or another folder has some of that name
        sys.modules.pop(key, None)
    before = set(sys.modules)
    module = _import(file, found[0])
    _imported.clear()
    _imported.update(key for key, _ in _siblings(file.parent) if key not in before)
    with _running(f"{found[0]} cannot be imported", file.parent):
        factory = getattr(module, attribute, None)
    if factory is None:
        raise RecipeError(f"{found[0]} has no {attribute!r}", _near(attribute, vars(module)))
    if not callable(factory) or _is_module(factory):
        raise RecipeError(
            f"{name} is of type {type(factory).__name__}, and not a function",
            "FACTORY is a function, or a class, that returns the network",
        )
    sources = (file, *sorted({_file(m) for _, m in _siblings(file.parent)} - {file}))
    return UserModel(name, factory, sources, _digest(sources))


def _is_module(value: object) -> bool:
    """Whether it is a network already: calling it would run it."""
    from torch import nn

    return isinstance(value, nn.Module)


def _import(file: Path, shown: Path) -> ModuleType:
    import torch  # noqa: F401 - before the folder is on the path, whose names come first

    key = f"kit_own_{file.stem}"
    spec = importlib.util.spec_from_file_location(key, file)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[key] = module  # dataclasses and pickle look it up
    with _running(f"{shown} cannot be imported", file.parent):
        spec.loader.exec_module(module)
    return module


def _near(name: str, known: dict[str, object]) -> str:
    own_names = [k for k, v in known.items() if callable(v) and not k.startswith("_")]
    near = get_close_matches(name, own_names, n=3, cutoff=0.5)
    if near:
        return f"did you mean {' or '.join(near)}?"
    return f"it has: {', '.join(sorted(own_names)) or 'no functions'}"


def _siblings(folder: Path) -> list[tuple[str, ModuleType]]:
    """Return the imported modules that lie in a folder, without what is installed in it."""
    modules = list(sys.modules.items())
    return [(key, module) for key, module in modules if guard.is_own(_file(module), folder)]


def _file(module: ModuleType) -> Path:
    return Path(getattr(module, "__file__", None) or "/")


def _digest(sources: tuple[Path, ...]) -> str:
    digest = hashlib.sha256()
    for file in sources:
        text = file.read_bytes() if file.is_file() else b""
        digest.update(f"{file.name} {len(text)}\n".encode() + text)
    return digest.hexdigest()


@contextmanager
def _running(what: str, folder: Path, mixed: bool = False) -> Iterator[None]:
    """Run code of the user's; torch's own settings are put back, too.

    Raises:
        RecipeError: for whatever the code raises.
    """
    import torch

    dtype, gradients = torch.get_default_dtype(), torch.is_grad_enabled()
    depth = sys.getrecursionlimit()
    try:
        with guard.running(what, folder, mixed):
            yield
    finally:
        torch.set_default_dtype(dtype)
        torch.set_grad_enabled(gradients)
        sys.setrecursionlimit(max(depth, sys.getrecursionlimit()))  # deep networks raise it
