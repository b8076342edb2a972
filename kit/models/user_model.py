"""A user's model, ``FILE.py:FACTORY``: imported by path, checked and fingerprinted.

The file is run like any program: build only models that you trust. Errors in it are reported in
one sentence, with file and line of the user's code.
"""

from __future__ import annotations

import hashlib
import importlib.util
import re
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
from kit.models.probing import LOGITS, NEEDS_FLOAT, find_answer_shape
from kit.recipe import split_own_model

if TYPE_CHECKING:
    from torch import nn


# Modules with int8 weights; not torch.ao.nn.quantized.modules.functional_modules, which stand in
# float networks for additions that are to be quantized.
_QUANTIZED = re.compile(
    r"torch\.ao\.nn(\.intrinsic)?\.quantized\.(dynamic\.)?modules\.(?!functional_modules)"
)
_RETURN_FLOAT = "return the float network that it was made from: kit quantizes it itself"


@dataclass
class UserModel:
    """A user's model.

    Attributes:
        name: ``FILE.py:FACTORY``.
        make: the factory: takes no arguments and returns the network.
        sources: the file, and the files that it imported from its own folder.
        digest: SHA-256 of the sources at the time of the import, in hex.
    """

    name: str
    make: Callable[[], object]
    sources: tuple[Path, ...]
    digest: str
    spec: Spec = field(default=Spec(summary="a model of the user's own"))

    def build(self, width: float = 1.0, classes: int = 0) -> nn.Module:
        """Return the factory's network, on the CPU and in eval mode.

        Raises:
            RecipeError: the factory fails, or does not return a network of float32 weights.
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
        if (why := _find_quantization(model)) is not None:
            raise RecipeError(f"{self.name} returns {why}", _RETURN_FLOAT)
        if (kind := _odd_type(model)) is not None:
            raise RecipeError(f"{self.name} has weights of the type {kind}", NEEDS_FLOAT)
        return model

    def running(self, what: str = "fails", mixed: bool = False) -> AbstractContextManager[None]:
        """Return the context in which code of this model may run; see `kit.guard.run_user_code`."""
        return _running(f"{self.name} {what}", self.sources[0].parent, mixed)

    def classes(self, resolution: int, picture: tuple[int, ...] | None = None) -> int:
        """Return the number of outputs, by running the network on noise.

        Args:
            resolution: side of the square picture, in pixels.
            picture: shape of a picture that is not [3, resolution, resolution].

        Raises:
            RecipeError: it fails on a picture of this size, or does not return logits.
        """
        shape = picture or (3, resolution, resolution)
        return find_answer_shape(self, shape, LOGITS)[1]

    def fingerprint(self, seed: int) -> dict[str, str]:
        """Return hashes or texts of a model's source, structure and state dict.

        The state dict is that of the network when it is built, because a factory may load files.
        """
        import torch

        torch.manual_seed(seed)
        model = self.build()
        with self.running("cannot be described"):
            structure, state = repr(model), hash_state(model)
        return {"source": self.digest, "structure": structure, "state": state}


def _unwrapped(model: nn.Module) -> nn.Module:
    """Return the network inside the wrappers of parallel training and `torch.compile`."""
    from torch import nn

    wrappers = (nn.DataParallel, nn.parallel.DistributedDataParallel)
    while True:
        if isinstance(model, wrappers):
            model = model.module
        elif type(model).__name__ == "OptimizedModule":  # of torch.compile
            model = getattr(model, "_orig_mod")  # noqa: B009 - a Module gives Tensor or Module
        else:
            return model


def _find_quantization(model: nn.Module) -> str | None:
    """Return in words that a network is quantized, or prepared for it; None for a float one."""
    from torch.ao.quantization import FakeQuantizeBase, ObserverBase

    for name, layer in model.named_modules():
        if isinstance(layer, FakeQuantizeBase | ObserverBase):
            return f"a network that was prepared for quantization: {name} is an observer"
        if _QUANTIZED.match(type(layer).__module__):
            kind = type(layer).__name__
            return f"a network that is quantized already: {name or 'it'} is a quantized {kind}"
    return None


def _odd_type(model: nn.Module) -> str | None:
    """Return the dtype of weights that are not float32, as pictures are; None if all are."""
    for value in model.parameters():
        if value.is_floating_point() and str(value.dtype) != "torch.float32":
            return str(value.dtype).removeprefix("torch.")
    return None


def check_finite(model: nn.Module) -> None:
    """Raise `WeightsError` if a value of the state dict is NaN or infinite."""
    for name, value in model.state_dict().items():
        if value.is_floating_point() and not value.isfinite().all():
            raise WeightsError(f"the model holds NaN or infinity in {name}", "train it again")


def hash_state(model: nn.Module) -> str:
    """Return the SHA-256 of names, dtypes, shapes and values of a state dict, in hex."""
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
_imported: set[str] = set()  # names of the modules that the last file imported from its folder


def load(name: str) -> UserModel:
    """Return the model that ``FILE.py:FACTORY`` names; the file is run again if it changed.

    Raises:
        RecipeError: the file is missing or fails, or has no such function.
    """
    place = str(Path(name).absolute())  # the same name in another folder is another model
    loaded = _loaded.get(place)
    if loaded is None or loaded.digest != _digest(loaded.sources):
        loaded = _loaded[place] = _load(name)
    return loaded


def _load(name: str) -> UserModel:
    location = split_own_model(name)
    if location is None or not location[0].is_file():
        raise RecipeError(f"there is no file {location[0] if location else name}", "check the path")
    file, attribute = location[0].resolve(), location[1]
    for key in _imported:  # they may have changed, or be other files of the same name
        sys.modules.pop(key, None)
    before = set(sys.modules)
    module = _import(file, location[0])
    _imported.clear()
    _imported.update(key for key, _ in _siblings(file.parent) if key not in before)
    with _running(f"{location[0]} cannot be imported", file.parent):
        factory = getattr(module, attribute, None)
    if factory is None:
        raise RecipeError(f"{location[0]} has no {attribute!r}", _near(attribute, vars(module)))
    if not callable(factory) or _is_module(factory):
        raise RecipeError(
            f"{name} is of type {type(factory).__name__}, and not a function",
            "FACTORY is a function, or a class, that returns the network",
        )
    sources = (file, *sorted({_file(m) for _, m in _siblings(file.parent)} - {file}))
    return UserModel(name, factory, sources, _digest(sources))


def _is_module(value: object) -> bool:
    """Return whether a factory is a network itself: calling it would run an inference."""
    from torch import nn

    return isinstance(value, nn.Module)


def _import(file: Path, shown: Path) -> ModuleType:
    import torch  # noqa: F401 - now, because modules in the folder could shadow torch's imports

    key = f"kit_own_{file.stem}"
    spec = importlib.util.spec_from_file_location(key, file)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[key] = module  # dataclasses and pickle look it up
    with _running(f"{shown} cannot be imported", file.parent):
        spec.loader.exec_module(module)
    return module


def _near(name: str, attributes: dict[str, object]) -> str:
    own_names = [k for k, v in attributes.items() if callable(v) and not k.startswith("_")]
    near = get_close_matches(name, own_names, n=3, cutoff=0.5)
    if near:
        return f"did you mean {' or '.join(near)}?"
    return f"it has: {', '.join(sorted(own_names)) or 'no functions'}"


def _siblings(folder: Path) -> list[tuple[str, ModuleType]]:
    """Return the imported modules that are in a folder, except installed packages."""
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
    """Run the user's code, and restore torch's settings afterwards.

    Raises:
        RecipeError: the code raised an exception.
    """
    import torch

    dtype, gradients = torch.get_default_dtype(), torch.is_grad_enabled()
    depth = sys.getrecursionlimit()
    try:
        with guard.run_user_code(what, folder, mixed):
            yield
    finally:
        torch.set_default_dtype(dtype)
        torch.set_grad_enabled(gradients)
        sys.setrecursionlimit(max(depth, sys.getrecursionlimit()))  # deep networks need more
