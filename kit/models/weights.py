"""Read weights without running code, check them, and load them into a model."""

from __future__ import annotations

import pickle
import re
import zipfile
from collections.abc import Mapping
from io import BufferedReader
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from kit import files
from kit.documents import reason
from kit.errors import WeightsError, brief
from kit.models._sources import Fetched, official
from kit.models.interface import HubFile, Published

if TYPE_CHECKING:
    from torch import Tensor, nn

__all__ = ["Fetched", "load_into", "official", "read_state", "source_hash"]

IMAGENET, RANDOM = "imagenet", "random"
_NESTS = ("state_dict", "model_state_dict", "model")
# Messages of torch's restricted unpickler about a name or call that is not on its safe list.
_WOULD_RUN = re.compile(
    r"\bGLOBAL (?P<name>\S+) w|call reduce|Can only create new object|Can only build"
)
_SAVE = "save one with torch.save(model.state_dict(), FILE)"


def source_hash(option: str, weights: Published | None, seed: int) -> str:
    """Return a hash or key that identifies the weights of an option, without importing torch.

    Args:
        option: ``imagenet``, ``random`` or the path of a file.
        weights: the model's published weights, if it has any.
        seed: of random weights.

    Raises:
        WeightsError: the file cannot be read, or the model has no published weights.
    """
    if option == RANDOM:
        return f"random:{seed}"
    if option == IMAGENET:
        if weights is None:
            raise WeightsError(
                "the model has no published weights", "use --weights random or --weights FILE"
            )
        if isinstance(weights, HubFile):
            return f"hub:{weights.repository}/{weights.file}"
        return weights.sha256
    try:
        return files.measure(Path(option))[1]
    except (OSError, ValueError) as exc:
        raise _unreadable(Path(option), exc) from exc


def read_state(path: Path) -> dict[str, Tensor]:
    """Read a state dict; a file that would run code is rejected, not run.

    Files of training scripts are accepted too: a state dict inside a checkpoint, and names that
    begin with ``module.`` (from `DataParallel`).

    Args:
        path: ``.safetensors``, or anything that `torch.save` wrote.

    Raises:
        WeightsError: the file is missing, corrupt, unsafe, or not a state dict.
    """
    if (other := _other_kind(path)) is not None:
        raise other
    # A safetensors file begins with the length of its JSON header, in eight bytes.
    is_safetensors = path.suffix.lower() == ".safetensors" or _head(path)[5:9] == b"\0\0\0{"
    loaded = _safetensors(path) if is_safetensors else _torch(path)
    return _state_dict(loaded, path)


def _head(path: Path) -> bytes:
    """Return the first 100 bytes of a file; empty if it cannot be read."""
    try:
        with files.open_regular(path) as file:
            return file.read(100)
    except (OSError, ValueError):
        return b""


def _other_kind(path: Path) -> WeightsError | None:
    """Return an error that names the type of a file that is not a state dict, if recognized."""
    head = _head(path)
    if head.startswith(b"version https://git-lfs"):
        return WeightsError(f"{path} is a pointer of Git LFS, not the weights", "git lfs pull")
    if head.lstrip().lower().startswith((b"<!doctype html", b"<html")):
        return WeightsError(
            f"{path} is a web page, not weights", "download the file itself, not its page"
        )
    kinds = {b"\x89HDF": "a Keras file (HDF5)", b"TFL3": "a LiteRT file", b"GGUF": "a GGUF file"}
    kind = kinds.get(head[:4]) or kinds.get(head[4:8])
    if kind is not None:
        return WeightsError(f"{path} is {kind}, not weights of a PyTorch model", _SAVE)
    if not head.startswith(b"PK"):
        return None
    names = [PurePosixPath(name).name for name in _members(path)]
    if "constants.pkl" in names or "bytecode.pkl" in names:
        return WeightsError(
            f"{path} is TorchScript, not a state dict",
            "save what torch.jit.load(FILE).state_dict() gives with torch.save",
        )
    if "model.json" in names:
        return WeightsError(
            f"{path} is an exported program, not a state dict",
            "save what torch.export.load(FILE).state_dict gives with torch.save",
        )
    return None


def _members(path: Path) -> list[str]:
    try:
        with zipfile.ZipFile(path) as archive:
            return archive.namelist()
    except Exception:  # noqa: BLE001 - zipfile raises many types for broken files
        return []


def _torch(path: Path) -> object:
    import torch

    try:
        with files.open_regular(path) as file:
            _check_size(file)
            return torch.load(file, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as exc:
        if code := _WOULD_RUN.search(str(exc)):
            name = code["name"] or "code"
            raise WeightsError(
                f"{path} would run {name} when it is loaded, so it was not loaded",
                f"a state dict is safe: {_SAVE}",
            ) from exc
        # torch's message recommends `weights_only=False`, which would run the code.
        raise _corrupt(path, "torch.save did not write it") from exc
    except OSError as exc:
        raise _unreadable(path, exc) from exc
    except Exception as exc:  # torch's reader raises many types for broken files
        raise _corrupt(path, str(exc) or type(exc).__name__) from exc


def _check_size(file: BufferedReader) -> None:
    """Raise ValueError if the members of a zip expand to more bytes than the file has.

    `torch.save` compresses nothing; members of a zip bomb are compressed or overlap.
    """
    size = file.seek(0, 2)
    if zipfile.is_zipfile(file):
        expanded = sum(member.file_size for member in zipfile.ZipFile(file).infolist())
        if expanded > size:
            raise ValueError(f"it has {size} bytes and would expand to {expanded}")
    file.seek(0)


def _safetensors(path: Path) -> object:
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        files.open_regular(path).close()
        return load_file(path)
    except OSError as exc:
        raise _unreadable(path, exc) from exc
    except (SafetensorError, ValueError, RuntimeError) as exc:
        raise _corrupt(path, str(exc) or type(exc).__name__) from exc


def _state_dict(loaded: object, path: Path) -> dict[str, Tensor]:
    import torch

    for nest in _NESTS:
        if isinstance(loaded, Mapping) and isinstance(loaded.get(nest), Mapping):
            loaded = loaded[nest]
    if not isinstance(loaded, Mapping) or not loaded:
        raise WeightsError(f"{path} holds {type(loaded).__name__}, not a state dict", _SAVE)
    for name, value in loaded.items():
        if not isinstance(name, str) or not isinstance(value, torch.Tensor):
            kind = type(value).__name__
            raise WeightsError(
                f"{path} is not a state dict: {brief(name)} is of type {kind}", _SAVE
            )
        if (odd := _odd_kind(value)) is not None:
            raise WeightsError(
                f"{path} holds the {odd} tensor {brief(name)}, and layers have plain ones",
                "save the weights of the float network, on the CPU",
            )
    if all(name.startswith("module.") for name in loaded):
        return {name.removeprefix("module."): value for name, value in loaded.items()}
    return dict(loaded)


def _odd_kind(value: Tensor) -> str | None:
    """Return the kind of a tensor that is not dense numbers in memory; None for dense ones."""
    import torch

    if value.is_nested:
        return "nested"
    if value.layout != torch.strided:
        return "sparse"
    if value.is_quantized:
        return "quantized"
    return "empty (meta)" if value.is_meta else None


def load_into(
    model: nn.Module, state: Mapping[str, Tensor], name: str, labels: str | None = None
) -> str:
    """Load a state dict into a model of exactly this architecture.

    All its names may have one prefix, as wrappers add it (``_orig_mod.``, ``model.``). Entries
    without the prefix, such as a loss or a counter, are then ignored.

    Args:
        model: is changed.
        state: from `read_state`.
        name: of the weights, for error messages.
        labels: the file whose lines set the model's number of outputs, if there is one.

    Returns:
        The prefix that was removed; empty if there was none.

    Raises:
        WeightsError: names or shapes differ, or a value is not a finite number.
    """
    import torch

    prefix = _common_prefix(model.state_dict(), state)
    if prefix:
        state = {k.removeprefix(prefix): v for k, v in state.items() if k.startswith(prefix)}
    if (numbers := _outputs(model.state_dict(), state)) is not None:
        raise _other_outputs(*numbers, name, labels)
    if difference := _first_difference(model.state_dict(), state):
        raise WeightsError(
            f"the weights {name} are of another architecture: first mismatch {difference}",
            "name the model and the width that they were trained with",
        )
    own = model.state_dict()
    cast = {key: value.to(own[key].dtype) for key, value in state.items()}
    for key, value in cast.items():
        if value.is_floating_point() and not value.isfinite().all():
            lost = state[key].to(torch.float64).isfinite().all()
            what = f"numbers too large for {value.dtype}" if lost else "NaN or infinity"
            raise WeightsError(f"the weights {name} hold {what} in {key}", "the training diverged")
    model.load_state_dict(cast)
    return prefix


def _common_prefix(own: Mapping[str, Tensor], state: Mapping[str, Tensor]) -> str:
    """Return the prefix of a file's names to the model's; empty if there is not exactly one."""
    needed = [key for key in own if not key.endswith("num_batches_tracked")]
    if not needed or needed[0] in state:
        return ""
    ending = f".{needed[0]}"
    prefixes = [key.removesuffix(needed[0]) for key in state if key.endswith(ending)]
    fits = [p for p in prefixes if all(p + key in state for key in needed)]
    return fits[0] if len(fits) == 1 else ""


def _outputs(own: Mapping[str, Tensor], state: Mapping[str, Tensor]) -> tuple[int, int] | None:
    """Return the numbers of outputs of weights and model, if nothing else differs."""
    if own.keys() != state.keys():
        return None
    pairs = {(state[key].shape, ours.shape) for key, ours in own.items()}
    differ = [(theirs, ours) for theirs, ours in pairs if theirs != ours]
    if any(len(t) != len(o) or not t or t[1:] != o[1:] for t, o in differ):
        return None
    numbers = {(theirs[0], ours[0]) for theirs, ours in differ}
    return numbers.pop() if len(numbers) == 1 else None


def _other_outputs(theirs: int, ours: int, name: str, labels: str | None) -> WeightsError:
    if labels is not None:
        return WeightsError(
            f"the weights {name} have {theirs} outputs, and {labels} names {ours} classes",
            "name one class in each line, in the order of the outputs",
        )
    return WeightsError(
        f"the weights {name} have {theirs} outputs, and the model has {ours}",
        f"name the {theirs} classes with --labels FILE, one in each line; a network of your own "
        f"must have {theirs} outputs itself",
    )


def _first_difference(own: Mapping[str, Tensor], state: Mapping[str, Tensor]) -> str | None:
    for key, ours in own.items():
        theirs = state.get(key)
        if theirs is None:
            # BatchNorms in old files have no counter; load_state_dict fills it in.
            if key.endswith("num_batches_tracked"):
                continue
            return f"{key}, which is missing"
        if theirs.shape != ours.shape:
            return f"{key}, of shape {list(theirs.shape)} instead of {list(ours.shape)}"
        if theirs.is_floating_point() != ours.is_floating_point():
            return f"{key}, of type {theirs.dtype} instead of {ours.dtype}"
    extra = next((key for key in state if key not in own), None)
    return None if extra is None else f"{brief(extra)}, which the model does not have"


def _unreadable(path: Path, exc: OSError | ValueError) -> WeightsError:
    return WeightsError(f"cannot read the weights {path}: {reason(exc)}", "check the path")


def _corrupt(path: Path, reason: str) -> WeightsError:
    return WeightsError(
        f"{path} is corrupt or not a weights file: {reason.splitlines()[0][:200]}",
        "copy or download it again",
    )
